"""Teaches the offline embedder to search: a question near the sentence that answers it.

    python data/recipes/train_embedder.py [--minutes 16] [--out data/embedder] [--start FOLDER]

all-MiniLM-L6-v2 puts texts that *say the same* near each other. A question and its answer often do
not: "my dog keeps scratching, can I drop in?" and "There is a walk-in hour from 16:00". A LoRA
adapter learns the difference from the hand-written pages of `prose/` (none of them the course's
company) by MultipleNegativesRanking: of all sentences of one trade, those that do not answer a
question are what it must not come near to.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
ROOT = RECIPES.parents[1]
sys.path[:0] = [str(RECIPES), str(ROOT)]

import numpy as np  # noqa: E402
from adapting import HELD_OUT, alike, fill, options, pupil, rate, save  # noqa: E402
from pages import read_pages  # noqa: E402

from utils.chunking import by_sentence  # noqa: E402
from utils.index import searched_text  # noqa: E402

SHARPNESS = 20.0  # a difference in cosine of .05 is one unit of the softmax
LOOKED_AT = (1, 4, 12, 48)  # ranks that the progress line reports


def read_trade(path: Path) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """(the sentences of a trade as they are embedded, [(question, which of them answer)])."""
    pages, _ = read_pages(path)
    units = [c for p in pages for c in by_sentence(p.document)]
    place = {(c.document, c.start): i for i, c in enumerate(units)}
    asked = [(a.question, [place[g.document, g.start] for g in a.gold])
             for p in pages for a in p.asked if a.gold]
    return [searched_text(c) for c in units], asked


def main() -> None:
    arguments = options(__doc__, 16, ROOT / "data" / "embedder").parse_args()

    import torch
    from torch.nn.functional import normalize, softplus

    one = pupil(arguments, read_trade)
    model, trades = one.model, one.trades
    earlier = fill(one.adapters, arguments.start) if arguments.start else {}
    optimizer = torch.optim.AdamW(one.own, lr=arguments.rate, weight_decay=0.01)

    def embedded(texts: list[str]):
        """One unit vector a text: the mean over its word pieces."""
        rows = [None] * len(texts)
        for some in alike(texts):
            pieces, inputs = one.read([texts[i] for i in some])
            there = inputs["attention_mask"][..., None]
            for i, row in zip(some, (pieces * there).sum(1) / there.sum(1), strict=True):
                rows[i] = row
        return normalize(torch.stack(rows), dim=-1)

    @torch.no_grad()
    def searched(names) -> dict:
        """Trade and number of a question -> the scores of all the trade's sentences."""
        model.eval()
        found = {}
        for name in names:
            texts, asked = trades[name]
            scores = embedded([q for q, _ in asked]) @ embedded(texts).T
            found |= {(name, n): row for n, row in enumerate(scores)}
        model.train()
        return found

    def probed() -> dict[str, float]:
        ranks = np.array([int((row > row[trades[name][1][n][1]].max()).sum())
                          for (name, n), row in searched(HELD_OUT).items()])
        return {f"in_first_{k}": round(float((ranks < k).mean()), 3) for k in LOOKED_AT}

    def step() -> float:
        """One batch: all questions of a trade against all its sentences."""
        texts, asked = one.next_trade()
        scores = SHARPNESS * embedded([q for q, _ in asked]) @ embedded(texts).T
        loss = 0.0
        for row, (_, right) in zip(scores, asked, strict=True):
            others = row.clone()
            others[right] = -1e4  # each right sentence stands alone against all wrong ones
            loss = loss + softplus(others.logsumexp(0) - row[right]).mean()
        (loss / len(asked)).backward()
        torch.nn.utils.clip_grad_norm_(one.own, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach()) / len(asked)

    before, started, count, losses = probed(), time.monotonic(), 0, []
    while True:
        done = (time.monotonic() - started) / 60 / arguments.minutes
        if count % 40 == 0 or done >= 1:
            figures = probed()
            print(f"step {count} done {done:.2f} loss {np.mean(losses or [0]):.3f}", figures,
                  flush=True)
            losses = []
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = rate(arguments.rate, count, done)
        losses.append(step())
        count += 1
    save(one.adapters, arguments.out, arguments.rank,
         {"steps": count + earlier.get("steps", 0),
          "minutes": arguments.minutes + earlier.get("minutes", 0), "seed": arguments.seed,
          "held_out": figures, "held_out_before": earlier.get("held_out_before", before)})


if __name__ == "__main__":
    main()
