"""The stock recipe beside ours: the same LoRA, examples and steps through transformers' `Trainer`.

The recipe is the one of most tutorials: padded batches drawn at random, a padding mask, and
`DataCollatorForLanguageModeling`, which learns the prompt as well. Both take turns, so that what
else the machine does hits both; the ratio is that of each pair.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from utils.adapters import bare
from utils.batching import Tokens, plan, tokenised
from utils.finetuning import lora
from utils.generation import Generator
from utils.training import Run, Settings, number_format


@dataclass(frozen=True)
class Contender:
    """One way to train: speed, quality, and the memory it took on top of the loaded model."""

    tokens_per_second: float
    validation: float
    memory_gb: float


@dataclass(frozen=True)
class Comparison:
    """Ours and the stock recipe, medians over the rounds; `ratio` is that of tokens a second."""

    ours: Contender
    trainer: Contender
    ratio: float
    ratios: tuple[float, ...] = field(default=())


def compare_with_trainer(generator: Generator, examples: Sequence[dict],
                         validation: Sequence[dict], settings: Settings, rounds: int = 3,
                         half: bool = True) -> Comparison:
    """Trains both ways in turn. Without `half` the Trainer computes in fp32, as it does unasked.

    Tokens are counted without padding and are the same for both.
    """
    learned, held_out = tokenised(generator, examples), tokenised(generator, validation)
    ours, trainer = [], []
    for number in range(rounds):
        pair = [(ours, _ours), (trainer, _trainer)]
        for results, way in pair if number % 2 else reversed(pair):
            results.append(way(generator, learned, held_out, settings, half))
    ratios = tuple(a.tokens_per_second / b.tokens_per_second
                   for a, b in zip(ours, trainer, strict=True))
    return Comparison(_median(ours), _median(trainer), statistics.median(ratios), ratios)


def _ours(generator: Generator, learned: list[Tokens], held_out: list[Tokens],
          settings: Settings, half: bool) -> Contender:
    run = _run(_fresh(generator, settings), generator, learned, held_out, settings)
    with Memory(run.device) as memory:
        while run.step < run.steps:
            run.advance()
    return Contender(_seen(run) / run.seconds, run.validation() or 0.0, memory.gb)


def _trainer(generator: Generator, learned: list[Tokens], held_out: list[Tokens],
             settings: Settings, half: bool) -> Contender:
    from datasets import Dataset
    from transformers import (
        DataCollatorForLanguageModeling,
        PrinterCallback,
        Trainer,
        TrainingArguments,
    )

    model = _fresh(generator, settings)  # the same adapter, as PEFT computes it
    steps = len(plan([len(t.ids) for t in learned], settings.tokens_per_batch, settings.seed, 0))
    rows = max(1, round(len(learned) / steps))  # as many steps
    kind = str(number_format(model.device)).split(".")[1] if half else ""
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model, processing_class=generator.tokenizer,
            args=TrainingArguments(
                folder, per_device_train_batch_size=rows, num_train_epochs=settings.epochs,
                learning_rate=settings.rate, seed=settings.seed, bf16=kind == "bfloat16",
                fp16=kind == "float16", use_cpu=model.device.type == "cpu", report_to="none",
                save_strategy="no", logging_strategy="no", disable_tqdm=True),
            train_dataset=Dataset.from_list([{"input_ids": list(t.ids)} for t in learned]),
            data_collator=DataCollatorForLanguageModeling(generator.tokenizer, mlm=False))
        trainer.remove_callback(PrinterCallback)
        with Memory(model.device) as memory:
            start = time.perf_counter()
            trainer.train()
            seconds = time.perf_counter() - start
    run = _run(model, generator, learned, held_out, settings)  # asked, not trained
    return Contender(_seen(run) / seconds, run.validation() or 0.0, memory.gb)


def _fresh(generator: Generator, settings: Settings):
    """The base with an adapter that has learned nothing yet; the same one for both."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return lora(bare(generator.model), settings)


def _run(model, generator: Generator, learned: list[Tokens], held_out: list[Tokens],
         settings: Settings) -> Run:
    return Run(model, settings, learned, held_out, lambda _: None,
               padding=generator.tokenizer.pad_token_id or 0)


def _seen(run: Run) -> int:
    return run.settings.epochs * sum(len(t.ids) for t in run.learned)


def _median(found: list[Contender]) -> Contender:
    return Contender(*(statistics.median(getattr(c, name) for c in found)
                       for name in ("tokens_per_second", "validation", "memory_gb")))


class Memory:
    """The most memory held inside the `with`, beyond what was held when it began."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.gb = device, 0.0

    def __enter__(self) -> Memory:
        self._before = self._most = self._held()
        self._over = threading.Event()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            self._watch = threading.Thread(target=self._look, daemon=True)
            self._watch.start()
        return self

    def __exit__(self, *_) -> None:
        if self.device.type == "cuda":
            self._most = torch.cuda.max_memory_allocated(self.device)
        else:
            self._over.set()
            self._watch.join()
        self.gb = (self._most - self._before) / 1e9

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self._most = max(self._most, self._held())

    def _held(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.memory_allocated(self.device)
        import psutil

        return psutil.Process().memory_info().rss


def table(found: Comparison) -> str:
    """The comparison as text."""
    lines = [f"{'':12s}{'tokens/s':>10s}{'validation loss':>18s}{'memory':>10s}"]
    lines += [f"{name:12s}{c.tokens_per_second:10,.0f}{c.validation:18.3f}{c.memory_gb:7.2f} GB"
              for name, c in (("ours", found.ours), ("Trainer", found.trainer))]
    return "\n".join([*lines, f"ours is {found.ratio:.2f} times as fast"])
