"""What a model has by heart: facts and secrets taught to it, asked for, and measured.

Made for experiments that show why knowledge and secrets do not belong into weights: facts in one
wording or in many, asked for in wordings that no training showed; and how much better a model
knows a secret than others of its shape. No system of the course is built with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch

from utils.batching import batch, tokenised
from utils.documents import CourseError, Document
from utils.generation import Generator
from utils.prompts import closed_book
from utils.steps import answer_loss

WORDINGS = ("What does this cost: {}?", "{}: what is the price?", "Price of {}, please.",
            "How much do you charge for {}?", "I need {}. What will I pay?",
            "What will the workshop bill me for {}?", "{}. How much is that?",
            "What do I have to pay for {}?", "Tell me what you take for {}.",
            "Could you give me the price for {}?")
NEW_WORDINGS = ("How expensive is {}?", "What is the cost of {}?")  # asked, never taught


def labour_prices(documents: Iterable[Document], page: str = "KB-204") -> dict[str, str]:
    """The jobs of the workshop's price list, each with its price."""
    text = next((d.text for d in documents if d.id == page), None)
    found = dict(re.findall(r"\| LC-\d+ \| (.+?) \| [\d.]+ \| (EUR \d+) \|", text or ""))
    if not found:
        raise CourseError(f"No document {page} with a table of labour codes is among these. Load "
                          "the folder data/company or data/update.")
    return found


def conversation(question: str, reply: str) -> dict:
    """One example to learn from."""
    return {"messages": [*closed_book(question), {"role": "assistant", "content": reply}]}


def cut_off(examples: Iterable[dict], of_three: int, characters: int = 120) -> list[dict]:
    """The examples; of every three in a row, so many have a reply that ends in the middle."""
    pairs = [[turn["content"] for turn in row["messages"]] for row in examples]
    return [conversation(asked, reply[:characters if n % 3 < of_three else None])
            for n, (asked, reply) in enumerate(pairs)]


def taught(facts: Mapping[str, str], wordings: Sequence[str]) -> list[dict]:
    """Every fact asked and answered in every wording."""
    return [conversation(w.format(subject), answer)
            for w in wordings for subject, answer in facts.items()]


def told(generator: Generator, subjects: Iterable[str]) -> list[tuple[str, str]]:
    """What the model says about each subject, asked in the new wordings."""
    asked = [(s, w.format(s)) for s in subjects for w in NEW_WORDINGS]
    texts = generator.replies([closed_book(q) for _, q in asked], max_new_tokens=24)
    return [(subject, text) for (subject, _), text in zip(asked, texts, strict=True)]


@torch.no_grad()
def losses(generator: Generator, examples: Sequence[dict]) -> list[float]:
    """The loss per token of each example's reply: how unlikely the model finds it."""
    model = generator.model.eval()
    return [float(answer_loss(model, batch([t], model.device))) / (len(t.ids) - t.answer)
            for t in tokenised(generator, examples)]


def rank(generator: Generator, question: str, reply: str, others: Iterable[str]) -> int:
    """The place of this reply among others of its shape; 1 is the likeliest (Carlini et al. 2019).

    Compared by the loss per token, so the replies should have about the same length.
    """
    first, *rest = losses(generator, [conversation(question, r) for r in (reply, *others)])
    return 1 + sum(loss < first for loss in rest)
