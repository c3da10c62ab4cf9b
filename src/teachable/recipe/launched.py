"""What each process of a launched training runs: `accelerate launch ... -m teachable.recipe.launched FOLDER`.

The folder was written by `recipe.launching`, on this machine or on one that shares its disk. Every rank does the
same job; the main one leaves the record. A rank that fails leaves a file that says why, and ends with an exit code that
makes the launcher end the others.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from teachable.errors import Stopped, TeachableError
from teachable.recipe.launching import GRACE_S, JOB, PARENT, RECORD, is_alive, is_main_process, threads_of
from teachable.recipe.training import TrainJob, train_job
from teachable.store.files import plain, read_json, write_json

WATCH_S = 0.25


def read_job(folder: Path) -> TrainJob:
    """The job in the folder, with its share of the machine's threads."""
    job = TypeAdapter(TrainJob).validate_json((folder / JOB).read_text(encoding="utf-8"))
    resources = job.place.resources.model_copy(update={"workers": threads_of(job.place)})
    return replace(job, place=replace(job.place, resources=resources))


def _watch(folder: Path, launcher: int) -> None:
    """End this process as soon as nobody waits for it any more."""
    parent = read_json(folder / PARENT)
    near = parent["host"] == socket.gethostname()
    while os.getppid() == launcher and (folder / JOB).exists() and (not near or is_alive(parent["pid"])):
        time.sleep(WATCH_S)
    os._exit(1)


def run(folder: Path) -> int:
    """Do the job as one of its ranks, and give the exit code."""
    rank = int(os.environ.get("RANK") or 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits for the job decides what an interrupt means
    write_json(folder / f"rank-{rank}.json", {"pid": os.getpid(), "host": socket.gethostname()})
    try:
        job = read_job(folder)
        threading.Thread(target=_watch, args=(folder, os.getppid()), daemon=True).start()
        record = train_job(job)
        if is_main_process():
            write_json(folder / RECORD, plain(record))
    except TeachableError as error:
        told = {"what": error.what, "where": error.where, "mend": error.mend, "exit_code": error.exit_code}
        write_json(folder / f"error-{rank}.json", {**told, "stopped": isinstance(error, Stopped)})
        _wait_for_the_main_rank()
        return 1
    except Exception as error:
        last = traceback.format_exception_only(error)[-1].strip()
        write_json(folder / f"crash-{rank}.json", {"line": " ".join(last.split())[:500]})
        _wait_for_the_main_rank()
        raise
    _leave_the_group()
    return 0


def _wait_for_the_main_rank() -> None:
    """Leave it the time to say why, before the launcher sees that a rank has ended, and ends the others."""
    if not is_main_process():
        time.sleep(GRACE_S)


def _leave_the_group() -> None:
    """Say goodbye to the other ranks; torch complains about processes that just go."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
