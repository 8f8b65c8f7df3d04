"""What was retrieved, against the exact characters that answer: how much of them, and how high.

A question's gold is where its `quote` stands in its `source`. Every chunk knows its own span, so
one yardstick fits all chunkers, and a chunk that only looks right earns nothing. Recall, precision
and IoU follow Chroma's chunking report: a gold character counts once however often it is
delivered, and every delivered character is paid for, a repeated one twice.
Whether a reply is right is not graded here (`grading`), nor how chunks are found (`retrieval`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import log2

from utils.chunking import Chunk
from utils.documents import CourseError, Document
from utils.exam import Interval, Question, Sitting, compare, interval

Span = tuple[str, int, int]  # document, start, end
HELD = 0.5  # a chunk holds a gold span when it has at least half of its characters
METRICS = ("recall", "precision", "iou", "hit", "mrr", "ndcg", "document", "words")


def gold_spans(question: Question, documents: Sequence[Document]) -> tuple[Span, ...]:
    """Where the question's quotes stand; two documents give two spans."""
    if not question.quote or len(question.quote) != len(question.source):
        raise CourseError(f"Question '{question.id}' has {len(question.quote)} quotes for "
                          f"{len(question.source)} sources. Retrieval is graded on characters: "
                          "write one exact 'quote' for each 'source'.")
    texts = {d.id: d.text for d in documents}
    spans = []
    for name, quote in zip(question.source, question.quote, strict=True):
        if name not in texts:
            raise CourseError(f"Question '{question.id}' names the source '{name}', and no "
                              "document has that id. Correct it, or load the folder that has it.")
        start = texts[name].find(quote)
        if start < 0 or not quote:
            raise CourseError(f"Question '{question.id}': its quote does not stand in '{name}': "
                              f"\"{quote[:60]}\". Copy it from the document, marks included.")
        spans.append((name, start, start + len(quote)))
    return tuple(spans)


def grades(gold: Sequence[Span], chunks: Sequence[Chunk]) -> dict[str, float]:
    """One question's grades for the chunks found, best first; the caller decides how many."""
    if not gold or any(start >= end for _, start, end in gold):
        raise CourseError("There is no gold span to grade on. Take gold_spans(question, documents) "
                          "of a question that the documents answer.")
    wanted = sum(end - start for _, start, end in gold)
    delivered = sum(c.end - c.start for c in chunks)
    seen: list[set[int]] = [set() for _ in gold]  # the gold characters found so far, of each span
    ranks: list[int | None] = [None] * len(gold)  # of the first chunk that holds the span
    gain = 0.0
    for rank, chunk in enumerate(chunks, 1):
        for n, (_, start, end) in enumerate(gold):
            part = _shared(chunk, gold[n])
            gain += len(part - seen[n]) / (end - start) / log2(rank + 1)
            seen[n] |= part
            if ranks[n] is None and len(part) >= HELD * (end - start):
                ranks[n] = rank
    found = sum(map(len, seen))
    held = [r for r in ranks if r is not None]
    ideal = sum(1 / log2(n + 2) for n in range(len(gold)))
    return {"recall": found / wanted,
            "precision": found / delivered if delivered else 0.0,
            "iou": found / (delivered + wanted - found),
            "hit": float(len(held) == len(gold)),
            "mrr": 1 / min(held) if held else 0.0,
            "ndcg": min(1.0, gain / ideal),
            "document": float({s[0] for s in gold} <= {c.document for c in chunks}),
            "words": float(sum(len(c.text.split()) for c in chunks))}


def graded(name: str, questions: Sequence[Question], found: Sequence[Sequence[Chunk]],
           documents: Sequence[Document], k: int | None = None, words: int | None = None
           ) -> Sitting:
    """The grades of every answerable question, to be averaged or compared with `exam.compare`.

    Graded are the first `k` chunks, or as many as `words` words hold, or all.
    """
    if len(questions) != len(found):
        raise CourseError(f"{len(questions)} questions and {len(found)} lists of chunks: give one "
                          "list for each question, in the same order.")
    sitting = Sitting(name)
    for question, chunks in zip(questions, found, strict=True):
        if question.answerable:
            kept = chunks[:k] if words is None else within(chunks[:k], words, documents)
            sitting.rows.append({"id": question.id, "kind": question.kind,
                                 "grades": grades(gold_spans(question, documents), kept)})
    if not sitting.rows:
        raise CourseError("None of these questions is answerable: there is no gold to grade on.")
    return sitting


def mean(sitting: Sitting, metric: str, kind: str | None = None) -> Interval:
    """One metric's mean with its interval, over all questions or those of one kind."""
    if metric not in METRICS:
        raise CourseError(f"There is no metric '{metric}'. Choose one of: {', '.join(METRICS)}.")
    return interval([r["grades"][metric] for r in sitting.rows if kind in (None, r["kind"])])


def means(sittings: Mapping[str, Sitting], metric: str) -> dict[str, float]:
    """One metric's mean for each way of searching, without its interval."""
    return {way: mean(sitting, metric).value for way, sitting in sittings.items()}


def by_kind(sitting: Sitting, metric: str) -> dict[str, Interval]:
    """One metric's mean for each kind of question."""
    return {kind: mean(sitting, metric, kind)
            for kind in dict.fromkeys(r["kind"] for r in sitting.rows)}


def differences(sittings: Collection[Sitting], base: Sitting, metric: str = "recall") -> str:
    """One line a way of searching: its paired difference from `base`, question by question."""
    others = [s for s in sittings if s is not base]
    width = max((len(s.system) for s in others), default=0)
    return "\n".join(f"{s.system:{width}s} − {base.system}: {compare(s, base, metric)}"
                     for s in others)


def table(sittings: Collection[Sitting], metrics: Sequence[str] = METRICS) -> str:
    """One line a way of searching: each metric with its interval, words as a plain mean."""
    width = max(len(s.system) for s in sittings) + 2
    lines = ["".ljust(width) + "".join(m.rjust(_column(m)) for m in metrics)]
    for sitting in sittings:
        means = ((m, mean(sitting, m)) for m in metrics)
        lines.append(sitting.system.ljust(width) + "".join(
            (f"{i.value:.0f}" if m == "words" else str(i)).rjust(_column(m)) for m, i in means))
    return "\n".join(lines)


def _column(metric: str) -> int:
    return 8 if metric == "words" else 20


def within(chunks: Sequence[Chunk], words: int, documents: Sequence[Document]) -> list[Chunk]:
    """The first chunks up to that many words, the last one cut: what an equal budget buys."""
    if words < 1:
        raise CourseError(f"A budget of {words} words buys nothing. Give 1 or more.")
    texts = {d.id: d.text for d in documents}
    kept: list[Chunk] = []
    left = words
    for chunk in chunks:
        shown = chunk.text.split()
        if len(shown) > left:  # the span is cut in the same proportion as the text that is shown
            ends = [m.end() for m in re.finditer(r"\S+", texts[chunk.document]
                                                 [chunk.start:chunk.end])]
            last = max(1, round(len(ends) * left / len(shown)))
            chunk = replace(chunk, text=" ".join(shown[:left]), end=chunk.start + ends[last - 1])
        kept.append(chunk)
        left -= min(left, len(shown))
        if not left:
            break
    return kept


def _shared(chunk: Chunk, span: Span) -> set[int]:
    """The characters of the span that the chunk delivers."""
    name, start, end = span
    if chunk.document != name:
        return set()
    return set(range(max(start, chunk.start), min(end, chunk.end)))
