"""Means over questions and seeds, paired differences, and what a comparison could have seen.

The unit of resampling is the question (samples of one question are not independent), and where several seeds
of a training were scored on the same questions, the table of scores is crossed: questions by seeds, both drawn
from populations. Two kinds of interval for the mean of such a table:

- "t" (the default). The variance of the mean has two parts, questions and seeds, from the mean squares of the table
  (Searle, Casella and McCulloch, Variance Components), and the quantile is that of Student's t for each part's
  degrees of freedom, weighted by variance (Cochran and Cox 1957, Experimental Designs). Means of scores are skewed
  near their bounds, and there the interval is Wilson's (one seed, all scores 0 or 1) or that of a Dirichlet posterior
  (see `posterior`), with what several seeds add to the t interval. Differences keep the plain t interval.
- "bootstrap": questions and seeds resampled independently, percentile interval (the pigeonhole bootstrap,
  Owen 2007, Annals of Applied Statistics 1(2)). Three seeds can't show it how much seeds vary: on planted tables
  it covers 86% where they are the main source of variance.

Why not Satterthwaite's degrees of freedom for the variance as a whole: with 3 seeds his estimate rests on a mean
square with 2 degrees of freedom, and where seeds matter about as much as questions, a test with it rejects up to 10%
of true null hypotheses at a nominal 5% (with 2 seeds 16%); the weighted quantile 7% (9%), at intervals that are 4%
to 16% wider.

What "t" intervals claim and don't: `benchmarks/eval_intervals.py` measures it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from teachable.stats.distributions import Floats, find_root, t_cdf, t_quantile
from teachable.stats.posterior import posterior_interval
from teachable.stats.proportions import wilson_interval

Method: TypeAlias = Literal["t", "bootstrap"]
_ROUNDING = 1e-12  # differences of scores below this are rounding


@dataclass(frozen=True)
class Interval:
    """A mean and its interval.

    `se` is the standard error and `df` its degrees of freedom; `p_value` is two-sided, against a mean of 0, and of a
    difference it is below 1 - confidence exactly where the interval leaves out 0; `n` counts questions. Without data
    all numbers are NaN and `n` is 0.
    """

    mean: float
    low: float
    high: float
    se: float
    df: float
    p_value: float
    n: int


def mean_interval(
    values_QS: ArrayLike,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    confidence: float = 0.95,
    method: Method = "t",
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of a table of scores, and its interval over both questions and seeds.

    Args:
        values_QS: one score a question [Q], or a question and seed [Q, S] (crossed: all seeds answered the same
            questions). A question with a NaN is left out whole, so that seeds and systems stay paired.
        bounds: the least and largest value that a score can have; the interval stays within. Where the least is
            below 0 the values are taken as differences, whose interval is symmetric.
        method: "t" or "bootstrap", see the module.
        n_bootstrap, seed: of the bootstrap.

    Returns:
        With one question, the whole of `bounds`. Where all scores are equal, what Wilson's interval for none of so
        many questions leaves open: that share of the population may be otherwise, and as far off as the bounds
        allow, since no variance does not mean no doubt.

    Raises:
        ValueError: the table has no seed, or more than two axes, or a score is outside of the bounds.
    """
    table = np.asarray(values_QS, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or table.shape[1] == 0:
        raise ValueError(f"scores come as [questions] or [questions, seeds], not as {table.shape}")
    table = table[~np.isnan(table).any(axis=1)]
    n_questions = table.shape[0]
    if n_questions == 0:
        return Interval(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    mean, floor, ceiling = float(table.mean()), *bounds
    least, most = float(table.min()), float(table.max())
    if least < floor - _ROUNDING or most > ceiling + _ROUNDING:
        raise ValueError(f"scores from {least} to {most} are not within {floor} to {ceiling}")
    if n_questions == 1:
        return Interval(mean, floor, ceiling, math.inf, 1.0, 1.0, 1)
    if most - least <= _ROUNDING:
        return _of_equal_scores(mean, bounds, n_questions, confidence)
    se, df, quantile = _crossed_error(table, confidence)
    half = quantile * se
    low, high, p_value = mean - half, mean + half, min(1.0, 2.0 * t_cdf(-abs(mean) / se, df))
    if method == "bootstrap":
        means = _pigeonhole_means(table, n_bootstrap, np.random.default_rng(seed))
        low, high, p_value = _percentiles(means, bounds, confidence)
    elif floor >= 0.0:
        scale = ceiling - floor
        low, high = _bounded((table - floor) / scale, se / scale, quantile, confidence)
        low, high = floor + scale * low, floor + scale * high
    return Interval(mean, max(floor, low), min(ceiling, high), se, df, p_value, n_questions)


def paired_difference(
    first_QS: ArrayLike,
    second_QS: ArrayLike,
    *,
    confidence: float = 0.95,
    method: Method = "t",
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean difference of two systems on the same questions, first minus second.

    Args:
        first_QS, second_QS: scores in [0, 1], [Q] or [Q, S], rows being the same questions. A system with one
            column is compared with every seed of the other; otherwise seeds are paired by column.

    Raises:
        ValueError: the numbers of questions differ, or those of seeds (both being above 1).
    """
    first, second = (np.asarray(v, dtype=np.float64) for v in (first_QS, second_QS))
    first = first[:, None] if first.ndim == 1 else first
    second = second[:, None] if second.ndim == 1 else second
    if first.shape[0] != second.shape[0]:
        raise ValueError(f"{first.shape[0]} questions can't be paired with {second.shape[0]}")
    if first.shape[1] != second.shape[1] and 1 not in (first.shape[1], second.shape[1]):
        raise ValueError(f"{first.shape[1]} seeds can't be paired with {second.shape[1]}")
    return mean_interval(
        first - second,
        bounds=(-1.0, 1.0),
        confidence=confidence,
        method=method,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def smallest_detectable(se: float, df: float, power: float = 0.8, confidence: float = 0.95) -> float:
    """The true difference that a two-sided test with this standard error finds with probability `power`.

    The usual sum of quantiles (Cohen 1988; Miller 2024, "Adding error bars to evals", section 5), t-distributed.
    """
    return (t_quantile(0.5 + confidence / 2, df) + t_quantile(power, df)) * se


def power_note(se: float, df: float, power: float = 0.8) -> str:
    """What this comparison could have seen, in a sentence."""
    if not math.isfinite(se):
        return "One question tells no two models apart."
    points = 100 * smallest_detectable(se, df, power)
    return f"A true difference of {points:.1f} points or more would be found {power:.0%} of the time."


def _of_equal_scores(mean: float, bounds: tuple[float, float], n_questions: int, confidence: float) -> Interval:
    """The interval of a table in which all scores are the same (see `mean_interval`)."""
    floor, ceiling = bounds
    unseen = wilson_interval(0, n_questions, confidence)[1]
    df = n_questions - 1.0
    se = unseen * max(mean - floor, ceiling - mean) / t_quantile(0.5 + confidence / 2, df)
    p_value = min(1.0, 2.0 * t_cdf(-abs(mean) / se, df))
    return Interval(
        mean, mean - unseen * (mean - floor), mean + unseen * (ceiling - mean), se, df, p_value, n_questions
    )


def _bounded(table_QS: Floats, se: float, quantile: float, confidence: float) -> tuple[float, float]:
    """The interval of a mean of scores in [0, 1], whose symmetric one is mean +- quantile se.

    The questions' means have an interval that knows the bounds. What several seeds add to the symmetric one is added
    to each of its sides as variances add (Zou and Donner 2008); where they make the symmetric one narrower, since part
    of what differs between questions was luck that averages out, its sides shrink by the same factor.
    """
    n_questions, n_seeds = table_QS.shape
    scores = np.clip(table_QS.mean(axis=1), 0.0, 1.0)
    mean, se_of_questions = float(scores.mean()), float(scores.std(ddof=1)) / math.sqrt(n_questions)
    if n_seeds == 1 and np.all((scores == 0.0) | (scores == 1.0)):
        return wilson_interval(float(scores.sum()), n_questions, confidence)
    if se_of_questions <= _ROUNDING:
        return mean - quantile * se, mean + quantile * se
    low, high = posterior_interval(scores, confidence)
    if n_seeds == 1:
        return low, high
    half = quantile * se
    of_questions = min(quantile, t_quantile(0.5 + confidence / 2, n_questions - 1.0)) * se_of_questions
    shrunk, added = min(1.0, half / of_questions), math.sqrt(max(0.0, half**2 - of_questions**2))
    return mean - math.hypot((mean - low) * shrunk, added), mean + math.hypot((high - mean) * shrunk, added)


def _crossed_error(table_QS: Floats, confidence: float) -> tuple[float, float, float]:
    """Standard error of the mean of a crossed table, its degrees of freedom, and their t quantile.

    Seeds are two parts: Var(mean) = max(MS_questions - MS_residual, 0) / (Q S), what all seeds share, plus
    MS_seeds / (Q S), which holds the residual too and so needs nothing subtracted. Each part's quantile counts by
    its variance; the degrees of freedom are those at which Student's t has that quantile at this confidence, so that
    interval, p-value and power rest on the same two numbers. With one seed that is the usual variance of a mean of
    Q questions with Q - 1.
    """
    n_questions, n_seeds = table_QS.shape
    size, p = n_questions * n_seeds, 0.5 + confidence / 2
    mean, by_question, by_seed = table_QS.mean(), table_QS.mean(axis=1), table_QS.mean(axis=0)
    of_questions = n_seeds * float(((by_question - mean) ** 2).sum()) / (n_questions - 1) / size
    if n_seeds == 1:
        return math.sqrt(of_questions), n_questions - 1.0, t_quantile(p, n_questions - 1.0)
    of_seeds = n_questions * float(((by_seed - mean) ** 2).sum()) / (n_seeds - 1) / size
    residual = table_QS - by_question[:, None] - by_seed[None, :] + mean
    of_residual = float((residual**2).sum()) / ((n_questions - 1) * (n_seeds - 1)) / size
    shared = max(of_questions - of_residual, 0.0)
    variance = shared + of_seeds
    if variance < _ROUNDING**2:  # questions and seeds cancel out to the last digit: what is left is the residual
        return math.sqrt(of_residual), n_seeds - 1.0, t_quantile(p, n_seeds - 1.0)
    quantile = (shared * t_quantile(p, n_questions - 1.0) + of_seeds * t_quantile(p, n_seeds - 1.0)) / variance
    inverse = find_root(lambda x: t_cdf(quantile, 1.0 / x) - p, 1.0 / (n_seeds - 1), 1.0 / (n_questions - 1))
    return math.sqrt(variance), 1.0 / inverse, quantile


def _percentiles(means_B: Floats, bounds: tuple[float, float], confidence: float) -> tuple[float, float, float]:
    """Limits and two-sided p-value against 0 from bootstrap means.

    The limits are the order statistics at which the p-value crosses 1 - confidence, so that the two agree; with too
    few draws for that, the bounds.
    """
    n, alpha = means_B.size, 1.0 - confidence
    # One is added to count and number of draws, so that a p-value is never 0 (Davison and Hinkley, 4.2).
    tail = min(int((means_B <= 0).sum()), int((means_B >= 0).sum()))
    p_value = min(1.0, 2.0 * (tail + 1) / (n + 1))
    largest_tail = math.ceil(alpha / 2.0 * (n + 1) - 1e-9) - 2  # with which the p-value is still below alpha
    if largest_tail < 0:
        return *bounds, p_value
    ordered = np.sort(means_B)
    return float(ordered[largest_tail]), float(ordered[n - 1 - largest_tail]), p_value


def _pigeonhole_means(table_QS: Floats, n_bootstrap: int, generator: np.random.Generator) -> Floats:
    """`n_bootstrap` means of the table with questions and seeds resampled independently, shape [B]."""
    n_questions, n_seeds = table_QS.shape
    weights_BS = generator.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=n_bootstrap) / n_seeds
    means = np.empty(n_bootstrap)
    for start in range(0, n_bootstrap, 500):  # in blocks: a weight matrix of all draws could take gigabytes
        stop = min(start + 500, n_bootstrap)
        drawn = generator.multinomial(n_questions, np.full(n_questions, 1 / n_questions), size=stop - start)
        means[start:stop] = ((drawn @ table_QS) * weights_BS[start:stop]).sum(axis=1) / n_questions
    return means
