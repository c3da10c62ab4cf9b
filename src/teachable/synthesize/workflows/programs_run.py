"""Which tests a program passes: many tests in one run of the sandbox, and a verdict on each of them.

The verifier `code` says whether a program passes all tests. Cross-checking programs against tests needs to know which,
and a run a (program, test) pair would cost 30 ms each. So all tests stand in one file and are tried one by one; the
verdicts, a letter each, leave the sandbox as the messages of assertions that always fail.

A call may take `CALL_S` seconds of processor time (`VARIANT_CALL_S` where programs share a run), and a test `TEST_S` of
its own. A program of which two calls (or one) took longer is not tried any further; tests that were not tried count as
neither passed nor failed. Where a program ends before the tests do, by a bound of the sandbox or of its own doing, the
test that it did not survive has failed, and it is started again for those behind it, `MAX_RESTARTS` times.

Several programs that we made ourselves (mutants and stubs of one program) share a run, in spaces of their own inside
one process. Programs that a model wrote have a sandbox each.

Everything runs in the sandbox of `verify.programs`, tests too, in two processes that share nothing. As there, tests are
trusted to say what they found; `code_tests` lets none through that could say something else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from teachable.synthesize.workflows.code_tests import SingleTest, as_function
from teachable.verify.programs.inside.record import MAX_MESSAGES
from teachable.verify.programs.rewriting import prepared
from teachable.verify.programs.sandbox import Bounds, find_sandbox
from teachable.verify.programs.stopping import Stoppable, in_thread
from teachable.verify.programs.suites import run_suite

MAX_RESTARTS = 2
LETTERS = 150  # of a message that is reported
MAX_PAIRS = LETTERS * MAX_MESSAGES  # of a program and a test, in one run
CALL_S, VARIANT_CALL_S = 1.0, 0.2
TEST_S = 2.0
BOUNDS = Bounds(cpu_s=6.0, wall_s=30.0, memory_mib=384)


_UNTRIED = "not tried any further"
_LOADED = """
import signal
import sys
import types


def _space(source):
    sys.modules["solution"] = module = types.ModuleType("solution")
    try:
        exec(compile(source, "<solution>", "exec"), vars(module))
    except Exception:
        return {}
    return vars(module)


def _late(number, frame):
    raise TimeoutError("it takes too long")


def _bounded(function, n_late):
    def call(*args, **named):
        if n_late[0] >= PATIENCE:
            raise TimeoutError(UNTRIED)
        signal.setitimer(signal.ITIMER_PROF, CALL_S, CALL_S)
        try:
            return function(*args, **named)
        except TimeoutError:
            n_late[0] += 1
            raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    return call


def _missing(*args, **named):
    raise NameError("it is not defined")


signal.signal(signal.SIGPROF, _late)
for _number, _source in enumerate(SOURCES):
    _found, _n_late = _space(_source), [0]
    for _name in NAMES:
        _one = _found.get(_name, _missing)
        globals()[f"variant_{_number}_{_name}"] = _one if isinstance(_one, type) else _bounded(_one, _n_late)
"""
_PASSED, _FAILED, _NOT_TRIED, _GONE = "PFUG"
_TRYING = f"""
import signal


def _late(number, frame):
    raise TimeoutError("the test takes too long")


def _tried(case, given):
    signal.setitimer(signal.ITIMER_PROF, TEST_S, TEST_S)
    try:
        case(*given)
    except BaseException as error:
        if type(error).__name__ == "Gone":
            return {_GONE!r}
        late = isinstance(error, TimeoutError) and {_UNTRIED!r} in str(error)
        return {_NOT_TRIED!r} if late else {_FAILED!r}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {_PASSED!r}


def _all(cases, variants, first):
    said = ""
    for variant in variants:
        for case in cases:
            if first:
                first -= 1
            elif not said.endswith({_GONE!r}):
                said += _tried(case, variant)
    return said


signal.signal(signal.SIGPROF, _late)
"""
_SAID = re.compile(rf"does not hold: ([{_PASSED}{_FAILED}{_NOT_TRIED}{_GONE}]+)$")
_Pair: TypeAlias = tuple[int, int]  # (place of the program, place of the test)


@dataclass(frozen=True)
class Passes:
    """What became of the tests of one program, by their places: those that passed, and those that did not."""

    passed: frozenset[int] = field(default_factory=frozenset)
    failed: frozenset[int] = field(default_factory=frozenset)


async def passed_by(program: str, tests: Sequence[SingleTest], names: Sequence[str], bounds: Bounds = BOUNDS) -> Passes:
    """Which tests a program passes, in a sandbox of its own.

    Args:
        program: Python source, of whatever origin; one that does not run passes nothing.
        names: functions and classes of the program that the tests use.

    Raises:
        TeachableError: no sandbox can be had.
    """
    return (await in_thread(lambda runs: _tried(runs, [program], tests, names, bounds, CALL_S, 2)))[0]


async def passed_by_each(
    programs: Sequence[str], tests: Sequence[SingleTest], names: Sequence[str], bounds: Bounds = BOUNDS
) -> list[Passes]:
    """Which tests each of several programs passes, all in one sandbox.

    For variants of one program only: they can reach each other.

    Raises:
        TeachableError: no sandbox can be had.
    """
    return await in_thread(lambda runs: _tried(runs, programs, tests, names, bounds, VARIANT_CALL_S, 1))


def _tried(
    runs: Stoppable,
    programs: Sequence[str],
    tests: Sequence[SingleTest],
    names: Sequence[str],
    bounds: Bounds,
    call_s: float,
    patience: int,
) -> list[Passes]:
    heard: dict[_Pair, str] = {}
    step = max(1, MAX_PAIRS // max(1, len(tests)))
    for begin in range(0, len(programs) if tests else 0, step):
        part = list(programs[begin : begin + step])
        settings = {"SOURCES": part, "NAMES": list(names), "CALL_S": call_s, "PATIENCE": patience, "UNTRIED": _UNTRIED}
        source = "\n".join([*(f"{name} = {value!r}" for name, value in settings.items()), _LOADED])
        for (place, test), what in _run(runs, source, len(part), tests, names, bounds).items():
            heard[begin + place, test] = what
    return [
        Passes(
            *(
                frozenset(test for (one, test), said in heard.items() if one == i and said == what)
                for what in (_PASSED, _FAILED)
            )
        )
        for i in range(len(programs))
    ]


def _run(
    runs: Stoppable, program: str, n_variants: int, tests: Sequence[SingleTest], names: Sequence[str], bounds: Bounds
) -> dict[_Pair, str]:
    """What was heard of the pairs, a letter each; where nothing ran, nothing."""
    sandbox = runs.within(find_sandbox())
    pairs = [(variant, place) for variant in range(n_variants) for place in range(len(tests))]
    said = ""
    for _ in range(MAX_RESTARTS + 1):
        source = _suite(tests, names, n_variants, len(said))
        outcome = run_suite(sandbox, program, prepared(source), bounds, site_packages=False)
        if outcome.cheats or outcome.fault or outcome.silent or outcome.started != ("ready",):
            break
        heard = [found[1] for found in map(_SAID.search, outcome.messages) if found is not None]
        said += "".join(heard).replace(_GONE, _FAILED)
        if not heard or len(said) >= len(pairs):
            break
    return dict(zip(pairs, said, strict=False))


def _suite(tests: Sequence[SingleTest], names: Sequence[str], n_variants: int, first: int) -> str:
    """The file that tries all pairs but the first ones, and says what came of them."""
    cases = [as_function(test, f"_case_{place}", names, plain=True) for place, test in enumerate(tests)]
    listed = ", ".join(f"_case_{place}" for place in range(len(tests)))
    variants = ", ".join(f"({''.join(f'variant_{i}_{name}, ' for name in names)})" for i in range(n_variants))
    n_messages = -(-n_variants * len(tests) // LETTERS)
    reports = [f"assert False, _said[{i * LETTERS}:{(i + 1) * LETTERS}]" for i in range(n_messages)]
    trying = f"_said = _all([{listed}], [{variants}], {first})"
    return "\n".join([f"TEST_S = {TEST_S}", _TRYING, *cases, trying, *reports]) + "\n"
