"""Tune the base on one domain after the other, each until its questions for steering show no more gain.

What a domain was tuned on is frozen then (`recipe.frozen`), and base and models are asked the questions of all domains
that only judge: a model tuned on one domain may have lost another. Models live in slots: a domain that was tuned
before, from the same set with the same settings, is not tuned again because another one is named beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.evaluate.tables import BASE
from teachable.recipe.domains import Domain, read_domains
from teachable.recipe.frozen import Frozen, file_name, freeze, frozen_path, proposed
from teachable.recipe.live import score_models
from teachable.recipe.sampling import place_of
from teachable.recipe.slots import Slot
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.stages.evaluate import SCORES
from teachable.recipe.steering import (
    gain_of,
    judged_of,
    questions_of,
    refuse_judges,
    seeds_of,
    selected_overlaps,
    steered,
    trained_facts,
)
from teachable.recipe.training import TrainJob, train_all, training_key
from teachable.recipe.training_tables import write_trainings
from teachable.recipe.tuning import tokens_of
from teachable.store.digest import digest
from teachable.store.files import read_json, write_json, write_records, write_rows
from teachable.train.tune_config import TuneConfig


def run(ctx: StageContext) -> StageOutcome:
    """Write one model a domain and seed, how each came to be, the frozen sets, and what was gained.

    Raises:
        Stopped: a limit was reached or the user interrupted; trained models and checkpoints are kept.
        TeachableError: a domain can't be tuned or its frozen set would change, rows overlap the held-out questions, or
            what the training says the user must mend.
    """
    config = ctx.config_as(TuneConfig)
    domains = _domains(ctx, config)
    refuse_judges(ctx, domains)
    sets = [proposed(ctx, domain) for domain in domains]
    n_overlapping = selected_overlaps(ctx, domains, allow=config.allow_overlap)
    _, test = questions_of(ctx.folder, domains)
    jobs = [job for domain, found in zip(domains, sets, strict=True) for job in _jobs(ctx, config, domain, found)]
    records = train_all(ctx, jobs)
    sets = [freeze(ctx, found) for found in sets]
    write_trainings(ctx.folder, records)
    rows = _scored(ctx, config, records, test)
    write_rows(ctx.folder / "scores.parquet", rows, SCORES)
    stats = _stats(ctx, config, records, sets, rows) | {
        "n_dev": sum(len(domain.dev) for domain in domains),
        "n_overlaps": n_overlapping,
    }
    write_json(ctx.folder / "stats.json", stats)
    for path in ctx.folder.glob(".dev-*.parquet"):
        path.unlink()
    return StageOutcome(
        note=_note(stats),
        prompts=len({row["prompt_id"] for row in rows}),
        tokens_out=stats["tokens"],
        tokens_spent=tokens_of(record for record in records if not record["kept"]),
        model_digest=digest([record["run"]["digest"] for record in records]),
        requires=tuple(Path(job.path) for job in jobs),
    )


# ---- before training ----


def _domains(ctx: StageContext, config: TuneConfig) -> list[Domain]:
    """The domains to tune; of one that is frozen the selection may hold nothing, which `proposed` refuses better."""
    known = [name for name in config.domains if frozen_path(ctx.run, name).is_file()]
    taught = [name for name in known if name not in ctx.permissions.refreeze]
    found = read_domains(
        ctx.inputs["prompts"], ctx.inputs["examples"], config.domains, config.dev_frac, where=ctx.name, taught=taught
    )
    names = [domain.name for domain in found]
    for name in ctx.permissions.refreeze:
        if name not in names:
            raise TeachableError(
                f"the domain {name!r} is not among those that are tuned, so its set is not frozen anew",
                where="--refreeze",
                mend=f"Name one of {', '.join(names)}, or tune {name!r} too",
            )
    return found


def _jobs(ctx: StageContext, config: TuneConfig, domain: Domain, found: Frozen) -> list[TrainJob]:
    """One job a seed."""
    base = read_json(ctx.inputs["base"] / "stats.json")
    # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
    folder, n_params = ctx.run / base["path"], int(base["n_params"])
    judged, label = judged_of(config), file_name(domain.name)
    dev = ctx.folder / f".dev-{label}.parquet"
    write_records(dev, domain.dev)
    jobs = []
    for seed in seeds_of(ctx, config.seeds):
        key = training_key(
            base["digest"], found.hash, config, seed=seed, dev=domain.dev, judged=judged, request_seed=ctx.seed
        )
        slot = Slot(ctx.run, f"{ctx.name}-{label}-{seed}", key)
        jobs.append(
            TrainJob(
                arm=domain.name,
                seed=seed,
                base=str(folder),
                examples=found.path,
                config=steered(config),
                dev=dev,
                judged=judged,
                slot=slot,
                place=place_of(ctx, n_params),
                request_seed=ctx.seed,
            )
        )
    return jobs


# ---- after training ----


def _scored(
    ctx: StageContext, config: TuneConfig, records: Sequence[dict[str, Any]], questions: Path
) -> list[dict[str, Any]]:
    """Score rows of the base and of every tuned model on the judging questions of all domains."""
    base = read_json(ctx.inputs["base"] / "stats.json")
    models = [(BASE, BASE, 0, ctx.run / base["path"], int(base["n_params"]))]
    for record in records:
        row = record["run"]
        models.append(
            (f"{row['arm']}-{row['seed']}", row["arm"], row["seed"], ctx.run / row["path"], int(row["n_params"]))
        )
    return score_models(ctx, models, questions, judged_of(config))


def _stats(
    ctx: StageContext,
    config: TuneConfig,
    records: Sequence[dict[str, Any]],
    sets: Sequence[Frozen],
    rows: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "domains": [found.domain for found in sets],
        "seeds": seeds_of(ctx, config.seeds),
        "settings": config.model_dump(mode="json"),
        "frozen": {found.domain: found.facts for found in sets},
        "n_test": len({row["prompt_id"] for row in rows}),
        "gains": [gain_of(rows, found.domain, found.domain, judged_of(config)) for found in sets],
        **trained_facts(records),
    }


def _note(stats: dict[str, Any]) -> str:
    """The stage's line."""
    gains = [
        f"{one['domain']} {one['base']:.0%} -> {one['tuned']:.0%}" for one in stats["gains"] if one["gain"] is not None
    ]
    models = "1 model" if stats["n_runs"] == 1 else f"{stats['n_runs']} models"
    return f"{models}; " + ", ".join(gains) if gains else models
