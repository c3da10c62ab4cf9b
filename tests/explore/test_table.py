"""The table of trials: what is compared with what, and what is said of it."""

from __future__ import annotations

import math

import numpy as np

from teachable.explore.evidence import gain
from teachable.explore.halving import judged
from teachable.explore.table import Outcome, cells, markdown, round_rows, storable
from teachable.explore.trial import Trial
from teachable.stats import mean_interval
from teachable.train.tune_config import TrainingConfig

RNG = np.random.default_rng(0)
BASE = RNG.binomial(1, 0.2, (40, 1)).astype(float)


def outcome(number: int, p: float, failure: str = "") -> Outcome:
    trial = Trial(number, TrainingConfig(), {"learning_rate": 1e-3 * (number + 1)}, {"a": 0.25, "b": 0.75})
    return Outcome(trial, np.empty((0, 0)) if failure else RNG.binomial(4, p, (40, 3)) / 4, 1000, 5, failure)


PLAIN, GOOD, SAME, FAILED = outcome(0, 0.3), outcome(1, 0.9), outcome(2, 0.3), outcome(3, 0, "the loss became nan")
OUTCOMES = [GOOD, FAILED, PLAIN, SAME]
ROWS = round_rows(2, OUTCOMES, judged({one.trial.number: one.score for one in OUTCOMES}, 1), BASE, ["a", "b"])


def test_each_trial_is_compared_with_base_and_plain_on_the_same_questions_and_seeds() -> None:
    plain, good, same, failed = ROWS
    assert [row["trial"] for row in ROWS] == [0, 1, 2, 3]
    expected = gain(GOOD.scores_QS, PLAIN.scores_QS)
    assert (good["over_plain"], good["over_plain_low"]) == (expected.mean, expected.low)
    assert good["over_base"] == gain(GOOD.scores_QS, BASE).mean
    assert good["score"] == mean_interval(GOOD.scores_QS).mean
    assert (good["better_than_plain"], same["better_than_plain"], plain["better_than_plain"]) == (True, False, None)
    assert (good["promoted"], good["place"], good["seeds"]) == (True, 1, 3)
    assert (failed["score"], failed["over_plain"], failed["seeds"]) == (None, None, 0)
    assert failed["why"] == "its training failed: the loss became nan"
    assert math.isnan(FAILED.score)
    assert (good["learning_rate"], good["mix_a"], good["mix_b"]) == (2e-3, 0.25, 0.75)


def test_without_plain_scores_nothing_is_compared_with_them() -> None:
    others = [GOOD, outcome(0, 0, "the loss became inf")]
    rows = round_rows(1, others, judged({1: 0.5, 0: math.nan}, 1), BASE, ["a", "b"])
    assert [row["over_plain"] for row in rows] == [None, None]
    assert [row["better_than_plain"] for row in rows] == [None, None]


def test_people_read_the_best_first_and_see_what_beats_the_plain_settings() -> None:
    head, *lines = cells(ROWS, ["learning_rate"])
    assert [line[1] for line in lines] == [str(row["trial"]) if row["trial"] else "plain" for row in sorted(
        ROWS, key=lambda row: row["place"])]  # fmt: skip
    assert all(len(line) == len(head) for line in lines)
    assert [line[5].endswith("*") for line in lines if line[1] in ("1", "2")] == [True, False]
    page = markdown(ROWS, ["learning_rate"], ["It won."])
    assert "It won." in page and "- round 2, trial 3: its training failed: the loss became nan" in page
    assert page.count("\n| ") == len(ROWS) + 2


def test_a_column_of_several_types_is_json() -> None:
    rows = storable([{"a": 1, "b": 1, "c": "x"}, {"a": 0.5, "b": "one", "c": None}])
    assert rows == [{"a": 1, "b": "1", "c": "x"}, {"a": 0.5, "b": '"one"', "c": None}]
