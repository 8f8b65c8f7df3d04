"""Which models and sizes run where. Every model id of the course stands here and nowhere else.

A profile is chosen by the variable COURSE_PROFILE or in a notebook's setup cell. A profile
that this machine cannot have says why, and names what works; it never becomes another one.
"""

from __future__ import annotations

import os
import re
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from utils.documents import CourseError

ROOT = Path(__file__).resolve().parents[1]
POCKET_MODEL = ROOT / "data" / "pocket_model"
WHEEL_MODEL = ROOT / "build" / "models" / "smollm2-135m-instruct"  # made by `fetch`
OFFLINE_EMBEDDER = ROOT / "data" / "embedder"  # adapters for all-MiniLM-L6-v2: to search with,
OFFLINE_RERANKER = ROOT / "data" / "reranker"  # to read again what was found, word by word,
OFFLINE_READER = ROOT / "data" / "reader"  # and the best of it together with the question
EMBEDDER_HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class Profile:
    """The models of one kind of machine, and the sizes that decide its memory."""

    name: str
    where: str
    generator: str
    embedder: str | None  # None: the offline embedder in its wheel
    reranker: str | None
    gpu: bool
    needs_hub: bool
    load_in_4bit: bool = False
    batch: int = 16
    longest: int = 1536
    quotes_whole: bool = False  # its model must be held to a quotation that it has begun
    rate: float = 2e-4  # at which its adapters learn: a small model bears larger steps

    def why_not(self) -> str | None:
        """Why this machine cannot use the profile, with the remedy; None if it can."""
        if self.gpu and not _has_gpu():
            return ("it needs an NVIDIA GPU and this machine shows none. Use "
                    "COURSE_PROFILE=embedded, or open the notebook on Colab with a GPU.")
        if self.needs_hub:
            absent = [m for m in (self.generator, self.embedder, self.reranker)
                      if m and not _stored(m)]
            if absent and _kept_offline():
                return (f"{absent[0]} is not stored here and HF_HUB_OFFLINE=1 forbids its "
                        "download. Unset it (in a notebook: restart the kernel), or use "
                        "COURSE_PROFILE=embedded.")
            if absent and not _hub_answers():
                return (f"{absent[0]} is not stored here and the model hub is out of reach. Go "
                        "online once, or use COURSE_PROFILE=embedded.")
        elif not self._whole():
            if self.generator == str(WHEEL_MODEL):
                return ("its model is not here yet. Bring it by pip, 93 MB, with: python3 -m utils "
                        "fetch; or use COURSE_PROFILE=embedded.")
            if os.environ.get("COURSE_GENERATOR"):
                return (f"{self.generator} holds no model (config.json and its weights). Name "
                        "another folder in COURSE_GENERATOR, or unset it.")
            return (f"the pocket model is missing from {self.generator}. Restore it with: "
                    "git checkout data/pocket_model")
        elif self.embedder is None:
            for folder in (OFFLINE_EMBEDDER, OFFLINE_RERANKER, OFFLINE_READER):
                if not (folder / "adapter_model.safetensors").is_file():
                    place = folder.relative_to(ROOT)
                    return (f"{place} is not complete. Restore it with: git checkout {place}")
        return None

    def _whole(self) -> bool:
        """Whether the generator's folder holds a model with its weights."""
        folder = Path(self.generator)
        return (folder / "config.json").is_file() and any(
            any(folder.glob(ending)) for ending in ("*.safetensors", "*.bin"))


PROFILES = {p.name: p for p in (
    Profile("embedded", "any CPU, offline", str(POCKET_MODEL), None, None,
            gpu=False, needs_hub=False, batch=8, quotes_whole=True, rate=2e-3),
    Profile("wheel", "any CPU, once pip has brought it", str(WHEEL_MODEL), None, None,
            gpu=False, needs_hub=False, batch=8, rate=1e-3),
    Profile("cpu", "a laptop with internet", "Qwen/Qwen3-0.6B", EMBEDDER_HUB_ID, None,
            gpu=False, needs_hub=True, batch=4),
    Profile("t4", "free Colab", "Qwen/Qwen3-1.7B", "BAAI/bge-small-en-v1.5",
            "cross-encoder/ms-marco-MiniLM-L6-v2", gpu=True, needs_hub=True, batch=8),
    Profile("gpu", "24 GB and up, bf16", "Qwen/Qwen3-4B-Instruct-2507", "BAAI/bge-base-en-v1.5",
            "BAAI/bge-reranker-v2-m3", gpu=True, needs_hub=True, batch=16),
)}


def choose(name: str | None = None) -> Profile:
    """The profile of that name, else of COURSE_PROFILE, else `embedded`; checked before use."""
    name = name or os.environ.get("COURSE_PROFILE") or "embedded"
    if name not in PROFILES:
        raise CourseError(f"There is no profile '{name}'. Choose one of: {', '.join(PROFILES)}.")
    profile = PROFILES[name]
    generator = os.environ.get("COURSE_GENERATOR")
    if generator:
        stored = Path(generator).is_dir()
        if not stored and not re.fullmatch(r"[\w.-]+/[\w.-]+", generator):
            raise CourseError(f"COURSE_GENERATOR is '{generator}', which is no folder here and no "
                              "model of the hub. Correct the path, or write OWNER/NAME.")
        profile = replace(profile, generator=generator, quotes_whole=False,
                          needs_hub=not stored or bool(profile.embedder or profile.reranker))
    problem = profile.why_not()
    if problem:
        raise CourseError(f"The profile '{name}' cannot be used here: {problem}")
    if not profile.needs_hub:
        os.environ["HF_HUB_OFFLINE"] = "1"
    return profile


def _has_gpu() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def _stored(model: str) -> bool:
    """Whether the model is a folder here or, with its weights, in the hub's local cache."""
    if Path(model).is_dir():
        return True
    from huggingface_hub import try_to_load_from_cache

    return any(isinstance(try_to_load_from_cache(model, name), str)
               for name in ("model.safetensors", "model.safetensors.index.json"))


def _kept_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _hub_answers() -> bool:
    """Asks as the download will: through a proxy if one is set, at a mirror if one is named."""
    hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    try:
        urllib.request.urlopen(urllib.request.Request(hub, method="HEAD"), timeout=3).close()
    except urllib.error.HTTPError:
        return True  # a refusal is an answer too
    except (OSError, ValueError) as problem:
        # Python without root certificates (macOS) fails here; the download brings its own.
        return isinstance(getattr(problem, "reason", None), ssl.SSLError)
    return True
