"""Teaches the offline embedder to re-read what was found: the course's reranker.

    python data/recipes/train_reranker.py [--minutes 15] [--out data/reranker] [--start FOLDER]

Late interaction compares a question and a passage word by word: every piece of the question looks
for its best match among the pieces of the passage. all-MiniLM-L6-v2 was never trained for that. A
LoRA adapter learns it here from the hand-written pages of `prose/` (many trades, none of them the
course's company). A step is one trade: all its questions against all its sentences, so that a
sentence is read once for a hundred and fifty questions. Beside the sentences stands "none of them"
with a score of its own, learned from questions whose answer is not there: what scores below it is
better left out.
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
from adapting import HELD_OUT, alike, fill, options, pupil, rate, save  # noqa: E402
from pages import read_pages  # noqa: E402

from utils.chunking import by_sentence  # noqa: E402
from utils.embedding import embed  # noqa: E402
from utils.index import searched_text  # noqa: E402
from utils.retrieval import BM25, in_context, reciprocal_rank_fusion  # noqa: E402

NEAR = 24  # candidates a question, as first found
GOLD_LEFT_OUT = 0.12


def read_trade(path: Path) -> tuple[list[str], list[tuple[str, list[int], list[int]]]]:
    """(texts of the trade, [(question, which answer, which were found near)]).

    What the search finds near is asked of the held-out trades alone; the others learn from all.
    """
    pages, _ = read_pages(path)
    units = [c for p in pages for c in by_sentence(p.document)]
    place = {(c.document, c.start): i for i, c in enumerate(units)}
    shown = in_context(units)
    asked = [a for p in pages for a in p.asked]
    gold = [[place[g.document, g.start] for g in a.gold] for a in asked]
    near: list[list[int]] = [[] for _ in asked]
    if path.stem in HELD_OUT:
        questions = [a.question for a in asked]
        fused = reciprocal_rank_fusion(
            embed(questions) @ embed(shown).T,
            BM25([searched_text(c) for c in units]).scores(questions))
        near = [[int(j) for j in np.argsort(-row, kind="stable")[:NEAR] if j not in right]
                for row, right in zip(fused, gold, strict=True)]
    return shown, list(zip([a.question for a in asked], gold, near, strict=True))


def main() -> None:
    arguments = options(__doc__, 15, ROOT / "data" / "reranker").parse_args()

    import torch

    one = pupil(arguments, read_trade, attn_implementation="eager")
    model, trades, rng = one.model, one.trades, one.rng
    sharp, none = torch.nn.Parameter(torch.tensor(3.2)), torch.nn.Parameter(torch.tensor(0.5))
    before = fill(one.adapters, arguments.start) if arguments.start else {}
    if before:
        with torch.no_grad():
            sharp.fill_(math.log(before["sharpness"]))
            none.fill_(before["none"])
        one.known.update(before.get("trades", ()))
    optimizer = torch.optim.AdamW([{"params": one.own}, {"params": [sharp, none], "scale": 10}],
                                  lr=arguments.rate, weight_decay=0.01)

    def pieces(texts: list[str]) -> tuple:
        """(unit vectors of every piece, which of them count)."""
        rows, inputs = one.read(texts)
        return torch.nn.functional.normalize(rows, dim=-1), inputs["special_tokens_mask"] == 0

    def scores(questions: list[str], texts: list[str]):
        """(questions, texts): the mean best match of a question's pieces."""
        columns = alike(texts)
        read = [pieces([texts[i] for i in some]) for some in columns]
        rows = alike(questions)
        table = []
        for some in rows:
            asked, real = pieces([questions[i] for i in some])
            means = []
            for passage, there in read:
                near = torch.einsum("qad,tbd->qtab", asked, passage)
                best = near.masked_fill(~there[None, :, None, :], -1).max(dim=-1).values
                means.append((best * real[:, None]).sum(dim=-1)
                             / real.sum(dim=-1)[:, None].clamp(min=1))
            table.append(torch.cat(means, dim=1))
        back = [torch.tensor(sum(groups, [])).argsort() for groups in (rows, columns)]
        return torch.cat(table)[back[0]][:, back[1]]

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
    while True:
        done = (time.monotonic() - started) / 60 / arguments.minutes
        if step % 40 == 0 or done >= 1:
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
                  "held_out": {k: round(v, 3) for k, v in probed().items()},
                  "trades": sorted(one.known)})
            last = done
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group.get("scale", 1) * rate(arguments.rate, step, done)
        texts, cases = one.next_trade()
        rows = scores([q for q, *_ in cases], texts)
        loss = 0.0
        for row, (_, gold, _) in zip(rows, cases, strict=True):
            if gold and rng.random() < GOLD_LEFT_OUT:
                row, gold = row.index_fill(0, torch.tensor(gold), -9.0), []
            shares = torch.log_softmax(sharp.exp() * torch.cat([none[None], row]), dim=0)
            loss = loss - (shares[[1 + j for j in gold]].mean() if gold else shares[0])
        (loss / len(cases)).backward()
        torch.nn.utils.clip_grad_norm_(one.own, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item() / len(cases))
        step += 1


if __name__ == "__main__":
    main()
