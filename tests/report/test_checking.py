"""Means recomputed from the scores: they equal the evaluation's, also where an answer could not be decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from teachable.evaluate import EvaluateConfig, summarise
from teachable.report.gathering.checking import disagreements, means, task_disagreements


def rows(undecided: int) -> list[dict[str, Any]]:
    """Two models of one arm and a base, 4 answers to each of 30 questions; some answers without a verdict."""
    luck = np.random.default_rng(1)
    found = []
    for arm, seed, p in (("base", 0, 0.3), ("teachable", 0, 0.5), ("teachable", 1, 0.6)):
        for i in range(30):
            n = 4 - (seed == 1 and i < undecided)
            n_correct = int(luck.binomial(n, p))
            found.append(
                {"model": f"{arm}-{seed}", "arm": arm, "seed": seed, "task": "odd" if i % 2 else "heldout"}
                | {"prompt_id": f"q{i}", "domain": "sums", "level": 0, "n": n, "n_correct": n_correct}
                | {"n_undecided": 4 - n, "greedy": bool(luck.random() < p), "majority": n_correct > 1, "score": None}
                | {"n_tokens": 9, "n_prompt_tokens": 3, "cost_usd": 0.0}
            )
    return found


@pytest.mark.parametrize("undecided", [0, 1, 12, 30])
def test_the_evaluation_is_not_contradicted(undecided: int) -> None:
    scores = rows(undecided)
    stats = summarise(scores, EvaluateConfig())
    assert disagreements(stats["arms"], scores) == []
    assert task_disagreements(stats["by_task"], scores) == []
    # pass@4 takes four decided answers: a question that one model has three of counts for neither.
    assert ("pass@4" in means(scores, ["pass@4"])["teachable"]) is (undecided < 30)


def test_a_mean_that_the_scores_deny_is_announced() -> None:
    scores = rows(3)
    stats = summarise(scores, EvaluateConfig())
    stats["arms"][1]["metrics"]["pass@4"]["mean"] += 0.01
    (sentence,) = disagreements(stats["arms"], scores)
    assert "pass@4 for teachable, but its scores give" in sentence
