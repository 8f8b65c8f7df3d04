"""What the trainings of the search share: an adapter on MiniLM, the trades, how long, how fast.

The recipes that use it are `train_embedder.py`, `train_reranker.py` and `train_reader.py`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from utils.embedding import wheel_embedder_path
from utils.profiles import EMBEDDER_HUB_ID
from utils.training import number_format

PROSE = Path(__file__).resolve().parent / "prose"
HELD_OUT = ("theatre", "thermostat", "vet")  # the trades that the pocket model's probes ask about
SCALE = 2.0  # of the adapter: lora_alpha / rank
LINEAR = r"layer\.\d\..*(query|key|value|dense)$"  # the layers that an adapter changes


def options(about: str, minutes: float, out: Path) -> argparse.ArgumentParser:
    """The flags that all have."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=minutes)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--start", type=Path, help="an adapter to go on from")
    return parser


@dataclass
class Pupil:
    """MiniLM with fresh adapters, the trades it learns from, and the dice."""

    model: object
    tokenizer: object
    adapters: dict
    trades: dict
    train: list[str]
    rng: random.Random
    known: set[str] = field(default_factory=set)
    waiting: list[str] = field(default_factory=list)

    @property
    def own(self) -> list:
        """The weights that learn."""
        return [p for a in self.adapters.values() for p in a.parameters()]

    def next_trade(self):
        """First the trades not yet known, then all, in an order drawn anew at every round.

        A page that was learned from before has less left to teach: of its questions 83 in a hundred
        were answered right among all its sentences, of those of a new trade 61.
        """
        if not self.waiting:
            new = [name for name in self.train if name not in self.known]
            self.waiting = self.rng.sample(new or self.train, len(new or self.train))
        self.known.add(self.waiting[-1])
        return self.trades[self.waiting.pop()]

    def read(self, texts: list[str], seconds: list[str] | None = None):
        """(last hidden states, what the tokenizer said), in the format this machine is quick in.

        With second texts each is read together with its first.
        """
        import torch

        inputs = self.tokenizer(texts, seconds, padding=True, truncation=True,
                                max_length=192 if seconds else 160,
                                return_tensors="pt", return_special_tokens_mask=True)
        shown = {k: v for k, v in inputs.items() if k != "special_tokens_mask"}
        kind = number_format(torch.device("cpu"))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == torch.bfloat16):
            return self.model(**shown).last_hidden_state.float(), inputs


def pupil(arguments, read_trade: Callable, **attention) -> Pupil:
    """Everything that stands before the first step."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    trades = {p.stem: read_trade(p) for p in sorted(PROSE.glob("*.md"))}
    train = [name for name in trades if name not in HELD_OUT]
    print(f"{sum(len(trades[t][1]) for t in train)} questions to learn from", flush=True)
    base = wheel_embedder_path()
    model = AutoModel.from_pretrained(base, hidden_dropout_prob=0.05,
                                      attention_probs_dropout_prob=0.0, **attention)
    return Pupil(model, AutoTokenizer.from_pretrained(base), attach(model, arguments.rank), trades,
                 train, random.Random(arguments.seed))


def alike(texts: list[str], count: int = 32) -> list[list[int]]:
    """The numbers of the texts in groups of like length, which are read together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    return [order[i:i + count] for i in range(0, len(order), count)]


def rate(highest: float, steps: int, done: float) -> float:
    """Up in forty steps, then down a cosine to nearly nothing."""
    return highest * min(1, (steps + 1) / 40) * (
        0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1, done))))


def fill(adapters: dict, folder: Path) -> dict:
    """Fills the adapters with those of a folder, whose rank may be lower; what it says of them."""
    import torch
    from safetensors.torch import load_file

    stored = load_file(folder / "adapter_model.safetensors")
    with torch.no_grad():
        for name, adapter in adapters.items():
            down = stored[f"base_model.model.{name}.lora_A.weight"]
            adapter.a[:len(down)] = down
            adapter.b[:, :len(down)] = stored[f"base_model.model.{name}.lora_B.weight"]
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))


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
        if isinstance(module, torch.nn.Linear) and re.search(LINEAR, name):
            adapters[name] = kind(module, rank)
            parametrize.register_parametrization(module, "weight", adapters[name])
    return adapters


def save(adapters: dict, out: Path, rank: int, facts: dict) -> None:
    """The adapter in PEFT's own form, so that any PEFT can load it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    tuned = get_peft_model(AutoModel.from_pretrained(wheel_embedder_path()), LoraConfig(
        r=rank, lora_alpha=int(SCALE * rank), target_modules=list(adapters)))
    modules = dict(tuned.base_model.model.named_modules())
    with torch.no_grad():
        for name, adapter in adapters.items():
            modules[name].lora_A["default"].weight.copy_(adapter.a)
            modules[name].lora_B["default"].weight.copy_(adapter.b)
    card = out / "README.md"
    about = card.read_text(encoding="utf-8") if card.exists() else None
    tuned.half().save_pretrained(out)
    config = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = EMBEDDER_HUB_ID
    (out / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    card.unlink(missing_ok=True)  # PEFT writes an empty one
    if about:
        card.write_text(about, encoding="utf-8")
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
