"""The model in the box is what its card says: small, stock, offline, and its own tokenizer."""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from utils import generation, guessing
from utils.chunking import Chunk
from utils.generation import Generator, llama_index_llm
from utils.guessing import Guesses
from utils.loading import load_generator
from utils.profiles import POCKET_MODEL, choose
from utils.prompts import closed_book, grounded

SHELF = [Chunk("pool", "Pool rules", ("Hours",), 0, 24, "The pool opens at 7:30."),
         Chunk("cafe", "Café", (), 0, 36, "Dogs are welcome on the terrace.")]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(choose("embedded"))


def test_it_is_small_and_in_half_precision():
    files = [p for p in POCKET_MODEL.iterdir() if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 40e6
    with safe_open(POCKET_MODEL / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(k).get_dtype() for k in weights.keys()} == {"F16"}  # noqa: SIM118
    assert not list(POCKET_MODEL.glob("*.py")), "a stock architecture needs no code"


def test_it_loads_from_the_path_alone(generator):
    model = AutoModelForCausalLM.from_pretrained(POCKET_MODEL, dtype=torch.float32)
    assert sum(p.numel() for p in model.parameters()) <= 20_000_000
    config = json.loads((POCKET_MODEL / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] in {"llama", "qwen3"} and "auto_map" not in config
    assert config["max_position_embeddings"] >= 1536 and config["tie_word_embeddings"]


def test_its_tokenizer_is_cased_and_reads_digits_one_by_one():
    tokenizer = AutoTokenizer.from_pretrained(POCKET_MODEL)
    assert 8_000 <= len(tokenizer) <= 16_400
    assert [t for t in tokenizer.tokenize("2026") if t.strip("Ġ ")] == list("2026")
    for text in ("Refund of EUR 1,250.00 by 14:30.", "Größe 12 °C – naïve 日本 🙂", "  a\n\tb "):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_its_chat_template_knows_three_roles():
    tokenizer = AutoTokenizer.from_pretrained(POCKET_MODEL)
    turns = [{"role": r, "content": r.upper()} for r in ("system", "user", "assistant")]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text.index("SYSTEM") < text.index("USER") < text.index("ASSISTANT")
    assert text.rstrip().endswith("<|end|>")
    asked = tokenizer.apply_chat_template(turns[:2], tokenize=False, add_generation_prompt=True)
    assert asked.rstrip().endswith("<|assistant|>")


def test_batched_replies_are_those_of_one_by_one(generator):
    asked = [closed_book(q) for q in ("What does it cost?", "Who repairs it, and where, and how "
                                      "long must I wait?", "when")]
    together = generator.replies(asked, 24)
    alone = [generator.reply(a, 24) for a in asked]
    assert together == alone
    assert generator.replies(asked, 24) == together


def test_one_loop_of_its_own_says_what_the_librarys_says(generator):
    asked = [grounded("Dogs?", SHELF), *map(closed_book, ("Where is Spain?", "What is it, and why "
                                                          "on Sundays?", "Who?"))]
    said = generator.replies(asked, 24)
    for messages, reply in zip(asked, said, strict=True):
        ids = torch.tensor([generator.tokenizer(generator.prompt(messages))["input_ids"]])
        out = generator.model.generate(ids, max_new_tokens=24, do_sample=False)
        assert reply == generator.tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)
    assert len({len(generator.tokenizer(reply)["input_ids"]) for reply in said}) > 1


def test_guessing_what_is_copied_changes_no_reply_and_saves_steps(generator, monkeypatch):
    asked = [grounded(q, SHELF) for q in ("When does the pool open?", "Dogs?", "Is it open on "
                                          "Sundays, and may I bring my dog to the terrace?")]
    steps, read = [], generator.model.forward

    def counted(*given, **more):
        steps.append(1)
        return read(*given, **more)

    monkeypatch.setattr(generator.model, "forward", counted)
    said = {}
    for guessed in (0, 1, 10):
        monkeypatch.setattr(guessing, "GUESSED", guessed)
        steps.clear()
        said[guessed] = generator.replies(asked, 40), len(steps)
    assert said[0][0] == said[1][0] == said[10][0]
    assert said[10][1] < 0.6 * said[0][1]


def test_what_followed_the_same_words_is_guessed_to_follow_again():
    guesses = Guesses([1, 2, 3, 4, 5, 6, 2, 3])
    assert guesses.next(2) == [4, 5] and guesses.next(0) == []
    guesses.read([9])
    assert guesses.next(5) == []
    guesses.read([2, 3])
    assert guesses.next(5) == [9, 2, 3]  # what came last comes first to mind
    heard = Guesses([7, 8, 6, 5])
    assert Guesses([1, 7, 8], heard).next(5) == [6, 5]
    assert Guesses([2], heard).next(5) == []


def test_the_stream_says_what_the_reply_says(generator):
    asked = closed_book("How long is the warranty?")
    assert "".join(generator.stream(asked, 24)).strip() == generator.reply(asked, 24)


def test_llama_index_gets_the_courses_model_and_nothing_else(generator):
    llm = llama_index_llm(generator, 16)
    question = "How long is the warranty?"
    assert llm.complete(question).text == generator.reply(closed_book(question), 16)
    assert llm.metadata.is_chat_model
    assert "".join(p.delta for p in llm.stream_complete(question)).strip() == \
        generator.reply(closed_book(question), 16)


def test_a_question_longer_than_the_context_is_cut_not_crashed(generator):
    assert isinstance(generator.reply(closed_book("why " * 4000), 8), str)


def test_a_common_opening_is_read_once_and_changes_no_reply(generator, monkeypatch):
    rules = "Answer in the words of the passage, and name its number in brackets. " * 6
    asked = [[{"role": "system", "content": rules}, *grounded(q, SHELF)[1:]]
             for q in ("When does the pool open?", "May I bring my dog to the terrace, please?",
                       "Dogs?")]
    lengths = []
    read = generator.model.forward
    monkeypatch.setattr(generator.model, "forward", lambda *a, **k: (
        lengths.append(tuple(k["input_ids"].shape)), read(*a, **k))[1])
    together = generator.replies(asked, 16)
    opening = lengths[0]
    assert opening[0] == 1 and opening[1] > 48  # the rules, for all three
    assert max(width for rows, width in lengths if rows == 3) < min(
        generator.count_tokens(a) for a in asked)
    monkeypatch.setattr(generation, "SHARED", 10_000)
    assert generator.replies(asked, 16) == together == [generator.reply(a, 16) for a in asked]
