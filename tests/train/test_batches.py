"""Steps are planned by tokens: nothing lost, nothing empty, every border where it should be."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.train.batches import bucketed_steps, plan_steps

lengths_and_steps = st.lists(st.integers(1, 500), min_size=1, max_size=60).flatmap(
    lambda lengths: st.tuples(st.just(lengths), st.integers(1, len(lengths)))
)


@given(lengths_and_steps)
def test_a_plan_has_every_index_once_in_order_and_no_empty_step(case: tuple[list[int], int]) -> None:
    lengths, n_steps = case
    steps = plan_steps(lengths, n_steps)
    assert len(steps) == n_steps
    assert all(steps)
    assert list(itertools.chain(*steps)) == list(range(len(lengths)))


@given(lengths_and_steps)
def test_every_border_is_within_half_an_example_of_its_share(case: tuple[list[int], int]) -> None:
    lengths, n_steps = case
    # An example longer than a share fills a step alone, wherever the border should be: fewer steps then.
    n_steps = min(n_steps, sum(lengths) // max(lengths))
    share = sum(lengths) / n_steps
    seen = 0
    for number, step in enumerate(plan_steps(lengths, n_steps), start=1):
        seen += sum(lengths[i] for i in step)
        assert abs(seen - number * share) <= max(lengths) / 2 + 1e-6


def test_examples_longer_than_a_share_stand_alone() -> None:
    assert plan_steps([100, 1, 1], 3) == [[0], [1], [2]]
    assert plan_steps([1, 1, 100, 1], 2) == [[0, 1], [2, 3]]


def test_steps_are_of_equal_tokens_not_of_equal_examples() -> None:
    assert plan_steps([10] * 8 + [80], 2) == [list(range(8)), [8]]


@pytest.mark.parametrize("n_steps", [0, 3])
def test_a_plan_that_cannot_be_filled_is_refused(n_steps: int) -> None:
    with pytest.raises(ValueError, match=f"2 examples cannot fill {n_steps} steps"):
        plan_steps([5, 5], n_steps)


@given(st.lists(st.integers(1, 300), max_size=80), st.integers(1, 1000), st.integers(0, 5))
def test_bucketed_steps_hold_every_index_once_and_like_lengths(lengths: list[int], size: int, seed: int) -> None:
    steps = bucketed_steps(lengths, size, random.Random(seed))
    assert sorted(itertools.chain(*steps)) == list(range(len(lengths)))
    by_length = sorted(([lengths[i] for i in step] for step in steps), key=lambda ls: (ls[0], ls[-1]))
    # Laid side by side the steps are sorted: within a step no length is spread wider than it must be.
    assert list(itertools.chain(*by_length)) == sorted(lengths)
    # A step is closed by the example that fills it; only one, of the longest examples, may stay unfilled.
    assert all(sum(ls[:-1]) < size for ls in by_length)
    assert sum(sum(ls) < size for ls in by_length) <= 1


def test_bucketed_steps_are_a_function_of_the_seed_and_shuffled() -> None:
    lengths = list(range(1, 60))
    first, again, other = (bucketed_steps(lengths, 100, random.Random(seed)) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)
