"""What the tests of the workers share: the processes below one, programs that compare, and pairs that never end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.process_tree import below as descendants
from benchmarks.process_tree import pss_kib

from teachable.verify.maths import workers

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SPINS = (r"\sum_{k=1}^{10000000}\frac{1}{k^2+k+x}", "x")  # minutes, and no memory
FOLDER = Path(workers.__file__).parent
PROLOGUE = """
import asyncio, os, signal, subprocess, sys, threading, time
from teachable.verify.maths.workers import compare, compare_async
SPINS = {spins!r}
"""


def processes_of(root: int) -> tuple[int, set[int]]:
    """The zygote below a process, and its workers."""
    zygotes = [pid for pid in descendants(root) if _is_ours(pid) and not _is_ours(_parent(pid))]
    assert len(zygotes) == 1, zygotes
    return zygotes[0], descendants(zygotes[0])


def _is_ours(pid: int) -> bool:
    try:
        return b"worker.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def lives(pid: int) -> bool:
    """Whether the process runs; one that is dead and waits to be reaped does not."""
    return _state(pid) not in ("X", "Z")


def until(holds: Callable[[], bool], patience_s: float = 10.0) -> bool:
    deadline = time.monotonic() + patience_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def busy(root: int) -> set[int]:
    """The workers below a process that compute now."""
    return {pid for pid in descendants(root) if _is_ours(pid) and _is_ours(_parent(pid)) and _state(pid) == "R"}


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _stat(pid: int) -> list[str]:
    """State, parent and so on; of a process that has ended, what a dead one has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def pss_mib(pids: set[int]) -> float:
    """What the processes hold of real memory, shared pages by their share; 0 where there is no /proc."""
    return sum(map(pss_kib, pids)) / 1024


def run_script(code: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program with `compare` at hand; its stderr must stay empty."""
    command = [sys.executable, "-W", "default", "-c", before + PROLOGUE.format(spins=SPINS) + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done


FAMILY = """
import pathlib
def below(pid):
    return " ".join(file.read_text() for file in pathlib.Path(f"/proc/{pid}/task").glob("*/children")).split()
def family():
    while not (zygotes := below(os.getpid())) or not (workers := below(zygotes[0])):
        time.sleep(0.02)
    return *zygotes, *workers
"""
