"""Training by domains: what each gained alone, what was left of it when others were added, and what a search found.

Nothing is estimated here: numbers and intervals are those of the stages' stats.json, curves those of their tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from teachable.report.gathering.load import Row, RunReader
from teachable.report.gathering.training import Point, mean_curve

Facts = dict[str, Any]
BASE = "base"
WAYS = {
    "data": "the base trained anew on the union of the sets",
    "sequential": "the last model trained on, on the new domains alone",
    "weights": "the domains' models merged",
}


def by_turns_facts(reader: RunReader) -> Facts:
    """Stages of the kinds tune, add, explore and scale; all empty in most runs."""
    return {
        "tuned": [_tuned(reader, stage) for stage in reader.stages_of("tune")],
        "added": [_added(reader, stage) for stage in reader.stages_of("add")],
        "explored": [_explored(reader, stage) for stage in reader.stages_of("explore")],
        "scaled": [_tuned(reader, stage) for stage in reader.stages_of("scale")],
        "ablated": [_ablated(reader, stage) for stage in reader.stages_of("ablate")],
    }


def _tuned(reader: RunReader, stage: str) -> Facts:
    """The gains of a stage's models by domain, how each training ended, and how it went."""
    stats = reader.json(f"{stage}/stats.json")
    rows = reader.table(f"{stage}/evaluations.parquet", ("arm", "seed", "step", "tokens", "score"))
    by_arm: dict[str, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: (row["arm"], row["seed"], row["step"])):
        by_arm[row["arm"]][row["seed"]].append(row)
    names = ("sentence", "mix", "overall", "n_dev", "n_test", "tokens")
    return {
        "stage": stage,
        "found": bool(stats),
        **{name: stats.get(name) for name in names},
        "gains": list(stats.get("gains") or []),
        "ended": list(stats.get("ended") or []),
        "frozen": dict(stats.get("frozen") or {}),
        "curves": {arm: _scores(seeds) for arm, seeds in by_arm.items()},
    }


def _scores(seeds: Mapping[int, Sequence[Row]]) -> Facts:
    """Scores of the questions that steer against tokens: a curve a seed, and their mean."""
    told: dict[str, list[Point]] = {
        str(seed): [(float(row["tokens"]), float(row["score"])) for row in rows] for seed, rows in seeds.items()
    }
    return {"seeds": told, "mean": mean_curve([list(rows) for rows in seeds.values()], y="score")}


def _added(reader: RunReader, stage: str) -> Facts:
    """The forgetting matrix of one way of adding: a row a domain, a column the base and each addition."""
    stats = reader.json(f"{stage}/stats.json")
    cells = list(stats.get("matrix") or [])
    columns = list(dict.fromkeys((str(one["stage"]), int(one["n_domains"])) for one in cells))
    at = {(one["domain"], one["stage"]): one for one in cells}
    settings = stats.get("settings") or {}
    return {
        "stage": stage,
        "found": bool(stats),
        "way": stats.get("way"),
        "settings": {name: settings.get(name) for name in ("method", "weight", "density", "learning_rate")},
        "sentence": stats.get("sentence"),
        "columns": [{"stage": name, "n_domains": n} for name, n in columns],
        "rows": [
            {"domain": domain, "cells": [at.get((domain, name)) for name, _ in columns]}
            for domain in dict.fromkeys(str(one["domain"]) for one in cells)
        ],
        "additivity": list(stats.get("additivity") or []),
        "regressions": [str(one["sentence"]) for one in stats.get("regressions") or []],
    }


def _explored(reader: RunReader, stage: str) -> Facts:
    """What a search found, and its last round."""
    stats = reader.json(f"{stage}/stats.json")
    trials = list(stats.get("trials") or [])
    last = max((int(one["round"]) for one in trials), default=0)
    return {
        "stage": stage,
        "found": bool(stats),
        "searched": list(stats.get("searched") or []),
        "domains": list(stats.get("domains") or []),
        "winner": stats.get("winner"),
        "evidence": stats.get("evidence"),
        "n_trials": len({one["trial"] for one in trials}),
        "last_round": [one for one in trials if int(one["round"]) == last],
    }


def _ablated(reader: RunReader, stage: str) -> Facts:
    """The sentence of an ablation; its own page has the rest."""
    stats = reader.json(f"{stage}/stats.json")
    verdict = stats.get("verdict") or {}
    page = f"{stage}.html"
    return {
        "stage": stage,
        "found": bool(stats),
        "sentence": verdict.get("sentence"),
        "page": page if (reader.run / page).is_file() else None,
    }
