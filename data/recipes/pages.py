"""Reads the hand-written pages in `prose/`: documents with the questions people ask of them.

A page is Markdown. Below a section stand its questions, one a line:

    ? how long can I keep it before I have to decide => 40 days
    ? what do I need to bring, and when => a photo card | Tuesday
    ?? do you also repair umbrellas

The value is word for word in exactly one sentence, list item or table row of that section;
two values mean that the answer needs two sentences. `??` is a question that a customer would
ask here and that the page cannot answer.

    python data/recipes/pages.py data/recipes/prose/*.md     # checks and counts
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from utils.chunking import Chunk, by_sentence  # noqa: E402
from utils.documents import Document  # noqa: E402

STOP = set("a an the of to in on at for from with by and or but if is are was were be been do does "
           "did can could will would should may might must have has had i you we they he she it my "
           "your our their its this that these those what which who whom when where why how much "
           "many long any some there here not no yes as so than then me us them am im get got "
           "please about into out up down over after before s t re ll ve d m".split())


@dataclass(frozen=True)
class Asked:
    """One question of a page; `gold` are the sentences that answer it, none if unanswerable."""

    question: str
    gold: tuple[Chunk, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """One document with its questions."""

    document: Document
    asked: tuple[Asked, ...]


def read_pages(path: Path) -> tuple[list[Page], list[str]]:
    """The documents of one trade's file, and what is wrong with it, line by line.

    A line `# Title` starts a new document; `##` and `###` are its sections.
    """
    problems: list[str] = []
    pages: list[Page] = []
    parts = re.split(r"(?m)^(?=# )", path.read_text(encoding="utf-8"))
    line = 1
    for part in parts:
        if part.startswith("# "):
            pages.append(_read_page(path, part, line, len(pages), problems))
        elif part.strip():
            problems.append(f"{path.name}:{line}: text before the first '# Title'")
        line += part.count("\n")
    return pages, problems


def _read_page(path: Path, part: str, line: int, number: int, problems: list[str]) -> Page:
    kept, waiting = [], []
    length, section_start = 0, 0
    for i, row in enumerate(part.split("\n")):
        if re.match(r"\?\??\s", row):
            waiting.append((line + i, row, section_start, length))
        else:
            if row.startswith("#"):
                section_start = length
            kept.append(row)
            length += len(row) + 1
    text = "\n".join(kept)
    title = kept[0][2:].strip()
    document = Document(f"{path.stem}-{number}", title, text)
    chunks = by_sentence(document)
    asked = []
    for at, row, start, end in waiting:
        question = _question(row, at, path, [c for c in chunks if start <= c.start < end], problems)
        if question:
            asked.append(question)
    return Page(document, tuple(asked))


def _question(row: str, at: int, path: Path, section: list[Chunk],
              problems: list[str]) -> Asked | None:
    if row.startswith("??"):
        return Asked(row[2:].strip(), (), ())
    question, arrow, value = row[1:].partition("=>")
    values = tuple(v.strip() for v in value.split("|") if v.strip())
    if not arrow or not values:
        problems.append(f"{path.name}:{at}: no '=> value' in: {row}")
        return None
    gold = []
    for v in values:
        pattern = re.compile(r"(?<!\w)" + re.escape(v) + r"(?!\w)")
        hits = [c for c in section if pattern.search(c.text)]
        if len(hits) != 1:
            problems.append(f"{path.name}:{at}: '{v}' stands in {len(hits)} sentences of its "
                            "section, and must stand in exactly one")
            return None
        gold.append(hits[0])
    return Asked(question.strip(), tuple(gold), values)


def content_words(text: str) -> set[str]:
    """Lower-case words that carry meaning, cut to six letters so that plurals meet."""
    return {w[:6] for w in re.findall(r"[a-z]{2,}", text.lower()) if w not in STOP}


def main(paths: list[str]) -> int:
    total = Counter()
    bad = 0
    for name in sorted(paths):
        pages, problems = read_pages(Path(name))
        asked = [a for p in pages for a in p.asked]
        answerable = [a for a in asked if a.gold]
        apart = sum(not content_words(a.question) & content_words(" ".join(g.text for g in a.gold))
                    for a in answerable)
        words = sum(len(p.document.text.split()) for p in pages)
        print(f"{Path(name).name}: {len(pages)} documents, {words} words, {len(asked)} questions, "
              f"{len(asked) - len(answerable)} of them unanswerable, "
              f"{apart / max(1, len(answerable)):.0%} share no content word with the answer")
        for problem in problems:
            print("  ", problem)
        bad += len(problems)
        total.update(documents=len(pages), words=words, questions=len(asked))
    print(f"{len(paths)} trades, {total['documents']} documents, {total['words']} words, "
          f"{total['questions']} questions, {bad} problems")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
