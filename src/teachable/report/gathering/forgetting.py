"""What training gained and lost, domain by domain: every model against the base, as the evaluation compared them.

Nothing is estimated here. A cell's accuracy is a mean of evaluate/stats.json, its change and the change's interval are
of `domain_comparisons` there (paired by question); the page only says on which side of 0 the interval lies. A run that
is evaluated after several trainings has a column for each model of each evaluation against the same base.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teachable.report.gathering.load import Row, RunReader
from teachable.report.gathering.models import Order

Facts = dict[str, Any]
METRIC = "pass@1"  # where the evaluation does not say
ALL = ""  # the row of all questions


def forgetting_facts(reader: RunReader, order: Order) -> list[Facts]:
    """One matrix a base and set of questions; usually one, none where no evaluation compared domains."""
    main = reader.folders["evaluate"]
    stages = [main, *(name for name in reader.stages_of("evaluate") if name != main)]
    groups: dict[tuple[str, str, str], list[tuple[str, Row]]] = {}
    for stage in stages:
        stats = reader.json(f"{stage}/stats.json", note=False)
        if compared := stats.get("domain_comparisons"):
            needs = reader.needs(stage)
            key = (str(compared[0]["baseline"]), needs.get("base", ""), needs.get("prompts", ""))
            groups.setdefault(key, []).append((stage, stats))
    return [_matrix(reader, baseline, found, order) for (baseline, _, _), found in groups.items()]


def _matrix(reader: RunReader, baseline: str, found: list[tuple[str, Row]], order: Order) -> Facts:
    metric = str(found[0][1]["domain_comparisons"][0].get("metric") or METRIC)
    columns: list[Facts] = []
    rows: dict[str, dict[int, Facts]] = {}
    for stage, stats in found:
        arms = {str(arm["arm"]): arm for arm in stats.get("arms") or []}
        trained = _trained(reader, stage, stats)
        for arm in sorted(arms, key=lambda name: (name != baseline, order(name))):
            if arm == baseline and columns:  # the same base, asked the same questions: once is enough
                continue
            beside = bool(trained) and arm != baseline and arm not in trained
            after = "" if arm == baseline or beside else reader.needs(stage).get("models", "")
            columns.append({"stage": stage, "arm": arm, "after": after, "reference": arm == baseline, "beside": beside})
            for domain, cell in _cells(stats, arms[arm], baseline, metric):
                rows.setdefault(domain, {})[len(columns) - 1] = cell
    benchmarks = {str(one.get("name")) for one in reader.stats("tasks").get("benchmarks") or []}
    table: list[Facts] = [
        {
            "domain": domain,
            "benchmark": domain in benchmarks,
            "cells": [cells.get(place) for place in range(len(columns))],
        }
        for domain, cells in sorted(rows.items(), key=lambda item: (item[0] in benchmarks, item[0]))
    ]
    says = [
        cell["says"]
        for row in table
        for column, cell in zip(columns, row["cells"], strict=True)
        if cell and row["domain"] != ALL and not column["beside"]
    ]
    return {
        "baseline": baseline,
        "metric": metric,
        "columns": columns,
        "rows": table,
        "n_changes": sum(one in ("drop", "gain", "unclear") for one in says),
        "n_drops": says.count("drop"),
        "n_gains": says.count("gain"),
    }


def _trained(reader: RunReader, stage: str, stats: Row) -> set[str]:
    """The arms that the run has trained; a model that was only asked beside them is not among them."""
    if "trained" in stats:
        return {str(arm) for arm in stats["trained"] or ()}
    models = reader.needs(stage).get("models") or reader.folders["sft"]
    return {str(row["arm"]) for row in reader.table(f"{models}/runs.parquet", ("arm",), note=False)}


def _cells(stats: Row, arm: Mapping[str, Any], baseline: str, metric: str) -> list[tuple[str, Facts]]:
    """(domain, cell) of one model, that of all questions first."""
    name = str(arm["arm"])
    overall = [one for one in stats.get("comparisons") or [] if not one.get("task")]
    changes = {
        str(one.get("domain", ALL)): one
        for one in (*overall, *stats["domain_comparisons"])
        if (str(one["arm"]), one["baseline"], one.get("metric", METRIC)) == (name, baseline, metric)
    }
    means: dict[str, Mapping[str, Any]] = {}
    if metric in (arm.get("metrics") or {}):
        means[ALL] = {**arm["metrics"][metric], "n_questions": stats.get("n_questions")}
    for one in stats.get("domains") or []:
        if one["arm"] == name and one["metric"] == metric and not one.get("level"):
            means[str(one["domain"])] = one
    return [(domain, _cell(mean, changes.get(domain), name == baseline)) for domain, mean in means.items()]


def _cell(mean: Mapping[str, Any], change: Mapping[str, Any] | None, reference: bool) -> Facts:
    change = change or {}
    low, high = change.get("low"), change.get("high")
    return {
        **{name: mean.get(name) for name in ("mean", "low", "high", "n_questions")},
        "diff": change.get("diff"),
        "diff_low": low,
        "diff_high": high,
        "p_value": change.get("p_value"),
        "says": "reference" if reference else _side(low, high),
    }


def _side(low: float | None, high: float | None) -> str:
    """Which side of 0 an interval lies on; "" where there is none."""
    if low is None or high is None:
        return ""
    return "drop" if high < 0 else "gain" if low > 0 else "unclear"
