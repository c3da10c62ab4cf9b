"""The best that any rule of sampling can reach on planted pass rates, where the distribution of these is known.

Optimal stopping with the true prior (`teachable.probe.policy` says how), worked out in the population instead of
simulated: how often each state is reached, and what is named there, follows by recursion. One price a sample for all
levels gives the highest zone accuracy that any rule with as many samples on average can have; F1 is that rule's.
(Naming prompts `teachable` so as to maximise F1 instead moves it by less than 0.0005 here.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teachable.probe.policy import policy_of, worth_of
from teachable.probe.prior import Posterior
from teachable.stats import beta_cdf

Floats = NDArray[np.float64]

# Shares and parameters of the Betas from which pass rates are drawn.
SHARES = (0.45, 0.30, 0.25)
BETAS = ((0.4, 25.0), (1.5, 1.5), (25.0, 0.4))
NOISE = 2.0  # standard deviation, in logits, of what the noisy difficulty column adds to a pass rate
N_LEVELS = 5
_PRICES = np.geomspace(2e-4, 2e-2, 80)
_N_BINS = 800  # of the logit, from -14 to 14


@dataclass(frozen=True)
class Ceiling:
    """Points of the best rules, dearest first: samples a prompt, zone accuracy, F1 of `teachable`."""

    samples: Floats
    accuracy: Floats
    f1: Floats

    def at(self, samples: float) -> tuple[float, float]:
        """Accuracy and F1 at so many samples a prompt; between two rules, by tossing a coin for each prompt."""
        return float(np.interp(samples, self.samples, self.accuracy)), float(np.interp(samples, self.samples, self.f1))


def kinds_of_level(low: float, high: float) -> Mapping[str, tuple[Floats, Floats]]:
    """Pass rates [R] on a fine grid, and their probabilities [levels, R] jointly with the level, by column."""
    logits = np.linspace(-14.0, 14.0, _N_BINS + 1)
    edges = np.union1d(1.0 / (1.0 + np.exp(-logits)), [low, high])
    inner = np.log(edges / (1.0 - edges))
    middles = np.concatenate([[-15.0], (inner[1:] + inner[:-1]) / 2.0, [15.0]])
    parts = [np.diff(np.concatenate([[0.0], beta_cdf(edges, a, b), [1.0]])) for a, b in BETAS]
    joint_CR = np.array(SHARES)[:, None] * np.stack(parts)
    total_R = joint_CR.sum(0)
    cuts = [_quantile(total_R, middles, level / N_LEVELS) for level in range(1, N_LEVELS)]
    below = np.stack([np.zeros_like(middles), *(_normal_cdf((cut - middles) / NOISE) for cut in cuts), middles * 0 + 1])
    rates = 1.0 / (1.0 + np.exp(-middles))
    return {
        "none": (rates, total_R[None]),
        "component": (rates, joint_CR),
        "noisy": (rates, np.diff(below, axis=0) * total_R),
    }


def ceiling(rates: Floats, joint: Floats, max_n: int, low: float, high: float) -> Ceiling:
    """The best rules of up to `max_n` samples.

    Args:
        rates: pass rates, [R].
        joint: the probability of level and pass rate, [levels, R].
    """
    found = np.zeros((len(_PRICES), 4))  # samples, right, named teachable, rightly so
    for weights in joint:
        share = float(weights.sum())
        posterior = _posterior(rates, weights / share, max_n, low, high)
        worth = worth_of(posterior, _PRICES)
        for i, price in enumerate(_PRICES):
            found[i] += share * _outcome(posterior, policy_of(posterior, float(price), 0.1, worth).index > 0)
    is_teachable = joint[:, (rates >= low) & (rates <= high)].sum()
    samples, right, named, hit = found[::-1].T
    return Ceiling(samples, right, 2 * hit / (named + is_teachable))


def _posterior(rates: Floats, weights: Floats, max_n: int, low: float, high: float) -> Posterior:
    """The posterior by counts of a prior on points."""
    n, s = np.meshgrid(np.arange(max_n + 1), np.arange(max_n + 1), indexing="ij")
    s = np.minimum(s, n)[..., None]
    log_likelihood = s * np.log(rates) + (n[..., None] - s) * np.log1p(-rates)
    shares = weights * np.exp(log_likelihood - log_likelihood.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    zones = (rates < low, (rates >= low) & (rates <= high), rates > high)
    mean = shares @ rates
    return Posterior(
        masses=np.stack([shares[..., zone].sum(-1) for zone in zones], axis=-1),
        mean=mean,
        variance=shares @ rates**2 - mean**2,
        p_right=mean[:-1, :-1],
    )


def _outcome(posterior: Posterior, goes_on: NDArray[np.bool_]) -> Floats:
    """Samples, P(right zone), P(`teachable` is named), P(rightly so) of a rule."""
    best, zone = posterior.masses.max(-1), posterior.masses.argmax(-1)
    found = np.zeros(4)
    reach = np.ones(1)
    for n in range(goes_on.shape[0]):
        on = goes_on[n, : n + 1]
        ends = np.where(on, 0.0, reach)
        named = ends * (zone[n, : n + 1] == 1)
        found += [n * ends.sum(), ends @ best[n, : n + 1], named.sum(), named @ best[n, : n + 1]]
        if n + 1 < goes_on.shape[0]:
            right = np.where(on, reach, 0.0) * posterior.p_right[n, : n + 1]
            wrong = np.where(on, reach, 0.0) - right
            reach = np.append(wrong, 0.0) + np.append(0.0, right)
    return found


def _quantile(weights_R: Floats, logits_R: Floats, share: float) -> float:
    """Where the noisy logit has that share below it, by bisection."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2.0
        enough = float(weights_R @ _normal_cdf((middle - logits_R) / NOISE)) > share
        low, high = (low, middle) if enough else (middle, high)
    return low


def _normal_cdf(z: Floats) -> Floats:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in z.tolist()])
