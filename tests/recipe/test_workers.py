"""Jobs run side by side, in order of the jobs for who reads them, and no worker outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.recipe import jobs

from teachable.errors import TeachableError
from teachable.recipe.workers import side_by_side

SLOW_S = 30.0  # for a machine that is busy with other things; nothing here waits for a fixed time


def nobody(job: object, result: object) -> None:
    """Nobody wants to know."""


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + SLOW_S
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about yet does not."""
    try:
        if Path("/proc/self/stat").exists():
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def writers(*paths: Path) -> set[int]:
    return {int(line) for path in paths for line in path.read_text().splitlines()}


def is_written(path: Path) -> bool:
    return path.exists() and bool(path.read_text())


def test_results_are_in_the_order_of_the_jobs_whichever_ends_first() -> None:
    asked = [(1, 0.6), (2, 0.0), (3, 0.3), (4, 0.0)]
    told: list[tuple[tuple[int, float], int]] = []
    results = side_by_side(jobs.wait_and_square, asked, 2, lambda job, result: told.append((job, result[0])))
    assert [square for square, _ in results] == [1, 4, 9, 16]
    assert sorted(told) == [((number, wait), number**2) for number, wait in asked]
    pids = {pid for _, pid in results}
    assert os.getpid() not in pids
    assert 1 <= len(pids) <= 2


@pytest.mark.parametrize(("n_jobs", "n_workers"), [(3, 1), (3, 0), (1, 4), (0, 4)])
def test_one_worker_or_one_job_stays_in_this_process(n_jobs: int, n_workers: int) -> None:
    """So that it can be stepped through, and pays no start of a process."""
    told: list[int] = []
    results = side_by_side(
        jobs.wait_and_square, [(i, 0.0) for i in range(n_jobs)], n_workers, lambda job, result: told.append(job[0])
    )
    assert results == [(i**2, os.getpid()) for i in range(n_jobs)]
    assert told == list(range(n_jobs))


def test_an_exception_in_this_process_is_the_jobs_own() -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda job: 1 // job, [1, 0, 2], 1, nobody)


def test_an_exception_comes_through_whole_and_ends_the_others_at_once(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    begun = time.monotonic()
    with pytest.raises(TeachableError) as caught:
        side_by_side(jobs.fail_once_others_write, [(paths[0],), (paths[1], paths[0])], 2, nobody)
    assert time.monotonic() - begun < SLOW_S  # the other job would have written for two minutes
    error = caught.value
    assert (error.what, error.where, error.mend, error.exit_code) == ("this job can't be done", "jobs", "Leave it", 3)
    assert not any(alive(pid) for pid in writers(paths[0]))


def test_jobs_that_have_not_begun_are_not_begun_after_a_failure(tmp_path: Path) -> None:
    first, later = tmp_path / "first", [tmp_path / f"later-{i}" for i in range(5)]
    with pytest.raises(TeachableError):
        side_by_side(jobs.fail_once_others_write, [(first,), (first, first), *[(path,) for path in later]], 2, nobody)
    before = [path.stat().st_size for path in [first, *later] if path.exists()]
    # The worker whose job failed may have taken up the next one before it was ended.
    assert len(before) <= 2
    time.sleep(10 * jobs.BEAT_S)
    assert [path.stat().st_size for path in [first, *later] if path.exists()] == before


def test_a_caller_that_gives_up_ends_the_workers(tmp_path: Path) -> None:
    """As ctrl-C does, which reaches the parent while it waits."""

    def give_up(job: object, result: object) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(jobs.wait_and_square, [(1, 0.0), (2, 4 * SLOW_S)], 2, give_up)
    assert time.monotonic() - begun < SLOW_S


def test_a_worker_that_is_killed_is_one_sentence() -> None:
    with pytest.raises(TeachableError, match=r"a worker process was killed.*resources\.workers=1"):
        side_by_side(jobs.be_killed, [0, 1, 2], 2, nobody)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_goes_on_writing_when_its_parent_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    parent = subprocess.Popen([sys.executable, jobs.__file__, str(tmp_path)], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: all(is_written(path) for path in paths))
        pids = writers(*paths)
        assert len(pids) == 2
        assert parent.pid not in pids
        assert all(alive(pid) for pid in pids)
    finally:
        parent.send_signal(how)
    # Its end of the pipe closes with the last process that holds it: the parent, the workers, and their helper.
    parent.communicate(timeout=SLOW_S)
    assert parent.returncode == -how
    assert not any(alive(pid) for pid in pids)
    sizes = [path.stat().st_size for path in paths]
    time.sleep(10 * jobs.BEAT_S)
    assert [path.stat().st_size for path in paths] == sizes


def test_an_interrupt_is_the_parents_to_deal_with(tmp_path: Path) -> None:
    """Ctrl-C goes to the whole group: the workers leave it to the parent, which ends them and then itself."""
    paths = [tmp_path / name for name in ("a", "b")]
    parent = subprocess.Popen(
        [sys.executable, jobs.__file__, str(tmp_path)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_for(lambda: all(is_written(path) for path in paths))
        pids = writers(*paths)
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        sizes = [path.stat().st_size for path in paths]
        wait_for(lambda: all(path.stat().st_size > 2 * size for path, size in zip(paths, sizes, strict=True)))
        assert parent.poll() is None
    finally:
        os.killpg(parent.pid, signal.SIGINT)
    _, said = parent.communicate(timeout=SLOW_S)
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert said.count("KeyboardInterrupt") == 1
    assert not any(alive(pid) for pid in pids)
