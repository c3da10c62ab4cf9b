"""Cutting a solution into forks and near-certain runs, and the bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.pivot.steps import cut

LOGPROBS = st.lists(st.floats(-4.0, 0.0), min_size=1, max_size=60)
GAPS = st.floats(0.05, 0.6)


@given(LOGPROBS, GAPS)
def test_steps_cover_the_solution_once(logprobs: list[float], gap: float) -> None:
    steps = cut(logprobs, gap)
    assert steps.begin[0] == 0 and steps.end[-1] == len(logprobs)
    assert np.array_equal(steps.end[:-1], steps.begin[1:]) and (steps.end > steps.begin).all()
    for place in range(len(logprobs)):
        step = steps.step_of[place]
        assert steps.begin[step] <= place < steps.end[step]
    assert steps.step_of[len(logprobs)] == len(steps)
    assert np.prod(steps.stay) == pytest.approx(math.exp(sum(logprobs)), rel=1e-9)


@given(LOGPROBS, GAPS)
def test_only_tokens_that_the_bound_leaves_may_pivot(logprobs: list[float], gap: float) -> None:
    steps = cut(logprobs, gap)
    left = {place for place, logprob in enumerate(logprobs) if 1 - math.exp(logprob) >= gap}
    assert {int(place) for place in steps.begin[steps.may_pivot]} >= {
        place for place in left if 1 - math.exp(logprobs[place]) > gap + 1e-9
    }
    assert {int(place) for place in steps.begin[steps.may_pivot]} <= left | {
        place for place in range(len(logprobs)) if abs(1 - math.exp(logprobs[place]) - gap) < 1e-8
    }
    runs = ~steps.is_fork
    assert (1 - steps.stay[runs] <= gap / 2 + 1e-9).all(), "a run that moves the value by more than half the gap"


@given(LOGPROBS, GAPS)
def test_a_completion_leaves_somewhere_or_follows_to_the_end(logprobs: list[float], gap: float) -> None:
    leave = cut(logprobs, gap).leave
    assert np.allclose(leave.sum(axis=1), 1.0)
    assert (np.tril(leave, -1) == 0).all(), "nobody leaves before the place that he started from"
