"""A reply -> what it got right: programs, not a paid judge.

A fact is right when a gold answer stands in the reply and is not denied there. Both sides are
read the same way first: numbers and number words, units, money, times and dates become values,
so "EUR 1,500.00" equals "€1500" and "2 pm" equals "14:00", while "8" is not found in "18".
What it cannot see: whether a reply that holds the right answer also says something false.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

UNITS = {}
for _base, _factor, _names in (
        ("s", 1, "second seconds sec secs"), ("s", 60, "minute minutes min mins"),
        ("s", 3600, "hour hours hr hrs h"), ("d", 1, "day days"), ("d", 7, "week weeks"),
        ("mon", 1, "month months"), ("mon", 12, "year years yr yrs"),
        ("g", 1, "g gram grams gramme grammes"),
        ("g", 1000, "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes"),
        ("mm", 1, "mm millimetre millimetres millimeter millimeters"),
        ("mm", 10, "cm centimetre centimetres centimeter centimeters"),
        ("mm", 1000, "m metre metres meter meters"),
        ("mm", 1_000_000, "km kilometre kilometres kilometer kilometers"),
        ("ml", 1, "ml millilitre millilitres"), ("ml", 1000, "l litre litres liter liters"),
        ("w", 1, "w watt watts"), ("w", 1000, "kw kilowatt kilowatts"), ("wh", 1, "wh"),
        ("v", 1, "v volt volts"), ("nm", 1, "nm"), ("bar", 1, "bar"), ("psi", 1, "psi"),
        ("a", 1, "amp amps"), ("mb", 1, "mb"), ("mb", 1000, "gb"), ("db", 1, "db decibel decibels"),
        ("kmh", 1, "km/h kmh kph"), ("%", 1, "% percent"), ("°c", 1, "°c ℃")):
    UNITS |= {name: (_base, _factor) for name in _names.split()}
CURRENCIES = {"€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "chf": "CHF", "franc": "CHF",
              "francs": "CHF", "$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD",
              "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP"}
MONTHS = {m: i for i, m in enumerate("january february march april may june july august september "
                                     "october november december".split(), 1)}
MONTHS |= {m[:3]: i for m, i in list(MONTHS.items())} | {"sept": 9}
ONES = {w: i for i, w in enumerate(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen".split())}
TENS = {w: 10 * i for i, w in enumerate("twenty thirty forty fifty sixty seventy eighty ninety"
                                        .split(), 2)}
FILLERS = frozenset("a an the of your our its their is are be was it to for in at on by from with "
                    "about around approximately roughly just only exactly also then per and".split())
DENIALS = frozenset("not no never isn't aren't wasn't without neither nor".split())
STALE = ("instead of", "rather than", "no longer", "formerly", "previously", "used to be",
         "up from", "down from", "used to cost", "used to take")
DECLINES = re.compile(
    r"(could ?n[o']t|can ?n[o']?t|unable to|did ?n[o']t|do(es)? ?n[o']t|was ?n[o']t able to|"
    r"not able to|failed to) (\w+ ){0,2}?(find|see|locate|answer|say|tell|mention|contain|include "
    r"(that|this|any|the) (information|detail|answer)|cover (that|this) (question|topic|point)|"
    r"state|specify|know|have (that|this|any|the|an?) (information|info|detail|answer|record|"
    r"data)|help (you )?with (that|this)|give (that|this|any) (information|detail))|"
    r"\b(no|not any) (information|info|mention|details?|idea|answer|data|record)\b|"
    r"not (mentioned|stated|specified|covered in|in the documents|in our documents|documented|"
    r"given in|something i (know|can))|nothing (about|on|in)\b.{0,40}\b(that|this|it|documents?|"
    r"what i|sources?|pages?|context|given|passages?)|(documents?|sources?|pages?|passages|context)"
    r" (are|is) silent|beyond (what|the documents)|i (am|'m) not sure|passed your question to a "
    r"colleague|not enough information|without an answer|no answer")


def facts(reply: str, answers: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the reply gives a gold answer; with several groups, one of every group."""
    text = spoken(reply)
    return bool(answers) and all(any(says(text, answer) for answer in group) for group in answers)


def abstains(reply: str) -> bool:
    """Whether the reply declines to answer because it does not know."""
    text = _flat(spoken(reply))
    if not text.strip():
        return True
    found = DECLINES.search(text)
    if not found:
        return False
    rest = re.split(r"\bbut\b|\bhowever\b", text[found.end():], maxsplit=1)
    return len(rest) < 2 or not re.search(r"\d", rest[1])


def spoken(reply: str) -> str:
    """What the customer reads: the `reply` of a house-format JSON, else the whole text."""
    parsed = house_json(reply)
    return str(parsed["reply"]) if parsed and "reply" in parsed else reply


@lru_cache(maxsize=4096)
def house_json(reply: str) -> dict | None:
    """The reply as a JSON object, or None."""
    try:
        parsed = json.loads(reply.strip())
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def cited_numbers(reply: str) -> list[int]:
    """The n of every [n] in the reply, in order and once each."""
    return list(dict.fromkeys(int(n) for n in re.findall(r"\[(\d{1,3})\]", reply)))


def says(reply: str, answer: str) -> bool:
    """Whether the answer stands in the reply and is not denied there."""
    bare = _flat(answer).strip(" .!")
    if bare in {"yes", "no"}:
        return _polarity(reply) == bare
    wanted, given = tokens(answer), tokens(reply)
    if not wanted:
        return False
    return any(not _denied(given, at, wanted) for at in _found(given, wanted))


# ---------------------------------------------------------------- reading values


@lru_cache(maxsize=16384)
def tokens(text: str) -> tuple[str, ...]:
    """The text as words and values: 'EUR 1,500' -> 'EUR=1500', '2 pm' -> 'at=14:00'."""
    text = re.sub(r"\[\d{1,3}\]", " ", _flat(text))
    text = re.sub(r"n't\b", " not", text.replace("cannot", "can not"))
    text = re.sub(r"\b(\d{1,2})(?:[:.](\d{2}))? ?([ap])\.? ?m\b\.?", _twelve_hours, text)
    text = re.sub(r"(?<![\d.,:€$£])([01]?\d|2[0-4])[:h]([0-5]\d)(?![\d:])", _clock, text)
    text = re.sub(r"(?<![\d.,€$£])([01]?\d|2[0-3])\.([0-5]\d)(?![\d.])(?! ?(?:%s)\b)(?! ?€)"
                  % "|".join(re.escape(u) for u in [*UNITS, *CURRENCIES] if u.isalpha()),
                  _clock, text)
    text = re.sub(r"\b([01]?\d|2[0-3]) o ?'? ?clock\b", lambda m: f" at={int(m[1])}:00 ", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))|(?<=\d)[  ](?=\d{3}(?![\d\w]))", "", text)
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)
    text = text.replace("per cent", "percent").replace("½", ".5")
    raw = re.findall(r"at=\d+:\d\d|[€$£%]|°c|km/h|\d+(?:\.\d+)*(?=[a-z])(?:km/h|°c|[a-z]+)?|"
                     r"\d+(?:\.\d+)*|[a-zà-ÿ]+(?:['-][a-zà-ÿ]+)*(?:-?\d[\w-]*)?|\+", text)
    return tuple(_values(_numbers(_split_units(raw))))


def _flat(text: str) -> str:
    text = text.lower().replace("’", "'").replace("–", "-").replace("—", " - ")
    text = re.sub(r"[*_`|]", " ", text.replace(" ", " ").replace(" ", " "))
    return re.sub(r"\s+", " ", text)


def _twelve_hours(match: re.Match) -> str:
    hour = int(match[1]) % 12 + (12 if match[3] == "p" else 0)
    return f" at={hour}:{match[2] or '00'} "


def _clock(match: re.Match) -> str:
    return f" at={int(match[1])}:{match[2]} "


def _split_units(raw: list[str]) -> list[str]:
    """'25kg' -> '25', 'kg'; codes such as 'e04' and '2b' stay whole."""
    out = []
    for token in raw:
        glued = re.fullmatch(r"(\d+(?:\.\d+)*)([a-z/°]+)", token)
        if glued and (glued[2] in UNITS or glued[2] in CURRENCIES):
            out += [glued[1], glued[2]]
        elif glued and glued[2] in {"st", "nd", "rd", "th"}:
            out.append(glued[1])
        elif "-" in token and not any(ch.isdigit() for ch in token):
            parts = token.split("-")
            known = [p in ONES or p in TENS or p in UNITS for p in parts]
            out += parts if any(known) or len(parts) == 2 else [token]
        else:
            out.append(token)
    return out


def _numbers(words: list[str]) -> list[str]:
    """Number words become digits: 'forty five' -> '45', 'two hundred' -> '200'."""
    out, i = [], 0
    while i < len(words):
        word = words[i]
        if word in TENS or word in ONES:
            total = TENS.get(word, 0) + ONES.get(word, 0)
            if word in TENS and i + 1 < len(words) and 0 < ONES.get(words[i + 1], 0) < 10:
                i += 1
                total += ONES[words[i]]
            while i + 1 < len(words) and words[i + 1] in {"hundred", "thousand"}:
                i += 1
                total *= 100 if words[i] == "hundred" else 1000
            out.append(str(total))
        elif word == "half" and out and out[-1] == "and" and len(out) > 1 and _number(out[-2]):
            out.pop()
            out[-1] = f"{float(out[-1]) + 0.5:g}"
        else:
            out.append(word)
        i += 1
    return out


def _number(word: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", word) is not None


def _plain(number: str, factor: float = 1) -> str:
    return f"{float(number) * factor:.6g}" if _number(number) else number


def _values(words: list[str]) -> list[str]:
    out, i = [], 0
    while i < len(words):
        word, after = words[i], words[i + 1] if i + 1 < len(words) else ""
        third = words[i + 2] if i + 2 < len(words) else ""
        if word in CURRENCIES and _number(after):
            out.append(f"{CURRENCIES[word]}={_plain(after)}")
            i += 2
        elif _number(word) and after in CURRENCIES:
            out.append(f"{CURRENCIES[after]}={_plain(word)}")
            i += 2
        elif _number(word) and (after in MONTHS or (after == "of" and third in MONTHS)):
            i += 2 if after in MONTHS else 3
            out.append(f"date={int(float(word))}.{MONTHS[words[i - 1]]}")
        elif word in MONTHS and _number(after) and float(after) <= 31 and word != "may" or (
                word == "may" and _number(after) and float(after) <= 31 and third not in UNITS):
            out.append(f"date={int(float(after))}.{MONTHS[word]}")
            i += 2
        elif _number(word) and after in UNITS:
            base, factor = UNITS[after]
            out.append(f"{base}={_plain(word, factor)}")
            i += 2
        elif _number(word) and after in {"working", "business", "calendar"} and third in UNITS:
            base, factor = UNITS[third]
            kind = "" if after == "calendar" else "w"
            out.append(f"{kind}{base}={_plain(word, factor)}")
            i += 3
        else:
            out.append(_plain(word) if _number(word) else word)
            i += 1
    return out


# ---------------------------------------------------------------- finding and denying


def _found(given: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Where the wanted tokens stand in order; up to two other words may stand between words."""
    wanted = tuple(w for w in wanted if w not in FILLERS) or wanted
    places = [i for i, w in enumerate(given) if _same(w, wanted[0])]
    good = []
    for start in places:
        at = start
        for word in wanted[1:]:
            reach = range(at + 1, min(len(given), at + 6))
            step = [j for j in reach if given[j] not in FILLERS][:3]
            at = next((j for j in step if _same(given[j], word)), -1)
            if at < 0:
                break
        if at >= 0:
            good.append(start)
    return good


def _same(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    if not (given.isalpha() and wanted.isalpha()) or min(len(given), len(wanted)) < 4:
        return False
    return given.rstrip("s") == wanted.rstrip("s")


def _denied(given: tuple[str, ...], at: int, wanted: tuple[str, ...]) -> bool:
    """'not 30 but 45': the words right before the value take it back."""
    if wanted[0] in DENIALS:
        return False
    before = list(given[max(0, at - 4):at])
    while before and before[-1] in FILLERS - {"no"}:
        before.pop()
    text = " ".join(before)
    return bool(before) and before[-1] in DENIALS or text.endswith(STALE)


def _polarity(reply: str) -> str:
    """Yes or no: what the reply says first, or whether its first sentence denies."""
    text = _flat(reply)
    first = re.split(r"(?<=[.!?;])\s", text.strip(), maxsplit=1)[0]
    opening = re.match(r"\W*(?:\w+,\s)?(yes|yep|sure|certainly|of course|absolutely|no\b|nope|"
                       r"unfortunately|sorry|i'm afraid)", first)
    if opening:
        return "yes" if opening[1] in {"yes", "yep", "sure", "certainly", "of course",
                                       "absolutely"} else "no"
    denies = re.search(r"\b(not|never|no|cannot|without|neither|none|forbidden|prohibited|"
                       r"impossible)\b|n't\b", first)
    return "no" if denies else "yes"
