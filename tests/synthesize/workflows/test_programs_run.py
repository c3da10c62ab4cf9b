"""Which tests a program passes, in the sandbox: verdicts one by one, endless programs, tests that attack."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.verify.programs.running import needs_sandbox

from teachable.synthesize.checks.mutants import mutants, stubs
from teachable.synthesize.workflows import programs_run
from teachable.synthesize.workflows.code_tests import SingleTest, single_tests
from teachable.synthesize.workflows.programs_run import Passes, passed_by, passed_by_each

pytestmark = needs_sandbox

ADD = "def add(a, b):\n    return a + b\n"
SUITE = """
import math
from solution import add

PAIR = [1, 2]

def test_two():
    assert add(1, 2) == 3, "a message"
    assert add(*PAIR) == 3

def test_wrong():
    assert add(1, 2) == 4

assert add(0, 0) == 0

def test_raises():
    with pytest.raises(TypeError):
        add("a", 2)

def test_float():
    assert math.isclose(add(0.1, 0.2), 0.3)

def test_second_fails():
    assert add(2, 2) == 4
    assert add(2, 2) == 5
"""


def read(source: str, *names: str) -> tuple[SingleTest, ...]:
    suite = single_tests(source, names or ("add",))
    assert suite is not None
    return suite.tests


def run(program: str, tests: tuple[SingleTest, ...], *names: str) -> Passes:
    return asyncio.run(passed_by(program, tests, names or ("add",)))


def sets(passes: Passes) -> tuple[set[int], set[int]]:
    return set(passes.passed), set(passes.failed)


def test_each_test_has_a_verdict_of_its_own() -> None:
    assert sets(run(ADD, read(SUITE))) == ({0, 2, 3, 4}, {1, 5})
    assert sets(run("def add(a, b):\n    return a - b\n", read(SUITE))) == ({2, 3}, {0, 1, 4, 5})


@pytest.mark.parametrize("program", ["def add(a, b:", "x = 1", "raise SystemExit", "def add(a, b): raise SystemExit"])
def test_what_does_not_run_passes_nothing(program: str) -> None:
    assert run(program, read(SUITE)).passed == frozenset()


def test_a_program_that_hangs_fails_where_it_hangs() -> None:
    begin = time.monotonic()
    found = run("def add(a, b):\n    while a == 0:\n        pass\n    return a + b\n", read(SUITE))
    assert sets(found) == ({0, 3, 4}, {1, 2, 5}) and time.monotonic() - begin < 15


def test_a_program_that_always_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs_run, "CALL_S", 0.2)
    tests = read("".join(f"assert add({i}, 0) == {i}\n" for i in range(200)))
    found = run("def add(a, b):\n    while True:\n        pass\n", tests)
    assert sets(found) == (set(), {0, 1})  # the others were not tried


def test_a_program_that_kills_itself_is_started_again_for_the_rest() -> None:
    program = "import os\ndef add(a, b):\n    if a == 0:\n        os._exit(3)\n    return a + b\n"
    assert sets(run(program, read(SUITE))) == ({0, 3, 4}, {1, 2, 5})


def test_a_test_that_hangs_or_floods_does_not_take_the_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs_run, "TEST_S", 0.3)
    hostile = (
        "def test_a():\n    assert add(1, 1) == 2\n    while True:\n        pass\n"
        "def test_b():\n    x = [0] * 10 ** 11\n    assert add(1, 1) == 2\n"
        "def test_c():\n    assert add(1, 1) == 2\n"
    )
    assert sets(run(ADD, read(hostile))) == ({2}, {0, 1})


def test_classes_and_several_names_are_tested() -> None:
    program = (
        "class Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n"
        "        self.items.append(x)\n        return len(self.items)\n\ndef twice(x):\n    return 2 * x\n"
    )
    tests = read("s = Stack()\ndef test_a():\n    assert s.push(4) == 1\nassert twice(3) == 6", "Stack", "twice")
    assert sets(run(program, tests, "Stack", "twice")) == ({0, 1}, set())
    found = asyncio.run(passed_by_each(list(stubs(["Stack", "twice"], ["Stack"]).values()), tests, ["Stack", "twice"]))
    assert [set(one.passed) for one in found] == [set()] * 4


def test_variants_share_a_run_and_keep_their_verdicts_apart() -> None:
    programs = [ADD, "def add(a, b):\n    return 3\n", "def add(:", "def add(a, b):\n    while True: pass\n", ADD]
    found = asyncio.run(passed_by_each(programs, read(SUITE), ["add"]))
    assert [set(one.passed) for one in found] == [{0, 2, 3, 4}, {0}, set(), set(), {0, 2, 3, 4}]
    assert set(found[3].failed) == {0} and set(found[1].failed) == {1, 2, 3, 4, 5}


def test_more_pairs_than_a_run_can_report() -> None:
    programs = [f"def add(a, b):\n    return {i}\n" for i in range(60)]
    tests = read("".join(f"assert add(0, 0) == {i}\n" for i in range(20)))
    found = asyncio.run(passed_by_each(programs, tests, ["add"]))
    assert [set(one.passed) for one in found] == [{i} if i < 20 else set() for i in range(60)]
    assert all(len(one.passed) + len(one.failed) == 20 for one in found)


def test_the_order_of_verdicts_is_that_of_the_tests_for_any_number_at_once() -> None:
    tests = read(SUITE)

    async def many() -> list[Passes]:
        return list(await asyncio.gather(*(passed_by(f"{ADD}# {i}", tests, ["add"]) for i in range(8))))

    assert {tuple(sorted(one.passed)) for one in asyncio.run(many())} == {(0, 2, 3, 4)}


def test_mutants_of_a_program_fail_where_it_passes() -> None:
    source = "def total(xs):\n    n = 0\n    for x in xs:\n        if x > 3:\n            n += x\n    return n\n"
    tests = read("assert total([1, 3, 4, 5]) == 9\nassert total([]) == 0\nassert total([3]) == 0", "total")
    assert run(source, tests, "total").passed == {0, 1, 2}
    others = mutants(source)
    found = asyncio.run(passed_by_each([one.source for one in others], tests, ["total"]))
    assert len(others) >= 5 and all(one.failed for one in found)


def test_a_task_that_is_given_up_ends_its_programs() -> None:
    async def given_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(passed_by("while True:\n    pass\n", read(SUITE), ["add"]), 0.5)

    begin = time.monotonic()
    asyncio.run(given_up())
    assert time.monotonic() - begin < 4


def test_nothing_to_run_is_nothing() -> None:
    assert asyncio.run(passed_by_each([], read(SUITE), ["add"])) == []
    assert asyncio.run(passed_by_each([ADD], [], ["add"])) == [Passes()]
