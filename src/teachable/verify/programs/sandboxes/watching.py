"""What a supervisor sees and bounds: the state of a run (`Run`), its limits, its output, its memory, its kept files."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import select
import socket
import stat
import time
from dataclasses import dataclass, field
from typing import Any

TICK_S = 0.01  # between two looks at what a program uses
SLOW_TICK_S = 0.02  # the same after its first second
SPARE_PROCESSES = 16  # that RLIMIT_NPROC allows beyond the bound, so that the bound is seen to be passed
N_DESCRIPTORS = 256  # that a process may have open
STACK_BYTES = 8 << 20
MAX_FILES = 10_000  # in a private folder, folders among them
SPARE_BYTES = 96 << 20  # free memory of the machine under which a run is killed, or 2% of it all if that is less
_MIB = 1 << 20
_N_READ = 1 << 16
_N_TICKS_OF_MACHINE = 8  # the machine's memory is looked at every so many ticks
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_MEMORY_LINES = (b"VmRSS:", b"VmSwap:", b"VmPTE:")


@dataclass
class Run:
    """One run, as its supervisor knows it. A descriptor of -1 and a process of 0 are not there."""

    config: dict[str, Any]  # the keeper's
    job: dict[str, Any]  # the header of the payload
    payload: memoryview  # the contents of the standard input and the files, in their order
    channel: socket.socket
    fds: list[int]  # ours, for the numbers job["fds"]
    folder: int = -1  # the private folder
    path: str = ""  # its path, for a plain process
    proc: int = -1  # the namespace's /proc
    child: int = 0  # bubblewrap, or the plain process
    child_fd: int = -1  # its pidfd, under Linux
    group: int = 0  # the process group of a plain process
    first: int = 0  # the namespace's first process
    first_fd: int = -1  # its pidfd
    keeper_fd: int = -1  # the keeper's pidfd, under Linux
    sign: str = ""  # a name that is in the namespace's root folder, and nowhere else
    gate: int = -1  # a byte written here lets the program go
    pipes: dict[int, int] = field(default_factory=dict)  # our ends of stdout and stderr -> 0 and 1
    outputs: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    began: float = 0.0
    wall_s: float = 0.0
    cpu_s: float = 0.0  # the most that was seen
    n_ticks: int = 0
    ended: str = ""  # why it was killed, if it was
    exit_code: int = 0  # of `child`

    def bound(self, name: str) -> float:
        """One of the job's bounds."""
        return float(self.job["bounds"][name])


def limits(run: Run) -> list[tuple[int, tuple[int, int]]]:
    """The resource limits of each process: which, and (soft, hard)."""
    cpu_s = math.ceil(run.bound("cpu_s")) + 1
    memory = int(run.bound("memory_mib")) * _MIB
    size = int(run.bound("file_mib")) * _MIB
    found = [
        (resource.RLIMIT_CPU, (cpu_s, cpu_s + 1)),
        (resource.RLIMIT_DATA, (memory, memory)),
        (resource.RLIMIT_FSIZE, (size, size)),
        (resource.RLIMIT_CORE, (0, 0)),
        (resource.RLIMIT_NOFILE, (N_DESCRIPTORS, N_DESCRIPTORS)),
        (resource.RLIMIT_STACK, (STACK_BYTES, max(memory, STACK_BYTES))),
    ]
    if run.config["bwrap"] and counts_by_namespace():
        n_processes = int(run.bound("n_processes")) + SPARE_PROCESSES
        found.append((resource.RLIMIT_NPROC, (n_processes, n_processes)))
    return [(limit, _under(limit, value)) for limit, value in found]


def _under(limit: int, wanted: tuple[int, int]) -> tuple[int, int]:
    """The wanted limit, or the one that we have ourselves if that is lower: only root may raise it."""
    _, hard = resource.getrlimit(limit)
    return wanted if hard == resource.RLIM_INFINITY else (min(wanted[0], hard), min(wanted[1], hard))


def counts_by_namespace() -> bool:
    """Whether the kernel counts a user's processes in each user namespace apart (Linux 5.14 and newer)."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.split("-")[0])) >= (5, 14)


def watch(run: Run) -> None:
    """Collect what the program writes until it ends, or until it passes a bound: then `run.ended` says which.

    The program's end is bubblewrap's; what the program has left running is for `destroy`.
    """
    poller = select.poll()
    poller.register(run.channel, select.POLLIN)
    users = {run.channel.fileno(), run.keeper_fd, run.config.get("parent_fd", -1)} - {-1}
    for number in {*run.pipes, run.child_fd, *users} - {run.channel.fileno()}:
        if number >= 0:
            poller.register(number, select.POLLIN)
    next_look = run.began + TICK_S
    while not run.ended:
        wait_s = max(0.0, next_look - time.monotonic())
        ready = {number for number, _ in poller.poll(math.ceil(1000 * wait_s))}
        for number in ready & run.pipes.keys():
            if collect(run, number):
                poller.unregister(number)
        if ready & users:
            run.ended = run.ended or "killed"  # whoever started the run has hung up, or is gone
        elif run.child_fd in ready or (run.child_fd < 0 and _has_ended(run)):
            break
        now = time.monotonic()
        if now >= next_look and not run.ended:
            look(run, now)
            next_look = now + (TICK_S if now - run.began < 1 else SLOW_TICK_S)
    run.wall_s = time.monotonic() - run.began


def _has_ended(run: Run) -> bool:
    """Whether the child has ended, where there is no descriptor that would say so; then it is buried."""
    pid, status = os.waitpid(run.child, os.WNOHANG)
    if pid:
        run.child, run.exit_code = 0, os.waitstatus_to_exitcode(status)
    return bool(pid)


def collect(run: Run, number: int) -> bool:
    """Read once from a pipe, up to the bound; whether the pipe has ended."""
    output = run.outputs[run.pipes[number]]
    room = int(run.bound("output_kib")) * 1024 - len(output)
    try:
        part = os.read(number, _N_READ)
    except BlockingIOError:
        return False
    if len(part) > room:
        run.ended = run.ended or "output"
    output += part[: max(room, 0)]
    return not part


def drain(run: Run) -> None:
    """Read what is left in the pipes once nobody writes any more: at most the bound, and a pipe is small."""
    for number in list(run.pipes):
        while True:
            before = len(run.outputs[run.pipes[number]])
            if collect(run, number) or len(run.outputs[run.pipes[number]]) == before:
                break


def look(run: Run, now: float) -> None:
    """Compare what the run uses with its bounds, and name the one that it passes in `run.ended`."""
    if now - run.began > run.bound("wall_s"):
        run.ended = "wall"
        return
    if run.proc < 0:
        return
    run.n_ticks += 1
    n_tasks, memory, ticks, pids = usage(run)
    run.cpu_s = max(run.cpu_s, ticks / _TICKS_A_SECOND)
    allowed = run.bound("memory_mib") * _MIB
    if run.cpu_s > run.bound("cpu_s"):
        run.ended = "cpu"
    elif n_tasks > run.bound("n_processes"):
        run.ended = "processes"
    elif (memory > allowed and proportional(run, pids) > allowed) or machine_is_full(run.n_ticks):
        run.ended = "memory"
    elif (room := os.fstatvfs(run.folder)).f_files - room.f_ffree > MAX_FILES:
        run.ended = "output"


def usage(run: Run) -> tuple[int, int, int, list[str]]:
    """Of all processes in the namespace but its first: tasks, bytes of memory, and all CPU ticks ever; and who they
    are.

    The ticks include those of processes that were waited for: by their parents, or by the first process.
    """
    n_tasks = memory = ticks = 0
    pids = [name for name in os.listdir(run.proc) if name.isdigit() and name != "1"]
    for pid in pids:
        status, times = _read(f"{pid}/status", run.proc), _read(f"{pid}/stat", run.proc)
        threads = _after(status, b"Threads:")
        n_tasks += threads if threads else bool(status)
        memory += 1024 * sum(_after(status, line) for line in _MEMORY_LINES)
        ticks += _ticks(times)
    ticks += _ticks(_read(f"/proc/{run.first}/stat"))
    return n_tasks, memory, ticks, pids


def proportional(run: Run, pids: list[str]) -> int:
    """Bytes of memory of the processes, pages that several of them share counted once, with swap and page tables."""
    memory = 0
    for pid in pids:
        status, shares = _read(f"{pid}/status", run.proc), _read(f"{pid}/smaps_rollup", run.proc)
        held = _after(shares, b"\nPss:") if shares else _after(status, b"VmRSS:")
        memory += 1024 * (held + _after(status, b"VmSwap:") + _after(status, b"VmPTE:"))
    return memory


def machine_is_full(n_ticks: int) -> bool:
    """Whether the machine has almost no memory left, whoever took it; looked at in some of the ticks only."""
    if n_ticks % _N_TICKS_OF_MACHINE:
        return False
    text = _read("/proc/meminfo")
    total, free = (1024 * _after(text, name) for name in (b"MemTotal:", b"MemAvailable:"))
    return 0 < free < min(SPARE_BYTES, total // 50)


def _read(path: str, folder: int | None = None) -> bytes:
    """A file of /proc; empty if its process is gone."""
    with contextlib.suppress(OSError):
        number = os.open(path, os.O_RDONLY, dir_fd=folder)
        try:
            return os.read(number, 8192)
        finally:
            os.close(number)
    return b""


def _after(text: bytes, label: bytes) -> int:
    """The number after a label; 0 if the label is not there."""
    at = text.find(label)
    return int(text[at + len(label) :].split(None, 1)[0]) if at >= 0 else 0


def _ticks(line: bytes) -> int:
    """User and system time in a line of /proc/PID/stat, its own and that of the children it waited for."""
    return sum(map(int, line.rpartition(b")")[2].split()[11:15]))


def kept(run: Run, name: str) -> bytes | None:
    """The content of a file of the private folder; None unless it is a regular file there, and of a size in bounds.

    No link is followed, on no part of the way, and nothing that is not a regular file is opened for long.
    """
    *folders, last = name.split("/")
    opened = [run.folder]
    try:
        for folder in folders:
            opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        opened.append(os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=opened[-1]))
        found = os.fstat(opened[-1])
        if not stat.S_ISREG(found.st_mode) or found.st_size > run.bound("file_mib") * _MIB:
            return None
        with os.fdopen(os.dup(opened[-1]), "rb") as file:
            return file.read(found.st_size)
    except OSError:
        return None
    finally:
        for number in opened[1:]:
            os.close(number)
