"""Intervals, tests, posteriors and pass@k in plain numpy: every number with a plus-or-minus comes from here."""

from teachable.stats.correlation import PairCorrelation, mantel, pair_correlation, spearman
from teachable.stats.distributions import Floats, beta_cdf, t_cdf, t_quantile, zone_masses
from teachable.stats.means import (
    Interval,
    Method,
    mean_interval,
    paired_difference,
    power_note,
    smallest_detectable,
)
from teachable.stats.paired_tests import holm, mcnemar_exact
from teachable.stats.proportions import pass_at_k, wilson_interval

__all__ = [
    "Floats",
    "Interval",
    "Method",
    "PairCorrelation",
    "beta_cdf",
    "holm",
    "mantel",
    "mcnemar_exact",
    "mean_interval",
    "pair_correlation",
    "paired_difference",
    "pass_at_k",
    "power_note",
    "smallest_detectable",
    "spearman",
    "t_cdf",
    "t_quantile",
    "wilson_interval",
    "zone_masses",
]
