"""Means computed again from scores.parquet, so that a page never passes on a number that the scores deny."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import comb
from typing import Any

TOLERANCE = 0.005  # half a point: more than rounding, less than anything a reader would act upon
COLUMNS = (
    "model",
    "arm",
    "seed",
    "task",
    "prompt_id",
    "domain",
    "level",
    "n",
    "n_correct",
    "n_undecided",
    "greedy",
    "majority",
    "score",
    "n_tokens",
)  # of scores.parquet; older runs lack some
Row = dict[str, Any]
Means = dict[str, dict[str, float]]


def value(row: Mapping[str, Any], metric: str) -> float | None:
    """A row's score on a metric in [0, 1], or None where it has none.

    pass@K of n answers of which c are right is 1 - C(n - c, K) / C(n, K), which is unbiased; it takes K answers.
    """
    if metric in ("greedy", "score"):
        found = row.get(metric)
        return None if found is None else float(found)
    if metric.startswith("maj@"):
        return None if row.get("majority") is None else float(row["majority"])
    k = metric.removeprefix("pass@")
    if not k.isdecimal() or not row.get("n") or row["n"] < int(k):
        return None
    return 1 - comb(row["n"] - row["n_correct"], int(k)) / comb(row["n"], int(k))


def undecided_rate(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of sampled answers that the verifier could not decide."""
    undecided = sum(r.get("n_undecided") or 0 for r in rows)
    total = undecided + sum(r.get("n") or 0 for r in rows)
    return undecided / total if total else None


def means(rows: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> Means:
    """Arm -> metric -> mean, from the scores, over questions and the arm's models.

    A question that one of the arm's models has no score on counts for none of them. Partial scores are left out where
    some answers have none: how to count those is the evaluation's business.
    """
    by_arm: dict[str, dict[str, dict[str, Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for r in rows:
        by_arm[r["arm"]][r["model"]][r["prompt_id"]] = r
    found: Means = {}
    for arm, by_model in by_arm.items():
        found[arm] = {}
        asked = set.union(*(set(mine) for mine in by_model.values()))
        for metric in metrics:
            scores = {q: [value(mine.get(q, {}), metric) for mine in by_model.values()] for q in asked}
            whole = [[one for one in each if one is not None] for each in scores.values() if None not in each]
            if whole and not (metric == "score" and len(whole) < len(asked)):
                found[arm][metric] = sum(sum(each) / len(each) for each in whole) / len(whole)
    return found


def disagreements(arms: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where evaluate/stats.json and scores.parquet tell different stories, arm by arm."""
    recomputed = means(rows, list(dict.fromkeys(m for arm in arms for m in arm.get("metrics") or {})))
    return [
        sentence
        for arm in arms
        for metric, stated in (arm.get("metrics") or {}).items()
        if (sentence := _denied(recomputed, arm["arm"], metric, stated.get("mean")))
    ]


def task_disagreements(by_task: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same, task by task."""
    tasks: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for r in rows:
        tasks[str(r.get("task") or "")].append(r)
    recomputed = {task: means(mine, list({one["metric"] for one in by_task})) for task, mine in tasks.items()}
    return [
        sentence
        for one in by_task
        if (sentence := _denied(recomputed.get(one["task"], {}), one["arm"], one["metric"], one["mean"], one["task"]))
    ]


def _denied(recomputed: Means, arm: str, metric: str, stated: float | None, task: str = "") -> str | None:
    mean = recomputed.get(arm, {}).get(metric)
    if mean is None or stated is None or abs(mean - stated) <= TOLERANCE:
        return None
    on = f" on {task}" if task else ""
    return f"The evaluation states {100 * stated:.1f}% {metric} for {arm}{on}, but its scores give {100 * mean:.1f}%."
