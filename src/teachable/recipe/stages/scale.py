"""The long run: one model on a mix of domains, from settings that a search has found and has evidence for.

Training is steered by all questions for steering of the mix's domains, and ends at their plateau or when the tokens are
used. The tables are those of the stage `tune`; the one arm is called `scale`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.evaluate import EvaluateConfig
from teachable.evaluate.tables import BASE
from teachable.explore.evidence import gain, normalised
from teachable.recipe.domains import Domain, read_domains
from teachable.recipe.explored import check_evidence
from teachable.recipe.exploring import table_of
from teachable.recipe.live import score_models
from teachable.recipe.mixing import Mixed, mixed, shares_of
from teachable.recipe.sampling import place_of
from teachable.recipe.slots import Slot
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.stages.evaluate import SCORES
from teachable.recipe.stages.explore import examples_digest
from teachable.recipe.steering import (
    gain_of,
    judged_of,
    questions_of,
    refuse_judges,
    seeds_of,
    selected_overlaps,
    trained_facts,
)
from teachable.recipe.training import TrainJob, train_all, training_key
from teachable.recipe.training_tables import write_trainings
from teachable.recipe.tuning import tokens_of
from teachable.records import Prompt
from teachable.store.digest import digest
from teachable.store.files import read_json, read_records, write_json, write_records, write_rows
from teachable.train.tune_config import ScaleConfig

ARM = "scale"


def run(ctx: StageContext) -> StageOutcome:
    """Write the model of each seed, how it came to be, and what it gained on the questions that only judge.

    Raises:
        Stopped: a limit was reached or the user interrupted; trained models and checkpoints are kept.
        TeachableError: there is no evidence for these settings and nobody allowed to go on without, the mix names what
            there is not, rows overlap the held-out questions, or what the training says the user must mend.
    """
    config = ctx.config_as(ScaleConfig)
    base = read_json(ctx.inputs["base"] / "stats.json")
    names = [name for name, share in config.mix.items() if share > 0]
    domains = read_domains(ctx.inputs["prompts"], ctx.inputs["examples"], names, config.dev_frac, where=ctx.name)
    evidence = check_evidence(ctx, config, shares_of(domains, config.mix), str(base["digest"]))
    _tell_other_examples(ctx, evidence, domains)
    refuse_judges(ctx, domains)
    n_overlapping = selected_overlaps(ctx, domains, allow=config.allow_overlap)
    dev, test = questions_of(ctx.folder, domains)
    sets = {seed: mixed(domains, config.mix, config.n_tokens, f"{ctx.seed}\x1f{seed}") for seed in _seeds(ctx, config)}
    jobs = [_job(ctx, config, base, seed, found, dev) for seed, found in sets.items()]
    records = train_all(ctx, jobs)
    write_trainings(ctx.folder, records)
    models = [(BASE, BASE, 0, ctx.run / str(base["path"]), int(base["n_params"]))]
    models += [(job.label, ARM, job.seed, job.slot.model, int(base["n_params"])) for job in jobs]
    rows = score_models(ctx, models, test, judged_of(config))
    write_rows(ctx.folder / "scores.parquet", rows, SCORES)
    stats = _stats(ctx, config, records, domains, rows) | {"n_overlaps": n_overlapping, "evidence": evidence}
    stats |= {"n_epochs": dict(next(iter(sets.values())).n_epochs), "n_dev": sum(len(domain.dev) for domain in domains)}
    write_json(ctx.folder / "stats.json", stats)
    for job in jobs:
        job.examples.unlink()
    return StageOutcome(
        note=stats["sentence"],
        prompts=stats["n_test"],
        tokens_out=stats["tokens"],
        tokens_spent=tokens_of(record for record in records if not record["kept"]),
        model_digest=digest([record["run"]["digest"] for record in records]),
        requires=tuple(Path(job.path) for job in jobs),
    )


def _seeds(ctx: StageContext, config: ScaleConfig) -> list[int]:
    return seeds_of(ctx, config.seeds)


def _tell_other_examples(ctx: StageContext, evidence: Mapping[str, Any] | None, domains: Sequence[Domain]) -> None:
    """Say so where the search saw other examples: more data is what a long run may be for, so that is no fault."""
    searched = (evidence or {}).get("examples") or {}
    now = examples_digest(domains)
    changed = [name for name in now if name in searched and searched[name] != now[name]]
    if changed:
        ctx.say(f"the search that is the evidence saw other examples of {', '.join(changed)}")


def _job(
    ctx: StageContext, config: ScaleConfig, base: Mapping[str, Any], seed: int, found: Mixed, dev: Path
) -> TrainJob:
    """One seed's training: through the mix once, where that has a number of tokens."""
    path = ctx.folder / f".examples-{seed}.jsonl"
    write_records(path, found.examples)
    settings = config
    if config.n_tokens:
        n_steps = math.ceil(len(found.examples) / config.batch_size)
        settings = config.model_copy(update={"max_epochs": 1, "max_steps": min(config.max_steps, n_steps)})
    judged = judged_of(config)
    key = training_key(
        str(base["digest"]),
        digest([example.id for example in found.examples]),
        settings,
        seed=seed,
        dev=read_records(dev, Prompt),
        judged=judged,
        request_seed=ctx.seed,
    )
    return TrainJob(
        arm=ARM,
        seed=seed,
        base=str(ctx.run / str(base["path"])),
        examples=path,
        config=settings,
        dev=dev,
        judged=judged,
        slot=Slot(ctx.run, f"{ctx.name}-{seed}", key),
        place=place_of(ctx, int(base["n_params"])),
        request_seed=ctx.seed,
    )


def _stats(
    ctx: StageContext,
    config: ScaleConfig,
    records: Sequence[dict[str, Any]],
    domains: Sequence[Domain],
    rows: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    judged = judged_of(config)
    overall = _overall(rows, judged)
    return {
        "domains": [domain.name for domain in domains],
        "mix": normalised(shares_of(domains, config.mix)),
        "seeds": _seeds(ctx, config),
        "settings": config.model_dump(mode="json"),
        "n_test": len({row["prompt_id"] for row in rows}),
        "gains": [gain_of(rows, domain.name, ARM, judged) for domain in domains],
        "overall": overall["gain"],
        "sentence": overall["sentence"],
        **trained_facts(records),
    }


def _overall(rows: Sequence[dict[str, Any]], judged: EvaluateConfig) -> dict[str, Any]:
    """The gain over the base on all questions together, counted as in a search, and the same in words."""
    found = gain(table_of(rows, ARM, judged), table_of(rows, BASE, judged))
    what = "gain" if found.consistent else "no consistent gain"
    return {"gain": found.document(), "sentence": f"{what} over the base: {found.sentence}"}
