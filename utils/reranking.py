"""A question and the texts found for it -> a score each, by reading them again more closely.

Searching compares one vector with one vector. A reranker reads the words: by late interaction
(every word of the question looks for its best match in the text) or, where the profile has one,
with a cross-encoder from the hub. It is slower by far, so it reads only what the search put first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils.embedding import adapted_embedder, not_loaded, place, plain_embedder
from utils.profiles import OFFLINE_RERANKER

KEPT = 4000  # texts whose word vectors are kept; about 140 MB


@dataclass
class LateInteraction:
    """Scores by the mean, over the question's word pieces, of the best match in the text.

    `none` is the score below which "none of these answers" is the better guess, where a training
    has found one out. A text's words are turned into vectors without regard to the question, so
    a text that comes up again need not be read again.
    """

    model: object
    none: float | None = None
    name: str = ""
    _read: dict = field(default_factory=dict, repr=False)

    def scores(self, questions: Sequence[str], texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each question: the scores of its texts."""
        wanted = dict.fromkeys(t for group in texts for t in group)
        if len(self._read.keys() | wanted) > KEPT:
            self._read = {t: rows for t, rows in self._read.items() if t in wanted}
        new = [t for t in wanted if t not in self._read]
        rows = self._words([*questions, *new])
        self._read |= zip(new, rows[len(questions):], strict=True)
        return [np.array([float((asked.float() @ self._read[t].float().T).max(dim=1).values.mean())
                          for t in group])
                for asked, group in zip(rows, texts, strict=False)]

    def _words(self, texts: list[str]) -> list:
        """A unit vector for every word piece, in half precision."""
        rows = self.model.encode(texts, output_value="token_embeddings",
                                 show_progress_bar=False, batch_size=64)
        rows = [r[1:-1] if len(r) > 2 else r for r in rows]  # without opening and closing marks
        return [(r / r.norm(dim=1, keepdim=True)).half() for r in rows]


@dataclass
class CrossReader:
    """A cross-encoder: question and text go through one network together."""

    model: object
    none: float | None = None
    name: str = ""

    def scores(self, questions: Sequence[str], texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each question: the scores of its texts."""
        pairs = [(q, t) for q, group in zip(questions, texts, strict=True) for t in group]
        flat = np.asarray(self.model.predict(pairs, show_progress_bar=False)) if pairs else []
        cuts = np.cumsum([len(group) for group in texts])[:-1]
        return [np.asarray(part) for part in np.split(np.asarray(flat), cuts)]


@lru_cache(maxsize=2)
def load_reranker(name: str | None = None) -> LateInteraction | CrossReader:
    """The cross-encoder of that name; None is the offline one: the embedder with an adapter."""
    if name:
        from sentence_transformers import CrossEncoder

        try:
            return CrossReader(CrossEncoder(name, device=place()), name=name)
        except OSError as problem:
            raise not_loaded("reranker", name, problem) from None
    folder = Path(OFFLINE_RERANKER)
    model = adapted_embedder(folder, "reranker")
    facts = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    weights = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
    return LateInteraction(model, facts["none"], f"the course's own, {weights[:12]}")


def plain_late_interaction(embedder=None) -> LateInteraction:
    """Late interaction with the untrained embedder: what the adapter is measured against."""
    return LateInteraction(embedder or plain_embedder())
