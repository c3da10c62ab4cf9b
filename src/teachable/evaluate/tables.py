"""Score rows as tables of questions by seeds, one an arm and metric."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teachable.evaluate.config import EvaluateConfig
from teachable.stats import Interval, mean_interval, pass_at_k

Row: TypeAlias = Mapping[str, Any]
Keep: TypeAlias = Callable[[str], bool]
BASE, RANDOM, HEADLINE = "base", "random", "teachable"
PASS, GREEDY, MAJORITY, SCORE = "pass@1", "greedy", "maj@k", "score"
_ARM_ORDER = (BASE, HEADLINE, RANDOM, "mastered", "beyond")


def everything(_: str) -> bool:
    """Keep every question."""
    return True


def pass_ks(n_samples: int) -> tuple[int, ...]:
    """The k of pass@k beside 1: 2, 4, 8, ... up to the number of samples, and that number itself."""
    powers = [2**i for i in range(1, n_samples.bit_length()) if 2**i <= n_samples]
    return tuple(sorted({*powers, *([n_samples] if n_samples > 1 else [])}))


def metrics_of(config: EvaluateConfig, rows: Iterable[Row]) -> list[str]:
    """The metrics that these rows can have: pass@1 first, or the greedy answer's where nothing was sampled."""
    found = [PASS] if config.n_samples else []
    found += [GREEDY] if config.greedy else []
    found += [MAJORITY] if config.n_samples else []
    found += [f"pass@{k}" for k in pass_ks(config.n_samples)]
    return found + ([SCORE] if any(row.get("score") is not None for row in rows) else [])


def is_binary(metric: str, n_samples: int) -> bool:
    """Every score of this metric is 0 or 1."""
    return metric in (GREEDY, MAJORITY) or (metric == PASS and n_samples == 1)


def value(row: Row, metric: str) -> float:
    """A row's score on a metric, in [0, 1], or NaN where it has none.

    pass@k is the unbiased estimate from all decided samples (Chen et al. 2021), where there are k of them at least.
    """
    if metric == SCORE:
        held = row.get("score")
        return math.nan if held is None else float(held)
    if metric.startswith("pass@"):
        k = int(metric.removeprefix("pass@"))
        return pass_at_k(row["n"], row["n_correct"], k) if row["n"] >= k else math.nan
    held = row["greedy"] if metric == GREEDY else row["majority"]
    return math.nan if held is None else float(held)


class Tables:
    """The rows of all models, to be asked for scores by arm and metric."""

    def __init__(self, rows: Sequence[Row], config: EvaluateConfig, *, seed: int = 0) -> None:
        """Rows as `score_model` makes them; `seed` is the bootstrap's, where that is how intervals are made."""
        self.config = config
        self.seed = seed
        self._rows: dict[tuple[str, int, str], Row] = {}
        self._made: dict[tuple[str, str], NDArray[np.float64]] = {}
        seeds: defaultdict[str, set[int]] = defaultdict(set)
        questions: dict[str, tuple[str, str, int]] = {}
        for row in rows:
            self._rows[row["arm"], row["seed"], row["prompt_id"]] = row
            seeds[row["arm"]].add(row["seed"])
            questions[row["prompt_id"]] = (row["task"], row["domain"], row["level"])
        self.questions = dict(sorted(questions.items()))  # prompt id -> (task, domain, level)
        self.tasks = list(dict.fromkeys(row["task"] for row in rows))
        self.seeds = {arm: sorted(found) for arm, found in seeds.items()}
        rank = {arm: i for i, arm in enumerate(_ARM_ORDER)}
        self.arms = sorted(seeds, key=lambda arm: rank.get(arm, len(rank)))  # named models: in the order of the rows
        # Tasks with partial scores, where a question without one still counts: all its answers may be unfit for one.
        self._scored = {row["task"] for row in rows if row.get("score") is not None}

    def of(
        self, arm: str, metric: str, keep: Keep = everything, seeds: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Scores [questions, seeds]; NaN where a question has none."""
        if (arm, metric) not in self._made:
            every = [[self._value(arm, s, question, metric) for s in self.seeds[arm]] for question in self.questions]
            self._made[arm, metric] = np.array(every, dtype=np.float64).reshape(-1, len(self.seeds[arm]))
        table = self._made[arm, metric]
        kept = table if keep is everything else table[[keep(question) for question in self.questions]]
        return kept if seeds is None else kept[:, [self.seeds[arm].index(seed) for seed in seeds]]

    def mean(self, arm: str, metric: str, keep: Keep = everything) -> Interval:
        """The arm's mean over the questions that are kept, with its interval."""
        config = self.config
        return mean_interval(
            self.of(arm, metric, keep), method=config.interval, n_bootstrap=config.n_bootstrap, seed=self.seed
        )

    def of_task(self, task: str) -> Keep:
        """Keeps the questions of one task; of all where it is empty."""
        return everything if not task else lambda question: self.questions[question][0] == task

    def _value(self, arm: str, seed: int, question: str, metric: str) -> float:
        row = self._rows.get((arm, seed, question))
        if row is None:
            return math.nan
        if metric == SCORE and row.get("score") is None and row["task"] in self._scored:
            return value(row, PASS if self.config.n_samples else GREEDY)
        return value(row, metric)
