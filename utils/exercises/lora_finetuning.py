"""The checks of notebook 04's exercises."""

from __future__ import annotations

from collections.abc import Callable

import torch

REMEDIES = {
    "a price in the replies is last year's": "retrieve",
    "with rules and examples, one reply in five still has the wrong tone": "tune",
    "nobody ever told the model how to close a reply": "prompt",
    "the model has never heard of your newest product": "retrieve",
}
WHY = {
    "a price in the replies is last year's":
        "that is knowledge, and it will change again. Mend the document and the index.",
    "with rules and examples, one reply in five still has the wrong tone":
        "it was asked for, in the best way you know, and it is not kept; and no schema knows a "
        "tone. That is behaviour, and it is what an adapter is for.",
    "nobody ever told the model how to close a reply":
        "try the cheapest thing first: tell it, and measure. Training comes after prompting.",
    "the model has never heard of your newest product":
        "that is knowledge. Notebook 01 opened the socket for it.",
}
IDS, ANSWER, LENGTH = [5, 6, 7, 11, 12, 4, 4, 4], 3, 6  # 4 ends a turn and is the padding too
LEARNED = [-100, -100, -100, 11, 12, 4, -100, -100]


def check_remedies(remedy: dict[str, str | None]) -> None:
    """What to try first against each complaint: 'retrieve', 'prompt' or 'tune'."""
    if any(remedy.get(complaint) is None for complaint in REMEDIES):
        print("Not filled in yet: put retrieve, prompt or tune for every None.")
        return
    wrong = [c for c, right in REMEDIES.items() if remedy[c] != right]
    for complaint in wrong:
        print(f"{complaint}: think again, {WHY[complaint]}")
    if not wrong:
        print("Right. One of the four is a case for this notebook.")


def check_merge(merge: Callable) -> None:
    """The layer's weight with the adapter folded in."""
    random = torch.Generator().manual_seed(0)
    W, A, B = (torch.randn(*size, generator=random) for size in ((3, 4), (2, 4), (3, 2)))
    try:
        found = merge(W.clone(), A.clone(), B.clone(), 0.5)
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}. W is 3 by 4, A is 2 by 4 and "
              "B is 3 by 2: which product of two of them is 3 by 4?")
        return
    if found is None:
        print("Not filled in yet: return the new weight.")
    elif tuple(getattr(found, "shape", ())) != (3, 4):
        print("The new weight takes the old one's place, so it must be 3 by 4, as W is.")
    elif torch.allclose(found, W + 0.5 * B @ A, atol=1e-6):
        print("Right. After this the layer costs what it cost before, and the adapter can no "
              "longer be taken off.")
    elif torch.allclose(found, W + B @ A, atol=1e-6):
        print("You left out the scale (alpha / rank): the layer would learn one thing and do "
              "another.")
    elif torch.allclose(found, 0.5 * B @ A, atol=1e-6):
        print("That is the change alone. Where is the layer as it was?")
    elif torch.allclose(found, 0.5 * (W + B @ A), atol=1e-6):
        print("The scale belongs to the change only, not to W.")
    else:
        print("Not the same as the layer and its adapter. Compare with `forward` above: "
              "x @ A.T @ B.T is x @ (B @ A).T.")


def check_labels(labels: Callable) -> None:
    """Which tokens of a padded row are learned: the answer and its end, and nothing else."""
    try:
        found = labels(list(IDS), ANSWER, LENGTH)
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}. `ids` is a list of numbers.")
        return
    if found is None:
        print("Not filled in yet: return a list as long as `ids`.")
        return
    found = [int(x) for x in found]
    if len(found) != len(IDS):
        print(f"A label for every token: {len(IDS)} are needed, and these are {len(found)}.")
    elif found == LEARNED:
        print("Right: the answer and the token that ends it are learned, the prompt and the "
              "padding are not.")
    elif found[2:5] == [11, 12, 4]:
        print("Shifted by one. The libraries shift by themselves: a label stands where its token "
              "stands.")
    elif found[5] == -100 and found[3:5] == [11, 12]:
        print("The token that ends the turn is masked. The model would learn to answer and never "
              "to stop. That is what `labels[ids == pad] = -100` does when padding and end are "
              "one token.")
    elif found[6:] != [-100, -100] and found[:6] == LEARNED[:6]:
        print("The padding is learned: the model is taught to say the end again and again.")
    elif found[:3] != [-100] * 3:
        print("The prompt is learned as well. It is the customer's part; the model should not "
              "practise writing it.")
    else:
        print(f"For {IDS}, answer at {ANSWER}, length {LENGTH} it should be {LEARNED}; yours is "
              f"{found}.")


def check_break_even(questions: float | None, trained: int, saved: float) -> None:
    """After how many questions the training has cost less than the words it saves."""
    if questions is None:
        print("Not filled in yet: compute `questions`.")
        return
    right = 2 * trained / saved
    if abs(questions - right) < 0.02 * right:
        print(f"Right: after about {right:,.0f} questions. A support desk has those in days, a "
              "prototype never.")
    elif abs(questions - trained / saved) < 0.02 * right:
        print("A token that is learned costs about as much as two that are read: forward, and "
              "back again.")
    elif questions < 1:
        print("The other way round: what was spent once, divided by what each question saves.")
    else:
        print(f"{trained:,} tokens were learned, each worth two that are read, and each "
              f"question saves {saved:.0f}. It should be about {right:,.0f}.")
