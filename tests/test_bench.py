"""`bench`: what it measures and says. How fast this machine is stands in no test."""

import json
from dataclasses import replace

import numpy as np
import pytest

from utils import bench
from utils.__main__ import main
from utils.bench import Row, by_turns, measure, table
from utils.documents import CourseError, Document
from utils.profiles import choose

PAGES = [
    Document("pool", "Pool rules", "The pool opens at 7:30. It closes at dusk. Caps cost EUR 4."),
    Document("gym", "Gym", "Towels are required. Fault RX-44 means that the belt has slipped."),
    Document("cafe", "Café", "Soup of the day costs EUR 6. " + "Dogs are welcome here. " * 120),
]
QUESTIONS = ["When does the pool open?", "RX-44", "May I bring my dog?"]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """The whole measurement, over three documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "ROUNDS", 2)
        patch.setattr(bench, "TOKENS", 4)
        patch.setattr(bench, "LESSONS", 12)
        return measure(choose("embedded"), PAGES, QUESTIONS)


def test_every_pair_is_measured(rows):
    assert [row.name for row in rows] == [
        "embedding", "embedding, text by text", "index of 3 documents",
        "index, LlamaIndex's defaults", "search, p50", "search, p95", "search and reranker, p50",
        "answers, one by one", "fine-tuning, Trainer"]
    assert all(np.isfinite([r.station, r.other, r.ratio]).all() and r.ratio > 0 for r in rows)
    judged = [row.name for row in rows if row.holds is not None]
    assert judged == ["embedding", "index of 3 documents", "search, p50", "search, p95"]
    assert all(row.holds == (row.ratio <= 1.1) for row in rows if row.holds is not None)


def test_the_chunks_that_llama_index_makes_too_long_are_told(rows):
    told = next(r.meaning for r in rows if "LlamaIndex" in r.name)
    assert "LlamaIndex makes 3, and of 1 the embedder reads only the first 256" in told


def test_the_table_has_one_sentence_a_row_and_a_verdict(rows):
    lines = table(rows).splitlines()
    for row in rows:
        at = next(n for n, line in enumerate(lines) if line.startswith(row.name + " "))
        assert lines[at + 1].strip() == row.meaning and row.meaning.count(". ") == 0
    assert any("holds for" in line and "of 4 pairs" in line for line in lines)
    assert max(len(line) for line in lines) < 160


def test_what_costs_more_than_the_limit_is_said():
    good = bench._pair("x", "s", 1, 1, 1.1, "the direct call")
    bad = bench._pair("y", "s", 1, 1, 1.101, "the direct call")
    assert good.holds and "at most 10 %" in good.meaning
    assert not bad.holds and "more than 10 %" in bad.meaning
    printed = table([good, bad])
    assert "does not hold" in printed and "holds for 1 of 2 pairs" in printed
    assert "busy" not in printed
    assert "The machine was busy" in table([replace(good, scatter=4.0)])


def test_turns_alternate_after_a_warm_up():
    seen = []
    ways = {"a": lambda item: seen.append(f"a{item}"), "b": lambda item: seen.append(f"b{item}")}
    spent = by_turns(ways, [1, 2, 3], "test")
    assert seen == ["a1", "b1", "a1", "b1", "b2", "a2", "a3", "b3"]
    assert {key: len(seconds) for key, seconds in spent.items()} == {"a": 3, "b": 3}


def test_the_ratio_is_the_median_of_the_turns():
    spent = {"station": np.array([2.0, 30.0, 1.1]), "direct": np.array([1.0, 30.0, 1.0])}
    assert bench._ratio(spent) == pytest.approx(1.1)  # one busy moment decides nothing


# ---------------------------------------------------------------- the command


@pytest.fixture
def measured(monkeypatch):
    """The command without its two minutes."""
    row = bench._pair("embedding", "texts/s", 100, 104, 1.04, "the direct call")
    monkeypatch.setattr(bench, "measure", lambda *_: [row])
    monkeypatch.setattr("utils.environment.ensure", lambda: None)


def test_the_command_prints_and_writes(measured, tmp_path, capsys):
    out = tmp_path / "deep" / "bench.json"
    assert main(["bench", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "1.04  holds" in printed and "profile embedded" in printed
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["profile"] == "embedded" and written["limit"] == 1.1
    assert written["rows"][0]["holds"] is True and written["rows"][0]["unit"] == "texts/s"


def test_bad_words_are_one_sentence(measured, capsys):
    assert main(["bench", "--fast"]) == 2
    told = capsys.readouterr().err
    assert "--fast" in told and "python3 -m utils bench --help" in told
    assert len(told.strip().splitlines()) == 1


def test_a_file_that_cannot_be_written_is_told_before_the_measuring(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "measure", lambda *_: pytest.fail("measured in vain"))
    with pytest.raises(CourseError, match="cannot be written"):
        bench.bench(["--json", str(tmp_path)])
