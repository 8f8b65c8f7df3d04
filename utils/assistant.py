"""The one assistant with two sockets: retriever? + model (+ adapter)? -> Answer.

Filling the sockets differently gives every system of the course. An answer carries its trace:
what was retrieved, what the model was shown, which documents it cites, and how long each took.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from utils import prompts
from utils.adapters import with_adapter
from utils.calibration import floor_of
from utils.chunking import by_sentence
from utils.documents import CourseError, Document
from utils.embedding import load_embedder
from utils.exam import Question, Sitting, grade
from utils.generation import Generator
from utils.grading import cited_numbers, house_json
from utils.index import build, open_index
from utils.loading import load_generator
from utils.profiles import ROOT, Profile, choose
from utils.reranking import load_reranker
from utils.retrieval import Hit, Retriever, checked, near, parts_of

CHUNKER = by_sentence  # short evidence: what the pocket model reads best
Prompt = Callable[[str, Sequence], list[prompts.Message]]

SPLIT = (prompts.grounded, prompts.shown)  # prompts under which two questions are asked apart
ADAPTERS = ROOT / "build" / "adapters"  # where the notebooks leave what they trained


@dataclass(frozen=True)
class Filling:
    """How a system fills the sockets: searches? generates? with which words, which adapter?"""

    searches: bool
    generates: bool
    prompt: Prompt = prompts.grounded
    adapter: str | None = None


SYSTEMS = {
    "extractive": Filling(True, False),
    "base": Filling(False, True),
    "prompted": Filling(True, True, prompts.house),
    "rag": Filling(True, True),
    "tuned": Filling(False, True, adapter="tuned"),
    "hybrid_naive": Filling(True, True, prompts.shown, "tuned"),
    "hybrid": Filling(True, True, prompts.shown, "hybrid"),
}


@dataclass(frozen=True)
class Answer:
    """A reply and how it came about."""

    question: str
    text: str
    cited: tuple[str, ...] = ()
    hits: tuple[Hit, ...] = ()
    messages: tuple[prompts.Message, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    shown: tuple[int, ...] = ()  # which of the hits the model saw; the first is 1

    def trace(self) -> str:
        """What was found, what was shown to the model, and what it made of it."""
        lines = [f"Question  {self.question}", ""]
        for n, hit in enumerate(self.hits, 1):
            places = ", ".join(f"{name} {rank}" for name, rank in hit.ranks.items())
            seen = "" if n in self.shown or not self.messages else ", not shown to the model"
            lines += [f"[{n}] {hit.chunk.document}  score {hit.score:.3f}  (rank: {places}){seen}",
                      f"    {hit.chunk.place}",
                      *("    " + line for line in hit.chunk.text.splitlines())]
        if not self.hits:
            lines.append("Nothing was retrieved: the model answers from its weights.")
        spent = ", ".join(f"{name} {s * 1000:.0f} ms" for name, s in self.seconds.items())
        return "\n".join([*lines, "", f"Answer    {self.text}",
                          f"Cites     {', '.join(self.cited) or 'nothing'}", f"Time      {spent}"])


@dataclass
class Assistant:
    """A system of the course: its name, and what fills its two sockets."""

    name: str
    retriever: Retriever | None = None
    generator: Generator | None = None
    prompt: Prompt = prompts.grounded
    max_new_tokens: int = 128  # the longest replies of the house have about 110
    in_parts: bool = True  # two questions in one message: each is asked with its own passages

    def __post_init__(self) -> None:
        if self.retriever is None and self.generator is None:
            raise CourseError("An assistant needs a retriever, a model, or both.")

    def answer(self, question: str) -> Answer:
        """One question's answer."""
        return self.answers([question])[0]

    def answers(self, questions: Sequence[str], progress: bool = False) -> list[Answer]:
        """An answer to each question, made in batches."""
        start = time.perf_counter()
        found: list[list[Hit]] = [[] for _ in questions]
        if self.retriever:
            found = self.retriever.search_many(questions)
        looked = (time.perf_counter() - start) / max(1, len(questions))
        if self.generator is None:
            return [self._extract(q, hits, looked)
                    for q, hits in zip(questions, found, strict=True)]
        pieces = [self.pieces(checked(q), hits) for q, hits in zip(questions, found, strict=True)]
        asked = [[self.messages(text, [hits[n] for n in numbers]) for text, numbers in some]
                 for some, hits in zip(pieces, found, strict=True)]
        start = time.perf_counter()
        said = iter(self.generator.replies(
            [m for group in asked for m in group], self.max_new_tokens, progress,
            [[hits[n].chunk for n in numbers] for some, hits in zip(pieces, found, strict=True)
             for _, numbers in some]))
        wrote = (time.perf_counter() - start) / max(1, len(questions))
        seconds = {"retrieval": looked, "generation": wrote}
        texts = [_together([(next(said), numbers) for _, numbers in some]) for some in pieces]
        shown = [tuple(sorted({n + 1 for _, numbers in some for n in numbers})) for some in pieces]
        return [Answer(q, text, cited_documents(text, hits, numbers), tuple(hits),
                       tuple(m for messages in group for m in messages), seconds, numbers)
                for q, text, hits, numbers, group in zip(questions, texts, found, shown, asked,
                                                         strict=True)]

    def pieces(self, question: str, hits: Sequence[Hit]) -> list[tuple[str, list[int]]]:
        """What is asked, with the numbers of the hits it is asked over.

        That is the message and the near hits; or each of its questions with those of its own
        search. Where rules and examples stand before it, a message is asked as a whole: each part
        would be one more long prompt.
        """
        number = {id(hit): n for n, hit in enumerate(hits)}
        whole = [(question, [number[id(hit)] for hit in near(hits)])]
        if not self.in_parts or self.retriever is None or self.prompt not in SPLIT:
            return whole
        pieces = []
        for n, part in enumerate(parts_of(question), 1):
            own = [hit for hit in hits if f"part {n}" in hit.ranks]
            own.sort(key=lambda hit: hit.ranks[f"part {n}"])
            pieces.append((part, [number[id(hit)] for hit in near(own)]))
        return pieces if len(pieces) > 1 and all(own for _, own in pieces) else whole

    def messages(self, question: str, hits: Sequence[Hit]) -> list[prompts.Message]:
        """What the model is sent: the question, with what was found if anything searches."""
        if self.retriever is None:
            return prompts.closed_book(question)
        return self.prompt(question, [h.chunk for h in hits])

    def _extract(self, question: str, hits: list[Hit], looked: float) -> Answer:
        """The baseline without a model: the sentence retrieved first, quoted; one a question."""
        if not hits:  # the cut-off left nothing
            return Answer(question, prompts.ABSTENTION, seconds={"retrieval": looked})
        best = [numbers[0] for _, numbers in self.pieces(question, hits)]
        text = _together([(f"[1] {hits[n].chunk.text}", [n]) for n in best])
        return Answer(question, text, cited_documents(text, hits), tuple(hits),
                      seconds={"retrieval": looked})


def system(name: str, documents: Sequence[Document] = (), profile: Profile | None = None,
           index_file: Path | None = None, generator: Generator | None = None,
           folder: str | Path | None = None) -> Assistant:
    """One of the course's systems over these documents, with the profile's models.

    With `index_file` the index is kept there and only what changed is embedded again. `folder` is
    where the documents were read from: a floor of their own lies there.
    """
    if name not in SYSTEMS:
        raise CourseError(f"There is no system '{name}'. Choose one of: {', '.join(SYSTEMS)}.")
    filling = SYSTEMS[name]
    profile = profile or choose()
    retriever = None
    if filling.searches:
        embedder = load_embedder(profile.embedder)
        if index_file:
            index, _ = open_index(documents, index_file, CHUNKER, embedder)
        else:
            index = build(documents, CHUNKER, embedder)
        reranker = load_reranker(profile.reranker)
        retriever = Retriever(index, embedder, reranker,
                              floor=floor_of(documents, reranker, folder))
    if not filling.generates:
        return Assistant(name, retriever)
    generator = generator or load_generator(profile)
    if filling.adapter:
        generator = with_adapter(generator, _trained(filling.adapter, name))
    return Assistant(name, retriever, generator, filling.prompt)


def _trained(adapter: str, name: str) -> Path:
    folder = ADAPTERS / adapter
    if not folder.is_dir():
        raise CourseError(f"The system '{name}' wears an adapter that is not trained yet. Train it "
                          "with: python3 -m utils run, or in notebooks 04 and 05.")
    return folder


def _together(replies: Sequence[tuple[str, Sequence[int]]]) -> str:
    """The replies to the parts of a message as one; their numbers become those of all hits."""
    def renumbered(text: str, numbers: Sequence[int]) -> str:
        return re.sub(r"\[(\d+)\]", lambda m: f"[{numbers[int(m[1]) - 1] + 1}]"
                      if 1 <= int(m[1]) <= len(numbers) else m[0], text)

    if len(replies) == 1 and list(replies[0][1]) == list(range(len(replies[0][1]))):
        return replies[0][0]
    texts = list(dict.fromkeys(renumbered(*reply) for reply in replies))
    return _one_form(texts) or " ".join(texts)


def _one_form(texts: Sequence[str]) -> str | None:
    """Replies in the house's form as one; None if one of them is not in that form.

    What they say stands in one frame, and all their sources are named. The first queue takes over;
    the highest urgency counts.
    """
    forms = [house_json(text) for text in texts]
    if not all(form and isinstance(form.get("reply"), str)
               and isinstance(form.get("sources"), list) for form in forms):
        return None
    frames = [prompts.FRAMED.fullmatch(form["reply"]) for form in forms]
    said = [frame["said"] if all(frames) else form["reply"]
            for frame, form in zip(frames, forms, strict=True)]
    if all(frames):
        said = [frames[0]["opening"], *said, frames[-1]["closing"]]
    merged = forms[0] | {"reply": " ".join(dict.fromkeys(said)), "sources": list(
        dict.fromkeys(str(name) for form in forms for name in form["sources"]))}
    if "urgency" in merged:
        merged["urgency"] = max((form.get("urgency") for form in forms),
                                key=lambda word: "low normal high".find(str(word)))
    return json.dumps(merged, ensure_ascii=False)


def cited_documents(text: str, hits: Sequence[Hit], shown: Sequence[int] = ()) -> tuple[str, ...]:
    """The documents a reply names: by [n], or by id in the `sources` of a house reply.

    A number that was not among the shown (if those are given), or an id that was not among the
    retrieved, is kept as it stands: it is made up, and counts as a wrong citation.
    """
    house = house_json(text)
    if house is not None:
        named = house.get("sources") or []
        names = [str(s) for s in (named if isinstance(named, list) else [named])]
    else:
        names = [f"[{n}]" for n in cited_numbers(text)]
    there, found = {hit.chunk.document for hit in hits}, []
    shown = shown or range(1, len(hits) + 1)
    for name in names:
        bare = name if name in there else name.strip("[]")
        number = int(bare) if name not in there and re.fullmatch("[0-9]{1,4}", bare) else 0
        found.append(hits[number - 1].chunk.document if number in shown else bare)
    return tuple(dict.fromkeys(found))


def sit(assistant: Assistant, questions: Sequence[Question], progress: bool = False) -> Sitting:
    """The assistant's answers to an exam, graded."""
    answers = assistant.answers([q.question for q in questions], progress)
    sitting = Sitting(assistant.name)
    for question, answer in zip(questions, answers, strict=True):
        sitting.rows.append({
            "id": question.id, "kind": question.kind, "question": question.question,
            "answer": answer.text, "cited": list(answer.cited),
            "retrieved": [{"document": h.chunk.document, "start": h.chunk.start,
                           "end": h.chunk.end} for h in answer.hits],
            "grades": grade(question, answer.text, answer.cited),
            "ms": round(1000 * sum(answer.seconds.values()), 1)})
    return sitting
