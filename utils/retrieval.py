"""A question -> the chunks most likely to answer it.

Five ways to rank, each usable alone: dense (meaning), BM25 (words, codes), fused (both, by
reciprocal rank), MMR (less of the same), late interaction (word by word, with the same
embedder). `Retriever` puts together the way the course settled on in notebook 02: a chunk is as
good as its own match plus its best sentence's, fused with BM25.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.chunking import Chunk, by_sentence
from utils.documents import CourseError, Document
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


def late_interaction(question: str, texts: Sequence[str], embedder=None) -> np.ndarray:
    """For each text: the mean, over the question's word pieces, of the best-matching piece."""
    embedder = embedder or load_embedder()
    rows = embedder.encode([question, *texts], output_value="token_embeddings",
                           show_progress_bar=False)
    rows = [r / r.norm(dim=1, keepdim=True) for r in rows]
    asked = rows[0][1:-1]
    return np.array([float((asked @ text.T).max(dim=1).values.mean()) for text in rows[1:]])


class Retriever:
    """The course's retriever over an index: two-level dense search fused with BM25."""

    def __init__(self, index: Index, documents: Sequence[Document], embedder=None, k: int = 8,
                 bm25_weight: float = 0.5) -> None:
        if not index.chunks:
            raise CourseError("The index is empty: there is nothing to search.")
        self.index, self.k, self.bm25_weight = index, k, bm25_weight
        self.embedder = embedder or load_embedder()
        self.bm25 = BM25([searched_text(c) for c in index.chunks])
        self.sentences = [s for d in documents for s in by_sentence(d)]
        self.sentence_vectors = embed([searched_text(s) for s in self.sentences], self.embedder)
        self._inside = _sentences_of(index.chunks, self.sentences)

    def search(self, question: str, k: int | None = None) -> list[Hit]:
        """The best k chunks for one question."""
        return self.search_many([question], k)[0]

    def search_many(self, questions: Sequence[str], k: int | None = None) -> list[list[Hit]]:
        """The best k chunks for each question."""
        questions = [checked(q) for q in questions]
        k = min(k or self.k, len(self.index.chunks))
        vectors = embed(questions, self.embedder)
        near = vectors @ self.sentence_vectors.T
        best = np.full((len(questions), len(self.index.chunks)), -1.0, dtype="float32")
        for number, inside in enumerate(self._inside):
            if inside:
                best[:, number] = near[:, inside].max(axis=1)
        whole = vectors @ self.index.vectors.T
        dense = whole + np.where(best > -1, best, whole)
        words = self.bm25.scores(questions)
        fused = reciprocal_rank_fusion(dense, words, weights=[1.0, self.bm25_weight])
        places = {"dense": ranks(dense), "bm25": ranks(words)}
        found = []
        for row, scores in enumerate(fused):
            top = np.argsort(-scores, kind="stable")[:k]
            found.append([Hit(self.index.chunks[j], float(scores[j]),
                              {name: int(p[row, j]) + 1 for name, p in places.items()})
                          for j in top])
        return found

    def nearest_sentences(self, question: str, hits: Sequence[Hit], k: int = 1) -> list[Chunk]:
        """The sentences of these chunks that lie nearest to the question, nearest first."""
        numbers = [n for hit in hits for n in self._inside[self.index.chunks.index(hit.chunk)]]
        numbers = list(dict.fromkeys(numbers))
        if not numbers:
            return [hit.chunk for hit in hits[:k]]
        near = self.sentence_vectors[numbers] @ embed([question], self.embedder)[0]
        return [self.sentences[numbers[j]] for j in np.argsort(-near, kind="stable")[:k]]


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


def _sentences_of(chunks: Sequence[Chunk], sentences: Sequence[Chunk]) -> list[list[int]]:
    """For each chunk, the numbers of the sentences that begin inside it."""
    by_document: dict[str, list[int]] = {}
    for number, sentence in enumerate(sentences):
        by_document.setdefault(sentence.document, []).append(number)
    return [[n for n in by_document.get(c.document, ())
             if c.start <= sentences[n].start < c.end] for c in chunks]
