"""Retrieval graded on characters: every figure here was worked out by hand first."""

import sys
from dataclasses import replace
from math import log2
from pathlib import Path

import numpy as np
import pytest

from utils import coverage
from utils.chunking import (
    Chunk,
    by_heading,
    by_meaning,
    by_sentence,
    by_tokens,
    in_sections,
    in_windows,
)
from utils.documents import CourseError, Document
from utils.embedding import load_embedder
from utils.exam import Question, compare
from utils.exercises import chunking_and_retrieval as exercises

ROOT = Path(__file__).resolve().parents[1]
TEXT = "0123456789" * 10  # 100 characters, so that a span is easy to check by eye
PAGES = [Document("a", "A", TEXT), Document("b", "B", TEXT)]
POOL = Document("pool", "Pool rules", (
    "Bring a towel. Showers are free.\n\n## Hours\n\nThe pool opens at 7:30. It closes at dusk."
    "\n\n### In winter\n\nIt opens at 9. Fog closes it."))


def chunk(start: int, end: int, document: str = "a", text: str = "w") -> Chunk:
    return Chunk(document, document.upper(), (), start, end, text)


def asked(**fields) -> Question:
    return Question(**{"id": "q", "question": "?", "answers": (("x",),)} | fields)


ONE = [("a", 20, 40)]
TWO = [("a", 20, 40), ("b", 0, 10)]


@pytest.mark.parametrize("gold, chunks, expected", [
    # exactly the span
    (ONE, [chunk(20, 40)], {"recall": 1, "precision": 1, "iou": 1, "hit": 1, "mrr": 1, "ndcg": 1}),
    # 20 characters of 50 delivered; nothing is missing, so IoU is the precision
    (ONE, [chunk(0, 50)], {"recall": 1, "precision": .4, "iou": .4, "ndcg": 1}),
    # a quarter: 5 of 20 found, 15 delivered, and a quarter is not held
    (ONE, [chunk(10, 25)], {"recall": .25, "precision": 5 / 15, "iou": 5 / 30, "hit": 0, "mrr": 0,
                            "ndcg": .25}),
    # cut in two, halves at ranks 1 and 2
    (ONE, [chunk(0, 30), chunk(30, 60)],
     {"recall": 1, "precision": 20 / 60, "iou": 20 / 60, "hit": 1, "mrr": 1,
      "ndcg": .5 + .5 / log2(3)}),
    # the same characters twice are found once and paid for twice
    (ONE, [chunk(20, 40), chunk(20, 40)], {"recall": 1, "precision": .5, "iou": .5, "ndcg": 1}),
    # second place
    (ONE, [chunk(60, 80), chunk(20, 40)], {"mrr": .5, "ndcg": 1 / log2(3), "precision": .5}),
    # the same place in another document is worth nothing
    (ONE, [chunk(20, 40, "b")], {"recall": 0, "precision": 0, "iou": 0, "hit": 0, "mrr": 0,
                                 "ndcg": 0, "document": 0}),
    (ONE, [], {"recall": 0, "precision": 0, "iou": 0, "hit": 0, "document": 0, "words": 0}),
    # two documents: 20 of 30 characters, one of two spans, one of two documents
    (TWO, [chunk(20, 40)], {"recall": 20 / 30, "precision": 1, "iou": 20 / 30, "hit": 0, "mrr": 1,
                            "ndcg": 1 / (1 + 1 / log2(3)), "document": 0}),
    (TWO, [chunk(0, 10, "b"), chunk(20, 40)], {"recall": 1, "iou": 1, "hit": 1, "ndcg": 1,
                                               "document": 1}),
    (TWO, [chunk(90, 95, "b"), chunk(20, 40)], {"recall": 20 / 30, "precision": 20 / 25,
                                                "iou": 20 / 35, "hit": 0, "document": 1}),
])
def test_grades_as_worked_out_by_hand(gold, chunks, expected):
    found = coverage.grades(gold, chunks)
    assert set(found) == set(coverage.METRICS)
    assert {m: found[m] for m in expected} == pytest.approx(expected)
    assert all(0 <= found[m] <= 1 for m in coverage.METRICS if m != "words")


def test_a_chunk_that_holds_both_spans_is_no_better_than_perfect():
    assert coverage.grades([("a", 0, 5), ("a", 10, 15)], [chunk(0, 20)])["ndcg"] == 1


def test_words_are_those_that_a_model_would_read():
    assert coverage.grades(ONE, [chunk(0, 9, text="one two three"), chunk(9, 12, text="four")]
                           )["words"] == 4


def test_gold_spans_are_where_the_quotes_stand():
    question = asked(source=("pool", "a"), quote=("It closes at dusk.", "789012"))
    (name, start, end), second = coverage.gold_spans(question, [POOL, *PAGES])
    assert (name, POOL.text[start:end]) == ("pool", "It closes at dusk.")
    assert second == ("a", 7, 13)


@pytest.mark.parametrize("fields, word", [
    ({"source": ("a",), "quote": ()}, "0 quotes for 1 sources"),
    ({"source": (), "quote": ()}, "one exact 'quote'"),
    ({"source": ("a", "b"), "quote": ("0123",)}, "1 quotes for 2 sources"),
    ({"source": ("KB-9",), "quote": ("0123",)}, "'KB-9'"),
    ({"source": ("a",), "quote": ("not there",)}, "not there"),
    ({"source": ("a",), "quote": ("",)}, "Copy it from the document"),
])
def test_a_question_without_a_place_is_refused(fields, word):
    with pytest.raises(CourseError, match=word):
        coverage.gold_spans(asked(**fields), PAGES)


def test_no_gold_no_grade():
    for gold in ([], [("a", 5, 5)]):
        with pytest.raises(CourseError, match="no gold span"):
            coverage.grades(gold, [chunk(0, 5)])


def test_questions_are_averaged_and_compared_pairwise():
    questions = [asked(id=f"q{n}", source=("a",), quote=("0123456789",), kind=kind)
                 for n, kind in enumerate(("lookup", "lookup", "table"))]
    questions.append(asked(id="none", answers=(), kind="unanswerable"))
    good = coverage.graded("good", questions, [[chunk(0, 10)]] * 4, PAGES)
    weak = coverage.graded("weak", questions, [[chunk(0, 5)], [], [chunk(0, 10)], []], PAGES)
    assert [r["id"] for r in good.rows] == ["q0", "q1", "q2"]  # the unanswerable has no gold
    assert coverage.mean(good, "recall").value == 1
    assert coverage.mean(weak, "recall").value == pytest.approx(.5)
    assert coverage.mean(weak, "recall", "table").n == 1
    gap = compare(good, weak, "recall")
    assert (gap.value, gap.better, gap.worse, gap.n) == (pytest.approx(.5), 2, 0, 3)
    assert coverage.differences([good, weak], good).startswith("weak − good: -0.50 [")
    assert {kind: cell.n for kind, cell in coverage.by_kind(weak, "recall").items()} == {
        "lookup": 2, "table": 1}
    text = coverage.table([good, weak], ("recall", "words"))
    assert "1.00 [1.00, 1.00]" in text and len(text.splitlines()) == 3


def test_only_the_first_or_only_what_the_budget_holds_is_graded():
    question = asked(source=("b",), quote=("0123456789",))
    found = [[chunk(0, 5, "b"), chunk(5, 10, "b")]]

    def recall(**limit) -> float:
        return coverage.mean(coverage.graded("x", [question], found, PAGES, **limit),
                             "recall").value

    assert [recall(), recall(k=1), recall(words=1), recall(words=9)] == [1, .5, .5, 1]
    assert recall(k=1, words=9) == .5


def test_what_cannot_be_graded_is_said():
    question = asked(source=("a",), quote=("0123",))
    with pytest.raises(CourseError, match="1 questions and 2 lists"):
        coverage.graded("x", [question], [[], []], PAGES)
    with pytest.raises(CourseError, match="None of these questions"):
        coverage.graded("x", [asked(answers=())], [[]], PAGES)
    with pytest.raises(CourseError, match="no metric 'recal'"):
        coverage.mean(coverage.graded("x", [question], [[]], PAGES), "recal")


def test_a_budget_of_words_cuts_the_last_chunk():
    words = Document("a", "A", "one two three four five six")
    first, second = chunk(0, 13, text="one two three"), chunk(14, 27, text="four five six")
    kept = coverage.within([first, second], 4, [words])
    assert kept[0] == first and kept[1].text == "four" and words.text[14:kept[1].end] == "four"
    assert coverage.within([first, second], 3, [words]) == [first]
    assert coverage.within([first, second], 99, [words]) == [first, second]
    row = chunk(0, 27, text="A: one; B: two; C: three; D: four")  # shows more words than it spans
    assert words.text[:coverage.within([row], 4, [words])[0].end] == "one two three"
    with pytest.raises(CourseError, match="0 words"):
        coverage.within([first], 0, [words])


# ---------------------------------------------------------------- the chunkers that are compared


def test_token_windows_cover_the_text_and_repeat_what_they_should():
    tokenizer = load_embedder().tokenizer

    def size(c: Chunk) -> int:
        return len(tokenizer(c.text, add_special_tokens=False)["input_ids"])

    plain = by_tokens(POOL, tokenizer, 8)
    assert plain[0].start == 0 and plain[-1].end == len(POOL.text)
    assert all(POOL.text[c.start:c.end] == c.text for c in plain)
    assert all(size(c) <= 8 for c in plain)
    assert all(a.end <= b.start for a, b in zip(plain, plain[1:], strict=False))
    lapped = by_tokens(POOL, tokenizer, 8, overlap=3)
    assert all(a.end > b.start for a, b in zip(lapped, lapped[1:], strict=False))
    assert len(by_tokens(POOL, tokenizer, 10_000, overlap=9_000)) == 1
    for wrong in ({"tokens": 0}, {"tokens": 8, "overlap": 8}, {"tokens": 8, "overlap": -1}):
        with pytest.raises(ValueError, match="overlap smaller"):
            by_tokens(POOL, tokenizer, **wrong)


def test_meaning_cuts_where_neighbours_differ_most():
    topic = {"Bring": 0, "Showers": 0, "The": 1, "It": 1, "Fog": 2}

    def embed(texts):
        return np.eye(3)[[topic[t.split()[0]] for t in texts]]

    whole = by_meaning(POOL, embed, words=500)
    assert len(whole) == 1 and whole[0].headings == ()
    pieces = by_meaning(POOL, embed, words=14)
    assert [p.text.split()[0] for p in pieces] == ["Bring", "The", "Fog"]
    assert pieces[1].headings == ("Hours",)  # of "Hours" and "Hours › In winter"
    assert by_meaning(replace(POOL, text="***"), embed) == []
    assert len(by_meaning(replace(POOL, text="It is. " * 3000), embed, words=4)) >= 1500


def test_small_finds_deliver_big_pieces_once():
    units = by_sentence(POOL)
    hours, dusk = units[2], units[3]
    windows = in_windows([dusk, hours], units, around=1)
    assert len(windows) == 1  # the second find stands in the first one's window
    assert windows[0].text.splitlines() == ["The pool opens at 7:30.", "It closes at dusk.",
                                            "It opens at 9."]
    assert in_windows([units[0]], units, around=0) == [units[0]]
    other = [replace(u, document="other") for u in units]
    assert {w.document for w in in_windows([other[0]], [*units, *other], around=3)} == {"other"}
    sections = by_heading(POOL)
    assert in_sections([dusk, hours, units[0]], sections) == [sections[1], sections[0]]


# ---------------------------------------------------------------- the stored vectors


def test_four_bits_keep_the_direction():
    sys.path.insert(0, str(ROOT / "data" / "recipes"))
    from embed_sentences import pack, unpack

    true = np.random.default_rng(0).normal(size=(500, 384)).astype("float32")
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    parts = pack(true)
    again = unpack(**parts)
    assert parts["codes"].dtype == np.uint8 and parts["codes"].shape == (500, 192)
    assert (true * again).sum(axis=1).min() > 0.98
    assert np.allclose(np.linalg.norm(again, axis=1), 1, atol=1e-5)


def test_the_stored_vectors_are_small_and_near_the_originals():
    path = ROOT / "data" / "vectors" / "sentences.npz"
    assert path.stat().st_size <= 10_000_000
    stored = np.load(path)
    assert stored["codes"].shape == (51_000, 192)
    assert stored["cosine"] > 0.99 and stored["kept"] > 0.9


# ---------------------------------------------------------------- the exercises' checks


def solved_recall(gold, chunks):
    delivered = {c for chunk in chunks for c in range(*chunk)}
    return len(set(range(*gold)) & delivered) / (gold[1] - gold[0])


def solved_fuse(first, second):
    scores = {}
    for texts in (first, second):
        for rank, text in enumerate(texts):
            scores[text] = scores.get(text, 0) + 1 / (10 + rank)
    return sorted(scores, key=scores.get, reverse=True)


@pytest.mark.parametrize("answer, says", [
    (solved_recall, "Right"),
    (lambda gold, chunks: None, "Not filled in"),
    (lambda gold, chunks: sum(max(0, min(gold[1], e) - max(gold[0], s)) for s, e in chunks) / 20,
     "28 to 31"),
    (lambda gold, chunks: sum(min(gold[1], e) - max(gold[0], s) for s, e in chunks) / 20,
     "negative"),
    (lambda gold, chunks: solved_recall(gold, chunks) * 20 / max(1, sum(e - s for s, e in chunks)),
     "precision"),
    (lambda gold, chunks: gold["start"], "TypeError"),
])
def test_the_check_of_recall_names_the_mistake(answer, says, capsys):
    exercises.check_recall(answer)
    assert says in capsys.readouterr().out


@pytest.mark.parametrize("answer, says", [
    (solved_fuse, "Right"),
    (lambda a, b: None, "Not filled in"),
    (lambda a, b: solved_fuse(a, b)[::-1], "reverse=True"),
    (lambda a, b: [t for t in solved_fuse(a, b) if t in a and t in b], "are missing"),
    (lambda a, b: a + b, "twice"),
    (lambda a, b: solved_fuse(a, []) + ["D"], "second list"),
    (lambda a, b: {}[a[0]], "scores.get"),
])
def test_the_check_of_fusion_names_the_mistake(answer, says, capsys):
    exercises.check_fusion(answer)
    assert says in capsys.readouterr().out


@pytest.mark.parametrize("flat, pq, says", [
    (15.36, 0.48, "Right"), (14.3, 0.45, "Right"), (None, 0.48, "Not filled in"),
    (3.84, 0.48, "4 bytes"), (15_360, 0.48, "megabytes"), (15.36, 3.84, "bits"),
    (15.36, 1.92, "one byte a part"), (1.0, 0.48, "multiply"),
])
def test_the_check_of_bytes_names_the_mistake(flat, pq, says, capsys):
    exercises.check_bytes({"Flat": flat, "PQ48": pq})
    assert says in capsys.readouterr().out


def test_the_check_of_a_pair_reads_the_interval(capsys):
    questions = [asked(id=f"q{n}", source=("a",), quote=("0123456789",)) for n in range(20)]
    good = coverage.graded("good", questions, [[chunk(0, 10)]] * 20, PAGES)
    weak = coverage.graded("weak", questions, [[chunk(5, 15)]] * 20, PAGES)
    gap = compare(good, weak, "recall")
    for answer, verdict, says in (
            (gap, "good", "Right"), (None, None, "Not filled in"), (gap, "weak", "side of good"),
            (compare(weak, good, "recall"), "good", "other way round"), (0.5, "good", "compare("),
            (compare(good, weak, "iou"), "good", "name the metric"), (gap, "maybe", "Answer"),
            (gap, "cannot tell", "leaves zero out")):
        exercises.check_pairwise(answer, verdict, good, weak)
        assert says in capsys.readouterr().out
    exercises.check_pairwise(compare(good, good, "recall"), "good", good, good)
    assert "holds zero" in capsys.readouterr().out
