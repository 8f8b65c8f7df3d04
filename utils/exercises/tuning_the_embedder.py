"""The checks of the exercises in `extras/tuning_the_embedder`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

SCALE = 20.0
# Two questions; their right passages are columns 0 and 1, a hard negative each stands behind.
COSINES = np.array([[0.6, 0.1, 0.5, 0.2], [0.3, 0.4, 0.1, 0.45]])
VERDICTS = {
    "test +0.04 [+0.01, +0.07]; on other companies' pages 0.00 [-0.02, +0.02]": "take it",
    "test +0.03 [-0.01, +0.07]": "cannot tell",
    "the questions it was trained on: +0.30 [+0.26, +0.34]": "cannot tell",
    "test, searched as you search, with BM25 and reranker: -0.03 [-0.05, -0.01]": "leave it",
}
WHY = {
    "test +0.04 [+0.01, +0.07]; on other companies' pages 0.00 [-0.02, +0.02]":
        "the interval leaves zero out on questions that nothing was chosen on, and what was gained "
        "here is not clearly lost elsewhere.",
    "test +0.03 [-0.01, +0.07]":
        "zero lies inside. That is no proof that it does not help; it is too few questions.",
    "the questions it was trained on: +0.30 [+0.26, +0.34]":
        "it has seen the answers. The figure shows that the training ran, and nothing else.",
    "test, searched as you search, with BM25 and reranker: -0.03 [-0.05, -0.01]":
        "whatever it gains alone, your users meet the whole search, and there it loses.",
}
WORDS = ("take it", "leave it", "cannot tell")


def check_ranking_loss(loss: Callable | None) -> None:
    """The mean over the questions of -log softmax of the right passage's scaled cosine."""
    try:
        found = loss(COSINES.copy())
    except Exception as problem:  # the learner's own function: anything can go wrong in it
        print(f"It stopped with {type(problem).__name__}: {problem}. `cosines` is an array of 2 "
              "rows and 4 columns; question i's right passage is column i.")
        return
    if found is None:
        print("Not filled in yet: return the loss, one number.")
        return
    if np.ndim(found):
        print(f"The loss is one number; yours has shape {np.shape(found)}. Take the mean over the "
              "questions.")
        return
    if _near(found, _loss(COSINES)):
        print("Right. A passage that is as near as the right one costs most, and that is why the "
              "hard ones are worth mining.")
    elif _near(found, -_loss(COSINES)):
        print("The sign: a loss falls as the right passage's share grows, so it is minus the log.")
    elif _near(found, 2 * _loss(COSINES)):
        print("That is the sum over the questions. With the mean, the loss does not grow with the "
              "batch.")
    elif _near(found, _loss(COSINES, 1.0)):
        print("The scale is missing. Cosines lie between -1 and 1: unscaled, even a perfect "
              "ranking would leave a high loss. Multiply them by 20.")
    elif _near(found, _loss(COSINES[:, :2])):
        print("You compared the right passages only. The last two columns are the hard negatives; "
              "they belong into the sum.")
    elif _near(found, _columns()):
        print("You summed over the questions (axis 0). Each question chooses among the passages: "
              "axis 1.")
    elif _near(found, -_shares().mean()) or _near(found, _shares().mean()):
        print("That is the share itself. Where is the logarithm?")
    elif _near(found, _without_right()):
        print("The right passage is missing from the sum below. It competes, too.")
    else:
        print(f"For {COSINES.tolist()} it should be {_loss(COSINES):.4f}, and yours is "
              f"{float(found):.4f}. For each question: log of the sum of exp(20 · cosine) over all "
              "passages, minus 20 · cosine of the right one.")


def check_verdicts(verdicts: dict[str, str | None]) -> None:
    """What each pairwise difference of nDCG, tuned minus base, allows to decide."""
    if any(verdicts.get(case) is None for case in VERDICTS):
        print(f"Not filled in yet: put one of {', '.join(WORDS)} for every None.")
        return
    unknown = [str(v) for v in verdicts.values() if v not in WORDS]
    if unknown:
        print(f"'{unknown[0]}' is not one of {', '.join(WORDS)}.")
        return
    wrong = [case for case, right in VERDICTS.items() if verdicts[case] != right]
    for case in wrong:
        print(f"{case}: think again, {WHY[case]}")
    if not wrong:
        print("Right. What decides is a difference on questions that nobody trained or chose on, "
              "in the search that your users meet.")


def _near(found: float, wanted: float) -> bool:
    return abs(float(found) - wanted) < 1e-6


def _loss(cosines: np.ndarray, scale: float = SCALE) -> float:
    scores = scale * cosines
    return float((np.log(np.exp(scores).sum(axis=1)) - np.diagonal(scores)).mean())


def _shares() -> np.ndarray:
    scores = np.exp(SCALE * COSINES)
    return np.diagonal(scores) / scores.sum(axis=1)


def _columns() -> float:
    scores = SCALE * COSINES
    return float((np.log(np.exp(scores).sum(axis=0))[:2] - np.diagonal(scores)).mean())


def _without_right() -> float:
    scores = SCALE * COSINES
    rest = np.exp(scores).sum(axis=1) - np.exp(np.diagonal(scores))
    return float((np.log(rest) - np.diagonal(scores)).mean())
