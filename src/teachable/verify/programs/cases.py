"""Programs that read standard input: run once a case, and their output compared here, outside the sandbox.

Output is equal where every line is, whitespace at line ends and empty lines at the end aside. Numbers are text: `1.0`
is not `1`. An expected output never enters the sandbox. After `MAX_TIMEOUTS` cases that ran out of time the rest count
as failed without being run.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from teachable.verify.programs.sandbox import Bounds, Job, Ran, Sandbox

MAX_TIMEOUTS = 3


@dataclass(frozen=True)
class Case:
    """What a program reads, and what it must print."""

    stdin: str
    stdout: str


@dataclass(frozen=True)
class Command:
    """How a program is stored, compiled (empty: not at all) and run."""

    file: str
    compile: tuple[str, ...]
    run: tuple[str, ...]


@dataclass(frozen=True)
class CaseOutcome:
    """How many cases passed, and why the first that did not failed; `fault` where nothing could be run."""

    n_passed: int
    n_total: int
    reason: str = ""
    fault: str = ""


def cases_in(tests: object) -> tuple[Case, ...] | None:
    """The cases of a list, or of its JSON text; None where it is something else.

    Numbers and lists of lines are taken as the text that they are.
    """
    if isinstance(tests, str):
        if not tests.lstrip().startswith(("[", "{")):
            return None
        try:
            tests = json.loads(tests)
        except (ValueError, RecursionError):
            return None
    if isinstance(tests, Mapping):
        tests = [tests]
    if not isinstance(tests, Sequence) or isinstance(tests, bytes) or not tests:
        return None
    if not all(isinstance(case, Mapping) and "stdout" in case for case in tests):
        return None
    return tuple(Case(_text(case.get("stdin", "")), _text(case["stdout"])) for case in tests)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def command_of(meta: Mapping[str, Any], site_packages: bool) -> Command:
    """How to run the program, out of a prompt's `meta` (`file`, `compile`, `command`); Python where it says nothing."""
    file = str(meta.get("file") or "main.py")
    alone = () if site_packages else ("-S",)
    run = _words(meta.get("command")) or ("python", "-s", *alone, "-X", "utf8", file)
    return Command(file, _words(meta.get("compile")), run)


def _words(command: object) -> tuple[str, ...]:
    if isinstance(command, str):
        return tuple(shlex.split(command))
    return tuple(str(word) for word in command) if isinstance(command, Sequence) else ()


def same_output(printed: bytes, expected: str) -> bool:
    """Whether output is what is expected, but for whitespace at line ends and empty lines at the end."""
    return _lines(printed.decode("utf-8", "replace")) == _lines(expected)


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def run_cases(
    sandbox: Sandbox, program: str, cases: Sequence[Case], command: Command, bounds: Bounds, *, site_packages: bool
) -> CaseOutcome:
    """Compile once, run a case at a time, compare. Blocks; from any thread; nothing that the program does raises."""
    files = {command.file: program.encode("utf-8", "replace")}
    make = partial(Job, bounds=bounds, site_packages=site_packages)
    if command.compile:
        compiled = sandbox.run(make(argv=command.compile, files=files), keep=_products(command))
        if compiled.ended == "killed":
            return CaseOutcome(0, len(cases), fault=f"the compiler could not be run: {_complaint(compiled)}")
        if compiled.exit_code != 0 or compiled.ended != "exit":
            return CaseOutcome(0, len(cases), f"it does not compile: {_complaint(compiled)}")
        files |= compiled.files
    n_passed = n_timeouts = 0
    reason = ""
    for number, case in enumerate(cases, start=1):
        if n_timeouts >= MAX_TIMEOUTS:
            reason = reason or "too many cases ran out of time"
            break
        ran = sandbox.run(make(argv=command.run, files=files, stdin=case.stdin.encode("utf-8", "replace")))
        if ran.ended == "killed":
            return CaseOutcome(n_passed, len(cases), fault=f"the program could not be run: {_complaint(ran)}")
        n_timeouts += ran.ended in ("wall", "cpu")
        why = _failure(ran, case)
        n_passed += not why
        reason = reason or (f"case {number}: {why}" if why else "")
    return CaseOutcome(n_passed, len(cases), reason)


def _products(command: Command) -> tuple[str, ...]:
    """What compiling may leave that running needs: the words of both commands that can be files of the folder."""
    words = {word.removeprefix("./") for word in (*command.run, *command.compile)}
    return tuple(sorted(w for w in words if w and w != command.file and not w.startswith(("-", "/")) and ".." not in w))


def _failure(ran: Ran, case: Case) -> str:
    if ran.ended != "exit":
        return ENDINGS.get(ran.ended, f"it ended by {ran.ended}")
    if ran.exit_code != 0:
        return f"it ends with status {ran.exit_code}: {_complaint(ran)}"
    return "" if same_output(ran.stdout, case.stdout) else "the output differs"


def _complaint(ran: Ran) -> str:
    text = (ran.stderr.strip() or ran.stdout.strip()).decode("utf-8", "replace")
    lines = text.splitlines()
    return lines[-1][:200] if lines else ENDINGS.get(ran.ended, "no message")


ENDINGS = {
    "wall": "it runs out of time",
    "cpu": "it runs out of processor time",
    "memory": "it runs out of memory",
    "processes": "it starts too many processes",
    "output": "it prints too much",
    "signal": "it crashes",
    "killed": "it is killed",
}
