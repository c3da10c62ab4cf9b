"""What `teachable evaluate` prints: models by task, differences, what the questions could have shown, the files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from teachable.cli.show import aligned, duration

MAX_NAME_CHARS = 40
_SCORES = ("scores.parquet", "attempts.parquet", "stats.json")


def evaluated_text(stats: Mapping[str, Any], out: Path, *, up_to_date: bool = False) -> str:
    """The summary of an evaluation's `stats.json`."""
    parts = [
        _scores(stats),
        _differences(stats),
        _power(stats),
        stats["verdict"]["sentence"],
        _ending(stats, out, up_to_date),
    ]
    return "\n\n".join(part for part in parts if part)


def _scores(stats: Mapping[str, Any]) -> str:
    """A row a model and task: its metrics, and what a question took."""
    metrics = list(dict.fromkeys(metric for arm in stats["arms"] for metric in arm["metrics"]))
    shown = [metric for metric in metrics if metric in ("pass@1", "greedy", "maj@k", "score")]
    shown += [metric for metric in metrics if metric == f"pass@{stats['n_samples']}" and metric not in shown]
    priced = any(one["usd_per_question"] for one in stats["by_task"])
    head = ["model", "task", "questions", *(_metric(metric, stats) for metric in shown), "tokens/question"]
    lines = [[*head, *(["$/question"] if priced else [])]]
    cells = {(one["arm"], one["task"], one["metric"]): one for one in stats["by_task"]}
    for task, arm in product(stats["determined_by"]["verifier"], [one["arm"] for one in stats["models"]]):
        found = [cells.get((arm, task, metric)) for metric in shown]
        known = [one for one in found if one is not None]
        line = [_short(arm), _short(task), f"{max((one['n_questions'] for one in known), default=0):,}"]
        line += [_mean(one, with_interval=i == 0) for i, one in enumerate(found)]
        line.append(f"{known[0]['tokens_per_question']:,.0f}" if known else "")
        lines.append([*line, *([f"{known[0]['usd_per_question']:.5f}" if known else ""] if priced else [])])
    return aligned(lines)


def _metric(metric: str, stats: Mapping[str, Any]) -> str:
    return f"maj@{stats['n_samples']}" if metric == "maj@k" else metric


def _mean(found: Mapping[str, Any] | None, *, with_interval: bool) -> str:
    """A mean in percent; the interval is not symmetric at the ends, so both of them are told."""
    if found is None:
        return ""
    told = f"{100 * found['mean']:.1f}"
    return f"{told} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]" if with_interval else told


def _differences(stats: Mapping[str, Any]) -> str:
    """A row a pair of models and task, on the metric of the verdict."""
    metric = stats["verdict"]["metric"]
    rows = [one for one in stats["comparisons"] if one["metric"] == metric]
    if not rows:
        return ""
    exact = any(one["mcnemar_p"] is not None for one in rows)
    lines = [
        [f"difference in {metric}", "task", "points", "95% interval", "p", "p (Holm)", *(["McNemar"] if exact else [])]
    ]
    for one in rows:
        interval = f"[{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"
        line = [
            f"{_short(one['arm'])} - {_short(one['baseline'])}",
            _short(one["task"] or "all"),
            f"{100 * one['diff']:+.1f}",
            interval,
            _p(one["p_value"]),
            _p(one["p_holm"]),
        ]
        lines.append([*line, *([_p(one["mcnemar_p"])] if exact else [])])
    return aligned(lines)


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _power(stats: Mapping[str, Any]) -> str:
    """What the test set could have shown, whole and by task."""
    found = [stats["power"]] if stats["power"] else []
    several = stats["power_by_task"] if len({one["task"] for one in stats["by_task"]}) > 1 else []
    return "\n".join(str(one["sentence"]) for one in (*found, *several))


def _ending(stats: Mapping[str, Any], out: Path, up_to_date: bool) -> str:
    """What could not be told, what all of it took, and where the files are."""
    lines = []
    if rate := stats["undecided_rate"]:
        share = f"{rate:.1%}" if rate >= 0.0005 else "under 0.1%"
        lines.append(f"{share} of the sampled answers could not be decided and count in no mean")
    judging: Mapping[str, Any] = stats["judging"] or {}
    dollars = stats["cost_usd"] + judging.get("cost_usd", 0.0)
    n = stats["completions"] + judging.get("completions", 0)
    cost = f", ${dollars:,.{2 if dollars >= 1 else 4}f}" if dollars else ""
    how = "everything is up to date" if up_to_date else f"{stats['n_models']:,} models in {duration(stats['seconds'])}"
    tokens = stats["tokens"] + judging.get("tokens", 0)
    page = out / "report.html"
    files = f"{', '.join(_SCORES)} in {out / 'evaluate'}" + (f"; report: {page}" if page.is_file() else "")
    lines.append(
        f"evaluate: {how}, {stats['n_questions']:,} questions, {n:,} completions, {tokens:,} tokens{cost}; {files}"
    )
    return "\n".join(lines)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME_CHARS else f"{name[: MAX_NAME_CHARS - 3]}..."
