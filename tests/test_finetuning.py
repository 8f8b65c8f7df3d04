"""Examples become an adapter: right tokens, right batches, and nothing lost when it is killed."""

import errno
import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import MethodType

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen3Config

from utils import adapters, finetuning, passes, steps, training
from utils.adapters import bare, merged, open_adapter
from utils.batching import batch, plan, tokenised
from utils.documents import CourseError
from utils.finetuning import Settings, answer_loss, read_examples, train, with_adapter
from utils.generation import Generator
from utils.loading import load_generator
from utils.memorising import cut_off
from utils.profiles import POCKET_MODEL, ROOT, choose

STYLE = ROOT / "data" / "style"
FEW = Settings(rank=2, alpha=4, rate=0.02, epochs=2, tokens_per_batch=96, looks=2)
QWEN = ("{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}<think>\n\n</think>"
        "\n\n{% endif %}{{ m.content | trim }}<|end|>\n{% endfor %}{% if add_generation_prompt %}"
        "<|assistant|>\n{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
        "{% endif %}")


def tiny(kind: str = "llama", seed: int = 0, **options) -> Generator:
    """A model of a few thousand weights beside its word vectors, from the given seed."""
    sizes = {"vocab_size": 12288, "hidden_size": 16, "intermediate_size": 24,
             "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
             "head_dim": 8, "max_position_embeddings": 256, "tie_word_embeddings": True,
             "initializer_range": 0.2, "bos_token_id": None, "eos_token_id": 4, "pad_token_id": 0,
             **options}
    tokenizer = AutoTokenizer.from_pretrained(POCKET_MODEL)
    if kind == "qwen3":
        tokenizer.chat_template = QWEN
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = (LlamaConfig if kind == "llama" else Qwen3Config)(**sizes)
        model = AutoModelForCausalLM.from_config(config).float().eval()
    return Generator(model, tokenizer, batch=4, longest=200)


def conversation(question: str, reply: str) -> dict:
    return {"messages": [{"role": "user", "content": question},
                         {"role": "assistant", "content": reply}]}


EXAMPLES = [conversation(f"What does part {n} cost{' today' * (n % 5)}?", f"It costs EUR {n}.")
            for n in range(12)]
HELD_OUT = [conversation("Is part 3 in stock?", "It costs EUR 3.")]
ASKED = [{"role": "user", "content": "What does part 5 cost?"}]


def logits(generator: Generator) -> torch.Tensor:
    ids = generator.tokenizer(generator.prompt(ASKED), return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return generator.model(input_ids=ids).logits


def weights(folder: Path) -> bytes:
    return (folder / adapters.WEIGHTS).read_bytes()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny model and the adapter of an unbroken training."""
    generator = tiny()
    folder = tmp_path_factory.mktemp("adapter")
    points: list = []
    train(generator, EXAMPLES, HELD_OUT, folder, FEW, say=points.append)
    return generator, folder, points


# ---------------------------------------------------------------- reading

@pytest.mark.parametrize(("line", "said"), [
    ('{"messages": [', "this is no JSON"),
    ('["a"]', "'messages' is missing"),
    ('{"messages": []}', "'messages' is missing or empty"),
    ('{"messages": [{"role": "bot", "content": "x"}]}', "message 1 has the role 'bot'"),
    ('{"messages": ["x"]}', "message 1 has the role None"),
    ('{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}]}',
     "message 2, of the assistant, is empty"),
    ('{"messages": [{"role": "user", "content": "x"}]}', "the assistant is last"),
    ('{"messages": [{"role": "system", "content": "x"}]}', "the assistant is last"),
])
def test_a_broken_line_is_named(tmp_path, line, said):
    path = tmp_path / "examples.jsonl"
    path.write_text(json.dumps(EXAMPLES[0]) + "\n\n" + line + "\n", encoding="utf-8")
    with pytest.raises(CourseError, match=re.escape(f"{path}, line 3: ") + ".*" + said):
        read_examples(path)


def test_an_empty_file_a_missing_one_and_mixed_fields(tmp_path):
    path = tmp_path / "examples.jsonl"
    with pytest.raises(CourseError, match="There is no example file"):
        read_examples(path)
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(CourseError, match="holds no example"):
        read_examples(path)
    path.write_text("\n".join(json.dumps({**EXAMPLES[0], "source": s}) for s in ("KB-1", [1])),
                    encoding="utf-8")
    with pytest.raises(CourseError, match="different kinds of values"):
        read_examples(path)


def test_a_field_that_the_first_line_lacks_is_kept(tmp_path):
    path = tmp_path / "examples.jsonl"
    path.write_text(json.dumps(EXAMPLES[0]) + "\n" + json.dumps(
        {**EXAMPLES[0], "source": "KB-1"}) + "\n", encoding="utf-8")
    assert [row["source"] for row in read_examples(path)] == [None, "KB-1"]


def test_two_trainings_into_one_folder_take_turns(tmp_path, capsys):
    entered = threading.Event()

    def second():
        with finetuning._alone(tmp_path / "adapter"):
            entered.set()

    with finetuning._alone(tmp_path / "adapter"):
        other = threading.Thread(target=second, daemon=True)
        other.start()
        assert not entered.wait(0.3)
    assert entered.wait(5)
    other.join()
    assert "Another training writes to" in capsys.readouterr().out


def test_the_style_examples_are_a_dataset_with_their_other_fields():
    examples = read_examples(STYLE / "train.jsonl")
    assert len(examples) >= 480 and {"messages", "source", "quote"} <= set(examples.column_names)
    assert examples[0]["messages"][-1]["role"] == "assistant"


# ---------------------------------------------------------------- tokens and batches

@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_what_is_learned_is_what_the_model_is_asked_to_say(kind):
    generator = tiny(kind)
    found = tokenised(generator, EXAMPLES)[5]
    text = generator.tokenizer.decode(found.ids[:found.answer])
    assert text == generator.prompt(EXAMPLES[5]["messages"][:1])
    assert generator.tokenizer.decode(found.ids[found.answer:]) == "It costs EUR 5.<|end|>"
    assert found.ids[-1] == generator.model.generation_config.eos_token_id


@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_a_field_with_a_weight_counts_more_and_nothing_else_does(kind):
    generator = tiny(kind)
    reply = '{"reply": "Say \\"route\\": no. ", "route": "repairs", "urgency": "low", "n": 12}'
    row = [conversation('"route": "orders"?', reply)]
    plain, = tokenised(generator, row)
    assert plain.again == () and plain.learned == len(plain.ids) - plain.answer
    heavy, = tokenised(generator, row, weights=[("route", 3), ("n", 2), ("absent", 9)])
    assert heavy.ids == plain.ids and heavy.answer == plain.answer
    again = Counter(heavy.again)
    said = [generator.tokenizer.decode(heavy.ids[n]) for n in sorted(again)]
    assert re.fullmatch(r'\W*repairs\W*12\W*', "".join(said)), said
    assert heavy.learned == plain.learned + again.total()
    where = {times: [n for n in again if again[n] == times] for times in (1, 2)}
    assert "repairs" in generator.tokenizer.decode([heavy.ids[n] for n in sorted(where[2])])
    losses = {n: float(answer_loss(generator.model, batch([replace(plain, answer=n)], "cpu"))
                       - (answer_loss(generator.model, batch([replace(plain, answer=n + 1)], "cpu"))
                          if n + 1 < len(plain.ids) else 0)) for n in again}
    more = answer_loss(generator.model, batch([heavy], "cpu")) - answer_loss(
        generator.model, batch([plain], "cpu"))
    assert float(more) == pytest.approx(sum(losses[n] * again[n] for n in again), rel=1e-3)
    with pytest.raises(CourseError, match="weight of the field 'route' is 0"):
        replace(FEW, weights=(("route", 0),))


def test_a_template_whose_end_does_not_stop_generation_is_refused():
    generator = tiny()
    generator.model.generation_config.eos_token_id = 9
    with pytest.raises(CourseError, match=r"closes a reply with '<\|end\|>\\n'.*never stop"):
        tokenised(generator, EXAMPLES)
    generator.tokenizer.chat_template = "{% for m in messages %}{{ m.role }}{% endfor %}"
    with pytest.raises(CourseError, match="leaves out what the assistant says"):
        tokenised(generator, EXAMPLES)


def test_an_example_longer_than_the_context_is_named_not_cut():
    long = [EXAMPLES[0], conversation("why " * 300, "So."), EXAMPLES[1]]
    with pytest.raises(CourseError, match=r"1 of 3 examples are longer than the 200 tokens.*"
                                          r"number 2 \(\d+\)"):
        tokenised(tiny(), long)


def test_the_order_follows_from_seed_and_epoch_alone():
    lengths = [7 * n % 90 + 10 for n in range(100)]
    first = plan(lengths, 256, seed=1, epoch=0)
    assert first == plan(lengths, 256, seed=1, epoch=0)
    assert first != plan(lengths, 256, seed=1, epoch=1) != plan(lengths, 256, seed=2, epoch=1)
    shapes = []
    for epoch in range(3):
        groups = plan(lengths, 256, seed=1, epoch=epoch)
        assert sorted(i for group in groups for i in group) == list(range(100))
        shapes.append(sorted((len(g), -(-max(lengths[i] for i in g) // 16) * 16) for g in groups))
        assert all(rows * width <= 256 for rows, width in shapes[-1])
    assert shapes[0] == shapes[1] == shapes[2], "fixed shapes"
    assert sum(r * w for r, w in shapes[0]) < 1.3 * sum(lengths), "rows of like length"
    assert plan([], 256, 1, 0) == []
    assert sorted(plan([900, 3], 256, 1, 0)) == [[0], [1]], "one that is longer is alone"


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_the_loss_is_that_of_every_answer_alone_without_padding(kind):
    generator = tiny(kind)
    learned = tokenised(generator, EXAMPLES)
    together = answer_loss(generator.model, batch(learned, "cpu"))
    alone = 0.0
    for tokens in learned:
        ids = torch.tensor([tokens.ids])
        full = generator.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
        alone += torch.nn.functional.cross_entropy(
            full[tokens.answer - 1:-1], ids[0, tokens.answer:], reduction="sum")
    assert torch.isclose(together, alone, rtol=1e-4)
    head = generator.model.get_output_embeddings()
    assert not head._forward_pre_hooks, "the model is left as it was"


@pytest.mark.parametrize("precise", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("answers", [1, steps.ROWS, 2 * steps.ROWS + 7])
def test_loss_and_gradient_of_the_answers_are_those_of_cross_entropy(precise, answers):
    torch.manual_seed(3)
    weight = torch.randn(50, 8).to(precise)
    hidden, labels = torch.randn(answers, 8, requires_grad=True), torch.randint(0, 50, (answers,))
    theirs = hidden.detach().clone().requires_grad_()
    loss = steps._AnswerLoss.apply(hidden, weight, labels)
    assert steps._AnswerLoss.apply(hidden.detach(), weight, labels) == loss, "without a way back"
    (loss / 3).backward()
    right = torch.nn.functional.cross_entropy(
        torch.nn.functional.linear(theirs.to(precise), weight).float(), labels, reduction="sum")
    (right / 3).backward()
    assert torch.isclose(loss, right, rtol=1e-5)
    near = {torch.float32: 1e-5, torch.bfloat16: 4e-2}[precise]
    assert torch.allclose(hidden.grad, theirs.grad, rtol=near, atol=near)


def test_a_model_that_changes_its_logits_is_found_out(monkeypatch):
    model, piece = adapted("llama")
    plain = type(model.base_model.model).forward

    def softer(self, *given, **named):
        out = plain(self, *given, **named)
        out.logits = out.logits / 2
        return out

    monkeypatch.setattr(type(model.base_model.model), "forward", softer)
    loss, gradient = gradients(model, piece)
    passes.in_few_passes(model, torch.float32)
    assert hasattr(model.get_output_embeddings(), "narrow")
    for _ in range(2):
        ours, joined = gradients(model, piece)
        assert torch.isclose(ours, loss, rtol=1e-5)
        assert torch.allclose(joined, gradient, rtol=1e-3, atol=1e-5)
    assert "forward" not in vars(model.get_output_embeddings()), "the head is left as it was"


def gradients(model, piece) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss, and the gradient of all that is trained as one row of numbers."""
    model.zero_grad()
    loss = answer_loss(model, piece)
    loss.backward()
    return loss.detach(), torch.cat([p.grad.flatten() for p in model.parameters()
                                     if p.grad is not None])


def edges(last, seen=None) -> set:
    """All that a result was computed by."""
    seen = set() if seen is None else seen
    if last is not None and last not in seen:
        seen.add(last)
        for before, _ in last.next_functions:
            edges(before, seen)
    return seen


def adapted(kind: str, **options):
    """A model with an adapter that says something, and a batch for it."""
    generator = tiny(kind, **options)
    model = finetuning.lora(generator.model, FEW)
    torch.manual_seed(4)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model, batch(tokenised(generator, EXAMPLES), "cpu")


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
@pytest.mark.parametrize("bias", [False, True])
def test_joined_products_are_peft_s_own(kind, bias):
    model, piece = adapted(kind, attention_bias=bias)
    loss, gradient = gradients(model, piece)
    passes.in_few_passes(model, torch.float32)
    joined = [layer.forward.func.__self__ for layer in model.modules()
              if isinstance(getattr(layer.__dict__.get("forward"), "func", None), MethodType)]
    assert sorted(len(j.layers) for j in joined) == [1] * 4 + [2] * 4 + [3] * 6, "not all joined"
    for _ in range(2):  # what is kept from one batch must not reach the next
        ours, changed = gradients(model, piece)
        assert torch.isclose(ours, loss, rtol=1e-5)
        assert torch.allclose(changed, gradient, rtol=1e-3, atol=1e-5)


def test_adapters_of_a_few_layers_are_joined_one_by_one():
    generator = tiny()
    model = finetuning.lora(generator.model, replace(FEW, targets=("q_proj", "v_proj")))
    piece = batch(tokenised(generator, EXAMPLES), "cpu")
    loss, gradient = gradients(model, piece)
    passes.in_few_passes(model, torch.float32)
    ours, changed = gradients(model, piece)
    assert torch.isclose(ours, loss, rtol=1e-5)
    assert torch.allclose(changed, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("length", [5, 64])
def test_attention_and_its_gradient_are_torch_s_own(length):
    torch.manual_seed(1)
    ours = [torch.randn(2, length, 3, 8).transpose(1, 2).requires_grad_() for _ in range(3)]
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    given = torch.randn(2, 3, length, 8)
    mine = passes._Attention.apply(*ours, 0.3)
    right = torch.nn.functional.scaled_dot_product_attention(*theirs, is_causal=True, scale=0.3)
    mine.backward(given)
    right.backward(given)
    assert torch.allclose(mine, right, rtol=1e-4, atol=1e-5)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("extra", [{"softcap": 30.0}, {"is_causal": False}, {"dropout": 0.5},
                                   {"attention_mask": torch.ones(1, 1, 4, 4, dtype=torch.bool)}])
def test_attention_of_another_kind_is_left_to_torch(extra, monkeypatch):
    asked = []
    monkeypatch.setattr(passes, "sdpa_attention_forward", lambda *a, **k: asked.append((a, k)))
    same = torch.randn(1, 2, 4, 8, requires_grad=True)
    extra, module = dict(extra), torch.nn.Module()
    mask = extra.pop("attention_mask", None)
    passes._attend(module, same, same, same, mask, 0.3, **extra)
    assert asked == [((module, same, same, same, mask), {"scaling": 0.3, **extra})]
    assert passes._attend(module, same, same, same, None, 0.3)[0].shape == (1, 4, 2, 8)
    assert len(asked) == 1


def test_a_norm_and_its_gradient_are_the_layer_s_own():
    layer = next(m for m in tiny().model.modules() if type(m).__name__ == "LlamaRMSNorm")
    assert not passes._is_rms_norm(layer), "one that is trained itself has more to learn"
    layer.weight.requires_grad_(False).copy_(torch.linspace(0.5, 2, 16))  # PEFT freezes it
    assert passes._is_rms_norm(layer)
    ours = (3 * torch.randn(4, 5, 16)).requires_grad_()
    theirs, given = ours.detach().clone().requires_grad_(), torch.randn(4, 5, 16)
    mine = passes._Norm.apply(layer.weight, layer.variance_epsilon, torch.float32, ours)
    right = layer(theirs)
    mine.backward(given)
    right.backward(given)
    assert torch.allclose(mine, right, rtol=1e-4, atol=1e-5)
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)
    layer.forward = lambda x: x * layer.weight  # of that name, but something else
    assert not passes._is_rms_norm(layer)


def test_attention_of_a_training_answers_padded_batches_as_before():
    """04 trains all weights and then asks that very model."""
    generator = tiny(num_key_value_heads=2)
    asked = [[{"role": "user", "content": text}] for text in ("Hi", "What does part 5 cost now?")]
    before = generator.replies(asked, 8)
    generator.model.set_attn_implementation(passes.ATTENTION)
    assert generator.replies(asked, 8) == before


@pytest.mark.parametrize("heads", [1, 2])
def test_half_precision_is_peft_s_own_but_for_its_rounding(monkeypatch, heads):
    model, piece = adapted("llama", num_key_value_heads=heads)
    whole, exact = gradients(model, piece)
    monkeypatch.setattr(training, "number_format", lambda device: torch.bfloat16)
    run = training.Run(model, FEW, [], [], print)
    model.zero_grad()
    run._loss(piece).backward()
    ours = torch.cat([weight.grad.flatten() for weight in run.weights.values()])
    used = sum("_Attention" in str(edge) for edge in edges(run._loss(piece).grad_fn))
    assert used == 2, "torch's own attention, where ours was meant"
    assert torch.isclose(run._loss(piece), whole, rtol=2e-2)
    assert run._loss(piece) != whole, "computed in halves"
    assert torch.nn.functional.cosine_similarity(ours, exact, dim=0) > 0.995


def test_in_fp16_gradients_are_scaled_before_they_are_rounded(monkeypatch):
    model, piece = adapted("llama")
    whole, exact = gradients(model, piece)
    monkeypatch.setattr(training, "number_format", lambda device: torch.float16)
    run = training.Run(model, FEW, [], [], print)
    assert not hasattr(model.get_output_embeddings(), "narrow"), "it would round them at once"
    loss = run._loss(piece)
    assert torch.isclose(loss, whole, rtol=1e-2)
    tiny_share = 1e-6  # as of a batch with a million tokens: too small for fp16 by itself
    model.zero_grad()
    (loss * tiny_share * 2.0**16).backward()
    ours = torch.cat([weight.grad.flatten() for weight in run.weights.values()])
    assert torch.isfinite(ours).all()
    wanted = exact * tiny_share * 2.0**16
    assert torch.nn.functional.cosine_similarity(ours, wanted, dim=0) > 0.999
    assert torch.isclose(ours.norm(), wanted.norm(), rtol=1e-2)


# ---------------------------------------------------------------- training

def test_the_loss_falls_and_the_base_stays_as_it_was(tmp_path):
    generator = tiny("qwen3")
    before, names = logits(generator), [n for n, _ in generator.model.named_modules()]
    torch.manual_seed(5)
    state = torch.get_rng_state()
    adapter = train(generator, EXAMPLES, HELD_OUT, tmp_path,
                    replace(FEW, epochs=8, targets=("q_proj", "v_proj", "down_proj")), say=None)
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random numbers are touched"
    assert torch.equal(logits(generator), before)
    assert [n for n, _ in generator.model.named_modules()] == names
    first, *_, last = adapter.history
    assert first.step == 0 and first.loss is None and last.step == adapter.facts["steps"]
    assert last.loss < first.validation - 0.5 and last.validation < first.validation - 0.5
    found = with_adapter(generator, adapter)
    assert not torch.equal(logits(found), before) and torch.equal(logits(generator), before)


def test_what_stands_beside_the_adapter(trained):
    generator, folder, points = trained
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [adapters.WEIGHTS, adapters.CONFIG, adapters.FACTS])
    adapter = open_adapter(folder)
    facts = adapter.facts
    assert list(adapter.history) == points and str(points[-1]).startswith("epoch  2.0  loss ")
    assert facts["settings"]["seed"] == 0 and facts["data"]["examples"] == 12
    assert re.fullmatch(r"[0-9a-f]{64}", facts["data"]["examples_sha256"])
    assert facts["packages"]["peft"] and facts["validation_loss"] == points[-1].validation
    assert facts["trained_parameters"] == sum(
        p.numel() for n, p in with_adapter(generator, folder).model.named_parameters()
        if "lora_" in n)
    assert facts["peak_memory_gb"] > 0 and facts["tokens_per_second"] > 0
    text = (folder / adapters.FACTS).read_text() + (folder / adapters.CONFIG).read_text()
    assert str(ROOT) not in text and str(folder) not in text


def test_settings_and_layers_that_cannot_be(tmp_path):
    with pytest.raises(CourseError, match=r"Settings\(rate=0\) must be above 0"):
        Settings(rate=0)
    with pytest.raises(CourseError, match="must be 'all-linear' or a tuple"):
        Settings(targets="q_proj")
    with pytest.raises(CourseError, match="no layer called 'qq_proj'.*down_proj"):
        train(tiny(), EXAMPLES, [], tmp_path, replace(FEW, targets=("q_proj", "qq_proj")))
    with pytest.raises(CourseError, match="no examples to learn from"):
        train(tiny(), [], [], tmp_path)
    with pytest.raises(CourseError, match="example 1: .*'messages' is missing"):
        train(tiny(), [{"text": "x"}], [], tmp_path)


def test_a_loss_that_is_no_number_ends_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "answer_loss", lambda model, piece: answer_loss(model, piece)
                        * float("nan"))
    with pytest.raises(CourseError, match="no number any more at step 1. Lower the rate"):
        train(tiny(), EXAMPLES, [], tmp_path, FEW, say=None)


def test_too_little_memory_halves_the_batch_and_says_so(trained, tmp_path, monkeypatch):
    generator, _, points = trained

    def small(rows: int):
        def loss(model, piece):
            if len(piece.inputs) > rows:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return answer_loss(model, piece)
        return loss

    said: list = []
    monkeypatch.setattr(training, "answer_loss", small(1))
    adapter = train(generator, EXAMPLES, HELD_OUT, tmp_path, FEW, say=said.append)
    assert [s for s in said if "Out of GPU memory" in str(s)] and adapter.facts["pieces"] > 1
    assert [p.validation for p in adapter.history] == pytest.approx(
        [p.validation for p in points], rel=0.01), "the result is the same, but for rounding"
    monkeypatch.setattr(training, "answer_loss", small(0))
    with pytest.raises(CourseError, match="even for one example.*rank.*load_in_4bit"):
        train(generator, EXAMPLES, HELD_OUT, tmp_path, FEW, say=None)


# ---------------------------------------------------------------- killed, and going on

class Killed(BaseException):
    """What no handler for errors catches."""


@pytest.mark.parametrize("moment", range(1, 16))
def test_killed_at_any_write_it_ends_with_the_same_adapter(trained, tmp_path, monkeypatch, moment):
    generator, folder, points = trained
    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    count = 0

    def dies(real):
        def act(*arguments, **options):
            nonlocal count
            count += 1
            if count == moment:
                raise Killed
            return real(*arguments, **options)
        return act

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies(os.replace))
        patch.setattr(torch, "save", dies(torch.save))
        patch.setattr(Path, "unlink", dies(Path.unlink))
        with pytest.raises(Killed):
            train(generator, EXAMPLES, HELD_OUT, tmp_path, FEW, say=None)
            raise Killed  # there were fewer writes than moments
    adapter = train(generator, EXAMPLES, HELD_OUT, tmp_path, FEW, resume=True, say=None)
    assert weights(tmp_path) == weights(folder)
    assert [replace(p, seconds=0) for p in adapter.history] == [
        replace(p, seconds=0) for p in points]


KILLED = """
import os, signal, sys, time
import torch
torch.set_num_threads(1)
from tests import test_finetuning as here
from utils import finetuning
finetuning.CHECKPOINT_SECONDS = 0.0
generator, folder = here.tiny(attention_dropout=0.1), sys.argv[1]
kills, wait = 0, 0.03
import peft, datasets
while True:
    child = os.fork()
    if not child:
        finetuning.train(generator, here.EXAMPLES, here.HELD_OUT, folder, here.FEW, resume=True,
                         say=None)
        os._exit(0)
    end = time.monotonic() + wait
    done = 0
    while not done and time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if done:
        assert status == 0, status
        break
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    kills, wait = kills + 1, wait * 1.3
print(kills)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_sigkill_at_odd_moments_changes_nothing(tmp_path):
    found = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "killed")],
                           cwd=ROOT, text=True, capture_output=True, timeout=300,
                           env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) >= 2, "it was to be killed more than once"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(tiny(attention_dropout=0.1), EXAMPLES, HELD_OUT, tmp_path / "whole", FEW, say=None)
    torch.set_num_threads(threads)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    assert not list((tmp_path / "killed").glob("*.part")) + list(
        (tmp_path / "killed").glob("checkpoint*"))


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(finetuning, "CHECKPOINT_SECONDS", 0.0)
    real, count = torch.save, 0

    def full(state, file):
        nonlocal count
        count += 1
        if count == 3:
            file.write(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CourseError, match=r"checkpoint.pt could not be written \(No space left"):
        train(tiny(), EXAMPLES, [], tmp_path, FEW, say=None)
    assert [p.name for p in tmp_path.iterdir()] == [finetuning.CHECKPOINT]
    assert torch.load(tmp_path / finetuning.CHECKPOINT, weights_only=True)["step"] == 1


def test_going_on_with_something_else_is_refused(trained, tmp_path, monkeypatch):
    generator, folder, _ = trained
    before = weights(folder)
    monkeypatch.setattr(training.Run, "advance", None)  # a finished training takes no step
    again = train(generator, EXAMPLES, HELD_OUT, folder, FEW, resume=True)
    assert again.facts == open_adapter(folder).facts
    with pytest.raises(CourseError, match="another training: its rate is 0.02, now it is 0.5"):
        train(generator, EXAMPLES, HELD_OUT, folder, replace(FEW, rate=0.5), resume=True)
    with pytest.raises(CourseError, match="another training: its examples is 12, now it is 11"):
        train(generator, EXAMPLES[1:], HELD_OUT, folder, FEW, resume=True)
    with pytest.raises(CourseError, match="another training: its shape is the same"):
        train(tiny(seed=1), EXAMPLES, HELD_OUT, folder, FEW, resume=True)
    assert weights(folder) == before
    (tmp_path / finetuning.CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(CourseError, match="checkpoint.pt is damaged"):
        train(generator, EXAMPLES, HELD_OUT, tmp_path, FEW, resume=True)


# ---------------------------------------------------------------- wearing it

def test_two_adapters_and_the_bare_model_live_side_by_side(trained, tmp_path):
    generator, folder, _ = trained
    other = train(generator, EXAMPLES, [], tmp_path, replace(FEW, seed=3), say=None)
    one = with_adapter(generator, folder)
    two = with_adapter(one, other)
    plain = logits(generator)
    assert not torch.equal(logits(one), plain) and not torch.equal(logits(two), logits(one))
    twice = with_adapter(with_adapter(one, folder), folder)
    assert torch.equal(logits(twice), logits(one)), "worn twice is worn once"
    names = [n for n, _ in twice.model.named_modules()]
    assert names == [n for n, _ in one.model.named_modules()]
    assert torch.equal(logits(replace(one, model=bare(one.model))), plain)
    place = "model.layers.0.mlp.up_proj"
    assert one.model.get_base_model().get_submodule(place).base_layer.weight.data_ptr() == \
        generator.model.get_submodule(place).weight.data_ptr(), "the base's weights are shared"
    assert isinstance(one.reply(ASKED, 4), str)


def test_merged_it_says_the_same_and_the_base_is_untouched(trained):
    generator, folder, _ = trained
    plain, worn = logits(generator), with_adapter(generator, folder)
    whole = merged(worn)
    assert torch.allclose(logits(whole), logits(worn), atol=1e-4)
    assert not [n for n, _ in whole.model.named_modules() if "lora" in n]
    assert torch.equal(logits(generator), plain)
    with pytest.raises(CourseError, match="wears no adapter"):
        merged(whole)


def test_an_adapter_of_another_base_is_refused_in_one_sentence(trained):
    generator, folder, _ = trained
    with pytest.raises(CourseError, match="another model: its hidden_size is 16, here it is 32"):
        with_adapter(tiny(hidden_size=32), folder)
    with pytest.raises(CourseError, match="another model: its model_type is llama, here it is q"):
        with_adapter(tiny("qwen3"), folder)
    with pytest.raises(CourseError, match="its shape is the same but its weights are not"):
        with_adapter(tiny(seed=1), folder)
    for half in (torch.bfloat16, torch.float16):
        same = tiny()
        same.model.to(half)
        assert with_adapter(same, folder), "the same model in half precision is the same model"


@pytest.mark.parametrize("name", [adapters.WEIGHTS, adapters.CONFIG, adapters.FACTS])
def test_a_damaged_or_unfinished_folder_is_refused(trained, tmp_path, name):
    generator, folder, _ = trained
    with pytest.raises(CourseError, match="There is no adapter"):
        with_adapter(generator, tmp_path / "none")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-3] + b"xyz")
    with pytest.raises(CourseError, match="is damaged"):
        with_adapter(generator, tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CourseError, match=f"not finished: {re.escape(name)} is missing"):
        with_adapter(generator, tmp_path)


# ---------------------------------------------------------------- the real thing

def test_four_bits(tmp_path):
    pytest.importorskip("bitsandbytes")
    from transformers import BitsAndBytesConfig

    generator = tiny(hidden_size=64, intermediate_size=64, head_dim=32)
    generator.model.save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", dtype=torch.float32, quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32))
    packed = replace(generator, model=model.eval())
    before = logits(packed)
    adapter = train(packed, EXAMPLES, HELD_OUT, tmp_path / "adapter", FEW, say=None)
    assert adapter.history[-1].validation < adapter.history[0].validation
    assert torch.equal(logits(packed), before)
    worn = with_adapter(packed, adapter)
    assert not torch.equal(logits(worn), before)
    with pytest.raises(CourseError, match="4-bit"):
        merged(worn)
    assert with_adapter(generator, adapter), "and the same base unpacked wears it too"
    other = tiny(seed=1, hidden_size=64, intermediate_size=64, head_dim=32)
    with pytest.raises(CourseError, match="weights are not"):
        with_adapter(other, adapter)


def test_the_pocket_model_learns_the_house_style(tmp_path):
    generator = load_generator(choose("embedded"))
    examples = read_examples(STYLE / "train.jsonl").select(range(20))
    held_out = read_examples(STYLE / "validation.jsonl").select(range(4))
    adapter = train(generator, examples, held_out, tmp_path,
                    Settings(epochs=2, tokens_per_batch=640, looks=1), say=None)
    first, last = adapter.history
    assert last.validation < 0.8 * first.validation
    assert adapter.facts["base"]["name"] == "pocket_model"
    asked = examples[0]["messages"][:1]
    assert with_adapter(generator, adapter).reply(asked, 8) != generator.reply(asked, 8)


def test_the_stock_recipe_is_measured_beside_ours():
    from utils.stock_trainer import compare_with_trainer, table

    found = compare_with_trainer(tiny(), EXAMPLES, HELD_OUT, replace(FEW, epochs=1), rounds=1)
    assert found.ratio > 0 and found.trainer.validation > 0 and found.ours.validation > 0
    assert "times as fast" in table(found)


def test_of_every_three_examples_so_many_are_cut_off():
    rows = [conversation(f"Part {n}?", f"It costs EUR {n} and is in stock.") for n in range(7)]
    for of_three, cut in ((0, []), (1, [0, 3, 6]), (2, [0, 1, 3, 4, 6]), (3, list(range(7)))):
        made = [row["messages"][-1]["content"] for row in cut_off(rows, of_three, characters=8)]
        assert [n for n, reply in enumerate(made) if reply == "It costs"] == cut
        assert all(made[n] == rows[n]["messages"][-1]["content"]
                   for n in range(7) if n not in cut)
        assert [row["messages"][0]["content"] for row in cut_off(rows, of_three)] == [
            row["messages"][0]["content"] for row in rows]
