"""Units: what a text names, and how much of the base units that is."""

from __future__ import annotations

from fractions import Fraction

import pytest

from teachable.verify.maths.units import unit_of
from teachable.verify.maths.values import Unit


@pytest.mark.parametrize(
    ("text", "dimensions", "factor"),
    [
        ("cm", {"length": 1}, Fraction(1, 100)),
        ("cm^2", {"length": 2}, Fraction(1, 10_000)),
        ("square centimeters", {"length": 2}, Fraction(1, 10_000)),
        ("km/h", {"length": 1, "time": -1}, Fraction(5, 18)),
        ("miles per hour", {"length": 1, "time": -1}, Fraction(1_609_344, 3_600_000)),
        ("m s^{-1}", {"length": 1, "time": -1}, Fraction(1)),
        ("cents", {"dollar": 1}, Fraction(1, 100)),
        ("red apples", {"apple": 1, "red": 1}, Fraction(1)),
        ("dozen", {}, Fraction(12)),
    ],
)
def test_units(text: str, dimensions: dict[str, int], factor: Fraction) -> None:
    assert unit_of(text) == Unit(tuple(sorted(dimensions.items())), factor)


@pytest.mark.parametrize("text", ["is the answer", "percent of 20", "minus x", "times 3", "more than that", "x" * 200])
def test_other_words_are_no_unit(text: str) -> None:
    assert unit_of(text) is None
