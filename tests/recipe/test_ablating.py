"""Where along its training a model is asked, and what becomes of its answers in the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.recipe.ablating import AblateJob, asking_of, final_rows, metric_of, points_of, question_rows
from teachable.train.tune_config import AblateConfig


@given(st.integers(1, 5000), st.integers(1, 40))
def test_points_are_evenly_spaced_and_end_with_the_training(n_steps: int, n_points: int) -> None:
    found = points_of(n_steps, n_points)
    assert found[-1] == n_steps and found[0] >= 1
    assert list(found) == sorted(set(found)) and len(found) <= n_points
    if n_points <= n_steps:
        assert len(found) == n_points
        gaps = [after - before for before, after in zip((0, *found), found, strict=False)]
        assert max(gaps) - min(gaps) <= 1


def row(model: str, n: int, n_correct: int, greedy: bool | None) -> dict[str, Any]:
    return {"model": model, "arm": model.split("-")[0], "prompt_id": "q", "n": n, "n_correct": n_correct,
            "greedy": greedy, "majority": None, "score": None}  # fmt: skip


def job(arm: str, config: AblateConfig) -> AblateJob:
    path = Path("set.jsonl") if arm != "base" else None
    place: Any = None
    return AblateJob(arm, 0, path, "", config, (1, 2), Path(), Path(), 0, place)


@pytest.mark.parametrize(("n_samples", "scores"), [(4, [0.25, 0.5, None]), (0, [1.0, 0.0, None])])
def test_a_question_that_nobody_could_decide_has_no_score(n_samples: int, scores: list[float | None]) -> None:
    config = AblateConfig(n_samples=n_samples)
    assert metric_of(config) == ("pass@1" if n_samples else "greedy")
    answers = [(4, 1, True), (4, 2, False), (0, 0, None)]
    asked = [
        {"step": step, "tokens": 10 * step, "rows": [row("random-0", *answer)]} for step, answer in enumerate(answers)
    ]
    found = question_rows([job("random", config)], [{"asked": asked}])
    assert [one["score"] for one in found] == scores
    assert [(one["arm"], one["seed"], one["step"], one["tokens"]) for one in found] == [
        ("random", 0, step, 10 * step) for step in range(3)
    ]


def test_the_tables_of_the_end_have_the_last_answers_and_the_base_by_its_name() -> None:
    records = [
        {"asked": [{"rows": [row("base-0", 4, 1, True)]}]},
        {"asked": [{"rows": [row("random-0", 4, 1, None)]}, {"rows": [row("random-0", 4, 3, True)]}]},
    ]
    assert [(one["model"], one["n_correct"]) for one in final_rows(records)] == [("base", 1), ("random-0", 3)]


@pytest.mark.parametrize(("n_samples", "greedy"), [(4, [False, True]), (0, [True, True])])
def test_the_greedy_answer_is_asked_for_at_the_end_or_where_it_is_all_there_is(
    n_samples: int, greedy: list[bool]
) -> None:
    config = AblateConfig(n_samples=n_samples, max_tokens=7, n_bootstrap=100)
    asked = [asking_of(config, greedy=at_end) for at_end in (False, True)]
    assert [one.greedy for one in asked] == greedy
    assert {(one.n_samples, one.max_tokens) for one in asked} == {(n_samples, 7)}
