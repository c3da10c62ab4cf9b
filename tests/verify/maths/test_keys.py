"""Keys: the same for equal answers where they can be, exact only where different ones are certainly unequal."""

from __future__ import annotations

import pytest

from teachable.verify.maths import key

SAME = [
    ("1/2", "0.5"),
    (r"\frac{2}{4}", "½"),
    ("1,000", "1000"),
    (r"2\sqrt{2}", r"\sqrt{8}"),
    ("{1,2}", r"\{2, 1, 1\}"),
    ("(1, 2)", r"\left(1,2\right)"),
    ("[1,2,3]", "(1,2,3)"),
    ("x^2-1", "(x+1)(x-1)"),
    ("Yes.", "yes"),
    (r"(2,\infty)", "(2, ∞)"),
    ("5 cm", r"5\text{ cm}"),
    ("50%", r"50\%"),
    ("x=5", "x = 5.0"),
    (r"\varnothing", "{}"),
    ("six", "6"),
]
EXACT = [
    "1/2",
    "-3",
    "0.25",
    r"\sqrt2",
    r"2\pi",
    "1+2i",
    "{1,2}",
    "(1,2)",
    "[1,2)",
    r"(-\infty,0)\cup(1,\infty)",
    r"\emptyset",
]
LOOSE = ["0.333333", "50%", "5 cm", "$5", "x=5", "1, 2", "yes", "x+1", "0.123456", "x>2 or y>3", "5m", "3:30", "2x+y=3"]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_equal_answers_share_a_key(a: str, b: str) -> None:
    assert key(a) is not None
    assert key(a) == key(b)


@pytest.mark.parametrize("answer", EXACT)
def test_plain_values_have_exact_keys(answer: str) -> None:
    assert (key(answer) or "").startswith("=")


@pytest.mark.parametrize("answer", LOOSE)
def test_what_equals_another_form_has_no_exact_key(answer: str) -> None:
    assert not (key(answer) or "").startswith("=")


def test_exact_keys_of_different_values_differ() -> None:
    assert len({key(answer) for answer in EXACT}) == len(EXACT)


@pytest.mark.parametrize("answer", ["9^{9^9}", "9" * 5000, "(" * 2000, r"\frac{", ""])
def test_what_is_not_read_has_no_key(answer: str) -> None:
    assert key(answer) is None
