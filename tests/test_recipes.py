"""The pocket model has never seen the company: no recipe shares its sentences, names or codes."""

import json
import random
import re
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "data" / "recipes"
sys.path.insert(0, str(RECIPES))

import adapting  # noqa: E402
import average  # noqa: E402
import facts  # noqa: E402
import pages  # noqa: E402
import tasks  # noqa: E402

from utils.documents import load_documents  # noqa: E402

CODE = re.compile(r"\b(?=[\w.-]*\d)[A-Z]{1,3}[-.]?\d[\w.-]*\w\b|\b\d{2}-\d{4}\b")
PERSON = re.compile(r"\b[A-Z][a-zäöüéèø]+ (?:[a-z]{2,3} )?[A-Z][a-zäöüéèø]{3,}\b")
OURS = ("Wrenfield", "WrenLease", "PowerCell", "Siskin", "Aldermere", "Nest Watch", "Second Flight",
        "Perch 1", "Perch 2", "Lark 1", "Lark 2", "Pelican 1", "Pelican 2", "Heron ST")
# Two capitalised words that anyone might write: months with weekdays, places, openings.
COMMON = {"Field Service"}


def eight_grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w[\w'-]*", text.lower())
    return {tuple(words[i:i + 8]) for i in range(len(words) - 7)}


@pytest.fixture(scope="module")
def company_text() -> str:
    parts = [d.text for folder in ("company", "update")
             for d in load_documents(ROOT / "data" / folder)]
    for path in sorted((ROOT / "data").glob("exam/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            parts += [row["question"], json.dumps(row["answers"], ensure_ascii=False)]
    for path in sorted((ROOT / "data" / "style").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            parts += [m["content"] for m in json.loads(line)["messages"]]
    return "\n".join(parts)


@pytest.fixture(scope="module")
def recipe_text() -> str:
    files = [*RECIPES.rglob("*.md"), *RECIPES.rglob("*.txt"), *RECIPES.glob("*.py")]
    return "\n".join(p.read_text(encoding="utf-8") for p in sorted(files))


@pytest.fixture(scope="module")
def made_text() -> str:
    """What the makers of examples write, drawn from every source that is kept in the repository."""
    rng = random.Random(11)
    sources = tasks.Sources(kinds=facts.read_kinds())
    made = [m["content"] for _ in range(4000)
            for m in tasks.grounded_example(rng, tasks.from_facts(rng, sources, 4))]
    made += [m["content"] for _ in range(1000) for m in tasks.behaviour(rng, sources, 2)]
    return "\n".join(made)


def test_no_shared_eight_words(company_text, recipe_text, made_text):
    ours = eight_grams(company_text)
    for name, text in (("recipes", recipe_text), ("made text", made_text)):
        shared = ours & eight_grams(text)
        assert not shared, (name, [" ".join(g) for g in list(shared)[:5]])


def test_no_shared_codes(company_text, recipe_text, made_text):
    ours = {c for c in CODE.findall(company_text) if len(c) >= 5}
    assert len(ours) > 100
    assert not ours & set(CODE.findall(recipe_text)), ours & set(CODE.findall(recipe_text))
    assert not ours & set(CODE.findall(made_text))


def test_no_shared_names(company_text, recipe_text, made_text):
    for name in OURS:
        assert name in company_text, name
        assert name not in recipe_text and name not in made_text, name
    shared = set(PERSON.findall(company_text)) & set(PERSON.findall(recipe_text)) - COMMON
    capitals = {s for s in shared if not any(w.lower() in _dictionary(recipe_text) for w in
                                             s.split())}
    assert not capitals, capitals


def _dictionary(text: str, known: dict = {}) -> set[str]:  # noqa: B006 - a cache
    """The words that the recipes also write in lower case: ordinary words, not names."""
    if not known:
        known["words"] = set(re.findall(r"\b[a-z]{2,}\b", text))
    return known["words"]


def test_the_check_finds_what_it_looks_for(company_text):
    sentence = next(s for s in re.findall(r"[^.|\n]{60,}\.", company_text) if len(s.split()) > 9)
    assert eight_grams(company_text) & eight_grams("As we wrote: " + sentence)


def test_every_page_is_well_formed():
    words = questions = 0
    for path in sorted((RECIPES / "prose").glob("*.md")):
        found, problems = pages.read_pages(path)
        assert not problems, problems[:3]
        words += sum(len(p.document.text.split()) for p in found)
        questions += sum(len(p.asked) for p in found)
    assert len(list((RECIPES / "prose").glob("*.md"))) >= 30
    assert words >= 60_000 and questions >= 3_000


def test_what_is_kept_unread_is_well_formed_and_was_read_by_no_training():
    unread = sorted((RECIPES / "unread").glob("*.md"))
    assert len(unread) >= 20
    asked = 0
    for path in unread:
        found, problems = pages.read_pages(path)
        assert not problems, problems[:3]
        asked += sum(len(p.asked) for p in found)
    assert asked >= 4000
    names = {path.stem for path in unread}
    assert not names & {path.stem for path in (RECIPES / "prose").glob("*.md")}
    for adapter in ("reranker", "reader"):  # the embedder's is of a time when they were not named
        told = json.loads((ROOT / "data" / adapter / "training.json").read_text(encoding="utf-8"))
        assert told["trades"] and not names & set(told["trades"])
    sources = [p.read_text(encoding="utf-8") for p in RECIPES.glob("*.py")]
    assert sum('"unread"' in text for text in sources) == 1  # the one that measures


def test_kinds_of_fact_are_many_and_said_in_many_ways():
    kinds = facts.read_kinds()
    assert len({k.name for k in kinds}) == len(kinds) >= 120
    for kind in kinds:
        assert len(kind.says) >= 8 and len(kind.asks) >= 8, kind.name
        assert all("{value}" in s for s in kind.says), kind.name
        assert not any("{value}" in a for a in kind.asks), kind.name


def test_the_same_seed_gives_the_same_text():
    def made(seed):
        rng, sources = random.Random(seed), tasks.Sources(kinds=facts.read_kinds())
        return [tasks.grounded_example(rng, tasks.from_facts(rng, sources, 3)) for _ in range(50)]

    assert made(5) == made(5) != made(6)


def test_a_reply_quotes_the_gold_and_its_number():
    rng, sources = random.Random(3), tasks.Sources(kinds=facts.read_kinds())
    for _ in range(300):
        case = tasks.from_facts(rng, sources, 4)
        text = tasks.reply(case)
        if not case.gold:
            assert text == tasks.ABSTENTION
            continue
        number, quoted = re.fullmatch(r"\[(\d)\] (.*)", text, re.S).groups()
        assert case.ranked[int(number) - 1].text == quoted
        assert case.values[0] in quoted or case.values[0].capitalize() in quoted


def test_rows_differ_in_one_digit_of_their_code_and_the_asked_one_is_the_gold():
    rng, sources = random.Random(2), tasks.Sources(kinds=facts.read_kinds())
    for _ in range(200):
        case = tasks.from_rows(rng, sources, 6)
        cells = [dict(c.split(": ", 1) for c in chunk.text.split("; ") if ": " in c)
                 for chunk in case.ranked]
        label = next(k for k in cells[0] if k in ("Code", "Part no.", "Item", "No.", "Article"))
        codes = [row[label] for row in cells]
        assert len(set(codes)) == len(codes) >= 2
        assert len({code[:-1] for code in codes}) == 1
        (gold,) = case.gold
        assert [c for c in codes if c in case.question] == [cells[case.ranked.index(gold)][label]]
        assert case.values[0] in gold.text


def test_what_is_known_by_heart_stands_on_the_pages():
    known = json.loads((RECIPES / "by_heart.json").read_text(encoding="utf-8"))
    written = {(asked.question, gold.text) for path in (RECIPES / "prose").glob("*.md")
               for page in pages.read_pages(path)[0] for asked in page.asked
               for gold in asked.gold}
    assert len(known) == 100
    assert all(tuple(pair) in written for pair in known)


def test_every_trade_has_its_turn_and_new_ones_come_first():
    trades = {name: (name, []) for name in "abcde"}
    pupil = adapting.Pupil(None, None, {}, trades, list(trades), random.Random(3))
    rounds = [[pupil.next_trade()[0] for _ in trades] for _ in range(3)]
    assert all(sorted(one) == list(trades) for one in rounds) and rounds[0] != rounds[1]
    later = adapting.Pupil(None, None, {}, trades, list(trades), random.Random(3), set("abc"))
    taken = [later.next_trade()[0] for _ in range(7)]
    assert sorted(taken[:2]) == ["d", "e"], "what is new comes first"
    assert sorted(taken[2:]) == list(trades) == sorted(later.known)


def test_the_mean_of_two_adapters_is_their_mean_at_the_same_rank():
    gen = torch.Generator().manual_seed(0)
    start = torch.randn(40, 4, generator=gen) @ torch.randn(4, 30, generator=gen)
    ways = [start + 0.1 * torch.randn(40, 1, generator=gen) @ torch.randn(1, 30, generator=gen)
            for _ in range(2)]
    b, a = average.halves(sum(ways) / 2, 6)
    assert b.shape == (40, 6) and a.shape == (6, 30)
    assert torch.allclose(b @ a, sum(ways) / 2, atol=1e-4)
    assert torch.allclose(b.norm(dim=0), a.norm(dim=1), atol=1e-4), "both halves equally large"
    rough = average.halves(sum(ways) / 2, 2)
    assert not torch.allclose(rough[0] @ rough[1], sum(ways) / 2, atol=1e-2)


def test_groups_of_like_length():
    groups = adapting.alike(["ccc", "a", "bb", "dddd", "e"], count=2)
    assert groups == [[1, 4], [2, 0], [3]]
