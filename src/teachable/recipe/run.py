"""Carry out a recipe in a run folder: skip what is complete, do the rest in order, survive being killed.

Each stage is begun (its partial work of another key wiped), run, and recorded, in this order; see
`store.manifest` for what makes that safe. An interrupt passes through: what was finished is kept, and the same
command goes on from there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from teachable.errors import TeachableError
from teachable.recipe.config import Recipe
from teachable.recipe.plan import Decision, decide, forecast_of, rated, stats_of, wanted_stages
from teachable.recipe.rates import Rates
from teachable.recipe.spec import Forecast, Kinds, Permissions, RunnerFor, SpendingLimits, StageContext, spec_of
from teachable.records import Progress
from teachable.store.files import write_text
from teachable.store.manifest import RunFolder, StageEntry

# What must stay free beside a stage's own forecast: the manifest, the ledger's log, a report.
SPARE_BYTES = 16 * 2**20


class Watcher(Protocol):
    """Whoever wants to know how a run goes (the command line)."""

    def cached(self, stage: str, entry: StageEntry) -> None: ...

    def started(self, stage: str, reason: str, forecast: Forecast, seconds: float) -> None: ...

    def progressed(self, stage: str, progress: Progress) -> None: ...

    def finished(self, stage: str, entry: StageEntry) -> None: ...

    def interrupted(self, stage: str, n_in_flight: int) -> None: ...

    def said(self, stage: str, sentence: str) -> None: ...


@dataclass(frozen=True)
class RunSummary:
    """What a run did: the stages in order, and which of them really ran."""

    recipe: str
    run: Path
    entries: dict[str, StageEntry]
    ran: tuple[str, ...]


def run_recipe(
    recipe: Recipe,
    run: RunFolder,
    kinds: Kinds,
    runner_for: RunnerFor,
    watcher: Watcher,
    *,
    until: str | Sequence[str] | None = None,
    start: str | None = None,
    limits: SpendingLimits | None = None,
    permissions: Permissions | None = None,
) -> RunSummary:
    """Run every stage that is not complete.

    Args:
        runner_for: gives the runner of a kind; asked only when a stage of that kind must run.
        until, start: see `plan.wanted_stages`.
        limits: what the run folder may hold at most; None is no limit.
        permissions: what a stage would refuse otherwise.

    Raises:
        Stopped: a limit was reached, or the user interrupted; everything that was paid for is kept.
        TeachableError: the folder is another's or in use, the disk is full, or a stage says what is wrong.
    """
    stages, redo = wanted_stages(recipe, until, start)
    with run.locked(recipe.name):
        _write_recipe(recipe, run)
        rates = Rates(recipe.resources.cache_path())
        keys: dict[str, str] = {}
        expected: dict[str, Any] = {}
        done: dict[str, StageEntry] = {}
        ran: list[str] = []
        for stage in stages:
            entries = run.entries()
            decision = decide(recipe, stage, kinds, run, entries, keys, redo)
            keys[stage.name] = decision.key
            if decision.cached and decision.entry is not None:
                entry = decision.entry
                watcher.cached(stage.name, entry)
            else:
                forecast, seconds, _ = forecast_of(recipe, stage, kinds, rates, expected)
                _check_room(run.path, stage.name, forecast.disk_bytes)
                watcher.started(stage.name, decision.reason, forecast, seconds)
                work = _Work(
                    recipe, run, kinds, runner_for, watcher, limits or SpendingLimits(), permissions or Permissions()
                )
                entry = work.stage(decision, afresh=stage.name in redo)
                watcher.finished(stage.name, entry)
                ran.append(stage.name)
            done[stage.name] = entry
            expected[stage.name] = stats_of(run, stage.name)
    return RunSummary(recipe.name, run.path, done, tuple(ran))


@dataclass(frozen=True)
class _Work:
    """What the stages of a run share."""

    recipe: Recipe
    run: RunFolder
    kinds: Kinds
    runner_for: RunnerFor
    watcher: Watcher
    limits: SpendingLimits
    permissions: Permissions

    def stage(self, decision: Decision, *, afresh: bool) -> StageEntry:
        """Run one stage and write it into the manifest."""
        return _run_stage(self, decision, afresh=afresh)


def _run_stage(work: _Work, decision: Decision, *, afresh: bool) -> StageEntry:
    recipe, run, kinds, runner_for, watcher = work.recipe, work.run, work.kinds, work.runner_for, work.watcher
    stage = decision.stage
    spec = spec_of(kinds, stage.kind)
    outside = spec.outside_of(stage.name)
    folder = run.begin(stage.name, decision.key, outside=outside, afresh=afresh)
    context = StageContext(
        name=stage.name,
        config=stage.config,
        seed=recipe.seed,
        key=decision.key,
        base=recipe.base,
        engine=recipe.engine,
        resources=recipe.resources,
        run=run.path,
        folder=folder,
        inputs={role: run.stage_dir(needed) for role, needed in stage.needs.items()},
        on_progress=lambda progress: watcher.progressed(stage.name, progress),
        limits=work.limits,
        on_interrupt=lambda n_in_flight: watcher.interrupted(stage.name, n_in_flight),
        say=lambda sentence: watcher.said(stage.name, sentence),
        permissions=work.permissions,
    )
    begun = time.perf_counter()
    outcome = runner_for(stage.kind)(context)
    seconds = time.perf_counter() - begun
    entry = StageEntry(
        kind=stage.kind,
        key=decision.key,
        version=spec.version,
        seconds=round(seconds, 3),
        prompts=outcome.prompts,
        completions=outcome.completions,
        tokens_in=outcome.tokens_in,
        tokens_out=outcome.tokens_out,
        cost_usd=outcome.cost_usd,
        note=outcome.note,
        ingredients=decision.ingredients,
        model_digest=outcome.model_digest,
        requires=tuple(str(path) for path in outcome.requires),
    )
    spent = outcome.tokens_out if outcome.tokens_spent is None else outcome.tokens_spent
    Rates(recipe.resources.cache_path()).measured(spec, rated(recipe, spec), spent, seconds)
    return run.complete(stage.name, entry, outside=outside)


def _write_recipe(recipe: Recipe, run: RunFolder) -> None:
    """Keep the resolved recipe as run.yaml, which `load_recipe` reads back to the same recipe."""
    head = f"# The recipe of this run with every default written out: teachable run run.yaml --out {run.path.name}\n"
    text = head + yaml.safe_dump(recipe.document(), sort_keys=False, allow_unicode=True, width=120)
    path = run.path / "run.yaml"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _check_room(folder: Path, stage: str, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + SPARE_BYTES:
        raise TeachableError(
            f"stage {stage} needs about {_megabytes(needed_bytes + SPARE_BYTES)} of disk space, "
            f"{_megabytes(free)} are free",
            where=str(folder),
            mend="Free some space or choose another folder with --out, then run the same command again",
        )


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.0f} MB"
