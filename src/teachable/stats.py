"""Intervals, posteriors and pass@k in plain numpy: every number with a plus-or-minus comes from here.

The unit of resampling is the question (samples of one question are not independent), and where several seeds
of a training were scored on the same questions, the table of scores is crossed: questions by seeds, both drawn
from populations. Two intervals for the mean of such a table:

- "t" (the default): the two-way random-effects variance of the mean, from the mean squares of the table, with
  Satterthwaite's degrees of freedom (Satterthwaite 1946; Searle, Casella and McCulloch, Variance Components).
- "bootstrap": questions and seeds resampled independently, percentile interval (the pigeonhole bootstrap,
  Owen 2007, Annals of Applied Statistics 1(2)).

On planted tables with 3 seeds the bootstrap covers 86% where seeds are the main source of variance (three
seeds can't show how much seeds vary) and 96% to 99% where they are not; the t interval covers 93% to 98% in all
of those, and is wider exactly where three seeds say little. That is why it is the default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Method: TypeAlias = Literal["t", "bootstrap"]


@dataclass(frozen=True)
class Interval:
    """A mean and its interval.

    `se` is the standard error and `df` its degrees of freedom; `p_value` is two-sided, against a mean of 0;
    `n` counts questions. Without data all numbers are NaN and `n` is 0.
    """

    mean: float
    low: float
    high: float
    se: float
    df: float
    p_value: float
    n: int


# ---- distributions ----


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) of one point, by the continued fraction (DLMF 8.17.22) and the modified Lentz method.

    Scalar on purpose: the fraction ends after a few steps, which plain floats take faster than small arrays.
    """
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    # The fraction converges fast below the mean; above it, the mirrored one does (DLMF 8.17.4).
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(1.0 - x, b, a)
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


_incomplete_betas = np.vectorize(_incomplete_beta, otypes=[np.float64])


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
    tail = 0.5 * _incomplete_beta(df / (df + t * t), df / 2.0, 0.5)
    return 1.0 - tail if t > 0 else tail


def t_quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1; the normal quantile above 10,000 degrees of freedom.

    Newton's method from the normal quantile: that start lies between 0 and the root, where the distribution
    function is concave, so every step comes closer from the same side.
    """
    if p == 0.5 or df > 1e4:
        return NormalDist().inv_cdf(p)
    if p < 0.5:
        return -t_quantile(1.0 - p, df)
    t = NormalDist().inv_cdf(p)
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    for _ in range(200):
        density = math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df))
        step = (p - t_cdf(t, df)) / density
        t += step
        if abs(step) < 1e-12 * t:
            break
    return t


# ---- proportions, pass@k, votes ----


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


# ---- means over questions and seeds ----


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
        bounds: the least and largest value that a score can have; the interval stays within.
        method: "t" or "bootstrap", see the module.
        n_bootstrap, seed: of the bootstrap.

    Returns:
        With one question, the whole of `bounds`. Where all scores are equal and at an end of `bounds` (0 of 40
        right), the interval of Wilson for that many questions, since no variance does not mean no doubt.

    Raises:
        ValueError: the table has no seed, or more than two axes.
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
    if n_questions == 1:
        return Interval(mean, floor, ceiling, math.inf, 1.0, 1.0, 1)
    se, df = _crossed_error(table)
    if se == 0.0:
        low, high = mean, mean
        if mean in bounds and floor >= 0.0:
            share_low, share_high = wilson_interval((mean - floor) / (ceiling - floor) * n_questions, n_questions)
            low, high = floor + share_low * (ceiling - floor), floor + share_high * (ceiling - floor)
        return Interval(mean, low, high, se, df, 1.0 if mean == 0.0 else 0.0, n_questions)
    if method == "bootstrap":
        means = _pigeonhole_means(table, n_bootstrap, np.random.default_rng(seed))
        low, high = (float(q) for q in np.quantile(means, [0.5 - confidence / 2, 0.5 + confidence / 2]))
        # One is added to count and number of draws, so that a p-value is never 0 (Davison and Hinkley, 4.2).
        tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
        p_value = min(1.0, 2.0 * (tail + 1) / (n_bootstrap + 1))
    else:
        half = t_quantile(0.5 + confidence / 2, df) * se
        low, high = mean - half, mean + half
        p_value = min(1.0, 2.0 * t_cdf(-abs(mean) / se, df))
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


def _crossed_error(table_QS: Floats) -> tuple[float, float]:
    """Standard error of the mean of a crossed table, and its degrees of freedom.

    Var(mean) = (MS_questions + MS_seeds - MS_residual) / (Q S), and never less than what the questions alone
    say, MS_questions / (Q S). With one seed that is the usual variance of a mean of Q questions.
    """
    n_questions, n_seeds = table_QS.shape
    size = n_questions * n_seeds
    mean, by_question, by_seed = table_QS.mean(), table_QS.mean(axis=1), table_QS.mean(axis=0)
    of_questions = n_seeds * float(((by_question - mean) ** 2).sum()) / (n_questions - 1) / size
    if n_seeds == 1:
        return math.sqrt(of_questions), float(n_questions - 1)
    of_seeds = n_questions * float(((by_seed - mean) ** 2).sum()) / (n_seeds - 1) / size
    residual = table_QS - by_question[:, None] - by_seed[None, :] + mean
    df_residual = (n_questions - 1) * (n_seeds - 1)
    of_residual = float((residual**2).sum()) / df_residual / size
    variance = max(of_questions + of_seeds - of_residual, of_questions)
    spread = of_questions**2 / (n_questions - 1) + of_seeds**2 / (n_seeds - 1) + of_residual**2 / df_residual
    if variance < 1e-30 or spread == 0.0:
        return 0.0, float(n_seeds - 1)
    return math.sqrt(variance), max(variance**2 / spread, min(n_seeds, n_questions) - 1.0)


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
