"""When training ends: the rule's own properties, and how it does on questions whose truth is planted.

Planted runs. A question has a difficulty, so that one model's scores on it at two evaluations go together as real ones
do; the model's skill rises for some evaluations and then stays. Tolerances come from the numbers of runs: a share that
is truly p is seen within 4 standard errors of it, sqrt(p (1 - p) / n), and the seeds are fixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.train.plateau import Evaluation, standing

RULE = {"patience": 3, "min_gain": 0.0, "confidence": 0.8}  # the settings' defaults
N_QUESTIONS = 150
N_RUNS = 100
RISE, LAST = 8, 24  # evaluations in which the planted skill rises, and the last one

scores = st.integers(1, 8).flatmap(
    lambda n: st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=n, max_size=n), min_size=1, max_size=9)
)


def run_of(rows: Sequence[Sequence[float]]) -> list[Evaluation]:
    return [Evaluation(10 * i, 100 * i, tuple(row)) for i, row in enumerate(rows)]


def planted(skills: Sequence[float], rng: np.random.Generator, n: int = N_QUESTIONS) -> list[Evaluation]:
    """Evaluations of a model with these skills: a question is answered right with the logistic chance of skill less
    difficulty, each time anew.
    """
    hard_Q = rng.normal(0.0, 2.0, n)
    chances = [1.0 / (1.0 + np.exp(hard_Q - skill)) for skill in skills]
    return run_of([(rng.random(n) < chance).astype(float) for chance in chances])


def stop_of(evaluations: Sequence[Evaluation], **rule: float) -> int:
    """The index of the evaluation at which training ends, or their number."""
    for i in range(1, len(evaluations) + 1):
        if standing(evaluations[:i], **{**RULE, **rule}).done:
            return i - 1
    return len(evaluations)


# ---- properties ----


@given(scores, st.integers(0, 4))
def test_the_best_is_the_first_of_the_highest_means(rows: list[list[float]], patience: int) -> None:
    evaluations = run_of(rows)
    found = standing(evaluations, patience=patience, min_gain=0.0, confidence=0.8)
    means = [sum(row) / len(row) for row in rows]
    assert found.best_step == 10 * means.index(max(means))
    assert found.reference_step in [one.step for one in evaluations]


@given(scores, st.integers(1, 4))
def test_patience_counts_evaluations_since_the_reference(rows: list[list[float]], patience: int) -> None:
    found = standing(run_of(rows), patience=patience, min_gain=0.0, confidence=0.8)
    assert found.n_without_gain == len(rows) - 1 - found.reference_step // 10
    assert found.done == (found.n_without_gain >= patience)
    assert found.is_gain == (len(rows) > 1 and found.n_without_gain == 0)
    assert found.low <= found.gain <= found.high


@given(scores)
def test_without_patience_there_is_no_plateau(rows: list[list[float]]) -> None:
    assert not standing(run_of(rows), patience=0, min_gain=0.0, confidence=0.8).done


@given(scores, st.floats(0.0, 0.3))
def test_a_larger_minimum_accepts_no_gain_that_a_smaller_refuses(rows: list[list[float]], more: float) -> None:
    pair = run_of(rows[:2])
    easy = standing(pair, patience=1, min_gain=0.0, confidence=0.8)
    hard = standing(pair, patience=1, min_gain=more, confidence=0.8)
    assert easy.is_gain or not hard.is_gain


@given(scores)
def test_the_same_scores_again_are_no_gain(rows: list[list[float]]) -> None:
    assert standing(run_of([rows[0], rows[0]]), patience=1, min_gain=0.0, confidence=0.8).done


def test_small_steps_add_up_against_one_reference() -> None:
    """Each evaluation gains two questions of 100: too few for the interval at once, enough within a patience of 5."""
    rows = [[1.0] * (50 + 2 * i) + [0.0] * (50 - 2 * i) for i in range(6)]
    found = standing(run_of(rows), patience=5, min_gain=0.0, confidence=0.95)
    assert found.reference_step > 0
    assert not found.done


@pytest.mark.parametrize("rows", [[], [[]], [[1.0], [1.0, 0.0]]])
def test_what_cannot_be_compared_is_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="evaluation"):
        standing(run_of(rows), patience=1, min_gain=0.0, confidence=0.8)


def test_the_sentence_says_what_happened() -> None:
    flat = run_of([[1.0, 0.0] * 10] * 3)
    assert standing(flat, patience=2, min_gain=0.0, confidence=0.8).sentence == (
        "Plateau: 2 evaluations in a row gained nothing over the start (50.0%); the start is the best."
    )
    risen = run_of([[0.0] * 20, [1.0] * 20, [1.0] * 19 + [0.0]])
    assert standing(risen[:2], patience=2, min_gain=0.0, confidence=0.8).sentence == (
        "Gaining: step 10 (100.0%) is what the next evaluation is held against; step 10 is the best so far (100.0%)."
    )
    assert standing(risen, patience=2, min_gain=0.0, confidence=0.8).sentence == (
        "No gain over step 10 (100.0%) in 1 of 2 that end training; step 10 is the best so far (100.0%)."
    )


# ---- planted truth ----


@dataclass(frozen=True)
class Risen:
    """Planted runs that rise and then stay: where each ended, which evaluation it kept, and the true accuracies."""

    truth: list[float]
    stops: list[int]
    kept: list[int]


@pytest.fixture(scope="module")
def risen() -> Risen:
    rng = np.random.default_rng(1)
    skills = [-2.0 + 0.5 * min(i, RISE) for i in range(LAST + 1)]
    truth = [float(np.mean(1 / (1 + np.exp(rng.normal(0, 2, 50_000) - skill)))) for skill in skills]
    stops, kept = [], []
    for _ in range(N_RUNS):
        evaluations = planted(skills, rng)
        stops.append(stop_of(evaluations))
        kept.append(standing(evaluations[: stops[-1] + 1], **RULE).best_step // 10)
    return Risen(truth, stops, kept)


def test_a_model_that_does_not_change_stops_at_once_mostly() -> None:
    """Overshoot on a flat curve. An 80% interval lies wholly above 0 by luck in 10% of evaluations, so the first three
    are all no gain in about three quarters of the runs (they share their reference, so not quite 0.9^3 = 0.73).
    """
    rng = np.random.default_rng(0)
    stops = [stop_of(planted([0.0] * 15, rng)) for _ in range(N_RUNS)]
    at_once = np.mean([stop == RULE["patience"] for stop in stops])
    assert at_once == pytest.approx(0.75, abs=0.02 + 4 * math.sqrt(0.75 * 0.25 / N_RUNS))
    assert np.mean(stops) < 2 * RULE["patience"]


def test_a_rise_is_followed_to_its_end(risen: Risen) -> None:
    """Accuracy rises from 21% to 79%. A false stop ends while 10 points or more are still to come: one in a hundred
    runs at most, so with 4 standard errors of that share at most 5 of these 100.
    """
    false_stops = sum(risen.truth[-1] - risen.truth[min(stop, LAST)] > 0.10 for stop in risen.stops)
    assert false_stops <= N_RUNS * (0.01 + 4 * math.sqrt(0.01 * 0.99 / N_RUNS))


def test_a_plateau_is_seen_soon_after_the_rise_has_ended(risen: Risen) -> None:
    """Overshoot: the rule needs `patience` evaluations without a gain, and a false gain begins them anew."""
    overshoot = float(np.mean([max(0, stop - RISE) for stop in risen.stops]))
    assert RULE["patience"] - 2 < overshoot < 2 * RULE["patience"]


def test_the_best_evaluation_is_near_the_top(risen: Risen) -> None:
    """What is lost by keeping the best of those seen, in true accuracy: little against the 8 points on either side
    that an interval of 150 questions has.
    """
    lost = [risen.truth[-1] - risen.truth[kept] for kept in risen.kept]
    assert np.mean(lost) < 0.02
    assert np.quantile(lost, 0.95) < 0.10


def test_more_questions_let_a_slow_rise_through() -> None:
    """A rise of one point an evaluation: 3 evaluations of it are within the interval of 50 questions, and outside that
    of 2,000.
    """
    rng = np.random.default_rng(3)
    skills = [0.07 * i for i in range(16)]
    few = np.mean([stop_of(planted(skills, rng, 50)) for _ in range(40)])
    many = np.mean([stop_of(planted(skills, rng, 2000)) for _ in range(40)])
    assert many > few + 4


def test_a_patience_of_more_stops_later() -> None:
    rng = np.random.default_rng(4)
    runs = [planted([0.0] * 15, rng) for _ in range(40)]
    assert np.mean([stop_of(run, patience=5) for run in runs]) > np.mean([stop_of(run) for run in runs]) + 1
