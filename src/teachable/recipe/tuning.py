"""Several models tuned in one stage: side by side, each recorded as it is finished, with curves in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from teachable.recipe.sampling import Place
from teachable.recipe.spec import StageContext
from teachable.recipe.workers import side_by_side
from teachable.records import Progress
from teachable.store.digest import model_digest
from teachable.store.files import read_json


class Named(Protocol):
    """A model that tables call by arm and seed."""

    @property
    def arm(self) -> str: ...

    @property
    def seed(self) -> int: ...


class TuningJob(Named, Protocol):
    """One model to tune. `out` is its folder; `part` is where its record goes once that is saved."""

    @property
    def label(self) -> str: ...

    @property
    def out(self) -> Path: ...

    @property
    def part(self) -> Path: ...

    @property
    def place(self) -> Place: ...


J = TypeVar("J", bound=TuningJob)


def tune_all(
    ctx: StageContext, jobs: Sequence[J], tune: Callable[[J], dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records in the order of the jobs, and those of the models that were tuned only now.

    Args:
        jobs: one at least; what a killed stage had finished of them is not done again.
        tune: makes one model and its record, in a process of its own where several are made at once. A record has a
            `run` (a row of `runs.parquet`) and a `curve` (rows of `curves.parquet`).
    """
    done = {job.label: record for job in jobs if (record := _recorded(job)) is not None}

    def finished(job: J, record: dict[str, Any]) -> None:
        done[job.label] = record
        ctx.on_progress(Progress(len(done), len(jobs), "models", tokens_of(done.values()), job.label))

    ctx.on_progress(Progress(len(done), len(jobs), "models"))
    waiting = [job for job in jobs if job.label not in done]
    tuned = side_by_side(tune, waiting, min(len(jobs), jobs[0].place.n_at_once), finished)
    return [done[job.label] for job in jobs], tuned


def _recorded(job: TuningJob) -> dict[str, Any] | None:
    """What a killed run had recorded of a model. One whose model has since gone is tuned again."""
    if not job.part.is_file():
        return None
    kept: dict[str, Any] = read_json(job.part)
    return kept if job.out.is_dir() and model_digest(job.out) == kept["run"]["digest"] else None


def tokens_of(records: Iterable[dict[str, Any]]) -> int:
    """Tokens that these models were trained on."""
    return sum(record["run"]["n_tokens"] for record in records)


def curve_rows(jobs: Sequence[Named], records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row an optimiser step of a model."""
    return [
        {"arm": job.arm, "seed": job.seed, **point}
        for job, record in zip(jobs, records, strict=True)
        for point in record["curve"]
    ]
