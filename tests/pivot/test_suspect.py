"""The estimate of a suspect's change: no bias, a fair standard error, and levels that add up."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from teachable.pivot.steps import cut
from teachable.pivot.suspect import estimate_change, precision_gain, quantile

STAY = [0.6, 0.5, 0.7, 0.5]
Q = [0.3, 0.8, 0.5, 0.4]  # values of leaving


def truth(step: int, right: bool) -> float:
    values = [1.0 if right else 0.0]
    for stay, q in zip(reversed(STAY), reversed(Q), strict=True):
        values.insert(0, stay * values[0] + (1 - stay) * q)
    return values[step + 1] - values[step]


def drawn(draw: random.Random, start: int) -> tuple[int, bool]:
    for step in range(start, len(STAY)):
        if draw.random() > STAY[step]:
            return step, draw.random() < Q[step]
    return len(STAY), True


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("right", [True, False])
def test_estimates_have_no_bias_and_an_honest_error(step: int, right: bool) -> None:
    """Samples from several prefixes together; the mean over n trials within 4 standard errors of the truth."""
    steps = cut([math.log(p) for p in STAY], 0.2)
    draw, n = random.Random(step), 400
    deltas, scores = [], []
    for _ in range(n):
        left = [drawn(draw, start) for start in (0, 0, 1, 1, 2, 2, 3, 3, step, step) for _ in range(6)]
        found = estimate_change(steps, step, left, right)
        deltas.append(found.delta)
        scores.append((found.delta - truth(step, right)) / found.se)
    spread = float(np.std(deltas))
    assert np.mean(deltas) == pytest.approx(truth(step, right), abs=4 * spread / math.sqrt(n) + 1e-4)
    within = float(np.mean(np.abs(scores) < 1.96))
    assert within > 0.95 - 4 * math.sqrt(0.05 * 0.95 / n), f"the error is understated: {within:.3f} within 1.96"


def test_samples_from_later_prefixes_say_nothing_of_an_earlier_fork() -> None:
    steps = cut([math.log(p) for p in STAY], 0.2)
    later = [(2, True), (3, False), (4, True)]
    found = estimate_change(steps, 1, later, True)
    assert found.n[1] == 0 and found.n_used == 2
    assert found.se > 0.2, "with nothing at the fork itself, the error is that of not knowing"


def test_the_levels_add_up() -> None:
    confidence = 0.95
    levels = [1 - 0.5 * (1 + math.erf(quantile(k, confidence) / math.sqrt(2))) for k in range(1, 500)]
    assert sum(levels) == pytest.approx(1 - confidence, rel=0.01) and sum(levels) < 1 - confidence


def test_the_next_sample_goes_where_it_sharpens_most() -> None:
    steps = cut([math.log(p) for p in STAY], 0.2)
    left = [(0, True)] * 50 + [(2, True)] * 50 + [(3, True)] * 50
    gain = precision_gain(steps, estimate_change(steps, 1, left, True))
    assert int(gain.argmax()) == 1
