"""Run a program that nobody trusts: `find_sandbox().run(Job(...))` says how it ended and what it wrote.

A job is an argument vector, some files, bytes for the standard input, and bounds. With bubblewrap (`Bubblewrap`) it
runs

- in user, process, mount, network, IPC, UTS and cgroup namespaces of its own, without capabilities, under a system call
  filter (`sandboxes/seccomp.py`), with no network at all;
- on a read-only system (`sandboxes/profile.py` says what is in it: /usr, the interpreter, and no home, no key, no run
  folder), in a private folder on a tmpfs of bounded size, which nobody else ever sees and which ends with the
  namespace;
- with a cleared environment and no open descriptor but the standard three and those of `Job.fds`;
- within the bounds below, which one supervisor process for each run holds (`sandboxes/supervisor.py`).

What holds the bounds:

| bound | of | by |
| --- | --- | --- |
| `wall_s` | the program, from its start | the supervisor |
| `cpu_s` | all its processes together, ended ones too | the supervisor, every 10 ms; each process by RLIMIT_CPU |
| `memory_mib` | each process | RLIMIT_DATA: the allocation fails |
| `memory_mib` | all its processes together | the supervisor, every 10 ms, by proportional size, swap, page tables |
| `n_processes` | processes and threads together | RLIMIT_NPROC a little above (Linux 5.14 and newer), the supervisor |
| `file_mib` | each file | RLIMIT_FSIZE |
| `disk_mib` | all files together, /tmp and /dev/shm too; they are memory beyond `memory_mib` | the size of the tmpfs |
| `output_kib` | standard output and standard error, each | the supervisor, which kills the flood |

As root everything is started under an unprivileged user id, so one description holds for root and for ordinary users.

Not protected against: defects of the kernel; the timing of caches; memory of the kernel itself (socket buffers: at most
`n_processes` times 256 descriptors), whose only guard is that the run is killed when the machine has almost no memory
left; a sum of memory that grows faster than the supervisor looks, by at most `memory_mib` for each process.
Processes whose parent ignores SIGCHLD leave the sum of CPU seconds when they end; `wall_s` bounds them.

`Unsafe` is for those who ask for it: a plain process with resource limits, a private folder and a cleared environment.
It may read, send and start whatever the user may. What it leaves running is killed under Linux.

A run of a trivial program takes about 20 ms with `python -I -S`: 50 a second from one thread, 80 a second on two cores
from 2 to 8 threads; 35 a second without `-S` (the interpreter then looks at its packages first).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from teachable.errors import TeachableError
from teachable.verify.programs.sandboxes import profile
from teachable.verify.programs.sandboxes.client import Keeper, Running
from teachable.verify.programs.sandboxes.job import Bounds, Ended, Job, Ran

__all__ = ["Bounds", "Bubblewrap", "Ended", "Job", "Ran", "Running", "Sandbox", "Unsafe", "find_sandbox"]

_SIGN = b"the sandbox works"
_TRIAL_BOUNDS = Bounds(cpu_s=10, wall_s=30)


class Sandbox(Protocol):
    """Where programs run. Thread-safe and blocking; nothing survives a run: no process, no file, no mount."""

    @property
    def name(self) -> str:
        """ "bubblewrap", or "none"."""
        ...

    def start(self, job: Job, keep: Sequence[str] = ()) -> Running:
        """Start the job; `Running.wait` gives how it ended. `keep` names files of its folder to bring back."""
        ...

    def run(self, job: Job, keep: Sequence[str] = ()) -> Ran:
        """Start the job and wait for its end."""
        ...


@dataclass(frozen=True)
class _Kept:
    """A sandbox whose runs a keeper process starts and supervises."""

    keeper: Keeper = field(repr=False)

    def start(self, job: Job, keep: Sequence[str] = ()) -> Running:
        """Start the job; `Running.wait` gives how it ended. `keep` names files of its folder to bring back."""
        return self.keeper.start(job, keep)

    def run(self, job: Job, keep: Sequence[str] = ()) -> Ran:
        """Start the job and wait for its end."""
        return self.start(job, keep).wait()


@dataclass(frozen=True)
class Bubblewrap(_Kept):
    """Programs in namespaces of their own."""

    name: str = "bubblewrap"


@dataclass(frozen=True)
class Unsafe(_Kept):
    """Programs as plain processes: limits and a private folder, but no protection from what they do."""

    name: str = "none"


def find_sandbox(*, unsafe_no_sandbox: bool = False) -> Sandbox:
    """The sandbox of this machine, proved by a trial run; found once, then remembered.

    Args:
        unsafe_no_sandbox: take no sandbox at all, even where one can be had.

    Raises:
        TeachableError: no sandbox can be had here; the error says how to get one.
    """
    return _unsafe() if unsafe_no_sandbox else _bubblewrap()


@functools.cache
def _unsafe() -> Sandbox:
    return Unsafe(Keeper(profile.unsafe()))


@functools.cache
def _bubblewrap() -> Sandbox:
    sandbox = Bubblewrap(Keeper(profile.bubblewrap()))
    script = f"import os; os.write(1, {_SIGN!r})"
    ran = sandbox.run(Job(("python", "-I", "-S", "-c", script), bounds=_TRIAL_BOUNDS))
    if ran.ended == "exit" and ran.exit_code == 0 and ran.stdout == _SIGN:
        return sandbox
    said = ran.stderr.decode(errors="replace").strip().splitlines()
    raise TeachableError(
        f"bubblewrap can't run a program here ({said[-1] if said else ran.ended})",
        where="the sandbox",
        mend=profile.how_to_mend(os.geteuid() == 0),
    )
