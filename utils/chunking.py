"""A document -> chunks that know their place: document, heading path, exact character span.

Every chunk's `start:end` is a slice of the document's own text, so retrieval can be graded on
characters. `text` is what a reader is shown: the same words, with a table row written out as
"column: value" because a row alone, without its header, says nothing.
This file does not embed or search (`index`, `retrieval`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from utils.documents import Document

ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st no nos e.g i.e etc vs approx ca cf fig vol dept inc ltd co jr sr "
    "max min ref tel ext incl excl resp art para sec p pp".split())


@dataclass(frozen=True)
class Chunk:
    """A piece of one document."""

    document: str
    title: str
    headings: tuple[str, ...]
    start: int
    end: int
    text: str

    @property
    def place(self) -> str:
        """Where it stands: 'Title › Heading › Sub-heading'."""
        return " › ".join(dict.fromkeys((self.title, *self.headings)))


@dataclass(frozen=True)
class Block:
    """A paragraph, list item, table row or code block, before it is cut or joined."""

    kind: str  # "prose", "item", "row" or "code"
    headings: tuple[str, ...]
    start: int
    end: int
    text: str


def blocks(text: str) -> list[Block]:
    """The document's blocks in reading order, each with the headings above it."""
    found: list[Block] = []
    path: list[tuple[int, str]] = []
    header: list[str] = []
    open_block: list | None = None  # [kind, start, end]
    fenced = False

    def close() -> None:
        nonlocal open_block
        if open_block:
            kind, start, end = open_block
            shown = text[start:end]
            if kind == "item":
                shown = re.sub(r"^\s*(?:[-*+•]|\d+[.)])\s+", "", shown)
            if kind != "code":
                shown = _plain(shown)
            if shown.strip():
                found.append(Block(kind, tuple(t for _, t in path), start, end, shown))
        open_block = None

    position = 0
    for line in text.splitlines(keepends=True):
        start, end = position, position + len(line.rstrip())
        position += len(line)
        bare = line.strip()
        if bare.startswith("```"):
            if fenced:
                open_block[2] = end
                close()
            else:
                close()
                open_block = ["code", start, end]
            fenced = not fenced
            continue
        if fenced:
            open_block[2] = max(end, open_block[2])
            continue
        heading = re.match(r"(#{1,6})\s+(.+?)\s*#*$", bare)
        is_row = bare.startswith("|") and bare.count("|") > 1
        if not is_row:
            header = []
        if not bare or re.fullmatch(r"([-*_]\s*){3,}", bare):
            close()
        elif heading:
            close()
            level = len(heading.group(1))
            path = [(n, t) for n, t in path if n < level] + [(level, _plain(heading.group(2)))]
        elif is_row:
            close()
            cells = [_plain(c) for c in re.split(r"(?<!\\)\|", bare.strip("|"))]
            if all(re.fullmatch(r":?-+:?", c) for c in cells if c):
                continue
            if not header:
                header = cells
                if _next_line_is_rule(text, position):
                    continue
            found.append(Block("row", tuple(t for _, t in path), start, end,
                               _row_text(header, cells)))
        elif re.match(r"\s*(?:[-*+•]|\d+[.)])\s+\S", line):
            close()
            open_block = ["item", start, end]
        elif open_block:
            open_block[2] = end
        else:
            open_block = ["prose", start, end]
    close()
    return found


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans of a text's sentences."""
    spans, start = [], 0
    for match in re.finditer(r"[.!?…][\"”’')\]*_]*(?=\s+\S)|\n(?=\S)", text):
        if match.group() == "\n":
            continue
        rest = text[match.end():].lstrip()
        word = re.search(r"(\S+)$", text[start:match.start()])
        last = word.group(1).lower().strip("(\"'“*") if word else ""
        dot = text[match.start()] == "."
        if dot and (last in ABBREVIATIONS or re.fullmatch(r"[a-z]", last)):
            continue
        if dot and re.fullmatch(r"\d+", last) and not rest[:1].isupper():
            continue
        if not re.match(r"[\"“‘'(\[*_]*[A-Z0-9À-Þ¿¡€$£]", rest):
            continue
        spans.append((start, match.end()))
        start = match.end() + len(text[match.end():]) - len(text[match.end():].lstrip())
    if text[start:].strip():
        spans.append((start, start + len(text[start:].rstrip())))
    return spans


def by_sentence(document: Document) -> list[Chunk]:
    """One chunk a sentence, list item or table row: the smallest thing that can answer."""
    chunks = []
    for block in blocks(document.text):
        if block.kind in {"row", "code"}:
            chunks.append(_chunk(document, block.headings, block.start, block.end, block.text))
            continue
        raw = document.text[block.start:block.end]
        offset = len(raw) - len(re.sub(r"^\s*(?:[-*+•]|\d+[.)])\s+", "", raw))
        for start, end in sentences(raw[offset:]):
            shown = _plain(raw[offset + start:offset + end])
            if re.search(r"\w", shown):
                chunks.append(_chunk(document, block.headings, block.start + offset + start,
                                     block.start + offset + end, shown))
    return chunks


def by_heading(document: Document, words: int = 150) -> list[Chunk]:
    """Sections kept whole up to about `words` words, cut between blocks, never across headings."""
    return list(_joined(document, blocks(document.text), words))


def by_words(document: Document, words: int = 150, overlap: int = 0) -> list[Chunk]:
    """Fixed windows of `words` words that look at nothing else: the classic first try."""
    if not 0 <= overlap < words:
        raise ValueError(f"overlap must lie between 0 and {words - 1}, not {overlap}.")
    spans = [m.span() for m in re.finditer(r"\S+", document.text)]
    chunks = []
    for first in range(0, max(1, len(spans) - overlap), words - overlap):
        window = spans[first:first + words]
        start, end = window[0][0], window[-1][1]
        chunks.append(_chunk(document, (), start, end, document.text[start:end]))
    return chunks


Chunker = Callable[[Document], list[Chunk]]


def _joined(document: Document, parts: list[Block], words: int) -> Iterator[Chunk]:
    group: list[Block] = []
    count = 0
    for block in parts:
        size = len(block.text.split())
        if group and (block.headings != group[0].headings or count + size > words):
            yield _from_blocks(document, group)
            group, count = [], 0
        group.append(block)
        count += size
    if group:
        yield _from_blocks(document, group)


def _from_blocks(document: Document, group: list[Block]) -> Chunk:
    shown = "\n".join(("- " if b.kind == "item" else "") + b.text for b in group)
    return _chunk(document, group[0].headings, group[0].start, group[-1].end, shown)


def _chunk(document: Document, headings: tuple[str, ...], start: int, end: int,
           shown: str) -> Chunk:
    return Chunk(document.id, document.title, headings, start, end, shown.strip())


def _plain(markdown: str) -> str:
    """The words without the marks: bold, code ticks, links, line breaks inside a sentence."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    text = re.sub(r"(?<![\w*])[*_](?=\S)([^*_]+?)(?<=\S)[*_](?![\w*])", r"\1", text)
    text = re.sub(r"^>\s?", "", text, flags=re.MULTILINE)
    return re.sub(r"\s+", " ", text).strip()


def _row_text(header: list[str], cells: list[str]) -> str:
    if header == cells:
        return "; ".join(c for c in cells if c)
    pairs = zip(header + [""] * (len(cells) - len(header)), cells, strict=False)
    return "; ".join(f"{name}: {value}" if name else value for name, value in pairs if value)


def _next_line_is_rule(text: str, position: int) -> bool:
    line = text[position:].split("\n", 1)[0].strip()
    return bool(line) and re.fullmatch(r"\|?(\s*:?-+:?\s*\|?)+", line) is not None
