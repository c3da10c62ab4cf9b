"""A solution cut into steps: the forks, where success may change, and the near-certain runs between them.

The bound. With pi the probabilities that completions are really drawn from, the success probability of a prefix is the
pi-weighted mean of its children's: v = pi(t) v_t + (1 - pi(t)) q, where q is the value of leaving t for any other
token. All values lie in [0, 1], so |v_t - v| = (1 - pi(t)) |v_t - q| <= 1 - pi(t). The same holds of a run of tokens
with the product of their probabilities. So a token with pi > 1 - gap cannot be pivotal, whatever it is, and no sample
need be spent on learning so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """M consecutive steps that make up a solution of T tokens.

    `begin` and `end` [M]: tokens begin to end - 1 are the step's. `stay` [M]: the probability of following the solution
    through the step. `is_fork` [M]: one token, with a probability of at most 1 - gap / 2. `may_pivot` [M]: a fork that
    the bound does not rule out. `step_of` [T + 1]: the step that token t belongs to, M for t = T. `leave` [M + 1,
    M + 1]: the probability that a completion from the beginning of step i leaves the solution in step j; column M is
    that of following it to the end.
    """

    begin: Ints
    end: Ints
    stay: Floats
    is_fork: Bools
    may_pivot: Bools
    step_of: Ints
    leave: Floats

    def __len__(self) -> int:
        return len(self.begin)


def cut(logprobs: Sequence[float], gap: float) -> Steps:
    """The steps of a solution whose tokens have these log-probabilities (nats), one at least."""
    probabilities = [min(1.0, math.exp(logprob)) for logprob in logprobs]
    most = 1.0 - gap / 2.0
    found: list[tuple[int, int, float, bool]] = []
    begin, product = 0, 1.0

    def close(end: int) -> None:
        nonlocal begin, product
        if begin < end:
            found.append((begin, end, product, False))
        begin, product = end, 1.0

    for place, probability in enumerate(probabilities):
        if probability <= most:
            close(place)
            found.append((place, place + 1, probability, True))
            begin = place + 1
            continue
        if product * probability < most:
            close(place)
        product *= probability
    close(len(probabilities))
    begins, ends, stays, forks = zip(*found, strict=True)
    stay, is_fork = np.array(stays, dtype=np.float64), np.array(forks, dtype=np.bool_)
    step_of = np.full(len(probabilities) + 1, len(found), dtype=np.int64)
    for place, (first, last) in enumerate(zip(begins, ends, strict=True)):
        step_of[first:last] = place
    may_pivot = is_fork & (stay <= 1.0 - gap + 1e-9)
    return Steps(np.array(begins), np.array(ends), stay, is_fork, may_pivot, step_of, _leave(stay))


def _leave(stay: Floats) -> Floats:
    """The probabilities of `Steps.leave`; see there."""
    m = len(stay)
    leave = np.zeros((m + 1, m + 1))
    leave[m, m] = 1.0
    for step in range(m - 1, -1, -1):
        leave[step] = stay[step] * leave[step + 1]
        leave[step, step] = 1.0 - stay[step]
    return leave
