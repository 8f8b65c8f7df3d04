"""Teaches the offline embedder to re-read what was found: the course's reranker.

    python data/recipes/train_reranker.py [--minutes 15] [--out data/reranker] [--start FOLDER]

Late interaction compares a question and a passage word by word: every piece of the question looks
for its best match among the pieces of the passage. all-MiniLM-L6-v2 was never trained for that. A
LoRA adapter learns it here from the hand-written pages of `prose/` (90 trades, none of them the
course's company). Beside the passages stands "none of them" with a score of its own, learned from
questions whose answer is not there: what scores below it is better left out.
"""

from __future__ import annotations

import math
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
from utils.embedding import embed  # noqa: E402
from utils.index import searched_text  # noqa: E402
from utils.retrieval import BM25, in_context, reciprocal_rank_fusion  # noqa: E402

NEAR = 24  # candidates a question, as first found
GOLD_LEFT_OUT = 0.12


def read_trade(path: Path) -> tuple[list[str], list[tuple[str, list[int], list[int]]]]:
    """(texts of the trade, [(question, which answer, which were found near)])."""
    pages, _ = read_pages(path)
    units = [c for p in pages for c in by_sentence(p.document)]
    place = {(c.document, c.start): i for i, c in enumerate(units)}
    texts, shown = [searched_text(c) for c in units], in_context(units)
    asked = [a for p in pages for a in p.asked]
    questions = [a.question for a in asked]
    fused = reciprocal_rank_fusion(embed(questions) @ embed(shown).T,
                                   BM25(texts).scores(questions))
    cases = []
    for a, row in zip(asked, fused, strict=True):
        gold = [place[g.document, g.start] for g in a.gold]
        near = [int(j) for j in np.argsort(-row, kind="stable")[:NEAR] if j not in gold]
        cases.append((a.question, gold, near))
    return shown, cases


def main() -> None:
    arguments = options(__doc__, 15, 16, ROOT / "data" / "reranker").parse_args()

    import torch

    one = pupil(arguments, read_trade, attn_implementation="eager")
    model, trades, rng = one.model, one.trades, one.rng
    sharp, none = torch.nn.Parameter(torch.tensor(3.2)), torch.nn.Parameter(torch.tensor(0.5))
    before = fill(one.adapters, arguments.start) if arguments.start else {}
    if before:
        with torch.no_grad():
            sharp.fill_(math.log(before["sharpness"]))
            none.fill_(before["none"])
    optimizer = torch.optim.AdamW([{"params": one.own}, {"params": [sharp, none], "scale": 10}],
                                  lr=arguments.rate, weight_decay=0.01)

    def pieces(texts: list[str]) -> tuple:
        """(unit vectors of every piece, which of them count)."""
        rows, inputs = one.read(texts)
        return torch.nn.functional.normalize(rows, dim=-1), inputs["special_tokens_mask"] == 0

    def scores(questions: list[str], texts: list[str]):
        """(questions, texts): the mean best match of a question's pieces."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        asked, real = pieces(questions)
        columns = [None] * len(texts)
        for first in range(0, len(order), 24):
            some = order[first:first + 24]
            read, there = pieces([texts[i] for i in some])
            near = torch.einsum("qad,tbd->qtab", asked, read)
            best = near.masked_fill(~there[None, :, None, :], -1).max(dim=-1).values
            mean = (best * real[:, None]).sum(dim=-1) / real.sum(dim=-1)[:, None].clamp(min=1)
            for i, column in zip(some, mean.T, strict=True):
                columns[i] = column
        return torch.stack(columns, dim=1)

    def probed() -> dict[str, float]:
        model.eval()
        first, third, seen, said = [], [], [], []
        with torch.no_grad():
            for trade in HELD_OUT:
                texts, cases = trades[trade]
                for row, (_, gold, near) in zip(scores([q for q, *_ in cases], texts), cases,
                                                strict=True):
                    among = [*gold, *near]
                    best = row[among].topk(min(3, len(among))).indices.tolist()
                    below = float(row[among].max()) < float(none)
                    if gold:
                        first.append(best[0] < len(gold))
                        third.append(min(best) < len(gold))
                        said.append(below)
                    else:
                        seen.append(below)
        model.train()
        return {"first": float(np.mean(first)), "among_three": float(np.mean(third)),
                "none_when_none": float(np.mean(seen)), "none_when_some": float(np.mean(said))}

    model.train()
    started, step, losses, last = time.monotonic(), 0, [], 0.0
    weights = [len(trades[t][1]) for t in one.train]
    while True:
        done = (time.monotonic() - started) / 60 / arguments.minutes
        if step % 100 == 0 or done >= 1:
            figures = probed()
            print(f"step {step} done {done:.2f} loss {np.mean(losses or [0]):.3f} "
                  f"sharp {float(sharp.exp()):.1f} none {float(none):.3f} " +
                  " ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
            losses = []
        if done - last > 0.25 or done >= 1:
            save(one.adapters, arguments.out, arguments.rank,
                 {"steps": step + before.get("steps", 0),
                  "minutes": round(arguments.minutes * min(done, 1) + before.get("minutes", 0), 1),
                  "seed": arguments.seed, "sharpness": float(sharp.exp()), "none": float(none),
                  "held_out": {k: round(v, 3) for k, v in probed().items()}})
            last = done
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group.get("scale", 1) * rate(arguments.rate, step, done)
        texts, cases = trades[rng.choices(one.train, weights)[0]]
        some = rng.sample(cases, arguments.questions)
        kept = [gold if rng.random() > GOLD_LEFT_OUT else [] for _, gold, _ in some]
        banned = [set(gold) - set(k) for (_, gold, _), k in zip(some, kept, strict=True)]
        shown = {j for k in kept for j in k}
        for _, _, near in some:
            shown |= set(sorted(near, key=lambda _: rng.random())[:arguments.near // 2])
            shown |= set(near[:8][:rng.randint(0, arguments.near)])
        shown = sorted(shown)
        rows = scores([q for q, *_ in some], [texts[j] for j in shown])
        loss = 0.0
        for row, gold, out in zip(rows, kept, banned, strict=True):
            row = row + torch.tensor([-9.0 if j in out else 0.0 for j in shown])
            shares = torch.log_softmax(sharp.exp() * torch.cat([none[None], row]), dim=0)
            right = [1 + shown.index(j) for j in gold]
            loss = loss - (shares[right].mean() if right else shares[0])
        (loss / len(some)).backward()
        torch.nn.utils.clip_grad_norm_(one.own, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item() / len(some))
        step += 1


if __name__ == "__main__":
    main()
