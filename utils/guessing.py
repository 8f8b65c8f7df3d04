"""What a reply will probably say next, so that several tokens can be checked in one step.

A model that quotes says what stands in its prompt. Where the same two or three tokens came before,
what followed them is guessed to follow again; `generation` lets the model read all guesses at once
and keeps those it would have said itself. The reply is the same, word for word (prompt lookup, a
kind of speculative decoding).
"""

from __future__ import annotations

from collections.abc import Sequence

SAME_WORDS = (3, 2)  # tokens that must be the same for what followed them to be guessed again
GUESSED = 10  # tokens at most that are guessed at once


class Guesses:
    """What may come next in a text: what followed the same three words in it, or two, before.

    `heard` is what was said to others; it is asked where the text itself knows nothing.
    """

    def __init__(self, tokens: Sequence[int], heard: Guesses | None = None) -> None:
        self.tokens: list[int] = []
        self.after: dict[tuple[int, ...], int] = {}
        self.heard = heard
        self.read(tokens)

    def read(self, tokens: Sequence[int]) -> None:
        """Goes on with these tokens."""
        for token in tokens:
            self.tokens.append(token)
            for size in SAME_WORDS:  # noted when the next token comes, so that one follows
                if len(self.tokens) > size:
                    at = len(self.tokens) - 1
                    self.after[tuple(self.tokens[at - size:at])] = at

    def next(self, most: int, sure: Sequence[int] = ()) -> list[int]:
        """Up to so many tokens that may follow; those that are sure to, if any are."""
        return list(sure[:max(0, min(most, GUESSED))]) or self.following(self.tokens, most) or (
            self.heard.following(self.tokens, most) if self.heard else [])

    def following(self, tokens: Sequence[int], most: int) -> list[int]:
        for size in SAME_WORDS:
            at = self.after.get(tuple(tokens[-size:])) if len(tokens) >= size else None
            if at is not None:
                return self.tokens[at:at + max(0, min(most, GUESSED))]
        return []
