"""Exact arithmetic: one name for one value, work that is counted, functions that agree at points."""

from __future__ import annotations

import pytest

from teachable.verify.maths import numeric
from teachable.verify.maths.algebra import Arithmetic, Ratio
from teachable.verify.maths.limits import TooLarge, Unread
from teachable.verify.maths.parser import Parser
from teachable.verify.maths.tokens import tokens_of


def parsed(text: str) -> Ratio:
    return Parser(tokens_of(text), Arithmetic()).parse()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (r"\sqrt{8}", "2*#2^1/2"),
        (r"\frac{1}{\sqrt{2}}", "1/2*#2^1/2"),
        (r"\sqrt{2}\sqrt{3}", "1*#2^1/2*#3^1/2"),
        ("(x+1)^2", "1+2*x+1*x^2"),
        ("i^{7}", "-1*#i"),
        (r"\sqrt[3]{-8}", "-2"),
        ("1/2x", "1/2*x"),
        (r"1\frac12", "3/2"),
        (r"\cos\frac{\pi}{6}", "1/2*#3^1/2"),
    ],
)
def test_one_value_has_one_name(text: str, name: str) -> None:
    assert parsed(text).name == name


@pytest.mark.parametrize("text", ["9^{9^9}", "2^{100000}", "2000!", "(1+x)^{60}(1+y)^{60}(1+z)^{60}"])
def test_work_and_sizes_are_bounded(text: str) -> None:
    with pytest.raises(TooLarge):
        parsed(text)


@pytest.mark.parametrize("text", ["1/0", "0^{-1}", "1 2", "x+", "(x", r"\ln 0", "(-2)!"])
def test_what_has_no_value_is_unread(text: str) -> None:
    with pytest.raises(Unread):
        parsed(text)


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (r"\sin^2 x", r"1-\cos^2 x", True),
        (r"\sin x", r"\cos x", False),
        (r"\sqrt{x^2}", "|x|", True),
        (r"\sqrt{x^2}", "x", False),
        (r"\ln(x^2)", r"2\ln x", True),
        (r"\sqrt{5+2\sqrt6}", r"\sqrt2+\sqrt3", True),
        # Closer than doubles can tell: a question for more digits.
        (r"\sqrt{5+2\sqrt6}", "3.1462643699419723", None),
        (r"e^{\pi\sqrt{163}}", "262537412640768744", None),
        (r"\sqrt{289+10^{-60}}", "17", None),
        (r"\sin(10^{-11})+x", "x", None),
    ],
)
def test_functions_are_compared_at_points(a: str, b: str, wanted: bool | None) -> None:
    found = numeric.equal_everywhere(parsed(a), parsed(b), Arithmetic())
    assert found is wanted


def test_evaluation_too_is_counted() -> None:
    with pytest.raises(TooLarge):
        numeric.equal_everywhere(parsed(r"\sin^2 x+\cos^2 x"), parsed("1"), Arithmetic(work=20))
