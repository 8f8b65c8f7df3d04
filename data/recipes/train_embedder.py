"""Teaches the offline embedder to search: a question near the sentence that answers it.

    python data/recipes/train_embedder.py [--minutes 16] [--out data/embedder] [--start FOLDER]

all-MiniLM-L6-v2 puts texts that *say the same* near each other. A question and its answer often
do not: "my dog keeps scratching, can I drop in?" and "There is a walk-in hour from 16:00". A LoRA
adapter learns the difference from the hand-written pages of `prose/` (none of them the course's
company) by MultipleNegativesRanking: in a batch of questions of one trade, every sentence that
answers another question, and every near miss of the search, is one that does not answer this one.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
ROOT = RECIPES.parents[1]
sys.path[:0] = [str(RECIPES), str(ROOT)]

import numpy as np  # noqa: E402
from adapting import HELD_OUT, fill, options, pupil, rate, save  # noqa: E402
from pages import read_pages  # noqa: E402

from utils.chunking import by_sentence  # noqa: E402
from utils.index import searched_text  # noqa: E402

SHARPNESS = 20.0  # a difference in cosine of .05 is one unit of the softmax
LOOKED_AT = (1, 4, 12, 48)  # ranks that the progress line reports
SECOND_LOOK = 0.4  # of the time; then the near misses are searched anew with what was learned


def read_trade(path: Path) -> tuple[list[str], list[tuple[str, list[int]]]]:
    """(the sentences of a trade as they are embedded, [(question, which of them answer)])."""
    pages, _ = read_pages(path)
    units = [c for p in pages for c in by_sentence(p.document)]
    place = {(c.document, c.start): i for i, c in enumerate(units)}
    asked = [(a.question, [place[g.document, g.start] for g in a.gold])
             for p in pages for a in p.asked if a.gold]
    return [searched_text(c) for c in units], asked


def main() -> None:
    arguments = options(__doc__, 16, 32, ROOT / "data" / "embedder").parse_args()

    import torch
    from torch.nn.functional import normalize, softplus

    one = pupil(arguments, read_trade)
    model, trades, rng = one.model, one.trades, one.rng
    earlier = fill(one.adapters, arguments.start) if arguments.start else {}
    optimizer = torch.optim.AdamW(one.own, lr=arguments.rate, weight_decay=0.01)

    def embedded(texts: list[str]):
        """One unit vector a text: the mean over its word pieces."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = [None] * len(texts)
        for first in range(0, len(order), 32):
            some = order[first:first + 32]
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

    def near_misses() -> dict:
        found = {}
        for (name, n), row in searched(one.train).items():
            row[trades[name][1][n][1]] = -1
            found[name, n] = row.topk(min(24, len(row) - 1)).indices.tolist()
        return found

    def step() -> float:
        """One batch: questions of a trade, what answers them, and their near misses."""
        name = rng.choice(one.train)
        texts, asked = trades[name]
        some = rng.sample(range(len(asked)), min(len(asked), arguments.questions))
        at: dict[int, int] = {}
        for n in some:
            for j in (*asked[n][1], *rng.sample(near[name, n], arguments.near)):
                at.setdefault(j, len(at))
        scores = SHARPNESS * (embedded([asked[n][0] for n in some]) @
                              embedded([texts[j] for j in at]).T)
        loss = 0.0
        for row, n in zip(scores, some, strict=True):
            right = [at[j] for j in asked[n][1]]
            others = row.clone()
            others[right] = -1e4  # each right sentence stands alone against all wrong ones
            loss = loss + softplus(others.logsumexp(0) - row[right]).mean()
        (loss / len(some)).backward()
        torch.nn.utils.clip_grad_norm_(one.own, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach()) / len(some)

    near, again = near_misses(), False
    model.train()
    before, started, count, losses = probed(), time.monotonic(), 0, []
    while True:
        done = (time.monotonic() - started) / 60 / arguments.minutes
        if count % 100 == 0 or done >= 1:
            figures = probed()
            print(f"step {count} done {done:.2f} loss {np.mean(losses or [0]):.3f}", figures,
                  flush=True)
            losses = []
        if done >= 1:
            break
        if done > SECOND_LOOK and not again:
            near, again = near_misses(), True
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
