"""Jobs side by side, one worker process each on one thread, that end when their parent does.

A model of half a million parameters gains nothing from a second thread (on two busy cores it loses most of its
speed), but two such models at once gain nearly double. A job runs on one thread however many run beside it, so its
numbers do not depend on the number of workers.

A worker watches its parent: when the run is interrupted, or killed outright, no orphan goes on writing into the run
folder.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from typing import TypeVar

from teachable.errors import TeachableError

J = TypeVar("J")
R = TypeVar("R")

PARENT_CHECK_S = 0.25


def _watch_parent(parent: int, stop: Event) -> None:
    """End this process as soon as its parent is gone or wants it gone."""
    while os.getppid() == parent and not stop.is_set():
        time.sleep(PARENT_CHECK_S)
    os._exit(1)


def _begin(parent: int, stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True).start()


def side_by_side(
    function: Callable[[J], R], jobs: Sequence[J], n_workers: int, on_done: Callable[[J, R], None]
) -> list[R]:
    """`function(job)` for every job, in worker processes; the results in the order of the jobs.

    Args:
        function: a function of a module, so that a worker can import it. It sets its own number of threads.
        n_workers: processes at once; with 1 the jobs run here, one after the other.
        on_done: called here after each job, in the order in which they finish.

    Raises:
        whatever `function` raises, the first time that it does; jobs under way are ended.
        TeachableError: a worker process was killed.
    """
    if n_workers <= 1 or len(jobs) <= 1:
        results = []
        for job in jobs:
            results.append(function(job))
            on_done(job, results[-1])
        return results
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(min(n_workers, len(jobs)), context, _begin, (os.getpid(), stop))
    try:
        futures = {pool.submit(function, job): index for index, job in enumerate(jobs)}
        for future in as_completed(futures):
            on_done(jobs[futures[future]], future.result())
        return [future.result() for future in futures]
    except BrokenProcessPool as error:
        stop.set()
        raise TeachableError(
            "a worker process was killed before its job was done, as systems do when memory runs out",
            mend="Run the same command again, with --set resources.workers=1 if memory is short; "
            "what was finished is kept",
        ) from error
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
