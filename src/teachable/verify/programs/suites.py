"""Running a program against tests: two sandboxes joined by a socket, and what the tests' side says at the end.

The program's sandbox has the bridge (descriptor 10) and nothing of the tests. The tests' sandbox has the bridge and the
way out of the result (descriptor 11). Neither can reach the other but through the bridge.

Where everything passed, the tests' process goes on without the program: it runs the tests once against nothing at all
and once against functions that return None. Tests that pass then too are worthless; that is remembered by their digest.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sysconfig
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from teachable.verify.programs.packing import packed
from teachable.verify.programs.rewriting import Tests
from teachable.verify.programs.sandbox import Bounds, Job, Sandbox

_BRIDGE, _RESULT = 10, 11
# Not `-I`: the sandbox has cleared the environment, and what it sets there (a fixed hash seed) should hold.
_PYTHON = ("python", "-s", "-P", "-S", "-X", "utf8", "main.pyc")
_MAX_RESULT_BYTES = 256 * 1024
_GRACE_S = 5.0  # what the tests' process may go on for after the program's was ended
_PROBE_S = 10.0  # for finding out, after everything has passed, whether the tests can fail at all
_MIN_MEMORY_MIB = 768  # of the tests' process, which may hold what the program sends


@dataclass(frozen=True)
class Outcome:
    """What the tests' process said, and how the program's process ended. `n_total` counts assertions."""

    n_passed: int = 0
    n_total: int = 0
    n_untold: int = 0
    started: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    cheats: tuple[str, ...] = ()
    gone: str = ""
    fault: str = ""
    ended: str = ""
    silent: bool = False  # the tests' process ended without a word
    failed_lines: frozenset[int] = frozenset()
    worthless: str = ""  # why the tests can't fail; known only where everything passed
    changed_arguments: bool = False  # a call that gave a result changed an argument too

    @property
    def all_passed(self) -> bool:
        """Every assertion holds, there is one at least, and nothing else went wrong."""
        clean = not (self.gone or self.fault or self.cheats or self.n_untold or self.silent)
        return clean and self.started == ("ready",) and 0 < self.n_passed == self.n_total


_known: OrderedDict[str, str] = OrderedDict()  # why tests are worthless (or ""), by their digest; the most recent ones
_known_lock = threading.Lock()
_MAX_KNOWN = 10_000


def run_suite(
    sandbox: Sandbox, program: str, tests: Tests, bounds: Bounds, *, site_packages: bool, write_back: bool = True
) -> Outcome:
    """Run a program against tests. Blocks; from any thread; nothing that the program does raises.

    Args:
        sandbox: where to run both.
        program: Python source.
        tests: what `rewriting.prepared` made.
        bounds: the program's bounds; the tests get a little more time, so that they can say what happened.
        site_packages: whether both may import what is installed beside teachable.
        write_back: whether the tests see what a call that gives a result did to its arguments.
    """
    paths = _paths(site_packages)
    digest = _digest(tests, site_packages)
    worthless = _remembered(digest)
    packed_tests = tests.packed(probe=worthless is None, write_back=write_back, paths=paths)
    ours, theirs = socket.socketpair()
    out, result = socket.socketpair()
    with ours, theirs, out, result:
        running = sandbox.start(_solution_job(program, tests, bounds, paths, theirs))
        try:
            theirs.close()
            suite = sandbox.start(_suite_job(packed_tests, bounds, site_packages, {_BRIDGE: ours, _RESULT: result}))
            try:
                ours.close()
                result.close()
                said = _frame(out, bounds.wall_s + 2 * _GRACE_S)
                if worthless is None and said is not None and _counted(said, tests).all_passed:
                    worthless = _remember(digest, _why_worthless(_frame(out, _PROBE_S), tests))
                if said is not None:
                    suite.kill()
            except BaseException:
                suite.kill()
                raise
            suite_ended = suite.wait().ended
        finally:
            running.kill()
            ended = running.wait().ended
    if said is None:
        return Outcome(n_total=tests.n_assertions, silent=True, ended=suite_ended)
    return replace(_counted(said, tests), ended=ended, worthless=worthless or "")


def _digest(tests: Tests, site_packages: bool) -> str:
    return hashlib.sha256(tests.packed(probe=True, write_back=True, paths=()) + bytes([site_packages])).hexdigest()


def _remembered(digest: str) -> str | None:
    with _known_lock:
        if digest in _known:
            _known.move_to_end(digest)
        return _known.get(digest)


def _remember(digest: str, why: str) -> str:
    with _known_lock:
        _known[digest] = why
        while len(_known) > _MAX_KNOWN:
            _known.popitem(last=False)
    return why


def _why_worthless(probes: Any, tests: Tests) -> str:
    """Why tests can't fail, or an empty string. Probes that did not end count as failed."""
    for row, what in zip(probes or [], ("an empty solution", "functions that all return None"), strict=False):
        if _counted(row, tests).all_passed:
            return f"these tests cannot fail: they pass on {what}"
    return ""


def _paths(site_packages: bool) -> tuple[str, ...]:
    if not site_packages:
        return ()
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys((paths["purelib"], paths["platlib"])))


def _solution_job(program: str, tests: Tests, bounds: Bounds, paths: tuple[str, ...], bridge: socket.socket) -> Job:
    main = packed("solution", (_BRIDGE, tests.modules, paths))
    files = {"main.pyc": main, "program.py": program.encode("utf-8", "replace")}
    fds = {_BRIDGE: bridge.fileno()}
    return Job(argv=_PYTHON, files=files, bounds=bounds, fds=fds, site_packages=bool(paths))


def _suite_job(packed_tests: bytes, bounds: Bounds, site_packages: bool, ends: Mapping[int, socket.socket]) -> Job:
    files = {"main.pyc": packed("suite", (_BRIDGE, _RESULT)), "suite.bin": packed_tests}
    more = replace(bounds, wall_s=bounds.wall_s + _GRACE_S, memory_mib=max(bounds.memory_mib, _MIN_MEMORY_MIB))
    fds = {number: end.fileno() for number, end in ends.items()}
    return Job(argv=_PYTHON, files=files, bounds=more, fds=fds, site_packages=site_packages)


def _frame(out: socket.socket, limit_s: float) -> Any:
    """The next thing that the tests' process says, or None if it ends, or the time does, without a word."""
    out.settimeout(limit_s)
    try:
        size = int.from_bytes(_exactly(out, 4), "big")
        return json.loads(_exactly(out, size)) if size <= _MAX_RESULT_BYTES else None
    except (OSError, ValueError, EOFError):
        return None


def _exactly(out: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = out.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _counted(row: Mapping[str, Any], tests: Tests) -> Outcome:
    n_passed, n_failed, n_untold = (int(row.get(name, 0)) for name in ("n_passed", "n_failed", "n_untold"))
    n_total = n_passed + n_failed + n_untold
    gone = str(row.get("gone", ""))
    if gone or row.get("started") != ["ready"]:
        n_total = max(n_total, tests.n_assertions, n_passed + 1)
    return Outcome(
        n_passed=n_passed,
        n_total=n_total,
        n_untold=n_untold,
        started=tuple(row.get("started", ())),
        messages=tuple(row.get("messages", ())),
        untold=tuple(row.get("untold", ())),
        cheats=tuple(row.get("cheats", ())),
        gone=gone,
        fault=str(row.get("fault", "")),
        failed_lines=frozenset(row.get("failed_lines", ())),
        changed_arguments=bool(row.get("changed_arguments")),
    )
