"""The posterior of a bounded mean against Jeffreys' interval, drawn Dirichlet weights, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.stats import beta_cdf
from teachable.stats.posterior import posterior_interval


@pytest.mark.parametrize(("right", "n"), [(1, 50), (5, 50), (25, 50), (1, 1000), (2, 3), (48, 50)])
def test_of_right_and_wrong_it_is_jeffreys_interval(right: int, n: int) -> None:
    """Beta(right + 1/2, wrong + 1/2): the probability below each end, to the saddlepoint's accuracy."""
    low, high = posterior_interval(np.repeat([1.0, 0.0], [right, n - right]))
    a, b = right + 0.5, n - right + 0.5
    assert float(beta_cdf(low, a, b)) == pytest.approx(0.025, rel=0.02)
    assert 1.0 - float(beta_cdf(high, a, b)) == pytest.approx(0.025, rel=0.05)


@pytest.mark.parametrize("n", [5, 50])
def test_its_ends_are_those_of_drawn_weights(n: int) -> None:
    generator = np.random.default_rng(4)
    scores = generator.binomial(16, generator.beta(0.2, 3.0, n)) / 16
    gammas = generator.gamma(np.r_[np.ones(n), 0.5, 0.5], size=(200_000, n + 2))
    means = gammas @ np.r_[scores, 0.0, 1.0] / gammas.sum(axis=1)
    for confidence in (0.5, 0.95):
        tail = 0.5 - confidence / 2
        low, high = posterior_interval(scores, confidence)
        if low < scores.mean():
            assert (means < low).mean() == pytest.approx(tail, rel=0.06, abs=0.002)
        if high > scores.mean():
            assert (means > high).mean() == pytest.approx(tail, rel=0.06, abs=0.002)


scores_lists = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(scores_lists)
@settings(deadline=None)
def test_it_holds_the_mean_within_the_bounds_and_grows_with_confidence(scores: list[float]) -> None:
    values = np.array(scores)
    inner, outer = posterior_interval(values, 0.5), posterior_interval(values, 0.99)
    assert 0 <= outer[0] <= inner[0] + 1e-9 <= values.mean() + 2e-9
    assert values.mean() - 1e-9 <= inner[1] <= outer[1] + 1e-9 <= 1 + 1e-9


@given(scores_lists)
@settings(deadline=None)
def test_right_and_wrong_may_be_swapped(scores: list[float]) -> None:
    values = np.array(scores)
    low, high = posterior_interval(values)
    assert posterior_interval(1 - values) == pytest.approx((1 - high, 1 - low), abs=1e-6)


@given(scores_lists, st.data())
@settings(deadline=None)
def test_a_better_score_never_lowers_it(scores: list[float], data: st.DataObject) -> None:
    values = np.array(scores)
    better = values.copy()
    i = data.draw(st.integers(0, len(scores) - 1))
    better[i] = data.draw(st.floats(float(values[i]), 1))
    (low, high), (low_better, high_better) = posterior_interval(values), posterior_interval(better)
    assert low_better >= low - 1e-3 and high_better >= high - 1e-3  # the saddlepoint is good to about three digits
