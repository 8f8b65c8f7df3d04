"""Teaches the offline embedder to re-read what was found: the course's reranker.

    python data/recipes/train_reranker.py [--minutes 15] [--out data/reranker] [--start FOLDER]

Late interaction compares a question and a passage word by word: every piece of the question looks
for its best match among the pieces of the passage. all-MiniLM-L6-v2 was never trained for that. A
LoRA adapter learns it here from the hand-written pages of `prose/` (50 trades, none of them the
course's company). Beside the passages stands "none of them" with a score of its own, learned from
questions whose answer is not there: what scores below it is better left out.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import time
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
ROOT = RECIPES.parents[1]
sys.path[:0] = [str(RECIPES), str(ROOT)]

import numpy as np  # noqa: E402
from pages import read_pages  # noqa: E402

from utils.chunking import by_sentence  # noqa: E402
from utils.embedding import embed, wheel_embedder_path  # noqa: E402
from utils.index import searched_text  # noqa: E402
from utils.profiles import EMBEDDER_HUB_ID  # noqa: E402
from utils.retrieval import BM25, in_context, reciprocal_rank_fusion  # noqa: E402

HELD_OUT = ("theatre", "thermostat", "vet")  # the trades that the pocket model's probes ask about
NEAR = 24  # candidates a question, as first found
GOLD_LEFT_OUT = 0.12
SCALE = 2.0  # of the adapter: lora_alpha / rank


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


def low_rank(torch):
    """LoRA as a parametrization: the weight is W + BA, made once a step and not for every token."""

    class LowRank(torch.nn.Module):
        def __init__(self, linear, rank: int) -> None:
            super().__init__()
            out, inner = linear.weight.shape
            self.a = torch.nn.Parameter(torch.randn(rank, inner) / inner ** 0.5)
            self.b = torch.nn.Parameter(torch.zeros(out, rank))

        def forward(self, weight):
            return weight + SCALE * self.b @ self.a

    return LowRank


def attach(model, rank: int) -> dict:
    """An adapter on every linear layer of the body, which itself stays as it is."""
    import torch
    from torch.nn.utils import parametrize

    model.requires_grad_(False)
    kind, adapters = low_rank(torch), {}
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and re.search(
                r"layer\.\d\..*(query|key|value|dense)$", name):
            adapters[name] = kind(module, rank)
            parametrize.register_parametrization(module, "weight", adapters[name])
    return adapters


def save(adapters, base: Path, out: Path, rank: int, facts: dict) -> None:
    """The adapter in PEFT's own form, so that any PEFT can load it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    tuned = get_peft_model(AutoModel.from_pretrained(base), LoraConfig(
        r=rank, lora_alpha=int(SCALE * rank), target_modules=list(adapters)))
    modules = dict(tuned.base_model.model.named_modules())
    with torch.no_grad():
        for name, adapter in adapters.items():
            modules[name].lora_A["default"].weight.copy_(adapter.a)
            modules[name].lora_B["default"].weight.copy_(adapter.b)
    tuned.half().save_pretrained(out)
    config = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = EMBEDDER_HUB_ID
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").unlink(missing_ok=True)
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def start_from(folder: Path, adapters, sharp, none) -> dict:
    """Fills the adapters with those of a folder; what its training.json says."""
    import torch
    from safetensors.torch import load_file

    stored = load_file(folder / "adapter_model.safetensors")
    about = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    with torch.no_grad():
        for name, adapter in adapters.items():
            adapter.a.copy_(stored[f"base_model.model.{name}.lora_A.weight"])
            adapter.b.copy_(stored[f"base_model.model.{name}.lora_B.weight"])
        sharp.fill_(math.log(about["sharpness"]))
        none.fill_(about["none"])
    return about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--questions", type=int, default=16, help="questions of a trade a step")
    parser.add_argument("--near", type=int, default=4, help="near misses a question")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", help="an adapter to go on from")
    parser.add_argument("--out", default=str(ROOT / "data" / "reranker"))
    arguments = parser.parse_args()

    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    rng = random.Random(arguments.seed)
    trades = {p.stem: read_trade(p) for p in sorted((RECIPES / "prose").glob("*.md"))}
    train = [name for name in trades if name not in HELD_OUT]
    print(f"{sum(len(trades[t][1]) for t in train)} questions to learn from", flush=True)
    base = wheel_embedder_path()
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModel.from_pretrained(base, attn_implementation="eager",
                                      hidden_dropout_prob=0.05, attention_probs_dropout_prob=0.0)
    adapters = attach(model, arguments.rank)
    sharp, none = torch.nn.Parameter(torch.tensor(3.2)), torch.nn.Parameter(torch.tensor(0.5))
    before = start_from(Path(arguments.start), adapters, sharp, none) if arguments.start else {}
    own = [p for a in adapters.values() for p in a.parameters()]
    optimizer = torch.optim.AdamW([{"params": own}, {"params": [sharp, none], "scale": 10}],
                                  lr=arguments.rate, weight_decay=0.01)

    def pieces(texts: list[str]) -> tuple:
        """(unit vectors of every piece, which of them count)."""
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=160,
                           return_tensors="pt", return_special_tokens_mask=True)
        marks = inputs.pop("special_tokens_mask")
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = model(**inputs).last_hidden_state
        return torch.nn.functional.normalize(rows.float(), dim=-1), marks == 0

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
    weights = [len(trades[t][1]) for t in train]
    while True:
        done = (time.monotonic() - started) / 60 / arguments.minutes
        if step % 100 == 0 or done >= 1:
            figures = probed()
            print(f"step {step} done {done:.2f} loss {np.mean(losses or [0]):.3f} "
                  f"sharp {float(sharp.exp()):.1f} none {float(none):.3f} " +
                  " ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
            losses = []
        if done - last > 0.25 or done >= 1:
            save(adapters, base, Path(arguments.out), arguments.rank,
                 {"steps": step + before.get("steps", 0),
                  "minutes": round(arguments.minutes * min(done, 1) + before.get("minutes", 0), 1),
                  "seed": arguments.seed, "sharpness": float(sharp.exp()), "none": float(none),
                  "held_out": {k: round(v, 3) for k, v in probed().items()}})
            last = done
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * group.get("scale", 1) * min(1, (step + 1) / 40) * (
                0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1, done))))
        texts, cases = trades[rng.choices(train, weights)[0]]
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
        torch.nn.utils.clip_grad_norm_(own, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item() / len(some))
        step += 1


if __name__ == "__main__":
    main()
