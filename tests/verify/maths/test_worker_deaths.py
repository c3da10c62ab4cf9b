"""Workers and whoever started them die, by any hand: the others go on, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.verify.maths.processes import (
    FAMILY,
    PROLOGUE,
    SPINS,
    busy,
    descendants,
    lives,
    needs_proc,
    processes_of,
    run_script,
    until,
)

from teachable.verify.maths.workers import Reply, compare


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    """The zygote's start is nobody's time."""
    assert compare("x + 1", "1 + x").equal is True


@pytest.fixture
def spinning() -> Iterator[list[Reply]]:
    """A thread of ours that waits for a pair which never ends; the list gets its reply."""
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(compare(*SPINS, limit_s=3)))
    thread.start()
    assert until(lambda: len(busy(os.getpid())) == 1)
    yield replies
    thread.join(15)


@needs_proc
def test_a_worker_that_is_killed_costs_its_own_pair_only(spinning: list[Reply]) -> None:
    (victim,) = busy(os.getpid())
    os.kill(victim, signal.SIGKILL)
    assert until(lambda: bool(spinning))
    assert spinning[0].equal is None
    assert compare("k + 1", "1 + k").equal is True


@needs_proc
def test_idle_workers_that_are_killed_cost_nothing() -> None:
    for victim in processes_of(os.getpid())[1]:
        os.kill(victim, signal.SIGKILL)
    assert compare("k + 2", "2 + k").equal is True


@needs_proc
def test_the_zygote_is_killed_while_idle() -> None:
    zygote, before = processes_of(os.getpid())
    os.kill(zygote, signal.SIGKILL)
    assert compare("k + 3", "3 + k").equal is True
    assert until(lambda: not any(map(lives, before)))


@needs_proc
def test_the_zygote_is_killed_while_a_worker_computes(spinning: list[Reply]) -> None:
    zygote, before = processes_of(os.getpid())
    os.kill(zygote, signal.SIGKILL)
    assert until(lambda: bool(spinning))
    assert spinning[0].equal is None
    assert compare("k + 4", "4 + k").equal is True
    assert until(lambda: not any(map(lives, before)))


@needs_proc
def test_nothing_outlives_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", PROLOGUE.format(spins=SPINS) + "compare(*SPINS, limit_s=60)"]
    parent = subprocess.Popen(command)
    try:
        assert until(lambda: bool(descendants(parent.pid)), 20)
        assert until(lambda: len(busy(parent.pid)) == 1, 20)
        below = descendants(parent.pid)
        assert len(below) == 2
    finally:
        parent.kill()
        parent.wait()
    assert until(lambda: not any(map(lives, below)), 5)


@needs_proc
def test_the_interpreter_ends_at_once_and_in_silence() -> None:
    """Idle; with a daemon thread that waits for a verdict; after a coroutine gave up waiting."""
    works = [
        'compare("x + 1", "1 + x")',
        "threading.Thread(target=compare, args=SPINS, kwargs=dict(limit_s=60), daemon=True).start()",
        """
async def give_up():
    task = asyncio.create_task(compare_async(*SPINS, limit_s=60))
    await asyncio.to_thread(family)
    task.cancel()
asyncio.run(give_up())""",
    ]
    scripts = [f"{FAMILY}\n{work}\nprint(*family())" for work in works]
    started = time.monotonic()
    with ThreadPoolExecutor(len(scripts)) as pool:
        outcomes = list(pool.map(run_script, scripts))
    assert time.monotonic() - started < 20
    for done in outcomes:
        pids = [int(pid) for pid in done.stdout.split()]
        assert done.returncode == 0 and len(pids) == 2 and not any(map(lives, pids))


@needs_proc
def test_what_is_idle_ends_and_comes_back() -> None:
    done = run_script(
        f"""
from teachable.verify.maths import zygote as settings
settings.IDLE_WORKER_S, settings.IDLE_ZYGOTE_S = 0.5, 0.5
compare("x + 1", "1 + x")
{FAMILY}
zygote, worker = family()
os.waitid(os.P_PID, int(zygote), os.WEXITED | os.WNOWAIT)
print(os.path.exists(f"/proc/{{worker}}"), compare("x + 2", "2 + x").equal)
"""
    )
    assert done.stdout == "False True\n"
