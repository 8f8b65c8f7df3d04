"""The checks of notebook 05's exercises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from utils.chunking import Chunk
from utils.prompts import Message, shown

PASSAGES = ("The small bell costs EUR 9.", "Order it before noon.")
QUESTION = "What does the small bell cost?"
GOLD = Chunk("KB-701", "Bells", (), 0, 27, PASSAGES[0])
OTHERS = [Chunk(f"KB-70{n}", "Lamps", (), 0, 30, f"Lamp {n} shines for {n} hours.")
          for n in (2, 3, 4)]
TEACHES = {
    "wrong passages beside the right one": (
        "to choose", "with the right one alone there is nothing to choose from."),
    "the right passage held back": (
        "to say no", "here every passage is wrong, and copying one would be, too."),
    "replies that quote the passage word for word": (
        "to copy", "a reply in words of its own can be learned by heart; a quotation is read."),
    "480 replies with the same keys, greeting and farewell": (
        "the form", "what is the same in every reply is learned whatever is asked."),
}


def check_share_shown(share_shown: Callable[[str, Sequence[str]], float | None]) -> None:
    """The share of a reply's words that stand in the passages."""
    try:
        quoted = share_shown("the small bell costs eur 9", PASSAGES)
        half = share_shown("Order it by fax!", PASSAGES)
        across = share_shown("Order the bell.", PASSAGES)
        inside = share_shown("all or nothing", PASSAGES)
        empty = share_shown("", PASSAGES)
    except ZeroDivisionError:
        print("A reply without a word stops it: divide by at least 1.")
        return
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}. It is given a reply and a "
              "list of passages, all texts.")
        return
    if quoted is None:
        print("Not filled in yet: return a share between 0 and 1.")
    elif quoted < 1:
        print("A quotation in small letters and without its full stop should give 1; yours gives "
              f"{quoted:.2f}. Make both sides lower case and leave the punctuation out.")
    elif across < 1:
        print("Words may come from different passages: put all passages together first.")
    elif inside > 0:
        print("'all' stands inside 'small', and is another word. Compare words with words, not "
              "with a text.")
    elif abs(half - 0.5) > 0.01:
        print(f"Of 'Order it by fax!' two words of four are there; yours gives {half:.2f}.")
    elif empty:
        print("A reply without a word has nothing from the passages: 0.")
    else:
        print("Right. On this measure a model that reads is near 1, greetings left aside.")


def check_lesson(lesson: Callable[..., list[Message] | None]) -> None:
    """A training example with the right passage at the wanted place."""
    try:
        made = {place: lesson(QUESTION, GOLD, OTHERS, place) for place in (0, 2)}
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}.")
        return
    if made[2] is None:
        print("Not filled in yet: return a list of two messages.")
        return
    if made[0] == made[2]:
        print("Place 0 and place 2 give the same lesson. If the right passage always stands in "
              "one place, the model learns the place.")
        return
    for place, messages in made.items():
        problem = _wrong_with(messages, place)
        if problem:
            print(problem)
            return
    print("Right. Four hundred and eighty of these are all that the hybrid is trained on.")


def _wrong_with(messages: object, place: int) -> str | None:
    """The likeliest mistake in a lesson, or None."""
    try:
        roles = [m["role"] for m in messages]
        asked, said = messages[0]["content"], messages[-1]["content"]
    except (TypeError, KeyError, IndexError):
        return 'Return a list of messages: {"role": …, "content": …}.'
    if roles != ["user", "assistant"]:
        return (f"The roles are {', '.join(roles)}; they should be user and assistant. What is "
                "learned is the assistant's turn.")
    if GOLD.text not in asked:
        return ("The right passage is not among those shown. So taught, the model learns to "
                "answer from nowhere, which is the naive hybrid's trouble.")
    if asked != shown(QUESTION, [*OTHERS[:place], GOLD, *OTHERS[place:]])[0]["content"]:
        return (f"With place {place}, {place} of the other passages should stand before the right "
                "one and the rest behind it, and the text should be the one that shown() makes.")
    try:
        reply = json.loads(said)
        text, sources = reply["reply"], reply["sources"]
    except (ValueError, TypeError, KeyError):
        return ("The assistant's turn should be a JSON object with reply, route, urgency and "
                "sources, as a text: json.dumps(…).")
    if GOLD.text not in text:
        return ("The reply does not quote the passage. Words of its own can be learned without "
                "reading.")
    if sources != [GOLD.document]:
        return (f"sources should be ['{GOLD.document}'], the passage's document; yours is "
                f"{sources}.")
    if {"route", "urgency"} - set(reply):
        return "The house's reply has four keys: reply, route, urgency, sources."
    return None


def check_teaches(teaches: Mapping[str, str | None]) -> None:
    """Which ingredient of the lessons teaches what."""
    if any(teaches.get(part) is None for part in TEACHES):
        print("Not filled in yet: replace every None.")
        return
    wrong = [part for part, (right, _) in TEACHES.items() if teaches[part] != right]
    for part in wrong:
        print(f"{part}: think again, {TEACHES[part][1]}")
    if not wrong:
        print("Right. Leave one out, and you can say in advance what will go wrong.")
