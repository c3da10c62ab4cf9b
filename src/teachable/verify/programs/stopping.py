"""A sandbox whose runs can be ended from another thread: whoever gives a verdict up need not wait for its programs.

And the threads that wait for sandboxes, one a core for all who run programs, so that no more run at once than there are
cores.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from teachable.verify.programs.sandbox import Job, Ran, Running, Sandbox

R = TypeVar("R")


class Stoppable:
    """A `Sandbox` for one verdict, until `stop`: that kills what runs, and nothing is started after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._running: list[Running] = []
        self._sandbox: Sandbox | None = None

    def within(self, sandbox: Sandbox) -> Stoppable:
        """The same, with the runs in this sandbox."""
        self._sandbox = sandbox
        return self

    @property
    def name(self) -> str:
        """The sandbox's name."""
        return self._sandbox.name if self._sandbox is not None else ""

    def start(self, job: Job, keep: Sequence[str] = ()) -> Running:
        """Start the job in the sandbox.

        Raises:
            InterruptedError: it was stopped.
        """
        with self._lock:
            if self._stopped or self._sandbox is None:
                raise InterruptedError("nobody waits for this program any more")
            running = self._sandbox.start(job, keep)
            self._running.append(running)
            return running

    def run(self, job: Job, keep: Sequence[str] = ()) -> Ran:
        """Start the job and wait for its end."""
        running = self.start(job, keep)
        try:
            return running.wait()
        finally:
            with self._lock:
                self._running.remove(running)

    def stop(self) -> None:
        """Kill what runs. From any thread."""
        with self._lock:
            self._stopped = True
            for running in self._running:
                running.kill()


async def in_thread(work: Callable[[Stoppable], R]) -> R:
    """Work that blocks on sandboxes, on a thread of our own; given up, it ends what it runs."""
    runs = Stoppable()
    try:
        return await asyncio.get_running_loop().run_in_executor(_pool(), work, runs)
    except asyncio.CancelledError:
        runs.stop()
        raise


_pools: dict[int, ThreadPoolExecutor] = {}
_pools_lock = threading.Lock()


def _pool() -> ThreadPoolExecutor:
    """Threads that only wait for sandboxes, one a core; a forked process gets its own."""
    with _pools_lock:
        pid = os.getpid()
        if pid not in _pools:
            _pools.clear()
            _pools[pid] = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="sandboxes")
        return _pools[pid]
