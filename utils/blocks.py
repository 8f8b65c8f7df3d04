"""A document's text -> its blocks (paragraphs, list items, table rows, code) and its sentences.

Every block knows its place in the text and the headings above it. What a reader is shown of it has
no Markdown marks, and a table row is written out as "column: value". How blocks become chunks is
the work of `chunking`.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

ABBREVIATIONS = frozenset("mr mrs ms dr prof st e.g i.e vs approx ca cf dept inc ltd co jr sr max "
                          "min ref tel ext incl excl resp".split())
BEFORE_NUMBERS = frozenset("no nos fig vol art para sec p pp".split())  # else "No." is an answer
MARKER = r"\s*(?:[-*+•]|\d+[.)])\s+"
# Behind a word, a year or a mark: "in 1889[3]", "old. [12]"; but not the 0 of "a[0]".
FOOTNOTE = re.compile(r"(?:(?<=[\s.,;:!?)”\"’])|(?<=[a-z]{3})|(?<=\d{4})) ?"
                      r"\[[1-9]\d{0,2}\](?![(:\w])")


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
    fence = ""  # the mark that opened a code block, and closes it
    alone: tuple[int, int] | None = None  # a heading that nothing has followed yet

    def close() -> None:
        nonlocal open_block
        if open_block:
            kind, start, end = open_block
            shown = text[start:end]
            if kind == "item":
                shown = re.sub("^" + MARKER, "", shown)
            if kind == "code":
                shown = re.sub(r"^\s*(```|~~~).*\n?", "", shown, flags=re.MULTILINE)
            else:
                shown = plain(shown)
            if shown.strip():
                add(kind, start, end, shown)
        open_block = None

    def add(kind: str, start: int, end: int, shown: str) -> None:
        nonlocal alone
        alone = None
        found.append(Block(kind, tuple(t for _, t in path), start, end, shown))

    def keep_alone(level: int) -> None:
        """A section without a text still says what its heading says."""
        if alone and path[-1][0] >= level:
            add("prose", *alone, path[-1][1])

    position = 0
    for line in text.splitlines(keepends=True):
        start, end = position, position + len(line.rstrip())
        position += len(line)
        bare = line.strip()
        mark = re.match(r"(```|~~~)(?!.*```)", bare)
        if mark and (not fence or fence == mark.group()):
            if fence:
                open_block[2] = end
                close()
                fence = ""
            else:
                close()
                open_block = ["code", start, end]
                fence = mark.group()
            continue
        if fence:
            open_block[2] = max(end, open_block[2])
            continue
        heading = re.match(r" {0,3}(#{1,6})[ \t]+(.+?)(?:[ \t]+#+)?$", line.rstrip())
        is_row = bare.startswith("|") and bare.count("|") > 1 or "|" in bare and (
            bool(header) or _next_line_is_rule(text, position))
        if not is_row:
            header = []
        if not bare or re.fullmatch(r"([-*_]\s*){3,}", bare):
            close()
        elif heading:
            close()
            level, title = len(heading.group(1)), plain(heading.group(2))
            keep_alone(level)
            path = [(n, t) for n, t in path if n < level] + ([(level, title)] if title else [])
            alone = (start, end) if title else None
        elif is_row:
            close()
            cells = _cells(bare)
            unnamed = not any(cells) and _next_line_is_rule(text, position)  # columns without names
            if all(re.fullmatch(r":?-+:?", c) for c in cells if c) and not unnamed:
                continue
            if not header:
                header = cells
                if _next_line_is_rule(text, position):
                    continue
            add("row", start, end, _row_text(header, cells))
        elif _opens_item(line, open_block):
            close()
            open_block = ["item", start, end]
        elif open_block:
            open_block[2] = end
        else:
            open_block = ["prose", start, end]
    close()
    keep_alone(1)
    return found


def sentences(text: str) -> list[tuple[int, int]]:
    """The spans of a text's sentences."""
    spans, start = [], 0
    for match in re.finditer(r"[.!?…](?:\[\d{1,3}\])*[\"”’')\]*_`]*(?=\s+(\S{1,9}))", text):
        before = text[max(start, match.start() - 30):match.start()].split()
        rest = match.group(1)
        if match.group()[0] == "." and before and _is_abbreviated(before, rest):
            continue
        opening = rest.lstrip("\"“„‘«'([*_`")[:1]
        if not (opening.isupper() or opening.isdigit() or opening in set("¿¡€$£")):
            continue
        spans.append((start, match.end()))
        start = match.start(1)
    if text[start:].strip():
        spans.append((start, start + len(text[start:].rstrip())))
    return spans


def _is_abbreviated(words: list[str], rest: str) -> bool:
    """Whether the full stop after these words belongs to the last and ends no sentence."""
    *before, last = (w.lower().strip("(\"'“*_`") for w in words)
    if not before and last in {"yes", "no"}:
        return True  # an answer that says nothing without the sentence after it
    if last in BEFORE_NUMBERS:
        return rest[0].isdigit()
    if last.isdigit():
        return not before or rest[0].islower()  # "1. The" at the start; "the 3. of May"
    if last in ABBREVIATIONS:
        return not (before and before[-1].isdigit())  # "30 min. Then" ends one
    return re.fullmatch(r"[^\W\d_]", last) is not None


def plain(markdown: str) -> str:
    """The words without the marks: bold, code ticks, links, line breaks inside a sentence."""
    text = html.unescape(markdown).replace("\u00a0", " ")
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = FOOTNOTE.sub("", text)  # or it would be read as a passage's number
    text = re.sub(r"(\*\*|__|`)(?=\S)(.+?)(?<=\S)\1", r"\2", text)
    text = re.sub(r"(?<!\w)\*\*|\*\*(?!\w)|<br\s*/?>", " ", text)  # bold cut by a sentence's end
    text = re.sub(r"(?<![\w*])[*_](?=\S)([^*_]+?)(?<=\S)[*_](?![\w*])", r"\1", text)
    text = re.sub(r"^>\s?", "", text, flags=re.MULTILINE)
    return re.sub(r"\s+", " ", text).strip()


def _row_text(header: list[str], cells: list[str]) -> str:
    if header == cells:
        return "; ".join(c for c in cells if c)
    if not any(header) and len(cells) == 2 and all(cells):  # 'Price | EUR 189' names itself
        return ": ".join(cells)
    pairs = zip(header + [""] * (len(cells) - len(header)), cells, strict=False)
    return "; ".join(f"{name}: {value}" if name else value for name, value in pairs if value)


def _cells(row: str) -> list[str]:
    """A row's cells; an empty first one counts, and '\\|' is a sign and no border."""
    inner = re.sub(r"^\||(?<!\\)\|$", "", row)
    return [plain(c).replace("\\|", "|") for c in re.split(r"(?<!\\)\|", inner)]


def _opens_item(line: str, open_block: list | None) -> bool:
    """Whether a list item begins; inside a paragraph "30. June" at a line's start does not."""
    if not re.match(MARKER + r"\S", line):
        return False
    number = re.match(r"\s*(\d+)", line)
    return not (number and number[1] != "1" and open_block and open_block[0] == "prose")


def _next_line_is_rule(text: str, position: int) -> bool:
    """Whether a table's '|---|---|' comes next."""
    end = text.find("\n", position)
    line = text[position:end if end >= 0 else None].strip()
    return "-" in line and "|" in line and not set(line) - set("|:- \t")
