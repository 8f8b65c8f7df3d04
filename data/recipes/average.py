"""The mean of adapters that went on from one: steadier than any of them, and as quick.

    python data/recipes/average.py FOLDER FOLDER [...] --start FOLDER --out FOLDER

Two trainings from the same start, in another order, learn the same things and make different
mistakes. What each adds to a weight (BA) is averaged, and the mean cut back to the adapter's rank
by its largest singular values (Wortsman et al. 2022, arXiv 2203.05482, call it a soup). What the
mean is worth has to be measured anew: `train_reranker.py --start FOLDER --minutes 1e-9`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
sys.path[:0] = [str(RECIPES), str(RECIPES.parents[1])]

import torch  # noqa: E402
from adapting import attach, fill, save  # noqa: E402
from transformers import AutoModel  # noqa: E402

from utils.embedding import wheel_embedder_path  # noqa: E402


def halves(change: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, a) of that rank whose product comes nearest to the change, both equally large."""
    left, sizes, right = torch.linalg.svd(change, full_matrices=False)
    root = sizes[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--start", type=Path, required=True, help="what they went on from")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rank = json.loads((arguments.folders[0] / "adapter_config.json").read_text(
        encoding="utf-8"))["r"]
    model = AutoModel.from_pretrained(wheel_embedder_path())
    adapters = attach(model, rank)
    changes: dict[str, torch.Tensor] = {}
    facts = []
    with torch.no_grad():
        for folder in arguments.folders:
            facts.append(fill(adapters, folder))
            for name, adapter in adapters.items():
                changes[name] = changes.get(name, 0) + adapter.b @ adapter.a / len(
                    arguments.folders)
        lost = []
        for name, adapter in adapters.items():
            b, a = halves(changes[name], rank)
            adapter.b.copy_(b)
            adapter.a.copy_(a)
            lost.append(float((b @ a - changes[name]).norm() / changes[name].norm()))
    begun = json.loads((arguments.start / "training.json").read_text(encoding="utf-8"))
    mean = {k: sum(f[k] for f in facts) / len(facts) for k in ("sharpness", "none")}
    whole = {k: begun[k] + sum(f[k] - begun[k] for f in facts) for k in ("steps", "minutes")}
    trades = set().union(*(f.get("trades", ()) for f in facts))
    save(adapters, arguments.out, rank, mean | whole | {"trades": sorted(trades)})
    print(f"{len(facts)} adapters; at most {max(lost):.1%} of a weight's mean change is lost")


if __name__ == "__main__":
    main()
