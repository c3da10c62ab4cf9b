"""Mix organic and synthetic rows by a stated share, and say what that does to diversity."""

from __future__ import annotations

from teachable.errors import TeachableError
from teachable.recipe.balanced_file import balance_into, note_of, rows_in
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.synthesize.mixing.balance import ORGANIC
from teachable.synthesize.mixing.balance_config import BalanceConfig


def run(ctx: StageContext) -> StageOutcome:
    """Write prompts, examples and their counts. The role `organic` is one side, every other role the other."""
    synthetic = sorted(role for role in ctx.inputs if role != ORGANIC)
    if ORGANIC not in ctx.inputs:
        raise TeachableError(
            "no stage fills the role organic", where=ctx.name, mend="Write needs: {organic: STAGE, made: STAGE}"
        )
    if not synthetic:
        raise TeachableError(
            "no stage fills a role beside organic", where=ctx.name, mend="Name the stages that synthesize, a role each"
        )
    rows = [row for role in synthetic for row in rows_in(ctx.inputs[role])]
    config = ctx.config_as(BalanceConfig)
    if not rows and config.share > 0:  # an earlier stage may have made nothing, which is no mistake of the recipe's
        ctx.say("the stages before have made nothing, so the set holds organic rows alone")
        config = config.model_copy(update={"share": 0.0})
    stats = balance_into(
        ctx.folder,
        rows_in(ctx.inputs[ORGANIC]),
        rows,
        config,
        seed=ctx.seed,
        say=ctx.say,
    )
    return StageOutcome(note=note_of(stats), prompts=stats["n_prompts"])
