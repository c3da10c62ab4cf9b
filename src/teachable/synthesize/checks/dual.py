"""Dual agreement: which solutions are right and which tests are, when nobody knows either.

Solutions that pass the same tests are one group. A group's score is the number of its solutions times the number of
tests that they pass (CodeT: Chen et al. 2022, arXiv:2207.10397, section 2): right solutions agree on all right tests,
while wrong ones are wrong in ways of their own.

It departs from CodeT in three ways. Every solution is run against every test, so groups are not drawn at random. A test
that several suites have written counts as often. And where there are several groups, a test that all solutions pass
counts for none of them: two wrong solutions that fail the one hard test would otherwise outdo the right one by the many
easy tests.

It does not protect against a mistake that most solutions and most tests share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Group:
    """Solutions that pass the same tests: places of both, in order; `weight` is what those tests count for."""

    solutions: tuple[int, ...]
    tests: tuple[int, ...]
    weight: int

    @property
    def score(self) -> int:
        """The number of solutions times what their tests count for."""
        return len(self.solutions) * self.weight


def groups_of(passed: Sequence[frozenset[int]], weights: Sequence[int] | None = None) -> list[Group]:
    """The groups of solutions, the highest score first; of equal ones the one with more tests, then the earlier one.

    Args:
        passed: of each solution, the places of the tests that it passes.
        weights: of each test, how many suites have written it; one each where it is left out.
    """
    members: dict[frozenset[int], list[int]] = {}
    for place, tests in enumerate(passed):
        members.setdefault(tests, []).append(place)
    easy = frozenset.intersection(*members) if len(members) > 1 else frozenset()
    groups = [
        Group(tuple(places), tuple(sorted(tests)), sum(weights[one] if weights else 1 for one in tests - easy))
        for tests, places in members.items()
    ]
    return sorted(groups, key=lambda group: (-group.score, -len(group.tests), group.solutions[0]))


def margin(groups: Sequence[Group]) -> float:
    """How far the first group is ahead of the second, as a share of its score, in [0, 1]; 1 where it is alone."""
    if not groups or not groups[0].score:
        return 0.0
    return 1.0 - groups[1].score / groups[0].score if len(groups) > 1 else 1.0
