"""A JSON Schema -> a reply that fits it, whatever the model would have said (structured output).

What stands in every reply is put there; where the schema names a few possibilities, the model
chooses among them; what is left to it are the words between two quotation marks. So the form costs
nothing and is always right, and it says nothing about what stands in it. Large services and
several libraries do the same for any schema; here it is for a flat object of texts, choices and a
list of documents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from utils.documents import CourseError
from utils.quoting import Quotation

LONGEST = 110  # tokens of a text, quotations aside; then it is closed

Tokens = Sequence[int]


@dataclass(frozen=True)
class Piece:
    """What is put there, what may be chosen, the model's own words, or a list of documents."""

    kind: str  # "put", "choice", "words", "documents"
    text: str = ""
    options: tuple[str, ...] = ()


def pieces(schema: Mapping) -> list[Piece]:
    """The reply in its parts, in the order of the schema's keys."""
    keys = schema.get("properties", {})
    if schema.get("type") != "object" or not keys:
        raise CourseError("Replies can be held to a schema of type object with properties.")
    made, before = [], "{"
    for key, value in keys.items():
        before += json.dumps(key) + ": "
        opened, piece = _piece(key, value)
        made += [Piece("put", before + opened), piece]
        before = opened + ", "
    return [*made, Piece("put", before[:-2] + "}")]


def _piece(key: str, value: Mapping) -> tuple[str, Piece]:
    """(the quotation mark around it, or none, what may stand under this key)."""
    options = value.get("enum")
    if options and all(isinstance(option, str) for option in options):
        return '"', Piece("choice", options=tuple(json.dumps(o, ensure_ascii=False)[1:-1]
                                                  for o in options))
    if options or value.get("type") == "boolean":
        return "", Piece("choice", options=tuple(map(json.dumps, options or (True, False))))
    if value.get("type") == "string":
        return '"', Piece("words")
    if value.get("type") == "array" and value.get("items", {}).get("type") == "string":
        return "", Piece("documents", value["items"].get("pattern", ""))
    raise CourseError(f'Replies cannot be held to the key "{key}" of this schema: only texts, '
                      "enums, booleans and lists of documents are known.")


@dataclass(frozen=True)
class Vocabulary:
    """What a fence has to know of a tokenizer."""

    tokens_of: Callable[[str], Tokens]
    over: frozenset[int]  # tokens that say that a text is over
    barred: frozenset[int]  # tokens that would break the JSON, or are no text
    end: int  # the token that ends the turn

    @classmethod
    def read(cls, words: Sequence[str], tokens_of: Callable, ends: Set[int]) -> Vocabulary:
        """From the text of every token."""
        over = frozenset(ends) | {n for n, word in enumerate(words) if word.startswith('"')}
        broken = {n for n, word in enumerate(words)
                  if not word or re.search(r'["\\\x00-\x1f]', word)}
        return cls(tokens_of, over, frozenset(broken) - over, min(ends))


class Held:
    """Follows one reply as it is said and holds it to its pieces; quotations are held as ever."""

    def __init__(self, parts: Sequence[Piece], words: Vocabulary, quotation: Quotation,
                 documents: Sequence[str], room: int) -> None:
        self.parts, self.words, self.quotation = list(parts), words, quotation
        quotation.marks = frozenset(quotation.marks) - words.barred  # as '.",' is
        self.documents = list(dict.fromkeys(documents))
        self.room = room  # tokens that the reply may still have
        self.put: list[int] = []  # tokens that must come now
        self.options: list[tuple[int, ...]] = []  # or one of these
        self.spent = 0  # or the model's own words, so many so far
        self.reserve = 0  # tokens that the pieces behind these words may need
        self._go_on()

    def rest(self) -> tuple[int, ...]:
        """All that must follow, as far as there is one way only."""
        if self.put or self.options:
            return tuple(self.put) or (self.options[0] if len(self.options) == 1 else ())
        return self.quotation.rest()

    def chosen(self, best: Tokens, logits, guessed: Tokens) -> list[int]:
        """Of the likeliest tokens, those that the reply takes: as far as the guesses agree, and
        one more."""
        taken: list[int] = []
        for n, token in enumerate(best):
            token = self._taken(token, logits[n])
            taken.append(token)
            if n >= len(guessed) or guessed[n] != token:
                break
        return taken

    def _taken(self, token: int, logits) -> int:
        if not self.put and not self.options:
            token = self._word(token, logits)
            if token in self.words.over:
                self._go_on()
            else:
                self.spent += 1
        if self.put:
            token = self.put.pop(0)
            if not self.put:
                self._go_on()
        elif self.options:
            heads = sorted({option[0] for option in self.options})
            token = token if token in heads else _best(logits, heads)
            self.options = [option[1:] for option in self.options if option[0] == token]
            if not all(self.options):
                self._go_on()
        self.quotation.read([token])
        self.room -= 1
        return token

    def _word(self, token: int, logits) -> int:
        """A token of a text; one of those in `over` says that it is over."""
        ways, over = self.quotation.ways_on(), self.words.over
        if self.room <= self.reserve or self.spent >= LONGEST and not ways:
            return min(over)
        if ways:
            return token if token in ways else _best(logits, sorted(ways))
        worn = set(self.quotation.worn()) - over
        too_soon = frozenset() if self.spent else over
        if not any(token in some for some in (self.words.barred, worn, too_soon)):
            return token
        scores = logits.clone()
        scores[sorted(self.words.barred | worn | too_soon)] = float("-inf")
        return int(scores.argmax())

    def _go_on(self) -> None:
        """The next piece; behind the last one the turn ends."""
        self.put, self.options, self.spent = [], [], 0
        if not self.parts:
            self.put = [self.words.end]
            return
        piece = self.parts.pop(0)
        if piece.kind == "put":
            self.put = list(self.words.tokens_of(piece.text))
        elif piece.kind == "words":
            later = [max((part.text, *part.options), key=len) for part in self.parts
                     if part.kind != "documents"]
            self.reserve = 1 + sum(map(len, self._tokens([*later, json.dumps(self.documents)])))
        elif piece.kind == "choice":
            self.options = self._tokens(piece.options)
        elif piece.kind == "documents":
            quoted = sorted(self.quotation.unnamed)
            fitting = [d for d in self.documents if re.search(piece.text, d)]
            lists = [quoted] if quoted else [[], *([document] for document in fitting)]
            self.options = self._tokens([json.dumps(names, ensure_ascii=False) for names in lists])

    def _tokens(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        return [tuple(self.words.tokens_of(text)) for text in texts]


def _best(logits, some: Sequence[int]) -> int:
    return some[int(logits[list(some)].argmax())]
