"""Chunks -> vectors -> FAISS, kept on disk and brought up to date when documents change.

Vectors are of length one and compared by inner product, so a score is a cosine. The file on disk
remembers what it was made with (embedder, chunker, each document's checksum) and refuses to be
read with another embedder. It is written in one piece: a kill at any moment leaves the old one.
"""

from __future__ import annotations

import hashlib
import json
import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from utils import blocks, chunking
from utils.chunking import Chunk, Chunker, by_heading
from utils.documents import CourseError, Document
from utils.embedding import embed, load_embedder
from utils.locks import replacing

NO_TEXT = "The documents hold no text to index. Check what the folder contains."


def calm_on_a_mac() -> None:
    """There torch and FAISS bring an OpenMP each, and crash unless one of them has one thread.

    Elsewhere they share theirs, so that one thread for FAISS would be one for torch as well.
    """
    if platform.system() == "Darwin":
        import faiss

        faiss.omp_set_num_threads(1)


@dataclass
class Index:
    """Chunks with their vectors, searchable; `checksums` tells which documents are inside."""

    chunks: list[Chunk]
    vectors: np.ndarray
    embedder: str
    chunker: str
    checksums: dict[str, str]
    _faiss: object = field(default=None, repr=False)

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(scores, chunk numbers), each of shape (questions, k); best first."""
        if self._faiss is None:
            import faiss

            calm_on_a_mac()
            self._faiss = faiss.IndexFlatIP(self.vectors.shape[1])
            self._faiss.add(self.vectors)
        return self._faiss.search(np.ascontiguousarray(vectors), min(k, len(self.chunks)))


@dataclass(frozen=True)
class Changes:
    """What an update of the index did, by document id."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def searched_text(chunk: Chunk) -> str:
    """What is embedded: the chunk with the place it comes from, which often names the subject."""
    return f"{chunk.place}\n{chunk.text}"


def build(documents: Sequence[Document], chunker: Chunker = by_heading, embedder=None,
          name: str | None = None) -> Index:
    """A fresh index of the documents."""
    embedder = embedder or load_embedder()
    checksums = _checksums(documents)
    chunks = [c for d in documents for c in chunker(d)]
    if not chunks:
        raise CourseError(NO_TEXT)
    vectors = embed([searched_text(c) for c in chunks], embedder)
    return Index(chunks, vectors, _name(embedder), name or _label(chunker), checksums)


def update(index: Index, documents: Sequence[Document], chunker: Chunker = by_heading,
           embedder=None) -> tuple[Index, Changes]:
    """The index of these documents, embedding only what is new or changed."""
    embedder = embedder or load_embedder()
    _same_embedder(index, embedder, "in memory")
    checksums = _checksums(documents)
    now = {d.id: d for d in documents}
    added = [i for i in now if i not in index.checksums]
    changed = [i for i in now if i in index.checksums and index.checksums[i] != now[i].checksum]
    deleted = [i for i in index.checksums if i not in now]
    fresh = [c for i in (*added, *changed) for c in chunker(now[i])]
    vectors = embed([searched_text(c) for c in fresh], embedder)
    stale = {*changed, *deleted}
    kept = [n for n, c in enumerate(index.chunks) if c.document not in stale]
    if not kept and not fresh:
        raise CourseError(NO_TEXT)
    made = Index([*(index.chunks[n] for n in kept), *fresh],
                 np.concatenate([index.vectors[kept], vectors]), index.embedder, index.chunker,
                 checksums)
    return made, Changes(tuple(added), tuple(changed), tuple(deleted))


def save(index: Index, path: str | Path) -> Path:
    """Writes the index to one file, replacing an older one only when it is complete."""
    path = Path(path)
    about = {"embedder": index.embedder, "chunker": index.chunker, "checksums": index.checksums,
             "dimension": int(index.vectors.shape[1]), "chunks": [asdict(c) for c in index.chunks]}
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, vectors=index.vectors, about=np.frombuffer(
                json.dumps(about).encode(), dtype="uint8"))
    except OSError as problem:
        raise CourseError(f"The index {path} cannot be written ({problem.strerror}). Make room or "
                          "name another place; an older index there is unharmed.") from None
    return path


def load(path: str | Path, embedder=None) -> Index:
    """The index of that file; refuses one that another embedder made."""
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"There is no index {path}. Build it first.")
    try:
        with np.load(path) as stored:
            vectors = stored["vectors"]
            about = json.loads(stored["about"].tobytes().decode())
        chunks = [Chunk(**{**c, "headings": tuple(c["headings"])}) for c in about["chunks"]]
        if vectors.shape != (len(chunks), about["dimension"]) or not chunks:
            raise ValueError("sizes differ")
        index = Index(chunks, vectors, about["embedder"], about["chunker"],
                      dict(about["checksums"]))
    except Exception:
        raise CourseError(f"The index {path} is damaged. Delete it; it is built again from the "
                          "documents.") from None
    _same_embedder(index, embedder or load_embedder(), str(path))
    return index


def open_index(documents: Sequence[Document], path: str | Path, chunker: Chunker = by_heading,
               embedder=None) -> tuple[Index, Changes]:
    """The stored index brought up to date with the documents; built if there is none."""
    path = Path(path)
    embedder = embedder or load_embedder()
    if path.is_file():
        index = load(path, embedder)
        if index.chunker == _label(chunker):
            index, changes = update(index, documents, chunker, embedder)
            if changes != Changes():
                save(index, path)
            return index, changes
    index = build(documents, chunker, embedder)
    save(index, path)
    return index, Changes(added=tuple(index.checksums))


def too_long(chunks: Sequence[Chunk], embedder=None) -> list[tuple[Chunk, int]]:
    """The chunks the embedder would cut in silence, with their length in its word pieces."""
    embedder = embedder or load_embedder()
    limit = embedder.max_seq_length
    lengths = embedder.tokenizer([searched_text(c) for c in chunks], truncation=False,
                                 verbose=False)["input_ids"]
    long = [(c, len(ids)) for c, ids in zip(chunks, lengths, strict=True) if len(ids) > limit]
    if long:
        chunk, size = max(long, key=lambda pair: pair[1])
        warnings.warn(f"{len(long)} of {len(chunks)} chunks are longer than the {limit} word "
                      f"pieces the embedder reads (the longest has {size}, in {chunk.place}); "
                      "their ends are not searched. Cut them smaller, or shorten the passages.",
                      stacklevel=2)
    return long


def _checksums(documents: Sequence[Document]) -> dict[str, str]:
    """Each document's checksum by its id, which no two may share."""
    found: dict[str, str] = {}
    for document in documents:
        if document.id in found:
            raise CourseError(f"Two documents have the id '{document.id}', so a citation could "
                              "mean either. Give one of them another id.")
        found[document.id] = document.checksum
    return found


def _name(embedder) -> str:
    """Tells one embedder from another by its kind, dimension and a part of all its weights."""
    digest = hashlib.sha256()
    for weights in embedder.parameters():
        digest.update(weights.detach().flatten()[:64].float().cpu().numpy().tobytes())
    kind = embedder[0].auto_model.config.model_type
    return f"{kind}-{embedder.get_embedding_dimension()}-{digest.hexdigest()[:8]}"


def _label(chunker: Callable) -> str:
    """Tells one way to cut from another; the course's own ways change with their source."""
    inner = getattr(chunker, "func", chunker)
    options = getattr(chunker, "keywords", {})
    label = inner.__name__ + "".join(f",{k}={v}" for k, v in sorted(options.items()))
    return f"{label}@{_cutters()}" if inner.__module__ == chunking.__name__ else label


@lru_cache(maxsize=1)
def _cutters() -> str:
    sources = [Path(module.__file__).read_bytes() for module in (chunking, blocks)]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:8]


def _same_embedder(index: Index, embedder, where: str) -> None:
    if index.embedder != _name(embedder):
        raise CourseError(f"The index ({where}) was made with the embedder {index.embedder} and "
                          f"cannot be searched with {_name(embedder)}. Delete it to build it anew.")
