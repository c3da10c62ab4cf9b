"""When to stop sampling a prompt, and whom to sample first: optimal stopping with a price on every sample.

With the prior at hand, the number of right answers among n attempts is a Markov chain whose transition
probabilities are known, so the best rule follows by backward induction (DeGroot, Optimal Statistical Decisions,
1970, chapter 12): at the last attempt allowed, name the likeliest zone; before it, go on exactly where that raises
the probability of naming the right zone by more than its price.

The index of a state is the highest price at which going on is still worth it. Prompts are served in its order, so
that each sample goes where it is expected to do the most. Nobody is judged unseen: the first attempt is made
in any case, though late where little is expected of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teachable.probe.prior import Floats, Ints, Posterior

# Prices at which the index is worked out, in probability of the right zone a sample.
PRICES = np.geomspace(1e-5, 0.25, 41)
# A request asks for at least this share of the attempts that its prompt has had: it bounds the number of rounds (each
# waits for its slowest answer) at a price of about one per cent more samples.
GROWTH = 0.05


@dataclass(frozen=True)
class Policy:
    """What to do after n attempts with s right: `index` [N+1, N+1], 0 where sampling stops, and `ask` [N+1, N+1], how
    many samples to ask for next.
    """

    index: Floats
    ask: Ints


def prices_with(price: float) -> Floats:
    """`PRICES` and this one, upwards."""
    return np.union1d(PRICES, [price]) if price > 0 else PRICES


def worth_of(posterior: Posterior, prices: Floats = PRICES) -> Floats:
    """The highest of `prices` (upwards) at which going on beats stopping, 0 where none is: [N+1, N+1].

    By backward induction from the last attempt. A higher price never makes going on better, so the states that go on
    at a price are those whose worth is not below it.
    """
    best = posterior.masses.max(-1)
    size = best.shape[0]
    n_worth = np.zeros((size, size), dtype=np.int64)
    value = np.repeat(best[-1][None], len(prices), axis=0)
    for n in range(size - 2, -1, -1):
        p = posterior.p_right[n, : n + 1]
        on = p * value[:, 1 : n + 2] + (1.0 - p) * value[:, : n + 1] - prices[:, None]
        stop = best[n, : n + 1]
        n_worth[n, : n + 1] = (on > stop + 1e-12).sum(0)
        value = np.maximum(on, stop)
    return np.append(0.0, prices)[n_worth]


def policy_of(posterior: Posterior, price: float, delta: float, worth: Floats | None = None) -> Policy:
    """The policy for one group.

    Args:
        price: least gain in the probability of naming the right zone that a further sample must promise, in
            expectation over what comes. 0: the plain rule, go on until one zone has 1 - delta of the mass.
        delta: see `price`.
        worth: what `worth_of` says for prices of which `price` is one; None to work it out.
    """
    worth = worth_of(posterior, prices_with(price)) if worth is None else worth
    goes_on = worth >= price if price > 0 else posterior.masses.max(-1) < 1.0 - delta
    goes_on[0, 0] = True
    goes_on[-1] = False
    return Policy(np.where(goes_on, np.maximum(worth, PRICES[0] / 2), 0.0), _how_many(goes_on))


def expected_samples(posterior: Posterior, worth: Floats, prices: Floats) -> Floats:
    """How many more samples a prompt will take, in expectation, if it is sampled at each price: [prices, N+1, N+1].

    Args:
        worth: what `worth_of` says for prices of which these are some.
    """
    goes_on = worth >= prices[:, None, None]
    goes_on[:, 0, 0] = True
    more = np.zeros(goes_on.shape)
    for n in range(goes_on.shape[1] - 2, -1, -1):
        p = posterior.p_right[n, : n + 1]
        on = 1.0 + p * more[:, n + 1, 1 : n + 2] + (1.0 - p) * more[:, n + 1, : n + 1]
        more[:, n, : n + 1] = np.where(goes_on[:, n, : n + 1], on, 0.0)
    return more


def _how_many(goes_on: NDArray[np.bool_]) -> Ints:
    """Samples to ask for at once, [N+1, N+1], 0 where sampling stops.

    As many as can't be regretted (no outcome of fewer would have stopped), or the share `GROWTH` of those so far,
    whichever is more; never beyond the last attempt.
    """
    size = goes_on.shape[0]
    safe = np.zeros((size, size), dtype=np.int64)
    for n in range(size - 2, -1, -1):
        after_wrong, after_right = safe[n + 1, : n + 1], safe[n + 1, 1 : n + 2]
        safe[n, : n + 1] = np.where(goes_on[n, : n + 1], 1 + np.minimum(after_wrong, after_right), 0)
    tried = np.arange(size)[:, None]
    grown = np.maximum(safe, np.ceil(GROWTH * tried).astype(np.int64))
    return np.where(safe > 0, np.minimum(grown, size - 1 - tried), 0)
