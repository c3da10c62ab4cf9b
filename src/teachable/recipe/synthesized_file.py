"""Make prompts and examples of a file or folder of the user's: `teachable synthesize`.

A folder is one input's outputs under one set of settings. It is complete when its manifest says so under the key of
both, and then nothing is done again. Where requests failed it is not complete, and the same command asks them again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import teachable
from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.recipe.base import content_identity
from teachable.recipe.config import Resources
from teachable.recipe.named_workflow import workflow_of
from teachable.recipe.run import Watcher
from teachable.recipe.sampling import Place
from teachable.recipe.spec import Forecast, SpendingLimits
from teachable.recipe.spending import entry_of
from teachable.recipe.synthesis_costs import forecast_of
from teachable.recipe.synthesizing import (
    NAME,
    STATS,
    Synthesis,
    accepted_in,
    note_of,
    seeds_of_prompts,
    synthesize_into,
    taken,
)
from teachable.records import Prompt
from teachable.store.digest import digest
from teachable.store.files import ROW_FORMATS, read_json, read_rows
from teachable.store.manifest import RunFolder, StageEntry
from teachable.synthesize.config import DocumentsConfig, SynthesizeConfig
from teachable.synthesize.graph import options_of
from teachable.synthesize.items import Seed, seed_of_document
from teachable.synthesize.material.documents import read_documents
from teachable.synthesize.tables import FILES
from teachable.tasks.benchmarks import load_benchmark
from teachable.tasks.config import task_paths
from teachable.tasks.load import read_prompts
from teachable.train.config import SMALL_PARAMS

VERSION = 1  # raised by hand when the same input and settings get other outputs or other files


@dataclass(frozen=True)
class SynthesizedFile:
    """What came of it: the folder, its `stats.json`, and whether nothing had to be done."""

    folder: Path
    stats: Mapping[str, Any]
    up_to_date: bool


@dataclass(frozen=True)
class GivenSeeds:
    """Where seeds come from.

    Args:
        path: a folder of documents, a document, or JSONL or Parquet of documents or prompts; None where rules write.
        documents: how documents are cut.
        columns: field -> column of a file of prompts.
    """

    path: Path | None
    documents: DocumentsConfig = field(default_factory=lambda: DocumentsConfig.model_validate({}))
    columns: Mapping[str, str] = field(default_factory=dict)


def synthesize_file(
    given: GivenSeeds,
    out: Path,
    config: SynthesizeConfig,
    *,
    watcher: Watcher,
    engine: EngineConfig | None,
    heldout: Sequence[str] = (),
    against: Sequence[Path] = (),
    seed: int = 0,
    limits: SpendingLimits | None = None,
    dry_run: bool = False,
) -> SynthesizedFile | Forecast:
    """Make what a workflow makes of seeds, and write it into a folder.

    Args:
        given: the seeds.
        out: the folder, new or of the same command. It gets `prompts.parquet`, `examples.jsonl`, `rejects.jsonl`,
            `review.jsonl` and `stats.json`.
        engine: who writes; None where rules do.
        heldout: tasks whose questions nothing may overlap.
        against: folders of this command whose prompts nothing may repeat.
        limits: what the folder's ledger may hold at most.
        dry_run: only say what it would cost; nothing is asked and nothing written.

    Raises:
        Stopped: a limit was reached or the user interrupted; what was finished is written then.
        TeachableError: a mistake in the input or the settings, or a folder of something else.
    """
    workflow = workflow_of(config)
    if engine is None and not config.rules:
        raise TeachableError(
            "nobody writes",
            where=NAME,
            mend="Name an engine with --engine ENGINE" + (", or --engine rules" if workflow.rules is not None else ""),
        )
    if given.path is None and not config.rules:
        raise TeachableError(
            "there is nothing to start from", where=NAME, mend="Name a folder of documents or a file of prompts"
        )
    limits = limits or SpendingLimits()
    # An engine of a command is no small model: one on a CPU gets all its threads.
    usual = engine if engine is not None else EngineConfig.model_validate({})
    run = RunFolder(out)
    place = Place(usual, Resources(), NAME, run.ledger_path, SMALL_PARAMS, limits.max_cost_usd, limits.max_tokens)
    if dry_run:
        seeds, left_out, _ = _seeds(given, workflow.takes)
        work = Synthesis(config, seeds, place, seed, left_out=left_out)
        work.check()
        return _expected(work, usual)
    with run.locked(NAME):
        made = _ingredients(given, config, engine, heldout, against, seed)
        key = digest(made)
        if run.is_complete(NAME, key):
            return SynthesizedFile(out, read_json(out / STATS), up_to_date=True)
        seeds, left_out, said = _seeds(given, workflow.takes)
        work = Synthesis(
            config,
            seeds,
            place,
            seed,
            heldout=_held_out(heldout, seed),
            against=[prompt for folder in against for prompt in accepted_in(folder)],
            base=usual.model if usual.is_local else "",
            left_out=left_out,
        )
        work.check()
        # From here on the folder is not complete, whatever it held.
        run.complete(NAME, StageEntry(kind=NAME, key="", version=VERSION, status="working"))
        forecast = _expected(work, usual)
        watcher.started(NAME, config.workflow, forecast, forecast.seconds)
        for sentence in (*said, forecast_text(forecast)):
            watcher.said(NAME, sentence)
        stats = synthesize_into(
            out,
            work,
            on_progress=lambda progress: watcher.progressed(NAME, progress),
            on_interrupt=lambda n_in_flight: watcher.interrupted(NAME, n_in_flight),
            say=lambda sentence: watcher.said(NAME, sentence),
        )
        entry = entry_of(NAME, key, VERSION, made, stats, n=stats["n_seeds"], note=note_of(stats))
        if not stats["failed_items"]:  # what failed is asked again by the same command
            run.complete(NAME, entry, outside=(*FILES, STATS))
        watcher.finished(NAME, entry)
    return SynthesizedFile(out, stats, up_to_date=False)


def forecast_text(forecast: Forecast) -> str:
    """What it will take, in a line."""
    if not forecast.completions:
        return f"{forecast.prompts:,} seeds, no engine is asked"
    cost = f", ${forecast.cost_usd:,.2f}" if forecast.cost_usd else ""
    return f"{forecast.prompts:,} seeds: about {forecast.completions:,} completions, {forecast.tokens:,} tokens{cost}"


def _expected(work: Synthesis, engine: EngineConfig) -> Forecast:
    """What it will cost."""
    workflow = work.workflow
    n = len(work.chosen)
    if work.config.rules:
        return Forecast(prompts=n)
    options = options_of(workflow, work.config.options)
    return forecast_of(workflow.calls(options), n, engine, list(work.config.engines.values()))


def _seeds(given: GivenSeeds, takes: Sequence[str]) -> tuple[list[Seed], dict[str, int], list[str]]:
    """The seeds that the workflow takes, what was left out, and how the file was read."""
    path = given.path
    if path is None:
        return [], {}, []
    if not path.exists():
        raise TeachableError("there is no such file or folder", where=str(path), mend="Correct the path")
    if path.is_file() and path.suffix in ROW_FORMATS and _holds_prompts(path, takes, given.columns):
        file = read_prompts(path, columns=given.columns)
        seeds, left_out = taken(seeds_of_prompts(file.prompts, file.responses), takes)
        said = ["columns: " + ", ".join(f"{name} <- {column}" for name, column in file.mapping.items())]
        return seeds, left_out, said
    found = read_documents(path, given.documents)
    seeds, left_out = taken([seed_of_document(one) for one in found.documents], takes)
    return seeds, {**dict(found.left_out), **left_out}, []


def _holds_prompts(path: Path, takes: Sequence[str], columns: Mapping[str, str]) -> bool:
    """Whether a file's rows are prompts: only what takes prompts reads any, and a column `text` alone is a document."""
    if "prompt" not in takes:
        return False
    if columns or len(takes) == 1:
        return True
    rows = read_rows(path)
    names = {name.lower() for name in (rows[0] if rows else {})}
    return "text" not in names or bool(names & {"prompt", "messages", "question", "problem", "instruction"})


def _held_out(tasks: Sequence[str], seed: int) -> list[Prompt]:
    return [prompt for task in tasks for prompt in load_benchmark(task, seed=seed).prompts]


def _ingredients(
    given: GivenSeeds,
    config: SynthesizeConfig,
    engine: EngineConfig | None,
    heldout: Sequence[str],
    against: Sequence[Path],
    seed: int,
) -> dict[str, Any]:
    """What the folder's contents depend on."""
    cache = Resources().cache_path()
    engines = {**({"": engine} if engine is not None else {}), **config.engines}
    paths = [
        *(path for one in engines.values() for path in one.paths()),
        *(Path(p) for t in heldout for p in task_paths(t)),
    ]
    paths += [path for path in (given.path, config.templates, config.file) if path is not None]
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise TeachableError("there is no such file or folder", where=str(missing), mend="Correct the path")
    return {
        "kind": NAME,
        "version": VERSION,
        "package": teachable.__version__,
        "documents": given.documents.model_dump(mode="json", exclude={"source"}),
        "columns": dict(given.columns),
        "seed": seed,
        "config": json.loads(config.model_dump_json(exclude={"engines", "templates", "file"})),
        "engines": {role: one.identity() for role, one in engines.items()},
        "heldout": list(heldout),
        "against": [content_identity(folder / "prompts.parquet", cache) for folder in against],
        "files": [content_identity(path.resolve(), cache) for path in paths],
    }
