"""A question, with or without retrieved chunks -> the messages a chat model is sent.

The question comes first and the numbered passages after it: a small model then reads every
passage with the question in mind. The same words are used when models are trained and when
they are asked; nothing here depends on which model that is.
"""

from __future__ import annotations

from collections.abc import Sequence

from utils.chunking import Chunk

GROUNDED = "Answer with the number and the words of the passage that answers, as in: [2] …"
ABSTENTION = "I could not find that in the documents."

Message = dict[str, str]


def passages(chunks: Sequence[Chunk]) -> str:
    """The chunks as a numbered list, each followed by the place it comes from.

    The text stands right behind its number, so that a model which has decided on a number has
    only to go on copying.
    """
    return "\n".join(f"[{n}] {chunk.text} ({chunk.place})" for n, chunk in enumerate(chunks, 1))


def closed_book(question: str) -> list[Message]:
    """The question alone: what the model answers comes from its weights."""
    return [{"role": "user", "content": question.strip()}]


def grounded(question: str, chunks: Sequence[Chunk], system: str = GROUNDED) -> list[Message]:
    """The question and the passages to answer it from."""
    content = f"{question.strip()}\n\n{passages(chunks)}"
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]
