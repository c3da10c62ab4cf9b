"""Estimates that the user names, of another run's probing, in the shape in which the probe stage hands on its own."""

from __future__ import annotations

from teachable.errors import TeachableError
from teachable.recipe.kinds import EstimatesConfig
from teachable.recipe.probed import ATTEMPTS, ESTIMATES, probing_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Attempt, Estimate, Prompt
from teachable.store.files import read_records, write_json, write_records


def run(ctx: StageContext) -> StageOutcome:
    """Write the estimates of this run's prompts, their attempts where there are any, and how these were sampled.

    Raises:
        TeachableError: no file is named, it holds no estimates, or none of these prompts'.
    """
    config = ctx.config_as(EstimatesConfig)
    if config.source is None:
        raise TeachableError("no estimates are named", where=ctx.name, mend="Set `source` to an estimates.parquet")
    prompts = read_records(ctx.inputs["prompts"] / "prompts.parquet", Prompt)
    wanted = {prompt.id for prompt in prompts}
    given = read_records(config.source, Estimate)
    found = {one.prompt_id: one for one in given if one.prompt_id in wanted}
    if not found:
        raise TeachableError(
            f"none of its {len(given)} estimates is of one of the {len(wanted)} prompts: their ids differ",
            where=str(config.source),
            mend="Name the estimates of a probe of the same prompts",
        )
    write_records(ctx.folder / ESTIMATES, [found[prompt.id] for prompt in prompts if prompt.id in found])
    sampling = None
    if config.attempts is not None:
        sampling = probing_of(config.attempts.parent)
        attempts = read_records(config.attempts, Attempt)
        write_records(ctx.folder / ATTEMPTS, [one for one in attempts if one.prompt_id in found])
    stats = {"n_estimates": len(found), "n_prompts": len(wanted), "n_given": len(given), "sampling": sampling}
    write_json(ctx.folder / "stats.json", stats)
    return StageOutcome(note=f"{len(found)} of {len(wanted)} prompts have an estimate", prompts=len(found))
