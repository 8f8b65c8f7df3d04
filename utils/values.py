"""A text -> words and values, so that two ways of writing one thing are the same.

Numbers and number words, units, money, times, dates and weekday ranges become values:
"EUR 1,500.00" and "€1500" are one token, "2 pm" and "14:00" another, and "8" is not found in
"18". Whether a reply is right is not decided here (`grading`).
"""

from __future__ import annotations

import re
from functools import lru_cache

UNITS = {}
for _base, _factor, _names in (
        ("s", 1, "second seconds sec secs s"), ("s", 60, "minute minutes min mins"),
        ("s", 3600, "hour hours hr hrs h"), ("s", 86_400, "day days"),
        ("s", 604_800, "week weeks"),
        ("mon", 1, "month months"), ("mon", 12, "year years yr yrs"),
        ("g", 1, "g gram grams gramme grammes"),
        ("g", 1000, "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes"),
        ("mm", 1, "mm millimetre millimetres millimeter millimeters"),
        ("mm", 10, "cm centimetre centimetres centimeter centimeters"),
        ("mm", 25.4, "inch inches"),
        ("mm", 1000, "m metre metres meter meters"),
        ("mm", 1_000_000, "km kilometre kilometres kilometer kilometers"),
        ("ml", 1, "ml millilitre millilitres"), ("ml", 1000, "l litre litres liter liters"),
        ("w", 1, "w watt watts"), ("w", 1000, "kw kilowatt kilowatts"), ("wh", 1, "wh"),
        ("v", 1, "v volt volts"), ("nm", 1, "nm"), ("bar", 1, "bar"), ("psi", 1, "psi"),
        ("a", 1, "amp amps"), ("ah", 1, "ah"), ("mb", 1, "mb"), ("mb", 1000, "gb"),
        ("db", 1, "db decibel decibels"),
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
ORDINALS = {w: i for i, w in enumerate(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), 1)}
SCALES = {"thousand": 1000, "million": 1_000_000}
COUNTED = frozenset("minute hour day week month year gram kilo litre metre kilometre".split())
NAMED = "№"  # before a number that is part of a name
PAUSE = ","  # stands for every mark between clauses, and for the edge of a table cell
FILLERS = frozenset("a an the of your our its their is are be was it to for in at on by from with "
                    "about around approximately roughly just only exactly also then per and ,"
                    .split())
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()


@lru_cache(maxsize=16384)
def tokens(text: str) -> tuple[str, ...]:
    """The text as words and values: 'EUR 1,500' -> 'EUR=1500|1500', '2 pm' -> 'at=14:00'."""
    text = re.sub(r"\[\d{1,3}\]", " ", text)
    text = re.sub(r"\n(?=\s*(?:\n|[-*•|#]|\d+[.)]\s))", " | ", text)
    text = re.sub(r"(?<![\w+/-])(?:\+|0)\d(?:[\d/-]|\s(?![-/]\s)|\(\d+\)){5,}\d",
                  lambda m: " tel" + re.sub(r"\D", "", m[0]) + " ", text)
    if not text.isupper() or text.count(" ") < 3:  # "FOR 45 DAYS" shouted is no code FOR-45
        text = re.sub(r"\b(?!EUR|CHF|USD|GBP|AM\b|PM\b|[AI] )([A-Z]{1,4})[ -](\d{1,6})\b"
                      rf"(?! ?(?:{_MEASURES}))", r"\1-\2", text)
        text = re.sub(r"(?<=[a-z,] )([A-Z][a-z]{2,}) (\d{1,3})(?!\d|[.,:]\d| ?%|\w)", _named, text)
    text = plain_words(flat(text))
    text = re.sub(r"\b(\d{4})-(\d\d)-(\d\d)\b", r"\1/\2/\3", text)
    text = re.sub(r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})\b", r"\3/\2/\1", text)
    text = re.sub(r"(?<![\d.,])0,(?=\d{3}(?!\d))", "0.", text)
    text = re.sub(r"(?<=\d)[,'](?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<![\w.,-])(\d{1,3}) (?=\d{3}(?!\w))", r"\1", text)
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)
    text = re.sub(rf"((?:eur|chf|usd|gbp|[€$£]) ?\d{{1,3}})\.(\d{{3}})\b|\b(\d{{1,3}})\.(\d{{3}})"
                  rf"(?= ?(?:{_MONEY}))|\b(\d{{1,3}})\.(000)\b", _thousands, text)
    text = re.sub(r"(eur|chf|usd|gbp|[€$£]) ?(\d+)\.(\d\d)\b", r"\1 \2.\3#", text)
    text = re.sub(rf"\b(\d+)\.(\d\d)(?= ?(?:{_MEASURES}))", r"\1.\2#", text)
    text = re.sub(r"\b(\d{1,2})(?:[:.](\d{2}))? ?([ap])\.? ?m\b\.?", _twelve_hours, text)
    text = _said_times(text)
    text = re.sub(r"(?<![\d.:])([01]?\d|2[0-4])[:.]([0-5]\d)(?![\d:#]|\.\d)", _clock, text)
    text = text.replace("#", "").replace("per cent", "percent")
    text = re.sub(r"newton[ -]?met(?:re|er)s?", "nm", text)
    text = re.sub(r"\b(?:km|kilomet(?:re|er)s?) (?:per|an) hour\b", "km/h", text)
    text = re.sub(r"(?<=\d) ?degrees?(?: celsius| c\b)?(?! ?(?:f\b|fahrenheit))", " °c", text)
    text = re.sub(r"(?:(?<=^)|(?<=[\s(]))-(?=\d)", "minus ", text)
    text = re.sub(r"(?<![\w.-])(\d+(?:\.\d+)?)-(?=\d+(?![\d-]))", r"\1 to ", text)
    text = re.sub(r"\+(?!\d)", " plus ", text.replace("&", " and "))
    text = _fractions(_halves(text))
    text = re.sub(r"\b(\d+(?:\.\d+)?) ?million\b", lambda m: _plain(m[1], 1e6), text)
    text = re.sub(r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.", r"\1", text)
    days = "|".join(WEEKDAYS)
    text = re.sub(r"\b(mon|tue|wed|thu|fri|sat|sun)(?:s|rs|urs|nes|ur)?\b\.?",
                  lambda m: next(d for d in WEEKDAYS if d.startswith(m[1])), text)
    text = re.sub(rf"\b({days})s?\b ?(?:-|to|through|until|till) ?({days})s?\b", r"\1..\2", text)
    raw = re.findall(r"at=\d+:\d\d|№\d+|[a-z]+\.\.[a-z]+|\d{4}/\d+/\d+|[€$£%]|°c|km/h|"
                     r"\d+(?:\.\d+)*(?=[a-z])(?:km/h|[a-z]+)?|\d+(?:\.\d+)*|"
                     r"[^\W\d_]+(?:['-][^\W\d_]+)*(?:-?\d[\w-]*)?| - |[,.;:!?|()]", text)
    return tuple(_values(_numbers(_split_units(raw))))


_MONEY, _MEASURES = ("|".join(sorted((re.escape(u) + (r"\b" if u.isalpha() else "") for u in names),
                                     key=len, reverse=True))
                     for names in (CURRENCIES, [*UNITS, *CURRENCIES]))


def _named(match: re.Match) -> str:
    """'the Pressa 8' is a name: its 8 counts as part of the name alone."""
    word = match[1].lower()
    no_name = word in FILLERS or word in MONTHS or word in WEEKDAYS or word in CURRENCIES
    return match[0] if no_name else f"{match[1]} {NAMED}{match[2]}"


def flat(text: str) -> str:
    text = text.lower().replace("’", "'").replace("—", " - ")
    text = re.sub("[–\u2010\u2011\u2212]", "-", text)  # dashes, and the sign of -18 °C in print
    text = re.sub(r"[*_`]", " ", text.replace("\u00a0", " ").replace("\u202f", " "))
    return re.sub(r"\s+", " ", text)


def plain_words(text: str) -> str:
    """Contractions written out, so that one word means no: 'isn't' -> 'is not'."""
    text = text.replace("cannot", "can not").replace("won't", "will not").replace("i'm ", "i am ")
    text = re.sub(r"\b(it|that|there|what)'s\b", r"\1 is", text.replace("n't", " not"))
    return re.sub(r"\b(i|we|you|they)'(ve|d)\b", lambda m: m[1] + (
        " have" if m[2] == "ve" else " would"), text)


def _thousands(match: re.Match) -> str:
    """'1.250 €' and '16.000 km': a point before three digits of money or three zeros."""
    return "".join(part for part in match.groups() if part)


def _said_times(text: str) -> str:
    """'noon', 'half past eleven in the morning', 'two in the afternoon' -> clock times."""
    number = "|".join([w for w, n in ONES.items() if 1 <= n <= 12] + [r"1[0-2]|[1-9]"])

    def clock(match: re.Match) -> str:
        minutes = {"half past": 30, "quarter past": 15, "quarter to": -15}.get(match[1] or "", 0)
        hour = ONES.get(match[2]) or int(match[2])
        hour = hour % 12 + (12 if match[3] in {"afternoon", "evening"} else 0)
        at = hour * 60 + minutes
        return f" at={at // 60}:{at % 60:02d} "

    text = re.sub(rf"\b(?:(half past|quarter past|quarter to) )?({number})(?: o'clock)? in the "
                  r"(morning|afternoon|evening)\b", clock, text)
    text = re.sub(r"(?<!at=)\b(?:12 ?)?(?:noon|midday)\b", " at=12:00 ", text)
    return re.sub(r"\b([01]?\d|2[0-3]) o'clock\b", lambda m: f" at={int(m[1])}:00 ", text)


def _twelve_hours(match: re.Match) -> str:
    hour = int(match[1]) % 12 + (12 if match[3] == "p" else 0)
    return f" at={hour}:{match[2] or '00'} "


def _clock(match: re.Match) -> str:
    return f" at={int(match[1])}:{match[2]} "


def _halves(text: str) -> str:
    """'half an hour', 'an hour and a half', '2½ hours' -> 0.5, 1.5 and 2.5 hours."""
    span = r"(hour|day|week|month|year|litre|liter|metre|meter|kilo|kilometre)s?\b"
    text = re.sub(r"(\d) ?½", r"\1.5", text).replace("½", "0.5")
    text = re.sub(rf"\b(?:a |one )?half(?:[ -]an?)?[ -]{span}", r"0.5 \1", text)
    text = re.sub(rf"\bthree[ -]quarters of an? {span}", r"0.75 \1", text)
    text = re.sub(rf"\b(?:a |one )?quarter of an? {span}", r"0.25 \1", text)
    return re.sub(rf"\b(?:an?|one|1) {span} and a half\b", r"1.5 \1", text)


def _fractions(text: str) -> str:
    """'1/4 litre', '¾ litre', '1 1/2 hours' -> 0.25, 0.75 and 1.5; '24/7' and 3/4/2025 stay."""
    text = re.sub("[¼¾]", lambda m: {"¼": " 1/4", "¾": " 3/4"}[m[0]], text)
    return re.sub(r"(?<![\d/.,-])(?:(\d+) +)?([1-9])/([2-9]|1[0-9])(?![\d/])",
                  lambda m: f"{int(m[1] or 0) + int(m[2]) / int(m[3]):.6g}", text)


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
