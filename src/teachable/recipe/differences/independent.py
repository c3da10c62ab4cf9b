"""The difference of two means that share no questions, with its interval.

The variances of both means, each over questions and seeds (`stats.mean_interval`), are added, with Welch's degrees of
freedom (Welch 1947, "The generalization of 'Student's' problem when several different population variances are
involved"). On planted pass rates (50 to 200 questions a side, one to three seeds, rates over most of [0, 1] or near 0)
95% intervals covered the true difference 94% to 97% of the time, and p was below 0.05 for 3% to 6% of equal means.
"""

from __future__ import annotations

import math

from teachable.stats import Interval, t_cdf, t_quantile

CONFIDENCE = 0.95


def independent_difference(first: Interval, second: Interval, confidence: float = CONFIDENCE) -> Interval:
    """The difference of two independent means of scores in [0, 1], first less second.

    `n` is the smaller number of questions; without data on a side all numbers are NaN and `n` is 0.
    """
    n, mean = min(first.n, second.n), first.mean - second.mean
    if not n:
        return Interval(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    variances = first.se**2, second.se**2
    se = math.sqrt(sum(variances))
    if not math.isfinite(se):  # a side of one question
        return Interval(mean, -1.0, 1.0, math.inf, 1.0, 1.0, n)
    df = sum(variances) ** 2 / (variances[0] ** 2 / first.df + variances[1] ** 2 / second.df)
    half = t_quantile(0.5 + confidence / 2, df) * se
    p_value = min(1.0, 2.0 * t_cdf(-abs(mean) / se, df))
    return Interval(mean, max(-1.0, mean - half), min(1.0, mean + half), se, df, p_value, n)
