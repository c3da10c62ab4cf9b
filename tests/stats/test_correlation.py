"""Rank correlation over pairs of things: known values, planted truths, and what shuffling pairs would claim."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.stats import PairCorrelation, mantel, pair_correlation, spearman
from teachable.stats.correlation import ranks

Rng = np.random.Generator


def test_spearman_of_the_textbook() -> None:
    """IQ and hours of television of ten people (the usual example): -0.1758; with ties, by hand."""
    iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110]
    hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
    assert spearman(iq, hours) == pytest.approx(-29 / 165)
    assert ranks([3.0, 1.0, 3.0, 2.0]).tolist() == [3.5, 1.0, 3.5, 2.0]
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=3, max_size=20))
@settings(deadline=None)
def test_spearman_knows_order_alone(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = spearman(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
        return
    assert found is not None and -1 <= found <= 1
    assert spearman(np.exp(first / 10), second) == pytest.approx(found)
    assert spearman(-first, second) == pytest.approx(-found)
    assert spearman(second, first) == pytest.approx(found)


def test_what_has_no_order_has_no_correlation() -> None:
    assert spearman([1, 2], [1, 2]) is None
    assert pair_correlation({("a", "b"): 1.0}, {("a", "b"): 2.0}) == PairCorrelation(
        None, None, None, None, 2, 1, 0, False
    )
    same = {pair: 1.0 for pair in itertools.combinations("abcd", 2)}
    found = pair_correlation(same, same)
    assert (found.rho, found.p_value, found.n_things, found.n_pairs) == (None, None, 4, 6)
    with pytest.raises(ValueError, match="NaN has no rank"):
        spearman([1, math.nan, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="two lists of one length"):
        spearman([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="two squares of one size"):
        mantel(np.zeros((2, 3)), np.zeros((2, 3)))


def test_every_order_is_tried_where_there_are_few() -> None:
    """Four things: the p-value is the share of their 24 orders, counted here another way."""
    rng = np.random.default_rng(3)
    names = "abcd"
    one, two = ({pair: float(rng.normal()) for pair in itertools.combinations(names, 2)} for _ in range(2))
    found = pair_correlation(one, two)
    pairs = list(one)
    truth = spearman(list(one.values()), list(two.values()))
    assert truth is not None and found.rho == pytest.approx(truth)
    far = 0
    for order in itertools.permutations(names):
        renamed = dict(zip(names, order, strict=True))
        moved = [one[tuple(sorted((renamed[a], renamed[b])))] for a, b in pairs]  # type: ignore[index]
        far += abs(spearman(moved, list(two.values())) or 0) >= abs(truth) - 1e-9
    assert (found.p_value, found.n_permutations, found.exact) == (far / 24, 24, True)
    assert (found.low, found.high) == (None, None)  # four things are too few for an interval


def test_pairs_are_the_same_in_whatever_order_they_are_named() -> None:
    rng = np.random.default_rng(0)
    one, two = ({pair: float(rng.normal()) for pair in itertools.combinations("abcdef", 2)} for _ in range(2))
    turned = {(b, a): number for (a, b), number in two.items()}
    assert pair_correlation(one, turned) == pair_correlation(one, two)
    unknown = {**two, ("a", "b"): None, ("c", "d"): math.nan}
    found = pair_correlation(one, unknown)
    assert found.n_pairs == 13 and found.n_things == 6
    both = [pair for pair in one if pair not in (("a", "b"), ("c", "d"))]
    assert found.rho == pytest.approx(spearman([one[p] for p in both], [two[p] for p in both]))
    with pytest.raises(ValueError, match="'a' is paired with itself"):
        pair_correlation({("a", "a"): 1.0}, {})
    with pytest.raises(ValueError, match=r"'b', 'a' is given twice: 1\.0 and 2\.0"):
        pair_correlation({("a", "b"): 1.0, ("b", "a"): 2.0}, {})
    three = {("a", "b"): 1.0, ("b", "a"): 2.0, ("a", "c"): 3.0}
    directed = pair_correlation(three, three, directed=True)
    assert (directed.rho, directed.n_pairs) == (1.0, 3)


def planted(rng: Rng, n: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Two tables over n things, each with noise of its own and things that raise or lower all of their pairs.

    `strength` is how much of what the second table rests on the first shares; 0 is the null.
    """
    places, prone, other = rng.normal(size=(n, 3)), rng.normal(size=n), rng.normal(size=n)
    truth = places @ places.T / math.sqrt(3) + prone[:, None] + prone[None, :]
    own = other[:, None] + other[None, :]
    noise = [rng.normal(size=(n, n)) for _ in range(2)]
    sides = strength * truth + (1 - strength) * own, truth
    first, second = (side + np.triu(e, 1) + np.triu(e, 1).T for side, e in zip(sides, noise, strict=True))
    return first, second


def as_if_independent(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """The interval that takes every pair for an observation of its own (Fisher's z, Fieller's factor)."""
    chosen = np.triu_indices(len(first), 1)
    z = math.atanh(spearman(first[chosen], second[chosen]) or 0.0)
    half = 1.96 * math.sqrt(1.06 / (chosen[0].size - 3))
    return math.tanh(z - half), math.tanh(z + half)


def population(strength: float) -> float:
    """The correlation over the pairs of very many things."""
    rng, chosen = np.random.default_rng(1), np.triu_indices(150, 1)
    draws = (planted(rng, 150, strength) for _ in range(30))
    return float(np.mean([spearman(first[chosen], second[chosen]) for first, second in draws]))


@pytest.mark.parametrize(("strength", "n_things"), [(0.0, 8), (0.5, 8), (1.0, 6), (1.0, 12)])
def test_the_interval_covers_the_planted_correlation(strength: float, n_things: int) -> None:
    """Nominal 95%, by the jackknife over things; taking pairs for independent covers less than 93% of the time."""
    rng, rounds, truth = np.random.default_rng(2), 250, population(strength)
    covered = naive = 0
    for _ in range(rounds):
        first, second = planted(rng, n_things, strength)
        found = mantel(first, second, n_permutations=1)
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
        low, high = as_if_independent(first, second)
        naive += low <= truth <= high
    assert covered / rounds > 0.95 - 2.5 * math.sqrt(0.95 * 0.05 / rounds)
    assert naive / rounds < 0.94


def test_the_null_is_rejected_as_rarely_as_said_and_a_true_link_is_found() -> None:
    rng, rounds = np.random.default_rng(5), 250
    rejected = naive = found = 0
    for _ in range(rounds):
        first, second = planted(rng, 9, 0.0)
        rejected += (mantel(first, second, n_permutations=99).p_value or 0) < 0.05
        low, high = as_if_independent(first, second)
        naive += not low <= 0 <= high
        found += (mantel(*planted(rng, 9, 1.0), n_permutations=99).p_value or 1) < 0.05
    assert rejected / rounds < 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
    assert naive / rounds > 0.1  # which is why pairs are not shuffled
    assert found / rounds > 0.7


def test_random_orders_are_seeded_and_never_give_zero() -> None:
    chain = {(f"{i:02}", f"{j:02}"): float(j - i) for i in range(12) for j in range(i + 1, 12)}
    one, two = (pair_correlation(chain, chain, n_permutations=200, seed=seed) for seed in (1, 1))
    assert one == two and not one.exact and one.n_permutations == 200
    assert one.rho == 1.0 and one.p_value is not None and 1 / 201 <= one.p_value < 0.02
    assert one.low == pytest.approx(1.0) and one.high == pytest.approx(1.0)
