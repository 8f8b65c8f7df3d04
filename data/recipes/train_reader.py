"""Teaches the reranker to read question and passage together: the course's close reading.

    python data/recipes/train_reader.py [--minutes 55] [--out data/reader] [--start data/reranker]

Late interaction reads a passage before it knows the question. Read in one go, each piece of the one
sees the pieces of the other before they are compared; the comparison stays the same. It is dear,
nothing of it can be kept for the next question, so the course reads only the few best this way.
Here an adapter learns it from the hand-written pages of `prose/`, on what the search and the
reranker put near a question: one passage that answers among those that only look like it. Beside
them stands "none of these", learned from questions whose answer is not there.
"""

from __future__ import annotations

import math
import sys
import time
from functools import lru_cache
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
from utils.reranking import TOGETHER, late_interaction, matched  # noqa: E402
from utils.retrieval import BM25, in_context, joined, ranks  # noqa: E402
from utils.training import number_format  # noqa: E402

NEAR = 12  # the best of the search and the reranker, from which the wrong ones are drawn
HARD = 3  # of these the very best are always shown, the others by chance
SHOWN = 6  # passages a question
QUESTIONS = 32  # a step
GOLD_LEFT_OUT = 0.12
WEIGHT = 0.06  # of what is read together, beside the reranker's score
MARGIN = 0.1  # a model is shown what scores at most so much less than the first; chosen on `dev`
ANSWERED = 0.92  # of the answerable questions keep a passage above "none of these"
apart = lru_cache(late_interaction)  # loaded once for all trades


def read_trade(path: Path) -> tuple[list[str], list[tuple[str, list[int], list[int], list[float]]]]:
    """(texts of the trade, [(question, which answer, which are found near, their scores)])."""
    import torch

    pages, _ = read_pages(path)
    units = [c for p in pages for c in by_sentence(p.document)]
    place = {(c.document, c.start): i for i, c in enumerate(units)}
    shown, plain = in_context(units), [searched_text(c) for c in units]
    asked = [a for p in pages for a in p.asked]
    questions = [a.question for a in asked]
    kind = number_format(torch.device("cpu"))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == torch.bfloat16):
        words = np.stack(apart().scores(questions, [shown] * len(questions)))
        first = joined([ranks(embed(questions) @ embed(plain).T),
                        ranks(BM25(plain).scores(questions))], [1.0, 0.5])
    order = np.argsort(-joined([ranks(words), ranks(first)], [2.0, 1.0]), kind="stable")[:, :NEAR]
    gold = [[place[g.document, g.start] for g in a.gold] for a in asked]
    near = [row[some].tolist() for row, some in zip(words, order, strict=True)]
    return shown, list(zip(questions, gold, order.tolist(), near, strict=True))


def drawn(case: tuple, rng) -> tuple[list[int], int]:
    """(the passages shown, which of these answers: 1 for the first, 0 for none)."""
    _, gold, near, _ = case
    wrong = [n for n in near if n not in gold]
    answered = bool(gold) and rng.random() >= GOLD_LEFT_OUT
    room = SHOWN - answered
    some = wrong[:HARD] + rng.sample(wrong[HARD:], min(len(wrong[HARD:]), room - HARD))
    some = ([rng.choice(gold)] if answered else []) + some
    return (some + wrong * SHOWN)[:SHOWN], int(answered)


def main() -> None:
    parser = options(__doc__, 55, ROOT / "data" / "reader")
    parser.set_defaults(rank=64, rate=3e-4, start=ROOT / "data" / "reranker")
    arguments = parser.parse_args()

    import torch

    one = pupil(arguments, read_trade, attn_implementation="eager")
    model, trades, rng = one.model, one.trades, one.rng
    sharp = torch.nn.Parameter(torch.tensor(math.log(15.0)))
    middle = torch.nn.Parameter(torch.tensor(0.5))
    before = fill(one.adapters, arguments.start)
    if "middle" in before:  # this recipe's own, and not the reranker
        with torch.no_grad():
            sharp.fill_(math.log(before["sharpness"]))
            middle.fill_(before["middle"])
    optimizer = torch.optim.AdamW([{"params": one.own}, {"params": [sharp, middle], "scale": 2}],
                                  lr=arguments.rate, weight_decay=0.01)
    cases = [(name, n) for name in one.train for n in range(len(trades[name][1]))]

    def scores(pairs: list[tuple[str, str]]):
        """How surely each text answers its question; "none of these" stands at zero."""
        groups = alike([q + t for q, t in pairs])
        read = torch.cat([matched(*one.read(*map(list, zip(*(pairs[n] for n in some),
                                                            strict=True)))) for some in groups])
        back = torch.tensor(sum(groups, [])).argsort()
        return sharp.exp() * (read[back] - middle)

    def probed() -> dict[str, float]:
        """Of the held-out trades: how often is the passage put first one that answers, by what is
        read together and with the reranker's score? Where lies "none of these", and how many
        questions without an answer lie below it?"""
        model.eval()
        alone, both, sure = [], [], {True: [], False: []}
        with torch.no_grad():
            for name in HELD_OUT:
                texts, asked = trades[name]
                read = scores([(q, texts[n]) for q, _, near, _ in asked for n in near[:TOGETHER]])
                for row, (_, gold, near, apart) in zip(read.view(len(asked), -1).numpy(), asked,
                                                       strict=True):
                    summed = np.array(apart[:TOGETHER]) + WEIGHT * row
                    sure[bool(gold)].append(summed.max())
                    if gold:
                        alone.append(near[row.argmax()] in gold)
                        both.append(near[summed.argmax()] in gold)
        model.train()
        none = np.quantile(sure[True], 1 - ANSWERED)
        return {"first": float(np.mean(alone)), "first_with_the_reranker": float(np.mean(both)),
                "none_when_none": float(np.mean(sure[False] < none)), "none": float(none)}

    model.train()
    started, step, losses, waiting, last = time.monotonic(), 0, [], [], 0.0
    while True:
        done = (time.monotonic() - started) / 60 / arguments.minutes
        if done - last > 0.1 or done >= 1:
            figures = probed()
            print(f"step {step} done {done:.2f} loss {np.mean(losses or [0]):.3f} " +
                  " ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
            save(one.adapters, arguments.out, arguments.rank,
                 {"questions": step * QUESTIONS + before.get("questions", 0),
                  "minutes": round(arguments.minutes * min(done, 1), 1), "seed": arguments.seed,
                  "sharpness": sharp.exp().item(), "middle": middle.item(), "weight": WEIGHT,
                  "none": figures.pop("none"), "margin": MARGIN,
                  "held_out": {k: round(v, 3) for k, v in figures.items()},
                  "trades": sorted(one.train)})
            losses, last = [], done
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group.get("scale", 1) * rate(arguments.rate, step, done)
        pairs, right = [], []
        for _ in range(QUESTIONS):
            waiting = waiting or rng.sample(cases, len(cases))
            name, n = waiting.pop()
            texts, asked = trades[name]
            some, answered = drawn(asked[n], rng)
            pairs += [(asked[n][0], texts[i]) for i in some]
            right.append(answered)
        rows = scores(pairs).view(QUESTIONS, SHOWN)
        loss = torch.nn.functional.cross_entropy(
            torch.cat([torch.zeros(QUESTIONS, 1), rows], dim=1), torch.tensor(right))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(one.own, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        step += 1


if __name__ == "__main__":
    main()
