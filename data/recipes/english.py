"""English in quantity that every reader of the course already has: the packages' own words.

Docstrings, comments' longer cousins, and the README each package carries in its metadata are
read from the running environment, at training time. Nothing of it is stored in the repository.
It returns paragraphs of whole sentences; it does not make tasks of them (`tasks`).

    python data/recipes/english.py          # counts, and a few paragraphs to look at
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

SKIPPED = re.compile(r"/(tests?|testing|_vendor|vendored|locale|migrations)/")
LARGEST_FILE = 600_000


def paragraphs(site: Path | None = None) -> list[tuple[str, list[str]]]:
    """(package, clean paragraphs) for every package installed, without repeats, in fixed order."""
    site = site or Path(sysconfig.get_paths()["purelib"])
    seen: set[str] = set()
    by_package: dict[str, list[str]] = {}
    for path in sorted(site.rglob("*")):
        if SKIPPED.search(path.as_posix()) or not path.is_file():
            continue
        package = path.relative_to(site).parts[0].split("-")[0].lower()
        for text in _texts(path):
            for paragraph in _clean(text):
                key = paragraph[:80].lower()
                if key not in seen:
                    seen.add(key)
                    by_package.setdefault(package, []).append(paragraph)
    return sorted(by_package.items())


def _texts(path: Path) -> Iterator[str]:
    if path.suffix == ".py" and path.stat().st_size < LARGEST_FILE:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, RecursionError, UnicodeDecodeError):
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield text
    elif (path.name == "METADATA" or path.suffix in {".md", ".rst"}) \
            and path.stat().st_size < LARGEST_FILE:
        yield path.read_text(encoding="utf-8", errors="ignore")


def _clean(text: str) -> Iterator[str]:
    """The paragraphs that read as prose: whole sentences, few marks, no code."""
    for part in re.split(r"\n\s*\n", text.replace("\r", "")):
        part = re.sub(r"\s+", " ", part).strip()
        part = re.sub(r":\w+:`~?([^`<]+)(?:<[^>]*>)?`", r"\1", part)
        part = re.sub(r"``([^`]+)``|`([^`]+)`_*", lambda m: m.group(1) or m.group(2), part)
        part = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", part).replace("**", "")
        words = part.split()
        if not 8 <= len(words) <= 160 or part[0] not in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
            continue
        if part[-1] not in ".!?" or re.search(r">>>|::|\\|[{}<>|=]{1}|__|#|\$|@|http", part):
            continue
        letters = sum(ch.isalpha() or ch in " ,.'-" for ch in part)
        if letters / len(part) > 0.94 and sum(w.islower() for w in words) / len(words) > 0.6:
            yield part


def main() -> None:
    found = paragraphs()
    every = [p for _, ps in found for p in ps]
    print(f"{len(found)} packages, {len(every)} paragraphs, "
          f"{sum(len(p.split()) for p in every):,} words")
    for p in random.Random(1).sample(every, 8):
        print("-", p)


if __name__ == "__main__":
    main()
