"""Questions that are asked again and again -> the hits they had the first time.

Five notebooks ask the same exam of the same documents. What is compared there is what comes after
the search, so the search need not be done again: the hits are kept on disk, under a fingerprint of
everything they hang on. With another document, model or setting they are not used. Beside them lie
the word vectors of all passages that the reranker has read: for a new question it need not read
them again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from utils.locks import in_one_piece
from utils.retrieval import DEEP, NO_FLOOR, Hit, Retriever  # to rank DEEP hits are kept


@dataclass(frozen=True)
class Handed:
    """A retriever that was handed its hits: systems are compared on the very same ones."""

    hits: Mapping[str, Sequence[Hit]]

    def search_many(self, questions: Sequence[str]) -> list[list[Hit]]:
        """The hits it was handed for each question."""
        return [list(self.hits[question]) for question in questions]


class Remembered:
    """A retriever that hands out the hits it has found before, and searches for the others."""

    def __init__(self, retriever: Retriever, file: str | Path | None = None) -> None:
        self.retriever, self.index, self.file = retriever, retriever.index, file and Path(file)
        self.fingerprint = fingerprint(retriever)
        self.known: dict[str, list[Hit]] = {}
        self.words = getattr(retriever.reranker, "apart", None)  # what reads each text by itself
        if self.file and self.file.is_file():
            self.known = self._stored()
        if self.file and self.words:
            self.words.recall(self.file.with_suffix(".npz"))

    def search(self, question: str, k: int | None = None) -> list[Hit]:
        """The best k chunks for one question; an answer to a new one is not written to the disk."""
        k = k or self.retriever.k
        if k > DEEP:
            return self.retriever.search(question, k)
        if question not in self.known:
            self.known[question] = self.retriever.search_many([question], DEEP, floor=NO_FLOOR)[0]
        return self.retriever.enough(self.known[question][:k])

    def search_many(self, questions: Sequence[str], k: int | None = None,
                    floor: float | None = None) -> list[list[Hit]]:
        """The best k chunks for each question; what is remembered knows no floor."""
        k = k or self.retriever.k
        if k > DEEP:
            return self.retriever.search_many(questions, k, floor)
        new = [q for q in dict.fromkeys(questions) if q not in self.known]
        if new:
            found = self.retriever.search_many(new, DEEP, floor=NO_FLOOR)
            self.known |= zip(new, found, strict=True)
            self._keep()
        return [self.retriever.enough(self.known[q][:k], floor) for q in questions]

    def _stored(self) -> dict[str, list[Hit]]:
        """What the file holds, if it was written for this very retriever; a damaged one is new."""
        chunks = self.index.chunks
        try:
            stored = json.loads(self.file.read_text(encoding="utf-8"))
            if stored["fingerprint"] != self.fingerprint:
                return {}
            return {question: [Hit(chunks[n], *rest) for n, *rest in hits]
                    for question, hits in stored["hits"].items()}
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return {}

    def _keep(self) -> None:
        """Writes the file in one piece; where that cannot be done, next time is as the first."""
        if not self.file:
            return
        number = {id(chunk): n for n, chunk in enumerate(self.index.chunks)}
        hits = {question: [[number[id(h.chunk)], h.score, h.ranks, h.certainty, h.behind]
                           for h in found] for question, found in self.known.items()}
        with suppress(OSError):
            in_one_piece(self.file, json.dumps({"fingerprint": self.fingerprint, "hits": hits}))
            if self.words:
                self.words.keep(self.file.with_suffix(".npz"))


def fingerprint(retriever: Retriever) -> str:
    """Equal for two retrievers that find the same."""
    index, reader = retriever.index, retriever.reranker
    order = [(c.document, c.start, c.end) for c in index.chunks]  # what is kept counts by it
    about = [index.embedder, index.chunker, sorted(index.checksums.items()), order,
             retriever.k, retriever.reread, retriever.in_parts,
             type(reader).__name__, getattr(reader, "name", ""), getattr(reader, "margin", None),
             {"no hit at all below": getattr(reader, "none", None) if retriever.cutoff else None},
             _weights(reader)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _weights(reader) -> str:
    """A checksum of a part of each of the reranker's weights."""
    model = getattr(reader, "model", None)
    if model is None:
        return ""
    digest = hashlib.sha256()
    for weight in model.state_dict().values():
        digest.update(weight.detach().flatten()[:64].float().cpu().numpy().tobytes())
    return digest.hexdigest()
