"""Writes the counts and checksums into data/README.md, so that the data card never lags behind.

    python data/recipes/card.py
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import Counter
from pathlib import Path

DATA = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(DATA.parent))


def sha256(path: Path) -> str:
    """A file's checksum, or one over all Markdown files of a folder in the order of their paths."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in sorted(path.rglob("*.md")):
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def rows() -> list[tuple[str, str]]:
    """(path, what it holds in numbers) of everything in data/ but the recipes."""
    from utils.documents import load_documents

    def words(documents) -> int:
        return sum(len(re.findall(r"[^\W_][\w'’.,:-]*", d.text)) for d in documents)

    found = []
    for name in ("company", "update"):
        documents = load_documents(DATA / name)
        found.append((f"{name}/", f"{len(documents)} documents, {words(documents):,} words (table "
                                   "marks not counted)"))
    for path in sorted((DATA / "exam").glob("*.jsonl")):
        kinds = Counter(json.loads(line)["kind"] for line in
                        path.read_text(encoding="utf-8").splitlines())
        text = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        found.append((f"exam/{path.name}", f"{sum(kinds.values())} questions: {text}"))
    for path in sorted((DATA / "style").glob("*.json*")):
        count = len(path.read_text(encoding="utf-8").splitlines())
        found.append((f"style/{path.name}", f"{count} conversations" if path.suffix == ".jsonl"
                      else "the JSON Schema of the house reply"))
    for folder in ("pocket_model", "embedder", "reranker", "reader", "vectors"):
        for path in sorted((DATA / folder).glob("*")):
            if path.name != "README.md":
                found.append((f"{folder}/{path.name}", f"{path.stat().st_size / 1e6:.2f} MB"))
    return found


def main() -> None:
    card = DATA / "README.md"
    lines = ["| path | holds | sha256 |", "|---|---|---|"]
    lines += [f"| `{name}` | {text} | `{sha256(DATA / name)}` |" for name, text in rows()]
    text = card.read_text(encoding="utf-8")
    made = re.sub(r"(<!-- table -->\n).*?(<!-- end of table -->)",
                  lambda m: m[1] + "\n".join(lines) + "\n" + m[2], text, flags=re.S)
    card.write_text(made, encoding="utf-8")
    print(f"{len(lines) - 2} rows written to {card}")


if __name__ == "__main__":
    main()
