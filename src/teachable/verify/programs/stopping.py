"""A sandbox whose runs can be ended from another thread: whoever gives a verdict up need not wait for its programs."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from teachable.verify.programs.sandbox import Job, Ran, Running, Sandbox


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
