"""Choosing a solution and its tests by running all against all; weeding out tests that can't fail."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from teachable.synthesize.asking import together
from teachable.synthesize.checks.dual import groups_of, margin
from teachable.synthesize.checks.mutants import mutants, parsed, stubs
from teachable.synthesize.items import Drop
from teachable.synthesize.workflows.code_tests import SingleTest
from teachable.synthesize.workflows.programs_run import Passes, passed_by, passed_by_each

FEW_AGREE, NOBODY_AHEAD = "solutions do not agree", "no solution stands out"
WRONG_EXAMPLES, FEW_PASSED = "its examples do not hold", "it fails too many tests"


@dataclass
class Choice:
    """A solution, the tests that it passes, and which of its mutants each of them refutes.

    Attributes:
        program: the shortest of the solutions that agree.
        tests: those that it passes and no stub does.
        n_agreeing: solutions that pass the same tests.
        n_refused: tests that the solution does not pass.
        margin: how far the group is ahead of the next.
        n_mutants: mutants that were tried.
        refuted: of each test, places of the mutants that it refutes.
    """

    program: str
    tests: tuple[SingleTest, ...]
    n_agreeing: int
    n_refused: int
    margin: float
    n_mutants: int = 0
    refuted: tuple[frozenset[int], ...] = field(default_factory=tuple)

    async def try_mutants(self, names: Sequence[str], limit: int) -> None:
        """Run mutants of the solution against its tests."""
        others = mutants(self.program, limit)
        found = await passed_by_each([one.source for one in others], self.tests, names)
        self.n_mutants = len(others)
        self.refuted = tuple(
            frozenset(i for i, passes in enumerate(found) if place in passes.failed) for place in range(len(self.tests))
        )

    @property
    def frac_killed(self) -> float:
        """Share of the mutants that some test refutes; 0 where there are none."""
        return len(frozenset().union(*self.refuted)) / self.n_mutants if self.n_mutants else 0.0

    @property
    def n_blind(self) -> int:
        """Tests that refute no mutant."""
        return sum(not one for one in self.refuted)

    def best(self, most: int) -> list[SingleTest]:
        """At most so many tests that refute a mutant: those that refute what no earlier one does first; in order."""
        left = {place for place, refuted in enumerate(self.refuted) if refuted}
        chosen: list[int] = []
        seen: frozenset[int] = frozenset()
        while left and len(chosen) < most:
            place = min(left, key=lambda one: (-len(self.refuted[one] - seen), -len(self.refuted[one]), one))
            left.discard(place)
            chosen.append(place)
            seen |= self.refuted[place]
        return [self.tests[place] for place in sorted(chosen)]


async def weeded(
    tests: Sequence[SingleTest], names: Sequence[str], classes: Sequence[str] = ()
) -> tuple[list[SingleTest], list[SingleTest]]:
    """The tests that fail on every stub, and those that pass on one."""
    found = await passed_by_each(list(stubs(names, classes).values()), tests, names)
    passed = frozenset().union(*(one.passed for one in found))
    return (
        [test for place, test in enumerate(tests) if place not in passed],
        [test for place, test in enumerate(tests) if place in passed],
    )


@dataclass(frozen=True)
class Bars:
    """What the chosen solution has to reach: shares of the solutions that agree, of the lead, of the tests passed."""

    agreement: float
    margin: float
    passed: float


async def choose(
    programs: Sequence[str],
    n: int,
    tests: Sequence[SingleTest],
    idle: Sequence[SingleTest],
    names: Sequence[str],
    bars: Bars,
) -> Choice:
    """The solution of the group with the highest score.

    Args:
        programs: solutions.
        n: how many were asked for.
        tests: that can fail; groups are made by them.
        idle: tests that can't. Only the task's examples among them have to hold.

    Raises:
        Drop: the group misses a bar, or the examples do not hold.
    """
    run = [*tests, *(test for test in idle if test.is_example)]
    ran = [one.passed for one in await _each(programs, run, names)]
    weights = [max(1, len(test.suites)) for test in tests]
    groups = groups_of([frozenset(place for place in passed if place < len(tests)) for passed in ran], weights)
    ahead, first = margin(groups), groups[0]
    frac_passed = sum(weights[place] for place in first.tests) / max(1, sum(weights))
    what = (
        f"{len(groups)} groups of {len(programs)} solutions; the first has {len(first.solutions)}, passes "
        f"{frac_passed:.0%} of {len(tests)} tests, and is ahead by {ahead:.0%}"
    )
    program = programs[min(first.solutions, key=lambda one: (len(programs[one]), one))]
    if not first.tests or len(first.solutions) / n < bars.agreement:
        raise Drop(FEW_AGREE, what, program)
    if ahead <= 0.0 or ahead < bars.margin:
        raise Drop(NOBODY_AHEAD, what, program)
    wrong = [test.body for i, test in enumerate(run) if test.is_example and i not in ran[programs.index(program)]]
    if wrong:
        raise Drop(WRONG_EXAMPLES, wrong[0], program)
    if frac_passed < bars.passed:
        raise Drop(FEW_PASSED, what, program)
    kept = tuple(tests[one] for one in first.tests)
    return Choice(program, kept, len(first.solutions), len(tests) - len(kept), ahead)


async def _each(programs: Sequence[str], tests: Sequence[SingleTest], names: Sequence[str]) -> list[Passes]:
    """What each program passes; programs that are the same but for layout are run once."""
    forms = [_form(program) for program in programs]
    firsts = {form: program for form, program in reversed(list(zip(forms, programs, strict=True)))}
    ran = await together([passed_by(program, tests, names) for program in firsts.values()])
    found = dict(zip(firsts, ran, strict=True))
    return [found[form] for form in forms]


def _form(program: str) -> str:
    tree = parsed(program)
    try:
        return ast.unparse(tree) if tree is not None else program
    except (RecursionError, ValueError):
        return program
