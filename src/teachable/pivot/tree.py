"""All completions of one prompt: a tree of token ids, from which each of its solutions takes what is fair for it.

A completion that was drawn from `start` tokens of some solution is fair for a solution whose first `start` tokens are
the same, from `start` on: there it left the solution freely, at the first token that differs. It is not fair for
shorter prefixes, which it was given and never chose; so it counts at the place where it leaves and nowhere else
(`pivot.curve` has the derivation).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from teachable.pivot.found import Alternative


@dataclass(frozen=True)
class Sample:
    """A whole response of T tokens, of which the first `start` were given and the others drawn.

    `logprobs` are those of the drawn ones, in nats, T - start of them, or None where they are not known.
    """

    start: int
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None
    right: bool
    text: str = ""
    finish_reason: str = "stop"


def leaves_at(sample: Sample, solution: Sequence[int]) -> int | None:
    """The token at which a sample leaves a solution, the solution's length if it never does; None if it isn't fair."""
    ids, start = sample.token_ids, sample.start
    if start > len(solution) or tuple(ids[:start]) != tuple(solution[:start]):
        return None
    for place in range(start, len(solution)):
        if place >= len(ids) or ids[place] != solution[place]:
            return place
    return len(solution)


def alternatives_at(
    position: int, solution: Sequence[int], samples: Sequence[Sample], name: Callable[[int], str]
) -> tuple[Alternative, ...]:
    """The tokens that samples took instead of a solution's at `position`, the likeliest first.

    A token's success probability is the share of right answers among the samples that took it. A sample that ended
    there, without a token, is no alternative; one without log-probabilities counts where others tell the token's.
    """
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    probabilities: dict[int, float] = {}
    for sample in samples:
        if leaves_at(sample, solution) != position or position >= len(sample.token_ids):
            continue
        token = sample.token_ids[position]
        counts[token][0] += 1
        counts[token][1] += sample.right
        if sample.logprobs is not None:
            probabilities[token] = min(1.0, math.exp(sample.logprobs[position - sample.start]))
    known = sorted((token for token in counts if token in probabilities), key=lambda one: (-probabilities[one], one))
    return tuple(
        Alternative(token, name(token), probabilities[token], n_samples=counts[token][0], successes=counts[token][1])
        for token in known
    )
