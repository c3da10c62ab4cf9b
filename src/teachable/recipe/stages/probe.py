"""Ask the base model every prompt of the pool, and estimate how often it is right."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from teachable.probe import ProbeConfig, probe, probe_stats
from teachable.recipe.sampling import asking, place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import ZONES, Prompt
from teachable.store.files import read_json, read_records, write_json, write_records


def run(ctx: StageContext) -> StageOutcome:
    """Write attempts, estimates and their counts."""
    config = ctx.config_as(ProbeConfig)
    prompts = read_records(ctx.inputs["prompts"] / "prompts.parquet", Prompt)
    base = read_json(ctx.inputs["base"] / "stats.json")
    begun = time.perf_counter()
    with asking(place_of(ctx, int(base["n_params"])), Path(base["path"])) as engine:
        found = asyncio.run(probe(prompts, engine=engine, config=config, seed=ctx.seed, on_progress=ctx.on_progress))
        spent = engine.spent
    seconds = time.perf_counter() - begun
    write_records(ctx.folder / "attempts.parquet", found.attempts)
    write_records(ctx.folder / "estimates.parquet", found.estimates)
    stats = probe_stats(found.estimates, config.n_samples)
    sampled = spent.tokens_out - spent.reused_tokens_out
    stats |= {"completions": found.completions, "tokens": found.tokens, "seconds": round(seconds, 3)}
    write_json(ctx.folder / "stats.json", {**stats, "tokens_per_s": round(sampled / seconds, 1)})
    return StageOutcome(
        note=", ".join(f"{stats['zones'][zone]} {zone}" for zone in ZONES),
        prompts=len(prompts),
        completions=found.completions,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        tokens_spent=sampled,
    )
