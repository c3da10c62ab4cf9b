"""Distribution functions and quantiles in plain floats: the beta, Student's t, and zones of a beta posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]


def incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) of one point, by the continued fraction (DLMF 8.17.22) and the modified Lentz method.

    Scalar on purpose: the fraction ends after a few steps, which plain floats take faster than small arrays.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    # The fraction converges fast below the mean; above it, the mirrored one does (DLMF 8.17.4).
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - incomplete_beta(1.0 - x, b, a)
    tiny = 1e-300
    d = 1.0 / ((1.0 - (a + b) * x / (a + 1.0)) or tiny)
    c, fraction = 1.0, d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for step in (even, odd):
            d = 1.0 / ((1.0 + step * d) or tiny)
            c = (1.0 + step / c) or tiny
            change = c * d
            fraction *= change
        if abs(change - 1.0) < 1e-15:
            break
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return min(1.0, max(0.0, math.exp(log_front) * fraction / a))


_incomplete_betas = np.vectorize(incomplete_beta, otypes=[np.float64])


def beta_cdf(x: ArrayLike, a: ArrayLike, b: ArrayLike) -> Floats:
    """P(p <= x) of p ~ Beta(a, b), the regularised incomplete beta function I_x(a, b); arguments broadcast.

    Args:
        x: points; below 0 and above 1 are allowed.
        a, b: parameters, above 0.

    Raises:
        ValueError: a parameter is not above 0.
    """
    if not (np.all(np.asarray(a) > 0) and np.all(np.asarray(b) > 0)):
        raise ValueError("the parameters of a beta distribution are above 0")
    return np.asarray(_incomplete_betas(x, a, b), dtype=np.float64)


def zone_masses(a: ArrayLike, b: ArrayLike, low: float, high: float) -> Floats:
    """The posterior mass of a pass rate below `low`, from `low` to `high`, and above `high`.

    Args:
        a, b: parameters of the Beta posterior (prior plus successes, prior plus failures), shape [...].
        low, high: thresholds, 0 < low < high < 1.

    Returns:
        Shape [..., 3], adding up to 1.
    """
    below = beta_cdf(low, a, b)
    above = beta_cdf(1.0 - high, b, a)
    return np.stack([below, np.clip(1.0 - below - above, 0.0, 1.0), above], axis=-1)


def t_cdf(t: float, df: float) -> float:
    """P(T <= t) of Student's t with `df` degrees of freedom (any real number above 0)."""
    if math.isinf(t):
        return 1.0 if t > 0 else 0.0
    tail = 0.5 * incomplete_beta(df / (df + t * t), df / 2.0, 0.5)
    return 1.0 - tail if t > 0 else tail


def t_quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1; the normal quantile above 10,000 degrees of freedom.

    Newton's method from the normal quantile: that start lies between 0 and the root, where the distribution
    function is concave, so every step comes closer from the same side.
    """
    return _t_quantile(p, df)


@lru_cache(maxsize=1024)  # a table of results asks for the same few again and again
def _t_quantile(p: float, df: float) -> float:
    if p == 0.5 or df > 1e4:
        return NormalDist().inv_cdf(p)
    if p < 0.5:
        return -_t_quantile(1.0 - p, df)
    t = NormalDist().inv_cdf(p)
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    for _ in range(200):
        density = math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df))
        step = (p - t_cdf(t, df)) / density
        t += step
        if abs(step) < 1e-12 * t:
            break
    return t


def find_root(function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-10) -> float:
    """A point where a continuous function is within `tolerance` of 0, by the Illinois variant of false position.

    Dowell and Jarratt 1971: as safe as bisection, and here done in 5 to 10 steps.

    Raises:
        ValueError: the function has the same sign at both ends.
    """
    at_low, at_high = function(low), function(high)
    if abs(at_low) <= tolerance or abs(at_high) <= tolerance:
        return low if abs(at_low) <= abs(at_high) else high
    if at_low * at_high > 0.0:
        raise ValueError(f"no root between {low} and {high}: the function is {at_low} and {at_high} there")
    for _ in range(200):
        point = (low * at_high - high * at_low) / (at_high - at_low)
        value = function(point)
        if abs(value) <= tolerance:
            break
        if value * at_high < 0.0:
            low, at_low = high, at_high
        else:
            at_low /= 2.0  # the end that stays twice counts half, or it would stay for long
        high, at_high = point, value
    return point
