"""Training on preference pairs, and the judging that made some of them: counts, runs and curves."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from teachable.report.gathering.load import Row, RunReader
from teachable.report.gathering.training import Point, mean_curve, thin

Facts = dict[str, Any]
RUN_COLUMNS = (
    "arm",
    "seed",
    "n_pairs",
    "n_too_long",
    "n_steps",
    "pairs_per_step",
    "n_tokens",
    "n_response_tokens",
    "final_loss",
    "seconds",
)
MEASURES = ("loss", "reward_margin", "reward_accuracy")
LAST = 0.1  # the share of a run's steps over which its end is averaged: a step holds few pairs


def preference_facts(reader: RunReader) -> Facts:
    """Stages that judged pairs, and stages that trained on pairs; both empty in most runs."""
    return {
        "judged": [_judged(reader, stage) for stage in reader.stages_of("judge_pairs")],
        "tuned": [_tuned(reader, stage) for kind in ("dpo", "judge_dpo") for stage in reader.stages_of(kind)],
    }


def _judged(reader: RunReader, stage: str) -> Facts:
    """What judging came to; pairs and margins are those of the file."""
    stats = reader.json(f"{stage}/stats.json")
    pairs = reader.table(f"{stage}/preferences.parquet", ("prompt_id", "margin"))
    margins = [one["margin"] for one in pairs if one.get("margin") is not None]
    names = ("mode", "n_prompts", "n_finished", "n_responses", "completions", "tokens", "cost_usd")
    return {
        "stage": stage,
        "found": bool(stats),
        **{name: stats.get(name) for name in names},
        "n_pairs": len(pairs),
        "mean_margin": sum(margins) / len(margins) if margins else None,
        "pairs_left_out": dict(stats.get("pairs_left_out") or {}),
        "responses_left_out": dict(stats.get("responses_left_out") or {}),
        "engines": dict(stats.get("engines") or {}),
        "judging": dict(stats.get("judging") or {}),
    }


def _tuned(reader: RunReader, stage: str) -> Facts:
    """The models of one stage, and the mean over them of each measure at the end of training."""
    runs = reader.table(f"{stage}/runs.parquet", RUN_COLUMNS)
    rows = reader.table(f"{stage}/curves.parquet", ("seed", "step", *MEASURES))
    by_seed: dict[int, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row["seed"], row["step"])):
        by_seed[row["seed"]].append(row)
    ends = {seed: {name: _end(curve, name) for name in MEASURES} for seed, curve in by_seed.items()}
    return {
        "stage": stage,
        "found": bool(runs),
        "runs": [
            {**run, **_final(ends.get(run["seed"], {}))} for run in sorted(runs, key=lambda run: int(run["seed"]))
        ],
        "curves": {name: _curves(by_seed, name) for name in MEASURES},
    }


def _final(ends: dict[str, float | None]) -> dict[str, float | None]:
    return {f"last_{name}": ends.get(name) for name in MEASURES}


def _end(curve: list[Row], name: str) -> float | None:
    """The mean over the last steps."""
    last = curve[-max(1, round(LAST * len(curve))) :]
    values = [float(row[name]) for row in last if row.get(name) is not None]
    return sum(values) / len(values) if values else None


def _curves(by_seed: dict[int, list[Row]], name: str) -> Facts:
    """One measure against steps: a curve a seed, and their mean."""
    told = {seed: [row for row in curve if row.get(name) is not None] for seed, curve in by_seed.items()}
    seeds: dict[str, list[Point]] = {
        str(seed): thin([(row["step"], row[name]) for row in curve]) for seed, curve in told.items()
    }
    return {"seeds": seeds, "mean": thin(mean_curve(list(told.values()), x="step", y=name))}
