"""A question -> the chunks most likely to answer it.

Ways to rank, each usable alone: dense (meaning), BM25 (words, codes), fused (both, by reciprocal
rank), MMR (less of the same). `Retriever` is the way the course uses: dense and BM25 fused, the
best read again by a reranker (`reranking`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from utils.chunking import Chunk
from utils.documents import CourseError
from utils.embedding import embed, load_embedder
from utils.index import Index

NO_FLOOR = float("-inf")  # every question gets what was found for it
DEEP = 12  # so far down its own hits a part of a message is looked for passages
LONGEST_QUESTION = 2000  # characters; the embedder reads about half of that anyway
QUESTION_WORD = r"(?:what|which|how|who|whom|where|when|why|does|do|is|are|can|will)\b"
JOINT = re.compile(rf"(?:,? and|[,;] plus|;)(?: also)? (?=(?:in |for |to |at )?{QUESTION_WORD})",
                   re.IGNORECASE)  # where a message goes on to its next question


@dataclass(frozen=True)
class Hit:
    """A retrieved chunk, its score, and its rank under each way of searching that took part.

    `certainty` is the question's: the reranker's best score among all that was found for it.
    `behind` is how far the hit's own lies behind that, in margins of the reranker; `near` uses it.
    """

    chunk: Chunk
    score: float
    ranks: dict[str, int]
    certainty: float = field(default=np.inf, compare=False)
    behind: float = field(default=0.0, compare=False)


def near(hits: Sequence[Hit]) -> list[Hit]:
    """What a model is shown: the first hit, and those that lie no more than a margin behind it."""
    return [hit for hit in hits if hit.behind <= hits[0].behind + 1]


def parts_of(text: str) -> list[str]:
    """The questions that a message asks, each with the story that is told around them."""
    sentences = re.split(r"(?<=[.?!:])\s+", text)
    asks = [s.endswith("?") for s in sentences]
    if not any(asks):
        asks[-1] = True
    story = [s for s, ask in zip(sentences, asks, strict=True) if not ask]
    parts = [part for s, ask in zip(sentences, asks, strict=True) if ask for part in JOINT.split(s)]
    return [" ".join([*story, part.strip()]) for part in parts if part.strip()]


def by_turns(rows: Sequence[list[Hit]], k: int) -> list[Hit]:
    """The best of a message and of its parts, one of each in turn, each chunk once.

    A hit's ranks tell which of the parts have found it, too: "part 1", "part 2", …
    """
    sure = max((hits[0].certainty for hits in rows if hits), default=np.inf)
    behind: dict[int, float] = {}
    for hit in (hit for hits in rows for hit in hits):
        behind[id(hit.chunk)] = min(hit.behind, behind.get(id(hit.chunk), np.inf))
    ranked: dict[int, dict[str, int]] = {}
    for part, hits in enumerate(rows[1:], 1):
        for rank, hit in enumerate(hits, 1):
            ranked.setdefault(id(hit.chunk), {})[f"part {part}"] = rank
    turns = [hits[n] for n in range(k) for hits in rows if n < len(hits)]
    once = {id(hit.chunk): hit for hit in reversed(turns)}
    return [replace(hit, certainty=sure, behind=behind[id(hit.chunk)],
                    ranks=hit.ranks | ranked.get(id(hit.chunk), {}))
            for hit in (once.pop(id(h.chunk)) for h in turns if id(h.chunk) in once)][:k]


class BM25:
    """Ranks by shared words, rare ones first: strong on codes, part numbers and names."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        self._engine = bm25s
        self.model = bm25s.BM25()
        self.size = len(texts)
        words = self._tokens(list(texts))
        self.empty = not any(words)  # texts of nothing but "it is the": no word to find
        if not self.empty:
            self.model.index(words, show_progress=False)

    def scores(self, questions: Sequence[str]) -> np.ndarray:
        """(questions, texts); zero where no word is shared."""
        rows = [self.model.get_scores(words) if words and not self.empty else np.zeros(self.size)
                for words in self._tokens(list(questions))]
        return np.stack(rows)

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        return self._engine.tokenize(texts, stopwords="en", show_progress=False,
                                     return_ids=False)


def reciprocal_rank_fusion(*scores: np.ndarray, weights: Sequence[float] | None = None,
                           constant: int = 10) -> np.ndarray:
    """Joins rankings by 1 / (constant + rank): what several ways put high comes first."""
    return joined([ranks(s) for s in scores], weights or [1.0] * len(scores), constant)


def joined(places: Sequence[np.ndarray], weights: Sequence[float], constant: int = 10
           ) -> np.ndarray:
    """The same from ranks that are already known."""
    return sum(w / (constant + p) for w, p in zip(weights, places, strict=True))


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Where the k best of each row stand, the best first; of equals the one that stands first."""
    k = min(k, scores.shape[1])
    least = np.partition(scores, -k, axis=1)[:, -k]
    near = [np.flatnonzero(row >= bar) for row, bar in zip(scores, least, strict=True)]
    return np.stack([places[np.argsort(-row[places], kind="stable")][:k]
                     for row, places in zip(scores, near, strict=True)])


def _descending(scores: np.ndarray) -> np.ndarray:
    """Where the best of each row stands, the next, …; of equals the one that stands first."""
    if scores.dtype != np.float32:
        return np.argsort(-scores, axis=-1, kind="stable")
    # Numbers in single precision as whole ones of the same order, the place behind them: so there
    # are no equals, and the quickest sort, several times as fast, may be used.
    whole = (0.0 - scores).astype(np.float32).view(np.int32).astype(np.int64)
    whole ^= (whole >> 63) & 0x7FFFFFFF
    keys = (whole << 32) | np.arange(scores.shape[-1])
    keys.sort(axis=-1)
    return keys & 0xFFFFFFFF


def ranks(scores: np.ndarray) -> np.ndarray:
    """0 for the best of each row, 1 for the next."""
    order = _descending(scores)
    found = np.empty_like(order)
    np.put_along_axis(found, order, np.arange(order.shape[-1]), axis=-1)
    return found


def mmr(question: np.ndarray, vectors: np.ndarray, k: int, balance: float = 0.7) -> list[int]:
    """Maximal marginal relevance: near the question, and not near what is already chosen."""
    relevance = vectors @ question
    chosen: list[int] = []
    while len(chosen) < min(k, len(vectors)):
        repeats = (vectors @ vectors[chosen].T).max(axis=1) if chosen else 0
        score = balance * relevance - (1 - balance) * repeats
        score[chosen] = -np.inf
        chosen.append(int(score.argmax()))
    return chosen


class Retriever:
    """The course's retriever: dense search fused with BM25, the best of both read again.

    With `cutoff`, a question gets nothing at all where the reranker scores all that was found below
    its own "none of these". `floor` is such a bar, too, and a higher one; it holds for one house
    only (`calibration`). A message that asks two things is searched as a whole and in parts, which
    take turns.
    """

    def __init__(self, index: Index, embedder=None, reranker=None, k: int = 6, reread: int = 48,
                 cutoff: bool = True, floor: float = NO_FLOOR, in_parts: bool = True) -> None:
        if not index.chunks:
            raise CourseError("The index is empty: there is nothing to search.")
        self.index, self.k, self.reread, self.cutoff = index, k, reread, cutoff
        self.floor, self.in_parts = floor, in_parts
        self.embedder = embedder or load_embedder()
        self.reranker = reranker
        self.texts = in_context(index.chunks)
        self.bm25 = BM25(self.texts)

    def search(self, question: str, k: int | None = None) -> list[Hit]:
        """The best k chunks for one question."""
        return self.search_many([question], k)[0]

    def search_many(self, questions: Sequence[str], k: int | None = None,
                    floor: float | None = None) -> list[list[Hit]]:
        """The best k chunks for each question; a floor given here takes the place of its own."""
        questions = [checked(q) for q in questions]
        if not questions:
            return []
        k = min(k or self.k, len(self.index.chunks))
        asked = [[q, *self._parts(q)] for q in questions]
        found = iter(self._searched([text for texts in asked for text in texts], max(k, DEEP)))
        rows = [[next(found) for _ in texts] for texts in asked]
        return [self.enough(by_turns(row, k) if len(row) > 1 else row[0][:k], floor)
                for row in rows]

    def _parts(self, question: str) -> list[str]:
        parts = parts_of(question) if self.in_parts else []
        return parts if len(parts) > 1 else []

    def _searched(self, questions: Sequence[str], k: int) -> list[list[Hit]]:
        first, fused, places, read = self._candidates(questions, k)
        found = []
        for row, numbers in enumerate(first):
            scores, certainty, behind = fused[row, numbers], np.inf, np.zeros(len(numbers))
            at = {name: p[row, numbers] for name, p in places.items()}
            if read is not None:
                at["reranker"] = ranks(read[row])
                scores = reciprocal_rank_fusion(scores, read[row], weights=[1.0, 4.0])
                certainty = float(read[row].max())
                if self.reranker.margin:
                    behind = (certainty - read[row]) / self.reranker.margin
            top = np.argsort(-scores, kind="stable")[:0 if self._none(certainty) else k]
            found.append([Hit(self.index.chunks[numbers[j]], float(scores[j]),
                              {name: int(p[j]) + 1 for name, p in at.items()}, certainty,
                              float(behind[j])) for j in top])
        return found

    def _none(self, certainty: float) -> bool:
        """Whether "none of these answers" is the better guess, by the reranker's own measure."""
        none = self.reranker.none if self.reranker and self.cutoff else None
        return none is not None and certainty < none

    def enough(self, hits: list[Hit], floor: float | None = None) -> list[Hit]:
        """These hits, or none where their question lies below the floor."""
        floor = self.floor if floor is None else floor
        return hits if hits and hits[0].certainty >= floor else []

    def certainty(self, questions: Sequence[str]) -> np.ndarray:
        """The reranker's best score for each message: how likely anything found answers it."""
        asked = [[checked(q), *self._parts(checked(q))] for q in questions]
        read = iter(self._candidates([text for texts in asked for text in texts], self.k)[3])
        return np.array([max(float(next(read).max()) for _ in texts) for texts in asked])

    def over(self, index: Index) -> Retriever:
        """The same search over another index."""
        return Retriever(index, self.embedder, self.reranker, self.k, self.reread, self.cutoff,
                         self.floor, self.in_parts)

    def _candidates(self, questions: Sequence[str], k: int) -> tuple:
        """(numbers of the chunks first found, their fused scores, ranks, the reranker's scores)"""
        dense = embed(questions, self.embedder) @ self.index.vectors.T
        words = self.bm25.scores(questions)
        places = {"dense": ranks(dense), "bm25": ranks(words)}
        fused = joined(list(places.values()), weights=[1.0, 0.5])
        first = best(fused, max(k, self.reread))
        read = None
        if self.reranker:
            read = self.reranker.scores(questions, [[self.texts[j] for j in row] for row in first])
        return first, fused, places, read


def in_context(chunks: Sequence[Chunk], before: int = 100) -> list[str]:
    """What a reranker is shown of each chunk: its words, its place, and what stands before it."""
    shown = []
    for last, chunk in zip([None, *chunks], chunks, strict=False):
        near = last is not None and (last.document, last.headings) == (chunk.document,
                                                                      chunk.headings)
        context = f"; after: {last.text[-before:]}" if near else ""
        shown.append(f"{chunk.text} ({chunk.place}{context})")
    return shown


def checked(question: str) -> str:
    """The question, trimmed; an empty one is refused, a very long one is cut and said so."""
    text = question.strip().encode("utf-8", "replace").decode()  # half a character is none
    if not text:
        raise CourseError("The question is empty. Write what you want to know.")
    if len(text) > LONGEST_QUESTION:
        import warnings

        warnings.warn(f"The question has {len(text):,} characters; the first {LONGEST_QUESTION:,} "
                      "are read. Ask shorter for a better answer.", stacklevel=3)
        return text[:LONGEST_QUESTION]
    return text
