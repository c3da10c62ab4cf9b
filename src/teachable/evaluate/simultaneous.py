"""Intervals of several differences that hold together, though there are few seeds.

m differences, each of a table of questions by seeds, get intervals of the confidence 1 - (1 - c) / m (Bonferroni), so
that with confidence c all of them cover. By itself (`stats.mean_interval`) such a table estimates how much seeds vary
from its own few: with 3 seeds and m = 7, Student's quantile for 2 degrees of freedom is 12, and a loss of 30 points
goes unseen. So the seeds' variance is estimated from all m tables: it is the larger of a table's own and the mean of
all, with the degrees of freedom of all, m (S - 1). The questions' part and the weighing of the two quantiles are those
of `stats`.

What that assumes, and what it costs: seeds vary about as much in one table as in another. Simulated with 40 questions,
2 to 5 seeds and 2 to 7 tables (seeds that do not matter, matter alike, shift all tables together, or matter in one
table or in a third of them), an interval lay wholly below the truth in 1.1% to 4.4% of the worlds, where 2.5% is
nominal; with 3 seeds and m = 7 the intervals were a third as wide as those from each table's own seeds
(`benchmarks/add_intervals.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from teachable.stats import Interval, mean_interval
from teachable.stats.distributions import Floats, t_quantile

_NO_SPREAD = 1e-12  # of scores


def simultaneous_intervals(tables: Sequence[Floats], *, confidence: float = 0.95) -> list[tuple[float, float, float]]:
    """(mean, low, high) of each table of differences, intervals that hold together.

    Args:
        tables: differences in [-1, 1], each [questions, seeds], of at least one question and with no NaN; numbers of
            questions may differ.

    Returns:
        Where there is one seed, one table, one question or no spread, the interval of `stats.mean_interval`.
    """
    each = 1.0 - (1.0 - confidence) / max(1, len(tables))
    alone = [mean_interval(table, bounds=(-1.0, 1.0), confidence=each) for table in tables]
    variances = [float(table.mean(axis=0).var(ddof=1)) for table in tables if table.shape[1] > 1]
    if len(tables) < 2 or len(variances) < len(tables):
        return [(one.mean, one.low, one.high) for one in alone]
    df = sum(table.shape[1] - 1 for table in tables)
    return [
        _interval(table, one, max(own, float(np.mean(variances))), df, 0.5 + each / 2)
        for table, one, own in zip(tables, alone, variances, strict=True)
    ]


def _interval(
    table_QS: Floats, alone: Interval, variance_of_seeds: float, df: int, p: float
) -> tuple[float, float, float]:
    """The interval with the seeds' variance from elsewhere: of one seed's mean, with that many degrees of freedom."""
    n_questions, n_seeds = table_QS.shape
    if n_questions < 2 or float(np.ptp(table_QS)) <= _NO_SPREAD:
        return alone.mean, alone.low, alone.high
    mean, by_question, by_seed = table_QS.mean(), table_QS.mean(axis=1), table_QS.mean(axis=0)
    residual = table_QS - by_question[:, None] - by_seed[None, :] + mean
    of_residual = float((residual**2).sum()) / ((n_questions - 1) * (n_seeds - 1))
    of_questions = n_seeds * float(by_question.var(ddof=1))
    shared = max(of_questions - of_residual, 0.0) / (n_questions * n_seeds)
    of_seeds = variance_of_seeds / n_seeds
    if shared + of_seeds <= _NO_SPREAD**2:
        return alone.mean, alone.low, alone.high
    weighted = shared * t_quantile(p, n_questions - 1.0) + of_seeds * t_quantile(p, float(df))
    half = weighted / math.sqrt(shared + of_seeds)
    return alone.mean, max(-1.0, alone.mean - half), min(1.0, alone.mean + half)
