"""Measures the two adapters of the search: the figures of their cards, with 95 % intervals.

    python data/recipes/measure_search.py

How often stands a sentence that answers first, and how often among the first six? Asked of the
hand-written folders in tests/folders and of the company's `dev` questions, for the embedder as
it was published, with its adapter, and with the reranker reading again.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from utils.assistant import CHUNKER  # noqa: E402
from utils.coverage import gold_spans, grades  # noqa: E402
from utils.documents import load_documents  # noqa: E402
from utils.embedding import load_embedder, plain_embedder  # noqa: E402
from utils.exam import exam, interval, load_questions  # noqa: E402
from utils.index import build  # noqa: E402
from utils.reranking import load_reranker  # noqa: E402
from utils.retrieval import Retriever  # noqa: E402

DEPTHS = (1, 4, 6)


def places(documents, questions, ways: dict) -> dict[str, list[int]]:
    """For each way of searching: at which rank each question's first gold sentence stands."""
    found: dict[str, list[int]] = {}
    for name, (embedder, reranker) in ways.items():
        retriever = Retriever(build(documents, CHUNKER, embedder), embedder, reranker,
                              cutoff=False)
        rows = retriever.search_many([q.question for q in questions], max(DEPTHS))
        found[name] = []
        for question, hits in zip(questions, rows, strict=True):
            spans = gold_spans(question, documents)
            right = [n for n, h in enumerate(hits)
                     if max(grades([s], [h.chunk])["recall"] for s in spans) >= 0.5]
            found[name].append(right[0] if right else max(DEPTHS))
    return found


def main() -> None:
    own = load_embedder()
    ways = {"as published": (plain_embedder(), None), "with its adapter": (own, None),
            "read again": (own, load_reranker())}
    pooled: dict[str, list[int]] = {}
    for folder in sorted((ROOT / "tests" / "folders").iterdir()):
        questions = [q for q in load_questions(folder / "questions.jsonl") if q.answerable]
        for name, ranks in places(load_documents(folder / "docs"), questions, ways).items():
            pooled.setdefault(name, []).extend(ranks)
    company = places(load_documents(ROOT / "data" / "company"),
                     [q for q in exam("dev") if q.answerable], ways)
    for where, found in (("four folders", pooled), ("dev", company)):
        for name, ranks in found.items():
            print(f"{where:14s}{name:18s}", *(f"first {k}: {interval([r < k for r in ranks])}  "
                                              for k in DEPTHS), f"of {len(ranks)}")


if __name__ == "__main__":
    main()
