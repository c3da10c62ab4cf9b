"""The last expression of a line of prose, and what is prose at all."""

from __future__ import annotations

import time

import pytest

from teachable.verify.maths.phrases import candidates, is_prose, without_aside


@pytest.mark.parametrize(
    ("line", "first"),
    [
        ("So we get x = 42.", "x = 42."),
        ("The roots are $x=1$ and $x=2$.", "$x=1$ and $x=2$"),
        ("The area is $25\\pi$ square units.", "25\\pi square units"),
        ("It is **7**.", "7"),
        ("Therefore, twelve.", "twelve."),
    ],
)
def test_the_likeliest_comes_first(line: str, first: str) -> None:
    assert candidates(line)[0] == first


@pytest.mark.parametrize("line", ["It is not 5", "The answer isn't 5", "anything other than 5"])
def test_what_is_denied_is_no_candidate(line: str) -> None:
    assert "5" not in candidates(line)


def test_a_number_within_brackets_is_not_taken_out() -> None:
    assert "7" not in candidates("we have the set {5,6,7}")
    assert "{5,6,7}" in candidates("we have the set {5,6,7}")


@pytest.mark.parametrize("answer", ["5 cm", "x = 5", "5 or 6", "10 - x", r"\frac12", "(1, 2)", "i=5", "so=3"])
def test_a_bare_answer_is_no_prose(answer: str) -> None:
    assert not is_prose(answer)


@pytest.mark.parametrize("line", ["the answer 5", "we get 5", "It is 5"])
def test_prose(line: str) -> None:
    assert is_prose(line)


def test_an_aside_is_dropped() -> None:
    assert without_aside("12 (twelve).") == "12"
    assert without_aside("f(2)") == "f(2)"


@pytest.mark.parametrize("piece", ["is ", "$", "(", "**", "= ", "1 ", "not ", "\\(", "5, "])
def test_hostile_lines_take_milliseconds(piece: str) -> None:
    start = time.process_time()
    candidates(piece * 20_000)
    is_prose(piece * 20_000)
    assert time.process_time() - start < 0.5
