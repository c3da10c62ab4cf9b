"""Groups of solutions that pass the same tests, and which of them is taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from teachable.synthesize.checks.dual import Group, groups_of, margin


def passed(*sets: str) -> list[frozenset[int]]:
    return [frozenset(map(int, one)) for one in sets]


def test_most_solutions_times_most_tests_wins() -> None:
    groups = groups_of(passed("012", "3", "012", "01", "3", "3"))
    assert groups == [Group((0, 2), (0, 1, 2), 3), Group((1, 4, 5), (3,), 1), Group((3,), (0, 1), 2)]
    assert [group.score for group in groups] == [6, 3, 2] and margin(groups) == 0.5


def test_tests_that_all_pass_count_for_nobody_unless_there_is_one_group() -> None:
    # Two wrong solutions that pass what is easy, and a right one that passes the hard test too.
    groups = groups_of(passed("0123", "012", "012"))
    assert [(group.solutions, group.score) for group in groups] == [((0,), 1), ((1, 2), 0)]
    assert [group.score for group in groups_of(passed("01", "01"))] == [4]


def test_a_test_of_several_suites_counts_as_often() -> None:
    groups = groups_of(passed("0", "1", "1"), weights=[5, 2])
    assert [(group.solutions, group.score) for group in groups] == [((0,), 5), ((1, 2), 4)]


def test_of_equal_scores_more_tests_go_first_then_the_earlier() -> None:
    assert [group.solutions for group in groups_of(passed("0", "0", "12", "45"))] == [(2,), (3,), (0, 1)]
    assert margin(groups_of(passed("01", "23"))) == 0.0


def test_nothing_passed_is_no_agreement() -> None:
    groups = groups_of(passed("", "", ""))
    assert groups[0].score == 0 and margin(groups) == 0.0 and groups_of([]) == [] and margin([]) == 0.0
    assert margin(groups_of(passed("1", ""))) == 1.0 and margin(groups_of(passed("1"))) == 1.0


@given(st.lists(st.frozensets(st.integers(0, 5)), min_size=1, max_size=12))
def test_every_solution_is_in_one_group(sets: list[frozenset[int]]) -> None:
    groups = groups_of(sets)
    assert sorted(place for group in groups for place in group.solutions) == list(range(len(sets)))
    assert all(sets[place] == frozenset(group.tests) for group in groups for place in group.solutions)
    assert groups[0].score == max(group.score for group in groups) and 0 <= margin(groups) <= 1
