"""What a sandbox is given and what it gives back: `Job`, `Bounds`, `Ran`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import PurePosixPath
from typing import Literal

from teachable.errors import TeachableError

Ended = Literal["exit", "signal", "wall", "cpu", "memory", "processes", "output", "killed"]
MAX_DESCRIPTOR = 99  # the highest number that a descriptor may have inside


@dataclass(frozen=True)
class Bounds:
    """What one program may use. Each is more than 0; `sandbox.py` says what holds it.

    Attributes:
        cpu_s: seconds of CPU time of all its processes together.
        wall_s: seconds from its start to its end.
        memory_mib: memory of all its processes together, in MiB, files in its folder not counted.
        n_processes: processes and threads at one time.
        file_mib: size of one file, in MiB.
        output_kib: size of the standard output, and again of the standard error, in KiB.
        disk_mib: size of all files together, in MiB.
    """

    cpu_s: float = 10.0
    wall_s: float = 20.0
    memory_mib: int = 512
    n_processes: int = 32
    file_mib: int = 16
    output_kib: int = 1024
    disk_mib: int = 64

    def __post_init__(self) -> None:
        """Raise TeachableError for a bound that nothing could keep."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not 0 < value < 1e9:
                raise TeachableError(
                    f"{value} is no bound", where=f"Bounds.{entry.name}", mend="Give a number over 0 and under 1e9"
                )


@dataclass(frozen=True)
class Job:
    """One program to run.

    Attributes:
        argv: the program and its arguments; "python" as the program means the interpreter that runs us. Others are
            looked up in /usr/local/bin, /usr/bin and /bin, or in the private folder by a path such as "./main".
        files: contents by relative path; they are put into the private folder, executable, before the program starts.
        stdin: the standard input. It is a file: the program may leave it unread, or read it twice.
        bounds: what the program may use.
        fds: number inside -> open descriptor of ours that the program inherits under that number (3 to 99).
        site_packages: show the packages installed beside us, read-only, and let "python" be the environment's own.
    """

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)
    stdin: bytes = b""
    bounds: Bounds = field(default_factory=Bounds)
    fds: Mapping[int, int] = field(default_factory=dict)
    site_packages: bool = False

    def __post_init__(self) -> None:
        """Raise TeachableError for a command, a file name or a descriptor that can't be."""
        if not self.argv or not self.argv[0] or not all(_is_plain(word) for word in self.argv):
            raise TeachableError(
                "a command is empty, or holds a NUL or half a character", where=f"the command {list(self.argv)!r}"[:200]
            )
        for name in self.files:
            check_name(name)
        for inside in self.fds:
            if not 3 <= inside <= MAX_DESCRIPTOR:
                raise TeachableError(f"{inside} is no descriptor's number from 3 to {MAX_DESCRIPTOR}", where="Job.fds")


@dataclass(frozen=True)
class Ran:
    """How a program ended, and what it left.

    Attributes:
        ended: "exit" by itself, "signal" by a signal of its own making; the bound that it passed ("output" also for
            more files than a folder may hold); or "killed": by `Running.kill`, or because it could not be run at all,
            and then `stderr` says why.
        exit_code: the exit status; 127 where the command was not found; minus the signal's number; None when a bound or
            `kill` ended it.
        stdout: what it wrote, at most `output_kib`.
        stderr: the same of the standard error.
        wall_s: seconds from the program's start to its end.
        files: contents of those files of `keep` that are there, are regular files and are within the bounds.
    """

    ended: Ended
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    wall_s: float
    files: Mapping[str, bytes] = field(default_factory=dict)


def check_name(name: str) -> None:
    """Raise TeachableError unless `name` is a relative path that stays inside the private folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "/".join(parts) != name or not _is_plain(name):
        raise TeachableError(
            f"{name[:100]!r} is no file's name inside the private folder",
            where="a program's files",
            mend="Give a relative path without '..', such as main.py",
        )
    if len(name.encode()) > 200:
        raise TeachableError(
            f"the file name {name[:40]!r}... is too long", where="a program's files", mend="Shorten it"
        )


def _is_plain(word: str) -> bool:
    """Whether the system can take this text as an argument or a name."""
    try:
        return b"\0" not in word.encode()
    except UnicodeEncodeError:
        return False
