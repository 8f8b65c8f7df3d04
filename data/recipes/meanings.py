"""The lower two layers learn what a token means *in its place*, from the offline reranker.

A token's vector begins with the meaning of its text alone (`vectors`). That is little where a word
is cut in pieces, or where the words before it decide: "return the key" is not "return on capital".
The reranker gives every word piece a vector in its context. Here the first two layers learn to
write that vector, as far as the words up to a token tell, into the part that holds the meaning; on
it stands the choice. The rest of the vector is left alone, and with it copying. A target at every
token teaches more in a minute than one passage number an answer does in an hour.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import vectors
import wiring
from vectors import LITTLE, MEANING

LAYERS = 2  # matching, in the third layer, reads what these have written
LENGTH = 0.6  # of a meaning, as in the tokens' own vectors


@dataclass
class Teacher:
    """Vectors of the word pieces of a text, turned into the axes of the tokens' own meanings."""

    model: object
    axes: torch.Tensor
    known: dict[str, tuple[np.ndarray, torch.Tensor]] = field(default_factory=dict, repr=False)

    def read(self, texts: Sequence[str]) -> None:
        """Reads what is new among these; it stays known."""
        from train_pocket import quick_numbers

        new = sorted({t for t in texts if t not in self.known}, key=len)
        for first in range(0, len(new), 64):
            part = new[first:first + 64]
            given = self.model.tokenizer(part, padding=True, truncation=True, max_length=256,
                                         return_tensors="pt", return_offsets_mapping=True)
            spans, device = given.pop("offset_mapping"), self.model.device
            with torch.no_grad(), quick_numbers(device.type):
                out = self.model[0].auto_model(**given.to(device)).last_hidden_state.float()
            rows = torch.nn.functional.normalize(out, dim=-1) @ self.axes.T.to(device)
            for n, text in enumerate(part):
                size = int(given["attention_mask"][n].sum())
                self.known[text] = (spans[n, 1:size - 1].numpy(), rows[n, 1:size - 1].half().cpu())


def reranker_as_teacher(folder) -> Teacher:
    """The course's reranker; the axes are those of the tokenizer in that folder."""
    from utils.reranking import load_reranker

    return Teacher(load_reranker().model, torch.from_numpy(vectors.axes_of_meaning(folder)))


def learn_meanings(model, tokenizer, conversations: Iterator, teacher: Teacher, minutes: float,
                   rate: float = 2e-3, together: int = 16) -> None:
    """Minutes of learning, by all of the lower two layers that writes meaning alone."""
    from train_pocket import quick_numbers

    device, mine = model.device, _writers_of_meaning(model)
    loud = torch.tensor([0.15 if t.lower() in LITTLE or not any(c.isalnum() for c in t) else 1.0
                         for t in (tokenizer.decode([i]).strip() for i in range(len(tokenizer)))],
                        device=device)  # as in the tokens' own vectors
    optimizer = torch.optim.AdamW(list(mine), lr=rate, betas=(0.9, 0.98), weight_decay=0.0)
    middle, seen, step, started = None, [], 0, time.monotonic()
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        group = sorted((place(tokenizer, next(conversations)) for _ in range(3 * together)),
                       key=lambda item: len(item[0]))
        for first in range(0, len(group), together):
            x, wanted, there = (t.to(device) for t in targets(group[first:first + together],
                                                              teacher))
            middle = wanted[there].mean(dim=0) if middle is None else middle
            wanted = torch.nn.functional.normalize(wanted[there] - middle, dim=-1)
            strength = loud[x][there]
            optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / 50) * (
                0.51 + 0.49 * math.cos(math.pi * min(1, done)))
            with quick_numbers(device.type):
                written = meaning(model, x)[there]
            near = torch.cosine_similarity(written.float(), wanted)[strength == 1]
            away = (written.float() - LENGTH * strength[:, None] * wanted).square().sum(dim=-1)
            (away.mean() + 0.3 * (1 - near).mean()).backward()
            for parameter in model.parameters():
                if parameter in mine and parameter.grad is not None:
                    parameter.grad.mul_(mine[parameter])
                else:
                    parameter.grad = None
            torch.nn.utils.clip_grad_norm_(list(mine), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seen.append(near.mean().item())
            step += 1
            if step % 100 == 0:
                print(f"meanings  minute {done * minutes:.1f}  step {step}  cosine "
                      f"{np.mean(seen):.3f}", flush=True)
                seen = []


def meaning(model, x: torch.Tensor) -> torch.Tensor:
    """What the lower two layers have written into the part that holds the meaning."""
    whole, norm = model.model.layers, model.model.norm
    model.model.layers, model.model.norm = whole[:LAYERS], torch.nn.Identity()
    try:
        return model.model(input_ids=x, use_cache=False).last_hidden_state[..., :MEANING]
    finally:
        model.model.layers, model.model.norm = whole, norm


def place(tokenizer, messages) -> tuple[list[int], list, list[tuple[int, str]]]:
    """(token ids, their spans in the prompt, where question and passages begin, with their text);
    the answer is left out."""
    asked = messages[-2]["content"]
    prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False,
                                           add_generation_prompt=True)
    made = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
    question, _, shown = asked.partition("\n\n")
    at = prompt.index(asked)
    parts, at = [(at, question)], at + len(question) + 2
    for line in shown.split("\n"):
        if number := re.match(r"\[\d\] ", line):
            parts.append((at + number.end(), line[number.end():]))
        at += len(line) + 1
    return made["input_ids"], made["offset_mapping"], [part for part in parts if part[1]]


def targets(items: Sequence, teacher: Teacher) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(ids, wanted meanings, where there is one): the mean of the word pieces a token overlaps."""
    teacher.read([text for *_, parts in items for _, text in parts])
    width = -(-max(len(ids) for ids, *_ in items) // 32) * 32
    x = torch.zeros(len(items), width, dtype=torch.long)
    wanted = torch.zeros(len(items), width, MEANING)
    there = torch.zeros(len(items), width, dtype=torch.bool)
    for row, (ids, spans, parts) in enumerate(items):
        x[row, :len(ids)] = torch.tensor(ids)
        for start, text in parts:
            pieces, rows = teacher.known[text]
            for n, (a, b) in enumerate(spans):
                a, b = max(a - start, 0), b - start
                while a < b and text[a:a + 1] == " ":
                    a += 1
                if b <= 0 or a >= len(text) or not len(pieces):
                    continue
                overlap = (pieces[:, 0] < b) & (pieces[:, 1] > a)
                if overlap.any():
                    wanted[row, n] = rows[torch.from_numpy(overlap)].float().mean(dim=0)
                    there[row, n] = True
    return x, wanted, there


def _writers_of_meaning(model) -> dict:
    """Of the lower two layers: all that writes meaning and nothing else."""
    lower = {id(p) for layer in model.model.layers[:LAYERS] for p in layer.parameters()}
    return {p: mask for p, mask in wiring.about_meaning(model).items() if id(p) in lower}

