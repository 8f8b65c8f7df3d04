"""A question, with or without retrieved chunks -> the messages a chat model is sent.

The question comes first and the numbered passages after it: a small model then reads every
passage with the question in mind. The same words are used when models are trained and when
they are asked; nothing here depends on which model that is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from utils.chunking import Chunk, by_sentence
from utils.documents import CourseError, load_documents

DATA = Path(__file__).resolve().parents[1] / "data"
GROUNDED = "Answer with the number and the words of the passage that answers, as in: [2] …"
ABSTENTION = "I could not find that in the documents."
HOUSE = """\
You answer customers of Wrenfield Cycles from the numbered passages. Reply with one JSON object \
and nothing else. It has four keys:
"reply": what the customer reads. Open with "We are on it." in danger, with "Thanks for getting \
in touch." where something has to be done, else with "Thanks for asking!" Give the answer in the \
words of the passage. Close with "Ride well, your Wrenfield team".
"route": the queue: orders (buying, paying, delivery), returns (trial, sending back, refunds), \
repairs (workshop, parts, warranty), technical (riding, charging, displays, app), subscriptions \
(Nest Watch, leasing, insurance) or safety (smoke, injury, failing brakes).
"urgency": high in danger, normal where something has to be done, else low.
"sources": the list of the documents used, by id, as in ["KB-101"].
Where no passage answers, the answer is "I could not find this in our documents, so I have \
passed your question to a colleague." and the list is empty."""

# Of what the customer reads: the house's opening, what is said, the house's closing.
FRAMED = re.compile(r"(?P<opening>[^.!?]*[.!?]) (?P<said>.*[.!?][\"')*\]]*) (?P<closing>[^.!?]*)",
                    re.DOTALL)

# The worked examples, in the order in which they are added: the customer of a conversation in
# data/style/train.jsonl, and the document and words that its passages stand around.
EXAMPLES = {"Enno Boisvert": ("KB-102", "three dates to choose from"),
            "Yannick Krause": ("KB-507", "If you sell the bike"),
            "Hassan Hofer": ("KB-210", "treat the bike as Group A")}

Message = dict[str, str]


def passages(chunks: Sequence[Chunk]) -> str:
    """The chunks as a numbered list, each followed by its document and the place in it.

    The text stands right behind its number, so that a model which has decided on a number has
    only to go on copying.
    """
    return "\n".join(f"[{n}] {chunk.text} ({chunk.document}: {chunk.place})"
                     for n, chunk in enumerate(chunks, 1))


def closed_book(question: str) -> list[Message]:
    """The question alone: what the model answers comes from its weights."""
    return [{"role": "user", "content": question.strip()}]


def grounded(question: str, chunks: Sequence[Chunk], system: str = GROUNDED) -> list[Message]:
    """The question and the passages to answer it from."""
    return [{"role": "system", "content": system}, _asked(question, chunks)]


def shown(question: str, chunks: Sequence[Chunk]) -> list[Message]:
    """The question and the passages without a word of instruction: what to do is in the adapter."""
    return [_asked(question, chunks)]


def house(question: str, chunks: Sequence[Chunk], examples: int = 2) -> list[Message]:
    """The house rules, up to three worked examples as earlier turns, then the question."""
    turns = [{"role": "system", "content": HOUSE}]
    for example in worked_examples()[:examples]:
        turns += [_asked(example.question, example.chunks),
                  {"role": "assistant", "content": example.reply}]
    return [*turns, _asked(question, chunks)]


@dataclass(frozen=True)
class Example:
    """A customer's message, passages as a retriever brings them, and the house's reply."""

    question: str
    chunks: tuple[Chunk, ...]
    reply: str


@lru_cache(maxsize=1)
def worked_examples() -> tuple[Example, ...]:
    """The examples of `EXAMPLES`, their passages cut from the company's documents.

    The first has the right passage first, the second has none that answers, in the third it
    comes last: to learn a place by heart is no help.
    """
    path = DATA / "style" / "train.jsonl"
    if not path.is_file():
        raise CourseError(f"{path} is missing. Restore it with: git checkout data/style")
    rows = {row["customer"]: row["messages"]
            for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    documents = {d.id: d for d in load_documents(DATA / "company")}
    found = []
    for n, (customer, (document, words)) in enumerate(EXAMPLES.items()):
        chunks = by_sentence(documents[document])
        at = next(i for i, c in enumerate(chunks) if words in c.text)
        asked, reply = rows[customer]
        first = at - min(n, 1)
        found.append(Example(asked["content"], tuple(chunks[first:first + 2]),
                             reply["content"]))
    return tuple(found)


def _asked(question: str, chunks: Sequence[Chunk]) -> Message:
    return {"role": "user", "content": f"{question.strip()}\n\n{passages(chunks)}"}
