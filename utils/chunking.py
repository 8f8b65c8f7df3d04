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

from utils.blocks import MARKER, Block, blocks, plain, sentences
from utils.documents import Document


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


def by_sentence(document: Document) -> list[Chunk]:
    """One chunk a sentence, list item or table row: the smallest thing that can answer."""
    chunks = []
    for block in blocks(document.text):
        if block.kind in {"row", "code"}:
            chunks.append(_chunk(document, block.headings, block.start, block.end, block.text))
            continue
        raw = document.text[block.start:block.end]
        marker = re.match(MARKER if block.kind == "item" else r"\s*(?:#+\s+)?", raw)
        offset = marker.end() if marker else 0
        for start, end in sentences(raw[offset:]):
            shown = plain(raw[offset + start:offset + end])
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
