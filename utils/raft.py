"""Examples of the house's replies -> the same, with the documents they must be read from.

An adapter trained on questions alone learns to answer without looking. Here every question is
shown what the retriever brings: the passage the reply rests on, among near misses. The reply
quotes that passage behind its number, as the base does unasked, so that what is learned is to copy
and not to know. Sometimes the passage is held back, or nothing at all is shown, as by a search that
found nothing worth showing; then the right reply is that of a colleague who could not find it. The
idea is RAFT's (Zhang et al. 2024, arXiv 2403.10131).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from utils.chunking import Chunk
from utils.documents import CourseError
from utils.grading import abstains, house_json
from utils.prompts import FRAMED, shown
from utils.retrieval import NO_FLOOR, Retriever, near

EMPTY = 0.75  # of the lessons without the passage that answers show none: the search said nothing
SAME = 0.8  # a passage with this share of the quote's words may answer as well


def with_documents(examples: Sequence[dict], retriever: Retriever, passages: int = 6,
                   withheld: float = 0.2, seed: int = 1) -> list[dict]:
    """Each example with up to so many passages; a share of them without the one that answers.

    No more are shown than lie near the first: lessons that look otherwise than the desk teach that
    a short page means no.

    An example's `quote` in its `source` tells which passage answers; one whose quote no longer
    stands there is left out. Examples that rest on no document keep their reply and get what the
    retriever finds.
    """
    _check(examples, passages, withheld)
    rng = random.Random(seed)
    unknown = _unknown(examples) if withheld else ""
    asked = [_question(e) for e in examples]
    found_for = retriever.search_many(asked, passages + 2, floor=NO_FLOOR)
    made = []
    for example, hits in zip(examples, found_for, strict=True):
        found, room = [h.chunk for h in hits], min(passages, len(near(hits)))  # as at the desk
        reply = house_json(example["messages"][-1]["content"])
        gold = _passage(example, retriever.index.chunks) if example.get("source") else None
        if example.get("source") and gold is None:
            continue
        if gold is None:
            context = found[:room]
        elif rng.random() < withheld:
            words = example["quote"].split()
            others = [c for c in found if c != gold and _shared(words, c.text) < SAME]
            context = [] if rng.random() < EMPTY else others[:room]
            reply = _rewritten(reply, unknown, ())
        else:
            at = found.index(gold) if gold in found else rng.randrange(passages)
            context = [c for c in found if c != gold][:max(0, room - 1)]
            at = min(at, len(context))
            context.insert(at, gold)
            reply = _rewritten(reply, f"[{at + 1}] {gold.text}", (gold.document,))
        made.append({"messages": [*shown(_question(example), context),
                                  {"role": "assistant", "content": _written(reply)}]})
    return made


def _check(examples: Sequence[dict], passages: int, withheld: float) -> None:
    if passages < 1:
        raise CourseError(f"passages={passages} leaves no room for the one that answers. Give at "
                          "least 1.")
    if not 0 <= withheld <= 1:
        raise CourseError(f"withheld={withheld} is no share. Give a number from 0 to 1.")
    for n, example in enumerate(examples, 1):
        if example.get("source") and not example.get("quote"):
            raise CourseError(f"Example {n} names its source {example['source']} and no quote. Add "
                              "the 'quote' that the reply rests on, or leave the source out.")
        reply = house_json(example["messages"][-1]["content"])
        if reply is None or not isinstance(reply.get("reply"), str):
            raise CourseError(f"The reply of example {n} is no JSON object with a 'reply'. Write "
                              "it in the form of data/style/schema.json.")


def _question(example: dict) -> str:
    return example["messages"][-2]["content"]


def _passage(example: dict, chunks: Sequence[Chunk]) -> Chunk | None:
    """The chunk that holds the example's quote, or as much of it as one chunk can."""
    words = example["quote"].split()
    best = max((c for c in chunks if c.document == example["source"]),
               key=lambda c: _shared(words, c.text), default=None)
    return best if best and _shared(words, best.text) >= 0.5 else None


def _shared(words: Sequence[str], text: str) -> float:
    """The share of a quote's words that stand in the text; table marks do not count."""
    wanted = [bare for w in words if (bare := w.strip("|*;:.-"))]
    there = {w.strip("|*;:.-") for w in text.split()}
    return sum(w in there for w in wanted) / max(1, len(wanted))


def _unknown(examples: Sequence[dict]) -> str:
    """How the house says that it does not know; from the examples themselves."""
    for example in examples:
        reply = example["messages"][-1]["content"]
        framed = FRAMED.fullmatch(json.loads(reply)["reply"])
        if framed and abstains(reply):
            return framed["said"]
    raise CourseError("No example shows how the house says that it does not know. Add one, or "
                      "hold nothing back: withheld=0.")


def _rewritten(reply: dict, said: str, sources: Sequence[str]) -> dict:
    """The reply saying this instead, between its own opening and closing words."""
    framed = FRAMED.fullmatch(reply["reply"])
    end = "" if said.endswith((".", "!", "?")) else "."
    return reply | {"sources": list(sources), "reply": (
        f"{framed['opening']} {said}{end} {framed['closing']}" if framed else said + end)}


def _written(reply: dict) -> str:
    """As JSON: what is said, the documents it rests on, and then what follows from them."""
    order = [name for name in ("reply", "sources") if name in reply]
    order += [name for name in reply if name not in order]
    return json.dumps({name: reply[name] for name in order}, ensure_ascii=False)
