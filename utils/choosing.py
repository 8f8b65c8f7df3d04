"""A team's case -> what five articles would have it build, and what the scoreboard says of that.

The aids are those that teams really read, restated as a few ifs each. Where an article says "often"
or "enough" without a number, the number here is our reading of it. The scoreboard knows one
company, one exam and one model: it can contradict an article, and it cannot prove one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

OFTEN = 4  # changes a year from which documents "change often"
HUNDREDS, THOUSAND = 200, 1000  # labelled examples
BARS = {"format": 0.97, "route": 0.90, "abstains": 0.80, "fresh": 0.85}  # set before measuring
SIMPLEST_FIRST = ("extractive", "base", "rag", "formed", "prompted", "tuned", "hybrid_naive",
                  "hybrid")


@dataclass(frozen=True)
class Case:
    """What a team knows about its task before it has built anything."""

    name: str
    documents: bool = True  # the answers stand in documents
    changes_a_year: int = 0  # how often these change
    cites: bool = False  # a reply must name its sources
    form: bool = False  # a reply has a fixed form, such as JSON with certain keys
    voice: bool = False  # how a reply sounds is part of the task; no metric of the table hears it
    labels: bool = False  # every message gets a label, such as a queue
    examples: int = 0  # labelled examples that are there today
    trains: bool = True  # somebody is there who can train a model and examine it

    @property
    def changes_often(self) -> bool:
        """Whether the documents change as often as the articles mean it."""
        return self.documents and self.changes_a_year >= OFTEN

    @property
    def behaves(self) -> bool:
        """Whether the task is, in part, how the model behaves."""
        return self.form or self.voice or self.labels


@dataclass(frozen=True)
class Advice:
    """A row of the scoreboard, and why an article points to it."""

    system: str
    why: str


# ---------------------------------------------------------------- the articles


def novacademy(case: Case) -> Advice:
    """Six rows and a sequence: retrieve, prompt, and tune for a failure that keeps coming back."""
    looked_up = case.changes_often or case.cites
    if case.behaves and case.examples >= HUNDREDS:
        return (Advice("hybrid", "sources or fresh facts, and a form that examples can teach")
                if looked_up else Advice("tuned", "style or format is the problem"))
    if case.behaves:
        return Advice("prompted", "prompts come before training, and there are few examples")
    return Advice("rag", "retrieval comes first, and nothing asks for more")


def when_to_use_which(case: Case) -> Advice:
    """Four questions in order: updated often? behaviour? fits a window? hundreds of examples?"""
    viable = case.behaves and case.examples >= HUNDREDS
    if case.changes_often:
        return (Advice("hybrid", "updated often, and hundreds of examples of the behaviour")
                if viable else Advice("rag", "answers rest on what is updated often"))
    if viable:
        return Advice("tuned", "format, style or a task, and hundreds of examples of it")
    return Advice("rag", "too few examples to tune" if case.behaves else "the answer fits a prompt")


def novaluxe(case: Case) -> Advice:
    """Three questions: does knowledge change? must behaviour? more than 1,000 examples?"""
    if case.changes_often:
        return Advice("rag", "knowledge changes")
    if case.behaves and case.examples > THOUSAND:
        return Advice("tuned", "behaviour must change, and there are more than 1,000 examples")
    if case.behaves:
        return Advice("prompted", "fewer than 1,000 examples: prompts first")
    return Advice("rag", "knowledge, not behaviour")


def knowledgehut(case: Case) -> Advice:
    """Dimensions: freshness and sources to RAG, a stable form to tuning, both where both count."""
    looked_up = case.changes_often or case.cites
    if case.behaves and case.trains:
        return (Advice("hybrid", "a voice or a form, with fresh facts or citations") if looked_up
                else Advice("tuned", "a stable task in a consistent form"))
    if case.behaves:
        return Advice("prompted", "nobody to train and examine a model")
    return Advice("rag", "freshness, attribution, speed")


def gradient_descent_weekly(case: Case) -> Advice:
    """Nine scenarios, from support out of documents to mail in a brand's tone."""
    if case.behaves and case.changes_often:
        return Advice("hybrid", "meant to last: fresh documents and a style")
    if case.behaves:
        return Advice("tuned", "control of structure or style")
    return Advice("rag", "support, internal questions, changing documents")


AIDS: dict[str, Callable[[Case], Advice]] = {
    "Novacademy": novacademy, "When to Use Which": when_to_use_which, "Novaluxe": novaluxe,
    "KnowledgeHut": knowledgehut, "Gradient Descent Weekly": gradient_descent_weekly}


# ---------------------------------------------------------------- the table


def needs(case: Case) -> list[str]:
    """The metrics that decide this case."""
    wanted = {"facts": case.documents, "cites": case.cites, "fresh": case.changes_often,
              "format": case.form, "route": case.labels}
    return [metric for metric, needed in wanted.items() if needed]


def weakest(board: Mapping, system: str, metrics: Sequence[str]) -> tuple[str, Mapping] | None:
    """The metric in which a system is worst, with its figure; None where one was not measured.

    A reply is used whole. A perfect form around a wrong fact helps nobody, so a mean would flatter.
    """
    row = board["systems"].get(system, {})
    if not metrics or any(metric not in row for metric in metrics):
        return None
    metric = min(metrics, key=lambda m: row[m]["value"])
    return metric, row[metric]


def measured(board: Mapping, case: Case) -> list[str]:
    """The systems that are best for the case or cannot be told from the best, simplest first.

    Two figures count as level where their intervals touch. That is a coarse rule: it does not
    compare question by question, as the notebooks do where the replies are at hand.
    """
    found = {system: worst[1] for system in SIMPLEST_FIRST
             if (worst := weakest(board, system, needs(case)))}
    if not found:
        return []
    best = max(found.values(), key=lambda cell: cell["value"])
    return [system for system, cell in found.items()
            if cell["value"] > 0 and cell["high"] >= best["low"]]


# ---------------------------------------------------------------- what a year costs


def year(spent: Mapping[str, float], updates: int, questions: int) -> dict[str, float] | None:
    """Hours of computing in a year: to build once, to keep up, to answer; None if not measured."""
    if any(cost not in spent for cost in ("setup_s", "refresh_s", "ms_per_question")):
        return None
    return {"build": spent["setup_s"] / 3600, "keep up": updates * spent["refresh_s"] / 3600,
            "answer": questions * spent["ms_per_question"] / 3.6e6}


# ---------------------------------------------------------------- the claims


@dataclass(frozen=True)
class Claim:
    """What the articles claim, where the course tests it, and what of the table decides it.

    Without a notebook it is not tested anywhere; without parts, only the notebook decides.
    """

    number: int
    text: str
    notebook: str
    parts: Callable[[Mapping], dict[str, bool | None]] | None = None

    def verdict(self, board: Mapping) -> str:
        """Holds, holds in part, does not, cannot tell; or that a row is missing."""
        if self.parts is None:
            return "see the notebook" if self.notebook else "not measured"
        try:
            states = set(self.parts(board).values())
        except KeyError:
            return "not measured here"
        return ("holds here" if states == {True} else "holds in part" if True in states else
                "does not hold here" if False in states else "this exam cannot tell")


def above(board: Mapping, one: str, other: str, metric: str) -> bool | None:
    """Whether one system's figure lies above the other's; None where the intervals touch."""
    a, b = board["systems"][one][metric], board["systems"][other][metric]
    return True if a["low"] > b["high"] else False if a["high"] < b["low"] else None


def _value(board: Mapping, system: str, metric: str) -> float:
    return board["systems"][system][metric]["value"]


def _cost(board: Mapping, system: str, cost: str) -> float:
    return board["costs"][system][cost]


def _reaches(board: Mapping, system: str, metrics: Iterable[str]) -> dict[str, bool | None]:
    return {f"{metric} of {system} at least {BARS[metric]}":
            _value(board, system, metric) >= BARS[metric] for metric in metrics}


def _more(board: Mapping, one: str, other: str, metrics: Sequence[str]) -> dict[str, bool | None]:
    return {f"{metric} of {one} above {other}": above(board, one, other, metric)
            for metric in metrics}


CLAIMS = (
    Claim(1, "RAG keeps knowledge current: update documents, not weights", "05",
          lambda b: _more(b, "rag", "tuned", ("fresh",))),
    Claim(2, "The facts of a tuned model are frozen and go stale", "04"),
    Claim(3, "RAG can cite; a tuned model makes sources up", "04",
          lambda b: _more(b, "rag", "tuned", ("cites",))),
    Claim(4, "One can see whether retrieval or generation failed", "03"),
    Claim(5, "Fine-tune for form, for prompting alone is not reliable; retrieve for facts", "05",
          lambda b: {**_reaches(b, "tuned", ("format", "route")),
                     **_more(b, "tuned", "prompted", ("format", "route")),
                     **_more(b, "rag", "tuned", ("facts",))}),
    Claim(6, "Good prompts reach four fifths of it at a fraction of the cost", "03",
          lambda b: {m: _value(b, "prompted", m) >= 0.8 * _value(b, "tuned", m)
                     for m in ("format", "route")}),
    Claim(7, "A tuned model needs shorter prompts", "04",
          lambda b: {"prompt tokens": _cost(b, "tuned", "prompt_tokens")
                     < _cost(b, "prompted", "prompt_tokens")}),
    Claim(8, "A tuned small model can beat a larger one on the task", ""),
    Claim(9, "Hundreds of examples are needed, or more than 1,000", "04"),
    Claim(10, "LoRA gives most of what full fine-tuning gives", "04"),
    Claim(11, "More documents do not repair a wrong form", "03"),
    Claim(12, "Fine-tuning repairs neither bad chunks nor weak retrieval", "05"),
    Claim(13, "RAG fails where an answer is spread over many documents", "03"),
    Claim(14, "Chunking decides", "02"),
    Claim(15, "RAG adds latency, and prompts get longer", "05",
          lambda b: {cost: _cost(b, "rag", cost) > _cost(b, "tuned", cost)
                     for cost in ("ms_per_question", "prompt_tokens")}),
    Claim(16, "RAG scales to millions of documents, weights do not", "02"),
    Claim(17, "RAG invents less, and the hybrid less again", "05",
          lambda b: {**_more(b, "base", "rag", ("invents",)),
                     **_more(b, "rag", "hybrid", ("invents",))}),
    Claim(18, "Examples that are too narrow look good and fail in the wild", "04"),
    Claim(19, "Fine-tuning is a cost that comes back", "06",
          lambda b: {"seconds to keep up": _cost(b, "tuned", "refresh_s")
                     > _cost(b, "rag", "refresh_s")}),
    Claim(20, "Weights memorise, an index forgets", "04"),
    Claim(21, "A lightly tuned embedder lifts retrieval", "extra"),
    Claim(22, "Evaluate first", "03"),
    Claim(23, "The hybrid: right form, right facts, cited, fresh", "05",
          lambda b: {**{m: _value(b, "hybrid", m) >= _value(b, "rag", m) - 0.03
                        for m in ("facts", "cites")},
                     **_reaches(b, "hybrid", BARS)}),
    Claim(24, "There is a tool for every station", ""),
)
