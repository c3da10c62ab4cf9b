"""Jobs for worker processes: they have to be functions of a module that a worker can import quickly.

    python jobs.py FOLDER

runs two jobs side by side that write into FOLDER for as long as they live.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from teachable.errors import TeachableError
from teachable.recipe.workers import side_by_side

BEAT_S = 0.02


def write_for_ever(path: Path) -> None:
    """Add a line of this process' id to the file, again and again."""
    for _ in range(int(120 / BEAT_S)):  # a worker that nobody ends must not outlive the tests by much
        with path.open("a") as handle:
            handle.write(f"{os.getpid()}\n")
        time.sleep(BEAT_S)


def wait_and_square(job: tuple[int, float]) -> tuple[int, int]:
    """The number's square after some seconds, and the process that worked it out."""
    number, seconds = job
    time.sleep(seconds)
    return number**2, os.getpid()


def fail_once_others_write(paths: tuple[Path, ...]) -> None:
    """The job of one path writes for ever; the job of two waits until the other one writes, and fails."""
    if len(paths) == 1:
        return write_for_ever(paths[0])
    while not paths[1].exists():
        time.sleep(BEAT_S)
    raise TeachableError("this job can't be done", where="jobs", mend="Leave it", exit_code=3)


def be_killed(number: int) -> int:
    """The number; the process of number 1 dies as the system's memory killer would have it."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    side_by_side(write_for_ever, [folder / "a", folder / "b"], 2, lambda job, result: None)
