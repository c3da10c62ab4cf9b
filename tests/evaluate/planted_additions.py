"""Answers of models whose true scores are planted: score rows as the stages write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from teachable.evaluate.config import EvaluateConfig
from teachable.evaluate.matrix import DomainScores

N_SAMPLES = 4
CONFIG = EvaluateConfig(n_samples=N_SAMPLES)


def scores_of(rows: Sequence[Mapping[str, Any]]) -> DomainScores:
    """The tables of rows that need say nothing but who is right how often."""
    plain = {"task": "heldout", "level": 1, "n": N_SAMPLES, "n_undecided": 0, "greedy": None, "majority": None}
    return DomainScores([{**plain, **row} for row in rows], CONFIG)


class Answered:
    """The tables of many worlds: what `DomainScores` gives, without rows, which take most of a simulation's time."""

    def __init__(self, chances: Mapping[str, Mapping[str, Any]], luck: np.random.Generator) -> None:
        """Arm -> domain -> chances [questions, seeds]."""
        self._tables = {
            arm: {domain: luck.binomial(N_SAMPLES, table) / N_SAMPLES for domain, table in tables.items()}
            for arm, tables in chances.items()
        }

    def of(self, arm: str, domain: str) -> np.ndarray[Any, Any]:
        return self._tables[arm][domain]


def rows_of(arm: str, chances_DQS: Mapping[str, Any], luck: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of an arm that is right with these chances: domain -> [questions, seeds]."""
    found = []
    for domain, table in chances_DQS.items():
        for (question, seed), right in np.ndenumerate(luck.binomial(N_SAMPLES, table)):
            who = {"arm": arm, "seed": seed, "prompt_id": f"{domain}-{question:03}", "domain": domain}
            found.append({**who, "n_correct": int(right)})
    return found


def chances(
    luck: np.random.Generator, easiness_Q: Any, gain: float, n_seeds: int, *, seed_sd: float = 0.0
) -> np.ndarray[Any, Any]:
    """Chances [Q, S] of models that gain so much on every question, each seed a bit more or less.

    Easiness and gain must leave room to 0 and 1, so that the true mean gain is the planted one.
    """
    moved = gain + luck.uniform(-1, 1, n_seeds) * seed_sd * np.sqrt(3)
    table = np.asarray(easiness_Q)[:, None] + moved[None, :]
    assert table.min() >= 0 and table.max() <= 1
    return table


def flat(names: Sequence[str], n_questions: int, luck: np.random.Generator) -> dict[str, np.ndarray[Any, Any]]:
    """How easy every domain's questions are for the base."""
    return {name: luck.uniform(0.2, 0.45, n_questions) for name in names}
