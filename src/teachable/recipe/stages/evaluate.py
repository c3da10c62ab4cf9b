"""Ask the base and every trained model the held-out questions, and compare them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from teachable.evaluate import EvaluateConfig, score_model, summarise
from teachable.recipe.sampling import asking
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import OnProgress, Progress, Prompt
from teachable.store.files import read_json, read_records, read_rows, write_json, write_rows


def run(ctx: StageContext) -> StageOutcome:
    """Write a score a question and model, and what they say together."""
    config = ctx.config_as(EvaluateConfig)
    prompts = read_records(ctx.inputs["prompts"] / "heldout.parquet", Prompt)
    base = Path(read_json(ctx.inputs["base"] / "stats.json")["path"])
    trained = read_rows(ctx.inputs["models"] / "runs.parquet")
    # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
    models = [("base", "base", 0, base)]
    models += [(f"{row['arm']}-{row['seed']}", row["arm"], row["seed"], ctx.run / row["path"]) for row in trained]
    begun = time.perf_counter()
    rows = []
    tokens_in = tokens_out = reused = completions = 0
    for index, (name, arm, seed, path) in enumerate(models):
        with asking(ctx, path) as engine:
            rows += asyncio.run(
                score_model(
                    name,
                    arm,
                    seed,
                    prompts,
                    engine=engine,
                    config=config,
                    request_seed=ctx.seed,
                    on_progress=_of_all(ctx.on_progress, index, len(models), tokens_out),
                )
            )
            tokens_in += engine.spent.tokens_in
            tokens_out += engine.spent.tokens_out
            reused += engine.spent.reused_tokens_out
            completions += engine.spent.completions
    seconds = time.perf_counter() - begun
    write_rows(ctx.folder / "scores.parquet", rows)
    budget_tokens = read_json(ctx.inputs["models"] / "stats.json").get("budget_tokens")
    stats = summarise(rows, config, budget_tokens=budget_tokens, seed=ctx.seed)
    write_json(ctx.folder / "stats.json", {**stats, "n_models": len(models), "seconds": round(seconds, 3)})
    return StageOutcome(
        note=stats["verdict"]["sentence"],
        prompts=len(prompts),
        completions=completions,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_spent=tokens_out - reused,
    )


def _of_all(on_progress: OnProgress, index: int, n_models: int, tokens_before: int) -> OnProgress:
    """Progress with one model as progress with all of them."""
    return lambda p: on_progress(
        Progress(index * p.total + p.done, n_models * p.total, p.unit, tokens_before + p.tokens, p.note)
    )
