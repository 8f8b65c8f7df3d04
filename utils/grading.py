"""A reply -> what it got right: programs, not a paid judge.

A fact is right when a gold answer stands in the reply and is not denied there; both sides are
read the same way first (`values`). What these programs cannot see: whether a reply that holds the
right answer also says something false, or says it of another thing.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from utils.notation import FILLERS, NAMED, flat, plain_words
from utils.values import is_number, tokens

DENIALS = frozenset("not no never without neither nor".split())
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
    if "|" in given and is_number(wanted):
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
        bare = plain_words(flat(sentence)).strip()
        found = None if bare.endswith("?") else DECLINES.search(_ASIDE.sub("", bare))
        if found:
            answer = re.split(r"\b(?:but|however)\b", sentence, maxsplit=1, flags=re.IGNORECASE)[1:]
            return True, " ".join(before + answer)
        if not COURTESY.match(bare):
            before.append(sentence)
    return False, text


def _opening(text: str) -> str | None:
    """The yes or no that a text begins with."""
    bare = plain_words(flat(text))
    bare = re.sub("^" + COURTESY.pattern + r"[^,.!?]*,", "", bare)
    return "yes" if YES.match(bare) else "no" if NO.match(bare) else None


def _polarity(reply: str) -> str | None:
    """Yes or no: what the reply says first, or whether its first statement denies."""
    for sentence in _sentences(reply):
        opening = _opening(sentence)
        bare = plain_words(flat(sentence)).strip()
        if opening and not (COURTESY.match(bare) and "," not in bare):
            return opening
        if not bare.endswith("?") and not COURTESY.match(bare):
            return "no" if NEGATIVE.search(_ASIDE.sub("", bare)) else "yes"
    return None
