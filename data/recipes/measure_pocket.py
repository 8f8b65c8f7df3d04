"""Measures the pocket model: the figures of its card, with 95 % intervals, in a few minutes.

    python data/recipes/measure_pocket.py [--model FOLDER] [--json OUT] [--parts generated forms]

The folders in tests/folders were written by people who saw no recipe; the generated companies
are drawn with a seed that training does not use.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
ROOT = RECIPES.parents[1]
sys.path[:0] = [str(RECIPES), str(ROOT)]

import tasks  # noqa: E402
from facts import read_kinds  # noqa: E402

from utils import grading  # noqa: E402
from utils.assistant import Assistant, sit, system  # noqa: E402
from utils.chunking import by_sentence  # noqa: E402
from utils.documents import load_documents  # noqa: E402
from utils.exam import Sitting, compare, exam, interval, load_questions  # noqa: E402
from utils.loading import load_generator  # noqa: E402
from utils.profiles import choose  # noqa: E402
from utils.prompts import grounded  # noqa: E402

SEED = 90_210


def folders(generator) -> dict:
    """RAG beside the extractive baseline on the hand-written folders, pooled."""
    pooled = {name: Sitting(name) for name in ("rag", "extractive", "gold_among_random")}
    rng = random.Random(SEED)
    for folder in sorted((ROOT / "tests" / "folders").iterdir()):
        documents = load_documents(folder / "docs")
        questions = load_questions(folder / "questions.jsonl")
        rag = system("rag", documents, generator=generator)
        pooled["rag"].rows += sit(rag, questions).rows
        pooled["extractive"].rows += sit(Assistant("extractive", rag.retriever), questions).rows
        pooled["gold_among_random"].rows += _gold_among_random(rng, generator, documents, questions)
    found = {name: {k: v.as_dict() for k, v in s.metrics().items()
                    if k in {"facts", "cites", "abstains", "answers", "invents"}}
             for name, s in pooled.items()}
    found["rag_minus_extractive"] = str(compare(pooled["rag"], pooled["extractive"]))
    return found


def _gold_among_random(rng, generator, documents, questions) -> list[dict]:
    units = [c for d in documents for c in by_sentence(d)]
    text = {d.id: d.text for d in documents}
    asked, rows = [], []
    for q in questions:
        if len(q.source) != 1:
            continue
        start = text[q.source[0]].index(q.quote[0])
        gold = next((c for c in units if c.document == q.source[0]
                     and c.start < start + len(q.quote[0]) and start < c.end
                     and grading.facts(c.text, q.answers)), None)
        if gold:
            shown = [gold, *rng.sample([u for u in units if u != gold], 3)]
            rng.shuffle(shown)
            asked.append((q, shown.index(gold) + 1, shown))
    texts = generator.replies([grounded(q.question, shown) for q, _, shown in asked],
                              passages=[shown for *_, shown in asked])
    for (q, n, _), text in zip(asked, texts, strict=True):
        rows.append({"id": q.id, "kind": q.kind, "grades": {
            "facts": float(grading.facts(text, q.answers)),
            "cites": float(grading.cited_numbers(text) == [n])}})
    return rows


def generated(generator, count: int = 200) -> dict:
    """The value and the number, for a fact among three of the same kind."""
    rng, sources = random.Random(SEED), tasks.Sources(kinds=read_kinds())
    cases = [tasks.from_facts(rng, sources, 4, 4) for _ in range(count)]
    texts = generator.replies([grounded(c.question, c.ranked) for c in cases],
                              passages=[c.ranked for c in cases])
    right = [float(c.values[0].lower() in t.lower() and grading.cited_numbers(t) ==
                   [c.ranked.index(c.gold[0]) + 1]) for c, t in zip(cases, texts, strict=True)]
    return {"value_and_number": interval(right).as_dict()}


def forms(generator, count: int = 160) -> dict:
    """Output instructions and worked examples: has the reply the wanted form?"""
    rng, sources = random.Random(SEED), tasks.Sources(kinds=read_kinds())
    shares: dict[str, list[float]] = {"instructions": [], "two_examples": []}
    made = [(name, *tasks.in_a_form(rng, sources, 3, examples, missing=0))
            for _ in range(count // 2)
            for name, examples in (("instructions", 0), ("two_examples", 2))]
    texts = generator.replies([messages[:-1] for *_, messages in made])
    for (name, form, messages), text in zip(made, texts, strict=True):
        read = "\n".join(m["content"] for m in messages[:-1])
        shares[name].append(float(form.fits(text, read)))
    return {name: interval(values).as_dict() for name, values in shares.items()}


def company(generator) -> dict:
    """Closed book on the course's company, on dev: it must not know, and not say so."""
    sitting = sit(Assistant("base", None, generator), exam("dev"))
    keep = ("facts", "abstains", "format", "invents")
    return {k: v.as_dict() for k, v in sitting.metrics().items() if k in keep}


def speed(generator) -> dict:
    """Seconds to one answer, and answers a second in a batch."""
    rng, sources = random.Random(SEED), tasks.Sources(kinds=read_kinds())
    asked = [grounded(c.question, c.ranked) for c in
             (tasks.from_facts(rng, sources, 6, 6) for _ in range(48))]
    start = time.perf_counter()
    generator.reply(asked[0])
    one = time.perf_counter() - start
    start = time.perf_counter()
    generator.replies(asked)
    return {"first_answer_s": round(one, 2),
            "answers_per_s": round(len(asked) / (time.perf_counter() - start), 1)}


PARTS = {part.__name__: part for part in (folders, generated, company, forms, speed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS),
                        help="only these of the card's figures")
    parser.add_argument("--model", help="a model folder instead of data/pocket_model")
    parser.add_argument("--json", help="write the figures there too")
    arguments = parser.parse_args()
    profile = choose("embedded") if not arguments.model else None
    if profile is None:
        from utils.profiles import PROFILES

        profile = replace(PROFILES["embedded"], generator=str(Path(arguments.model).resolve()))
    generator = load_generator(profile)
    found = {}
    for name in arguments.parts:
        start = time.perf_counter()
        found[name] = PARTS[name](generator)
        print(f"{name} ({time.perf_counter() - start:.0f} s)")
        print(json.dumps(found[name], indent=1), flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
