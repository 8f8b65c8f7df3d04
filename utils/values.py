"""A text -> words and values, so that two ways of writing one thing are the same.

Numbers and number words, units, money, times, dates and weekday ranges become values:
"EUR 1,500.00" and "€1500" are one token, "2 pm" and "14:00" another, and "8" is not found in
"18". Whether a reply is right is not decided here (`grading`).
"""

from __future__ import annotations

import re
from functools import lru_cache

from utils.notation import CURRENCIES, MONTHS, ONES, TENS, UNITS, in_one_notation

ORDINALS = {w: i for i, w in enumerate(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), 1)}
SCALES = {"thousand": 1000, "million": 1_000_000}
COUNTED = frozenset("minute hour day week month year gram kilo litre metre kilometre".split())
PAUSE = ","  # stands for every mark between clauses, and for the edge of a table cell
WORDS = re.compile(
    r"at=\d+:\d\d|№\d+|[a-z]+\.\.[a-z]+|\d{4}/\d+/\d+|[€$£%]|°c|km/h|"
    r"\d+(?:\.\d+)*(?=[a-z])(?:km/h|[a-z]+)?|\d+(?:\.\d+)*|"
    r"[^\W\d_]+(?:['-][^\W\d_]+)*(?:-?\d[\w-]*)?| - |[,.;:!?|()]")


@lru_cache(maxsize=16384)
def tokens(text: str) -> tuple[str, ...]:
    """The text as words and values: 'EUR 1,500' -> 'EUR=1500|1500', '2 pm' -> 'at=14:00'."""
    return tuple(_values(_numbers(_split_units(WORDS.findall(in_one_notation(text))))))


def _split_units(raw: list[str]) -> list[str]:
    """'25kg' -> '25', 'kg'; codes such as 'e04' stay whole, and 'wf-2207' equals 'WF2207'."""
    out = []
    for token in raw:
        glued = re.fullmatch(r"(\d+(?:\.\d+)*)([a-z/]+)", token)
        if re.fullmatch(r"[.;:!?|()]| - ", token):
            out.append(PAUSE)
        elif re.fullmatch(r"[a-z]{1,4}-\d+", token):
            out.append(token.replace("-", ""))
        elif glued and (glued[2] in UNITS or glued[2] in CURRENCIES):
            out += [glued[1], glued[2]]
        elif "-" in token and not any(ch.isdigit() for ch in token):
            parts = token.split("-")
            known = [p in ONES or p in TENS or p in UNITS for p in parts]
            out += parts if any(known) or len(parts) == 2 else [token]
        else:
            out.append(token)
    return out


def _numbers(words: list[str]) -> list[str]:
    """Number words become digits: 'forty five' -> '45', 'two hundred and fifty' -> '250'."""
    out, i = [], 0
    while i < len(words):
        value, used = _spelled(words[i:i + 9])
        if words[i:i + 3] == ["and", "a", "half"] and out and is_number(out[-1]):
            out[-1], used = f"{float(out[-1]) + 0.5:g}", 3
        else:
            out.append(str(value) if used else words[i])
        i += max(1, used)
    return out


def _spelled(words: list[str]) -> tuple[int, int]:
    """The number the words begin with, and how many of them it takes."""
    total = part = used = 0
    if words[:1] == ["a"] and words[1:2] in (["hundred"], ["thousand"]):
        part = used = 1
    while used < len(words):
        word = words[used]
        joins = word == "and" and used and words[used - 1] in {"hundred", "thousand"}
        if joins and used + 1 < len(words) and words[used + 1] in ONES | TENS:
            used += 1
            word = words[used]
        if word in TENS and part % 100 == 0:
            part += TENS[word]
        elif word in ONES and (part % 100 == 0 or part % 100 >= 20 and not part % 10
                               and 0 < ONES[word] < 10):
            part += ONES[word]
        elif word == "hundred" and 0 < part < 100:
            part *= 100
        elif word in SCALES and part:
            total, part = total + part * SCALES[word], 0
        else:
            break
        used += 1
    return total + part, used


def is_number(word: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", word) is not None


def _plain(number: str, factor: float = 1) -> str:
    return f"{float(number) * factor:.12g}" if is_number(number) else number


def _day(word: str) -> int:
    """'3', '3rd' and 'third' -> 3 where it can be a day of a month, else 0."""
    found = re.fullmatch(r"(\d{1,2})(?:st|nd|rd|th)?", word)
    day = int(found[1]) if found else ORDINALS.get(word, 0)
    return day if day <= 31 else 0


def _values(words: list[str]) -> list[str]:
    """Numbers with their units, currencies and months become values."""
    out, i = [], 0
    longest = 0.0  # the unit of the duration just written, in seconds; '3 h 20 min' is one
    while i < len(words):
        word, after, third = (*words[i:i + 3], "", "")[:3]
        unit_before, longest = longest, 0.0
        dated = re.fullmatch(r"(\d{4})/(\d+)/(\d+)", word)
        if dated:
            out += [f"date={int(dated[3])}.{int(dated[2])}", dated[1]]
            i += 1
        elif word in CURRENCIES and is_number(after):
            out.append(f"{CURRENCIES[word]}={_plain(after)}|{_plain(after)}")
            i += 2
            if words[i:i + 1] == ["to"] and is_number(words[i + 1] if i + 1 < len(words) else "") \
                    and not _unit(words, i + 2):
                words[i + 1:i + 1] = [word]  # 'EUR 4 to 6'
        elif is_number(word) and after in CURRENCIES:
            out.append(f"{CURRENCIES[after]}={_plain(word)}|{_plain(word)}")
            i += 2
        elif _day(word) and (after in MONTHS or (after == "of" and third in MONTHS)):
            i += 2 if after in MONTHS else 3
            out.append(f"date={_day(word)}.{MONTHS[words[i - 1]]}")
        elif word in MONTHS and _day(after) and (word != "may" or third not in UNITS):
            out.append(f"date={_day(after)}.{MONTHS[word]}")
            i += 2
        elif is_number(word) and after in {"to", "and", "or"} and is_number(third) \
                and _unit(words, i + 3):
            words[i + 1:i + 1] = words[i + 3:i + 3 + _unit(words, i + 3)]  # '3 to 5 days'
            longest = unit_before
        elif is_number(word) and _unit(words, i + 1):
            length = _unit(words, i + 1)
            base, factor = UNITS[words[i + length]]
            base = "w" * (after in {"working", "business"}) + base
            value = f"{base}={_plain(word, factor)}|{_plain(word)}"
            i += 1 + length
            if base == "s":
                longest = factor
                joined = out[-2:] if out[-1:] == ["and"] else out[-1:]
                if joined and joined[0].startswith("s=") and float(word) * factor < unit_before:
                    del out[-len(joined):]
                    total = float(joined[0][2:].split("|")[0]) + float(word) * factor
                    value = f"s={total:.12g}|"
            out.append(value)
        elif unit_before == 3600 and re.fullmatch(r"[0-5]\d", word) and out[-1][:2] == "s=":
            out[-1] = f"s={float(out[-1][2:].split('|')[0]) + 60 * int(word):.12g}|"  # '3 h 20'
            i += 1
        elif word in {"a", "an"} and after in COUNTED \
                and not (out and ("=" in out[-1] or is_number(out[-1]))):
            words[i] = "1"  # 'an hour'; but '4 euros a day' means each day
            longest = unit_before
        else:
            longest = unit_before if word == "and" else 0.0
            ordinal = ORDINALS.get(word) or re.fullmatch(r"\d+(?:st|nd|rd|th)", word)
            out.append(f"{ORDINALS.get(word) or int(word[:-2])}th" if ordinal else _plain(word))
            i += 1
    return out


def _unit(words: list[str], at: int) -> int:
    """How many words the unit at this place takes: 'days' 1, 'working days' 2, none 0."""
    if words[at:at + 1] and words[at] in UNITS:
        return 1
    return 2 * (words[at:at + 1] and words[at] in {"working", "business", "calendar"}
                and words[at + 1:at + 2] and words[at + 1] in UNITS or 0)
