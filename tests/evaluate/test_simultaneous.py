"""Intervals that hold together: known values, and how often all of them cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.evaluate.simultaneous import simultaneous_intervals
from teachable.stats import mean_interval
from teachable.stats.distributions import t_quantile


def told(table: np.ndarray, confidence: float) -> tuple[float, float, float]:
    found = mean_interval(table, bounds=(-1.0, 1.0), confidence=confidence)
    return found.mean, found.low, found.high


def test_the_seeds_of_all_tables_say_how_much_seeds_vary() -> None:
    """Tables in which questions do not differ: what is left is the seeds' variance over their number."""
    seeds = np.array([[-0.1, 0.0, 0.1]])
    wiggle = np.array([[0.01, -0.02, 0.01], [-0.01, 0.02, -0.01]])  # residual alone: no question and no seed in it
    tables = [seeds + wiggle, 3 * seeds + 0.2 + wiggle]
    first, second = simultaneous_intervals(tables)
    quantile = t_quantile(1 - 0.025 / 2, 4)
    assert first == pytest.approx((0.0, *(sign * quantile * math.sqrt(0.05 / 3) for sign in (-1, 1))))
    assert second == pytest.approx((0.2, *(0.2 + sign * quantile * math.sqrt(0.09 / 3) for sign in (-1, 1))))


def test_one_table_one_seed_one_question_and_no_spread_are_as_everywhere() -> None:
    luck = np.random.default_rng(0)
    table, other = luck.uniform(-1, 1, (12, 3)), luck.uniform(-1, 1, (9, 3))
    assert simultaneous_intervals([]) == []
    assert simultaneous_intervals([table]) == [told(table, 0.95)]
    single = [table[:, :1], other[:, :1]]
    assert simultaneous_intervals(single) == [told(one, 0.975) for one in single]
    assert simultaneous_intervals([table, other[:1]])[1][1:] == (-1.0, 1.0)
    flat = np.full((12, 3), 0.25)
    assert simultaneous_intervals([table, flat])[1] == told(flat, 0.975)


@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(2, 5))
@settings(max_examples=40, deadline=None)
def test_what_holds_of_all(seed: int, n_seeds: int, n_tables: int) -> None:
    luck = np.random.default_rng(seed)
    tables = [luck.integers(-4, 5, (int(luck.integers(1, 15)), n_seeds)) / 4 for _ in range(n_tables)]
    found = simultaneous_intervals(tables)
    for (mean, low, high), table in zip(found, tables, strict=True):
        assert mean == pytest.approx(table.mean())
        assert -1 <= low <= mean + 1e-12 and mean <= high + 1e-12 and high <= 1
    turned = simultaneous_intervals([-table for table in tables])
    for (mean, low, high), (other, below, above) in zip(found, turned, strict=True):
        assert (mean, low, high) == pytest.approx((-other, -above, -below), abs=1e-9)
    backwards = simultaneous_intervals(tables[::-1])[::-1]
    assert [value for one in backwards for value in one] == pytest.approx([value for one in found for value in one])
    for (_, low, high), (_, lower, higher) in zip(found, simultaneous_intervals(tables, confidence=0.99), strict=True):
        assert lower <= low + 1e-12 and high <= higher + 1e-12


N_WORLDS = 400


@pytest.mark.parametrize("seeds_matter_in", [0, 1, 2, 6])
def test_all_cover_together(seeds_matter_in: int) -> None:
    """Six tables whose true difference is 0, of 30 questions and 3 seeds; seeds matter in some of them."""
    luck = np.random.default_rng(seeds_matter_in)
    missed = 0
    for _ in range(N_WORLDS):
        tables = []
        for place in range(6):
            easy = luck.uniform(0.3, 0.7, (30, 1))
            moved = luck.normal(0.0, 0.08 if place < seeds_matter_in else 0.0, (1, 3))
            now, then = luck.binomial(4, np.clip(easy + moved, 0, 1)), luck.binomial(4, np.repeat(easy, 3, axis=1))
            tables.append((now - then) / 4)
        missed += any(high < 0 for _, _, high in simultaneous_intervals(tables))
    assert missed / N_WORLDS <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / N_WORLDS)
