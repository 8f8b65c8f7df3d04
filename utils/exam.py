"""Questions -> grades -> metrics with intervals.

The same file measures every system, on the course's exam or on the reader's own. A metric is a
mean over questions with a 95 % bootstrap interval; two systems are compared question by
question. The graders themselves are in `grading`, the rows of all systems in `scoreboard`; how
answers are made is no business of this file.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils import grading
from utils.documents import CourseError

ROOT = Path(__file__).resolve().parents[1]
EXAM = ROOT / "data" / "exam"
KINDS = ("lookup", "paraphrase", "keyword", "table", "long", "near_duplicate", "two_documents",
         "unanswerable", "fresh")
EXAMPLE = '{"id": "q1", "question": "…", "answers": ["…"]}'
METRICS = ("facts", "cites", "format", "route", "abstains", "answers", "invents", "fresh")
LESS_IS_BETTER = ("invents",)


@dataclass(frozen=True)
class Question:
    """One question. `answers` are groups of alternatives: a right reply has one of each group."""

    id: str
    question: str
    answers: tuple[tuple[str, ...], ...]
    source: tuple[str, ...] = ()
    quote: tuple[str, ...] = ()
    kind: str = "lookup"
    route: str | None = None
    before: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def answerable(self) -> bool:
        return bool(self.answers)


@dataclass(frozen=True)
class Interval:
    """A mean over n questions and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def as_dict(self) -> dict:
        return {"value": round(self.value, 4), "low": round(self.low, 4),
                "high": round(self.high, 4), "n": self.n}


@dataclass
class Sitting:
    """One system's answers to a list of questions, with the grades of each."""

    system: str
    rows: list[dict] = field(default_factory=list)

    def metrics(self) -> dict[str, Interval]:
        """Every metric that at least one question could be graded on."""
        found = {name: interval([r["grades"][name] for r in self.rows
                                 if r["grades"].get(name) is not None]) for name in METRICS}
        return {name: value for name, value in found.items() if value.n}

    def by_kind(self) -> dict[str, dict[str, Interval]]:
        """The metrics for each kind of question alone."""
        groups: dict[str, Sitting] = defaultdict(lambda: Sitting(self.system))
        for row in self.rows:
            groups[row["kind"]].rows.append(row)
        return {kind: group.metrics() for kind, group in groups.items()}


# ---------------------------------------------------------------- questions


def load_questions(path: str | Path) -> list[Question]:
    """The questions of a JSONL file; a mistake is reported with its line and what to write."""
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"There is no question file {path}. Check the path; it is read from "
                          f"{Path.cwd()}.")
    questions: dict[str, Question] = {}
    try:
        lines = path.read_bytes().decode("utf-8-sig", errors="replace").split("\n")
    except OSError as problem:
        raise CourseError(f"{path} cannot be opened ({problem.strerror}). Check its permissions."
                          ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        question = _question(line, where, number)
        if question.id in questions:
            raise CourseError(f"{where}: the id '{question.id}' is used twice. Give every "
                              "question an id of its own.")
        questions[question.id] = question
    if not questions:
        raise CourseError(f"{path}, line 1: the file holds no question. Write one JSON object a "
                          f"line, such as {EXAMPLE}.")
    return list(questions.values())


def exam(split: str = "dev") -> list[Question]:
    """The course's exam: 'dev' for choosing, 'test' for reporting, 'fresh' after the update."""
    return load_questions(EXAM / f"{split}.jsonl")


def _question(line: str, where: str, number: int) -> Question:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise CourseError(f"{where}: this is no JSON ({problem}). Write one object a line, such "
                          f"as {EXAMPLE}.") from None
    if not isinstance(row, dict):
        raise CourseError(f"{where}: a JSON object is needed, and this is a "
                          f"{type(row).__name__}. Write it as {EXAMPLE}.")
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        raise CourseError(f"{where}: the field 'question' is missing or empty. Write the question "
                          "there, as a text.")
    if "answers" not in row:
        raise CourseError(f"{where}: the field 'answers' is missing. Write a list of right "
                          "answers, or [] for a question the documents do not answer.")
    answers = _groups(row["answers"], where)
    route = row.get("route")
    if route is not None and not isinstance(route, str):
        raise CourseError(f"{where}: 'route' must be a text. Write a queue's name or leave it out.")
    return Question(
        id=f"q{number}" if row.get("id") in (None, "") else _whole(str(row["id"])),
        question=_whole(text.strip()), answers=answers, source=_strings(row, "source", where),
        quote=_strings(row, "quote", where), route=route,
        kind=str(row.get("kind") or ("lookup" if answers else "unanswerable")),
        before=_strings(row, "before", where), absent=_strings(row, "absent", where))


def _whole(text: str) -> str:
    """The text without halves of characters ("\\ud83d" alone), which nothing can write."""
    return text.encode("utf-8", "replace").decode()


def _groups(answers: object, where: str) -> tuple[tuple[str, ...], ...]:
    if isinstance(answers, str | int | float):
        answers = [answers]
    if not isinstance(answers, list):
        raise CourseError(f"{where}: 'answers' must be a list of texts. Write [] if the documents "
                          "do not answer the question.")
    if not answers:
        return ()
    groups = answers if all(isinstance(a, list) for a in answers) else [answers]
    made = tuple(tuple(str(a).strip() for a in group if _is_text(a)) for group in groups)
    if not all(made) or [len(group) for group in made] != [len(group) for group in groups]:
        raise CourseError(f"{where}: 'answers' holds something that is no text or is empty. Write "
                          "texts, or lists of texts where every list must be answered.")
    return made


def _is_text(answer: object) -> bool:
    return isinstance(answer, str | int | float) and not isinstance(answer, bool) \
        and bool(str(answer).strip())


def _strings(row: dict, key: str, where: str) -> tuple[str, ...]:
    found = row.get(key) or []
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise CourseError(f"{where}: '{key}' must be a text or a list of texts. Write it so or "
                          "leave it out.")
    return tuple(found)


# ---------------------------------------------------------------- grades


@lru_cache(maxsize=1)
def _house_schema():
    import jsonschema

    path = ROOT / "data" / "style" / "schema.json"
    return jsonschema.Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def grade(question: Question, reply: str, cited: Sequence[str] = ()) -> dict[str, float | None]:
    """One reply's grades, 1 or 0; None where the question does not test that.

    `cited` are the documents the reply names. At most one more than needed may be cited, so
    that naming everything is no way to be right.
    """
    right = grading.facts(reply, question.answers)
    silent = grading.abstains(reply) and not right
    claims = not silent and bool(grading.spoken(reply).strip())  # an empty reply invents nothing
    known = grading.house_json(reply)
    found: dict[str, float | None] = {
        "format": float(known is not None and _house_schema().is_valid(known)),
        "route": None if question.route is None else float(
            known is not None and known.get("route") == question.route),
    }
    if not question.answerable:
        return found | {"abstains": float(silent), "invents": float(claims)}
    gold = set(question.source)
    cites = None if not gold else float(
        gold <= set(cited) and len(set(cited)) <= len(gold) + 1)
    fresh = float(right) if question.kind == "fresh" else None
    if fresh is not None:
        return {"fresh": fresh, "cites": None, "answers": None}
    return found | {"facts": float(right), "cites": cites, "answers": float(claims),
                    "invents": float(claims and not right)}


def interval(values: Sequence[float], seed: int = 0, rounds: int = 2000) -> Interval:
    """The mean with a percentile bootstrap over questions."""
    if not len(values):
        return Interval(0.0, 0.0, 0.0, 0)
    data = np.asarray(values, dtype=float)
    draws = np.random.default_rng(seed).integers(0, len(data), (rounds, len(data)))
    low, high = np.percentile(data[draws].mean(axis=1), [2.5, 97.5])
    return Interval(float(data.mean()), float(low), float(high), len(data))


@dataclass(frozen=True)
class Difference:
    """System a minus system b on the questions both were graded on.

    On `better` of them a has the better grade; where less is better (`invents`), the lower one.
    """

    value: float
    low: float
    high: float
    n: int
    better: int
    worse: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return (f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}], better on {self.better}, "
                f"worse on {self.worse} of {self.n}")


def compare(a: Sitting, b: Sitting, metric: str = "facts", seed: int = 0) -> Difference:
    """The paired difference a − b: the same questions drawn for both in every round."""
    other = {r["id"]: r["grades"].get(metric) for r in b.rows}
    pairs = [(r["grades"][metric], other[r["id"]]) for r in a.rows
             if r["grades"].get(metric) is not None and other.get(r["id"]) is not None]
    if not pairs:
        raise CourseError(f"{a.system} and {b.system} share no question graded on '{metric}'. "
                          "Let both sit the same exam.")
    gaps = np.array([x - y for x, y in pairs])
    spread, up, down = interval(gaps, seed), int((gaps > 0).sum()), int((gaps < 0).sum())
    better, worse = (down, up) if metric in LESS_IS_BETTER else (up, down)
    return Difference(spread.value, spread.low, spread.high, len(pairs), better, worse)
