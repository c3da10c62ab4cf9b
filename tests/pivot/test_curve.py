"""The value curve against planted truth: exact enumeration, calibration, and what a completion is worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teachable.pivot.curve import FIRST_PRIOR, GRID, N_BINS, Chain, information, learn_prior
from teachable.pivot.steps import Floats, cut

PRIOR = FIRST_PRIOR / FIRST_PRIOR.sum()


def chain_of(probabilities: list[float], *, right: bool = True, gap: float = 0.2) -> tuple[Chain, int]:
    steps = cut([math.log(p) for p in probabilities], gap)
    return Chain(steps, right=right, gap=gap, threshold=0.17), len(steps)


def counts(*numbers: float) -> Floats:
    return np.array(numbers, dtype=np.float64)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_one_fork_is_the_textbook_posterior() -> None:
    """One fork before the end: v_0 = stay * 1 + (1 - stay) q, so the posterior of v_0 is that of a binomial q."""
    stay, right, wrong = 0.5, 3.0, 5.0
    chain, _ = chain_of([stay])
    curve = chain.infer(counts(right), counts(wrong), PRIOR, 16, rng())
    values = GRID[stay - 1e-9 <= GRID]
    q = np.clip((values - stay) / (1 - stay), 0.005, 0.995)
    bins = np.array([0, 0.01, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0001])
    sizes = np.abs(np.subtract.outer(GRID, GRID))
    cells = np.histogram(sizes.ravel() + 1e-9, bins)[0] / sizes.size
    weight = (PRIOR / cells)[np.clip(np.searchsorted(bins, 1 - values + 1e-9, side="right") - 1, 0, N_BINS - 1)]
    posterior = weight * q**right * (1 - q) ** wrong
    posterior /= posterior.sum()
    assert curve.mean[0] == pytest.approx(float(posterior @ values), abs=1e-6)
    assert curve.p_big[0] == pytest.approx(float(posterior[1 - values >= 0.17 - 1e-9].sum()), abs=1e-6)


def test_the_end_is_known_and_the_bound_holds() -> None:
    for right in (True, False):
        chain, m = chain_of([0.5, 0.99, 0.97, 0.4, 0.6], right=right)
        curve = chain.infer(np.zeros(m), np.zeros(m), PRIOR, 400, rng())
        assert curve.mean[-1] == (1.0 if right else 0.0) and curve.sd[-1] == pytest.approx(0.0, abs=1e-9)
        assert (curve.drawn_q >= 0.01).all() and (curve.drawn_q <= 0.99).all()


def test_draws_follow_the_marginals() -> None:
    chain, m = chain_of([0.5, 0.4, 0.6, 0.5])
    n = 4_000
    curve = chain.infer(counts(5, 1, 0, 8), counts(1, 6, 3, 2), PRIOR, n, rng())
    share = curve.drawn_big.mean(axis=0)
    assert np.abs(share - curve.p_big).max() < 4 * math.sqrt(0.25 / n), "four standard errors of a share"
    assert m == 4


def test_leaving_counts_point_at_the_fork() -> None:
    """Where those who leave fail and the solution is right, the fork is a big step up; elsewhere nothing is."""
    chain, m = chain_of([0.5] * 6)
    left_right, left_wrong = np.full(m, 18.0), np.full(m, 2.0)
    left_right[:3], left_wrong[:3] = 10.0, 10.0  # as good as staying: v_3 = 0.5 * 0.95 + 0.5 * 0.05
    left_right[3], left_wrong[3] = 1.0, 19.0
    curve = chain.infer(left_right, left_wrong, PRIOR, 64, rng())
    assert curve.p_big[3] > 0.99 and np.delete(curve.p_big, 3).max() < 0.5
    assert curve.mean[4] - curve.mean[3] == pytest.approx(0.5 * (curve.mean[4] - 0.05), abs=0.1)


def test_jumps_that_cancel_are_seen() -> None:
    """Up at fork 2 and down again at fork 4: the values at both ends are equal, and bisection would stop there."""
    chain, m = chain_of([0.5, 0.5, 0.5, 0.5, 0.25, 0.5, 0.5, 0.5], right=True)
    left_right, left_wrong = np.full(m, 60.0), np.full(m, 60.0)
    left_right[2], left_wrong[2] = 8.0, 112.0  # leaving here loses what the solution gains
    left_right[4], left_wrong[4] = 112.0, 8.0  # leaving here keeps what the solution loses
    curve = chain.infer(left_right, left_wrong, PRIOR, 64, rng())
    assert curve.p_big[2] > 0.9 and curve.p_big[4] > 0.9
    assert curve.mean[3] > curve.mean[2] and curve.mean[5] < curve.mean[4]


def test_the_prior_is_learnt() -> None:
    seen = np.zeros(N_BINS)
    seen[2] = 1_000.0
    prior = learn_prior(seen)
    assert prior.sum() == pytest.approx(1.0) and prior[2] > 0.95
    assert learn_prior(np.zeros(N_BINS)) == pytest.approx(PRIOR)


def test_information_is_where_doubt_is() -> None:
    probabilities = [0.5] * 6
    chain, m = chain_of(probabilities)
    steps = cut([math.log(p) for p in probabilities], 0.2)
    left_right, left_wrong = np.full(m, 40.0), np.full(m, 4.0)
    left_right[4], left_wrong[4] = 2.0, 2.0  # nearly unknown
    curve = chain.infer(left_right, left_wrong, PRIOR, 2_000, rng())
    told = information(steps, curve, np.ones(m, dtype=np.bool_))
    assert int(told.argmax()) == 4 and told[5] < told[4]
    assert (told >= -1e-6).all()
    assert information(steps, curve, np.arange(m) == 0)[5] < told[4] / 4, "a sample says little of what lies before it"
