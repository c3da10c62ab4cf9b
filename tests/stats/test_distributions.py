"""Distribution functions against closed forms and tables, and the root finder."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable import stats
from teachable.stats.distributions import find_root

# Regularised incomplete beta function; the closed forms are I_x(1, b) = 1 - (1 - x)^b, I_x(a, 1) = x^a, and
# I_x(1/2, 1/2) = (2 / pi) arcsin(sqrt(x)).
CLOSED = [
    (0.3, 1.0, 4.0, 1 - 0.7**4),
    (0.3, 5.0, 1.0, 0.3**5),
    (0.1, 0.5, 0.5, 2 / math.pi * math.asin(math.sqrt(0.1))),
    (0.9, 0.5, 0.5, 2 / math.pi * math.asin(math.sqrt(0.9))),
    (0.5, 7.0, 7.0, 0.5),
    (0.5, 5000.0, 5000.0, 0.5),
    (1e-9, 1.0, 1000.0, -math.expm1(1000 * math.log1p(-1e-9))),
]


@pytest.mark.parametrize(("x", "a", "b", "value"), CLOSED)
def test_beta_cdf_equals_its_closed_forms(x: float, a: float, b: float, value: float) -> None:
    assert stats.beta_cdf(x, a, b) == pytest.approx(value, rel=1e-10)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.001, 0.999))
@settings(deadline=None)
def test_beta_cdf_equals_a_binomial_tail(a: int, b: int, x: float) -> None:
    """I_x(a, b) = P(Binomial(a + b - 1, x) >= a) for whole numbers: an independent way to the same value."""
    n = a + b - 1
    tail = math.fsum(math.comb(n, i) * x**i * (1 - x) ** (n - i) for i in range(a, n + 1))
    assert stats.beta_cdf(x, a, b) == pytest.approx(tail, abs=1e-10)


@given(st.floats(0.05, 500), st.floats(0.05, 500), st.floats(0.01, 0.49), st.floats(0.51, 0.99))
@settings(deadline=None)
def test_zone_masses_are_a_distribution(a: float, b: float, low: float, high: float) -> None:
    masses = stats.zone_masses(a, b, low, high)
    assert masses.shape == (3,)
    assert np.all(masses >= 0)
    assert masses.sum() == pytest.approx(1.0, abs=1e-9)
    assert stats.zone_masses(b, a, 1 - high, 1 - low)[::-1] == pytest.approx(masses, abs=1e-9)


def test_beta_cdf_at_and_beyond_the_ends() -> None:
    assert list(stats.beta_cdf([-1.0, 0.0, 1.0, 2.0], 2.0, 3.0)) == [0.0, 0.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="above 0"):
        stats.beta_cdf(0.5, 0.0, 1.0)


@pytest.mark.parametrize(
    ("p", "df", "value"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 10, 2.22814), (0.95, 5, 2.01505), (0.975, 1e6, 1.95996)],
)
def test_t_quantiles_of_the_tables(p: float, df: float, value: float) -> None:
    assert stats.t_quantile(p, df) == pytest.approx(value, rel=1e-5)
    assert stats.t_quantile(1 - p, df) == pytest.approx(-value, rel=1e-5)
    assert stats.t_cdf(value, df) == pytest.approx(p, abs=1e-6)


@given(st.floats(-5, 5), st.floats(0.01, 10), st.floats(0.01, 10))
@settings(deadline=None)
def test_a_root_is_found_between_ends_of_different_sign(root: float, below: float, above: float) -> None:
    found = find_root(lambda x: math.expm1(x - root), root - below, root + above, tolerance=1e-12)
    assert found == pytest.approx(root, abs=1e-10)


def test_a_root_at_an_end_is_found_and_none_is_refused() -> None:
    assert find_root(lambda x: x - 2.0, 2.0, 2.0) == 2.0
    assert find_root(lambda x: x - 2.0, 0.0, 2.0) == 2.0
    with pytest.raises(ValueError, match=r"no root between 0.0 and 1.0"):
        find_root(lambda x: x + 1.0, 0.0, 1.0)
