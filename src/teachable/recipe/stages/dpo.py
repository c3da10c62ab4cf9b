"""Tune the base on preference pairs: one model a seed, each on another order of the same pairs.

`judge_dpo` is this stage again, on judged pairs and with the model of a `dpo` stage as its base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from teachable.errors import TeachableError
from teachable.recipe.guarding import example_name, held_out, refuse_overlaps
from teachable.recipe.sampling import Place, place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.tuning import curve_rows, tokens_of, tune_all
from teachable.records import Progress
from teachable.store.digest import digest
from teachable.store.files import read_json, read_rows, write_json, write_rows
from teachable.train.config import DpoConfig
from teachable.train.dpo import dpo, pair_steps
from teachable.train.dpo_trainer import DpoPoint
from teachable.train.preferences import FILE, Said, read_preferences

RUN_FIELDS = ("digest", "n_pairs", "n_too_long", "n_steps", "pairs_per_step", "n_tokens", "n_response_tokens")


@dataclass(frozen=True)
class DpoJob:
    """One model to tune. `part` is where its record goes; `out` is its folder, `path` the same from the run."""

    arm: str
    seed: int
    pairs: Path
    base: str
    config: DpoConfig
    out: Path
    path: str
    part: Path
    place: Place

    @property
    def label(self) -> str:
        """The model's name."""
        return f"{self.arm}-{self.seed}"


def run(ctx: StageContext) -> StageOutcome:
    """Train one model a seed. A killed stage goes on with the models that it had not finished."""
    config = ctx.config_as(DpoConfig)
    n_given = len(read_preferences(ctx.inputs["preferences"] / FILE))
    if not n_given:
        raise TeachableError(
            "there are no preference pairs to train on",
            where=ctx.name,
            mend=f"{ctx.inputs['preferences'] / 'stats.json'} counts what was left out, and why",
        )
    n_overlaps = _n_overlaps(ctx, config)
    jobs = _jobs(ctx, config)
    records, spent = tune_all(ctx, jobs, _tune(ctx, jobs, n_given))
    _write(ctx, jobs, records, n_overlaps)
    for job in jobs:
        job.part.unlink(missing_ok=True)
    first = records[0]["run"]
    if first["n_too_long"]:
        ctx.say(f"{first['n_too_long']:,} of {n_given:,} pairs are longer than the base or max_length allows: left out")
    models, steps, pairs = (
        _count(len(jobs), "model"),
        _count(first["n_steps"], "step"),
        _count(first["n_pairs"], "pair"),
    )
    return StageOutcome(
        note=f"{models} of {steps}, on {pairs}",
        tokens_out=tokens_of(records),
        tokens_spent=tokens_of(spent),
        model_digest=digest([record["run"]["digest"] for record in records]),
        requires=(jobs[0].out.absolute(),),  # `path` says where it is: a run folder that was moved does this again
    )


def _tune(ctx: StageContext, jobs: list[DpoJob], n_pairs: int) -> Callable[[DpoJob], dict[str, Any]]:
    """How a model is made; a single one is made in this process, so its steps can be told."""
    if len(jobs) > 1:
        return train_one
    n_steps = len(pair_steps(n_pairs, jobs[0].config, jobs[0].seed))

    def stepped(point: DpoPoint) -> None:
        ctx.on_progress(Progress(point.step + 1, n_steps, "steps", point.tokens))

    return partial(train_one, on_step=stepped)


def _n_overlaps(ctx: StageContext, config: DpoConfig) -> int | None:
    """How many pairs overlap the held-out questions; None where nobody said what is held out.

    Raises:
        TeachableError: some do, and the config does not allow it.
    """
    held = held_out(ctx)
    if held is None:
        return None
    path = ctx.inputs["preferences"] / FILE
    prompt_ids = [str(row.get("prompt_id") or "") for row in read_rows(path)]
    rows = []
    for number, (pair, prompt_id) in enumerate(zip(read_preferences(path), prompt_ids, strict=True), start=1):
        responses = {"chosen": _plain(pair.chosen), "rejected": _plain(pair.rejected)}
        name = example_name(path, number)
        if isinstance(pair.prompt, str):
            rows.append(held.row_of_text(name, prompt_id, pair.prompt, responses))
        else:
            rows.append(held.row_of_chat(name, prompt_id, pair.prompt, responses))
    return refuse_overlaps(ctx, held, rows, allow=config.allow_overlap)


def _plain(said: Said) -> str:
    return said if isinstance(said, str) else "\n".join(message["content"] for message in said)


def _write(ctx: StageContext, jobs: list[DpoJob], records: list[dict[str, Any]], n_overlaps: int | None) -> None:
    """The tables in the shape of the sft stage's, and the first model's place, for stages that take it as a base."""
    write_rows(ctx.folder / "runs.parquet", [record["run"] for record in records])
    write_rows(ctx.folder / "curves.parquet", curve_rows(jobs, records))
    first = records[0]["run"]
    config = ctx.config_as(DpoConfig)
    stats = {
        "arms": [ctx.name],
        "seeds": [job.seed for job in jobs],
        "n_runs": len(jobs),
        "path": str(jobs[0].out.absolute()),
        "digest": first["digest"],
        "n_params": records[0]["n_params"],
        "n_pairs": first["n_pairs"],
        "n_too_long": first["n_too_long"],
        "n_steps": first["n_steps"],
        "pairs_per_step": first["pairs_per_step"],
        "lora": bool(config.lora.r),
        "n_overlaps": n_overlaps,
        "precomputed": records[0]["precomputed"],
        "seconds": round(sum(record["run"]["seconds"] for record in records), 3),
        "tokens": tokens_of(records),
    }
    write_json(ctx.folder / "stats.json", stats)


def _jobs(ctx: StageContext, config: DpoConfig) -> list[DpoJob]:
    base = read_json(ctx.inputs["base"] / "stats.json")
    jobs = []
    for seed in range(ctx.seed, ctx.seed + config.seeds):
        out = ctx.model_path(str(seed))
        jobs.append(
            DpoJob(
                arm=ctx.name,
                seed=seed,
                pairs=ctx.inputs["preferences"] / FILE,
                base=str(base["path"]),
                config=config,
                out=out,
                path=out.relative_to(ctx.run).as_posix(),  # the run folder may be moved
                part=ctx.folder / f".part-{seed}.json",
                place=place_of(ctx, int(base["n_params"])),
            )
        )
    return jobs


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def train_one(job: DpoJob, on_step: Callable[[DpoPoint], None] | None = None) -> dict[str, Any]:
    """Tune one model and record it; the record is written after the model is saved. Runs in a worker process."""
    torch.set_num_threads(job.place.n_threads)
    result = dpo(
        job.base,
        read_preferences(job.pairs),
        job.config,
        seed=job.seed,
        out=job.out,
        device=job.place.resources.device,
        checkpoint=job.part.with_suffix(".pt"),
        on_step=on_step,
    )
    run = {"arm": job.arm, "seed": job.seed, "path": job.path}
    run |= {name: getattr(result, name) for name in RUN_FIELDS}
    run |= {"backend": "trl", "final_loss": result.curve[-1].loss, "seconds": round(result.seconds, 3)}
    record = {
        "run": run,
        "curve": [asdict(point) for point in result.curve],
        "precomputed": result.precomputed,
        "n_params": result.n_params,
    }
    write_json(job.part, record)
    return record
