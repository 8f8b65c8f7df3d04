"""A reply -> what it got right: programs, not a paid judge.

A fact is right when a gold answer stands in the reply and is not denied there. Both sides are
read the same way first: numbers and number words, units, money, times and dates become values,
so "EUR 1,500.00" equals "€1500" and "2 pm" equals "14:00", while "8" is not found in "18".
What it cannot see: whether a reply that holds the right answer also says something false, or
says it of another thing.
"""

from __future__ import annotations

import json
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
COUNTED = frozenset("minute hour day week month year gram kilo litre metre kilometre".split())
NAMED = "№"  # before a number that is part of a name
PAUSE = ","  # stands for every mark between clauses, and for the edge of a table cell
FILLERS = frozenset("a an the of your our its their is are be was it to for in at on by from with "
                    "about around approximately roughly just only exactly also then per and ,"
                    .split())
DENIALS = frozenset("not no never without neither nor".split())
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
STALE = re.compile(
    r"(\b(instead of|rather than|no longer|no|minus|formerly|previously|"
    r"used to (be|cost|take|come from|last|open at)|(up|down) from|"
    r"(moved|changed|raised|lowered|rose|went|increased|reduced|switched) from|"
    r"not(?! (just|only))( (have|get|cost|take|last|need|pay|hold|open|close|come|mean))?)"
    r"( (a|an|the|for|on|at|in|only|just|to|be|from))*|"
    r"(?<!\bis )(?<!are )(?<!be )\b(took over from|followed|replaced|replaces)( the)?)$")
TAKEN_BACK = re.compile(
    r"^(is|are|was|were|do|does|did|will|can|would|need)? ?(not|no longer) (be )?(needed|required|"
    r"necessary|allowed|permitted|accepted|offered|included|fit|apply|count|valid|available|"
    r"possible|enough|suitable|work|correct|right|true)\b")

# Ways to say "I do not know". Each names its speaker (I, we) or the material (the documents),
# because "the warranty does not cover it" and "if you cannot find the key" are answers.
_SOURCE = (r"\b(?:documents?|documentation|passages?|texts?|sources?|material|pages?|notes?|"
           r"context|excerpts?|data ?sheets?|manuals?|knowledge base|catalogue|what (?:i|we)|"
           r"information (?:i|we|given|provided|available))\b")
_KNOWLEDGE = r"(?:information|info|details?|answers?|mention|idea|clue|knowledge|record)\b"
_TELLS = (r"(?:say|state|mention|contain|cover|include|give|specify|tell|address|list|provide|"
          r"answer|speak|show|name|explain|describe|discuss|indicate|hold|have|has|"
          r"offer)")
DECLINES = re.compile("|".join((
    r"(?:(?:^|[,;:-] ?)(?:(?:am|did|can|could) )?|\bi (?:\w+ ){0,3}?)not "
    r"(?:\w+ ){0,2}?(?:find|found|know|say|tell|see|seen|locate|determine|guess|confirm|help|sure|"
    r"certain|aware|able|answer)\b",
    r"\bi (?:do|did) not (?:\w+ )?(?:have|got)\b|\bi have not\b",
    r"\bwe (?:\w+ )?(?:do|did|can|could) not (?:\w+ )?(?:find|know|say|tell you|answer (?:this|"
    r"that|your|the question|it))\b",
    r"\bnot (?:\w+ ){0,3}?(?:on file|at hand|to hand)\b|\bnot possible to (?:say|tell|determine)\b",
    _SOURCE + r"(?: \w+){0,6}? (?:do|does|did|can|could|is|are) not (?:\w+ )?" + _TELLS + r"\b",
    r"\b(?:none|neither) of (?:\w+ ){0,3}?" + _SOURCE,
    _SOURCE + r"(?: \w+){0,4}? " + _TELLS + r"s? (?:no|nothing|neither)\b",
    _SOURCE + r"(?: \w+){0,4}? (?:is|are) silent\b",
    r"\bnot (?:\w+ )?(?:mentioned|stated|specified|documented)\b",
    r"\b(?:not|nowhere|nothing)\b(?: \w+){0,4}? (?:in|from) (?:(?:any|all|of|the|these|those|this|"
    r"our|my|your|provided|given|available) )*" + _SOURCE,
    r"(?:^|\b(?:have|has|had|is|are|was|were|find|found|see|contains?|got|i|we) )(?:\w+ )?"
    r"(?:no|not any|not enough|insufficient|not an?) " + _KNOWLEDGE,
    r"\black(?:s|ing)?(?: the| any)? " + _KNOWLEDGE,
    r"\bnot (?:have|has|had|got|contain|include|give|hold|offer)(?: \w+){0,3}? " + _KNOWLEDGE,
    r"\bnothing (?:is |was )?(?:found|said)\b|\bunable to (?:find|determine|answer|say|tell|locate|"
    r"confirm|help|provide)\b|\bnot be (?:answered|determined)\b|\bfail(?:ed|s)? to find\b",
    r"\binformation (?:\w+ ){0,4}?is (?:missing|unavailable|not available)\b|\bnot something i\b",
    r"\bpassed your question to a colleague|\bbeyond (?:what (?:i|we)|the documents)\b",
    r"\b(?:it|that|this|which) (?:is|remains) (?:\w+ )?(?:unclear|unknown)\b|^unknown\b|^no idea\b|"
    r"^do not know\b",
    r"\b(?:leave|leaves) (?:this|that|it) (?:open|out)\b")))
_ASIDE = re.compile(r"\b(?:if|unless|until|when|while|who|whose|because|as long as|provided that)\b"
                    r"[^,;:]*")


def facts(reply: str, answers: tuple[tuple[str, ...], ...]) -> bool:
    """Whether the reply gives a gold answer; with several groups, one of every group."""
    declines, text = _outside_declining(spoken(reply))
    return bool(answers) and all(_one_of(text, group, declines) for group in answers)


def abstains(reply: str) -> bool:
    """Whether the reply declines to answer because it does not know."""
    declines, text = _outside_declining(spoken(reply))
    return declines and _opening(text) is None and not any(
        re.search(r"\d", token) and not token.startswith(NAMED) for token in tokens(text))


def spoken(reply: str) -> str:
    """What the customer reads: the `reply` of a house-format JSON, else the whole text."""
    parsed = house_json(reply)
    return str(parsed["reply"] or "") if parsed and "reply" in parsed else reply


@lru_cache(maxsize=4096)
def house_json(reply: str) -> dict | None:
    """The reply as a JSON object, or None."""
    try:
        parsed = json.loads(reply.strip())
    except (ValueError, RecursionError):  # a model caught in a loop may write ten thousand "["
        return None
    return parsed if isinstance(parsed, dict) else None


def cited_numbers(reply: str) -> list[int]:
    """The n of every [n] in the reply, in order and once each."""
    return list(dict.fromkeys(int(n) for n in re.findall(r"\[(\d{1,3})\]", reply)))


def says(reply: str, answer: str) -> bool:
    """Whether the answer stands in the reply and is not denied there."""
    if _yes_or_no(answer):
        return _polarity(reply) == _yes_or_no(answer)
    return False in _places(reply, answer)


def _one_of(text: str, group: tuple[str, ...], declines: bool) -> bool:
    """Whether one alternative is said; 'it isn't free' is no 'no' where 'free' is also gold."""
    values = [a for a in group if not _yes_or_no(a)]
    if any(says(text, a) for a in values):
        return True
    denied = any(_places(text, a) for a in values)
    return not denied and not declines and any(says(text, a) for a in group if _yes_or_no(a))


def _yes_or_no(answer: str) -> str | None:
    bare = answer.lower().strip(" .!")
    return bare if bare in {"yes", "no"} else None


def _places(reply: str, answer: str) -> list[bool]:
    """For every place where the answer stands: whether it is denied there."""
    wanted, given = tokens(answer), tokens(reply)
    return [_denied(given, at, end, wanted) for at, end in _found(given, wanted)]


# ---------------------------------------------------------------- reading values


@lru_cache(maxsize=16384)
def tokens(text: str) -> tuple[str, ...]:
    """The text as words and values: 'EUR 1,500' -> 'EUR=1500|1500', '2 pm' -> 'at=14:00'."""
    text = re.sub(r"\[\d{1,3}\]", " ", text)
    text = re.sub(r"\n(?=\s*(?:\n|[-*•|#]|\d+[.)]\s))", " | ", text)
    text = re.sub(r"(?<![\w+])(?:\+|0)\d[\d\s/()-]{5,}\d",
                  lambda m: " tel" + re.sub(r"\D", "", m[0]) + " ", text)
    if not text.isupper() or text.count(" ") < 3:  # "FOR 45 DAYS" shouted is no code FOR-45
        text = re.sub(r"\b(?!EUR|CHF|USD|GBP|AM\b|PM\b|[AI] )([A-Z]{1,4})[ -](\d{1,6})\b",
                      r"\1-\2", text)
        text = re.sub(r"(?<=[a-z,] )([A-Z][a-z]{2,}) (\d{1,3})(?!\d|[.,:]\d| ?%|\w)", _named, text)
    text = _plain_words(_flat(text))
    text = re.sub(r"\b(\d{4})-(\d\d)-(\d\d)\b", r"\1/\2/\3", text)
    text = re.sub(r"(?<![\d.])(\d{1,2})\.(\d{1,2})\.(\d{4})\b", r"\3/\2/\1", text)
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
    text = _halves(text)
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


def _flat(text: str) -> str:
    text = text.lower().replace("’", "'").replace("–", "-").replace("—", " - ")
    text = re.sub(r"[*_`]", " ", text.replace("\u00a0", " ").replace("\u202f", " "))
    return re.sub(r"\s+", " ", text)


def _plain_words(text: str) -> str:
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
        if words[i:i + 3] == ["and", "a", "half"] and out and _number(out[-1]):
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
        elif word == "thousand" and part:
            total, part = total + part * 1000, 0
        else:
            break
        used += 1
    return total + part, used


def _number(word: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", word) is not None


def _plain(number: str, factor: float = 1) -> str:
    return f"{float(number) * factor:.12g}" if _number(number) else number


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
        elif word in CURRENCIES and _number(after):
            out.append(f"{CURRENCIES[word]}={_plain(after)}|{_plain(after)}")
            i += 2
            if words[i:i + 1] == ["to"] and _number(words[i + 1] if i + 1 < len(words) else "") \
                    and not _unit(words, i + 2):
                words[i + 1:i + 1] = [word]  # 'EUR 4 to 6'
        elif _number(word) and after in CURRENCIES:
            out.append(f"{CURRENCIES[after]}={_plain(word)}|{_plain(word)}")
            i += 2
        elif _day(word) and (after in MONTHS or (after == "of" and third in MONTHS)):
            i += 2 if after in MONTHS else 3
            out.append(f"date={_day(word)}.{MONTHS[words[i - 1]]}")
        elif word in MONTHS and _day(after) and (word != "may" or third not in UNITS):
            out.append(f"date={_day(after)}.{MONTHS[word]}")
            i += 2
        elif _number(word) and after in {"to", "and", "or"} and _number(third) \
                and _unit(words, i + 3):
            words[i + 1:i + 1] = words[i + 3:i + 3 + _unit(words, i + 3)]  # '3 to 5 days'
            longest = unit_before
        elif _number(word) and _unit(words, i + 1):
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
                and not (out and ("=" in out[-1] or _number(out[-1]))):
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


# ---------------------------------------------------------------- finding and denying


def _found(given: tuple[str, ...], wanted: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the wanted tokens stand in order; up to two other words may stand between words."""
    wanted = tuple(w for w in wanted if w not in FILLERS)
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
                reach = range(at + 1, min(len(given), at + 8))
                step = [j for j in reach if given[j] not in FILLERS][:3]
                if order is not wanted:
                    step = step[:1]
                at = next((j for j in step if _same(given[j], word)
                           or j == at + 1 and given[j] == NAMED + word), -1)
                if at < 0:
                    break
            if at >= 0:
                good.append((start, at))
    return good


def _same(given: str, wanted: str) -> bool:
    if given in (wanted, wanted.removeprefix(NAMED)):
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
    if wanted[0] in DENIALS or wanted[0] == "minus":
        return False
    before, after = " ".join(given[max(0, at - 5):at]), " ".join(given[end + 1:end + 6])
    return STALE.search(before) is not None or TAKEN_BACK.match(after) is not None


# ---------------------------------------------------------------- declining, yes and no


COURTESY = re.compile(
    r"\W*(?:hi|hello|hey|dear|good (?:morning|day|evening|afternoon|question)|great question|"
    r"thanks|thank you|(?:we are |i am )?(?:so )?sorry (?:to|for|about|that)|you asked|"
    r"we are on it)\b")
YES = re.compile(r"\W*(?:yes|yep|yeah|sure|certainly|of course|absolutely|definitely|indeed)\b"
                 r"(?! not\b)")
NO = re.compile(r"\W*(?:no\b(?! problem| worries| need)|nope|unfortunately|sorry|i am afraid|"
                r"regrettably|(?:certainly|of course|absolutely|definitely) not\b)")
NEGATIVE = re.compile(
    r"\bno\b(?! problem| worries| extra| matter| more than| later than| longer than)|"
    r"\bnot\b(?! only| just| until| before| a problem| more than| later than)|"
    r"\b(?:never|neither|none|nobody|forbidden|prohibited|impossible|excluded|separately|"
    r"only without)\b")


def _sentences(text: str) -> list[str]:
    return [s for s in re.split(r"(?<=[.!?])\s+|\n+", text) if s.strip()]


def _outside_declining(text: str) -> tuple[bool, str]:
    """Whether a sentence declines, and what is answered before it or after its 'but'."""
    before: list[str] = []
    for sentence in _sentences(text):
        flat = _plain_words(_flat(sentence)).strip()
        found = None if flat.endswith("?") else DECLINES.search(_ASIDE.sub("", flat))
        if found:
            answer = re.split(r"\b(?:but|however)\b", sentence, maxsplit=1, flags=re.IGNORECASE)[1:]
            return True, " ".join(before + answer)
        if not COURTESY.match(flat):
            before.append(sentence)
    return False, text


def _opening(text: str) -> str | None:
    """The yes or no that a text begins with."""
    flat = _plain_words(_flat(text))
    flat = re.sub("^" + COURTESY.pattern + r"[^,.!?]*,", "", flat)
    return "yes" if YES.match(flat) else "no" if NO.match(flat) else None


def _polarity(reply: str) -> str | None:
    """Yes or no: what the reply says first, or whether its first statement denies."""
    for sentence in _sentences(reply):
        opening = _opening(sentence)
        flat = _plain_words(_flat(sentence)).strip()
        if opening and not (COURTESY.match(flat) and "," not in flat):
            return opening
        if not flat.endswith("?") and not COURTESY.match(flat):
            return "no" if NEGATIVE.search(_ASIDE.sub("", flat)) else "yes"
    return None
