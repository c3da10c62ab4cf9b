"""Judge a file's prompts, or the responses in a file: `teachable judge-pairs`.

A folder is one file's pairs under one set of settings. It is complete when its manifest says so under the key of both,
and then nothing is done again. Where requests failed it is not complete, and the same command asks them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import teachable
from teachable.errors import TeachableError
from teachable.prefer import JudgePairsConfig
from teachable.prefer.tables import COMPARISONS, PREFERENCES, RESPONSES
from teachable.recipe.base import content_identity
from teachable.recipe.config import Resources
from teachable.recipe.given_responses import GivenResponses, read_responses
from teachable.recipe.judged_pairs import NAME, STATS, Judging, judge_into, note_of
from teachable.recipe.run import Watcher
from teachable.recipe.sampling import Place
from teachable.recipe.spec import Forecast, SpendingLimits
from teachable.recipe.spending import entry_of
from teachable.store.digest import digest, file_digest
from teachable.store.files import read_json
from teachable.store.manifest import RunFolder, StageEntry
from teachable.tasks.load import read_prompts
from teachable.train.config import SMALL_PARAMS

VERSION = 1  # raised by hand when the same rows and settings get other pairs or other files


@dataclass(frozen=True)
class JudgedFile:
    """What came of it: the folder, its `stats.json`, and whether nothing had to be done."""

    folder: Path
    stats: Mapping[str, Any]
    up_to_date: bool


def judge_file(
    prompts: Path | None,
    out: Path,
    config: JudgePairsConfig,
    *,
    watcher: Watcher,
    responses: Path | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
    limits: SpendingLimits | None = None,
) -> JudgedFile:
    """Judge a file's prompts, or the responses in a file, and write pairs and counts into a folder.

    Args:
        prompts: JSONL or Parquet; may be None where `responses` holds the prompts.
        out: the folder, new or of the same command. It gets `preferences.parquet`, `responses.parquet`,
            `comparisons.parquet` and `stats.json`.
        config: with `own` false and a judge, since a command has no recipe's engine.
        responses: responses that are there already.
        columns: field -> column of the prompts.
        limits: what the folder's ledger may hold at most.

    Raises:
        Stopped: a limit was reached or the user interrupted; what was finished is written then.
        TeachableError: a mistake in the files or the settings, or a folder of something else.
    """
    if config.judge is None:
        raise TeachableError("nobody judges", where=NAME, mend="Name a judge with --judge ENGINE")
    given = _given(prompts, responses, columns)
    limits = limits or SpendingLimits()
    run = RunFolder(out)
    with run.locked(NAME):
        made = _ingredients(prompts, responses, columns, config, seed)
        key = digest(made)
        if run.is_complete(NAME, key):
            return JudgedFile(out, read_json(out / STATS), up_to_date=True)
        # A judge is no small model: those on a CPU get all its threads.
        place = Place(
            config.judge, Resources(), NAME, run.ledger_path, SMALL_PARAMS, limits.max_cost_usd, limits.max_tokens
        )
        work = Judging(given.prompts, config, place, seed, given=given.responses)
        work.check()
        # From here on the folder is not complete, whatever it held.
        run.complete(NAME, StageEntry(kind=NAME, key="", version=VERSION, status="working"))
        watcher.started(NAME, "", Forecast(), 0.0)
        for sentence in _noted(given):
            watcher.said(NAME, sentence)
        stats = judge_into(
            out,
            work,
            on_progress=lambda progress: watcher.progressed(NAME, progress),
            on_interrupt=lambda n_in_flight: watcher.interrupted(NAME, n_in_flight),
            say=lambda sentence: watcher.said(NAME, sentence),
        )
        entry = entry_of(NAME, key, VERSION, made, stats, n=stats["n_prompts"], note=note_of(stats))
        if not stats["failed_requests"]:  # what failed is asked again by the same command
            run.complete(NAME, entry, outside=(PREFERENCES, RESPONSES, COMPARISONS, STATS))
        watcher.finished(NAME, entry)
    return JudgedFile(out, stats, up_to_date=False)


def _given(prompts: Path | None, responses: Path | None, columns: Mapping[str, str] | None) -> GivenResponses:
    """Prompts, and the responses that are there already."""
    named = read_prompts(prompts, columns=columns) if prompts is not None else None
    if responses is None:
        if named is None:
            raise TeachableError("there are no prompts", where=NAME, mend="Name a file of prompts, or --responses FILE")
        return GivenResponses(named.prompts, {}, named.mapping)
    return read_responses(responses, named.prompts if named is not None else None, columns if named is None else None)


def _noted(given: GivenResponses) -> list[str]:
    """How the files were read."""
    said = ["columns: " + ", ".join(f"{field} <- {column}" for field, column in given.columns.items())]
    if given.n_without_text:
        said.append(f"{given.n_without_text:,} rows or items hold no response and were passed over")
    if given.n_without_prompt:
        said.append(f"{given.n_without_prompt:,} rows answer none of the prompts and were passed over")
    return said


def _ingredients(
    prompts: Path | None,
    responses: Path | None,
    columns: Mapping[str, str] | None,
    config: JudgePairsConfig,
    seed: int,
) -> dict[str, Any]:
    """What the folder's contents depend on."""
    engines = [*config.engines, *([config.judge] if config.judge is not None else [])]
    cache = Resources().cache_path()
    return {
        "kind": NAME,
        "version": VERSION,
        "package": teachable.__version__,
        "prompts": file_digest(prompts) if prompts is not None else None,
        "responses": file_digest(responses) if responses is not None else None,
        "columns": dict(columns or {}),
        "seed": seed,
        "config": config.model_dump(mode="json", exclude={"engines", "judge"}),
        "engines": [engine.identity() for engine in engines],
        "files": {str(path): content_identity(path, cache) for engine in engines for path in engine.paths()},
    }
