"""Have several engines answer the pool's prompts, a judge score the answers, and write preference pairs."""

from __future__ import annotations

from typing import Any

from teachable.prefer import JudgePairsConfig
from teachable.recipe.judged_pairs import Judging, judge_into, note_of
from teachable.recipe.sampling import place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.spending import outcome_of
from teachable.records import Prompt
from teachable.store.files import read_json, read_records
from teachable.train.config import SMALL_PARAMS


def run(ctx: StageContext) -> StageOutcome:
    """Write preferences, responses, comparisons and their counts."""
    prompts = read_records(ctx.inputs["prompts"] / "prompts.parquet", Prompt)
    base: dict[str, Any] = read_json(ctx.inputs["base"] / "stats.json") if "base" in ctx.inputs else {}
    # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
    own_model = str(ctx.run / base["path"]) if base else ""
    place = place_of(ctx, int(base.get("n_params", SMALL_PARAMS)))
    work = Judging(prompts, ctx.config_as(JudgePairsConfig), place, ctx.seed, own_model)
    stats = judge_into(ctx.folder, work, on_progress=ctx.on_progress, on_interrupt=ctx.on_interrupt, say=ctx.say)
    return outcome_of(stats, n=stats["n_prompts"], note=note_of(stats))
