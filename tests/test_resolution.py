"""What small exams can show: known cases, and the simulation against the formula."""

import numpy as np
import pytest

from utils.documents import CourseError
from utils.exam import Sitting, compare
from utils.resolution import lottery, shown_apart, shown_paired, side_by_side, unpaired


def sitting(name: str, grades: dict[str, float | None]) -> Sitting:
    return Sitting(name, [{"id": i, "grades": {"facts": g}} for i, g in grades.items()])


def test_side_by_side_keeps_the_order_and_the_shared_questions():
    a = sitting("a", {"x": 1.0, "y": 0.0, "z": None})
    b = sitting("b", {"y": 1.0, "x": 0.0, "z": 1.0, "w": 1.0})
    left, right = side_by_side(a, b)
    assert left.tolist() == [1, 0] and right.tolist() == [0, 1]
    with pytest.raises(CourseError, match="same exam"):
        side_by_side(a, sitting("c", {"q": 1.0}))


def test_pairing_narrows_what_two_systems_share():
    rng = np.random.default_rng(3)
    a = (rng.random(200) < 0.7).astype(float)
    b = np.where(rng.random(200) < 0.9, a, 1 - a)
    ids = [str(n) for n in range(200)]
    paired = compare(sitting("a", dict(zip(ids, a, strict=True))),
                     sitting("b", dict(zip(ids, b, strict=True))))
    apart = unpaired(a, b)
    assert apart.value == pytest.approx(paired.value)
    assert paired.high - paired.low < 0.7 * (apart.high - apart.low)


def test_the_lottery_of_small_exams():
    a, b = np.ones(50), np.zeros(50)
    assert lottery(a, b) == lottery(b, a) == {"ahead": 0, "level": 0, "behind": 1000}
    assert lottery(a, a)["level"] == 1000
    close = np.array([1.0] * 6 + [0.0] * 5 + [1.0] * 89), np.array([0.0] * 6 + [1.0] * 94)
    counts = lottery(*close)
    assert sum(counts.values()) == 1000 and counts["ahead"] > 250
    with pytest.raises(CourseError, match="Draw fewer"):
        lottery(a, b, size=51)


def test_four_exams_in_five_at_the_size_that_the_formula_says():
    difference, differing = 0.05, 0.15
    n = round(2.8 ** 2 * differing / difference ** 2)
    assert shown_paired(n, difference, differing) == pytest.approx(0.8, abs=0.04)
    assert shown_paired(20, difference, differing) < 0.15
    assert shown_apart(n, difference) < 0.6 < shown_apart(4 * n, difference)


def test_a_difference_larger_than_what_differs_is_refused():
    with pytest.raises(CourseError, match="cannot come from"):
        shown_paired(100, 0.2, 0.1)
