"""Measures the three adapters of the search: the figures of their cards, with 95 % intervals.

    python data/recipes/measure_search.py

How often stands a sentence that answers first, and how often among the first six? Asked of the
pages in `unread/`, which no training has seen and nothing was chosen by, of the hand-written
folders in tests/folders and of the company's `dev` questions, for the embedder as it was published,
with its adapter, with the reranker reading again word by word, and with the best read together with
the question besides. And of the questions without an answer, how many lie below a floor that
leaves 92 in 100 of the others what was found?
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

RECIPES = Path(__file__).resolve().parent
ROOT = RECIPES.parents[1]
sys.path[:0] = [str(RECIPES), str(ROOT)]

from pages import read_pages  # noqa: E402

from utils.assistant import CHUNKER  # noqa: E402
from utils.coverage import Span, gold_spans, grades  # noqa: E402
from utils.documents import Document, load_documents  # noqa: E402
from utils.embedding import load_embedder, plain_embedder  # noqa: E402
from utils.exam import Question, exam, interval, load_questions  # noqa: E402
from utils.index import build  # noqa: E402
from utils.reranking import load_reranker  # noqa: E402
from utils.retrieval import Retriever  # noqa: E402

UNREAD = RECIPES / "unread"
DEPTHS = (1, 4, 6)


Asked = list[tuple[str, list[Span]]]  # the questions, and where their answers stand
Row = tuple[bool, int, float]  # has it an answer, the rank of its first sentence, how sure it is


def of_exam(documents: list[Document], questions: list[Question]) -> Asked:
    """The questions of an exam over these documents."""
    return [(q.question, gold_spans(q, documents) if q.answerable else []) for q in questions]


def of_pages(path: Path) -> tuple[list[Document], Asked]:
    """The documents of a trade, and its questions."""
    pages, _ = read_pages(path)
    asked = [a for page in pages for a in page.asked]
    return [page.document for page in pages], [
        (a.question, [(g.document, g.start, g.end) for g in a.gold]) for a in asked]


def places(documents: list[Document], asked: Asked, ways: dict) -> dict[str, list[Row]]:
    """For each way of searching and each question: how it fared."""
    found: dict[str, list[Row]] = {}
    for name, (embedder, reranker) in ways.items():
        retriever = Retriever(build(documents, CHUNKER, embedder), embedder, reranker,
                              cutoff=False)
        rows = retriever.search_many([question for question, _ in asked], max(DEPTHS))
        found[name] = []
        for (_, spans), hits in zip(asked, rows, strict=True):
            right = [n for n, h in enumerate(hits)
                     if any(grades([s], [h.chunk])["recall"] >= 0.5 for s in spans)]
            found[name].append((bool(spans), right[0] if right else max(DEPTHS),
                                hits[0].certainty))
    return found


def pooled(places_of: list[dict[str, list[Row]]]) -> dict[str, list[Row]]:
    """The rows of several places as those of one."""
    return {name: [row for found in places_of for row in found[name]] for name in places_of[0]}


def main() -> None:
    own, reader = load_embedder(), load_reranker()
    ways = {"as published": (plain_embedder(), None), "with its adapter": (own, None),
            "read again": (own, reader.apart), "together": (own, reader)}
    folders = [(load_documents(folder / "docs"), load_questions(folder / "questions.jsonl"))
               for folder in sorted((ROOT / "tests" / "folders").iterdir())]
    company, trades = load_documents(ROOT / "data" / "company"), sorted(UNREAD.glob("*.md"))
    for where, found in (
            ("dev", places(company, of_exam(company, exam("dev")), ways)),
            (f"{len(folders)} folders", pooled([places(documents, of_exam(documents, questions),
                                                       ways) for documents, questions in folders])),
            (f"{len(trades)} trades", pooled([places(*of_pages(t), ways) for t in trades]))):
        for name, rows in found.items():
            ranks = [rank for answerable, rank, _ in rows if answerable]
            print(f"{where:14s}{name:18s}", *(f"first {k}: {interval([r < k for r in ranks])}  "
                                              for k in DEPTHS), f"of {len(ranks)}")
        for name in list(ways)[2:]:
            sure, unsure = ([score for answerable, _, score in found[name] if answerable == kind]
                            for kind in (True, False))
            below = interval([score < np.quantile(sure, 0.08) for score in unsure])
            print(f"{where:14s}{name:18s} no answer, below the floor: {below} of {below.n}",
                  flush=True)


if __name__ == "__main__":
    main()
