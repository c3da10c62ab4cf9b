"""Successive halving: many trials on little, the better part of them on more, until few are left on much.

Rounds are synchronous: all trials of a round are judged before any goes on. With `n` trials in the first round, `r`
tokens each, and `eta`, round i (from 0) has `floor(n / eta^i)` trials on `r eta^i` tokens each (Jamieson and Talwalkar
2016, "Non-stochastic Best Arm Identification and Hyperparameter Optimization"; Li et al. 2018, "Hyperband", section 3,
whose inner loop this is). Every round costs about the same.

Where it departs from them: a trial is trained anew in each round, not trained on, since a rate that falls along the
steps allowed, and a mix that is repeated, belong to a length; and the plain settings, trial 0, are trained in every
round, whatever their place, as what the others are compared with.

What it can't do: a trial that learns slowly and would win in the end is lost if it is not among the first 1 / eta of an
early round. One round (`n_rounds` 1) has no such risk and costs the tokens of the last round for every trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from teachable.explore.trial import PLAIN


@dataclass(frozen=True)
class Round:
    """One round's size: trials at most, and training tokens of each."""

    number: int
    n_trials: int
    n_tokens: int


@dataclass(frozen=True)
class Placing:
    """What a round made of a trial. `place` counts from 1; a trial without a score has the last places."""

    trial: int
    place: int
    goes_on: bool
    reason: str


def rounds(n_trials: int, n_rounds: int, eta: int, first_tokens: int) -> tuple[Round, ...]:
    """The rounds of a search, the first one first.

    Raises:
        ValueError: fewer than one trial would be left.
    """
    found = tuple(Round(i + 1, n_trials // eta**i, first_tokens * eta**i) for i in range(n_rounds))
    if not found or found[-1].n_trials < 1:
        raise ValueError(f"{n_trials} trials can't be cut to one in {eta} {n_rounds - 1} times")
    return found


def judged(scores: Mapping[int, float], n_on: int, *, plain_is_guest: bool = False) -> list[Placing]:
    """Who goes on from a round, the best trial first.

    Args:
        scores: of each trial of the round; NaN for one whose training failed.
        n_on: how many go on at most. In the last round, 1: the winner.
        plain_is_guest: the plain settings did not earn this round and are there to be compared with; they can't go on.

    Returns:
        One placing a trial. Among equal scores the plain settings come first, then the trial that was drawn earlier:
        what changes nothing should not lose to luck, and the order of drawing is the same every time.
    """
    order = sorted(scores, key=lambda trial: (-_or_last(scores[trial]), trial))
    running = [trial for trial in order if not math.isnan(scores[trial]) and not (plain_is_guest and trial == PLAIN)]
    chosen = set(running[:n_on])
    place_of = {trial: place for place, trial in enumerate(order, start=1)}
    worst = scores[running[:n_on][-1]] if chosen else math.nan

    def reason(trial: int) -> str:
        if math.isnan(scores[trial]):
            return "its training failed"
        if plain_is_guest and trial == PLAIN:
            return "the plain settings, trained to compare with"
        if trial in chosen:
            return f"among the best {n_on}"
        if scores[trial] == worst:
            return f"not among the best {n_on}: as good as the last of them, but drawn later"
        return f"not among the best {n_on}"

    return [Placing(trial, place_of[trial], trial in chosen, reason(trial)) for trial in order]


def _or_last(score: float) -> float:
    return -math.inf if math.isnan(score) else score
