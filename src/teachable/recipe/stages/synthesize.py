"""Make prompts and examples of seeds, by a workflow."""

from __future__ import annotations

from teachable.recipe.named_workflow import workflow_of
from teachable.recipe.sampling import place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.spending import outcome_of
from teachable.recipe.synthesizing import (
    Synthesis,
    accepted_in,
    base_model,
    note_of,
    seeds_in,
    synthesize_into,
)
from teachable.records import Prompt
from teachable.store.files import read_records
from teachable.synthesize.config import SynthesizeConfig
from teachable.train.config import SMALL_PARAMS

ROLES = ("seeds", "heldout", "base")  # every other role holds what was accepted before


def run(ctx: StageContext) -> StageOutcome:
    """Write prompts, examples, rejects, the review list and their counts."""
    config = ctx.config_as(SynthesizeConfig)
    workflow = workflow_of(config)
    seeds, left_out = seeds_in(ctx.inputs["seeds"], workflow.takes) if "seeds" in ctx.inputs else ([], {})
    if "seeds" in ctx.inputs and not seeds and not left_out:
        ctx.say("there is nothing to start from, so nothing is made")
    own_model, n_params = base_model(ctx.run, ctx.inputs.get("base"))
    heldout = ctx.inputs.get("heldout")
    work = Synthesis(
        config,
        seeds,
        place_of(ctx, n_params or SMALL_PARAMS),
        ctx.seed,
        own_model,
        heldout=read_records(heldout / "heldout.parquet", Prompt) if heldout is not None else (),
        against=[
            prompt for role in sorted(ctx.inputs) if role not in ROLES for prompt in accepted_in(ctx.inputs[role])
        ],
        base=own_model or ("" if ctx.base == "embedded" else ctx.base),
        left_out=left_out,
        may_be_empty="seeds" in ctx.inputs,
    )
    stats = synthesize_into(ctx.folder, work, on_progress=ctx.on_progress, on_interrupt=ctx.on_interrupt, say=ctx.say)
    return outcome_of(stats, n=stats["n_seeds"], note=note_of(stats))
