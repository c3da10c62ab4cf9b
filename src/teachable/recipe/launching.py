"""A training in several processes: `accelerate launch` starts them, here is waited for them.

The job goes into a folder of its own as JSON, and every process (a *rank*) that `accelerate launch` starts runs
`recipe.launched` on it: the very same training as in one process. The main rank leaves the record in that folder; what
goes wrong in a rank is left there too, and becomes one sentence here. The folder goes when the job is done; after a
crash it stays, with the log of all ranks.

No rank outlives its job: each watches this process, the launcher that started it and the job's file, and ends when one
of them is gone. Ctrl-C reaches this process alone, which then ends the others.

Nothing of this enters a key: what a training makes does not depend on the number of processes by more than rounding.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import TypeAdapter

from teachable.errors import EXIT_BAD_INPUT, Stopped, TeachableError
from teachable.recipe.accelerating import accelerate_settings
from teachable.recipe.sampling import Place
from teachable.recipe.slots import TUNED, Slot
from teachable.store.files import read_json, write_json, write_text

JOB, PARENT, RECORD, LOG, CONFIG = "job.json", "parent.json", "record.json", "log.txt", "accelerate.yaml"
POLL_S = 0.05
END_S = 10.0  # given to ranks that were asked to end, before they are killed
GRACE_S = 2.0  # in which a rank that has failed waits for the main one to say why
_EXIT_CODE = re.compile(r"exitcode\s*:\s*-(\d+)")


class Launchable(Protocol):
    """A job of plain data; `recipe.training.TrainJob` is one."""

    @property
    def label(self) -> str: ...

    @property
    def place(self) -> Place: ...

    @property
    def slot(self) -> Slot: ...


def is_main_process() -> bool:
    """Whether this process is the one that writes: the only one, or the first of those that were launched."""
    return int(os.environ.get("RANK") or 0) == 0


def launched(job: Launchable, *, say: Callable[[str], None] = lambda sentence: None) -> dict[str, Any]:
    """The job's record, from ranks that `accelerate launch` starts; at once where its slot keeps the model already.

    Args:
        say: told what the user must do on other machines, where the config file names several.

    Raises:
        TeachableError: what a rank raised, in its own words; a rank was killed or crashed; the resources ask for what
            this machine can't do.
        KeyboardInterrupt: and whatever else ends this process: no rank is left then.
    """
    if (kept := job.slot.kept()) is not None:
        return kept
    resources = job.place.resources
    settings = accelerate_settings(resources, on_cpu=job.place.on_cpu, where=f"training {job.label}")
    job.slot.begin()
    folder = job.slot.run / TUNED / f".{job.slot.name}.launch"
    shutil.rmtree(folder, ignore_errors=True)
    write_text(folder / CONFIG, yaml.safe_dump(settings, sort_keys=False))
    write_json(folder / PARENT, {"pid": os.getpid(), "host": socket.gethostname()})
    write_text(folder / JOB, TypeAdapter(type(job)).dump_json(job, warnings=False).decode())
    if settings["num_machines"] > 1:
        say(
            f"waiting for {settings['num_machines'] - 1} other machines; start on each, with its own number as RANK: "
            f"accelerate launch --config_file {folder / CONFIG} --machine_rank RANK "
            f"-m teachable.recipe.launched {folder}"
        )
    if not job.place.on_cpu:
        _give_memory_back()
    with (folder / LOG).open("wb") as log, _ending(folder, _start(folder, log, job)) as launcher:
        while launcher.poll() is None:
            time.sleep(POLL_S)
    return _outcome(folder, job, launcher.returncode)


def _give_memory_back() -> None:
    """Free what this process keeps on the GPUs for models that it has sampled from: the ranks need it now."""
    torch = importlib.import_module("torch")
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def _start(folder: Path, log: Any, job: Launchable) -> subprocess.Popen[bytes]:
    """The launcher, in a session of its own, so that a terminal's ctrl-C is this process' to deal with."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(folder / CONFIG)]
    command += [
        "--num_cpu_threads_per_process",
        str(threads_of(job.place)),
        "-m",
        "teachable.recipe.launched",
        str(folder),
    ]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def threads_of(place: Place) -> int:
    """Threads of each rank: the ranks share what one process would have."""
    return max(1, place.n_threads // place.resources.processes)


@contextlib.contextmanager
def _ending(folder: Path, launcher: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher for the block; when that ends, however it does, neither it nor a rank is left."""
    try:
        yield launcher
    finally:
        (folder / JOB).unlink(missing_ok=True)
        until = time.monotonic() + END_S
        if launcher.poll() is None:
            launcher.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                launcher.wait(END_S)
            launcher.kill()
            launcher.wait()
        for rank in _ranks_here(folder):
            while (alive := is_alive(rank)) and time.monotonic() < until:
                time.sleep(POLL_S)
            if alive:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rank, signal.SIGKILL)


def _ranks_here(folder: Path) -> list[int]:
    """The process ids of the ranks that were started on this machine."""
    found = [read_json(path) for path in sorted(folder.glob("rank-*.json"))]
    return [int(rank["pid"]) for rank in found if rank["host"] == socket.gethostname()]


def is_alive(pid: int) -> bool:
    """Whether a process runs on this machine; one that has ended, and that nobody has asked about yet, does not."""
    try:
        if Path("/proc/self/stat").exists():
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _outcome(folder: Path, job: Launchable, code: int) -> dict[str, Any]:
    """The main rank's record, where all ranks ended well; else the sentence that says what went wrong."""
    if code == 0 and (folder / RECORD).is_file():
        record: dict[str, Any] = read_json(folder / RECORD)
        shutil.rmtree(folder, ignore_errors=True)
        return record
    told = _cause(folder)
    if told is not None and "what" in told:
        shutil.rmtree(folder, ignore_errors=True)
        kind = Stopped if told["stopped"] else TeachableError
        raise kind(told["what"], where=told["where"], mend=told["mend"], exit_code=told["exit_code"])
    again = "Run the same command again: it goes on from the last checkpoint"
    log = (folder / LOG).read_text(encoding="utf-8", errors="replace")
    signals = [int(number) for number in _EXIT_CODE.findall(log) if int(number) != signal.SIGTERM]
    if signals:
        shutil.rmtree(folder, ignore_errors=True)
        raise TeachableError(
            f"a process of the training {job.label} was killed ({_named(signals[0])}) before its job was done, as "
            "systems do when memory runs out",
            mend=f"{again}, with fewer rows_at_once if memory is short",
            exit_code=EXIT_BAD_INPUT,
        )
    last = str(told["line"]) if told is not None else _last_line(log)
    raise TeachableError(
        f"a process of the training {job.label} ended with an error: {last.rstrip('.')}"
        if told is not None
        else f"accelerate launch could not run the training {job.label}: {last.rstrip('.')}",
        mend=f"The whole text is in {folder / LOG}",
    )


def _cause(folder: Path) -> dict[str, Any] | None:
    """What the rank said that was the first to fail; None where none said anything.

    Where the main rank fails the others fail with it, and may be the first to say so: what it says itself counts if it
    comes while they still wait (`GRACE_S`).
    """
    found = [*folder.glob("error-*.json"), *folder.glob("crash-*.json")]
    if not found:
        return None
    since = {path: path.stat().st_mtime - GRACE_S * path.stem.endswith("-0") for path in found}
    told: dict[str, Any] = read_json(min(found, key=lambda path: since[path]))
    return told


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
