"""The additivity score: how much of what separate models have gained one joint model has.

On a domain, a model's gain is its mean score less the base's. D are the domains added so far, J is the joint model's
gain on a domain, and the separate gains on it are those of the models that were each tuned on one domain of D:

    score of a domain   = J / (sum of the separate gains on this domain, over all models of D)
    its own score       = J / (the gain of the model that was tuned on this very domain)
    score of all of D   = (sum of J over D) / (sum of all these separate gains), and with the own gains alone

1 is additive; below 1 the domains stand in each other's way, above 1 they help each other more than the separate
models show. The sum over all models counts what a model gains on domains that it was not tuned on, which the own score
leaves out. A model's gain is never cut off at 0: what a model loses elsewhere counts against the sum.

**Intervals** are Fieller's (1954, JRSS B 16(2)): a ratio r belongs to the interval where J - r S, worked out question
by question and seed by seed, has a mean that can't be told from 0. So they rest on the same errors over questions and
seeds as every difference here (`teachable.stats`), with Student's quantiles for few seeds. On planted scores with three
seeds they covered 94% to 97% of the time; percentiles of a bootstrap of questions and seeds 95% to 99%, but 84% to 88%
where seeds differed much (`benchmarks/add_intervals.py`).

Domains count the same, whatever their numbers of questions; what they differ by is no noise, since they are given.

Where the interval of the sum of separate gains does not lie above 0, there is nothing to divide by: the score is None
with a reason. Where it holds 0, Fieller's interval would have no end; where it lies below, all was lost already.

Not protected against: gains that are bounded (a joint model can't gain above a score of 1, however much the separate
gains add up to), and questions that were used to choose among models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from teachable.evaluate.matrix import CONFIDENCE, Addition, DomainScores
from teachable.evaluate.tables import BASE
from teachable.stats import Interval, mean_interval
from teachable.stats.distributions import Floats, find_root

NO_GAIN = "there is no separate gain that can be told from 0"
NO_QUESTION = "no question has a score of every model"
_DOUBLINGS = 60  # of the width in search of an interval's end
_TOLERANCE = 1e-8  # in gains


@dataclass(frozen=True)
class Ratio:
    """A ratio of gains with its interval; all None where there is none, and why."""

    value: float | None
    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Additivity:
    """The score of one domain, or of all (`domain` None), after an addition.

    Attributes:
        joint_gain, separate_gain, own_gain: sums of means over the domains that the score is of; for one domain the
            joint model's gain, the sum of all separate models' gains, and the gain of the domain's own model.
        ratio: joint over separate. own_ratio: joint over own.
        n_questions: that all models concerned have a score on.
    """

    n_domains: int
    domain: str | None
    joint_gain: float | None
    separate_gain: float | None
    own_gain: float | None
    ratio: Ratio
    own_ratio: Ratio
    n_questions: int

    def row(self) -> dict[str, object]:
        """As a flat row: `ratio`, `low`, `high`, `reason`, and the same of the own ratio with `own_` before it."""
        found: dict[str, object] = {
            name: getattr(self, name) for name in ("n_domains", "domain", "joint_gain", "separate_gain", "own_gain")
        }
        for prefix, ratio in (("", self.ratio), ("own_", self.own_ratio)):
            found[f"{prefix}ratio"] = ratio.value
            found |= {f"{prefix}{name}": getattr(ratio, name) for name in ("low", "high", "reason")}
        return {**found, "n_questions": self.n_questions}


def additivity(
    scores: DomainScores,
    addition: Addition,
    separate: Mapping[str, str],
    *,
    base: str = BASE,
    confidence: float = CONFIDENCE,
) -> list[Additivity]:
    """The score of all domains of an addition together, then domain by domain.

    Args:
        scores: of the base, of the addition's models and of the separate ones, on the addition's domains. A seed of
            the addition is paired with the same seed of the separate models.
        separate: domain -> the arm that was tuned on it; with all domains of the addition.

    Raises:
        KeyError: the scores or `separate` lack an arm or a domain.
        ValueError: the numbers of seeds can't be paired.
    """
    gains = {domain: _gains(scores, addition, separate, base, domain) for domain in addition.domains}
    whole = _score(list(gains.values()), len(addition.domains), None, confidence)
    return [whole, *(_score([one], len(addition.domains), domain, confidence) for domain, one in gains.items())]


@dataclass(frozen=True)
class _Gains:
    """A domain's gains, question by question and seed by seed [Q, S]: joint, sum of the separate, own."""

    joint_QS: Floats
    separate_QS: Floats
    own_QS: Floats


def _gains(scores: DomainScores, addition: Addition, separate: Mapping[str, str], base: str, domain: str) -> _Gains:
    at_base = scores.of(base, domain).mean(axis=1, keepdims=True)
    each = [scores.of(separate[name], domain) - at_base for name in addition.domains]
    tables = [scores.of(addition.arm, domain) - at_base, *each]
    n_seeds = {table.shape[1] for table in tables} - {1}
    if len(n_seeds) > 1:
        raise ValueError(f"{' and '.join(map(str, sorted(n_seeds)))} seeds can't be paired")
    joint, *each = np.broadcast_arrays(*tables)
    known = ~np.isnan(sum(each) + joint).any(axis=1)
    own = each[addition.domains.index(domain)]
    return _Gains(joint[known], np.sum(each, axis=0)[known], own[known])


def _score(gains: Sequence[_Gains], n_domains: int, domain: str | None, confidence: float) -> Additivity:
    """The score over some domains; without a question in one of them there is none."""
    n_questions = sum(len(one.joint_QS) for one in gains)
    if not all(len(one.joint_QS) for one in gains):
        none = Ratio(None, None, None, NO_QUESTION)
        return Additivity(n_domains, domain, None, None, None, none, none, n_questions)
    joint, separate, own = ([getattr(g, f"{name}_QS") for g in gains] for name in ("joint", "separate", "own"))
    gained, apart, alone = (math.fsum(float(table.mean()) for table in tables) for tables in (joint, separate, own))
    most = float(n_domains)  # separate models, each of which gains or loses at most 1
    ratio = ratio_interval(joint, separate, most=most, confidence=confidence)
    own_ratio = ratio_interval(joint, own, most=1.0, confidence=confidence)
    return Additivity(n_domains, domain, gained, apart, alone, ratio, own_ratio, n_questions)


def ratio_interval(
    above: Sequence[Floats], below: Sequence[Floats], *, most: float = 1.0, confidence: float = CONFIDENCE
) -> Ratio:
    """The ratio of two sums of means over groups of questions, with Fieller's interval.

    There is none where the interval of the second sum does not lie above 0.

    Args:
        above, below: one table [questions, seeds] a group, with the same shapes in both and in [-1, 1] above.
        most: the largest size of a number in `below`.
    """
    divisor = _interval(below, most, confidence)
    if divisor.n == 0 or divisor.low <= 0.0:
        return Ratio(None, None, None, NO_GAIN)
    value = sum(float(table.mean()) for table in above) / sum(float(table.mean()) for table in below)

    def difference(ratio: float) -> Interval:
        tables = [a - ratio * b for a, b in zip(above, below, strict=True)]
        return _interval(tables, 1.0 + abs(ratio) * most, confidence)

    def excess(ratio: float) -> float:
        """Above 0 where the interval of above - ratio below leaves out 0."""
        found = difference(ratio)
        return max(found.low, -found.high)

    found = difference(value)
    width = (found.high - found.low) / 2 / abs(divisor.mean)  # what it is where the divisor is known exactly
    ends = []
    for sign in (-1.0, 1.0):
        outer = next((o for i in range(_DOUBLINGS) if excess(o := value + sign * width * 2.0**i) > 0.0), None)
        if outer is None:
            return Ratio(None, None, None, NO_GAIN)
        ends.append(find_root(excess, min(value, outer), max(value, outer), _TOLERANCE))
    return Ratio(value, ends[0], ends[1], "")


def _interval(groups: Sequence[Floats], most: float, confidence: float) -> Interval:
    """The mean over the groups' means, every group counting the same, with its interval over questions and seeds.

    What groups differ by is taken out of the questions' variance, and each group's questions are spread by
    sqrt(n / (n - 1)) for the mean that is estimated from them. Numbers are in [-most, most].
    """
    total = sum(len(table) for table in groups)
    overall = sum(float(table.mean()) for table in groups) / len(groups)
    if len(groups) == 1:
        return mean_interval(groups[0], bounds=(-most, most), confidence=confidence)
    tables = []
    for table in groups:
        weight = total / (len(groups) * len(table))
        of_seed = table.mean(axis=0, keepdims=True) - table.mean()
        rest = table - table.mean() - of_seed
        spread = math.sqrt(len(table) / (len(table) - 1)) if len(table) > 1 else 1.0
        of_question = rest.mean(axis=1, keepdims=True)
        tables.append(overall + weight * (of_seed + spread * of_question + (rest - of_question)))
    table = np.concatenate(tables)
    bound = max(most, float(np.abs(table).max()))
    return mean_interval(table, bounds=(-bound, bound), confidence=confidence)
