"""Examples -> a LoRA adapter on disk.

`train` is the station: it reads the examples as tokens, puts a fresh adapter on the base, lets a
`Run` (`training`) take its steps, and writes the result. It can be killed at any moment and goes
on with `resume=True`.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from utils.adapters import (
    FACTS,
    Adapter,
    Point,
    bare,
    describe_base,
    open_adapter,
    other_base,
    unwritable,
    with_adapter,
    write_adapter,
)
from utils.batching import checksum, read_examples, tokenised
from utils.documents import CourseError
from utils.generation import Generator
from utils.locks import alone
from utils.steps import answer_loss
from utils.training import Run, Settings

__all__ = ["Adapter", "Point", "Settings", "answer_loss", "read_examples", "train", "with_adapter"]
CHECKPOINT = "checkpoint.pt"
CHECKPOINT_SECONDS = 20.0


def train(generator: Generator, examples: Sequence[dict], validation: Sequence[dict],
          folder: str | Path, settings: Settings | None = None, resume: bool = False,
          say: Callable[[object], None] | None = print) -> Adapter:
    """Trains an adapter on the replies of the examples and writes it to the folder.

    The generator stays as it is. `say` is given a `Point` each time the validation loss is taken.
    With `resume=True` an interrupted training goes on, and a finished one is returned as it is.
    """
    folder, settings, say = Path(folder), settings or Settings(), say or (lambda _: None)
    with _alone(folder):
        return _train(generator, examples, validation, folder, settings, resume, say)


@contextmanager
def _alone(folder: Path):
    """Two trainings into one folder would write over each other: the second waits."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_name(f".{folder.name}.lock")
        lock.touch()
    except OSError as problem:
        raise unwritable(folder, problem) from None
    with alone(lock, f"Another training writes to {folder}; waiting for it."):
        yield


def _train(generator: Generator, examples: Sequence[dict], validation: Sequence[dict],
           folder: Path, settings: Settings, resume: bool, say: Callable) -> Adapter:
    learned = tokenised(generator, examples, "example", settings.weights)
    held_out = tokenised(generator, validation, "validation example")
    if not learned:
        raise CourseError("There are no examples to learn from. Read some: read_examples(…).")
    base = bare(generator.model)
    made_from = {"base": describe_base(base), "settings": json.loads(json.dumps(asdict(settings))),
                 "data": {"examples": len(learned), "examples_sha256": checksum(examples),
                          "validation": len(held_out), "validation_sha256": checksum(validation)}}
    checkpoint = folder / CHECKPOINT
    stored = _stored(checkpoint) if resume else None
    if stored:
        _same_training(stored["made_from"], made_from, base, checkpoint)
    elif resume and (folder / FACTS).is_file():
        adapter = open_adapter(folder)
        _same_training(adapter.facts, made_from, base, folder)
        return adapter
    cuda = [generator.model.device] if generator.model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(settings.seed)
        run = Run(lora(base, settings), settings, learned, held_out, say,
                  padding=generator.tokenizer.pad_token_id or 0)
        if stored:
            run.restore(stored)
        else:
            run.look()
            run.keep(checkpoint, made_from)
        kept = time.monotonic()
        while run.step < run.steps:
            run.advance()
            if run.time_to_look():
                run.look()
            if time.monotonic() - kept > CHECKPOINT_SECONDS:
                run.keep(checkpoint, made_from)
                kept = time.monotonic()
    adapter = write_adapter(run.model, folder, {**made_from, **run.facts()})
    checkpoint.unlink(missing_ok=True)
    return adapter


def lora(base, settings: Settings):
    """The base with a fresh LoRA adapter, whose weights alone are trained."""
    from peft import LoraConfig, get_peft_model

    there = {name.rpartition(".")[2] for name, module in base.named_modules()
             if isinstance(module, torch.nn.Linear)}
    wanted = settings.targets
    unknown = set() if wanted == "all-linear" else set(wanted) - there
    if unknown:
        raise CourseError(f"The model has no layer called {sorted(unknown)[0]!r}. Set targets to "
                          f"'all-linear' or to some of: {', '.join(sorted(there))}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, meant for PEFT
        return get_peft_model(base, LoraConfig(
            r=settings.rank, lora_alpha=settings.alpha, task_type="CAUSAL_LM",
            target_modules=wanted if wanted == "all-linear" else list(wanted)))


def _stored(path: Path) -> dict | None:
    """The checkpoint, if there is one."""
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise CourseError(f"The checkpoint {path} is damaged. Delete it, or start over with "
                          "resume=False.") from None


def _same_training(known: dict, wanted: dict, base, where: Path) -> None:
    """Refuses to go on with another base, other data or other settings."""
    problem = other_base(known["base"], base)
    for part in ("data", "settings"):
        for name, value in wanted[part].items():
            if not problem and known[part].get(name) != value:
                problem = f"its {name} is {known[part].get(name)}, now it is {value}"
    if problem:
        raise CourseError(f"{where} belongs to another training: {problem}. Go on with what it was "
                          "made with, or start over with resume=False.")
