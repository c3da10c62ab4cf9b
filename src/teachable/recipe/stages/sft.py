"""Tune the base on each arm's examples: the same number of steps, and of tokens a step, for every arm and seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.errors import TeachableError
from teachable.recipe.guarding import n_overlaps
from teachable.recipe.sampling import Place, place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.recipe.tuning import curve_rows, tokens_of, tune_all
from teachable.records import Example
from teachable.store.digest import digest
from teachable.store.files import read_json, read_records, write_json, write_rows
from teachable.train.config import SftConfig
from teachable.train.sft import sft


@dataclass(frozen=True)
class SftJob:
    """One model to tune. `part` is where its record goes; `out` is its folder, `path` the same from the run."""

    arm: str
    seed: int
    examples: Path
    base: str
    config: SftConfig
    n_steps: int
    out: Path
    path: str
    part: Path
    place: Place

    @property
    def label(self) -> str:
        """The model's name."""
        return f"{self.arm}-{self.seed}"


def run(ctx: StageContext) -> StageOutcome:
    """Train one model a set of examples. A killed stage goes on with the sets that it had not finished."""
    config = ctx.config_as(SftConfig)
    jobs = _jobs(ctx, config)
    n_overlapping = n_overlaps(ctx, [job.examples for job in jobs], allow=config.allow_overlap)
    n_steps = jobs[0].n_steps
    records, spent = tune_all(ctx, jobs, train_one)
    write_rows(ctx.folder / "runs.parquet", [record["run"] for record in records])
    write_rows(ctx.folder / "curves.parquet", curve_rows(jobs, records))
    stats = {
        "arms": list(dict.fromkeys(job.arm for job in jobs)),
        "seeds": list(dict.fromkeys(job.seed for job in jobs)),
        "n_runs": len(jobs),
        "n_steps": n_steps,
        "tokens_per_step": config.tokens_per_step,
        "budget_tokens": read_json(ctx.inputs["examples"] / "stats.json").get("budget_tokens"),
        "backend": records[0]["run"]["backend"],
        "n_overlaps": n_overlapping,
        "seconds": round(sum(record["run"]["seconds"] for record in records), 3),
        "tokens": tokens_of(records),
    }
    write_json(ctx.folder / "stats.json", stats)
    for job in jobs:
        job.part.unlink(missing_ok=True)
    return StageOutcome(
        note=f"{len(jobs)} models of {n_steps} steps",
        tokens_out=stats["tokens"],
        tokens_spent=tokens_of(spent),
        model_digest=digest([record["run"]["digest"] for record in records]),
    )


def _jobs(ctx: StageContext, config: SftConfig) -> list[SftJob]:
    selected = read_json(ctx.inputs["examples"] / "stats.json")
    base = read_json(ctx.inputs["base"] / "stats.json")
    sets = [one for one in selected["arms"] if one["n_examples"]]
    if not sets:
        what = "the selection holds no examples to train on" if selected["arms"] else "the selection made no arms"
        raise TeachableError(what, where="sft", mend="List arms in the select stage, or lower its bar if all are empty")
    # The arms were chosen at one budget and differ by less than an example: the same steps for all.
    n_steps = max(1, min(int(one["n_tokens"]) for one in sets) // config.tokens_per_step)
    jobs = []
    for one in sets:
        label = f"{one['arm']}-{one['seed']}"
        out = ctx.model_path(label)
        jobs.append(
            SftJob(
                arm=str(one["arm"]),
                seed=int(one["seed"]),
                examples=ctx.inputs["examples"] / "examples" / f"{label}.jsonl",
                base=str(base["path"]),
                config=config,
                n_steps=n_steps,
                out=out,
                path=out.relative_to(ctx.run).as_posix(),  # the run folder may be moved
                part=ctx.folder / f".part-{label}.json",
                place=place_of(ctx, int(base["n_params"])),
            )
        )
    return jobs


def train_one(job: SftJob) -> dict[str, Any]:
    """Tune one model and record it; the record is written after the model is saved. Runs in a worker process."""
    torch.set_num_threads(job.place.n_threads)
    result = sft(
        job.base,
        read_records(job.examples, Example),
        job.config,
        seed=job.seed,
        out=job.out,
        n_steps=job.n_steps,
        device=job.place.resources.device,
        checkpoint=job.part.with_suffix(".pt"),
    )
    run = {"arm": job.arm, "seed": job.seed, "path": job.path}
    run |= {
        name: getattr(result, name)
        for name in ("digest", "n_examples", "n_steps", "n_tokens", "n_response_tokens", "backend")
    }
    run |= {"final_loss": result.curve[-1].loss, "seconds": round(result.seconds, 3)}
    record = {"run": run, "curve": [asdict(point) for point in result.curve]}
    write_json(job.part, record)
    return record
