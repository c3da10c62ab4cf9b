"""Which pairs make up which step, how one is cut, and when the reference is computed: decided before TRL is asked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.train.config import DpoConfig, LoraConfig
from teachable.train.dpo import pair_steps
from teachable.train.dpo_trainer import equal_part, precomputes

FULL, LORA = DpoConfig(), DpoConfig(lora=LoraConfig(r=4))


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 4), st.integers(0, 9), st.integers(0, 5))
def test_steps_are_of_equally_many_pairs_and_rounds_are_whole(
    n: int, per_step: int, n_epochs: int, n_steps: int, seed: int
) -> None:
    config = DpoConfig(pairs_per_step=per_step, n_epochs=n_epochs, n_steps=n_steps)
    steps = pair_steps(n, config, seed)
    assert {len(step) for step in steps} == {min(n, per_step)}
    order = [index for step in steps for index in step]
    for start in range(0, len(order) - n + 1, n):
        assert sorted(order[start : start + n]) == list(range(n))
    assert len(set(order[-(len(order) % n) :] if len(order) % n else ())) == len(order) % n
    if n_steps:
        assert len(steps) == n_steps
    else:
        assert n_epochs * n <= len(order) < n_epochs * n + per_step


def test_another_seed_is_another_order() -> None:
    config = DpoConfig(pairs_per_step=5)
    assert pair_steps(20, config, 0) == pair_steps(20, config, 0) != pair_steps(20, config, 1)


@given(st.integers(1, 300), st.integers(0, 400))
def test_a_steps_parts_are_equal(n: int, most: int) -> None:
    part = equal_part(n, most)
    assert n % part == 0
    assert part <= (most or n)
    assert not any(n % size == 0 for size in range(part + 1, min(most or n, n) + 1))


def test_the_reference_is_computed_before_where_that_saves_something() -> None:
    few, often = 4, 40
    assert precomputes(FULL, n_pairs=10, n_used=few)
    assert precomputes(LORA, n_pairs=10, n_used=often)
    assert not precomputes(LORA, n_pairs=10, n_used=few)
    assert not precomputes(FULL.model_copy(update={"precompute_reference": False}), n_pairs=10, n_used=often)
