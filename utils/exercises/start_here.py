"""The checks of notebook 00's exercises."""

from __future__ import annotations

from utils.exam import Interval

WHY = {
    "lookup": "the fact stands only in the company's documents, and the model never read them.",
    "keyword": "a part number was made up for this company; knowing other part numbers is no help.",
    "table": "a cell of a price list cannot be guessed from other price lists.",
    "unanswerable": "the right reply is to say that it is not known, and that needs no document.",
}


def check_who_could(could: dict[str, bool | None]) -> None:
    """Which kinds of question an assistant without documents can get right."""
    if any(value is None for value in could.values()):
        print("Not filled in yet: replace every None with True or False.")
        return
    right = {kind: kind == "unanswerable" for kind in WHY}
    wrong = [kind for kind in WHY if could.get(kind) is not right[kind]]
    for kind in wrong:
        print(f"{kind}: think again, {WHY[kind]}")
    if not wrong:
        print("Right. Three need knowledge; the fourth needs a habit.")


def check_interval(first: Interval | None, second_is_better: str | None) -> None:
    """The interval of 14 right out of 20, and whether 17 of 20 is better."""
    if first is None or second_is_better is None:
        print("Not filled in yet: compute `first`, then decide.")
        return
    if not isinstance(first, Interval):
        print("`first` should be what interval(...) returns, with its low and high ends.")
    elif first.n != 20:
        print(f"The exam had 20 questions; yours has {first.n}. Ones and zeros, one a question.")
    elif abs(first.value - 0.7) > 1e-9:
        print(f"14 of 20 are 0.70; your list has a mean of {first.value:.2f}.")
    elif second_is_better == "yes":
        print(f"17 of 20 is 0.85, and the first one's interval reaches up to {first.high:.2f}: on "
              "20 questions the difference may be luck.")
    elif second_is_better == "no":
        print("It may well be better. What 20 questions cannot do is show it.")
    elif second_is_better == "cannot tell":
        print(f"Right: {first}. Twenty questions decide nothing; this exam has more.")
    else:
        print('Answer "yes", "no" or "cannot tell".')
