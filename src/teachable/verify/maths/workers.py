"""math-verify in processes that can be killed: `compare` and `compare_async`.

A computer algebra system can be made to compute for ever, or to fill the memory, by a few characters, and while it
computes one huge power it holds the interpreter's lock: no thread, no event loop and no signal handler of the same
process can stop it. So it runs in workers (`worker.py`), which this module starts, feeds, times and kills. It uses no
signal, no `multiprocessing` and no event loop, so it works from any thread, under any loop, and after a fork.

    this process ──control──► zygote: math-verify is imported, once
         │                      │ fork
         └────socket pair───────┴──► up to eight workers: one pair of answers at a time

- Workers are forked when they are needed; who finds all of them busy waits. The limit on time runs from when a worker
  takes the pair, so neither waiting nor the start of the zygote (a second) eats it up.
- A worker that passes the limit is killed (SIGKILL) and the reply is None. The next call gets a new one.
- Nothing outlives this process, however it ends: the zygote sees the end of its control socket and kills its workers.
- Verdicts are remembered by pair, except those that time, memory or a crash made.

Bounds on memory and the tie of a worker to its zygote are Linux's (`worker.py` says which); on macOS, time alone bounds
a worker. Windows has no `fork`, and `compare` says so.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

from teachable.errors import TeachableError
from teachable.verify.maths.wire import PATIENCE_S, Gone, receive, send
from teachable.verify.maths.zygote import Worker, Zygote

N_WORKERS = 8  # pairs under way at once
MAX_LIMIT_S = 86_400.0
MAX_CHARS = 200_000  # of one pair; far beyond what the callers let pass
N_REMEMBERED = 2048
MAX_REMEMBERED_CHARS = 4000  # of one pair
_N_TRIES = 2 * N_WORKERS  # a worker that ends through no fault of the pair costs another try


@dataclass(frozen=True)
class Reply:
    """Whether two answers are equal; None where time, memory, a crash or an unreadable answer kept that hidden."""

    equal: bool | None
    reason: str


@dataclass(frozen=True)
class _Job:
    """A pair that waits for a thread, and who waits for it."""

    reference: str
    attempt: str
    limit_s: float
    future: Future[Reply]


class _Pool:
    """The zygote, the workers and the threads of one process. A forked child of ours gets a pool of its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # of `_idle`, `_n_workers`, `_remembered` and `_n_threads`
        self._idle: list[Worker] = []
        self._n_workers = 0
        self._remembered: OrderedDict[tuple[str, str], Reply] = OrderedDict()
        self._n_threads = 0
        self._starting = threading.Lock()  # of `_zygote`
        self._zygote: Zygote | None = None
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._closed = False

    def compare(self, reference: str, attempt: str, limit_s: float) -> Reply:
        """See the function `compare`."""
        if not 0 < limit_s <= MAX_LIMIT_S:
            mend = f"Give more than 0 and at most {MAX_LIMIT_S:g}."
            raise TeachableError(f"{limit_s} s is no time to compare answers in", mend=mend)
        if len(reference) + len(attempt) > MAX_CHARS:
            return Reply(None, "the answers are too long to compare")
        key = (reference, attempt)
        with self._changed:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                return self._remembered[key]
        for _ in range(_N_TRIES):
            try:
                reply, lasting = self._try(reference, attempt, limit_s)
            except Gone:
                continue
            if lasting and len(reference) + len(attempt) <= MAX_REMEMBERED_CHARS:
                self._remember(key, reply)
            return reply
        return Reply(None, "this process is ending" if self._closed else "the workers keep ending")

    def _remember(self, key: tuple[str, str], reply: Reply) -> None:
        with self._changed:
            self._remembered[key] = reply
            while len(self._remembered) > N_REMEMBERED:
                self._remembered.popitem(last=False)

    def _try(self, reference: str, attempt: str, limit_s: float) -> tuple[Reply, bool]:
        """One worker's reply to the pair, and whether another worker would say the same.

        Raises:
            Gone: the worker ended before it took the pair, or somebody killed its zygote.
        """
        worker = self._take()
        serves = False  # whether the worker can take another pair
        try:
            send(worker.socket, {"reference": reference, "attempt": attempt, "limit_s": limit_s})
            try:
                receive(worker.socket, time.monotonic() + PATIENCE_S)  # "took"
            except TimeoutError:
                raise Gone from None
            deadline = time.monotonic() + limit_s
            try:
                told = receive(worker.socket, deadline)
            except TimeoutError:
                return Reply(None, f"comparing them took longer than {limit_s:g} s"), False
            except Gone:
                if worker.zygote.is_dead():
                    raise
                late = time.monotonic() >= deadline
                why = f"longer than {limit_s:g} s" if late else "too much memory, or crashed the worker"
                return Reply(None, f"comparing them took {why}"), False
            serves = not told["last"]
            return Reply(told["equal"], told["reason"]), told["lasting"]
        finally:
            self._give_back(worker, serves)

    def _take(self) -> Worker:
        """An idle worker, or a new one; waits while all are busy.

        Raises:
            Gone: the zygote ended as it was asked for one, or this process is ending.
        """
        with self._changed:
            while not self._idle and self._n_workers >= N_WORKERS and not self._closed:
                self._changed.wait()
            if self._idle:
                return self._idle.pop()
            self._n_workers += 1
        try:
            return self._new()
        except BaseException:
            self._forget_one()
            raise

    def _new(self) -> Worker:
        """A new worker, from a new zygote if there is none.

        Raises:
            Gone: see `_take`.
            TeachableError: no zygote can be started.
        """
        with self._starting:
            if self._closed:
                raise Gone
            self._zygote = self._zygote or Zygote()
            try:
                return self._zygote.fork()
            except Gone:
                self._zygote.end()
                self._zygote = None
                raise

    def _give_back(self, worker: Worker, serves: bool) -> None:
        if serves and not self._closed:
            with self._changed:
                self._idle.append(worker)
                self._changed.notify()
        else:
            worker.end()
            self._forget_one()

    def _forget_one(self) -> None:
        with self._changed:
            self._n_workers -= 1
            self._changed.notify()

    def submit(self, reference: str, attempt: str, limit_s: float) -> Future[Reply]:
        """`compare` in a thread of the pool. The threads are daemons: an interpreter that ends waits for none."""
        future: Future[Reply] = Future()
        self._jobs.put(_Job(reference, attempt, limit_s, future))
        with self._changed:
            start = self._n_threads < N_WORKERS
            self._n_threads += start
        if start:
            threading.Thread(target=self._work, name="teachable-algebra", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job.future.set_running_or_notify_cancel():
                try:
                    job.future.set_result(self.compare(job.reference, job.attempt, job.limit_s))
                except BaseException as error:  # belongs to who asked
                    job.future.set_exception(error)

    def close(self) -> None:
        """End all processes; who waits for a reply gets None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        zygote = self._zygote
        if zygote is not None:
            zygote.end()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's sockets."""
        if self._zygote is not None:
            self._zygote.abandon()


_pool = _Pool()


def compare(reference: str, attempt: str, limit_s: float = 5.0) -> Reply:
    """Does computer algebra find two answers equal? Blocks; from any thread, inside an event loop too.

    Args:
        reference: LaTeX without a box, cleaned and bounded in length.
        attempt: likewise. The two are not treated alike: math-verify unwraps equations as the reference has it.
        limit_s: wall seconds from when a worker takes the pair; then the worker is killed and the reply is None.

    Raises:
        TeachableError: the limit is no time, or no worker can be had on this machine. Never for what the texts say.
    """
    return _pool.compare(reference, attempt, limit_s)


async def compare_async(reference: str, attempt: str, limit_s: float = 5.0) -> Reply:
    """`compare` without blocking the event loop, in threads of this module's own.

    Raises:
        TeachableError: as for `compare`.
    """
    return await asyncio.wrap_future(_pool.submit(reference, attempt, limit_s))


def _close_at_exit() -> None:
    _pool.close()


def _after_fork() -> None:
    global _pool
    _pool.abandon()
    _pool = _Pool()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
