"""A graded reply -> the first station that failed: search, choice, words or form.

A figure says how often a system is right; this says what to mend when it is not. It decides by
rules and asks no model, so the same reply always lands in the same place. Where the gold answer
stands is the business of `coverage`, whether a reply is right that of `grading`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from utils import coverage, grading
from utils.chunking import Chunk
from utils.documents import Document
from utils.exam import Question, Sitting
from utils.forming import house_replies, usual

TAKEN = 0.5  # the share of a reply's words that a passage must hold to be where they come from


class Fault(StrEnum):
    """The leaves of the tree, from the first station to the last."""

    NOT_RETRIEVED = "not retrieved"
    SILENT = "retrieved, but said not to be there"
    NOT_USED = "retrieved, but another passage used"
    WORDS = "right passage, wrong words"
    MADE_UP = "unanswerable, but answered"
    FORM = "right, but in the wrong form"
    NONE = "right"


def diagnose(question: Question, reply: str, grades: Mapping[str, float | None],
             found: Sequence[Chunk], gold: Sequence[coverage.Span], form: bool = False) -> Fault:
    """What failed first; with `form`, a right answer outside the house's form is a fault too.

    `found` are the chunks the reply was written from, in their order; `gold` is where the answer
    stands. A question that needs two documents needs both found and both used.
    """
    if not question.answerable:
        right = grades["abstains"]
    else:
        right = grades["fresh"] if "fresh" in grades else grades["facts"]
    if right:
        return Fault.FORM if form and not grades.get("format") else Fault.NONE
    if not question.answerable:
        return Fault.MADE_UP
    if not coverage.grades(gold, found)["hit"]:
        return Fault.NOT_RETRIEVED
    if grading.abstains(reply):
        return Fault.SILENT
    used = passages_used(reply, found)
    if not all(coverage.grades([span], used)["recall"] for span in gold):
        return Fault.NOT_USED
    return Fault.WORDS


def faults(sitting: Sitting, questions: Sequence[Question],
           found: Mapping[str, Sequence[Chunk]], documents: Sequence[Document],
           form: bool = False) -> dict[Question, Fault]:
    """Every question's fault; `found` are the chunks by the question's text."""
    rows = {row["id"]: row for row in sitting.rows}
    return {q: diagnose(q, rows[q.id]["answer"], rows[q.id]["grades"], found[q.question],
                        coverage.gold_spans(q, documents) if q.answerable else (), form)
            for q in questions}


def passages_used(reply: str, found: Sequence[Chunk]) -> list[Chunk]:
    """The chunks a reply rests on: those it numbers, else the one most of its words come from.

    A house reply names documents and no numbers; its words then decide among those documents.
    Words that stand in no passage, such as a greeting, do not count.
    """
    numbered = [found[n - 1] for n in grading.cited_numbers(reply) if 1 <= n <= len(found)]
    if numbered:
        return numbered
    sources = str((grading.house_json(reply) or {}).get("sources"))
    named = [c for c in found if c.document in sources] or list(found)
    known = set().union(*(_words(c.text) for c in found))
    said = _words(grading.spoken(reply)) & known
    best = max(named, key=lambda c: len(said & _words(c.text)), default=None)
    taken = best is not None and said and len(said & _words(best.text)) >= TAKEN * len(said)
    return [best] if taken else []


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def queues(sitting: Sitting, questions: Sequence[Question], examples: Sequence[dict]
           ) -> dict[str, list[float]]:
    """Which queues are right where a reply names a document: its own, and the document's usual one.

    A document's usual queue is the one that the examples' replies most often send it to.
    """
    known, asked = house_replies(examples), {q.id: q for q in questions}
    named = {name for reply in known for name in reply["sources"]}
    rows = [row for row in sitting.rows if row["cited"] and row["cited"][0] in named]
    return {"a table": [float(usual("route", row["cited"][:1], known) == asked[row["id"]].route)
                        for row in rows],
            "the model": [row["grades"]["route"] for row in rows]}
