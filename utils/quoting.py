"""A quotation that has been begun is said to its end, word for word.

A small model that copies loses its place: a table row that names a thing twice leads it round in a
circle, a bracket makes it stop early. Whether to quote, and what, stays its own choice. But once
the first words of a passage's sentence stand in the reply, it chooses only among the words that
follow there, until the sentence is over, and behind it a mark or the end, not one more word; a
passage's number, where nothing has been quoted yet, quotes that passage; a document that it begins
to name is one it was shown; and what it has quoted is named before anything else (constrained
decoding, with the passages as the grammar). Where nothing is quoted, one rule: a reply does not go
in circles. A small model, asked for what it cannot know, says "the bike in the bike in" for ever.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from utils.blocks import sentences
from utils.chunking import Chunk

BEGUN = 4  # tokens of a sentence after which it counts as begun
NAMED = 2  # tokens of a document's name
CIRCLE = 4  # tokens in a row that a reply may say twice of its own accord, and not a third time

Tokens = Sequence[int]


@dataclass(frozen=True)
class Sayable:
    """What may be quoted: tokens, and after how many of them there is no way but on."""

    tokens: tuple[int, ...]
    begun: int
    opening: bool = False  # only as long as nothing has been quoted
    said_by: str = ""  # the document in which a sentence stands
    name_of: str = ""  # or the document whose name this is
    in_json: bool | None = None  # only in replies that are JSON, or that are not; None: in both


class Quotation:
    """Follows one reply as it is said, and knows which tokens may come next."""

    def __init__(self, sayable: Sequence[Sayable], marks: Set[int] = frozenset(),
                 braces: Set[int] = frozenset(), circles: bool = True) -> None:
        self.sayable = sayable
        self.circles = circles  # whether it may go in them
        self.last: tuple[int, ...] = ()
        self.after: dict[tuple[int, ...], Counter] = defaultdict(Counter)  # what has followed them
        self.marks = marks  # the tokens that may stand behind a sentence (none: any may)
        self.braces = braces  # with one of these a reply in JSON begins
        self.begins = True
        self.under_way = [(what, 0) for what in sayable]  # what the last words are, up to where
        self.quoted = False  # whether anything has been
        self.unnamed: set[str] = set()  # documents that were quoted and not named yet

    def read(self, tokens: Tokens) -> None:
        """Goes on with these tokens of the reply."""
        for token in tokens:
            self.after[self.last][token] += 1
            self.last = (*self.last, token)[1 - CIRCLE:]
            if self.begins:
                self.begins, form = False, token in self.braces
                self.sayable = [w for w in self.sayable if w.in_json in (None, form)]
                self.under_way = [(w, at) for w, at in self.under_way if w.in_json in (None, form)]
            self.under_way = [(what, at + 1) for what, at in self.under_way
                              if at < len(what.tokens) and what.tokens[at] == token]
            over = [what for what, at in self.under_way if at == len(what.tokens)]
            self.unnamed |= {what.said_by for what in over if what.said_by}
            self.unnamed -= {what.name_of for what in over}
            self.quoted |= any(what.said_by for what in over)
            self.under_way += [(what, 0) for what in self.sayable
                               if not (what.opening and self.quoted)]

    def ways_on(self) -> set[int]:
        """The tokens of which one must follow; none where the reply is free."""
        begun = self._begun()
        ways = {left[0] for _, left in begun if left}
        over = [what for what, left in begun if not left]
        if over and not (self.marks and all(what.said_by for what in over)):
            return set()
        return ways | self.marks if over else ways

    def worn(self) -> list[int]:
        """The tokens that would say the same words a third time."""
        if self.circles or len(self.last) < CIRCLE - 1:
            return []
        return [token for token, times in self.after[self.last].items() if times > 1]

    def rest(self) -> tuple[int, ...]:
        """All that must follow, as far as there is one way only."""
        begun = {left for _, left in self._begun()}
        return begun.pop() if len(begun) == 1 else ()

    def chosen(self, best: Tokens, logits, guessed: Tokens) -> list[int]:
        """Of the likeliest tokens, those that the reply takes: as far as the guesses agree, and
        one more. Where only some may follow, the likeliest of them; the reply goes on with all."""
        taken: list[int] = []
        for n, token in enumerate(best):
            ways = self.ways_on()
            worn = [] if ways else self.worn()
            if ways and token not in ways:
                some = sorted(ways)
                token = some[int(logits[n, some].argmax())]
            elif token in worn:
                token = int(logits[n].index_fill(0, logits.new_tensor(worn).long(),
                                                 float("-inf")).argmax())
            self.read([token])
            taken.append(token)
            if n >= len(guessed) or guessed[n] != token:
                break
        return taken

    def hold(self, read: int) -> Callable:
        """The same for transformers' own `generate`: what may not follow becomes impossible."""
        def only_ways_on(ids, scores):
            nonlocal read
            self.read(ids[0, read:].tolist())
            read = ids.shape[1]
            ways = sorted(self.ways_on())
            if ways:
                kept = scores[:, ways].clone()
                scores = scores.new_full(scores.shape, float("-inf"))
                scores[:, ways] = kept
            elif worn := self.worn():
                scores = scores.clone()
                scores[:, worn] = float("-inf")
            return scores

        return only_ways_on

    def _begun(self) -> list[tuple[Sayable, tuple[int, ...]]]:
        """That which was begun longest ago, and what is left of it."""
        begun = [(what, at) for what, at in self.under_way if at >= what.begun]
        longest = max((at for _, at in begun), default=0)
        begun = [(what, at) for what, at in begun if at == longest]
        quoted = [(what, at) for what, at in begun if what.name_of in self.unnamed]
        return [(what, what.tokens[at:]) for what, at in quoted or begun]


def marks(words: Sequence[str]) -> set[int]:
    """Of a vocabulary, the numbers of what may stand behind a finished quotation.

    These are marks that end or close something, a comma, line breaks, and the bracket of a further
    number. What goes on, such as "(" or ";", would bring in the passage's title or an empty cell.
    """
    return {n for n, word in enumerate(words)
            if "\n" in word or word.strip()[:1] in set(".!?…,\"'”’)]}[")}


def sayable(chunks: Sequence[Chunk], tokens_of: Callable[[str], Tokens]) -> list[Sayable]:
    """The sentences of the chunks, the numbers with what they stand before, the documents' names.

    A sentence is held to up to its last token, if that brings the stop: a reply may set another
    mark behind the same words. In JSON a sentence with a '"' in it is written otherwise.
    """
    def up_to_its_stop(text: str, before: str) -> tuple[int, ...]:
        stop = len(tokens_of(text[-1])) if text[-1] in ".!?…" else 0
        told = tuple(tokens_of(before + text))
        return told[:len(told) - stop]

    def written(text: str) -> list[tuple[str, bool | None]]:
        escaped = json.dumps(text, ensure_ascii=False)[1:-1]
        return [(text, None)] if escaped == text else [(text, False), (escaped, True)]

    said = [(chunk.document, [chunk.text[start:end] for start, end in sentences(chunk.text)])
            for chunk in chunks]
    found = [Sayable(up_to_its_stop(text, " "), BEGUN, said_by=document, in_json=form)
             for document, texts in said for sentence in texts for text, form in written(sentence)]
    found += [Sayable(up_to_its_stop(text, f"{number} "), len(tokens_of(number)), opening=True,
                      said_by=document, in_json=form)
              for n, (document, texts) in enumerate(said, 1) if texts
              for text, form in written(texts[0]) for number in (f"[{n}]", f" [{n}]")]
    found += [Sayable(tuple(tokens_of(name)), NAMED, name_of=name) for name in
              dict.fromkeys(chunk.document for chunk in chunks)]
    return [what for what in dict.fromkeys(found) if len(what.tokens) > what.begun]
