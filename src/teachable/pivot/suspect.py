"""Whether a suspected token is pivotal, from completions that were drawn after it was suspected.

A token is suspected when the value curve, inferred from all completions so far, makes a big step likely there. That
look at the data favours tokens whose samples happened to lie apart (the winner's curse), so the estimate that decides,
and is reported, counts only completions drawn later, for whatever reason and from whatever prefix.

The estimate. With s the suspected step, stay_j known and q_j the value of leaving at step j (see `pivot.curve`),

    delta = v_(s+1) - v_s = (1 - stay_s) (v_(s+1) - q_s),
    v_(s+1) = sum over j > s of leave(s + 1, j) q_j + leave(s + 1, end) * outcome of the solution,

where leave(i, j) is the probability of following the solution from i and leaving it at j. Each q_j is estimated by the
share of right answers among the later completions that left at j, so delta's estimate is a weighted sum of independent
binomial shares (a stratified estimate; Cochran, Sampling Techniques, 1977, chapter 5): it has no bias where every q_j
has been sampled, and its variance is the weighted sum of theirs. A q_j that nobody has sampled yet counts as 1/2 with a
standard deviation of 1/2, the most that it can be off.

Confidence. |delta| must exceed half the gap with the stated confidence: the k-th token suspected in a solution is
tested at the level (1 - confidence) / (k (k + 1)), which adds up to 1 - confidence over however many there come to be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from teachable.pivot.steps import Floats, Steps


@dataclass(frozen=True)
class Change:
    """An estimated change: `delta` with its standard error `se`, the value after it, and the samples behind it.

    `weights` [M] are those of the q_j, `n` [M] the completions that left at each step, `n_used` those that count.
    """

    delta: float
    se: float
    p_after: float
    weights: Floats
    n: Floats
    n_used: int


def estimate_change(steps: Steps, step: int, left: Sequence[tuple[int, bool]], right: bool) -> Change:
    """The change at `step`, from completions as (step at which they left, M for none; whether they ended right)."""
    m = len(steps)
    n, n_right = np.zeros(m), np.zeros(m)
    for where, good in left:
        if where < m:
            n[where] += 1
            n_right[where] += good
    away = 1.0 - float(steps.stay[step])
    weights = np.zeros(m)
    weights[step + 1 :] = away * steps.leave[step + 1, step + 1 : m]
    weights[step] = -away
    share = np.where(n > 0, n_right / np.maximum(n, 1), 0.5)
    smoothed = (n_right + 1) / (n + 2)
    variance = np.where(n > 0, smoothed * (1 - smoothed) / np.maximum(n, 1), 0.25)
    end = away * float(steps.leave[step + 1, m]) * right
    delta = float(weights @ share) + end
    p_after = delta / away + float(share[step])
    se = math.sqrt(float(weights**2 @ variance))
    return Change(delta, se, p_after, weights, n, int(n[step:].sum()))


def quantile(number: int, confidence: float) -> float:
    """The normal quantile at which the `number`-th suspect (from 1) is tested."""
    return NormalDist().inv_cdf(1.0 - (1.0 - confidence) / (number * (number + 1)))


def precision_gain(steps: Steps, change: Change) -> Floats:
    """By how much one completion from the beginning of each step is expected to lower the variance [M]."""
    n = change.n
    gained = np.where(n > 0, 0.2 / np.maximum(n, 1) - 0.2 / (n + 1), 0.125)
    gain: Floats = steps.leave[:-1, :-1] @ (change.weights**2 * gained)
    return gain
