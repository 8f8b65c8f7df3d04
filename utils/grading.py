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
        ("s", 3600, "hour hours hr hrs h"), ("s", 86_400, "day days"),
        ("s", 604_800, "week weeks"),
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
DENIALS = frozenset("not no never without neither nor".split())
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
STALE = re.compile(
    r"(instead of|rather than|no longer|not|no|formerly|previously|used to (be|cost|take|come from|"
    r"last|open at)|(up|down) from|took over from|followed|replaced|"
    r"(moved|changed|raised|lowered|rose|went|increased|reduced|switched) from)"
    r"( (a|an|the|for|on|at|in|only|just|to|be))*$")
TAKEN_BACK = re.compile(
    r"^(is|are|was|were|do|does|did|will|can|would|need)? ?(not|no longer) (be )?(needed|required|"
    r"necessary|allowed|included|fit|apply|count|valid|available|possible|enough|suitable|work|"
    r"needed|correct|right)\b")
_KNOWLEDGE = (r"(information|info|details?|answers?|data|records?|figures?|mention|idea|clue|"
              r"knowledge|entry|entries|statement|hint|word|note)")
DECLINES = re.compile(
    r"(\bnot|\bunable to|\bfail(ed|s)? to|\brather not)( \w+){0,3}? (find|found|locate|see|guess|"
    r"determine|answer|say|tell|mention(ed)?|contain|state[ds]?|specif(y|ied)|know|appear|address|"
    r"covered (in|by)|cover (this|that|it)\b|documented|given\\b|on file|in the (documents?|passages?|"
    r"texts?|sources?)|listed|provided)|"
    r"\b(no|not any|not an?|lack(s|ing)?( the)?|insufficient|not enough|not (have|has|had|got)"
    r"( \w+){0,3}?|not (contain|include|give|hold|offer)( \w+){0,2}?) " + _KNOWLEDGE + r"\b|"
    r"\bnot have( \w+){0,4} (on file|at hand|to hand)|\bnothing( is| was)? (found|about|on|in|"
    r"there|said|to go on)\b|\b(is|are) silent\b|\b(it'?s|is|remains) (unclear|unknown)\b|"
    r"\bpassed your question to a colleague|\bbeyond (what|the documents)|"
    r"\bi am not sure\b|\bi'm not sure\b|\bi do not have\b|\bi haven't\b|^unknown\b|"
    r"\bnot (sure|certain|aware|something i)\b|\bno idea\b|\bcan not (help|say|tell)\b|"
    r"\b(leave|leaves) (this|that|it) (open|out)\b")


def facts(reply: str, answers: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the reply gives a gold answer; with several groups, one of every group."""
    if not answers or abstains(reply):
        return False
    text = spoken(reply)
    return all(any(says(text, answer) for answer in group) for group in answers)


def abstains(reply: str) -> bool:
    """Whether the reply declines to answer because it does not know."""
    text = _plain_negation(_flat(spoken(reply)))
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
    return any(not _denied(given, at, end, wanted) for at, end in _found(given, wanted))


# ---------------------------------------------------------------- reading values


@lru_cache(maxsize=16384)
def tokens(text: str) -> tuple[str, ...]:
    """The text as words and values: 'EUR 1,500' -> 'EUR=1500|1500', '2 pm' -> 'at=14:00'."""
    text = re.sub(r"\[\d{1,3}\]", " ", text)
    text = re.sub(r"(?<![\w+])(?:\+|0)\d[\d\s/()-]{5,}\d",
                  lambda m: " tel" + re.sub(r"\D", "", m[0]) + " ", text)
    text = re.sub(r"\b(?!EUR|CHF|USD|GBP|AM\b|PM\b)([A-Z]{1,4})[ -](\d{1,6})\b", r"\1-\2", text)
    text = re.sub(r"(?<=[a-z,] )([A-Z][a-z]{2,}) (\d{1,3})(?![\d.,:%]|\w)", _named, text)
    text = _plain_negation(_flat(text))
    text = re.sub(r"(?<=\d)[,'](?=\d{3}(?!\d))|(?<=\d) (?=\d{3}(?![\d\w]))", "", text)
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)
    text = re.sub(r"(eur|chf|usd|gbp|[€$£]) ?(\d+)\.(\d\d)\b", r"\1 \2.\3#", text)
    text = re.sub(r"\b(\d+)\.(\d\d)(?= ?(?:%s))" % _UNIT_ALTERNATIVES, r"\1.\2#", text)
    text = re.sub(r"\b(\d{1,2})(?:[:.](\d{2}))? ?([ap])\.? ?m\b\.?", _twelve_hours, text)
    text = _said_times(text)
    text = re.sub(r"(?<![\d.:])([01]?\d|2[0-4])[:.h]([0-5]\d)(?![\d:#]|\.\d)", _clock, text)
    text = text.replace("#", "").replace("per cent", "percent").replace("½", ".5")
    text = re.sub(r"newton[ -]?met(?:re|er)s?", "nm", text)
    days = "|".join(WEEKDAYS)
    text = re.sub(r"\b(mon|tue|wed|thu|fri|sat|sun)(?:s|rs|urs|nes|ur)?\b\.?",
                  lambda m: next(d for d in WEEKDAYS if d.startswith(m[1])), text)
    text = re.sub(rf"\b({days})s?\b ?(?:-|to|through|until|till) ?({days})s?\b", r"\1..\2", text)
    raw = re.findall(r"at=\d+:\d\d|[a-z]+\.\.[a-z]+|[€$£%]|°c|km/h|"
                     r"\d+(?:\.\d+)*(?=[a-z])(?:km/h|°c|[a-z]+)?|"
                     r"\d+(?:\.\d+)*|[a-zà-ÿ]+(?:['-][a-zà-ÿ]+)*(?:-?\d[\w-]*)?", text)
    return tuple(_sums(_values(_numbers(_split_units(raw)))))


_UNIT_ALTERNATIVES = "|".join(sorted((re.escape(u) + r"\b" if u.isalpha() else re.escape(u)
                                      for u in [*UNITS, *CURRENCIES]), key=len, reverse=True))


def _named(match: re.Match) -> str:
    """'the Pressa 8' is a name and holds no 8."""
    word = match[1].lower()
    dated = word in MONTHS or word in WEEKDAYS or word in CURRENCIES
    return match[0] if dated else f"{match[1]}-{match[2]}"


def _plain_negation(text: str) -> str:
    return re.sub(r"n't\b", " not", text.replace("cannot", "can not").replace("won't", "will not"))


def _said_times(text: str) -> str:
    """'half past eleven in the morning', 'two in the afternoon' -> clock times."""
    number = "|".join([w for w, n in ONES.items() if 1 <= n <= 12] + [r"1[0-2]|[1-9]"])

    def clock(match: re.Match) -> str:
        minutes = {"half past": 30, "quarter past": 15, "quarter to": -15}.get(match[1] or "", 0)
        hour = ONES.get(match[2]) or int(match[2])
        hour = hour % 12 + (12 if match[3] in {"afternoon", "evening"} else 0)
        at = hour * 60 + minutes
        return f" at={at // 60}:{at % 60:02d} "

    text = re.sub(rf"\b(?:(half past|quarter past|quarter to) )?({number})(?: o'clock)? in the "
                  r"(morning|afternoon|evening)\b", clock, text)
    return re.sub(r"\b([01]?\d|2[0-3]) o'clock\b", lambda m: f" at={int(m[1])}:00 ", text)


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
            out.append(f"{CURRENCIES[word]}={_plain(after)}|{_plain(after)}")
            i += 2
        elif _number(word) and after in CURRENCIES:
            out.append(f"{CURRENCIES[after]}={_plain(word)}|{_plain(word)}")
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
            out.append(f"{base}={_plain(word, factor)}|{_plain(word)}")
            i += 2
        elif _number(word) and after in {"working", "business", "calendar"} and third in UNITS:
            base, factor = UNITS[third]
            kind = "" if after == "calendar" else "w"
            out.append(f"{kind}{base}={_plain(word, factor)}|{_plain(word)}")
            i += 3
        else:
            out.append(_plain(word) if _number(word) else word)
            i += 1
    return out


def _sums(values: list[str]) -> list[str]:
    """'1 hour 30 minutes' and 'an hour and a half' become one duration."""
    out: list[str] = []
    i = 0
    while i < len(values):
        word = values[i]
        if word in {"hour", "day", "week", "year"} and out and out[-1] in {"a", "an"}:
            base, factor = UNITS[word]
            halved = values[i + 1:i + 4] == ["and", "a", "half"]
            out[-1] = f"{base}={factor * (1.5 if halved else 1):.6g}|{1.5 if halved else 1}"
            i += 4 if halved else 1
            continue
        if out and word.startswith("s=") and out[-1].startswith("s="):
            total = _amount(out[-1]) + _amount(word)
            out[-1] = f"s={total:.6g}|{total:.6g}"
        elif len(out) > 1 and out[-1] == "and" and word.startswith("s=") \
                and out[-2].startswith("s=3600"):
            out.pop()
            total = _amount(out[-1]) + _amount(word)
            out[-1] = f"s={total:.6g}|{total:.6g}"
        else:
            out.append(word)
        i += 1
    return out


def _amount(value: str) -> float:
    return float(value.split("=")[1].split("|")[0])


# ---------------------------------------------------------------- finding and denying


def _found(given: tuple[str, ...], wanted: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the wanted tokens stand in order; up to two other words may stand between words."""
    wanted = tuple(w for w in wanted if w not in FILLERS) or wanted
    if not wanted:
        return []
    orders = [wanted]
    if len(wanted) == 2 and all(w.isalpha() for w in wanted):
        orders.append(wanted[::-1])
    good = []
    for order in orders:
        for start in (i for i, w in enumerate(given) if _same(w, order[0])):
            at = start
            for word in order[1:]:
                reach = range(at + 1, min(len(given), at + 6))
                step = [j for j in reach if given[j] not in FILLERS][:3]
                if order is not wanted:
                    step = step[:1]
                at = next((j for j in step if _same(given[j], word)), -1)
                if at < 0:
                    break
            if at >= 0:
                good.append((start, at))
    return good


def _same(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    if "=" in given and "=" in wanted:
        return given.split("|")[0] == wanted.split("|")[0]
    if "|" in given and _number(wanted):
        return given.split("|")[1] == wanted
    if not (given.isalpha() and wanted.isalpha()) or min(len(given), len(wanted)) < 4:
        return False
    return given.rstrip("s") == wanted.rstrip("s")


def _denied(given: tuple[str, ...], at: int, end: int, wanted: tuple[str, ...]) -> bool:
    """'not 30 but 45', 'it used to be 30', 'WF-2207 does not fit': taken back as it is said."""
    if wanted[0] in DENIALS:
        return False
    before, after = " ".join(given[max(0, at - 5):at]), " ".join(given[end + 1:end + 6])
    return STALE.search(before) is not None or TAKEN_BACK.match(after) is not None


def _polarity(reply: str) -> str | None:
    """Yes or no: what the reply says first, or whether its first sentence denies."""
    if abstains(reply):
        return None
    text = _plain_negation(_flat(reply)).strip()
    first = re.split(r"(?<=[.!?;])\s", text, maxsplit=1)[0]
    if first.endswith("?"):
        return None
    opening = re.match(r"\W*(?:(?:hi|hello|well|thanks)\W+)?(yes|yep|sure|certainly|of course|"
                       r"absolutely|no\b|nope|unfortunately|sorry|i'm afraid)", first)
    if opening:
        return "yes" if opening[1] in {"yes", "yep", "sure", "certainly", "of course",
                                       "absolutely"} else "no"
    denies = re.search(r"\b(not|never|no|without|neither|none|forbidden|prohibited|impossible|"
                       r"excluded|separately|only without)\b", first)
    return "no" if denies else "yes"
