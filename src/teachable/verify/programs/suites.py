"""Running a program against tests: two sandboxes joined by a socket, and what the tests' side says at the end.

The program's sandbox has the bridge (descriptor 10) and nothing of the tests. The tests' sandbox has the bridge and the
way out of the result (descriptor 11). Neither can reach the other but through the bridge.
"""

from __future__ import annotations

import hashlib
import json
import socket
import sysconfig
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from teachable.verify.programs.packing import packed
from teachable.verify.programs.rewriting import Tests
from teachable.verify.programs.sandbox import Bounds, Job, Ran, Sandbox

_BRIDGE, _RESULT = 10, 11
_PYTHON = ("python", "-I", "-S", "-X", "utf8", "main.pyc")
_MAX_RESULT_BYTES = 256 * 1024
_GRACE_S = 5.0  # what the tests' process may go on for after the program's was ended
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
    changed_arguments: bool = False  # a call that gave a result changed an argument too

    @property
    def all_passed(self) -> bool:
        """Every assertion holds, there is one at least, and nothing else went wrong."""
        clean = not (self.gone or self.fault or self.cheats or self.n_untold or self.silent)
        return clean and self.started == ("ready",) and 0 < self.n_passed == self.n_total


@dataclass
class _Probes:
    """Whether tests can fail, by their digest; the most recent ones."""

    known: OrderedDict[str, str] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_probes = _Probes()
_MAX_PROBES = 10_000


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
    ours, theirs = socket.socketpair()
    out, result = socket.socketpair()
    with ours, theirs, out, result:
        solution = _solution_job(program, tests, bounds, paths, theirs)
        running = sandbox.start(solution)
        try:
            theirs.close()
            packed_tests = tests.packed(probe=False, write_back=write_back, paths=paths)
            suite = sandbox.start(_suite_job(packed_tests, bounds, {_BRIDGE: ours, _RESULT: result}))
            try:
                ours.close()
                result.close()
                said = _read(out, bounds.wall_s + 2 * _GRACE_S)
                said_ran = _ended(suite, said is not None)
            except BaseException:
                suite.kill()
                raise
        finally:
            ended = _ended(running, True)
    return _outcome(said, tests, ended, said_ran)


def cannot_fail(sandbox: Sandbox, tests: Tests, source: str, bounds: Bounds, *, site_packages: bool) -> str:
    """Why tests are worthless, or an empty string: they pass on no program, or where every name returns None.

    Remembered by the tests' digest. A probe that does not end counts as one that fails.
    """
    digest = hashlib.sha256(json.dumps([source, tests.entry, tests.modules, site_packages]).encode()).hexdigest()
    with _probes.lock:
        if digest in _probes.known:
            _probes.known.move_to_end(digest)
            return _probes.known[digest]
    why = _probe(sandbox, tests, bounds, _paths(site_packages))
    with _probes.lock:
        _probes.known[digest] = why
        while len(_probes.known) > _MAX_PROBES:
            _probes.known.popitem(last=False)
    return why


def _probe(sandbox: Sandbox, tests: Tests, bounds: Bounds, paths: tuple[str, ...]) -> str:
    out, result = socket.socketpair()
    with out, result:
        packed_tests = tests.packed(probe=True, write_back=True, paths=paths)
        running = sandbox.start(_suite_job(packed_tests, bounds, {_RESULT: result}))
        try:
            result.close()
            said = _read(out, bounds.wall_s + 2 * _GRACE_S)
        finally:
            _ended(running, said is not None)
    for row, what in zip(said or [], ("an empty solution", "functions that all return None"), strict=False):
        one = _counted(row, tests, "", False)
        if one.all_passed:
            return f"these tests cannot fail: they pass on {what}"
    return ""


def _paths(site_packages: bool) -> tuple[str, ...]:
    if not site_packages:
        return ()
    paths = sysconfig.get_paths()
    return tuple(dict.fromkeys((paths["purelib"], paths["platlib"])))


def _solution_job(
    program: str, tests: Tests, bounds: Bounds, paths: tuple[str, ...], bridge: socket.socket
) -> Job:
    main = packed("solution", (_BRIDGE, tests.modules, paths))
    files = {"main.pyc": main, "program.py": program.encode("utf-8", "replace")}
    return Job(argv=_PYTHON, files=files, bounds=bounds, fds={_BRIDGE: bridge.fileno()})


def _suite_job(packed_tests: bytes, bounds: Bounds, ends: Mapping[int, socket.socket]) -> Job:
    files = {"main.pyc": packed("suite", (_BRIDGE, _RESULT)), "suite.bin": packed_tests}
    more = replace(
        bounds, wall_s=bounds.wall_s + _GRACE_S, memory_mib=max(bounds.memory_mib, _MIN_MEMORY_MIB)
    )
    return Job(argv=_PYTHON, files=files, bounds=more, fds={number: end.fileno() for number, end in ends.items()})


def _ended(running: Any, kill: bool) -> Ran:
    if kill:
        running.kill()
    ran: Ran = running.wait()
    return ran


def _read(out: socket.socket, limit_s: float) -> list[dict[str, Any]] | None:
    """What the tests' process says, or None if it ends, or the time does, without a word."""
    out.settimeout(limit_s)
    data = b""
    try:
        while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big") <= _MAX_RESULT_BYTES:
            part = out.recv(1 << 16)
            if not part:
                return None
            data += part
        rows: list[dict[str, Any]] = json.loads(data[4:])
        return rows
    except (OSError, ValueError):
        return None


def _outcome(said: list[dict[str, Any]] | None, tests: Tests, ended: Ran, suite: Ran) -> Outcome:
    if not said:
        return Outcome(n_total=tests.n_assertions, silent=True, ended=suite.ended)
    return _counted(said[0], tests, ended.ended, False)


def _counted(row: Mapping[str, Any], tests: Tests, ended: str, silent: bool) -> Outcome:
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
        ended=ended,
        silent=silent,
        failed_lines=frozenset(row.get("failed_lines", ())),
        changed_arguments=bool(row.get("changed_arguments")),
    )
