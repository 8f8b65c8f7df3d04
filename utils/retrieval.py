"""A question -> the chunks most likely to answer it.

Five ways to rank, each usable alone: dense (meaning), BM25 (words, codes), fused (both, by
reciprocal rank), MMR (less of the same), late interaction (word by word, with the same
embedder). `Retriever` is the way the course uses: dense and BM25 fused, the best re-read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.chunking import Chunk
from utils.documents import CourseError
from utils.embedding import embed, load_embedder
from utils.index import Index, searched_text

LONGEST_QUESTION = 2000  # characters; the embedder reads about half of that anyway


@dataclass(frozen=True)
class Hit:
    """A retrieved chunk, its score, and its rank under each way of searching that took part."""

    chunk: Chunk
    score: float
    ranks: dict[str, int]


class BM25:
    """Ranks by shared words, rare ones first: strong on codes, part numbers and names."""

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s

        self._engine = bm25s
        self.model = bm25s.BM25()
        self.size = len(texts)
        self.model.index(self._tokens(list(texts)), show_progress=False)

    def scores(self, questions: Sequence[str]) -> np.ndarray:
        """(questions, texts); zero where no word is shared."""
        rows = [self.model.get_scores(words) if words else np.zeros(self.size)
                for words in self._tokens(list(questions))]
        return np.stack(rows)

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        return self._engine.tokenize(texts, stopwords="en", show_progress=False,
                                     return_ids=False)


def reciprocal_rank_fusion(*scores: np.ndarray, weights: Sequence[float] | None = None,
                           constant: int = 10) -> np.ndarray:
    """Joins rankings by 1 / (constant + rank): what several ways put high comes first."""
    weights = weights or [1.0] * len(scores)
    return sum(w / (constant + ranks(s)) for w, s in zip(weights, scores, strict=True))


def ranks(scores: np.ndarray) -> np.ndarray:
    """0 for the best of each row, 1 for the next."""
    return np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1, kind="stable")


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


def late_interaction(questions: Sequence[str], texts: Sequence[Sequence[str]],
                     embedder=None) -> list[np.ndarray]:
    """For each question and each of its texts: how well its words are matched, word by word.

    A text's score is the mean, over the question's word pieces, of the best-matching piece of
    the text. Every distinct text is read once.
    """
    embedder = embedder or load_embedder()
    distinct = list(dict.fromkeys(t for group in texts for t in group))
    place = {t: n for n, t in enumerate(distinct)}
    rows = embedder.encode([*questions, *distinct], output_value="token_embeddings",
                           show_progress_bar=False)
    rows = [r / r.norm(dim=1, keepdim=True) for r in rows]
    read = rows[len(questions):]
    scores = []
    for asked, group in zip(rows, texts, strict=False):
        pieces = asked[1:-1] if len(asked) > 2 else asked  # without the opening and closing marks
        scores.append(np.array([float((pieces @ read[place[t]].T).max(dim=1).values.mean())
                                for t in group]))
    return scores


class Retriever:
    """The course's retriever: dense search fused with BM25, the best re-read word by word."""

    def __init__(self, index: Index, embedder=None, k: int = 8, reread: int = 32) -> None:
        if not index.chunks:
            raise CourseError("The index is empty: there is nothing to search.")
        self.index, self.k, self.reread = index, k, reread
        self.embedder = embedder or load_embedder()
        self.texts = [searched_text(c) for c in index.chunks]
        self.bm25 = BM25(self.texts)

    def search(self, question: str, k: int | None = None) -> list[Hit]:
        """The best k chunks for one question."""
        return self.search_many([question], k)[0]

    def search_many(self, questions: Sequence[str], k: int | None = None) -> list[list[Hit]]:
        """The best k chunks for each question."""
        questions = [checked(q) for q in questions]
        if not questions:
            return []
        k = min(k or self.k, len(self.index.chunks))
        dense = embed(questions, self.embedder) @ self.index.vectors.T
        words = self.bm25.scores(questions)
        fused = reciprocal_rank_fusion(dense, words)
        places = {"dense": ranks(dense), "bm25": ranks(words)}
        first = np.argsort(-fused, axis=1, kind="stable")[:, :max(k, self.reread)]
        if self.reread:
            near = late_interaction(questions, [[self.texts[j] for j in row] for row in first],
                                    self.embedder)
        found = []
        for row, numbers in enumerate(first):
            scores = fused[row, numbers]
            if self.reread:
                scores = reciprocal_rank_fusion(scores, near[row], weights=[1.0, 2.0])
            top = np.argsort(-scores, kind="stable")[:k]
            found.append([Hit(self.index.chunks[numbers[j]], float(scores[j]),
                              {name: int(p[row, numbers[j]]) + 1 for name, p in places.items()})
                          for j in top])
        return found


def checked(question: str) -> str:
    """The question, trimmed; an empty one is refused, a very long one is cut and said so."""
    text = question.strip()
    if not text:
        raise CourseError("The question is empty. Write what you want to know.")
    if len(text) > LONGEST_QUESTION:
        import warnings

        warnings.warn(f"The question has {len(text):,} characters; the first {LONGEST_QUESTION:,} "
                      "are read. Ask shorter for a better answer.", stacklevel=3)
        return text[:LONGEST_QUESTION]
    return text
