"""Ask the base and every trained model the held-out questions, and compare them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import Spending
from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig, score_model, summarise
from teachable.recipe.sampling import Place, asking, place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.workers import side_by_side
from teachable.records import Progress, Prompt
from teachable.store.files import read_json, read_records, read_rows, write_json, write_rows


@dataclass(frozen=True)
class ScoreJob:
    """One model to ask."""

    name: str
    arm: str
    seed: int
    model: Path
    questions: Path
    config: EvaluateConfig
    request_seed: int
    place: Place


@dataclass(frozen=True)
class Scored:
    """A model's score rows and what they cost."""

    rows: list[dict[str, Any]]
    spent: Spending


def run(ctx: StageContext) -> StageOutcome:
    """Write a score a question and model, and what they say together."""
    config = ctx.config_as(EvaluateConfig)
    base = read_json(ctx.inputs["base"] / "stats.json")
    trained = read_rows(ctx.inputs["models"] / "runs.parquet")
    # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
    models = [("base", "base", 0, Path(base["path"]))]
    models += [(f"{row['arm']}-{row['seed']}", row["arm"], row["seed"], ctx.run / row["path"]) for row in trained]
    questions = ctx.inputs["prompts"] / "heldout.parquet"
    if not read_json(ctx.inputs["prompts"] / "stats.json")["n_heldout"]:
        raise TeachableError(
            "no question was held out, so there is nothing to evaluate on",
            where="evaluate",
            mend="Set tasks.heldout_frac above 0, or name questions with --tasks",
        )
    place = place_of(ctx, int(base["n_params"]))
    jobs = [ScoreJob(*model, questions, config, ctx.seed, place) for model in models]
    begun = time.perf_counter()
    done: list[Scored] = []

    def finished(job: ScoreJob, scored: Scored) -> None:
        done.append(scored)
        tokens = sum(one.spent.tokens_out for one in done)
        ctx.on_progress(Progress(len(done), len(jobs), "models", tokens, job.name))

    ctx.on_progress(Progress(0, len(jobs), "models"))
    scored = side_by_side(score_one, jobs, place.n_at_once, finished)
    seconds = time.perf_counter() - begun
    rows = [row for one in scored for row in one.rows]
    write_rows(ctx.folder / "scores.parquet", rows)
    budget_tokens = read_json(ctx.inputs["models"] / "stats.json").get("budget_tokens")
    stats = summarise(rows, config, budget_tokens=budget_tokens, seed=ctx.seed)
    write_json(ctx.folder / "stats.json", {**stats, "n_models": len(models), "seconds": round(seconds, 3)})
    tokens_out = sum(one.spent.tokens_out for one in scored)
    return StageOutcome(
        note=stats["verdict"]["sentence"],
        prompts=stats["n_questions"],
        completions=sum(one.spent.completions for one in scored),
        tokens_in=sum(one.spent.tokens_in for one in scored),
        tokens_out=tokens_out,
        tokens_spent=tokens_out - sum(one.spent.reused_tokens_out for one in scored),
    )


def score_one(job: ScoreJob) -> Scored:
    """Ask one model every held-out question. Runs in a worker process."""
    questions = read_records(job.questions, Prompt)
    # Models here are folders: they are sampled from in process, whatever engine probing asks.
    in_process = job.place.engine if job.place.engine.is_local else EngineConfig.model_validate({})
    with asking(job.place, job.model, engine=in_process) as engine:
        rows = asyncio.run(
            score_model(
                job.name,
                job.arm,
                job.seed,
                questions,
                engine=engine,
                config=job.config,
                request_seed=job.request_seed,
            )
        )
        return Scored(rows, engine.spent)
