"""From score rows to what the report states: means, differences, and the verdict.

Every mean is over questions first and seeds second, with an interval over both (see `teachable.stats`); every
difference is paired by question and seed. A question that a model could not be scored on at all (the verifier
could not tell) is left out of that comparison for all, never counted as wrong.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from teachable.evaluate.config import EvaluateConfig
from teachable.evaluate.verdict import verdict
from teachable.stats import Interval, mean_interval, paired_difference, power_note, smallest_detectable

Row: TypeAlias = Mapping[str, Any]
BASE, RANDOM = "base", "random"
METRICS = ("pass@1", "greedy", "maj@k")
_ARM_ORDER = (BASE, "teachable", RANDOM, "mastered", "beyond")


def value(row: Row, metric: str) -> float:
    """A row's score on a metric, in [0, 1], or NaN where it has none."""
    if metric == "pass@1":
        return row["n_correct"] / row["n"] if row["n"] else math.nan
    held = row["greedy"] if metric == "greedy" else row["majority"]
    return math.nan if held is None else float(held)


def summarise(
    rows: Sequence[Row], config: EvaluateConfig, *, budget_tokens: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """The content of evaluate/stats.json.

    Args:
        rows: score rows of all models (see `score_model`).
        config: as the rows were made with.
        budget_tokens: training tokens of each arm, for the verdict's sentence; None leaves them out.
        seed: of the bootstrap, where that is how intervals are made.
    """
    tables = _Tables(rows)

    def mean_of(arm: str, metric: str, keep: Callable[[str], bool] = lambda _: True) -> Interval:
        return mean_interval(
            tables.of(arm, metric, keep), method=config.interval, n_bootstrap=config.n_bootstrap, seed=seed
        )

    metrics = [m for m in METRICS if m != "greedy" or config.greedy]
    comparisons = [
        _comparison(tables, arm, baseline, metric, config, seed)
        for arm in tables.arms
        for baseline in (RANDOM, BASE)
        for metric in metrics
        if arm not in (BASE, baseline) and baseline in tables.arms
    ]
    comparisons = [found for found in comparisons if found["n_questions"]]
    n_decided = sum(row["n"] for row in rows)
    n_undecided = sum(row["n_undecided"] for row in rows)
    arms = [
        {
            "arm": arm,
            "n_seeds": len(tables.seeds[arm]),
            "metrics": {m: _mean(found) for m in metrics if (found := mean_of(arm, m)).n},
        }
        for arm in tables.arms
    ]
    return {
        "n_questions": len(tables.questions),
        "n_samples": config.n_samples,
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        "interval": config.interval,
        "arms": arms,
        "domains": _domains(tables, metrics, mean_of),
        "comparisons": comparisons,
        "verdict": verdict(arms, comparisons, budget_tokens),
        "power": _power(comparisons),
        "undecided_rate": n_undecided / (n_decided + n_undecided) if rows else None,
        "completions": n_decided + n_undecided + (len(rows) if config.greedy else 0),
        "tokens": sum(row["n_tokens"] for row in rows),
    }


class _Tables:
    """Score rows as tables of questions by seeds."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[str, int, str], Row] = {}
        seeds: defaultdict[str, set[int]] = defaultdict(set)
        self.questions: dict[str, tuple[str, int]] = {}  # prompt id -> (domain, level)
        for row in rows:
            self._rows[row["arm"], row["seed"], row["prompt_id"]] = row
            seeds[row["arm"]].add(row["seed"])
            self.questions[row["prompt_id"]] = (row["domain"], row["level"])
        self.questions = dict(sorted(self.questions.items()))
        self.seeds = {arm: sorted(found) for arm, found in seeds.items()}
        rank = {arm: i for i, arm in enumerate(_ARM_ORDER)}
        self.arms = sorted(seeds, key=lambda arm: rank.get(arm, len(rank)))  # named models: in the order of the rows

    def of(
        self,
        arm: str,
        metric: str,
        keep: Callable[[str], bool] = lambda _: True,
        seeds: Sequence[int] | None = None,
    ) -> NDArray[np.float64]:
        """Scores [questions, seeds]; NaN where a question has none."""
        seeds = self.seeds[arm] if seeds is None else seeds
        return np.array(
            [[self._value(arm, s, question, metric) for s in seeds] for question in self.questions if keep(question)],
            dtype=np.float64,
        ).reshape(-1, len(seeds))

    def _value(self, arm: str, seed: int, question: str, metric: str) -> float:
        row = self._rows.get((arm, seed, question))
        return math.nan if row is None else value(row, metric)


def _mean(found: Interval) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _comparison(
    tables: _Tables, arm: str, baseline: str, metric: str, config: EvaluateConfig, seed: int
) -> dict[str, Any]:
    """One arm against one baseline: paired by question, and by seed where both were trained with several.

    Arms with different seeds are compared on the seeds that both have; without any in common, both are paired in
    order, which is fair as long as seeds mean nothing but luck.
    """
    first, second = tables.seeds[arm], tables.seeds[baseline]
    if len(first) > 1 and len(second) > 1:
        shared = [s for s in first if s in second]
        n = min(len(first), len(second))
        first, second = (shared, shared) if shared else (first[:n], second[:n])
    found = paired_difference(
        tables.of(arm, metric, seeds=first),
        tables.of(baseline, metric, seeds=second),
        method=config.interval,
        n_bootstrap=config.n_bootstrap,
        seed=seed,
    )
    return {
        "arm": arm,
        "baseline": baseline,
        "metric": metric,
        "diff": found.mean,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "se": found.se if math.isfinite(found.se) else None,
        "df": found.df,
        "n_questions": found.n,
        "n_seeds": max(len(first), len(second)),
    }


def _domains(
    tables: _Tables, metrics: Sequence[str], mean_of: Callable[[str, str, Callable[[str], bool]], Interval]
) -> list[dict[str, Any]]:
    """Means by domain, and by domain and level (level 0 standing for all levels of the domain)."""
    groups: dict[tuple[str, int], set[str]] = {}
    for question, (domain, level) in tables.questions.items():
        for key in {(domain, 0), (domain, level)}:
            groups.setdefault(key, set()).add(question)
    found = []
    for (domain, level), members in sorted(groups.items()):
        for arm in tables.arms:
            for metric in metrics:
                mean = mean_of(arm, metric, members.__contains__)
                if mean.n:
                    row = {"arm": arm, "domain": domain, "level": level, "metric": metric}
                    found.append({**row, **_mean(mean), "n_questions": mean.n})
    return found


def _power(comparisons: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What the headline comparison could have seen, from its own standard error."""
    for found in comparisons:
        if found["metric"] == "pass@1" and found["se"]:
            least = smallest_detectable(found["se"], found["df"])
            names = {"arm": found["arm"], "baseline": found["baseline"]}
            return {**names, "smallest_detectable": least, "sentence": power_note(found["se"], found["df"])}
    return None
