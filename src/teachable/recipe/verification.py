"""Verify a file of attempts: every row once, a verdict and a reason each, and nothing twice.

A folder is one file's verdicts under one set of flags. It is complete when its manifest says so under the key of both,
and then nothing is done again. Until then the journal keeps every verdict as it is reached (`journal.py`), and the
ledger every completion of the judge; whoever kills the process loses what was in flight.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import teachable
from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import Ledgered
from teachable.engines.limits import Limits
from teachable.errors import Stopped, TeachableError
from teachable.recipe.answers import AnswerFile, read_answers
from teachable.recipe.base import content_identity
from teachable.recipe.config import Resources
from teachable.recipe.deciding import Work
from teachable.recipe.journal import Journal
from teachable.recipe.run import Watcher
from teachable.recipe.sampling import Place, asking, finish
from teachable.recipe.spec import Forecast, SpendingLimits
from teachable.recipe.verdicts import Judged, label_of, verdict_stats, write_verdicts
from teachable.records import Engine, Verifier
from teachable.store.digest import digest, file_digest
from teachable.store.files import read_json, write_json
from teachable.store.manifest import RunFolder, StageEntry
from teachable.train.config import SMALL_PARAMS
from teachable.verify import get, names
from teachable.verify.judging import JUDGED, Duel, Graded, Judge, calibrate
from teachable.verify.maths import Math
from teachable.verify.programs import Bounds, Code, find_sandbox
from teachable.verify.strings import Exact

NAME = "verify"
VERSION = 1  # raised by hand when the same rows and flags get other verdicts or other files
VERDICTS, STATS, CALIBRATION, JOURNAL = "verdicts.parquet", "stats.json", "calibration.json", "journal.jsonl"


@dataclass(frozen=True)
class VerifyOptions:
    """Who decides, and by which rules. All of it, but `unsafe_no_sandbox` and prices, changes what comes out.

    Args:
        verifier: who decides rows that name nobody and have no tests.
        columns: field -> column, in the place of what would be recognised.
        fold_case, fold_articles, tolerance: of `exact`.
        limit_s: of `math`, seconds for an answer.
        bounds: of `code`, for a program.
        unsafe_no_sandbox: run programs without a sandbox.
        engine: who judges; needed where a row is judged.
        rubric: of `judge`, as text; "" for its own.
        votes: of `judge`.
        calibrate: let the judge decide every row, and compare it with labels and with the other verifiers.

    Raises:
        TeachableError: a number is out of its range.
    """

    verifier: str = "math"
    columns: Mapping[str, str] = field(default_factory=dict)
    fold_case: bool = True
    fold_articles: bool = False
    tolerance: float = 0.0
    limit_s: float = 5.0
    bounds: Bounds = field(default_factory=Bounds)
    unsafe_no_sandbox: bool = False
    engine: EngineConfig | None = None
    rubric: str = ""
    votes: int = 3
    calibrate: bool = False

    def __post_init__(self) -> None:
        limits = {"--time-limit": self.limit_s, "--cpu-s": self.bounds.cpu_s, "--wall-s": self.bounds.wall_s}
        for flag, value in limits.items():
            if not 0 < value < math.inf:
                raise TeachableError(f"{value:g} s is no time limit", where=flag, mend="Name seconds above 0")
        if not 0 <= self.tolerance < math.inf:
            raise TeachableError(f"{self.tolerance:g} is no tolerance", where="--tolerance", mend="Name 0 or more")
        if self.bounds.memory_mib < 1 or self.votes < 1:
            flag, value = ("--votes", self.votes) if self.votes < 1 else ("--memory-mib", self.bounds.memory_mib)
            raise TeachableError(f"{value} is too few", where=flag, mend="Name 1 or more")

    def verifiers(self, engine: Engine | None) -> dict[str, Verifier]:
        """Every verifier by name, with these flags; `engine` is who judges."""
        flagged: list[Verifier] = [
            Math(limit_s=self.limit_s),
            Exact(fold_case=self.fold_case, fold_articles=self.fold_articles, tolerance=self.tolerance),
            Code(bounds=self.bounds, unsafe_no_sandbox=self.unsafe_no_sandbox),
            Judge(engine=engine, rubric=self.rubric, votes=self.votes),
            Graded(engine=engine, rubric=self.rubric, votes=self.votes),
            Duel(engine=engine, rubric=self.rubric, votes=self.votes),
        ]
        return {name: get(name) for name in names()} | {one.name: one for one in flagged}


@dataclass(frozen=True)
class Verified:
    """What came of it: the folder, its `stats.json`, the counts, and whether nothing had to be done."""

    folder: Path
    stats: Mapping[str, Any]
    up_to_date: bool


def verify_file(
    path: Path, out: Path, options: VerifyOptions, *, watcher: Watcher, limits: SpendingLimits | None = None
) -> Verified:
    """Verify the attempts of a file and write verdicts and counts into a folder.

    Args:
        path: JSONL or Parquet; see `answers`.
        out: the folder, new or of the same command. It gets `verdicts.parquet`, `stats.json`, and with
            `options.calibrate` a `calibration.json`.
        limits: what the folder's ledger may hold at most.

    Raises:
        Stopped: a limit was reached or the user interrupted; verdicts and counts so far are written then.
        TeachableError: a mistake in the file or the flags, no sandbox, or a folder of something else.
    """
    get(options.verifier, "--verifier")
    file = read_answers(path, verifier=options.verifier, columns=options.columns)
    labels = _labels(file) if options.calibrate else {}
    _check_can_be_done(file, options, labels)
    run = RunFolder(out)
    with run.locked(NAME):
        made = _ingredients(file, options)
        key = digest(made)
        if run.is_complete(NAME, key):
            return Verified(out, read_json(out / STATS), up_to_date=True)
        # From here on the folder is not complete, whatever it held.
        run.complete(NAME, StageEntry(kind=NAME, key="", version=VERSION, status="working"))
        watcher.started(NAME, "", Forecast(), 0.0)
        begun = time.perf_counter()
        with ExitStack() as stack:
            work = _work(file, options, labels, run, stack, limits or SpendingLimits(), watcher)
            asked = [work.engine] if work.engine is not None else []
            stopped = finish(
                work.all, *asked, limits=work.limits, on_interrupt=lambda _: watcher.interrupted(NAME, work.n_in_flight)
            )
        stats = _write(out, work, options, seconds=time.perf_counter() - begun, stopped=stopped)
        if stopped is not None:
            raise stopped
        entry = _entry(key, made, stats)
        if not stats["failed_requests"]:  # what failed is asked again by the same command
            run.complete(NAME, entry, outside=(VERDICTS, STATS, *((CALIBRATION,) if options.calibrate else ())))
        watcher.finished(NAME, entry)
    return Verified(out, stats, up_to_date=False)


# ---- what has to hold before anything is paid for ----


def _labels(file: AnswerFile) -> dict[int, bool]:
    """Row number -> what a person said of it.

    Raises:
        TeachableError: a label is neither true nor false.
    """
    found: dict[int, bool] = {}
    for row in file.rows:
        try:
            label = label_of(row.label)
        except (ValueError, TypeError) as error:
            mend = "Write true or false, or leave it empty"
            raise TeachableError(str(error), where=f"{file.path}, row {row.number}", mend=mend) from error
        if label is not None:
            found[row.number] = label
    return found


def _check_can_be_done(file: AnswerFile, options: VerifyOptions, labels: Mapping[int, bool]) -> None:
    """Refuse a judge without an engine, a calibration with nothing to compare, and programs without a sandbox."""
    judged = [row for row in file.rows if row.verifier in JUDGED]
    engine = "Name it with --engine, as in --engine openai:MODEL@http://localhost:8000/v1"
    if options.calibrate and options.engine is None:
        raise TeachableError("there is no engine that could be calibrated as a judge", where="--calibrate", mend=engine)
    if judged and options.engine is None:
        where = f"{file.path}, row {judged[0].number}"
        raise TeachableError("this row is for the judge, which has no engine", where=where, mend=engine)
    if options.calibrate and all(row.verifier == "judge" and row.number not in labels for row in file.rows):
        raise TeachableError(
            "there is nothing to compare the judge with",
            where=str(file.path),
            mend="Add a column `label` of true and false, or rows that another verifier can decide",
        )
    asked = [row for row in file.rows if not row.fault and not (options.calibrate and row.number in labels)]
    if any(row.verifier == "code" for row in asked):
        find_sandbox(unsafe_no_sandbox=options.unsafe_no_sandbox)


def _ingredients(file: AnswerFile, options: VerifyOptions) -> dict[str, Any]:
    """What the folder's contents depend on."""
    values = {
        name: value
        for name, value in vars(options).items()
        if name not in ("engine", "bounds", "unsafe_no_sandbox", "columns")
    }
    made: dict[str, Any] = {
        "kind": NAME,
        "version": VERSION,
        "package": teachable.__version__,
        "answers": file_digest(file.path),
        "options": {**values, "bounds": asdict(options.bounds), "columns": dict(file.mapping)},
    }
    if options.engine is not None:
        cache = Resources().cache_path()
        made["engine"] = options.engine.identity()
        made["files"] = {str(path): content_identity(path, cache) for path in options.engine.paths()}
    return made


# ---- the work ----


def _work(
    file: AnswerFile,
    options: VerifyOptions,
    labels: Mapping[int, bool],
    run: RunFolder,
    stack: ExitStack,
    limits: SpendingLimits,
    watcher: Watcher,
) -> Work:
    """The work with its journal open, and its engine where a row is judged."""
    journal = stack.enter_context(Journal(run.path / JOURNAL))
    engine: Ledgered | None = None
    gate = Limits(limits.max_cost_usd, limits.max_tokens)
    if options.engine is not None and (options.calibrate or any(row.verifier in JUDGED for row in file.rows)):
        # A judge is no small model: one on a CPU gets all its threads.
        place = Place(
            options.engine, Resources(), NAME, run.ledger_path, SMALL_PARAMS, limits.max_cost_usd, limits.max_tokens
        )
        gate = place.limits()
        engine = stack.enter_context(asking(place, limits=gate))
    return Work(
        file=file,
        labels=labels,
        calibrate=options.calibrate,
        verifiers=options.verifiers(engine),
        version=f"{VERSION} {teachable.__version__}",
        journal=journal,
        limits=gate,
        engine=engine,
        on_progress=lambda progress: watcher.progressed(NAME, progress),
    )


# ---- what is written ----


def _write(out: Path, work: Work, options: VerifyOptions, *, seconds: float, stopped: Stopped | None) -> dict[str, Any]:
    """Write the table and the counts, and return the latter."""
    judged = work.judged()
    spent = work.engine.spent if work.engine is not None else None
    n_new = sum(one.done and not one.reused and not one.row.fault for one in judged)
    stats: dict[str, Any] = {
        "complete": stopped is None,
        **verdict_stats(judged),
        "columns": dict(work.file.mapping),
        "rows_mended": work.file.n_mended,
        "rows_not_done": sum(not one.done for one in judged),
        "rows_reused": sum(one.reused for one in judged),
        "wall_seconds": round(seconds, 3),
        "rows_per_s": round(n_new / seconds, 1) if seconds > 0 else None,
        "completions": spent.completions if spent else 0,
        "tokens_in": spent.tokens_in if spent else 0,
        "tokens_out": spent.tokens_out if spent else 0,
        "cost_usd": round(spent.cost_usd, 6) if spent else 0.0,
        "failed_requests": spent.failed if spent else 0,
    }
    (out / STATS).unlink(missing_ok=True)  # it tells of the table beside it, or of none
    write_verdicts(out / VERDICTS, work.file, judged, calibrated=options.calibrate)
    if options.calibrate:
        stats["calibration"] = _calibration(judged)
        write_json(out / CALIBRATION, stats["calibration"])
    else:
        (out / CALIBRATION).unlink(missing_ok=True)
    write_json(out / STATS, stats)
    return stats


def _calibration(judged: Sequence[Judged]) -> dict[str, Any]:
    """The judge against labels, and against verifiers where there is no label."""
    compared = [(one.verdict.correct, one.expected, one.expected_by) for one in judged if one.done]
    known = [(verdict, expected) for verdict, expected, _ in compared if expected is not None]
    found = calibrate([verdict for verdict, _ in known], [expected for _, expected in known])
    sources = [by for _, expected, by in compared if expected is not None]
    return {
        **asdict(found),
        "n_decided": found.n_decided,
        "n_without_label": len(judged) - len(known),
        "labels_from": {name: sources.count(name) for name in dict.fromkeys(sources)},
        "text": found.text,
    }


def _entry(key: str, made: Mapping[str, Any], stats: Mapping[str, Any]) -> StageEntry:
    return StageEntry(
        kind=NAME,
        key=key,
        version=VERSION,
        seconds=stats["wall_seconds"],
        prompts=stats["rows"],
        completions=stats["completions"],
        tokens_in=stats["tokens_in"],
        tokens_out=stats["tokens_out"],
        cost_usd=stats["cost_usd"],
        note=f"{stats['right']:,} right, {stats['wrong']:,} wrong, {stats['undecided']:,} could not tell",
        ingredients=made,
    )
