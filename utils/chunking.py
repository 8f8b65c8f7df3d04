"""A document -> chunks that know their place: document, heading path, exact character span.

Every chunk's `start:end` is a slice of the document's own text, so retrieval can be graded on
characters. `text` is what a reader is shown: the same words, with a table row written out as
"column: value" because a row alone, without its header, says nothing.
This file does not embed or search (`index`, `retrieval`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from utils.documents import Document

ABBREVIATIONS = frozenset("mr mrs ms dr prof st e.g i.e vs approx ca cf dept inc ltd co jr sr max "
                          "min ref tel ext incl excl resp".split())
BEFORE_NUMBERS = frozenset("no nos fig vol art para sec p pp".split())  # else "No." is an answer
_MARKER = r"\s*(?:[-*+•]|\d+[.)])\s+"


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
    fence = ""  # the mark that opened a code block, and closes it
    alone: tuple[int, int] | None = None  # a heading that nothing has followed yet

    def close() -> None:
        nonlocal open_block
        if open_block:
            kind, start, end = open_block
            shown = text[start:end]
            if kind == "item":
                shown = re.sub("^" + _MARKER, "", shown)
            if kind == "code":
                shown = re.sub(r"^\s*(```|~~~).*\n?", "", shown, flags=re.MULTILINE)
            else:
                shown = _plain(shown)
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
            level, title = len(heading.group(1)), _plain(heading.group(2))
            keep_alone(level)
            path = [(n, t) for n, t in path if n < level] + ([(level, title)] if title else [])
            alone = (start, end) if title else None
        elif is_row:
            close()
            cells = _cells(bare)
            if all(re.fullmatch(r":?-+:?", c) for c in cells if c):
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
    for match in re.finditer(r"[.!?…][\"”’')\]*_`]*(?=\s+(\S{1,9}))", text):
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


def by_sentence(document: Document) -> list[Chunk]:
    """One chunk a sentence, list item or table row: the smallest thing that can answer."""
    chunks = []
    for block in blocks(document.text):
        if block.kind in {"row", "code"}:
            chunks.append(_chunk(document, block.headings, block.start, block.end, block.text))
            continue
        raw = document.text[block.start:block.end]
        marker = re.match(_MARKER if block.kind == "item" else r"\s*(?:#+\s+)?", raw)
        offset = marker.end() if marker else 0
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
    if words < 1 or not 0 <= overlap < words:
        raise ValueError(f"words must be 1 or more and overlap smaller, not {words} and {overlap}.")
    spans = [m.span() for m in re.finditer(r"\S+", document.text)]
    chunks = []
    last = max(1, len(spans) - overlap) if spans else 0
    for first in range(0, last, words - overlap):
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
        if group and (count + size > words or block.headings != group[0].headings or
                      re.search(r"^ {0,3}#{1,6}[ \t]", document.text[group[-1].end:block.start],
                                re.MULTILINE)):  # two sections may bear one heading
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
    text = re.sub(r"(?<!\w)\*\*|\*\*(?!\w)|<br\s*/?>", " ", text)  # bold cut by a sentence's end
    text = re.sub(r"(?<![\w*])[*_](?=\S)([^*_]+?)(?<=\S)[*_](?![\w*])", r"\1", text)
    text = re.sub(r"^>\s?", "", text, flags=re.MULTILINE)
    return re.sub(r"\s+", " ", text).strip()


def _row_text(header: list[str], cells: list[str]) -> str:
    if header == cells:
        return "; ".join(c for c in cells if c)
    pairs = zip(header + [""] * (len(cells) - len(header)), cells, strict=False)
    return "; ".join(f"{name}: {value}" if name else value for name, value in pairs if value)


def _cells(row: str) -> list[str]:
    """A row's cells; an empty first one counts, and '\\|' is a sign and no border."""
    inner = re.sub(r"^\||(?<!\\)\|$", "", row)
    return [_plain(c).replace("\\|", "|") for c in re.split(r"(?<!\\)\|", inner)]


def _opens_item(line: str, open_block: list | None) -> bool:
    """Whether a list item begins; inside a paragraph "30. June" at a line's start does not."""
    if not re.match(_MARKER + r"\S", line):
        return False
    number = re.match(r"\s*(\d+)", line)
    return not (number and number[1] != "1" and open_block and open_block[0] == "prose")


def _next_line_is_rule(text: str, position: int) -> bool:
    """Whether a table's '|---|---|' comes next."""
    end = text.find("\n", position)
    line = text[position:end if end >= 0 else None].strip()
    return "-" in line and "|" in line and not set(line) - set("|:- \t")


# ---------------------------------------------------------------- other ways to cut, to compare


def by_tokens(document: Document, tokenizer, tokens: int = 128, overlap: int = 0) -> list[Chunk]:
    """Fixed windows counted in the embedder's own word pieces, that look at nothing else."""
    if tokens < 1 or not 0 <= overlap < tokens:
        raise ValueError(f"tokens must be 1 or more and overlap smaller, not {tokens} and "
                         f"{overlap}.")
    spans = tokenizer(document.text, add_special_tokens=False, return_offsets_mapping=True,
                      verbose=False)["offset_mapping"]
    windows = [spans[first:first + tokens]
               for first in range(0, max(1, len(spans) - overlap), tokens - overlap)]
    return [_chunk(document, (), w[0][0], w[-1][1], document.text[w[0][0]:w[-1][1]])
            for w in windows if w]


def by_meaning(document: Document, embed: Callable, words: int = 120) -> list[Chunk]:
    """Sentences kept together, cut where two neighbours mean least alike, to `words` at most.

    `embed` turns a list of texts into unit vectors.
    """
    units = by_sentence(document)
    if not units:
        return []
    vectors = embed([u.text for u in units])
    alike = (vectors[1:] * vectors[:-1]).sum(axis=1)
    sizes = [len(u.text.split()) for u in units]
    done, waiting = [], [(0, len(units))]
    while waiting:
        first, last = waiting.pop()
        if last - first == 1 or sum(sizes[first:last]) <= words:
            done.append(_from_units(units[first:last]))
            continue
        cut = first + 1 + int(alike[first:last - 1].argmin())
        waiting += [(cut, last), (first, cut)]
    return done


def in_windows(found: Sequence[Chunk], units: Sequence[Chunk], around: int = 2) -> list[Chunk]:
    """Small to big: each found sentence with its neighbours, unless an earlier window has it."""
    place = {(u.document, u.start): n for n, u in enumerate(units)}
    wide: list[Chunk] = []
    for chunk in found:
        if not any(_inside(chunk, w) for w in wide):
            n = place[chunk.document, chunk.start]
            near = [u for u in units[max(0, n - around):n + around + 1]
                    if u.document == chunk.document]
            wide.append(_from_units(near))
    return wide


def in_sections(found: Sequence[Chunk], sections: Sequence[Chunk]) -> list[Chunk]:
    """Small to big: the section that each found sentence stands in, once."""
    around = (next((s for s in sections if _inside(chunk, s)), chunk) for chunk in found)
    return list(dict.fromkeys(around))


def _inside(chunk: Chunk, wide: Chunk) -> bool:
    return chunk.document == wide.document and wide.start <= chunk.start and chunk.end <= wide.end


def _from_units(units: Sequence[Chunk]) -> Chunk:
    """Neighbouring sentences as one chunk, under the headings that all of them share."""
    levels = zip(*(u.headings for u in units), strict=False)
    shared = tuple(names[0] for names in takewhile(lambda names: len(set(names)) == 1, levels))
    return replace(units[0], headings=shared, end=units[-1].end,
                   text="\n".join(u.text for u in units))
