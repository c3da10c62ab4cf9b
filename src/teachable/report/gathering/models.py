"""The models of an evaluation by task: accuracy, tokens and dollars a question, power, and what determines a score.

All numbers are those of evaluate/stats.json; a run from before they were written there has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from teachable.report.gathering.load import RunReader

Facts = dict[str, Any]
HELDOUT = "heldout"  # the task that the pool's own held-out questions are
Order = Callable[[str], tuple[int, str]]


def model_facts(reader: RunReader, order: Order) -> Facts:
    """Models (`rows`), `by_task`, `power` and `determined_by`, in the page's order, and whether the run makes none."""
    stats = reader.stats("evaluate")
    by_task = list(stats.get("by_task") or [])
    tasks = list(dict.fromkeys(str(row["task"]) for row in by_task))
    determined = dict(stats.get("determined_by") or {})
    benchmarks = list(reader.stats("tasks").get("benchmarks") or [])
    return {
        "evaluates_only": reader.evaluates_only,
        "rows": sorted(stats.get("models") or [], key=lambda row: order(str(row["arm"]))),
        "tasks": tasks,
        "metrics": list(dict.fromkeys(str(row["metric"]) for row in by_task)),
        "by_task": sorted(by_task, key=lambda row: (tasks.index(str(row["task"])), order(str(row["arm"])))),
        "power": _power(stats.get("power")),
        "power_by_task": [one for row in stats.get("power_by_task") or [] if (one := _power(row))],
        "determined_by": {**determined, "tasks": list(determined.get("tasks") or benchmarks)},
    }


def _power(row: Mapping[str, Any] | None) -> Facts | None:
    return dict(row) if row and row.get("sentence") else None
