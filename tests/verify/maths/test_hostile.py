"""Bounds before evaluation: what is too large, too long or too deep is "could not tell" at once, and nothing raises."""

from __future__ import annotations

import sys
import time

import pytest

from teachable.verify.maths import equal
from teachable.verify.maths.equality import decide

LIMIT_S = 1.0  # of the processor; many times what it takes

TOO_LARGE = {
    "tower": "9^{9^9}",
    "higher tower": "9^{9^{9^9}}",
    "tower of factorials": "1000!!!!",
    "factorial": "1000000!",
    "power of a power": "10^{10^10}",
    "binomial": r"\binom{1000000000}{500000000}",
    "binomial in letters": "C(10^9, 5*10^8)",
    "digits": "9" * 10_000,
    "digits within the length": "9" * 1_500,
    "characters": "x+" * 5_000 + "x",
    "brackets": "(" * 1_000 + "1" + ")" * 1_000,
    "brackets within the length": "(" * 900 + "1" + ")" * 900,
    "braces": "{" * 900 + "1" + "}" * 900,
    "roots": r"\sqrt{" * 300 + "2" + "}" * 300,
    "fractions": r"\frac{1}{" * 200 + "2" + "}" * 200,
    "exponents": "2^" * 500 + "2",
    "signs": "-" * 1_900 + "5",
    "matrix": r"\begin{pmatrix}" + "1&" * 900 + r"1\end{pmatrix}",
    "list": "1," * 900 + "1",
    "scientific": "1e999999999",
    "products": "*".join(f"(x_{{{i}}}+1)" for i in range(40)),
    "powers of sums of roots": r"(1+\sqrt2+\sqrt3)^{1000}",
    "exponentials": "e^{e^{e^{e^5}}}",
    "functions": "sin(" * 300 + "x" + ")" * 300,
    "bars": "|" * 1_000,
    "texts": r"\text{" * 300 + "a" + "}" * 300,
}


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_too_large_is_undecided_at_once(answer: str) -> None:
    start = time.process_time()
    for reference, attempt in (("5", answer), (answer, "5"), ("x=3", answer), ("x+1", answer)):
        verdict, reason = equal(reference, attempt)  # not even math-verify is asked
        assert verdict is None
        assert reason.startswith("could not tell: ")
    assert time.process_time() - start < LIMIT_S


@pytest.mark.parametrize("answer", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_the_same_text_is_equal_however_large(answer: str) -> None:
    assert decide(answer, f" {answer} ").equal is True
    assert decide(answer, answer.replace("(", r"\left(")).equal is True


def test_numbers_at_the_bounds_are_compared_exactly() -> None:
    assert decide("10^{3000}+1", "10^{3000}+2").equal is False
    assert decide("2^{2023}-1", "-1+2^{2023}").equal is True
    assert decide("9" * 900, "9" * 899 + "8").equal is False


def test_a_deep_stack_of_the_caller_is_no_fault() -> None:
    nested = "(" * 28 + "x+1" + ")" * 28

    def descend(n: int) -> bool | None:
        return descend(n - 1) if n else decide(nested, "1+x").equal

    assert descend(sys.getrecursionlimit() // 2) is True
