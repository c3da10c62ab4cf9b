"""The value curve of a solution, inferred from where completions left it and how they ended.

The model. Let v_i be the success probability of the prefix before step i, and v_M the known end: 1 if the solution is
right, 0 if wrong. A completion drawn from anywhere before step i that follows the solution up to i and leaves it there
ends right with probability q_i, the value of leaving, and by the bound's identity (`pivot.steps`)

    v_i = stay_i v_(i+1) + (1 - stay_i) q_i.

Why every completion may be counted, and counted once. A completion drawn from the prefix of step s is a sequence of
independent choices: given that it reached step i >= s along the solution, what follows is distributed as a completion
drawn from the prefix of i, whatever s was. So its outcome, given that it leaves at i, is a Bernoulli(q_i) draw; it says
nothing of steps before s, which it was never free to leave, and nothing more of the steps that it followed, whose
`stay` is known. Counting it at i alone therefore loses nothing and has no bias, and completions from different
prefixes add up. One that follows the solution to its end tells nothing new: that end is known.

Prior. Steps at forks are small mostly and big now and then: |v_(i+1) - v_i| has a histogram over `BINS`, learnt from
the run itself by expectation-maximisation (empirical Bayes; Robbins 1956). Runs between forks move little.

Inference is exact on a grid of values: forward-backward over the chain v_0 .. v_M (Rabiner 1989, Proc. IEEE 77(2),
section III), with the term q_i^right (1 - q_i)^wrong for each step, where q_i follows from v_i and v_(i+1) and must lie
in [0, 1]. That is how the next-token probabilities tie the values together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from teachable.pivot.steps import Bools, Floats, Steps

N_GRID = 101
GRID: Floats = np.linspace(0.0, 1.0, N_GRID)
CHANGE: Floats = GRID[None, :] - GRID[:, None]  # [before, after]
SIZE: Floats = np.abs(CHANGE)
BINS: Floats = np.array([0, 0.01, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0001])
N_BINS = len(BINS) - 1
BIN_OF = np.clip(np.searchsorted(BINS, SIZE + 1e-9, side="right") - 1, 0, N_BINS - 1)
_CELLS = np.bincount(BIN_OF.ravel(), minlength=N_BINS) / SIZE.size
# Before anything was seen: 3 of 4 forks move success by under 0.1, 1 of 5 by more than 0.15.
FIRST_PRIOR: Floats = np.array([0.20, 0.24, 0.19, 0.10, 0.05, 0.03, 0.02, 0.06, 0.06, 0.03, 0.02])
PRIOR_WEIGHT = 30.0  # forks that the first prior counts for
SURE = 0.03  # a step that is left less often moves the value by less than its grid tells
_HALF = 0.5 / (N_GRID - 1)
_TINY = 1e-9


@dataclass(frozen=True)
class Curve:
    """What is believed of a solution of M steps.

    `mean`, `sd` [M + 1]: of the values. `p_big` [M]: the posterior probability that a step which may be pivotal changes
    the value by at least the threshold; `p_gap` [M]: by at least the gap. `bin_counts` [N_BINS]: expected numbers of
    forks a bin. Of K draws from the posterior, `drawn_q` [K, M] are the values of leaving, and `drawn_big` [K, M] says
    whether the step is big.
    """

    mean: Floats
    sd: Floats
    p_big: Floats
    p_gap: Floats
    bin_counts: Floats
    drawn_q: Floats
    drawn_big: Bools


def learn_prior(counts: Floats) -> Floats:
    """The histogram of a fork's change given expected numbers a bin [N_BINS], which add up over a run's solutions."""
    prior: Floats = counts + PRIOR_WEIGHT * FIRST_PRIOR / FIRST_PRIOR.sum()
    return prior / prior.sum()


class Chain:
    """One solution's chain of values, with what has not changed since the last inference kept."""

    def __init__(self, steps: Steps, *, right: bool, gap: float, threshold: float) -> None:
        self._steps = steps
        self._right = right
        self._threshold = threshold - _TINY
        self._big = self._threshold <= SIZE
        self._gap = gap - _HALF - _TINY <= SIZE
        self._kept: dict[int, tuple[tuple[float, float], Floats]] = {}

    def infer(self, right: Floats, wrong: Floats, prior: Floats, n_draws: int, rng: np.random.Generator) -> Curve:
        """The posterior given the outcomes [M] of those that left at each step, and the prior [N_BINS] of a change."""
        steps, m = self._steps, len(self._steps)
        factors = self._factors(right, wrong, prior)
        forward, backward = self._messages(factors)
        values = forward * backward
        values /= values.sum(axis=1, keepdims=True)
        mean = values @ GRID
        sd = np.sqrt(np.maximum(values @ GRID**2 - mean**2, 0.0))
        p_big, p_gap, counts = np.zeros(m), np.zeros(m), np.zeros(N_BINS)
        for step in np.flatnonzero(steps.is_fork):
            joint = forward[step][:, None] * factors[step] * backward[step + 1][None, :]
            joint /= joint.sum()
            counts += np.bincount(BIN_OF.ravel(), weights=joint.ravel(), minlength=N_BINS)
            if steps.may_pivot[step]:
                p_big[step], p_gap[step] = joint[self._big].sum(), joint[self._gap].sum()
        drawn = self._draw(factors, values[0], backward, n_draws, rng)
        stay = steps.stay
        q = (drawn[:, :-1] - stay * drawn[:, 1:]) / np.maximum(1.0 - stay, _TINY)
        big = np.abs(np.diff(drawn, axis=1)) >= self._threshold
        return Curve(mean, sd, p_big, p_gap, counts, np.clip(q, 0.01, 0.99), big)

    def _factors(self, right: Floats, wrong: Floats, prior: Floats) -> Floats:
        """The chain's factor of each step [M, before, after], each up to a constant of its own."""
        weight = np.log(prior / _CELLS + 1e-12)[BIN_OF]
        factors = np.empty((len(self._steps), N_GRID, N_GRID))
        for step in range(len(self._steps)):
            counts = (float(right[step]), float(wrong[step]))
            if step not in self._kept or self._kept[step][0] != counts:
                self._kept[step] = counts, self._likelihood(step, *counts)
            log_factor = self._kept[step][1]
            if self._steps.is_fork[step]:
                log_factor = log_factor + weight
            factors[step] = np.exp(log_factor - log_factor.max())
        return factors

    def _likelihood(self, step: int, right: float, wrong: float) -> Floats:
        """The log-probability of a step's outcomes, for a run with its prior; -inf where no q in [0, 1] fits."""
        stay = float(self._steps.stay[step])
        if 1.0 - stay < SURE:
            nearby = max(1.0 - stay, 2.0 * _HALF) + _TINY >= SIZE
            return np.where(SIZE < _TINY, 0.0, np.where(nearby, -4.0, -np.inf))
        q = (GRID[:, None] - stay * GRID[None, :]) / (1.0 - stay)
        fits = (q >= -_HALF) & (q <= 1.0 + _HALF)
        q = np.clip(q, 0.005, 0.995)
        log_likelihood = right * np.log(q) + wrong * np.log1p(-q)
        if not self._steps.is_fork[step]:
            log_likelihood = log_likelihood - SIZE / (0.3 * (1.0 - stay))
        return np.where(fits, log_likelihood, -np.inf)

    def _messages(self, factors: Floats) -> tuple[Floats, Floats]:
        m = len(factors)
        forward, backward = np.full((m + 1, N_GRID), 1.0 / N_GRID), np.zeros((m + 1, N_GRID))
        backward[m, -1 if self._right else 0] = 1.0
        for step in range(m):
            message = forward[step] @ factors[step]
            forward[step + 1] = message / message.sum()
        for step in range(m - 1, -1, -1):
            message = factors[step] @ backward[step + 1]
            backward[step] = message / message.sum()
        return forward, backward

    def _draw(self, factors: Floats, first: Floats, backward: Floats, n: int, rng: np.random.Generator) -> Floats:
        """n value curves [n, M + 1] drawn from the posterior."""
        m = len(factors)
        places = np.empty((n, m + 1), dtype=np.int64)
        places[:, 0] = rng.choice(N_GRID, size=n, p=first)
        for step in range(m):
            weights = (factors[step][places[:, step]] * backward[step + 1]).cumsum(axis=1)
            sought = rng.random(n) * weights[:, -1]
            places[:, step + 1] = np.minimum((weights < sought[:, None]).sum(axis=1), N_GRID - 1)
        return GRID[places]


def information(steps: Steps, curve: Curve, open_: Bools) -> Floats:
    """What one completion from the beginning of each step is expected to tell [M], in nats.

    It is the mutual information between the completion's outcome and whether each `open_` fork [M] is big, added up
    over these forks: a completion leaves at step j with a known probability, and there its outcome is right with
    probability q_j, which differs between the draws in which the fork is big and those in which it is not.
    """
    asked = np.flatnonzero(open_)
    big = curve.drawn_big[:, asked].astype(np.float64)
    n_big, overall = big.sum(axis=0)[:, None], 0.5 * curve.drawn_q.mean(axis=0)
    q_big = (big.T @ curve.drawn_q + overall) / (n_big + 0.5)
    q_small = ((1.0 - big).T @ curve.drawn_q + overall) / (len(big) - n_big + 0.5)
    share = curve.p_big[asked][:, None]
    told = _entropy(share * q_big + (1 - share) * q_small) - share * _entropy(q_big) - (1 - share) * _entropy(q_small)
    at_step = np.where(1.0 - steps.stay < SURE, 0.0, told.sum(axis=0))
    gain: Floats = steps.leave[:-1, :-1] @ at_step
    return gain


def _entropy(p: Floats) -> Floats:
    entropy: Floats = -(p * np.log(p) + (1.0 - p) * np.log1p(-p))
    return entropy
