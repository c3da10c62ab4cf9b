"""What the gradients of several domains say of each other, from the inner products of the parts of their probe batches.

A domain's gradient is g = sum of its parts' gradients / their tokens. It is a sample's: g = mu + noise, and noise makes
two gradients look less alike than they are. Inner products of *different* parts hold no noise on average, so

- `cosine`: of g_a and g_b, as an optimiser meets them in batches of this size.
- `repeat`, of one domain: mu.mu / g.g, the cosine to expect of g with that of another batch of its domain and size.
- `aligned`: mu_a.mu_b / (norm(mu_a) norm(mu_b)), without noise: the cosine over sqrt(repeat_a repeat_b), which is the
  correction for attenuation (Spearman 1904).
- `low`, `high`: its 95% interval, from a jackknife over parts: each part of either domain left out in turn. Where that
  leaves a domain without any gradient beside the noise, nothing is said of the pair.
- `one_to_two`: mu_a.mu_b / mu_a.mu_a, how much the loss of b falls for each nat that one small step along a's gradient
  takes from a's own; negative where it rises.
- `opposed`: the share of coordinates, among those where both gradients are not 0, in which their signs differ.

`cosine` below 0 is what Yu et al. 2020 ("Gradient surgery for multi-task learning") call a conflict; `one_to_two` is
the first order of the lookahead loss that Fifty et al. 2021 ("Efficiently identifying task groupings for multi-task
learning") measure, put relative to a's own gain.

**What is not known.** All this holds at the base and for a plain gradient step. AdamW scales every coordinate by its
own history, the gradients turn as training goes on, and interference that comes late (a long run, a large rate) can't
be seen at its beginning. `opposed` near one half is what noise alone gives: compare it with the domains' own, between
two halves of their batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from teachable.stats import Floats, t_quantile

CONFIDENCE = 0.95
LEAST_PARTS = 3  # of each domain, for an interval


@dataclass(frozen=True)
class GradientPair:
    """How two domains' gradients relate; None where noise leaves nothing to compare."""

    one: str
    two: str
    cosine: float | None  # in [-1, 1]
    aligned: float | None  # in [-1, 1]
    low: float | None
    high: float | None
    cosine_by_group: Mapping[str, float | None]
    opposed: float | None  # in [0, 1]
    one_to_two: float | None
    two_to_one: float | None


@dataclass(frozen=True)
class PartProducts:
    """What was kept of P parts of D domains.

    Attributes:
        names: the domains [D].
        owner_P: which domain a part belongs to.
        tokens_P: loss-bearing tokens of each part.
        products: group of layers -> inner products of the parts' summed gradients [P, P].
    """

    names: tuple[str, ...]
    owner_P: np.ndarray
    tokens_P: Floats
    products: Mapping[str, Floats]

    @property
    def whole_P_P(self) -> Floats:
        """Inner products over all groups."""
        return np.asarray(sum(self.products.values()), dtype=np.float64)

    def parts_of(self, domain: int) -> np.ndarray:
        """The places of a domain's parts."""
        return np.flatnonzero(self.owner_P == domain)

    def between(self, one: np.ndarray, two: np.ndarray, table: Floats) -> float:
        """g_a.g_b of two sets of parts."""
        below = float(self.tokens_P[one].sum() * self.tokens_P[two].sum())
        return float(table[np.ix_(one, two)].sum()) / below

    def true_square(self, parts: np.ndarray, table: Floats) -> float:
        """An estimate of mu.mu that no noise raises: from pairs of different parts. NaN of a single part."""
        inside, tokens = table[np.ix_(parts, parts)], self.tokens_P[parts]
        pairs = float(tokens.sum() ** 2 - (tokens**2).sum())
        return float(inside.sum() - np.trace(inside)) / pairs if pairs > 0 else math.nan

    def norm(self, domain: int) -> float:
        """The norm of a domain's gradient, a mean over its tokens."""
        parts = self.parts_of(domain)
        return math.sqrt(max(0.0, self.between(parts, parts, self.whole_P_P)))

    def repeat(self, domain: int) -> float | None:
        """The cosine to expect with another batch of this domain; None for a single part or no gradient."""
        parts, table = self.parts_of(domain), self.whole_P_P
        seen, true = self.between(parts, parts, table), self.true_square(parts, table)
        return min(1.0, true / seen) if seen > 0 and not math.isnan(true) else None


def pairs_of(parts: PartProducts, opposed: Mapping[tuple[int, int], float | None]) -> list[GradientPair]:
    """Every pair of domains, the least aligned first.

    Args:
        opposed: (domain, domain), rising -> the share of opposing signs.
    """
    n = len(parts.names)
    found = [_pair(parts, i, j, opposed.get((i, j))) for i in range(n) for j in range(i + 1, n)]
    return sorted(found, key=lambda pair: (pair.aligned is None, pair.aligned or 0.0, pair.cosine or 0.0))


def share_opposed(first: Sequence[float] | Floats, second: Sequence[float] | Floats) -> float | None:
    """The share of coordinates whose signs differ, among those where both are not 0; None where there are none."""
    product = np.sign(first) * np.sign(second)
    n_both = int((product != 0).sum())
    return int((product < 0).sum()) / n_both if n_both else None


def _pair(parts: PartProducts, i: int, j: int, opposed: float | None) -> GradientPair:
    one, two, table = parts.parts_of(i), parts.parts_of(j), parts.whole_P_P
    dot = parts.between(one, two, table)
    square_one, square_two = parts.true_square(one, table), parts.true_square(two, table)
    aligned = _aligned(parts, one, two, table)
    low, high = _jackknifed(parts, one, two, table, aligned)
    if low is None and min(one.size, two.size) >= LEAST_PARTS:
        aligned = None  # it hangs on a single part
    return GradientPair(
        parts.names[i],
        parts.names[j],
        cosine=_cosine(parts, one, two, table),
        aligned=None if aligned is None else _within(aligned),
        low=None if low is None else _within(low),
        high=None if high is None else _within(high),
        cosine_by_group={group: _cosine(parts, one, two, its) for group, its in parts.products.items()},
        opposed=opposed,
        one_to_two=dot / square_one if square_one > 0 else None,
        two_to_one=dot / square_two if square_two > 0 else None,
    )


def _cosine(parts: PartProducts, one: np.ndarray, two: np.ndarray, table: Floats) -> float | None:
    below = parts.between(one, one, table) * parts.between(two, two, table)
    return _within(parts.between(one, two, table) / math.sqrt(below)) if below > 0 else None


def _aligned(parts: PartProducts, one: np.ndarray, two: np.ndarray, table: Floats) -> float | None:
    """The cosine without noise; None where what is left of a norm is not above 0."""
    squares = [parts.true_square(side, table) for side in (one, two)]
    if not all(square > 0 for square in squares):
        return None
    return parts.between(one, two, table) / math.sqrt(squares[0] * squares[1])


def _jackknifed(
    parts: PartProducts, one: np.ndarray, two: np.ndarray, table: Floats, aligned: float | None
) -> tuple[float | None, float | None]:
    """The interval of `aligned`: the variances of two independent samples of parts, added up."""
    least = min(one.size, two.size)
    if aligned is None or least < LEAST_PARTS:
        return None, None
    variance = 0.0
    for side in (one, two):
        without = []
        for left_out in side:
            rest = side[side != left_out]
            found = _aligned(parts, rest, two, table) if side is one else _aligned(parts, one, rest, table)
            if found is None:
                return None, None
            without.append(found)
        spread = np.asarray(without) - np.mean(without)
        variance += (side.size - 1) / side.size * float(spread @ spread)
    half = t_quantile(0.5 + CONFIDENCE / 2.0, least - 1.0) * math.sqrt(variance)
    return aligned - half, aligned + half


def _within(cosine: float) -> float:
    return max(-1.0, min(1.0, cosine))
