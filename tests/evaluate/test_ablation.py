"""What an ablation says of planted scores: differences, areas, adjusted p-values, and "worse" where it is worse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.report.ablations import GAINS, STEPS, TOKENS, planted_rows

from teachable.evaluate.ablation import Bootstrap, Courses, compared, outcome_of, summarise_ablation
from teachable.stats import holm, paired_difference

DRAW = Bootstrap(400)


def tiny(scores: dict[str, list[list[float]]], base: list[float]) -> list[dict[str, object]]:
    """Rows of one seed: of each arm a list of scores (one a question) for each step."""
    rows = [
        {"arm": "base", "seed": 0, "step": 0, "tokens": 0, "prompt_id": f"q{q}", "score": value}
        for q, value in enumerate(base)
    ]
    for arm, along in scores.items():
        for step, values in enumerate(along, start=1):
            at = {"arm": arm, "seed": 0, "step": step, "tokens": 10 * step}
            rows += [{**at, "prompt_id": f"q{q}", "score": value} for q, value in enumerate(values)]
    return rows


def test_the_area_is_the_mean_height_of_the_way_from_the_base() -> None:
    rows = tiny({"teachable": [[0.0, 1.0], [1.0, 1.0]], "random": [[0.0, 0.0], [0.0, 0.0]]}, [0.0, 0.5])
    courses = Courses(rows)
    assert courses.steps == [1, 2]
    # (0 + 0)/2 + (0 + 1)/2, halved; (0.5 + 1)/2 + (1 + 1)/2, halved
    assert courses.table("teachable", "area").tolist() == [[0.25], [0.875]]
    assert courses.table("random", "area").tolist() == [[0.0], [0.125]]
    assert courses.table("teachable", "end").tolist() == [[1.0], [1.0]]
    assert courses.table("base", "area").tolist() == courses.table("base", "end").tolist() == [[0.0], [0.5]]


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_comparisons_are_paired_and_adjusted_for_the_arms_alone(seed: int) -> None:
    rows = planted_rows({"teachable": 0.1, "random": 0.05, "beyond": 0.0}, n_questions=20, n_seeds=3, seed=seed)
    found = compared(Courses(rows), DRAW)
    assert [(row["number"], row["baseline"]) for row in found] == [
        (number, other) for number in ("end", "area") for other in ("random", "beyond", "base")
    ]
    for number in ("end", "area"):
        mine = [row for row in found if row["number"] == number]
        assert [row["p_holm"] for row in mine[:2]] == holm([row["p_value"] for row in mine[:2]])
        assert mine[2]["p_holm"] == mine[2]["p_value"]
    ends = {
        arm: np.array(
            [[r["score"] for r in rows if (r["arm"], r["seed"], r["step"]) == (arm, s, STEPS[-1])] for s in range(3)]
        ).T
        for arm in ("teachable", "random")
    }
    again = paired_difference(ends["teachable"], ends["random"], method="bootstrap", n_bootstrap=400)
    students = paired_difference(ends["teachable"], ends["random"])
    first = found[0]
    assert (first["diff"], first["low"], first["high"]) == (again.mean, again.low, again.high)
    assert (first["t_low"], first["t_high"]) == (students.low, students.high)


@pytest.mark.parametrize(
    ("gains", "outcome", "words"),
    [
        ({"teachable": 0.3, "random": 0.0, "full": 0.05}, "better", "better than random (+"),
        ({"teachable": 0.0, "random": 0.3, "full": 0.0}, "worse", "worse than random (-"),
        ({"teachable": 0.3, "random": 0.3, "beyond": -0.2}, "better than some", "no difference from random"),
        ({"teachable": 0.2, "random": 0.2}, "no difference", "no difference from random"),
    ],
)
def test_the_verdict_says_what_there_is_also_when_teachable_loses(
    gains: dict[str, float], outcome: str, words: str
) -> None:
    rows = planted_rows(gains, n_questions=150, n_seeds=4)
    runs = [{"arm": arm, "seed": s, "n_tokens": STEPS[-1] * TOKENS, "n_examples": 9} for arm in gains for s in range(4)]
    found = summarise_ablation(rows, runs, [], DRAW)
    sentence = found["verdict"]["sentence"]
    assert found["verdict"]["outcome"] == outcome
    assert words in sentence
    mean = next(arm["end"]["mean"] for arm in found["arms"] if arm["arm"] == "teachable")
    opening = f"At the same 51,200 training tokens and 100 steps, 4 seeds each, teachable ended at {mean:.1%}: "
    assert sentence.startswith(opening) and sentence.count(". ") == 0 and sentence.endswith(".")


def test_a_claim_needs_both_intervals_and_the_adjusted_p_value() -> None:
    sure = {"low": 0.01, "high": 0.1, "t_low": 0.005, "t_high": 0.11, "p_holm": 0.01}
    assert outcome_of(sure) == "better"
    assert outcome_of(sure | {"t_low": -0.001}) == "no difference"
    assert outcome_of(sure | {"p_holm": 0.06}) == "no difference"
    below = {"low": -0.1, "high": -0.01, "t_low": -0.11, "t_high": -0.005, "p_holm": 0.01}
    assert outcome_of(below) == "worse"
    assert outcome_of(below | {"t_high": 0.001}) == "no difference"


def test_equal_arms_are_seldom_called_different() -> None:
    """A false alarm in at most a few of 40 worlds in which no arm differs from another."""
    equal = dict.fromkeys(GAINS, 0.1)
    alarms = 0
    for seed in range(40):
        rows = planted_rows(equal, n_questions=30, n_seeds=5, seed=seed)
        found = compared(Courses(rows), Bootstrap(200))
        alarms += any(
            r["outcome"] != "no difference" for r in found if r["baseline"] != "base" and r["number"] == "end"
        )
    assert alarms <= 6


def test_what_could_not_be_decided_leaves_its_question_out_of_the_pair() -> None:
    rows = tiny({"teachable": [[1.0, 0.0, 1.0]], "random": [[0.0, 0.0, 0.0]]}, [0.0, 0.0, 0.0])
    rows[3]["score"] = None  # teachable's first question
    (end, *_) = compared(Courses(rows), DRAW)
    assert (end["n_questions"], end["diff"]) == (2, 0.5)


def test_a_question_that_was_not_asked_is_no_silent_gap() -> None:
    rows = tiny({"teachable": [[1.0, 0.0]], "random": [[0.0, 0.0]]}, [0.0, 0.0])
    with pytest.raises(ValueError, match="every question after every step"):
        Courses(rows[:-1])


def test_a_band_is_the_interval_of_the_gain_over_the_base() -> None:
    rows = planted_rows({"teachable": 0.2, "random": 0.1}, n_questions=40, n_seeds=3)
    runs = [
        {"arm": arm, "seed": s, "n_tokens": 1, "n_examples": 1} for arm in ("teachable", "random") for s in range(3)
    ]
    first = summarise_ablation(rows, runs, [], DRAW)
    courses = Courses(rows)
    for arm in first["arms"]:
        for one in arm["course"]:
            mine, base = courses.at(arm["arm"], one["step"]), courses.at("base", 0)
            assert one["gain"] == pytest.approx(mine.mean() - base.mean())
            assert one["gain_low"] < one["gain"] < one["gain_high"]
            assert one["mean"] == mine.mean()
            assert one["tokens"] == one["step"] * TOKENS + 1  # seeds 0, 1, 2 add as many
