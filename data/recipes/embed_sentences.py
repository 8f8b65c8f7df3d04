"""Fifty thousand real sentence vectors, small enough to travel: what notebook 02 tries indexes on.

    python data/recipes/embed_sentences.py [--out data/vectors/sentences.npz]

The sentences are those of the installed packages' documentation (`english`); they are not stored,
only their vectors are. Each dimension is kept in 4 bits: 16 steps between a low and a high end of
its own, two dimensions a byte. That makes 192 bytes of a vector's 1,536. What it costs is measured
here, against the vectors as the embedder gave them, and stored in the file. The last thousand
vectors are of other sentences, to search with.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path

RECIPES = Path(__file__).resolve().parent
ROOT = RECIPES.parents[1]
sys.path[:0] = [str(RECIPES), str(ROOT)]

import numpy as np  # noqa: E402
from english import paragraphs  # noqa: E402

from utils.blocks import sentences  # noqa: E402
from utils.embedding import embed, plain_embedder  # noqa: E402

SEARCHED, ASKED = 50_000, 1_000
CACHE = ROOT / "build" / "pocket" / "english.json"  # train_pocket.py leaves one
SPREAD = 2.7  # standard deviations kept each side: the least error for 16 steps of a bell curve


def sample(seed: int = 0) -> list[str]:
    """Distinct sentences of 5 to 40 words, drawn from all packages."""
    if CACHE.is_file():
        found = {s for _, parts in json.loads(CACHE.read_text(encoding="utf-8")) for s in parts}
    else:
        found = {t[a:b] for _, texts in paragraphs() for t in texts for a, b in sentences(t)
                 if 5 <= len(t[a:b].split()) <= 40}
    return random.Random(seed).sample(sorted(found), SEARCHED + ASKED)


def pack(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """The vectors in 4 bits a dimension: packed codes, the low end and the step of each."""
    middle, spread = vectors.mean(axis=0), SPREAD * vectors.std(axis=0)
    low, step = (middle - spread).astype("float32"), (2 * spread / 15).astype("float32")
    levels = np.clip(np.rint((vectors - low) / step), 0, 15).astype("uint8")
    return {"codes": levels[:, 0::2] | levels[:, 1::2] << 4, "low": low, "step": step}


def unpack(codes: np.ndarray, low: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Unit vectors of packed codes."""
    levels = np.stack([codes & 15, codes >> 4], axis=2).reshape(len(codes), -1)
    vectors = low + step * levels
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def kept_neighbours(true: np.ndarray, packed: np.ndarray, k: int = 10) -> float:
    """The share of the ten nearest that are still among the ten nearest after packing."""
    def nearest(vectors):
        scores = vectors[SEARCHED:] @ vectors[:SEARCHED].T
        return np.argpartition(-scores, k, axis=1)[:, :k]

    pairs = zip(nearest(true), nearest(packed), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def store(vectors: np.ndarray, out: Path) -> None:
    """Packs, measures what was lost, writes the file and says so."""
    parts = pack(vectors)
    again = unpack(**parts)
    cosine, kept = float((vectors * again).sum(axis=1).mean()), kept_neighbours(vectors, again)
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **parts, cosine=round(cosine, 4), kept=round(kept, 4))
    print(f"{len(vectors):,} vectors in {out.stat().st_size / 1e6:.2f} MB; mean cosine to the "
          f"originals {cosine:.4f}; {kept:.3f} of the ten nearest stay among the ten nearest")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "vectors" / "sentences.npz")
    arguments = parser.parse_args()
    store(embed(sample(), plain_embedder()), arguments.out)


if __name__ == "__main__":
    main()
