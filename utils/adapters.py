"""An adapter on disk -> a generator that wears it.

The base's weights are shared, never copied or changed: a generator with an adapter and the one
without it live side by side, and each answers as itself. An adapter remembers which base it was
trained on, by its shape and a sample of its weights, and refuses any other.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from utils.documents import CourseError
from utils.generation import Generator

WEIGHTS, CONFIG, FACTS = "adapter_model.safetensors", "adapter_config.json", "training.json"
SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads",
         "num_key_value_heads", "intermediate_size", "vocab_size")


@dataclass(frozen=True)
class Point:
    """Where a training stands. Losses are per token of the answers; lower is better."""

    step: int
    epoch: float
    loss: float | None  # the mean since the last point
    validation: float | None
    seconds: float

    def __str__(self) -> str:
        shown = [f"{name} {value:.3f}" for name, value in
                 (("loss", self.loss), ("validation", self.validation)) if value is not None]
        return "  ".join([f"epoch {self.epoch:4.1f}", *shown, f"{self.seconds:.0f} s"])


@dataclass(frozen=True)
class Adapter:
    """A finished adapter: its folder, and what is known about its training."""

    folder: Path
    facts: dict

    @property
    def history(self) -> tuple[Point, ...]:
        """The losses as they went."""
        return tuple(Point(**row) for row in self.facts["history"])


def with_adapter(generator: Generator, adapter: Adapter | str | Path) -> Generator:
    """The same model wearing this adapter, instead of one it may have worn before."""
    from peft import PeftModel

    adapter = open_adapter(adapter.folder if isinstance(adapter, Adapter) else adapter)
    base = bare(generator.model)
    problem = other_base(adapter.facts["base"], base)
    if problem:
        raise CourseError(f"The adapter {adapter.folder} was trained on another model: {problem}. "
                          f"Load {adapter.facts['base']['name']}, or train the adapter again.")
    worn = PeftModel.from_pretrained(base, str(adapter.folder), torch_device=str(base.device))
    return replace(generator, model=worn.eval())


def merged(generator: Generator) -> Generator:
    """The generator with its adapter folded into a copy of the weights: faster, and for good."""
    if not hasattr(generator.model, "merge_and_unload"):
        raise CourseError("This generator wears no adapter. Give it one first: with_adapter(…).")
    if getattr(generator.model, "is_loaded_in_4bit", False):
        raise CourseError("An adapter merged into 4-bit weights answers otherwise than before. "
                          "Load the model without load_in_4bit to merge.")
    return replace(generator, model=copy.deepcopy(generator.model).merge_and_unload())


def bare(model):
    """The model without adapters: modules of its own, around the same weights."""
    shared = {id(t): t for t in (*model.parameters(), *model.buffers())}
    own = copy.deepcopy(model, shared)
    return own.unload() if hasattr(own, "peft_config") else own


def open_adapter(folder: str | Path) -> Adapter:
    """The adapter of that folder; refuses one that is missing, unfinished or damaged."""
    folder = Path(folder)
    if not folder.is_dir():
        raise CourseError(f"There is no adapter {folder}. Train it first; the path is read from "
                          f"{Path.cwd()}.")
    for name in (WEIGHTS, CONFIG, FACTS):
        if not (folder / name).is_file():
            raise CourseError(f"The adapter {folder} is not finished: {name} is missing. Call "
                              "train(…, resume=True) to finish it.")
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        found = Adapter(folder, facts)
        whole = [facts["sha256"][name] == _digest(folder / name) for name in (WEIGHTS, CONFIG)]
        if not all(whole) or not isinstance(facts["base"]["name"], str) or not found.history:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise CourseError(f"The adapter {folder} is damaged: its files are not those that were "
                          "trained. Delete the folder and train it again.") from None
    return found


def write_adapter(model, folder: Path, facts: dict) -> Adapter:
    """Writes adapter and facts; the facts come last, and without them a folder is unfinished."""
    from safetensors import SafetensorError

    new = folder / "new"
    try:
        model.peft_config["default"].base_model_name_or_path = facts["base"]["name"]
        trained = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
        model.save_pretrained(str(new), state_dict=trained, save_embedding_layers=False)
        (folder / FACTS).unlink(missing_ok=True)
        for name in (WEIGHTS, CONFIG):
            os.replace(new / name, folder / name)
    except (OSError, RuntimeError, SafetensorError) as problem:
        raise unwritable(folder, problem) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
    facts = {**facts, "sha256": {name: _digest(folder / name) for name in (WEIGHTS, CONFIG)}}
    write_whole(folder / FACTS, lambda file: file.write(json.dumps(facts, indent=1).encode()))
    return Adapter(folder, facts)


def write_whole(path: Path, write: Callable) -> None:
    """Writes a file in one piece: whatever happens, there is the old one or the new one."""
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as problem:
        raise unwritable(path, problem) from None
    finally:
        part.unlink(missing_ok=True)


def unwritable(path: Path, problem: Exception) -> CourseError:
    reason = getattr(problem, "strerror", None) or str(problem).split("\n")[0]
    return CourseError(f"{path} could not be written ({reason}). Make room or name another folder, "
                       "then call train(…, resume=True): nothing but the last steps is lost.")


# ---------------------------------------------------------------- which base


def describe_base(model) -> dict:
    """The base's name, its shape, and a few of its weights, by which it is known again."""
    known = model.config.to_dict()
    weights = _floating(model)
    names = list(weights)[::max(1, len(weights) // 40)]
    name = str(model.config._name_or_path or model.config.model_type)
    return {"name": Path(name).name if Path(name).is_dir() else name,
            "shape": {key: known.get(key) for key in SHAPE},
            "weights": {n: [float(f"{x:.4g}") for x in _some(weights[n])] for n in names}}


def other_base(known: dict, model) -> str | None:
    """How the model differs from the known base, or None.

    A weight may be off by 1 %, which is what half precision does to it; weights that are held in
    4 bits on either side are not compared.
    """
    present = describe_base(model)
    for key, value in known["shape"].items():
        if present["shape"].get(key) != value:
            return f"its {key} is {value}, here it is {present['shape'].get(key)}"
    weights = _floating(model)
    for name, values in known["weights"].items():
        for a, b in zip(values, _some(weights[name]) if name in weights else values, strict=True):
            if abs(a - b) > 1e-6 + 0.01 * max(abs(a), abs(b)):
                return f"its shape is the same but its weights are not (first in {name})"
    return None


def _floating(model) -> dict:
    return {name: p for name, p in model.named_parameters() if p.is_floating_point()}


def _some(weight) -> list[float]:
    flat = weight.detach().flatten()
    return [float(flat[i * (len(flat) - 1) // 5]) for i in range(6)]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
