"""Measures the three adapters of the search: the figures of their cards, with 95 % intervals.

    python data/recipes/measure_search.py

How often stands a sentence that answers first, and how often among the first six? Asked of the
hand-written folders in tests/folders and of the company's `dev` questions, for the embedder as
it was published, with its adapter, with the reranker reading again word by word, and with the best
read together with the question besides. And of the questions without an answer, how many lie below
a floor that leaves 92 in 100 of the others what was found?
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from utils.assistant import CHUNKER  # noqa: E402
from utils.coverage import gold_spans, grades  # noqa: E402
from utils.documents import load_documents  # noqa: E402
from utils.embedding import load_embedder, plain_embedder  # noqa: E402
from utils.exam import exam, interval, load_questions  # noqa: E402
from utils.index import build  # noqa: E402
from utils.reranking import late_interaction, load_reranker  # noqa: E402
from utils.retrieval import Retriever  # noqa: E402

DEPTHS = (1, 4, 6)


def places(documents, questions, ways: dict) -> dict[str, list[tuple[bool, int, float]]]:
    """For each way of searching and each question: whether it has an answer, at which rank the
    first sentence of it stands, and how sure the search is of its best."""
    found: dict[str, list[tuple[bool, int, float]]] = {}
    for name, (embedder, reranker) in ways.items():
        retriever = Retriever(build(documents, CHUNKER, embedder), embedder, reranker,
                              cutoff=False)
        rows = retriever.search_many([q.question for q in questions], max(DEPTHS))
        found[name] = []
        for question, hits in zip(questions, rows, strict=True):
            spans = gold_spans(question, documents) if question.answerable else []
            right = [n for n, h in enumerate(hits)
                     if any(grades([s], [h.chunk])["recall"] >= 0.5 for s in spans)]
            found[name].append((question.answerable, right[0] if right else max(DEPTHS),
                                hits[0].certainty))
    return found


def main() -> None:
    own = load_embedder()
    ways = {"as published": (plain_embedder(), None), "with its adapter": (own, None),
            "read again": (own, late_interaction()), "together": (own, load_reranker())}
    pooled: dict[str, list[tuple[bool, int, float]]] = {}
    for folder in sorted((ROOT / "tests" / "folders").iterdir()):
        asked = load_questions(folder / "questions.jsonl")
        for name, rows in places(load_documents(folder / "docs"), asked, ways).items():
            pooled.setdefault(name, []).extend(rows)
    company = places(load_documents(ROOT / "data" / "company"), exam("dev"), ways)
    for where, found in (("four folders", pooled), ("dev", company)):
        for name, rows in found.items():
            ranks = [rank for answerable, rank, _ in rows if answerable]
            print(f"{where:14s}{name:18s}", *(f"first {k}: {interval([r < k for r in ranks])}  "
                                              for k in DEPTHS), f"of {len(ranks)}")
        for name in list(ways)[2:]:
            sure, unsure = ([score for answerable, _, score in found[name] if answerable == kind]
                            for kind in (True, False))
            below = interval([score < np.quantile(sure, 0.08) for score in unsure])
            print(f"{where:14s}{name:18s} no answer, below the floor: {below} of {below.n}")


if __name__ == "__main__":
    main()
