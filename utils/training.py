"""A training under way: steps, losses, validation, checkpoints.

The loop is written out, because three things are wanted of it: a step wastes nothing (`passes`,
`steps`), a batch too large for the GPU is halved, and what is killed at any moment goes on to the
very same adapter. The order of the batches and every random draw follow from seed and step, so a
checkpoint needs no more than weights, optimizer and step.
"""

from __future__ import annotations

import contextlib
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from utils.adapters import Point, write_whole
from utils.batching import Batch, Tokens, batch, plan
from utils.documents import CourseError
from utils.loading import precision
from utils.passes import in_few_passes
from utils.steps import answer_loss

WARM_UP = 0.05  # the share of the steps in which the rate rises; then it falls to zero


@dataclass(frozen=True)
class Settings:
    """How an adapter is trained. `targets` are "all-linear" or the names of layers.

    `weights` are pairs of a field of replies in JSON and how often its value counts in the loss.
    """

    rank: int = 16
    alpha: int = 32
    targets: str | tuple[str, ...] = "all-linear"
    rate: float = 2e-3
    epochs: int = 4
    tokens_per_batch: int = 2048
    seed: int = 0
    looks: int = 8  # how many times the validation loss is taken
    weights: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "rate", "epochs", "tokens_per_batch", "looks"):
            if not getattr(self, name) > 0:
                raise CourseError(f"Settings({name}={getattr(self, name)}) must be above 0.")
        for name, times in self.weights:
            if times < 1:
                raise CourseError(f"The weight of the field '{name}' is {times}; give 1 or more.")
        if isinstance(self.targets, str) and self.targets != "all-linear":
            raise CourseError(f"targets='{self.targets}' must be 'all-linear' or a tuple of names "
                              "such as ('q_proj', 'v_proj').")


def number_format(device: torch.device) -> torch.dtype:
    """What is computed in: bf16 where the machine really does, on a T4 fp16, else fp32."""
    if device.type == "cuda":
        return precision()
    fast = any(getattr(torch.cpu, f"_is_{name}_supported", bool)()
               for name in ("avx512_bf16", "amx_tile"))
    return torch.bfloat16 if device.type == "cpu" and fast else torch.float32


@dataclass
class Run:
    """A training under way."""

    model: object
    settings: Settings
    learned: list[Tokens]
    held_out: list[Tokens]
    say: Callable[[object], None]
    padding: int = 0
    step: int = 0
    pieces: int = 1  # a batch is computed in so many pieces, to save memory
    seconds: float = 0.0
    since_look: tuple[float, int] = (0.0, 0)  # summed loss, tokens
    history: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.device = self.model.device
        self.format = number_format(self.device)
        in_few_passes(self.model.train(), self.format)
        self.weights = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.weights.values(), weight_decay=0.0, fused=True)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.format == torch.float16)
        self.per_epoch = len(self._plan(0))
        self.steps = self.per_epoch * self.settings.epochs
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def advance(self) -> None:
        """One step of the optimizer."""
        start = time.perf_counter()
        torch.manual_seed(self.settings.seed * 1_000_003 + self.step)
        epoch, place = divmod(self.step, self.per_epoch)
        group = [self.learned[i] for i in self._plan(epoch)[place]]
        for part in self.optimizer.param_groups:
            part["lr"] = self.settings.rate * self._share_of_rate()
        loss = self._summed(group, self._learn)
        tokens = sum(t.learned for t in group)
        if not math.isfinite(loss):
            raise CourseError(f"The loss is no number any more at step {self.step + 1}. Lower the "
                              f"rate (now {self.settings.rate:g}) and train again.")
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.since_look = (self.since_look[0] + loss, self.since_look[1] + tokens)
        self.step += 1
        self.seconds += time.perf_counter() - start

    def time_to_look(self) -> bool:
        """Whether the validation loss is due; the looks are spread evenly, the last at the end."""
        looks = self.settings.looks
        return self.step * looks // self.steps > (self.step - 1) * looks // self.steps

    def look(self) -> None:
        """Takes the validation loss and says where the training stands."""
        loss, tokens = self.since_look
        point = Point(self.step, round(self.step / self.per_epoch, 2),
                      loss / tokens if tokens else None, self.validation(), self.seconds)
        self.history.append(point)
        self.since_look = (0.0, 0)
        self.say(point)

    def validation(self) -> float | None:
        """The loss per token of the held-out answers."""
        self.model.eval()
        loss = sum(self._summed([self.held_out[i] for i in group], self._measure)
                   for group in plan([len(t.ids) for t in self.held_out],
                                     self.settings.tokens_per_batch, 0, 0) if self.held_out)
        self.model.train()
        tokens = sum(t.learned for t in self.held_out)
        return loss / tokens if tokens else None

    def keep(self, path: Path, made_from: dict) -> None:
        """Writes the checkpoint, in one piece."""
        state = {"made_from": made_from, "step": self.step, "pieces": self.pieces,
                 "seconds": self.seconds, "since_look": self.since_look,
                 "history": [asdict(p) for p in self.history],
                 "weights": {n: p.detach() for n, p in self.weights.items()},
                 "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        write_whole(path, lambda file: torch.save(state, file))

    def restore(self, state: dict) -> None:
        """Takes up where the checkpoint was written."""
        for name, weight in self.weights.items():
            weight.data.copy_(state["weights"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.pieces, self.seconds = (state[k] for k in ("step", "pieces", "seconds"))
        self.since_look = tuple(state["since_look"])
        self.history = [Point(**row) for row in state["history"]]

    def facts(self) -> dict:
        """What is written beside the adapter about its training."""
        trained = sum(p.numel() for p in self.weights.values())
        seen = self.settings.epochs * sum(len(t.ids) for t in self.learned)
        last = self.history[-1]
        return {"loss": last.loss, "validation_loss": last.validation, "steps": self.steps,
                "trained_parameters": trained, "computed_in": str(self.format).split(".")[1],
                "device": self.device.type, "pieces": self.pieces,
                "seconds": round(self.seconds, 2),
                "tokens_per_second": round(seen / max(self.seconds, 1e-9)),
                "peak_memory_gb": round(peak_memory(self.device) / 1e9, 2),
                "packages": {"python": platform.python_version()} | {
                    name: metadata.version(name) for name in ("torch", "transformers", "peft")},
                "history": [asdict(p) for p in self.history]}

    def _plan(self, epoch: int) -> list[list[int]]:
        return plan([len(t.ids) for t in self.learned], self.settings.tokens_per_batch,
                    self.settings.seed, epoch)

    def _share_of_rate(self) -> float:
        """Up in the first steps, then evenly down to zero."""
        warm = max(1, round(WARM_UP * self.steps))
        return min((self.step + 1) / warm, (self.steps - self.step) / max(1, self.steps - warm))

    def _summed(self, group: list[Tokens], compute: Callable) -> float:
        """The group's summed loss; out of memory, the group is halved until it fits."""
        tokens = sum(t.learned for t in group)
        while True:
            parts = [part for part in np.array_split(np.arange(len(group)), self.pieces)
                     if len(part)]
            with contextlib.suppress(torch.OutOfMemoryError):
                return sum(compute(batch([group[i] for i in part], self.device, self.padding),
                                   tokens) for part in parts)
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            if self.pieces >= len(group):
                raise CourseError(
                    "The GPU's memory is too small even for one example at a time. Leave out the "
                    f"longest examples (here {max(len(t.ids) for t in group):,} tokens), lower "
                    f"rank (now {self.settings.rank}), or load the model with load_in_4bit=True.")
            self.pieces *= 2
            self.say(f"Out of GPU memory: each batch is now computed in {self.pieces} pieces; the "
                     "result is the same. A smaller tokens_per_batch avoids it.")

    def _learn(self, piece: Batch, tokens: int) -> float:
        loss = self._loss(piece)
        self.scaler.scale(loss / tokens).backward()
        return float(loss.detach())

    @torch.no_grad()
    def _measure(self, piece: Batch, tokens: int) -> float:
        return float(self._loss(piece))

    def _loss(self, piece: Batch) -> torch.Tensor:
        if self.format == torch.float32:
            return answer_loss(self.model, piece)
        with torch.autocast(self.device.type, self.format):
            return answer_loss(self.model, piece)


def peak_memory(device: torch.device) -> int:
    """The most memory held so far, in bytes: of the GPU, or of this whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if platform.system() == "Darwin" else 1024)
