"""The policy against brute force, and what must hold of any policy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.probe import policy as policies
from teachable.probe.policy import PRICES, expected_samples, policy_of, prices_with, worth_of
from teachable.probe.prior import Posterior, build_tables, posterior_of
from teachable.stats import zone_masses

LOW, HIGH, DELTA = 0.1, 0.9, 0.1
BETAS = ((0.3, 3.0), (1.0, 1.0), (3.0, 0.3))
TINY, SMALL = (build_tables(n, LOW, HIGH, BETAS) for n in (3, 20))
shares = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1))
prices = st.floats(1e-4, 0.2)


def mixed(weights: tuple[float, float, float], n: int = 20) -> Posterior:
    return posterior_of(TINY if n == 3 else SMALL, np.array(weights) / sum(weights))


def states(n: int) -> list[tuple[int, int]]:
    return [(tried, right) for tried in range(n) for right in range(tried + 1)]


def value_of(goes_on: Mapping[tuple[int, int], bool], weights: tuple[float, float, float], price: float) -> float:
    """P(the right zone is named) less what was paid, of a rule, by going through all sequences of three attempts."""
    value = 0.0
    for sequence in itertools.product((0, 1), repeat=3):
        n = s = 0
        while n < 3 and goes_on[n, s]:
            s += sequence[n]
            n += 1
        # The sequence's first n attempts are seen; what would have followed is summed out.
        evidence = [
            w / sum(weights) * math.exp(_log_beta(a + s, b + n - s) - _log_beta(a, b))
            for w, (a, b) in zip(weights, BETAS, strict=True)
        ]
        masses = sum(e * zone_masses(a + s, b + n - s, LOW, HIGH) for e, (a, b) in zip(evidence, BETAS, strict=True))
        value += (float(np.max(masses)) - price * n * sum(evidence)) / 2 ** (3 - n)
    return value


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@given(shares, prices)
@settings(deadline=None, max_examples=40)
def test_no_rule_of_three_attempts_beats_the_policy(weights: tuple[float, float, float], price: float) -> None:
    found = policy_of(mixed(weights, 3), price, DELTA)
    mine = {state: bool(found.index[state] > 0) for state in states(3)}
    rules = [dict(zip(states(3)[1:], choice, strict=True)) for choice in itertools.product((False, True), repeat=5)]
    best = max(value_of({**rule, (0, 0): True}, weights, price) for rule in rules)
    assert value_of(mine, weights, price) == pytest.approx(best, abs=1e-10)


@given(shares, prices, prices)
@settings(deadline=None, max_examples=40)
def test_a_higher_price_never_goes_on_where_a_lower_one_stops(
    weights: tuple[float, float, float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    posterior = mixed(weights)
    cheap, dear = (policy_of(posterior, price, DELTA).index > 0 for price in (low, high))
    assert not (dear & ~cheap).any()


@given(shares, st.one_of(st.just(0.0), prices))
@settings(deadline=None, max_examples=40)
def test_nobody_is_judged_unseen_or_asked_beyond_the_last_attempt(
    weights: tuple[float, float, float], price: float
) -> None:
    found = policy_of(mixed(weights), price, DELTA)
    n, s = np.tril_indices(21)
    ask, goes_on = found.ask[n, s], found.index[n, s] > 0
    assert ((ask > 0) == goes_on).all()
    assert (n + ask <= 20).all()
    assert found.ask[0, 0] >= 1


@given(shares, st.sampled_from([0.05, 0.1, 0.3]))
@settings(deadline=None, max_examples=40)
def test_without_a_price_the_mass_of_one_zone_decides(weights: tuple[float, float, float], delta: float) -> None:
    posterior = mixed(weights)
    goes_on = policy_of(posterior, 0.0, delta).index > 0
    for n, s in states(20)[1:]:
        assert goes_on[n, s] == (posterior.masses[n, s].max() < 1 - delta)


@given(shares, prices)
@settings(deadline=None, max_examples=40)
def test_what_is_asked_at_once_could_not_have_been_regretted(weights: tuple[float, float, float], price: float) -> None:
    growth = policies.GROWTH
    policies.GROWTH = 0.0
    try:
        found = policy_of(mixed(weights), price, DELTA)
    finally:
        policies.GROWTH = growth
    for n, s in states(20):
        for more in range(found.ask[n, s]):
            assert (found.index[n + more, s : s + more + 1] > 0).all()
    grown = policy_of(mixed(weights), price, DELTA).ask
    asked = found.ask > 0
    tried = np.broadcast_to(np.arange(21)[:, None], grown.shape)
    least = np.minimum(np.maximum(found.ask, np.ceil(growth * tried)), 20 - tried)
    assert (grown[asked] == least[asked]).all()


@given(shares, prices)
@settings(deadline=None, max_examples=20)
def test_expected_samples_are_those_of_the_policy(weights: tuple[float, float, float], price: float) -> None:
    posterior = mixed(weights)
    grid = prices_with(price)
    worth = worth_of(posterior, grid)
    found = expected_samples(posterior, worth, grid)[list(grid).index(price)]
    goes_on = policy_of(posterior, price, DELTA, worth).index > 0
    # Forwards: the probability of coming by each state, summed over those that go on.
    reach = np.zeros((22, 22))
    reach[0, 0] = 1.0
    total = 0.0
    for n, s in states(20):
        if goes_on[n, s]:
            total += reach[n, s]
            p = posterior.p_right[n, s]
            reach[n + 1, s + 1] += reach[n, s] * p
            reach[n + 1, s] += reach[n, s] * (1 - p)
    assert found[0, 0] == pytest.approx(total)
    assert (np.diff(expected_samples(posterior, worth, grid)[:, 0, 0]) <= 1e-9).all()


def test_the_price_is_part_of_the_grid() -> None:
    assert 0.002 in prices_with(0.002) and len(prices_with(0.002)) == len(PRICES) + 1
    assert (np.diff(prices_with(0.002)) > 0).all()
    assert prices_with(0.0) is PRICES


def test_a_near_certain_prompt_is_worth_less_than_an_open_one() -> None:
    worth = worth_of(mixed((1.0, 1.0, 1.0)))
    assert worth[4, 1] > worth[12, 0] and worth[4, 1] > worth[12, 6]
    assert worth[12, 6] == 0.0  # half of twelve right: neither threshold is near enough to be in doubt
