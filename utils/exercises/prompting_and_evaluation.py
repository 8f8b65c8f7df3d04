"""The checks of notebook 03's exercises."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from utils.diagnosis import Fault
from utils.grading import facts

GOLD = (("14 days",),)
WHY = {
    "Within two weeks.":
        "values are compared, not letters: two weeks and 14 days are the same number of seconds.",
    "Not within 14 but within 30 days.":
        "a value that is taken back as it is said does not count.",
    "Dealers have 14 days, customers have 30.":
        "the right value stands there and is not denied. That it is said of somebody else is "
        "what this program cannot see.",
    "Within a fortnight.":
        "no rule knows the word. A right reply is lost, for every system alike.",
}
ONE_PART = "How long do washing and drying take?"
TWO_PARTS = "What does the small bell cost, and where can I buy it?"


def check_verdicts(guesses: Mapping[str, bool | None]) -> None:
    """What the grader says to four replies, right or wrong as it may be."""
    if any(guesses.get(reply) is None for reply in WHY):
        print("Not filled in yet: replace every None with True or False.")
        return
    wrong = [reply for reply in WHY if bool(guesses[reply]) is not facts(reply, GOLD)]
    for reply in wrong:
        print(f"{reply} The grader says {facts(reply, GOLD)}: {WHY[reply]}")
    if not wrong:
        print("Right on all four. It errs on the last two, once in each direction.")


def check_needed(needed: Callable[[float, float], float | None]) -> None:
    """The number of questions that show a difference four times out of five."""
    try:
        found = needed(0.05, 0.15)
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}. It is given two shares, such "
              "as 0.05 and 0.15.")
        return
    if found is None:
        print("Not filled in yet: return the number of questions.")
    elif 455 <= found <= 476:
        print(f"Right: {found:.0f} questions. A difference half as large needs "
              f"{needed(0.025, 0.15) / found:.1f} times as many.")
    elif abs(found - 2.8 ** 2 * 0.15 / 0.05) < 1:
        print("Square the difference: twice as fine needs four times as many questions.")
    elif abs(found - 2.8 * 0.15 / 0.05 ** 2) < 2:
        print("Square the 2.8 as well: it multiplies a standard error, and errors shrink with the "
              "root of n.")
    elif abs(found - 2.8 ** 2 / 0.05 ** 2) < 2:
        print("You left out the share of questions on which the two differ. Where both are right "
              "or both wrong, nothing varies.")
    elif abs(found - 1.96 ** 2 * 0.15 / 0.05 ** 2) < 2:
        print("With 1.96 alone the interval just touches zero on average: half of all exams would "
              "miss the difference. Four out of five need 1.96 + 0.84.")
    else:
        print(f"For a difference of .05 with .15 differing it should be about 470; yours is "
              f"{found:.0f}.")


def check_ceiling(ceiling: float | None, faults: Mapping[Fault, int]) -> None:
    """Facts with a perfect search, if the model read as well as it does now."""
    answerable = sum(n for fault, n in faults.items() if fault != Fault.MADE_UP)
    right, lost = faults.get(Fault.NONE, 0), faults.get(Fault.NOT_RETRIEVED, 0)
    if ceiling is None:
        print("Not filled in yet: put a share between 0 and 1.")
        return
    if lost == answerable:
        print("Here nothing was found at all, so nothing says how well the model reads.")
        return
    expected = right / (answerable - lost)
    if abs(ceiling - expected) < 0.006:
        print(f"Right: {expected:.2f}. More than that no search can give; the rest is the "
              "reader's.")
    elif lost and abs(ceiling - (right + lost) / answerable) < 0.006:
        print("That counts every question whose passage is now found as right. But of those that "
              "were found, the model got some wrong: it would get some of these wrong too.")
    elif abs(ceiling - right / answerable) < 0.006:
        print("That is `facts` as it stands. Which questions would be left, if search never "
              "failed?")
    else:
        print(f"It should be about {expected:.2f}: the right ones as a share of those whose "
              "passage was found.")


def check_parts(parts: Callable[[str], list[str] | None]) -> None:
    """A splitter that leaves single questions whole and carries the subject over."""
    try:
        one, two = parts(ONE_PART), parts(TWO_PARTS)
    except Exception as problem:
        print(f"It stopped with {type(problem).__name__}: {problem}. It is given one question, a "
              "text.")
        return
    if one is None or two is None:
        print("Not filled in yet: return a list of questions.")
    elif not isinstance(two, list) or not all(isinstance(part, str) for part in [*one, *two]):
        print("Return a list of texts, also when there is only one.")
    elif len(one) != 1:
        print(f"'{ONE_PART}' is one question; yours makes {len(one)} of it. Not every 'and' joins "
              "two questions.")
    elif len(two) != 2:
        print(f"'{TWO_PARTS}' asks two things; yours finds {len(two)}.")
    elif "bell" not in two[1].lower():
        print(f"Your second part is '{two[1]}'. Searched alone, what is 'it'? Carry the first part "
              "along.")
    else:
        print("Right. Each part can now be searched alone, and the second knows what 'it' is.")
