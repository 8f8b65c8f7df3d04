"""Conversations -> tokens -> batches of like length, ready to learn from.

Of every example the last reply is learned, up to and with the token that ends the turn; what
stands before it is context. The padding is on the right, where causal attention never looks, so
it needs no mask. Nothing is cut: an example that does not fit is named and refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from utils.documents import CourseError
from utils.generation import Generator
from utils.prompts import Message

ROLES = ("system", "user", "assistant")
EXAMPLE = ('{"messages": [{"role": "user", "content": "…"}, '
           '{"role": "assistant", "content": "…"}]}')
WIDTH = 16  # rows are padded to a multiple of this: few shapes, little padding


@dataclass(frozen=True)
class Tokens:
    """One example: what the model reads. From `answer` on it learns to say it.

    The places in `again` are learned once more, as often as they stand there.
    """

    ids: tuple[int, ...]
    answer: int
    again: tuple[int, ...] = ()

    @property
    def learned(self) -> int:
        """How many tokens the loss is summed over."""
        return len(self.ids) - self.answer + len(self.again)


@dataclass(frozen=True)
class Batch:
    """Padded rows, the places in them (counted through) that predict, and what they predict."""

    inputs: torch.Tensor
    places: torch.Tensor
    labels: torch.Tensor


def read_examples(path: str | Path):
    """A JSONL file of conversations as a `datasets.Dataset`; a mistake is named with its line."""
    from datasets import Dataset
    from pyarrow import ArrowException

    path = Path(path)
    if not path.is_file():
        raise CourseError(f"There is no example file {path}. Check the path; it is read from "
                          f"{Path.cwd()}.")
    rows = []
    for number, line in enumerate(path.read_bytes().decode("utf-8-sig", "replace").split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as problem:
            raise CourseError(f"{where}: this is no JSON ({problem}). Write one object a line, "
                              f"such as {EXAMPLE}.") from None
        rows.append({**row, "messages": turns(row, where)} if isinstance(row, dict)
                    else turns(row, where))
    if not rows:
        raise CourseError(f"{path} holds no example. Write one JSON object a line, such as "
                          f"{EXAMPLE}.")
    try:
        names = dict.fromkeys(name for row in rows for name in row)  # the first may lack some
        return Dataset.from_list([{name: row.get(name) for name in names} for row in rows])
    except (ArrowException, TypeError) as problem:
        raise CourseError(f"{path}: one field holds different kinds of values in different lines "
                          f"({problem}). Give it one kind, or leave it out.") from None


def turns(row: object, where: str) -> list[Message]:
    """The messages of an example, checked: user and assistant in turn, the last one a reply."""
    messages = row.get("messages") if isinstance(row, dict) else None
    if not isinstance(messages, list) or not messages:
        raise CourseError(f"{where}: the list 'messages' is missing or empty. Write {EXAMPLE}.")
    for n, message in enumerate(messages, 1):
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ROLES:
            raise CourseError(f"{where}: message {n} has the role {role!r}. Choose one of: "
                              f"{', '.join(ROLES)}.")
        if not isinstance(message.get("content"), str) or not message["content"].strip():
            raise CourseError(f"{where}: message {n}, of the {role}, is empty. Write its text, or "
                              "leave the example out.")
    spoken = [m["role"] for m in messages[messages[0]["role"] == "system":]]
    if not spoken or spoken != ["user", "assistant"] * (len(spoken) // 2):
        raise CourseError(f"{where}: after an optional system message, user and assistant take "
                          f"turns and the assistant is last; here they are {', '.join(spoken)}. "
                          "Put them in order.")
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def checksum(examples: Sequence[dict]) -> str:
    """Tells whether two trainings saw the same conversations in the same order."""
    digest = hashlib.sha256()
    for row in examples:
        digest.update(json.dumps(row["messages"], sort_keys=True).encode())
    return digest.hexdigest()


def tokenised(generator: Generator, examples: Sequence[dict], what: str = "example",
              weights: Sequence[tuple[str, int]] = ()) -> list[Tokens]:
    """Every example as tokens, through the model's chat template; refuses what does not fit.

    `weights` names fields of replies in JSON, and how often the tokens of their values count.
    """
    limit = min(generator.longest, generator.model.config.max_position_embeddings)
    closing, ends = _closing(generator), _ends(generator)
    found = [_tokens(generator, turns(row, f"{what} {n}"), closing, ends, weights)
             for n, row in enumerate(examples, 1)]
    long = {n: len(t.ids) for n, t in enumerate(found, 1) if len(t.ids) > limit}
    if long:
        named = ", ".join(f"{n} ({size:,})" for n, size in list(long.items())[:5])
        raise CourseError(
            f"{len(long)} of {len(found)} {what}s are longer than the {limit:,} tokens the model "
            f"reads: number {named}{' …' if len(long) > 5 else ''}. Shorten them or leave them "
            "out; cut in silence they would teach the wrong ending.")
    return found


def _tokens(generator: Generator, messages: list[Message], closing: str, ends: set[int],
            weights: Sequence[tuple[str, int]]) -> Tokens:
    """The prompt exactly as the model is asked, and behind it the reply with its end."""
    *before, reply = messages
    prompt = generator.tokenizer(generator.prompt(before), add_special_tokens=False)["input_ids"]
    text = reply["content"].strip()
    read = generator.tokenizer(text + closing, add_special_tokens=False,
                               return_offsets_mapping=bool(weights))
    said = list(read["input_ids"])
    while said and said[-1] not in ends:  # the template's line break behind the end
        said.pop()
    if not said:
        raise CourseError(f"The chat template closes a reply with {closing!r}, and generation "
                          f"does not stop at that: a model trained so would never stop. Set "
                          "generation_config.eos_token_id to the token that ends a turn.")
    again = tuple(len(prompt) + n for field, times in weights
                  for start, end in _values(text, field)
                  for n, (a, b) in enumerate(read["offset_mapping"]) if a < end and start < b
                  for _ in range(times - 1))
    return Tokens((*prompt, *said), len(prompt), again)


def _values(text: str, field: str) -> list[tuple[int, int]]:
    """Where in a reply the values of that field stand."""
    pattern = rf'"{re.escape(field)}": *(?:"((?:[^"\\]|\\.)*)"|([^\s,}}\]]+))'
    return [m.span(1 if m[1] is not None else 2) for m in re.finditer(pattern, text)]


def _closing(generator: Generator) -> str:
    """What the chat template puts behind a reply."""
    mark = "reply\u2042reply"
    text = generator.tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}],
        tokenize=False, enable_thinking=False)
    if mark not in text:
        raise CourseError("The model's chat template leaves out what the assistant says, so "
                          "nothing could be learned. Choose a model with a chat template.")
    return text.rpartition(mark)[2]


def _ends(generator: Generator) -> set[int]:
    """The tokens at which `generate` stops."""
    named = generator.model.generation_config.eos_token_id
    return set(named if isinstance(named, list) else [named]) - {None}


def plan(lengths: Sequence[int], tokens_per_batch: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of one epoch as lists of example numbers, in order.

    A pure function of its arguments, so that a training can go on anywhere. Examples of one width
    are shuffled among themselves and the batches among each other; number and shapes of the
    batches are the same in every epoch, and none holds more padded tokens than was asked for.
    """
    random = np.random.default_rng([seed, epoch])
    widths = np.array([_width(n) for n in lengths], dtype=int)
    order = random.permutation(len(lengths))
    order = order[np.argsort(-widths[order], kind="stable")]
    widths, tokens = widths[order], tokens_per_batch
    sizes = _sizes(widths, tokens)
    while tokens > max(widths, default=0) and len(_sizes(widths, tokens - WIDTH)) == len(sizes):
        tokens -= WIDTH  # as many batches, but of like size: no small one at the end
    sizes = _sizes(widths, tokens)
    groups = [group.tolist() for group in np.split(order, np.cumsum(sizes))[:-1]]
    return [groups[n] for n in random.permutation(len(groups))]


def _sizes(widths: Sequence[int], tokens: int) -> list[int]:
    """How many of the rows, the longest first, go into each batch; at least one."""
    sizes: list[int] = []
    while (done := sum(sizes)) < len(widths):
        sizes.append(min(max(1, tokens // widths[done]), len(widths) - done))
    return sizes


def batch(tokens: Sequence[Tokens], device, padding: int = 0) -> Batch:
    """The examples as one batch: every token of a reply is predicted by the one before it."""
    width = _width(max(len(t.ids) for t in tokens))
    rows = [[*t.ids, *[padding] * (width - len(t.ids))] for t in tokens]
    places = [row * width + n - 1 for row, t in enumerate(tokens)
              for n in (*range(t.answer, len(t.ids)), *t.again)]
    labels = [t.ids[n] for t in tokens for n in (*range(t.answer, len(t.ids)), *t.again)]
    return Batch(*(torch.tensor(x, device=device) for x in (rows, places, labels)))


def _width(length: int) -> int:
    return -(-length // WIDTH) * WIDTH
