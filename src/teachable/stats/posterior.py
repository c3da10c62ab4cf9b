"""An interval for the mean of scores between two bounds that holds where mean +- t errors does not: near the bounds.

A set of hard questions has a mean near 0 that a few questions carry. A draw without them has a small mean *and* a
small standard error, so that a symmetric interval lies wholly below the truth. What is missing from such a draw is
knowledge of the questions that were not drawn, and the bounds say how far these could be off. So the population of
scores has a Dirichlet process posterior (Ferguson 1973): a weight of 1 on every score seen (with these alone it is
the Bayesian bootstrap, Rubin 1981), and of one half on each bound. Of scores that are all 0 or 1 this is Jeffreys'
posterior Beta(right + 1/2, wrong + 1/2), whose interval is among those recommended for a proportion (Brown, Cai and
DasGupta 2001, "Interval estimation for a binomial proportion"); nothing in it is fitted to anything.

The mean is then W = sum w_i y_i with Dirichlet weights w. P(W <= m) = P(sum g_i (y_i - m) <= 0) for independent
gamma variables g_i of shape a_i, which the saddlepoint formula of Lugannani and Rice (1980), in the form of
Barndorff-Nielsen (1986), gives to three or four digits. The saddlepoint t solves sum a_i (y_i - m) / (1 - t (y_i - m))
= 0; written by v = log(1 - t (1 - m)) - log(1 + t m), both t and m are explicit in v, and one root is left to find.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from teachable.stats.distributions import Floats, find_root

WEIGHT_OF_A_BOUND = 0.5


def posterior_interval(scores_Q: Floats, confidence: float = 0.95) -> tuple[float, float]:
    """The equal-tailed interval of the mean of a population of scores in [0, 1], which holds the mean of the sample.

    Args:
        scores_Q: one score a question, in [0, 1], at least one.
        confidence: posterior mass of the interval.
    """
    values, counts = np.unique(np.concatenate([[0.0, 1.0], scores_Q]), return_counts=True)
    weights = counts.astype(np.float64)
    weights[[0, -1]] += WEIGHT_OF_A_BOUND - 1.0
    mean, z = float(scores_Q.mean()), NormalDist().inv_cdf(0.5 + confidence / 2.0)
    return min(mean, _quantile(values, weights, -z)), max(mean, _quantile(values, weights, z))


def _quantile(values: Floats, weights: Floats, z: float) -> float:
    """The m with P(W <= m) = Phi(z)."""

    def excess(v: float) -> float:
        return _signed_root(values, weights, v)[0] - z

    low, high = -0.25, 0.25
    while excess(low) < 0.0:
        low *= 2.0
    while excess(high) > 0.0:
        high *= 2.0
    return _signed_root(values, weights, find_root(excess, low, high, tolerance=1e-8))[1]


def _signed_root(values: Floats, weights: Floats, v: float) -> tuple[float, float]:
    """The z with P(W <= m) = Phi(z), and m, at one value of v (see the module); z falls as v rises."""
    total = float(weights.sum())
    tilt = 1.0 / ((1.0 - values) + values * math.exp(v))
    tilted = weights * tilt
    scale = float(tilted.sum()) / total
    mean = float(tilted @ values) / float(tilted.sum())
    t = -math.expm1(v) * scale
    away = (values - mean) * tilt / scale
    second, third = float(weights @ away**2), 2.0 * float(weights @ away**3)
    root = math.copysign(math.sqrt(max(0.0, 2.0 * (total * math.log(scale) - float(weights @ np.log(tilt))))), t)
    if abs(root) < 1e-3:  # the logarithm below is lost to rounding, and equal to its limit
        return root + third / (6.0 * second**1.5), mean
    return root + math.log(t * math.sqrt(second) / root) / root, mean
