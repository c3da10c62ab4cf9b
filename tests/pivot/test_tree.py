"""Where a sample leaves a solution, for which it is fair, and what was taken instead."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.pivot.tree import Sample, alternatives_at, leaves_at

TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)


def test_a_sample_leaves_at_the_first_token_that_differs() -> None:
    solution = (1, 2, 3, 4)
    assert leaves_at(Sample(0, (1, 2, 9, 4), None, True), solution) == 2
    assert leaves_at(Sample(0, (1, 2, 3, 4), None, True), solution) == 4
    assert leaves_at(Sample(0, (1, 2), None, True), solution) == 2, "it ended where the solution went on"
    assert leaves_at(Sample(2, (1, 2, 9), None, True), solution) == 2
    assert leaves_at(Sample(0, (1, 2, 3, 4, 5), None, True), solution) == 4


def test_a_sample_is_fair_only_from_a_prefix_of_the_solution() -> None:
    assert leaves_at(Sample(2, (1, 9, 3, 4), None, True), (1, 2, 3, 4)) is None
    assert leaves_at(Sample(3, (1, 2, 3, 4), None, True), (1, 2)) is None


@given(TOKENS, TOKENS, st.integers(0, 8))
def test_it_never_leaves_before_its_start(drawn: tuple[int, ...], solution: tuple[int, ...], start: int) -> None:
    start = min(start, len(drawn))
    leave = leaves_at(Sample(start, drawn, None, True), solution)
    if leave is None:
        assert drawn[:start] != solution[:start] or start > len(solution)
    else:
        assert start <= leave <= len(solution) and drawn[:leave] == solution[:leave]
        assert leave == len(solution) or leave >= len(drawn) or drawn[leave] != solution[leave]


def test_alternatives_are_counted_where_they_left() -> None:
    solution = (1, 2, 3)
    log = math.log
    samples = [
        Sample(0, (1, 7, 3), (0.0, log(0.3), 0.0), True),
        Sample(1, (1, 7, 4), (log(0.3), 0.0), False),
        Sample(1, (1, 8), (log(0.2),), True),
        Sample(2, (1, 2, 9), (0.0,), True),  # left later
        Sample(0, (1, 7), None, True),  # without log-probabilities
        Sample(0, (1,), (0.0,), True),  # ended: no token
        Sample(0, (1, 6), None, True),  # a token whose probability nobody tells
    ]
    found = alternatives_at(1, solution, samples, str)
    assert [(one.token_id, one.token, one.n_samples, one.successes) for one in found] == [
        (7, "7", 3, 2),
        (8, "8", 1, 1),
    ]
    assert [one.probability for one in found] == pytest.approx([0.3, 0.2])
    assert found[0].p_success == pytest.approx(2 / 3)
    assert Counter(found[0].keys())["token_id"] == 1 and found[0]["token_id"] == 7
