"""Tests of paired right-or-wrong answers, and p-values of several tests together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from teachable.stats.distributions import Floats, incomplete_beta


def mcnemar_exact(first_Q: ArrayLike, second_Q: ArrayLike, *, mid_p: bool = False) -> float:
    """The two-sided p-value that two systems are right equally often on the same questions (McNemar 1947).

    Only questions on which exactly one of the two is right say anything: given their number, the first system's
    share of them is Binomial(n, 1/2) under the null. The exact test doubles the smaller tail, so its false-positive
    rate is at most nominal whatever the number of questions, and well below it where few questions differ.

    Args:
        first_Q, second_Q: one answer a question each, 1 right and 0 wrong, shape [Q] or [Q, 1], rows being the same
            questions. A question on which either is NaN (undecided) is left out.
        mid_p: count half the probability of what was seen (Fagerland, Lydersen and Laake 2013): closer to nominal,
            but no longer guaranteed not to exceed it.

    Returns:
        In [0, 1]; 1.0 where no question tells the two apart.

    Raises:
        ValueError: the numbers of questions differ, or a value is neither 0, 1 nor NaN.
    """
    first, second = _answers(first_Q), _answers(second_Q)
    if first.size != second.size:
        raise ValueError(f"{first.size} questions can't be paired with {second.size}")
    fewer, more = sorted((int((first > second).sum()), int((second > first).sum())))
    n = fewer + more
    if n == 0:
        return 1.0
    # P(X <= k) of Binomial(n, 1/2) is I_{1/2}(n - k, k + 1) (DLMF 8.17.5).
    p_value = 2.0 * incomplete_beta(0.5, more, fewer + 1.0)
    if mid_p:
        p_value -= math.exp(math.lgamma(n + 1) - math.lgamma(more + 1) - math.lgamma(fewer + 1) - n * math.log(2))
    return min(1.0, p_value)


def _answers(answers: ArrayLike) -> Floats:
    """0, 1 and NaN as an array [Q]."""
    values = np.asarray(answers, dtype=np.float64)
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        raise ValueError(f"answers come as [questions], one of each, not as {values.shape}")
    if not np.all((values == 0) | (values == 1) | np.isnan(values)):
        raise ValueError("McNemar's test takes answers that are 1 (right), 0 (wrong) or NaN (undecided)")
    return values.ravel()


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in their order (Holm 1979, "A simple sequentially rejective test").

    Rejecting where an adjusted value is below alpha makes a false rejection among all tests with probability alpha
    at most, however the tests depend on each other. A NaN (a test that could not be made) stays one and is not
    counted.

    Raises:
        ValueError: a value is not in [0, 1].
    """
    if any(not (math.isnan(p) or 0.0 <= p <= 1.0) for p in p_values):
        raise ValueError("p-values lie in [0, 1]")
    made = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, i) in enumerate(made):
        largest = max(largest, min(1.0, (len(made) - rank) * p))
        adjusted[i] = largest
    return adjusted
