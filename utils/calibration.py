"""From which score on is what was found worth showing? Found out on questions of one's own.

The reranker's score tells answerable questions from others within one house, and not from one house
to the next: the score that stops two thirds of the unanswerable here would stop a third of the
answerable elsewhere. So the floor is chosen on development questions, and kept beside the documents
it holds for, with the reranker it was measured with.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from utils.documents import CourseError, Document
from utils.exam import Question
from utils.locks import in_one_piece
from utils.retrieval import NO_FLOOR, Retriever

FILE = "search.json"  # in the folder of the documents
ANSWERED = 0.92  # of the answerable questions must stay answered
FEWEST = {True: 20, False: 5}  # questions with and without an answer; fewer decide nothing


@dataclass(frozen=True)
class Calibration:
    """A floor, what it was chosen on, and what it did there."""

    floor: float
    reranker: str
    answerable: int
    answered: float  # the share of them that still gets passages
    unanswerable: int
    refused: float  # the share of them that gets none
    cutoff: float | None = None  # of the reranker, where it is the stricter one

    def __str__(self) -> str:
        if self.cutoff is not None:
            return (f"A floor of {self.floor:.3f} would do, and the search's own cut-off is "
                    f"stricter: below {self.cutoff:.3f} nothing is shown. Of {self.answerable} "
                    f"answerable questions {self.answered:.2f} still get passages, of "
                    f"{self.unanswerable} unanswerable ones {self.refused:.2f} get none.")
        return (f"Below {self.floor:.3f} nothing is shown: of {self.answerable} answerable "
                f"questions {self.answered:.2f} still get passages, of {self.unanswerable} "
                f"unanswerable ones {self.refused:.2f} get none.")


def calibrate(retriever: Retriever, questions: Sequence[Question],
              answered: float = ANSWERED) -> Calibration:
    """The highest floor that leaves this share of the answerable questions their passages."""
    if retriever.reranker is None:
        raise CourseError("The floor is a reranker's score, and this search has no reranker.")
    certain = retriever.certainty([q.question for q in questions])
    scores = {kind: sorted(s for s, q in zip(certain, questions, strict=True)
                           if q.answerable == kind) for kind in (True, False)}
    for kind, least in FEWEST.items():
        if len(scores[kind]) < least:
            raise CourseError(f"There are {len(scores[kind])} {'' if kind else 'un'}answerable "
                              f"questions, and {least} is the least from which a floor can be "
                              "told. Write more.")
    lost = int((1 - answered) * len(scores[True]) + 1e-9)
    floor = math.floor(1e4 * scores[True][lost]) / 1e4
    none = retriever.reranker.none if retriever.cutoff else None
    least = floor if none is None else max(floor, none)  # the cut-off stops what lies below it
    return Calibration(floor, retriever.reranker.name,
                       len(scores[True]), _share(s >= least for s in scores[True]),
                       len(scores[False]), _share(s < least for s in scores[False]),
                       None if least == floor else round(float(none), 4))


def _share(truths) -> float:
    truths = list(truths)
    return round(float(sum(truths) / len(truths)), 3)


def keep(found: Calibration, folder: str | Path) -> Path:
    """Writes the calibration beside the documents, in one piece."""
    path = Path(folder) / FILE
    if path.is_file() and _ours(path) is None:
        raise CourseError(f"{path} is there and was not written by the course. Move it out of the "
                          "way, or calibrate on a copy of the folder.")
    if not path.parent.is_dir():
        raise CourseError(f"{path} cannot be written (there is no such folder). Check the path.")
    try:
        in_one_piece(path, json.dumps(asdict(found), indent=1) + "\n")
    except OSError as problem:
        raise CourseError(f"{path} cannot be written ({problem.strerror}). Check who may write "
                          "into that folder.") from None
    return path


def floor_of(documents: Sequence[Document], reranker, folder: str | Path | None = None) -> float:
    """The floor kept beside these documents; none, if it was measured with another reranker.

    It is looked for in the folder, if one is named; else where all the documents lie, and up to
    two folders above, since they may all lie in one subfolder.
    """
    paths = [d.path for d in documents if d.path]
    if reranker is None or not paths:
        return NO_FLOOR
    top = Path(folder or os.path.commonpath([p.absolute().parent for p in paths]))
    for place in (top,) if folder else (top, *top.parents[:2]):
        kept = _ours(place / FILE)
        if kept:
            return float(kept["floor"]) if kept["reranker"] == reranker.name else NO_FLOOR
    return NO_FLOOR


def _ours(path: Path) -> dict | None:
    """What `keep` has written there; None if there is nothing, or another program's file."""
    if not path.is_file():
        return None
    text = ""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        kept = json.loads(text)
        if isinstance(kept, dict) and kept.keys() >= {"floor", "reranker"}:
            return kept | {"floor": float(kept["floor"])}
        return None
    except (OSError, ValueError, TypeError):
        if '"floor"' in text:
            raise CourseError(f"{path} is damaged. Remove it, or write it anew with: "
                              "python3 -m utils calibrate") from None
        return None
