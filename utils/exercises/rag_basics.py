"""The checks of notebook 01's exercises."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FAULTS = {
    "the gold sentence is passage 3; the reply quotes passage 1": "generation",
    "the gold sentence has rank 40 and six passages are shown": "retrieval",
    "no passage holds the answer; the reply says so": "retrieval",
    "the gold sentence is passage 2; the reply quotes it as [1]": "generation",
}
WHY = {
    "the gold sentence is passage 3; the reply quotes passage 1":
        "the answer was in front of the model. Better search would not have helped.",
    "the gold sentence has rank 40 and six passages are shown":
        "the model never saw the sentence, and no prompt can quote what was not shown.",
    "no passage holds the answer; the reply says so":
        "the model did what it should with what it had; the customer got no answer all the same, "
        "and the search is where to look.",
    "the gold sentence is passage 2; the reply quotes it as [1]":
        "search delivered it; the number is the model's own mistake.",
}
REFRESH = {
    "a price in one document changes": "update",
    "the instruction in the prompt changes": "nothing",
    "another embedder is chosen": "rebuild",
    "a document is withdrawn": "update",
}
REFRESH_WHY = {
    "a price in one document changes": "only that document's chunks have other words; the other "
                                       "vectors are still right.",
    "the instruction in the prompt changes": "the index holds documents. What the model is told "
                                             "about them is not in it.",
    "another embedder is chosen": "vectors of two embedders have nothing to do with each other, "
                                  "so every chunk must be embedded again.",
    "a document is withdrawn": "its chunks are taken out; no other vector changes. But something "
                               "has to be done, or it goes on being quoted.",
}


def check_cosine(cosine: Callable | None) -> None:
    """The cosine of two vectors of any length."""
    a, b = np.array([3.0, 4.0]), np.array([4.0, 3.0])
    try:
        found = cosine(a, b)
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}. `a` and `b` are NumPy arrays "
              "of one dimension; a @ b is their inner product.")
        return
    if found is None:
        print("Not filled in yet: return the cosine of a and b.")
    elif np.ndim(found):
        print(f"The cosine is one number; yours has shape {np.shape(found)}. Did you multiply "
              "with * where @ (or a sum) is needed?")
    elif not isinstance(found, int | float | np.number):
        print(f"The cosine is a number; yours is a {type(found).__name__}.")
    elif abs(found - 24) < 1e-6:
        print("24 is the inner product. Divide by both lengths: these vectors are not of length 1.")
    elif abs(found - 24 / 5) < 1e-6:
        print("You divided by one length only. The cosine must not change when b is doubled.")
    elif abs(found - np.sqrt(2)) < 1e-6:
        print("That is the distance between the two points. A cosine is 1 for the same direction.")
    elif abs(found - 0.04) < 1e-6:
        print("That is 1 - cosine, which some libraries call the cosine distance.")
    elif abs(found - 0.96) > 1e-6:
        print(f"For (3, 4) and (4, 3) it should be 0.96, and yours is {float(found):.3f}.")
    elif abs(cosine(a, -a) + 1) > 1e-6:
        print("Opposite directions should give -1. Did you take an absolute value?")
    else:
        print("Right. For vectors of length 1 the two divisions do nothing, and the inner product "
              "is the cosine: that is why the index is an IndexFlatIP over normalised vectors.")


def check_fault(verdicts: dict[str, str | None]) -> None:
    """Whose fault each situation is: 'retrieval' or 'generation'."""
    _check(verdicts, FAULTS, WHY, ("retrieval", "generation"),
           "Right. First ask whether the answer was shown; only then look at the reply.")


def check_refresh(needed: dict[str, str | None]) -> None:
    """What each change asks of the index: 'nothing', 'update' or 'rebuild'."""
    _check(needed, REFRESH, REFRESH_WHY, ("nothing", "update", "rebuild"),
           "Right. The index follows the documents; only a new embedder makes it worthless.")


def check_attack(sentence: str | None, speaks_to_model: Callable[[str], object],
                 words: str) -> None:
    """Whether a sentence with the attacker's words slips past the filter."""
    if sentence is None:
        print("Not filled in yet: write one sentence.")
    elif not isinstance(sentence, str) or not sentence.strip():
        print("A sentence is a text in quotation marks.")
    elif words not in sentence:
        print(f"It does not carry the attacker's words: {words}. A reply that quotes it does no "
              "harm.")
    elif speaks_to_model(sentence):
        print("Caught. The filter looks for words that address a model. Whom else could the "
              "sentence address?")
    else:
        print("It slips past. A sentence that speaks to the customer is what the documents are "
              "full of, and no list of words tells a lie from a fact. What helps is to decide who "
              "may write into the index.")


def _check(given: dict, right: dict[str, str], why: dict[str, str], words: tuple[str, ...],
           praise: str) -> None:
    if any(given.get(case) is None for case in right):
        print(f"Not filled in yet: put one of {', '.join(words)} for every None.")
        return
    unknown = [str(v) for v in given.values() if v not in words]
    if unknown:
        print(f"'{unknown[0]}' is not one of {', '.join(words)}.")
        return
    wrong = [case for case in right if given[case] != right[case]]
    for case in wrong:
        print(f"{case}: think again, {why[case]}")
    if not wrong:
        print(praise)
