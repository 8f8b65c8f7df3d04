"""A question and the texts found for it -> a score each, by reading them again more closely.

Searching compares one vector with one vector. A reranker reads the words: by late interaction
(every word of the question looks for its best match in the text), the best of these once more in
one go with the question, or, where the profile has one, with a cross-encoder from the hub. It is
slower by far, so it reads only what the search put first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils.embedding import adapted_embedder, not_loaded, place, plain_embedder
from utils.locks import replacing
from utils.profiles import OFFLINE_READER, OFFLINE_RERANKER

KEPT = 4000  # texts whose word vectors are kept; about 140 MB
TOGETHER = 5  # texts a question that are read in one go with it
PAIRS = 20_000  # of these whose scores are kept; an app that runs for weeks must not grow
LONGEST = 256  # word pieces of a question with its text


@dataclass
class LateInteraction:
    """Scores by the mean, over the question's word pieces, of the best match in the text.

    `none` is the score below which "none of these answers" is the better guess, where a training
    has found one out. A text's words are turned into vectors without regard to the question, so
    a text that comes up again need not be read again; nor by the next program, if they are kept.
    """

    model: object
    none: float | None = None
    name: str = ""
    margin: float | None = None
    _read: dict = field(default_factory=dict, repr=False)
    _kept: set = field(default_factory=set, repr=False)

    def scores(self, questions: Sequence[str], texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each question: the scores of its texts."""
        wanted = dict.fromkeys(t for group in texts for t in group)
        if len(self._read.keys() | wanted) > KEPT:
            self._read = {t: rows for t, rows in self._read.items() if t in wanted}
        new = [t for t in wanted if t not in self._read]
        rows = self._words([*questions, *new])
        self._read |= zip(new, rows[len(questions):], strict=True)
        return [_best_matches(asked, [self._read[t] for t in group])
                for asked, group in zip(rows, texts, strict=False)]

    def keep(self, file: Path) -> None:
        """Writes what was read to a file, for programs to come, if there is anything new in it."""
        if self._read.keys() <= self._kept:
            return
        rows = [r.numpy() for r in self._read.values()]
        told = json.dumps({"reader": self.name, "texts": list(self._read)}).encode()
        with replacing(file) as temporary, temporary.open("wb") as opened:
            np.savez(opened, about=np.frombuffer(told, dtype="uint8"),
                     ends=np.cumsum([len(r) for r in rows]), rows=np.concatenate(rows))
        self._kept = set(self._read)

    def recall(self, file: Path) -> None:
        """Takes up what the same reranker has kept there; a damaged file, or another's, is none."""
        import torch

        with suppress(Exception), np.load(file) as stored:
            about = json.loads(stored["about"].tobytes())
            rows = torch.from_numpy(stored["rows"]).tensor_split(torch.from_numpy(stored["ends"]))
            if about["reader"] == self.name and len(rows) == len(about["texts"]) + 1:
                self._read = dict(zip(about["texts"], rows, strict=False)) | self._read
                self._kept = set(about["texts"])

    def _words(self, texts: list[str]) -> list:
        """A unit vector for every word piece, in half precision."""
        rows = self.model.encode(texts, output_value="token_embeddings",
                                 show_progress_bar=False, batch_size=64)
        rows = [r[1:-1] if len(r) > 2 else r for r in rows]  # without opening and closing marks
        return [(r / r.norm(dim=1, keepdim=True)).half().cpu() for r in rows]


@dataclass
class CloseReading:
    """Late interaction, and its best texts once more, in one go with the question.

    Read so, each word of the one is seen by the words of the other before they are compared; the
    comparison is the same. What it says of the best texts is added to their scores, `weight` of
    it; the others get what the worst of the best has got. A pair that comes up again is not read
    again.
    """

    apart: LateInteraction
    model: object  # a sentence-transformers model
    sharpness: float
    middle: float
    weight: float
    none: float | None = None
    margin: float | None = None
    name: str = ""
    _read: dict = field(default_factory=dict, repr=False)

    def scores(self, questions: Sequence[str], texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each question: the scores of its texts."""
        rows = self.apart.scores(questions, texts)
        best = [np.argsort(-row, kind="stable")[:TOGETHER] for row in rows]
        pairs = [[(question, group[n]) for n in some]
                 for question, group, some in zip(questions, texts, best, strict=True)]
        wanted = dict.fromkeys(pair for mine in pairs for pair in mine)
        if len(self._read.keys() | wanted) > PAIRS:
            self._read = {pair: score for pair, score in self._read.items() if pair in wanted}
        new = [pair for pair in wanted if pair not in self._read]
        self._read |= zip(new, self.together(new), strict=True)
        for row, some, mine in zip(rows, best, pairs, strict=True):
            more = self.weight * np.array([self._read[pair] for pair in mine])
            if mine:
                row += more.min()
                row[some] += more - more.min()
        return rows

    def together(self, pairs: Sequence[tuple[str, str]], batch: int = 32) -> np.ndarray:
        """How surely each text answers its question; below zero "none of these" is likelier."""
        import torch

        order = np.argsort([len(q) + len(t) for q, t in pairs], kind="stable")
        found = np.zeros(len(pairs))
        for start in range(0, len(order), batch):
            some = order[start:start + batch]
            questions, texts = zip(*(pairs[n] for n in some), strict=True)
            inputs = self.model.tokenizer(
                list(questions), list(texts), padding=True, truncation=True, max_length=LONGEST,
                return_tensors="pt", return_special_tokens_mask=True)
            shown = {k: v for k, v in inputs.items() if k != "special_tokens_mask"}
            with torch.inference_mode():
                rows = self.model[0].auto_model(**shown).last_hidden_state
                found[some] = matched(rows, inputs).numpy()
        return self.sharpness * (found - self.middle)


def _best_matches(asked, texts: Sequence) -> np.ndarray:
    """For each text: the mean, over the question's word pieces, of the best match in it."""
    import torch

    if not texts:
        return np.zeros(0)
    near = (asked.float() @ torch.cat(list(texts)).float().T).numpy()  # all texts in one product
    begins = np.cumsum([0, *(len(t) for t in texts)])[:-1]
    return np.maximum.reduceat(near, begins, axis=1).mean(axis=0, dtype=float)


def matched(rows, inputs: Mapping):
    """Of questions read together with a text: the mean best match of the question's pieces."""
    import torch

    rows = torch.nn.functional.normalize(rows, dim=-1)
    words = inputs["special_tokens_mask"] == 0
    asked, said = (words & (inputs["token_type_ids"] == part) for part in (0, 1))
    best = (rows @ rows.transpose(1, 2)).masked_fill(~said[:, None], -1).max(dim=-1).values
    return (best * asked).sum(dim=1) / asked.sum(dim=1).clamp(min=1)


@dataclass
class CrossReader:
    """A cross-encoder: question and text go through one network together."""

    model: object
    none: float | None = None
    name: str = ""
    margin: float | None = None

    def scores(self, questions: Sequence[str], texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each question: the scores of its texts."""
        pairs = [(q, t) for q, group in zip(questions, texts, strict=True) for t in group]
        flat = np.asarray(self.model.predict(pairs, show_progress_bar=False)) if pairs else []
        cuts = np.cumsum([len(group) for group in texts])[:-1]
        return [np.asarray(part) for part in np.split(np.asarray(flat), cuts)]


@lru_cache(maxsize=2)
def load_reranker(name: str | None = None) -> CloseReading | CrossReader:
    """The cross-encoder of that name; None is the offline one: the embedder with two adapters."""
    if name:
        from sentence_transformers import CrossEncoder

        try:
            return CrossReader(CrossEncoder(name, device=place()), name=name)
        except OSError as problem:
            raise not_loaded("reranker", name, problem) from None
    apart, folder = late_interaction(), Path(OFFLINE_READER)
    model, facts = adapted_embedder(folder, "reader"), _facts(folder)
    return CloseReading(apart, model, facts["sharpness"], facts["middle"], facts["weight"],
                        facts["none"], facts["margin"], f"{apart.name}, {_checksum(folder)}")


def late_interaction() -> LateInteraction:
    """The first of the two alone: the embedder with the adapter that learned to compare words."""
    folder = Path(OFFLINE_RERANKER)
    return LateInteraction(adapted_embedder(folder, "reranker"), _facts(folder)["none"],
                           f"the course's own, {_checksum(folder)}")


def plain_late_interaction(embedder=None) -> LateInteraction:
    """Late interaction with the untrained embedder: what the adapter is measured against."""
    return LateInteraction(embedder or plain_embedder())


def _facts(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text(encoding="utf-8"))


def _checksum(folder: Path) -> str:
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()[:12]
