"""Train every arm alike, ask each along the way, and say whether `teachable` is better: tables, a page, a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from teachable.evaluate.ablation import Bootstrap, summarise_ablation
from teachable.recipe.ablating import (
    AblateJob,
    final_rows,
    jobs_of,
    metric_of,
    question_rows,
    tokens_of,
    train_all,
)
from teachable.recipe.guarding import n_overlaps
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.stages.evaluate import SCORES
from teachable.report.ablation import write_ablation
from teachable.store.files import read_json, write_json, write_rows
from teachable.train.tune_config import AblateConfig

_MODEL = [("arm", pa.string()), ("seed", pa.int64())]
_AT = [*_MODEL, ("step", pa.int64()), ("tokens", pa.int64())]
POINTS = pa.schema([*_AT, ("accuracy", pa.float64())])
QUESTIONS = pa.schema([*_AT, ("prompt_id", pa.string()), ("score", pa.float64())])


def run(ctx: StageContext) -> StageOutcome:
    """Train, ask, compare, draw. A killed stage goes on with the trainings that it had not finished.

    Raises:
        TeachableError: there is nothing to compare, or an arm's examples overlap the held-out questions.
    """
    config = ctx.config_as(AblateConfig)
    jobs = jobs_of(ctx, config)
    files = [job.examples for job in jobs if job.examples is not None]
    n_overlapping = n_overlaps(ctx, files, allow=config.allow_overlap, role="prompts")
    for ending in ("html", "svg"):  # they tell of the tables below, or of none
        (ctx.run / f"{ctx.name}.{ending}").unlink(missing_ok=True)
    records, made = train_all(ctx, jobs)
    rows = question_rows(jobs, records)
    runs = [record["run"] for record in records if record["run"]]
    selected = read_json(ctx.inputs["examples"] / "stats.json")
    found = summarise_ablation(rows, runs, selected["arms"], Bootstrap(config.n_bootstrap, ctx.seed))
    (ctx.folder / "stats.json").unlink(missing_ok=True)  # it tells of the tables beside it, or of none
    write_rows(ctx.folder / "questions.parquet", rows, QUESTIONS)
    write_rows(ctx.folder / "points.parquet", _points(rows), POINTS)
    write_rows(ctx.folder / "scores.parquet", final_rows(records), SCORES)
    write_rows(ctx.folder / "comparisons.parquet", found["comparisons"])
    write_rows(ctx.folder / "runs.parquet", runs)
    write_rows(ctx.folder / "curves.parquet", _curves(jobs, records))
    stats = {
        **found,
        "left_out": selected["left_out"],
        "random_prompts": selected["random_prompts"],
        "budget_tokens": selected["budget_tokens"],
        "metric": metric_of(config),
        "settings": config.model_dump(mode="json"),
        "n_runs": len(runs),
        "n_overlaps": n_overlapping,
        "base_model": Path(ctx.base).name,
        "run": ctx.run.resolve().name,
        "stage": ctx.name,
        "seconds": round(sum(run["seconds"] for run in runs), 3),
        "seconds_asking": round(sum(run["seconds_asking"] for run in runs), 3),
    }
    write_json(ctx.folder / "stats.json", stats)
    write_ablation(ctx.run, ctx.name)
    for job in jobs:
        job.part.unlink(missing_ok=True)
    return StageOutcome(
        note=stats["verdict"]["sentence"],
        prompts=stats["n_questions"],
        tokens_out=tokens_of(records),
        tokens_spent=tokens_of(made),
    )


def _points(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mean over the questions of each model at each time; questions that it could not be scored on are left out."""
    found: dict[tuple[str, int, int, int], list[float]] = {}
    for row in rows:
        scores = found.setdefault((row["arm"], row["seed"], row["step"], row["tokens"]), [])
        if row["score"] is not None:
            scores.append(row["score"])
    names = ("arm", "seed", "step", "tokens")
    return [
        {**dict(zip(names, at, strict=True)), "accuracy": float(np.mean(scores)) if scores else None}
        for at, scores in found.items()
    ]


def _curves(jobs: Sequence[AblateJob], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"arm": job.arm, "seed": job.seed, **point}
        for job, record in zip(jobs, records, strict=True)
        for point in record["curve"]
    ]
