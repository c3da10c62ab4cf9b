"""Put every row of a file to its verifier, once each, some at a time, until all are decided or the work is to end.

Rows that say the same, with the same verifier, are decided once. What the journal knows is taken from it, and what is
decided is kept there before the next row is taken. The verdicts of judges are left out of the journal, because its
completions are in the ledger, and requests that failed are to be asked again.

How many rows are in flight at once has no part in a verdict, but for limits of time, which a crowded machine reaches
sooner: so no more programs run than there are cores.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from teachable.engines.ledgered import Ledgered
from teachable.engines.limits import Limits
from teachable.errors import EXIT_INTERRUPTED, Stopped, TeachableError
from teachable.recipe.answers import AnswerFile, AnswerRow
from teachable.recipe.journal import Journal, options_of, verdict_key
from teachable.recipe.verdicts import Judged
from teachable.records import Progress, Verdict, Verifier
from teachable.verify import verdict_of
from teachable.verify.judging import JUDGED

JUDGED_AT_ONCE = 128  # questions that wait for an engine, which batches them or paces itself
AT_ONCE = 8
TURN_S = 0.02  # the longest that verdicts may keep the event loop from hearing of ctrl-C
TOLD_S = 0.1  # how often progress is told
_NOT_DONE = Verdict(None, None, "not verified yet: the work was stopped before this row")


@dataclass(frozen=True)
class Job:
    """A question to one verifier, and the rows that ask it."""

    verifier: str
    key: str
    rows: tuple[AnswerRow, ...]


@dataclass
class Work:
    """Every job of a file, and the verdicts so far by (row number, verifier)."""

    file: AnswerFile
    labels: Mapping[int, bool]
    calibrate: bool
    verifiers: Mapping[str, Verifier]
    version: str
    journal: Journal
    limits: Limits
    engine: Ledgered | None
    on_progress: Callable[[Progress], None]
    found: dict[tuple[int, str], Judged] = field(default_factory=dict)
    n_in_flight: int = 0
    _stopped: Stopped | None = None
    _turned_at: float = 0.0
    _told_at: float = 0.0

    async def all(self) -> Stopped | None:
        """Do every job that no journal has; the reason why not all were done, or None.

        Raises:
            TeachableError: a verifier's, which the user has to mend; what else was in flight is given up.
        """
        queues = self._queues()
        workers = [
            asyncio.ensure_future(self._serve(name, queue))
            for name, queue in queues.items()
            for _ in range(min(_at_once(name), len(queue)))
        ]
        self._tell(force=True)
        await _all_or_none(workers)
        self._tell(force=True)
        if self._stopped is None and any(queues.values()):
            self._stopped = Stopped(
                "stopped: nothing is in flight any more, and every verdict so far is kept",
                mend="Run the same command again to go on",
                exit_code=EXIT_INTERRUPTED,
            )
        return self._stopped

    def judged(self) -> list[Judged]:
        """Every row with its verdict, in the order of the file."""
        return [self._judged(row) for row in self.file.rows]

    def _judged(self, row: AnswerRow) -> Judged:
        name = "judge" if self.calibrate else row.verifier
        found = self.found.get((row.number, name), Judged(row, name, _NOT_DONE, done=False))
        if not self.calibrate:
            return found
        if row.number in self.labels:
            return replace(found, expected=self.labels[row.number], expected_by="label")
        own = self.found.get((row.number, row.verifier))
        if row.verifier == "judge" or own is None or own.verdict.correct is None:
            return found
        return replace(found, expected=own.verdict.correct, expected_by=row.verifier)

    def _asked(self, row: AnswerRow) -> list[str]:
        """The verifiers that a row is put to."""
        if not self.calibrate:
            return [row.verifier]
        own = [] if row.number in self.labels or row.verifier == "judge" else [row.verifier]
        return ["judge", *own]

    def _queues(self) -> dict[str, deque[Job]]:
        """The jobs that are left, by verifier; what is decided already is put into `found`."""
        options = {
            name: f"{self.version} {options_of(one) if name not in JUDGED else ''}"
            for name, one in self.verifiers.items()
        }
        left: dict[tuple[str, str], list[AnswerRow]] = {}
        for row in self.file.rows:
            for name in self._asked(row):
                if row.fault:
                    self.found[row.number, name] = Judged(row, name, Verdict(None, None, row.fault))
                    continue
                key = verdict_key(name, options[name], row.attempt, row.prompt)
                kept = self.journal.get(key)
                if kept is not None:
                    self.found[row.number, name] = Judged(row, name, kept[0], kept[1], reused=True)
                else:
                    left.setdefault((name, key), []).append(row)
        queues: dict[str, deque[Job]] = {}
        for (name, key), rows in left.items():
            queues.setdefault(name, deque()).append(Job(name, key, tuple(rows)))
        return queues

    async def _serve(self, name: str, queue: deque[Job]) -> None:
        """Do the jobs of a queue one after the other, until it is empty or the work is to end."""
        while queue and self._stopped is None and not self.limits.interrupted:
            job = queue.popleft()
            self.n_in_flight += 1
            try:
                await self._decide(job)
            except Stopped as error:
                queue.appendleft(job)
                self._stopped = self._stopped or error
            finally:
                self.n_in_flight -= 1
            self._tell()
            if time.perf_counter() - self._turned_at > TURN_S:
                await asyncio.sleep(0)
                self._turned_at = time.perf_counter()

    async def _decide(self, job: Job) -> None:
        """Get and keep the verdict of one job.

        Raises:
            Stopped: see `engines.limits`.
            TeachableError: the verifier's, with the row in it.
        """
        first, verifier = job.rows[0], self.verifiers[job.verifier]
        begun = time.perf_counter()
        try:
            verdict = await verdict_of(verifier, first.attempt, first.prompt)
        except Stopped:
            raise
        except TeachableError as error:
            where = error.where or f"{self.file.path}, row {first.number}"
            raise TeachableError(error.what, where=where, mend=error.mend, exit_code=error.exit_code) from error
        seconds = time.perf_counter() - begun
        verdict = replace(verdict, reason=" ".join(verdict.reason.split()))
        if job.verifier not in JUDGED and not _is_fault(verifier, verdict):
            self.journal.put(job.key, verdict, seconds)
        for row in job.rows:
            self.found[row.number, job.verifier] = Judged(row, job.verifier, verdict, seconds)
            seconds = 0.0

    def _tell(self, *, force: bool = False) -> None:
        now = time.perf_counter()
        if force or now - self._told_at > TOLD_S:
            self._told_at = now
            total = sum(len(self._asked(row)) for row in self.file.rows) if self.calibrate else len(self.file.rows)
            dollars = self.engine.spent.cost_usd if self.engine is not None else 0.0
            self.on_progress(Progress(len(self.found), total, "rows", note=f"${dollars:,.2f}" if dollars else ""))


def _is_fault(verifier: Verifier, verdict: Verdict) -> bool:
    """The verifier itself failed, which the next run may mend: such a verdict is not kept."""
    return verdict.correct is None and verdict.reason.startswith(f"the verifier '{verifier.name}' failed:")


def _at_once(verifier: str) -> int:
    """How many rows one verifier is given at a time."""
    if verifier == "code":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return JUDGED_AT_ONCE if verifier in JUDGED else AT_ONCE


async def _all_or_none(workers: Sequence[asyncio.Future[None]]) -> None:
    """Wait for all; where one fails, end the others and raise its error."""
    try:
        if workers:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in done:
                worker.result()
    finally:
        left: list[Awaitable[None]] = [worker for worker in workers if not worker.done() and worker.cancel()]
        await asyncio.gather(*left, return_exceptions=True)
