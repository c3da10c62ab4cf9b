"""Shares and counts of right answers: Wilson's interval, and pass@k without bias."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927); (0, 1) when nothing was tried."""
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At the ends the formula is exact but for rounding, which must not push the interval off the share.
    return (0.0 if successes <= 0 else max(0.0, middle - half)), (1.0 if successes >= n else min(1.0, middle + half))


def pass_at_k(n: int, n_correct: int, k: int) -> float:
    """The unbiased estimate of P(at least one of k samples is right) (Chen et al. 2021, section 2.1).

    Args:
        n: samples drawn, at least k.
        n_correct: how many of them were right.

    Raises:
        ValueError: k is not in 1..n, or n_correct not in 0..n.
    """
    if not (1 <= k <= n and 0 <= n_correct <= n):
        raise ValueError(f"pass@{k} can't be had from {n_correct} of {n}")
    if n - n_correct < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / i for i in range(n - n_correct + 1, n + 1))
