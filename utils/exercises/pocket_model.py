"""The checks of the exercises in `extras/how_the_pocket_model_was_made`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

FEWEST = 3  # forms of a sentence, and of a question; the recipe's own kinds have eight and more
ROLES = {(0, 0): "notes the token one back", (0, 1): "notes the token two back",
         (0, 2): "notes the token three back", (3, 0): "passes on one half of the next token",
         (3, 1): "passes on the other half of the next token",
         (3, 3): "takes away one half of the token itself",
         (3, 4): "takes away the other half of the token itself"}


def check_kind(kind, draw: Callable, content_words: Callable[[str], set[str]]) -> None:
    """A kind of fact: how it is said and asked, and whether some question needs its meaning."""
    if kind is None:
        print("Not filled in yet: make a Kind, with sentences and questions of your own.")
        return
    problem = _problem(kind, draw)
    if problem:
        print(problem)
        return
    pairs = [(ask, say) for ask in kind.asks for say in kind.says]
    apart = [(ask, say) for ask, say in pairs
             if not content_words(_bare(ask)) & content_words(_bare(say))]
    if not apart:
        ask, say = pairs[0]
        word = sorted(content_words(_bare(ask)) & content_words(_bare(say)))[0]
        print(f"Every question shares a word with every sentence ('{word}…' stands in both "
              f"\"{ask}\" and \"{say}\"). Whoever trains on that learns to look for equal "
              "letters. Ask once in words that no sentence uses.")
        return
    ask, say = apart[0]
    print(f"Right: {len(apart)} of {len(pairs)} pairs share no content word, as here:\n"
          f"  {ask}\n  {say}")


def _problem(kind, draw: Callable) -> str | None:
    """What is wrong with the kind's form, in a sentence; None if nothing is."""
    for name in ("says", "asks"):
        lines = getattr(kind, name)
        if isinstance(lines, str):
            return (f"`{name}` is one text; it should be a tuple of texts. A tuple of one needs a "
                    "comma at its end.")
        if len(set(lines)) < FEWEST:
            return (f"`{name}` has {len(set(lines))} different forms; write at least {FEWEST}. "
                    "With one form the model learns the form, and not what it says.")
    for say in kind.says:
        if "{value}" not in say:
            return f'"{say}" has no {{value}} in it: it states nothing that could be asked for.'
    for ask in kind.asks:
        if "{value}" in ask:
            return f'"{ask}" has the {{value}} in it: the question gives its answer away.'
    if not any("hing}" in say for say in kind.says):
        return ("No sentence names its {thing}. Among several companies' facts, nobody could tell "
                "whose value it is.")
    rng = random.Random(1)
    try:
        drawn = {draw(rng, kind.value) for _ in range(20)}
    except (ValueError, IndexError) as problem:
        return (f"No value can be drawn from '{kind.value}' ({problem}). Try 'days 3-60', 'money "
                "5-140' or 'choice red | green | blue'.")
    if len(drawn) < 3:
        return (f"'{kind.value}' gives only {len(drawn)} values. With so few the model can learn "
                "them by heart instead of reading.")
    return None


def _bare(template: str) -> str:
    for name in ("{thing}", "{Thing}", "{value}"):
        template = template.replace(name, " ")
    return template


def check_heads(alone: Mapping[tuple[int, int], float | None], whole: float) -> None:
    """The share copied with one head silent at a time, against the share with all of them."""
    if any(value is None for value in alone.values()):
        print("Not filled in yet: measure the share copied with each head silent.")
        return
    missing = [head for head in ROLES if head not in alone]
    if missing:
        print(f"The copying circuit has {len(ROLES)} heads; {missing} are not among yours.")
        return
    shares = [alone[head] for head in ROLES]
    if not all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares):
        print("Each value should be one share between 0 and 1: the 'copied' that measure() gives.")
    elif max(abs(share - whole) for share in shares) < 1e-9:
        print("Silencing changes nothing in yours: you measured the model that still has all its "
              "heads. silenced() returns a copy; measure the copy.")
    elif max(shares[2:]) < 0.05 < whole:
        print("After the second head nothing is left in yours: did each step silence one head more "
              "in the same model? Begin each time with `wired`.")
    else:
        worst = min(ROLES, key=lambda head: alone[head])
        for head in sorted(ROLES, key=lambda head: alone[head]):
            print(f"{whole:.2f} -> {alone[head]:.2f} without {head}, which {ROLES[head]}")
        print(f"Right. Copying leans hardest on {worst}.")
