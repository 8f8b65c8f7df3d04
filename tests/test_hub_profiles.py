"""The profiles cpu, t4 and gpu, through their real loading code, on models of a few kilobytes.

The models are made here, with random weights, in the architectures of the hub's: a Qwen3 decoder
with a chat template that knows `enable_thinking`, a BERT embedder of another dimension than the
offline one, and a cross-encoder, BERT for t4 and XLM-RoBERTa for gpu. Only the ids differ.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from utils import asking, loading, profiles
from utils.__main__ import main
from utils.assistant import system
from utils.chunking import Chunk
from utils.documents import CourseError, Document
from utils.embedding import embed, load_embedder
from utils.index import build
from utils.loading import four_bits, load_generator, precision
from utils.profiles import PROFILES, choose
from utils.prompts import closed_book, grounded
from utils.reranking import CloseReading, CrossReader, load_reranker

PAGES = {
    "pool": "# Pool rules\n\nThe pool opens at 7:30. It closes at dusk.\n\nCaps cost EUR 4.\n",
    "gym": "# Gym\n\nTowels are required on every machine.\n\nFault RX-44: the belt has slipped.\n",
    "cafe": "# Café\n\nSoup of the day costs EUR 6. Dogs are welcome on the terrace.\n",
}
DOCUMENTS = [Document(name, name.title(), text.split("\n", 2)[2]) for name, text in PAGES.items()]
QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:-?"
SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 96}
HUB = ("cpu", "t4", "gpu")


def make_qwen(folder: Path) -> str:
    """A Qwen3 decoder with its tokenizer; bf16 and sampling by default, as the hub's are."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.train_from_iterator(PAGES.values(), trainers.BpeTrainer(
        vocab_size=360, show_progress=False, special_tokens=["<|endoftext|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    learned = json.loads(bpe.to_str())["model"]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab=learned["vocab"], merges=[tuple(m) for m in learned["merges"]],
        eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=["<|im_start|>"])
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(folder)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer), head_dim=24, num_key_value_heads=1, tie_word_embeddings=True,
        max_position_embeddings=2048, **SMALL, **ends)
    model = transformers.Qwen3ForCausalLM(config).to(torch.bfloat16)
    model.generation_config = transformers.GenerationConfig(
        do_sample=True, temperature=0.6, top_k=20, top_p=0.95, **ends)
    model.save_pretrained(folder)
    return str(folder)


def make_bert(folder: Path, kind: type, **options) -> str:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + c for c in LETTERS)]
    tokenizer = transformers.BertTokenizer(vocab={word: n for n, word in enumerate(words)},
                                           model_max_length=512)
    tokenizer.save_pretrained(folder)
    kind(transformers.BertConfig(vocab_size=len(words), **SMALL, **options)).save_pretrained(folder)
    return str(folder)


def make_embedder(folder: Path) -> str:
    """As bge is put together: BERT, the first token's vector, length one."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    body = Transformer(make_bert(folder / "body", transformers.BertModel), max_seq_length=512)
    whole = folder / "whole"
    SentenceTransformer(modules=[body, Pooling(SMALL["hidden_size"], "cls"), Normalize()],
                        device="cpu").save(str(whole))
    return str(whole)


def make_roberta(folder: Path) -> str:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0),
              *((letter, -3.0) for letter in LETTERS), ("<mask>", 0.0)]
    tokenizer = transformers.XLMRobertaTokenizer(vocab=pieces, model_max_length=512)
    tokenizer.save_pretrained(folder)
    transformers.XLMRobertaForSequenceClassification(transformers.XLMRobertaConfig(
        vocab_size=len(pieces), max_position_embeddings=514, type_vocab_size=1, num_labels=1,
        pad_token_id=1, **SMALL)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, str]:
    """The four models' folders."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("hub")
    return {"qwen": make_qwen(root / "qwen"), "embedder": make_embedder(root / "embedder"),
            "bert": make_bert(root / "bert", transformers.BertForSequenceClassification,
                              num_labels=1),
            "roberta": make_roberta(root / "roberta")}


@pytest.fixture(autouse=True)
def hub(models, monkeypatch):
    """The profiles with their ids exchanged, and nothing else."""
    rerankers = {"cpu": None, "t4": models["bert"], "gpu": models["roberta"]}
    for name, reranker in rerankers.items():
        monkeypatch.setitem(PROFILES, name, replace(
            PROFILES[name], generator=models["qwen"], embedder=models["embedder"],
            reranker=reranker))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("COURSE_GENERATOR", raising=False)


@pytest.fixture
def graphics_card(monkeypatch):
    """The profile check is told of a GPU; the loading code still sees what there is."""
    monkeypatch.setattr(profiles, "_has_gpu", lambda: True)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Three documents and a question file; the commands keep their indexes beside them."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in PAGES.items():
        (docs / f"{name}.md").write_text(text, encoding="utf-8")
    (tmp_path / "questions.jsonl").write_text(
        '{"id": "a", "question": "Fault RX-44?", "answers": ["belt"], "source": "gym"}\n'
        '{"id": "b", "question": "Do you rent skis?", "answers": []}\n', encoding="utf-8")
    monkeypatch.setattr(asking, "ROOT", tmp_path)
    monkeypatch.setattr("utils.environment.ensure", lambda: None)
    return tmp_path


# ---------------------------------------------------------------- end to end


@pytest.mark.parametrize("name", HUB)
def test_a_profile_answers_from_three_documents(name, graphics_card):
    profile = choose(name)
    assistant = system("rag", DOCUMENTS, profile)
    answers = assistant.answers(["Fault RX-44?", "How much is the soup?"])
    retriever = assistant.retriever
    assert retriever.index.vectors.shape == (7, SMALL["hidden_size"])
    assert isinstance(retriever.reranker, CrossReader if profile.reranker else CloseReading)
    assert assistant.generator.batch == profile.batch
    for answer in answers:
        assert set(answer.seconds) == {"retrieval", "generation"}
        assert answer.hits or not profile.reranker  # only the offline reranker cuts off
        assert [h.score for h in answer.hits] == sorted((h.score for h in answer.hits),
                                                        reverse=True)
        assert all(np.isfinite(h.score) and isinstance(h.score, float) for h in answer.hits)
    if profile.reranker:
        assert len(answers[0].hits) == 6  # k, with no cut-off


@pytest.mark.parametrize("name", HUB)
def test_ask_and_exam_run_under_a_hub_profile(name, folder, graphics_card, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROFILE", name)
    assert main(["ask", "Fault RX-44?", "--docs", str(folder / "docs")]) == 0
    assert capsys.readouterr().out.strip()
    assert main(["ask", "Fault RX-44?", "--docs", str(folder / "docs"), "--trace"]) == 0
    printed = capsys.readouterr().out
    assert "belt has slipped" in printed or name == "cpu"
    assert "generation" in printed
    out = folder / "out.json"
    assert main(["exam", "--docs", str(folder / "docs"), "--questions",
                 str(folder / "questions.jsonl"), "--json", str(out)]) == 0
    result = json.loads(out.read_text(encoding="utf-8"))
    assert [q["id"] for q in result["questions"]] == ["a", "b"]
    assert set(result["metrics"]["facts"]) == {"value", "low", "high", "n"}


@pytest.mark.parametrize("name", ["t4", "gpu"])
def test_a_profile_of_a_gpu_is_refused_without_one(name, monkeypatch):
    monkeypatch.setattr(profiles, "_has_gpu", lambda: False)
    with pytest.raises(CourseError, match="needs an NVIDIA GPU"):
        choose(name)


# ---------------------------------------------------------------- the generator


@pytest.fixture
def generator():
    return load_generator(PROFILES["cpu"])


def test_the_generator_is_whole_precision_on_a_cpu_and_greedy(generator):
    assert type(generator.model).__name__ == "Qwen3ForCausalLM"
    assert generator.model.dtype == torch.float32 or torch.cuda.is_available()
    asked = closed_book("When does the pool open?")
    assert generator.reply(asked, 12) == generator.reply(asked, 12)


def test_thinking_is_switched_off_in_the_template(generator):
    text = generator.prompt(closed_book("when"))
    assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_batches_pad_on_the_left(generator):
    asked = [closed_book(q) for q in ("soup", "When does the pool open, and how much is a cap?",
                                      "dogs?")]
    assert generator.replies(asked, 12) == [generator.reply(a, 12) for a in asked]


def test_the_stream_says_what_the_reply_says(generator):
    asked = closed_book("soup")
    assert "".join(generator.stream(asked, 12)).strip() == generator.reply(asked, 12)


def test_a_model_of_the_hub_is_held_to_a_schema_too(generator):
    schema = {"type": "object", "properties": {
        "reply": {"type": "string"}, "route": {"enum": ["orders", "returns"]},
        "sources": {"type": "array", "items": {"type": "string"}}}}
    shown = [Chunk("KB-1", "Bells", (), 0, 9, "A bell costs EUR 9.")]
    held = replace(generator, schema=schema)
    said = held.replies([grounded(q, shown) for q in ("bell?", "and a lamp, please?")], 60,
                        passages=[shown, shown])
    for reply in map(json.loads, said):
        assert list(reply) == ["reply", "route", "sources"] and reply["reply"]
        assert reply["route"] in ("orders", "returns") and reply["sources"] in ([], ["KB-1"])


def test_a_stream_that_fails_says_so_and_does_not_wait(generator, monkeypatch):
    def fail(**_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(generator.model, "generate", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        list(generator.stream(closed_book("soup"), 12))


# ---------------------------------------------------------------- precision and place


class Loaded(Exception):
    """Ends a load before anything is read; carries what it was asked for."""


@pytest.fixture
def options(monkeypatch):
    """What `load_generator` asks of transformers, without loading it."""
    def load(name, **asked):
        raise Loaded(asked)

    def asked_for(profile) -> dict:
        monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", load)
        with pytest.raises(Loaded) as caught:
            load_generator(profile)
        return caught.value.args[0]

    return asked_for


def cuda(monkeypatch, bf16: bool | None) -> None:
    """A machine with a GPU that computes in bf16, one that only emulates it, or none."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bf16 is not None)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported",
                        lambda including_emulation=True: including_emulation or bool(bf16))


@pytest.mark.parametrize("bf16, wanted", [(True, torch.bfloat16), (False, torch.float16)])
def test_half_precision_is_what_the_gpu_computes_in(bf16, wanted, monkeypatch, options):
    cuda(monkeypatch, bf16)
    assert precision() == wanted
    asked = options(PROFILES["t4"])
    assert asked["dtype"] == wanted and asked["device_map"] == {"": 0}
    assert "quantization_config" not in asked


def test_the_cpu_profile_stays_on_the_cpu_where_there_is_a_gpu(monkeypatch, options):
    cuda(monkeypatch, True)
    asked = options(PROFILES["cpu"])
    assert asked == {"dtype": torch.float32}


@pytest.mark.parametrize("bf16, wanted", [(True, torch.bfloat16), (False, torch.float16)])
def test_four_bits_are_nf4(bf16, wanted, monkeypatch, options):
    cuda(monkeypatch, bf16)
    monkeypatch.setattr(loading, "find_spec", lambda name: name)
    config = options(replace(PROFILES["t4"], load_in_4bit=True))["quantization_config"]
    assert isinstance(config, transformers.BitsAndBytesConfig)
    assert config.load_in_4bit and config.bnb_4bit_quant_type == "nf4"
    assert config.bnb_4bit_use_double_quant and config.bnb_4bit_compute_dtype == wanted


@pytest.mark.parametrize("bf16, sentence", [
    (None, "needs an NVIDIA GPU and this machine shows none"),
    (True, "needs the package bitsandbytes. Install it with"),
])
def test_four_bits_that_cannot_be_had_are_one_sentence(bf16, sentence, monkeypatch):
    cuda(monkeypatch, bf16)
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match=sentence) as problem:
        four_bits()
    assert "16 bits" in str(problem.value) and "\n" not in str(problem.value)


def test_embedder_and_reranker_go_to_the_gpu_or_stay_on_the_cpu(models, monkeypatch):
    import sentence_transformers

    placed = []
    for name in ("SentenceTransformer", "CrossEncoder"):
        monkeypatch.setattr(sentence_transformers, name,
                            lambda path, device=None: placed.append(device))
    for bf16 in (True, None):
        cuda(monkeypatch, bf16)
        load_embedder.__wrapped__(models["embedder"])
        load_reranker.__wrapped__(models["bert"])
    assert placed == ["cuda", "cuda", "cpu", "cpu"]  # never a Mac's GPU by itself


# ---------------------------------------------------------------- embedder and reranker


def test_the_embedder_has_its_own_dimension_and_an_index_keeps_to_it(models, tmp_path):
    from utils.chunking import by_sentence
    from utils.index import load, save

    own = load_embedder(models["embedder"])
    vectors = embed(["soup", "a longer text about the pool"], own)
    assert vectors.shape == (2, 48) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    index = build(DOCUMENTS, by_sentence, own)
    assert index.embedder.startswith("bert-48-")
    path = save(index, tmp_path / "a.npz")
    assert load(path, own).embedder == index.embedder
    with pytest.raises(CourseError, match="was made with the embedder bert-48-"):
        load(path)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_cross_encoder_scores_groups_of_any_size(models, kind):
    reader = load_reranker(models[kind])
    texts = [["the pool opens"], ["soup", "dogs", "towels " * 400], ["belt", "cap"]]
    scores = reader.scores(["when", "what", "why"], texts)
    assert [s.shape for s in scores] == [(1,), (3,), (2,)]
    alone = reader.scores(["what"], [texts[1]])[0]
    assert np.allclose(alone, scores[1], atol=1e-4)
    assert reader.none is None


# ---------------------------------------------------------------- nothing stored, no network


def test_no_stored_model_and_no_network_is_one_sentence(folder, graphics_card, monkeypatch,
                                                        capsys):
    monkeypatch.setitem(PROFILES, "cpu", replace(PROFILES["cpu"], generator="nobody/no-model"))
    monkeypatch.setenv("COURSE_PROFILE", "cpu")
    assert main(["ask", "why?", "--docs", str(folder / "docs")]) == 2
    told = capsys.readouterr().err
    assert "nobody/no-model is not stored here and HF_HUB_OFFLINE=1 forbids its download" in told
    assert "COURSE_PROFILE=embedded" in told and len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("load, what", [
    (lambda: load_generator(replace(PROFILES["cpu"], generator="nobody/no-model")), "model"),
    (lambda: load_embedder("nobody/no-model"), "embedder"),
    (lambda: load_reranker("nobody/no-model"), "reranker"),
])
def test_a_model_that_cannot_be_loaded_is_one_sentence(load, what):
    with pytest.raises(CourseError) as problem:
        load()
    told = str(problem.value)
    assert told.startswith(f"The {what} nobody/no-model could not be loaded: ")
    assert "'embedded' needs no download" in told and "\n" not in told
