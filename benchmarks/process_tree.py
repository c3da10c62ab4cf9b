"""The processes that a process started, and the memory that they hold, out of /proc. Without /proc there are none."""

from __future__ import annotations

import re
from pathlib import Path


def below(root: int) -> set[int]:
    """The ids of the processes that a process started, and of those that these started."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting += new
    return found


def pss_kib(pid: int) -> int:
    """The process's proportional set size; 0 once it has ended."""
    try:
        return int(re.findall(r"(?m)^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())[0])
    except (OSError, IndexError):
        return 0
