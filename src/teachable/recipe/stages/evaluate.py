"""Ask the base, every trained model and the models beside them the held-out questions, and compare them.

What a user sees of a stage that ended early is nothing but the ledger: the questions that happen to be answered first
are no sample of the questions, so there are no scores before all are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import MILLION
from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig, summarise
from teachable.evaluate.score import without_hollow_votes
from teachable.evaluate.summarise import per_question
from teachable.recipe.determinants import determined_by
from teachable.recipe.sampling import Place, place_of
from teachable.recipe.scoring import (
    NAME,
    Judging,
    Scored,
    ScoreJob,
    judged_tasks,
    most_parameters,
    refuse_unjudged,
    score_all,
)
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Prompt
from teachable.store.files import read_json, read_records, read_rows, write_json, write_rows

_WHO = [("model", pa.string()), ("arm", pa.string()), ("seed", pa.int64())]
SCORES = pa.schema(
    [
        *_WHO,
        *((name, pa.string()) for name in ("task", "prompt_id", "domain")),
        *((name, pa.int64()) for name in ("level", "n", "n_correct", "n_undecided")),
        *((name, pa.bool_()) for name in ("greedy", "majority")),
        ("score", pa.float64()),
        *((name, pa.int64()) for name in ("n_tokens", "n_prompt_tokens")),
        ("cost_usd", pa.float64()),
    ]
)
ATTEMPTS = pa.schema(
    [
        *_WHO,
        ("prompt_id", pa.string()),
        ("sample", pa.int64()),
        *((name, pa.string()) for name in ("text", "answer")),
        ("correct", pa.bool_()),
        ("frac_passed", pa.float64()),
        *((name, pa.string()) for name in ("reason", "finish_reason")),
        ("n_tokens", pa.int64()),
    ]
)


def run(ctx: StageContext) -> StageOutcome:
    """Write a score a question and model, every answer, and what they say together.

    Raises:
        Stopped: a limit was reached or the user interrupted; what was paid for is in the ledger.
        TeachableError: there is no question, no model or no judge where one is needed, or an engine says what is wrong.
    """
    config = ctx.config_as(EvaluateConfig)
    tasks = read_json(ctx.inputs["prompts"] / "stats.json")
    questions = ctx.inputs["prompts"] / "heldout.parquet"
    prompts = read_records(questions, Prompt)
    if not prompts:
        raise TeachableError(
            "no question was held out, so there is nothing to evaluate on",
            where=NAME,
            mend="Set tasks.heldout_frac above 0, or name questions with --tasks",
        )
    refuse_unjudged(prompts, config)
    if not judged_tasks(prompts):
        config = config.model_copy(update={"judge": None})  # nobody needs to be there who is not asked
    jobs = _jobs(ctx, config, questions)
    begun = time.perf_counter()
    scored = score_all(jobs, on_progress=ctx.on_progress, on_interrupt=ctx.on_interrupt)
    seconds = time.perf_counter() - begun
    rows = without_hollow_votes([one.scores for one in scored])
    (ctx.folder / "stats.json").unlink(missing_ok=True)  # it tells of the tables beside it, or of none
    write_rows(ctx.folder / "scores.parquet", rows, SCORES)
    write_rows(ctx.folder / "attempts.parquet", [row for one in scored for row in one.scores.attempts], ATTEMPTS)
    stats = summarise(rows, config, budget_tokens=_budget(ctx), seed=ctx.seed, beside=list(config.named))
    models = _models(jobs, scored, rows)
    spent = [one.spent for one in scored]
    judging = _judging(config.judge, [one.judging for one in scored]) if config.judge is not None else None
    told = judging or dict.fromkeys(("completions", "prompt_tokens", "tokens", "cost_usd", "failed_requests"), 0)
    stats |= {
        "models": models,
        "n_models": len(jobs),
        "judging": judging,
        "failed_requests": sum(one.failed for one in spent) + told["failed_requests"],
        "determined_by": determined_by(
            config,
            prompts,
            tasks.get("benchmarks") or (),
            {one["arm"]: one["engine"] for one in models},
            request_seed=ctx.seed,
            source=str(tasks.get("source", "")),
        ),
        "seconds": round(seconds, 3),
    }
    write_json(ctx.folder / "stats.json", stats)
    for sentence in _failures(jobs, scored, ctx):
        ctx.say(sentence)
    return StageOutcome(
        note=stats["verdict"]["sentence"],
        prompts=stats["n_questions"],
        completions=sum(one.completions for one in spent) + told["completions"],
        tokens_in=sum(one.tokens_in for one in spent) + told["prompt_tokens"],
        tokens_out=sum(one.tokens_out for one in spent) + told["tokens"],
        tokens_spent=sum(
            one.spent.tokens_out - one.spent.reused_tokens_out + one.judging.tokens_spent for one in scored
        ),
        cost_usd=sum(one.cost_usd for one in spent) + told["cost_usd"],
    )


# ---- who is asked ----


def _jobs(ctx: StageContext, config: EvaluateConfig, questions: Path) -> list[ScoreJob]:
    """The base, the trained models, and those beside them.

    Raises:
        TeachableError: there is none, or two of them would be one row of every table.
    """
    # Models here are folders: they are sampled from in process, whatever engine probing asks.
    own = ctx.engine.model_copy(update={"model": ""}) if ctx.engine.is_local else EngineConfig.model_validate({})
    base = read_json(ctx.inputs["base"] / "stats.json") if "base" in ctx.inputs else None
    trained = read_rows(ctx.inputs["models"] / "runs.parquet") if "models" in ctx.inputs else []

    def job(model: str, arm: str, seed: int, engine: EngineConfig, path: str, place: Place) -> ScoreJob:
        return ScoreJob(model, arm, seed, engine, path, questions, config, ctx.seed, place)

    jobs = []
    if base is not None:
        jobs.append(job("base", "base", 0, own, str(base["path"]), place_of(ctx, int(base["n_params"]))))
    for row in trained:
        # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
        path = ctx.run / row["path"]
        n_params = int(base["n_params"]) if base is not None else most_parameters(path)
        jobs.append(
            job(f"{row['arm']}-{row['seed']}", row["arm"], row["seed"], own, str(path), place_of(ctx, n_params))
        )
    taken = [label for label in config.named if label in {name for one in jobs for name in (one.arm, one.model)}]
    if taken:
        raise TeachableError(
            f"the model {taken[0]!r} has the name of another model of this run",
            where=NAME,
            mend="Give the models beside the run's own other names in evaluate.labels",
        )
    for label, engine in config.named.items():
        jobs.append(job(label, label, 0, engine, "", place_of(ctx, most_parameters(Path(engine.model)))))
    if not jobs:
        raise TeachableError(
            "no model is to be evaluated", where=NAME, mend="Name models in evaluate.beside, or fill base and models"
        )
    return jobs


def _budget(ctx: StageContext) -> int | None:
    """The training tokens of each arm, where this run knows them."""
    stats = read_json(ctx.inputs["models"] / "stats.json") if "models" in ctx.inputs else {}
    return stats.get("budget_tokens")


# ---- what is told of them ----


def _models(
    jobs: Sequence[ScoreJob], scored: Sequence[Scored], rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """An entry an arm: who answered, how often, and what a question took."""
    found = []
    for arm in dict.fromkeys(job.arm for job in jobs):
        mine = [one for job, one in zip(jobs, scored, strict=True) if job.arm == arm]
        first = next(job for job in jobs if job.arm == arm)
        attempts = [row for one in mine for row in one.scores.attempts]
        found.append(
            {
                "arm": arm,
                "engine": {**first.engine.identity(), "names": [one.engine for one in mine]},
                "label": arm,
                "n_seeds": len(mine),
                "completions": sum(row["finish_reason"] != "error" for row in attempts),
                "failed_requests": sum(one.spent.failed for one in mine),
                **per_question([row for row in rows if row["arm"] == arm]),
            }
        )
    return found


def _judging(judge: EngineConfig, parts: Sequence[Judging]) -> dict[str, Any]:
    """What the judge's replies took; one that several answers share was paid for once."""
    replies = list({key: reply for part in parts for key, reply in part.replies.items()}.values())
    tokens_in, tokens_out = sum(one.tokens_in for one in replies), sum(one.tokens_out for one in replies)
    dollars = (tokens_in * judge.usd_per_million_in + tokens_out * judge.usd_per_million_out) / MILLION
    return {
        "completions": sum(one.completions for one in replies),
        "tokens": tokens_out,
        "prompt_tokens": tokens_in,
        "cost_usd": round(dollars, 6),
        "failed_requests": sum(part.failed for part in parts),
    }


def _failures(jobs: Sequence[ScoreJob], scored: Sequence[Scored], ctx: StageContext) -> list[str]:
    """What failed, why, and how to have it asked again."""
    again = f"`teachable evaluate --out {ctx.run}` asks what failed again, and nothing else"
    said = []
    for job, one in zip(jobs, scored, strict=True):
        lost = [row for row in one.scores.attempts if row["finish_reason"] == "error"]
        if lost:
            n, n_asked = len({row["prompt_id"] for row in lost}), len(one.scores.rows)
            said.append(
                f"{job.model} failed on {n:,} of {n_asked:,} questions ({lost[0]['reason']}); "
                f"what it did not answer counts in no mean; {again}"
            )
    n_judged = sum(one.judging.failed for one in scored)
    if n_judged:
        said.append(f"the judge failed in {n_judged:,} requests; what it did not judge counts in no mean; {again}")
    return said
