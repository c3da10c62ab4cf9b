"""The dictionary's tables, the weights learnt by expectation-maximisation, and the posteriors they give."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.probe import prior
from teachable.probe.prior import CONCENTRATIONS, MEANS, STRENGTH, Floats, build_tables, fit_weights, posterior_of
from teachable.stats import beta_cdf, zone_masses

LOW, HIGH = 0.1, 0.9
TABLES = build_tables(24, LOW, HIGH)
COMPONENTS = [(mean * c, (1 - mean) * c) for mean in MEANS for c in CONCENTRATIONS]


def log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def weights_of(*shares: float) -> Floats:
    """Weights on the first components of the dictionary, the rest being small."""
    weights = np.full(TABLES.n_components, 1e-4)
    weights[: len(shares)] += shares
    return weights / weights.sum()


@given(st.integers(0, 24), st.integers(0, 24), st.integers(0, len(COMPONENTS) - 1))
@settings(deadline=None)
def test_the_recurrence_agrees_with_the_incomplete_beta_function(n: int, wrong: int, k: int) -> None:
    wrong = min(wrong, n)
    s = n - wrong
    a, b = COMPONENTS[k]
    likelihood = TABLES.likelihood[n, s, k]
    assert likelihood == pytest.approx(math.exp(log_beta(a + s, b + wrong) - log_beta(a, b)), rel=1e-9)
    below, between, above, mean, second = TABLES.weighted[n, s, :, k] / likelihood
    assert below == pytest.approx(float(beta_cdf(LOW, a + s, b + wrong)), abs=1e-10)
    assert above == pytest.approx(1 - float(beta_cdf(HIGH, a + s, b + wrong)), abs=1e-10)
    assert below + between + above == pytest.approx(1.0, abs=1e-12)
    total = a + b + n
    assert mean == pytest.approx((a + s) / total)
    assert second == pytest.approx((a + s) * (a + s + 1) / (total * (total + 1)))


def test_the_recurrence_holds_for_the_most_attempts_and_other_thresholds() -> None:
    tables = build_tables(256, 0.02, 0.6)
    for k in (0, 1, 22, 44):
        a, b = COMPONENTS[k]
        for n, s in ((256, 0), (256, 256), (256, 5), (256, 140), (200, 120)):
            masses = tables.weighted[n, s, :3, k] / tables.likelihood[n, s, k]
            assert masses == pytest.approx(zone_masses(a + s, b + n - s, 0.02, 0.6), abs=1e-9)
    assert (tables.likelihood > 0).all()


@given(st.lists(st.floats(0, 1), min_size=45, max_size=45).filter(lambda shares: sum(shares) > 0.01))
@settings(deadline=None, max_examples=30)
def test_every_posterior_is_a_distribution(shares: list[float]) -> None:
    posterior = posterior_of(TABLES, np.array(shares) / sum(shares))
    n, s = np.tril_indices(TABLES.max_n + 1)
    masses = posterior.masses[n, s]
    assert masses.min() >= 0 and masses.sum(-1) == pytest.approx(np.ones(len(n)))
    mean, variance = posterior.mean[n, s], posterior.variance[n, s]
    assert (mean > 0).all() and (mean < 1).all() and (variance <= mean * (1 - mean) + 1e-12).all()
    # Another right answer never makes a prompt look harder, another wrong one never easier.
    for n_before in range(TABLES.max_n):
        before = posterior.mean[n_before, : n_before + 1]
        assert (posterior.mean[n_before + 1, 1 : n_before + 2] >= before - 1e-12).all()
        assert (posterior.mean[n_before + 1, : n_before + 1] <= before + 1e-12).all()


def test_a_single_beta_has_its_own_posterior() -> None:
    tables = build_tables(12, LOW, HIGH, [(0.5, 0.5)])
    posterior = posterior_of(tables, np.ones(1))
    assert posterior.masses[8, 0] == pytest.approx(zone_masses(0.5, 8.5, LOW, HIGH))
    assert posterior.mean[8, 3] == pytest.approx(3.5 / 9)
    assert posterior.variance[8, 3] == pytest.approx(3.5 * 5.5 / (9**2 * 10))
    assert posterior.p_right[8, 3] == posterior.mean[8, 3]


def objective(weights: Floats, n: np.ndarray, s: np.ndarray, towards: Floats) -> float:
    """The log-likelihood of the counts and the log of the prior on the weights, up to a constant."""
    evidence = TABLES.likelihood[n, s] @ weights
    return float(np.log(evidence).sum() + STRENGTH * (towards * np.log(weights)).sum())


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(deadline=None, max_examples=25)
def test_each_step_of_the_fit_raises_its_objective(seed: int, n_prompts: int) -> None:
    draw = np.random.default_rng(seed)
    n = draw.integers(1, 25, n_prompts)
    s = draw.binomial(n, draw.beta(0.4, 0.6, n_prompts))
    towards = draw.dirichlet(np.ones(TABLES.n_components))
    weights = draw.dirichlet(np.ones(TABLES.n_components))
    steps, tolerance = prior.MAX_STEPS, prior.TOLERANCE
    prior.MAX_STEPS, prior.TOLERANCE = 1, 0.0
    try:
        values = [objective(weights, n, s, towards)]
        for _ in range(6):
            weights = fit_weights(TABLES, n, s, towards, weights)
            assert weights.sum() == pytest.approx(1.0)
            values.append(objective(weights, n, s, towards))
    finally:
        prior.MAX_STEPS, prior.TOLERANCE = steps, tolerance
    assert all(after >= before - 1e-9 for before, after in itertools.pairwise(values))
    assert values[-1] > values[0]


def test_the_fit_finds_planted_shares_from_uneven_counts() -> None:
    draw = np.random.default_rng(4)
    rates = np.concatenate([draw.beta(0.4, 25, 1800), draw.beta(1.5, 1.5, 1200), draw.beta(25, 0.4, 1000)])
    n = draw.integers(4, 25, len(rates))
    s = draw.binomial(n, rates)
    even = np.full(TABLES.n_components, 1 / TABLES.n_components)
    found = posterior_of(TABLES, fit_weights(TABLES, n, s, even))
    planted = [np.mean(rates < LOW), np.mean((rates >= LOW) & (rates <= HIGH)), np.mean(rates > HIGH)]
    # 4,000 prompts fix a share to about 0.008, and their counts don't tell all.
    assert found.masses[0, 0] == pytest.approx(planted, abs=0.025)
    assert found.mean[0, 0] == pytest.approx(rates.mean(), abs=0.01)


def test_few_prompts_borrow_and_many_speak_for_themselves() -> None:
    towards = weights_of(0.0, 0.0, 1.0)  # mean pass rate 0.004
    before = posterior_of(TABLES, towards).mean[0, 0]
    moved = []
    for n_prompts in (1, 10, 1000):
        n = np.full(n_prompts, 20)
        weights = fit_weights(TABLES, n, n // 2, towards)
        moved.append(posterior_of(TABLES, weights).mean[0, 0])
    assert before < 0.02 < moved[0] < moved[1] < moved[2]
    assert moved[0] < 0.1 and moved[2] == pytest.approx(0.5, abs=0.05)


def test_prompts_without_attempts_say_nothing() -> None:
    towards = weights_of(0.5, 0.5)
    none = np.zeros(7, dtype=np.int64)
    assert fit_weights(TABLES, none, none, towards) is towards
    n, s = np.array([0, 5, 0, 5]), np.array([0, 1, 0, 2])
    assert fit_weights(TABLES, n, s, towards) == pytest.approx(fit_weights(TABLES, n[1::2], s[1::2], towards))
