"""A text -> the same text in one notation: what can be written in many ways is written in one.

"1'500" and "1500", "2 pm" and "14:00", "half an hour" and "0.5 hour", "don't" and "do not". It
stays a text; its words and values are read from it afterwards (`values`).
"""

from __future__ import annotations

import re

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
NAMED = "№"  # before a number that is part of a name
FILLERS = frozenset("a an the of your our its their is are be was it to for in at on by from with "
                    "about around approximately roughly just only exactly also then per and ,"
                    .split())
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()


def in_one_notation(text: str) -> str:
    """The text in lower case, with one way to write numbers, times, dates, codes and ranges."""
    text = plain_words(flat(_capitals(text)))
    for station in (_dates, _numerals, _times, _units, _ranges, _calendar):
        text = station(text)
    return text


def _capitals(text: str) -> str:
    """What is known by its capitals: codes, names with a number; and telephone numbers, edges."""
    text = re.sub(r"\[\d{1,3}\]", " ", text)
    text = re.sub(r"\n(?=\s*(?:\n|[-*•|#]|\d+[.)]\s))", " | ", text)
    text = re.sub(r"(?<![\w+/-])(?:\+|0)\d(?:[\d/-]|\s(?![-/]\s)|\(\d+\)){5,}\d",
                  lambda m: " tel" + re.sub(r"\D", "", m[0]) + " ", text)
    if text.isupper() and text.count(" ") >= 3:  # "FOR 45 DAYS" shouted is no code FOR-45
        return text
    text = re.sub(r"\b(?!EUR|CHF|USD|GBP|AM\b|PM\b|[AI] )([A-Z]{1,4})[ -](\d{1,6})\b"
                  rf"(?! ?(?:{_MEASURES}))", r"\1-\2", text)
    return re.sub(r"(?<=[a-z,] )([A-Z][a-z]{2,}) (\d{1,3})(?!\d|[.,:]\d| ?%|\w)", _named, text)


def _dates(text: str) -> str:
    """'2026-03-01' and '01.03.2026' -> 2026/03/01."""
    text = re.sub(r"\b(\d{4})-(\d\d)-(\d\d)\b", r"\1/\2/\3", text)
    return re.sub(r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})\b", r"\3/\2/\1", text)


def _numerals(text: str) -> str:
    """'1,500', '1'500', '1 500' and '1.500 €' -> 1500; '4,50' -> 4.50, which is no time of day."""
    text = re.sub(r"(?<![\d.,])0,(?=\d{3}(?!\d))", "0.", text)
    text = re.sub(r"(?<=\d)[,'](?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<![\w.,-])(\d{1,3}) (?=\d{3}(?!\w))", r"\1", text)
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)
    text = re.sub(rf"((?:eur|chf|usd|gbp|[€$£]) ?\d{{1,3}})\.(\d{{3}})\b|\b(\d{{1,3}})\.(\d{{3}})"
                  rf"(?= ?(?:{_MONEY}))|\b(\d{{1,3}})\.(000)\b", _thousands, text)
    text = re.sub(r"(eur|chf|usd|gbp|[€$£]) ?(\d+)\.(\d\d)\b", r"\1 \2.\3#", text)
    return re.sub(rf"\b(\d+)\.(\d\d)(?= ?(?:{_MEASURES}))", r"\1.\2#", text)


def _times(text: str) -> str:
    """'2 pm', 'half past eleven in the morning', '14.00' -> at=14:00; a '#' marks what is none."""
    text = re.sub(r"\b(\d{1,2})(?:[:.](\d{2}))? ?([ap])\.? ?m\b\.?", _twelve_hours, text)
    text = _said_times(text)
    text = re.sub(r"(?<![\d.:])([01]?\d|2[0-4])[:.]([0-5]\d)(?![\d:#]|\.\d)", _clock, text)
    return text.replace("#", "")


def _units(text: str) -> str:
    """'per cent', 'newton metres', 'kilometres per hour', 'degrees Celsius' by their signs."""
    text = text.replace("per cent", "percent")
    text = re.sub(r"newton[ -]?met(?:re|er)s?", "nm", text)
    text = re.sub(r"\b(?:km|kilomet(?:re|er)s?) (?:per|an) hour\b", "km/h", text)
    return re.sub(r"(?<=\d) ?degrees?(?: celsius| c\b)?(?! ?(?:f\b|fahrenheit))", " °c", text)


def _ranges(text: str) -> str:
    """'-18' -> minus 18, '3-5' -> 3 to 5, '+' and '&' in words; halves, fractions and millions."""
    text = re.sub(r"(?:(?<=^)|(?<=[\s(]))-(?=\d)", "minus ", text)
    text = re.sub(r"(?<![\w.-])(\d+(?:\.\d+)?)-(?=\d+(?![\d-]))", r"\1 to ", text)
    text = re.sub(r"\+(?!\d)", " plus ", text.replace("&", " and "))
    text = _fractions(_halves(text))
    return re.sub(r"\b(\d+(?:\.\d+)?) ?million\b", lambda m: f"{float(m[1]) * 1e6:.12g}", text)


def _calendar(text: str) -> str:
    """'Tues.' -> tuesday, 'Mon-Fri' and 'Monday to Friday' -> monday..friday."""
    text = re.sub(r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.", r"\1", text)
    days = "|".join(WEEKDAYS)
    text = re.sub(r"\b(mon|tue|wed|thu|fri|sat|sun)(?:s|rs|urs|nes|ur)?\b\.?",
                  lambda m: next(d for d in WEEKDAYS if d.startswith(m[1])), text)
    return re.sub(rf"\b({days})s?\b ?(?:-|to|through|until|till) ?({days})s?\b", r"\1..\2", text)


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
