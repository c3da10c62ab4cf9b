"""What replies with programs and with suites of tests hold, and what is wrong with those that can't be used."""

from __future__ import annotations

from collections.abc import Collection

from teachable.synthesize.checks.mutants import MAX_CHARS, parsed
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.code_tests import Suite, definitions, single_tests, split_program
from teachable.verify.programs.program import program_in

NO_PROGRAM, WRONG_PROGRAM, NO_TESTS = "no program", "wrong program", "no tests"


def program_of(text: str, names: Collection[str]) -> str | Fault:
    """The program of a reply without tests of its own, or what is wrong with it.

    Args:
        names: what it has to define.
    """
    found = program_in(text)
    if found is None or len(found) > MAX_CHARS or parsed(found) is None:
        return Fault(
            NO_PROGRAM, "Your reply holds no Python program that can be read; put all of it in one code block."
        )
    program = split_program(found)[0]
    missing = sorted(set(names) - definitions(program).keys())
    if missing:
        return Fault(WRONG_PROGRAM, f"Your program does not define {missing[0]!r}.")
    return program


def suite_of(text: str, names: Collection[str]) -> Suite | Fault:
    """The tests of a reply, or what is wrong with them."""
    found = program_in(text)
    suite = single_tests(found, names) if found is not None else None
    if suite is None:
        return Fault(NO_TESTS, "Your reply holds no Python that can be read; put all tests in one code block.")
    if not suite.tests:
        why = "; ".join(f"{n} left out: {reason}" for reason, n in suite.left_out.most_common(2))
        return Fault(NO_TESTS, f"Your reply holds no test that can be used{f' ({why})' if why else ''}.")
    return suite
