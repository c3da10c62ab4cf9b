"""Answers taken apart; how hedges are found in whole responses is in test_extract.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.verify.hedges import alternatives, offers_several, open_range, taken_back


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ("5", ("5",)),
        ("5 or 6", ("5", "6")),
        ("5, 6 or maybe 7", ("5", "6", "7")),
        ("5, 6, or 7", ("5", "6", "7")),
        ("it could be 5 or 6", ("5", "6")),
        ("either x = 1 or x = 2", ("x = 1", "x = 2")),
        (r"x=1 \text{ or } x=2", ("x=1", "x=2")),
        ("5 (or 6)", ("5", "6")),
        ("(1, 2) or (3, 4)", ("(1, 2)", "(3, 4)")),
        ("1,000 or 2,000", ("1,000", "2,000")),
        ("1/2, or equivalently 0.5", ("1/2", "0.5")),
        ("1, 2", ("1, 2",)),  # a list is one answer
        ("5 or", ("5", "")),
        ("", ("",)),
    ],
)
def test_a_hedge_is_taken_apart(answer: str, parts: tuple[str, ...]) -> None:
    assert alternatives(answer) == parts


@given(st.lists(st.integers(-99, 99).map(str), min_size=2, max_size=6, unique=True))
@settings(deadline=None)
def test_a_list_of_numbers_comes_back(numbers: list[str]) -> None:
    answer = ", ".join(numbers[:-1]) + f" or {numbers[-1]}"
    assert alternatives(answer) == tuple(numbers)
    assert offers_several(answer, prose=False) and offers_several(answer, prose=True)


@pytest.mark.parametrize(
    ("rest", "other"),
    [
        ("", None),
        (" That is all.", None),
        (" It could also be 7.", "7"),
        (" or maybe x = 7 then we would be lost.", None),
        (" or maybe x = 7.", "x = 7"),
        (" It may be -7 as well.", "-7"),
        (" or", ""),
    ],
)
def test_an_answer_that_is_taken_back(rest: str, other: str | None) -> None:
    assert taken_back("5", rest) == other


@given(st.text())
@settings(deadline=None)
def test_any_text_is_read(text: str) -> None:
    assert isinstance(open_range(text), str)
    assert len(alternatives(text)) >= 1
    assert taken_back(text, text) is None or isinstance(taken_back(text, text), str)
