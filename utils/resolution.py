"""How much an exam can decide: what 20 questions show, and how many a small difference needs.

Works on two systems' grades of the same questions, ones and zeros in one order. What a difference
is on one exam is the business of `exam.compare`; here many exams are drawn to see how far such a
verdict can be trusted.
"""

from __future__ import annotations

import numpy as np

from utils.documents import CourseError
from utils.exam import Interval, Sitting

Z = 1.96  # standard errors on either side of a 95 % interval


def side_by_side(a: Sitting, b: Sitting, metric: str = "facts") -> tuple[np.ndarray, np.ndarray]:
    """Both systems' grades on the questions that both were graded on, in one order."""
    mine, other = ({r["id"]: r["grades"][metric] for r in s.rows
                    if r["grades"].get(metric) is not None} for s in (a, b))
    shared = [i for i in mine if i in other]
    if not shared:
        raise CourseError(f"{a.system} and {b.system} share no question graded on '{metric}'. "
                          "Let both sit the same exam.")
    return np.array([mine[i] for i in shared]), np.array([other[i] for i in shared])


def unpaired(a: np.ndarray, b: np.ndarray, seed: int = 0, rounds: int = 2000) -> Interval:
    """The difference of two means with its interval, as if each had sat an exam of its own."""
    rng = np.random.default_rng(seed)
    first, second = (rng.choice(x, (rounds, len(x))).mean(axis=1) for x in (a, b))
    low, high = np.percentile(first - second, [2.5, 97.5])
    return Interval(float(a.mean() - b.mean()), float(low), float(high), len(a))


def lottery(a: np.ndarray, b: np.ndarray, size: int = 20, seed: int = 0,
            exams: int = 1000) -> dict[str, int]:
    """How the system that is worse over all comes out of many small exams drawn from the same."""
    if size > len(a):
        raise CourseError(f"There are {len(a)} questions and exams of {size} are wanted. Draw "
                          "fewer.")
    rng = np.random.default_rng(seed)
    gaps = (a - b) * (1 if a.mean() >= b.mean() else -1)  # better minus worse
    drawn = np.array([gaps[rng.choice(len(gaps), size, replace=False)].sum()
                      for _ in range(exams)])
    return {"ahead": int((drawn < 0).sum()), "level": int((drawn == 0).sum()),
            "behind": int((drawn > 0).sum())}


def shown_paired(n: int, difference: float, differing: float, seed: int = 0,
                 exams: int = 4000) -> float:
    """The share of exams of n questions whose paired interval leaves zero out, on the right side.

    `differing` is the share of questions on which one system is right and the other wrong.
    """
    if not 0 <= difference <= differing <= 1:
        raise CourseError(f"A difference of {difference} cannot come from {differing} differing "
                          "questions. The second is at least as large as the first.")
    odds = [(differing + difference) / 2, (differing - difference) / 2, 1 - differing]
    better, worse, _ = np.random.default_rng(seed).multinomial(n, odds, exams).T
    gap = (better - worse) / n
    error = np.sqrt(((better + worse) / n - gap ** 2) / n)
    return float((gap > Z * error).mean())


def shown_apart(n: int, difference: float, share: float = 0.8, seed: int = 0,
                exams: int = 4000) -> float:
    """The same for two separate exams of n questions each; `share` is what the worse gets right."""
    rng = np.random.default_rng(seed)
    p, q = (rng.binomial(n, odds, exams) / n for odds in (share + difference, share))
    return float((p - q > Z * np.sqrt((p * (1 - p) + q * (1 - q)) / n)).mean())
