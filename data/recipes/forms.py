"""The form of an answer: output instructions, and worked examples whose form is to be taken.

A form is drawn from parts: a few words, lines or a JSON object; which keys it has, in which order,
and what stands under each; a greeting, a farewell, what is said when no passage answers. It knows
how to ask for itself, how to write an answer, and whether a reply has it. Half of the keys are
words that nobody has ever seen, so that a model has to read them where they are asked for.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from facts import word

from utils.grading import house_json
from utils.prompts import GROUNDED, Message, grounded

MISSING = 0.1  # the share of the questions that no passage answers
KEYS = {
    "text": "answer reply text message response quote content body statement finding result line "
            "says sentence note info explanation output wording reads passage_text".split(),
    "document": "source sources document documents ref refs from doc page origin evidence "
                "based_on cited file files".split(),
    "number": "number passage passages ref refs where from n no index in place".split(),
    "found": "found answered known covered in_documents has_answer certain settled".split(),
    "constant": "status lang type kind desk channel version tone state level project".split(),
    "label": "class sort group tag shelf mark box column bucket drawer lane tier".split(),
}
LABELS = (("figure", "words"), ("number", "text"), ("counted", "told"), ("digits", "none"),
          ("red", "green"), ("left", "right"), ("a", "b"), ("long", "short"), ("upper", "lower"),
          ("north", "south"), ("first", "second"), ("exact", "rough"), ("table", "prose"))
ASKED = {  # how a key's content is described, by what it holds
    "text": ("the words of the passage", "the sentence that answers", "the passage, word for word",
             "the quotation", "what the passage says", "the answer, quoted"),
    "value": ("the value alone", "just the value, no sentence", "only the figure or the name",
              "the bare value"),
    "number": ("the number of the passage", "which passage it is, as a number"),
    "numbers": ("a list with the passage's number", "the passage's number, in a list"),
    "document": ("the id of the document", "the document's name", "which document says so"),
    "documents": ("the ids of the documents used, as a list", "a list with the document",
                  "the list of documents it rests on"),
    "found": ("true if a passage answers, else false", "whether a passage answers"),
    "constant": ('always "{constant}"', 'the word "{constant}"'),
    "label": ("{one} where the answer has a digit in it, else {other}",
              "{other}, or {one} if there is a digit in the answer",
              "one of two: {one} (the answer has digits) or {other} (it has none)"),
}
GREETINGS = (
    "Hello!", "Good day to you.", "Thank you for writing.", "Happy to help.", "Gladly.",
    "Hi there,", "Dear guest,", "Dear member,", "Well spotted.", "A fair question.",
    "We looked it up.",
    "Here is what we know.", "Nice to hear from you!", "Greetings from the office.", "Ahoy!",
    "Of course.", "With pleasure:", "Good news travels fast:", "You asked, we read.", "Right away.",
    "Many thanks for your patience.", "This is what our papers say:", "Let me see.", "Certainly!")
FAREWELLS = (
    "Yours, the front desk", "All the best!", "Kind regards, your helpers", "See you soon.",
    "Have a good week.", "Over and out.", "Call us any time.", "With best wishes from the team",
    "Come back soon!", "Sincerely, the counter", "Until then.", "Take care.", "Warm regards",
    "Hope that helps!", "Your people at the window", "Anything else? Just write.", "Good luck!",
    "Stay dry.", "Yours as ever", "That is all.")
NOTHING = (
    "Sorry, our papers are silent on that.", "None of the pages says so.", "No passage tells.",
    "That is not written here.", "We do not know.", "unknown", "not stated", "Nothing was found.",
    "The documents leave that open.", "n/a", "I have no page for this.", "Please ask a person.")
PLAIN = {  # a pattern, and how people ask for it
    "{value}": ("Answer with the value only.", "Only the value, nothing else.",
                "Give just the value.", "No sentence, just the figure or the name."),
    "{VALUE}": ("Answer in capital letters, the value alone.", "THE VALUE ONLY, IN CAPITALS."),
    "- [{number}] {text}": ("Answer as a bullet point.", "One bullet, please.",
                            "Write the answer as a list item."),
    "{text}": ("Quote the passage, without its number.", "The words alone, no number in front.",
               "Just the sentence that answers."),
    "{text} [{number}]": ("Quote first, then the number of the passage.",
                          "Put the number behind the quotation."),
    "{text} ({document})": ("Quote, and name the document in round brackets behind it.",
                            "The sentence, then its document in brackets."),
    "{name}: [{number}] {text}": ('Begin your answer with "{name}:".',
                                  'The answer starts with "{name}:".'),
    "[{number}] {text} {name}.": ('End your answer with "{name}."',
                                  'Let the last word be "{name}."'),
    "{greeting} {text}": ('Open with "{greeting}" and quote the passage.',
                          'First say "{greeting}", then the sentence that answers.'),
    "{greeting} {text} {farewell}": (
        'Say "{greeting}" first, then quote, and close with "{farewell}".',
        'Between "{greeting}" and "{farewell}" stands the sentence that answers.'),
    "{number}": ("Say only which passage answers.", "Just the number of the passage."),
    "{document}": ("Name the document that answers, nothing else.", "Only the document's id."),
}


@dataclass(frozen=True)
class Found:
    """What an answer is made of: the sentence, the value in it, and where it stands."""

    text: str
    value: str
    number: int | None
    document: str | None


@dataclass(frozen=True)
class Form:
    """A pattern with one answer in it, or keys and what stands under each of them."""

    instruction: str
    pattern: str = ""
    parts: tuple[tuple[str, str], ...] = ()  # (key, what it holds)
    lines: bool = False  # "key: …" a line, else a JSON object
    words: tuple[tuple[str, str], ...] = ()  # greeting, farewell, name, constant, …

    @property
    def roles(self) -> list[str]:
        """What stands under the keys, in their order."""
        return [what for _, what in self.parts]

    def write(self, found: Found | None) -> str:
        """The answer in this form."""
        said = dict(self.words)
        if self.pattern:
            return said["nothing"] if found is None else self.pattern.format(
                **vars(found), VALUE=found.value.upper(), **said)
        row = {key: self._holds(what, found) for key, what in self.parts}
        if self.lines:
            return "\n".join(f"{key}: {value}" for key, value in row.items())
        return json.dumps(row, ensure_ascii=False)

    def fits(self, given: str, read: str) -> bool:
        """Whether a reply has the form and is made of what the model has read.

        Whether it quotes the *right* passage is not asked here, and other figures say it. But
        words that nobody has written fit no form.
        """
        if self.pattern:
            return self._fits_pattern(given, read)
        if self.lines:
            rows = [line.partition(": ")[::2] for line in given.split("\n")]
        else:
            known = house_json(given)
            rows = list(known.items()) if known is not None else []
        return ([key for key, _ in rows] == [key for key, _ in self.parts]
                and all(self._right(what, value, read)
                        for (_, value), (_, what) in zip(rows, self.parts, strict=True)))

    def _holds(self, what: str, found: Found | None):
        said = dict(self.words)
        if what == "constant":
            return said["constant"]
        if what == "label":
            return said["one" if found and re.search(r"\d", found.text) else "other"]
        if found is None:
            return {"found": False, "numbers": [], "documents": []}.get(what, said["nothing"])
        if what == "text":
            return " ".join(filter(None, (said.get("greeting"), found.text, said.get("farewell"))))
        return {"value": found.value, "number": found.number, "numbers": [found.number],
                "document": found.document, "documents": [found.document], "found": True}[what]

    def _right(self, what: str, value, read: str) -> bool:
        """Whether this may stand under that key."""
        said = dict(self.words)
        if what == "constant":
            return value == said["constant"]
        if what == "label":
            return value in (said["one"], said["other"])
        if what == "found":
            return str(value) in ("True", "False", "true", "false")
        if what in ("numbers", "documents") and not self.lines:
            return isinstance(value, list) and all(self._right(what[:-1], v, read) for v in value)
        if what == "number":
            return re.fullmatch(r"\d+", str(value)) is not None
        if what == "text":
            value, whole = str(value), str(value)
            value = value.removeprefix(said.get("greeting", "")).strip()
            value = value.removesuffix(said.get("farewell", "")).strip()
            return len(value) + sum(len(said[k]) + 1 for k in ("greeting", "farewell")
                                    if k in said) == len(whole) and there(value, read)
        return isinstance(value, str) and there(value, read, 12)

    def _fits_pattern(self, given: str, read: str) -> bool:
        said = {k: re.escape(v) for k, v in self.words} | {"number": r"\d+"}
        cuts = re.split(r"\{(\w+)\}", self.pattern)  # text, name of a slot, text, …
        wanted = "".join(said.get(cut, "(.+)") if n % 2 else re.escape(cut)
                         for n, cut in enumerate(cuts))
        match = re.fullmatch(wanted, given)
        capital = given.isupper() or not re.search("[A-Za-z]", given)
        most = 10_000 if "{text}" in self.pattern else 12
        return (match is not None and (capital or "{VALUE}" not in self.pattern)
                and all(there(group, read, most) for group in match.groups()))


def there(text: str, read: str, most: int = 10_000) -> bool:
    """Whether these words, so many at most, stand one behind the other in what was read.

    A passage's number is no part of its words.
    """
    words = str(text).split()
    whole = r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)"
    return (0 < len(words) <= most and not words[0].startswith("[")
            and re.search(whole, read, re.IGNORECASE) is not None)


def draw(rng: random.Random) -> Form:
    """A form, with the words that ask for it."""
    words = {"name": word(rng), "greeting": rng.choice(GREETINGS),
             "farewell": rng.choice(FAREWELLS), "nothing": rng.choice(NOTHING)}
    if rng.random() < 0.35:
        pattern = rng.choice(list(PLAIN))
        asked = rng.choice(PLAIN[pattern]).format(**words)
        return Form(f"{asked} {_when_missing(rng, words, 'say')}".strip(), pattern,
                    words=tuple(words.items()))
    lines = rng.random() < 0.25
    holds = [rng.choice(("text", "text", "text", "value"))]
    if rng.random() < 0.75:
        holds.append(rng.choice(("number", "document") if lines else
                                ("number", "numbers", "document", "documents", "documents")))
    for what, share in (("constant", 0.25), ("found", 0.2), ("label", 0.3)):
        if rng.random() < share:
            holds.append(what)
    if rng.random() < 0.4:
        rng.shuffle(holds)
    parts = tuple((_key(rng, what), what) for what in holds)
    if len({key for key, _ in parts}) < len(parts):
        return draw(rng)
    words["constant"] = word(rng).lower() if rng.random() < 0.5 else rng.choice(
        ("open", "en", "new", "public", "draft", "web", "low", "final", "v2", "polite"))
    labels = [word(rng).lower(), word(rng).lower()] if rng.random() < 0.4 else rng.choice(LABELS)
    words |= zip(("one", "other"), labels, strict=True)
    polite = "text" in holds and rng.random() < 0.4
    if not polite:
        del words["greeting"], words["farewell"]
    elif rng.random() < 0.4:
        del words[rng.choice(("greeting", "farewell"))]
    return Form(_asked(rng, parts, lines, words), parts=parts, lines=lines,
                words=tuple(words.items()))


def _key(rng: random.Random, what: str) -> str:
    if rng.random() < 0.5:
        return word(rng).lower()
    return rng.choice(KEYS["text" if what == "value" else what.removesuffix("s")])


def _asked(rng: random.Random, parts, lines: bool, words: dict[str, str]) -> str:
    """The instruction: in a sentence, key by key, or as a pattern to fill in."""
    told = [(key, rng.choice(ASKED[what]).format(**words)) for key, what in parts]
    names = [f'"{key}"' for key, _ in told]
    several = ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1]
    kind = rng.choice(("YAML", "lines of the form key: value") if lines else
                      ("JSON", "one JSON object", "a JSON object and nothing else"))
    keys = f"the key{'s' if names[1:] else ''} {several}"
    way = rng.random()
    if way < 0.35:
        text = f"Reply as {kind} with {keys}. " + " ".join(
            f"{name} is {what}." for name, (_, what) in zip(names, told, strict=True))
    elif way < 0.65:
        text = f"Answer as {kind}. It has {keys}:\n" + "\n".join(
            f"{name}: {what}." for name, (_, what) in zip(names, told, strict=True))
    elif way < 0.85 or lines:
        text = f"Reply as {kind} with {keys}: " + ", then ".join(what for _, what in told) + "."
    else:
        text = "Return " + "{" + ", ".join(
            f"{name}: <{what}>" for name, (_, what) in zip(names, told, strict=True)) + "}."
    shown = next((key for key, what in parts if what == "text"), "")
    if "greeting" in words:
        text += f' "{shown}" opens with "{words["greeting"]}"'
        text += f' and closes with "{words["farewell"]}"' if "farewell" in words else ""
        text += "." if text[-2] not in ".!?:," else ""
    elif "farewell" in words:
        text += f' Close "{shown}" with "{words["farewell"]}".'
    return f"{text} {_when_missing(rng, words, 'write')}".strip()


def _when_missing(rng: random.Random, words: dict[str, str], verb: str) -> str:
    return rng.choice((
        f'If no passage answers, {verb} "{words["nothing"]}"',
        f'Where no passage answers, {verb} "{words["nothing"]}"',
        f'Not in the passages? Then {verb} "{words["nothing"]}"', "", ""))


def conversation(rng: random.Random, form: Form, case: Callable[[bool, bool], tuple],
                 examples: int, missing: float = MISSING) -> list[Message]:
    """A question, asked in the form: by an instruction, by worked examples, or by both.

    `case(answered, last)` draws (question, passages, what was found: None if nothing answers).
    """
    told = not examples or rng.random() < 0.5
    may_miss = told and f'"{dict(form.words)["nothing"]}"' in form.instruction
    turns: list[Message] = []
    for _ in range(examples + 1):
        question, shown, found = case(not (may_miss and rng.random() < missing),
                                      len(turns) == 2 * examples)
        turns += [grounded(question, shown)[1], {"role": "assistant", "content": form.write(found)}]
    if told:
        opening = rng.choice(("", "", GROUNDED + " ", f"You answer for {word(rng)}. ",
                              f"You work at the desk of {word(rng)} {word(rng)}. "))
        return [{"role": "system", "content": opening + form.instruction}, *turns]
    return [*([{"role": "system", "content": GROUNDED}] if rng.random() < 0.5 else []), *turns]
