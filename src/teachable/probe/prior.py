"""What pass rates look like before a prompt was tried: a mixture of Beta distributions, learnt as the run goes.

The prior of a group of prompts is a mixture over a fixed dictionary of Beta distributions; only its weights are
learnt, by expectation-maximisation on the counts so far (empirical Bayes with a nonparametric prior: Laird 1978,
JASA 73; the Beta dictionary makes every posterior a mixture of Betas in closed form). Pass rates of real prompt
sets have a mass near 0, a mass near 1 and a thin middle, which no single Beta fits; a mixture does.

Weights are smoothed towards those of the group above (a level's towards its domain's, a domain's towards all
prompts', and these towards equal weights), as if `STRENGTH` prompts more had been seen that follow it. So a group
with few prompts borrows, and one with many speaks for itself.

Counts may come from adaptive sampling: the likelihood of a prompt's attempts does not depend on the rule by which
sampling stopped, as long as that rule looked at nothing but the attempts (Berger and Wolpert, The Likelihood
Principle, 1988, section 4.2.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teachable.stats import beta_cdf

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The dictionary: means from nearly never to nearly always, each at three concentrations (a + b), so that a group may
# be spread out or narrow wherever it lies.
MEANS = (0.004, 0.015, 0.04, 0.08, 0.15, 0.25, 0.4, 0.5, 0.6, 0.75, 0.85, 0.92, 0.96, 0.985, 0.996)
CONCENTRATIONS = (2.0, 8.0, 30.0)
STRENGTH = 10.0  # prompts that the smoothing counts for
MAX_STEPS = 200
TOLERANCE = 1e-4  # greatest change of a weight at which expectation-maximisation ends

_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


@dataclass(frozen=True)
class Tables:
    """Everything about the dictionary that a probe looks up by its counts, for up to N attempts.

    `likelihood` [N+1, N+1, K]: probability of one ordered sequence of n attempts with s right, under component k.
    `weighted` [N+1, N+1, 5, K]: that probability times what the component's posterior says: its masses below `low`,
    between, and above `high`, its mean and its second moment. Cells with s > n mean nothing.
    """

    likelihood: Floats
    weighted: Floats

    @property
    def n_components(self) -> int:
        """K."""
        return self.likelihood.shape[2]

    @property
    def max_n(self) -> int:
        """N."""
        return self.likelihood.shape[0] - 1


def build_tables(
    max_n: int, low: float, high: float, components: Sequence[tuple[float, float]] | None = None
) -> Tables:
    """The tables for up to `max_n` attempts; `components` are Betas as (a, b), None for the dictionary."""
    if components is None:
        components = [(mean * c, (1 - mean) * c) for mean in MEANS for c in CONCENTRATIONS]
    a_K, b_K = np.array(components, dtype=np.float64).T
    n, s = np.meshgrid(np.arange(max_n + 1), np.arange(max_n + 1), indexing="ij")
    s = np.minimum(s, n)
    f = n - s
    k = np.arange(max_n + 1)[:, None]
    # [N+1, K]: log Gamma(a + k), log Gamma(b + k), log Gamma(a + b + k)
    logs = _log_gamma(a_K + k), _log_gamma(b_K + k), _log_gamma(a_K + b_K + k)
    log_beta = logs[0][s] + logs[1][f] - logs[2][n]
    below = _cdf_table(a_K, b_K, *logs, low)[s, f]
    above = 1.0 - _cdf_table(a_K, b_K, *logs, high)[s, f]
    zones = np.clip(np.stack([below, 1.0 - below - above, above], axis=-2), 0.0, 1.0)
    zones /= zones.sum(-2, keepdims=True)
    a, total = a_K + s[..., None], a_K + b_K + n[..., None]
    moments = np.stack([a / total, a * (a + 1) / (total * (total + 1))], axis=-2)
    likelihood = np.exp(log_beta - log_beta[0, 0])
    return Tables(likelihood, np.concatenate([zones, moments], axis=-2) * likelihood[:, :, None])


def _cdf_table(a_K: Floats, b_K: Floats, log_a: Floats, log_b: Floats, log_ab: Floats, x: float) -> Floats:
    """I_x(a + s, b + f) for s and f from 0 to N, [N+1, N+1, K]; cells with s + f > N mean nothing.

    By recurrence from I_x(a, b): each further success takes x^a (1-x)^b / (a B(a, b)) away, each further failure adds
    x^a (1-x)^b / (b B(a, b)) (DLMF 8.17.20 and 8.17.21).
    """
    size, n_components = log_a.shape
    table = np.zeros((size, size, n_components))
    steps = np.arange(size - 1)[:, None]
    along = np.exp(
        (a_K + steps) * math.log(x) + b_K * math.log1p(-x) - np.log(a_K + steps) - (log_a[:-1] + log_b[0] - log_ab[:-1])
    )
    table[0, 0] = beta_cdf(x, a_K, b_K)
    table[1:, 0] = table[0, 0] - np.cumsum(along, axis=0)
    for s in range(size - 1):
        n_left = size - 1 - s
        f = np.arange(n_left)[:, None]
        up = np.exp(
            (a_K + s) * math.log(x)
            + (b_K + f) * math.log1p(-x)
            - np.log(b_K + f)
            - (log_a[s] + log_b[:n_left] - log_ab[s : s + n_left])
        )
        table[s, 1 : n_left + 1] = table[s, 0] + np.cumsum(up, axis=0)
    return np.clip(table, 0.0, 1.0)


def fit_weights(tables: Tables, n: Ints, s: Ints, towards: Floats, start: Floats | None = None) -> Floats:
    """The mixture weights of a group, [K].

    Args:
        n, s: decided attempts and right ones of every prompt of the group, [P]; prompts without attempts may be there.
        towards: weights of the group above, [K]: they count like `STRENGTH` further prompts.
        start: where to begin, such as the last round's weights; None for `towards`.
    """
    tried = n > 0
    if not tried.any():
        return towards
    pairs, counts = np.unique(np.stack([n[tried], s[tried]], axis=1), axis=0, return_counts=True)
    likelihood = tables.likelihood[pairs[:, 0], pairs[:, 1]]
    # A sequence of 60 attempts has a probability of 1e-18: only the ratios between components matter.
    likelihood = likelihood / likelihood.max(axis=1, keepdims=True)
    weights = towards if start is None else start
    for _ in range(MAX_STEPS):
        shares = likelihood * weights
        shares /= shares.sum(axis=1, keepdims=True)
        # Not a matrix product: how that rounds may depend on the number of threads.
        after = (counts[:, None] * shares).sum(axis=0) + STRENGTH * towards
        after /= after.sum()
        done = float(np.abs(after - weights).max()) < TOLERANCE
        weights = after
        if done:
            break
    return weights


@dataclass(frozen=True)
class Posterior:
    """The posterior of one group by counts: `masses` [N+1, N+1, 3], `mean` and `variance` [N+1, N+1], and
    `p_right` [N, N], the probability that the next attempt is right.
    """

    masses: Floats
    mean: Floats
    variance: Floats
    p_right: Floats


def posterior_of(tables: Tables, weights: Floats) -> Posterior:
    """Mix the dictionary's posteriors with these weights, [K]."""
    mixed = np.einsum("nsqk,k->nsq", tables.weighted, weights)
    mixed /= mixed[..., :3].sum(-1, keepdims=True)
    mean, second = mixed[..., 3], mixed[..., 4]
    return Posterior(
        masses=mixed[..., :3],
        mean=mean,
        variance=np.maximum(second - mean * mean, 1e-12),
        p_right=mean[:-1, :-1],
    )
