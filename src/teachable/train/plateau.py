"""When training has nothing more to give: the rule of a plateau, on scores of the same questions again and again.

The first evaluation, of the model before training, is the first *reference*. A later one is a *gain* where the paired
interval, over the questions, of its scores less the reference's lies above a minimum; then it is the reference. So many
evaluations in a row without a gain are a plateau. Since a reference stays until it is clearly beaten, a slow rise is
found as well as a fast one: its small steps add up against the same reference.

What the rule does not promise. An interval of confidence c that is looked at again and again lies above 0 by luck more
often than (1 - c) / 2: each false gain lengthens training by `patience` evaluations, and costs nothing else. A rise
that is so slow that `patience` evaluations of it stay within the interval ends training too early; more questions make
the interval narrower, a larger `patience` gives it more time. The best evaluation is the one with the highest mean,
which is a little too high, being the highest of several: report scores of other questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from teachable.stats import paired_difference


@dataclass(frozen=True)
class Evaluation:
    """A model in training asked the questions that steer it.

    `step` is the number of optimiser steps done and `tokens` those trained on; `scores` has one a question, in
    [0, 1], always in the same order.
    """

    step: int
    tokens: int
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean score."""
        return math.fsum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Standing:
    """What a list of evaluations says.

    `best_step` has the highest mean, the earlier of equals; `reference_step` is the last gain, or the first evaluation;
    `gain`, `low` and `high` are the last evaluation's difference from the reference that it was held against, and
    its interval; `is_gain` says whether that was one; `n_without_gain` evaluations in a row were none; `done` is a
    plateau; `sentence` says it to a reader.
    """

    best_step: int
    reference_step: int
    gain: float
    low: float
    high: float
    is_gain: bool
    n_without_gain: int
    done: bool
    sentence: str


def standing(evaluations: Sequence[Evaluation], *, patience: int, min_gain: float, confidence: float) -> Standing:
    """Where training stands after these evaluations, in the order of their steps.

    Args:
        patience: evaluations in a row without a gain that are a plateau; 0: never.
        min_gain: what a gain's interval must lie above, in score.
        confidence: of that interval.

    Raises:
        ValueError: there is no evaluation, or they are not of the same number of questions (at least one).
    """
    _require_comparable(evaluations)
    reference, best = evaluations[0], evaluations[0]
    gain, low, high, is_gain, without = 0.0, 0.0, 0.0, False, 0
    for one in evaluations[1:]:
        difference = paired_difference(one.scores, reference.scores, confidence=confidence)
        gain, low, high = difference.mean, difference.low, difference.high
        is_gain = low > min_gain
        without = 0 if is_gain else without + 1
        reference = one if is_gain else reference
        best = one if one.mean > best.mean else best
    done = bool(patience) and without >= patience
    return Standing(
        best_step=best.step,
        reference_step=reference.step,
        gain=gain,
        low=low,
        high=high,
        is_gain=is_gain,
        n_without_gain=without,
        done=done,
        sentence=_sentence(reference, best, without, patience, done),
    )


def _require_comparable(evaluations: Sequence[Evaluation]) -> None:
    if not evaluations:
        raise ValueError("there is no evaluation to stand on")
    sizes = {len(one.scores) for one in evaluations}
    if len(sizes) > 1 or 0 in sizes:
        raise ValueError(f"evaluations must score the same questions, at least one, not {sorted(sizes)} of them")


def _sentence(reference: Evaluation, best: Evaluation, without: int, patience: int, done: bool) -> str:
    held = f"step {reference.step} ({reference.mean:.1%})" if reference.step else f"the start ({reference.mean:.1%})"
    kept = f"step {best.step} is the best so far ({best.mean:.1%})" if best.step else "the start is the best so far"
    if done:
        of = "evaluation" if without == 1 else "evaluations in a row"
        return f"Plateau: {without} {of} gained nothing over {held}; {kept.replace(' so far', '')}."
    if not without:
        return f"Gaining: {held} is what the next evaluation is held against; {kept}."
    left = f" of {patience} that end training" if patience else ""
    return f"No gain over {held} in {without}{left}; {kept}."
