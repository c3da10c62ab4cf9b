"""What is trained on in which order: every row as often as allowed, every part once, rates that rise and fall."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.train.loop import TokenSequence
from teachable.train.tune_config import TrainingConfig
from teachable.train.tune_plan import n_parts, parts_of, plan_tuning, rate_of, row_steps


def sequences(*lengths: int) -> list[TokenSequence]:
    return [TokenSequence(tuple(range(n)), (False,) + (True,) * (n - 1)) for n in lengths]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 60), st.integers(1, 5), st.integers(0, 3))
def test_rows_are_used_evenly_and_no_more_often_than_allowed(
    n_rows: int, batch_size: int, max_steps: int, max_epochs: int, seed: int
) -> None:
    config = TrainingConfig(batch_size=batch_size, max_steps=max_steps, max_epochs=max_epochs)
    steps, ends_by = row_steps(n_rows, config, seed)
    used = Counter(chain(*steps))
    assert len(steps) <= max_steps
    assert max(used.values()) <= max_epochs
    assert max(used.values()) - min(used.get(row, 0) for row in range(n_rows)) <= 1
    size = min(batch_size, n_rows)
    assert all(len(step) == size for step in steps[:-1])
    if ends_by == "max_epochs":
        assert all(used[row] == max_epochs for row in range(n_rows))
        assert len(steps) < max_steps
    else:
        assert len(steps) == max_steps
    assert steps == row_steps(n_rows, config, seed)[0]


def test_another_seed_is_another_order_and_a_longer_run_begins_alike() -> None:
    short, long = (TrainingConfig(batch_size=4, max_steps=n) for n in (5, 15))
    assert row_steps(20, short, 0)[0] != row_steps(20, short, 1)[0]
    assert row_steps(20, long, 0)[0][:5] == row_steps(20, short, 0)[0]


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=30),
    st.integers(1, 9),
    st.integers(0, 4),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_parts_of_all_devices_are_the_step(
    lengths: list[int], batch_size: int, at_once: int, n_devices: int, packing: bool
) -> None:
    config = TrainingConfig(
        batch_size=batch_size, rows_at_once=at_once, packing=packing, max_length=40, max_steps=9, max_epochs=2
    )
    plan = plan_tuning(sequences(*lengths), config, seed=0)
    n = n_parts(plan, config, n_devices)
    for step, rows in enumerate(plan.steps):
        parts = [parts_of(plan, step, n, n_devices, device) for device in range(n_devices)]
        assert all(len(mine) == n for mine in parts)
        assert sorted(chain(*chain(*parts))) == sorted(rows)
        assert not at_once or all(len(part) <= at_once for part in chain(*parts))
    assert plan.tokens_after[-1] == sum(plan.row_tokens[row] for row in chain(*plan.steps))


def test_the_longest_rows_come_first_so_that_what_does_not_fit_fails_at_once() -> None:
    config = TrainingConfig(batch_size=4, rows_at_once=2)
    plan = plan_tuning(sequences(3, 9, 5, 7), config, seed=0)
    assert parts_of(plan, 0, n_parts(plan, config, 1), 1, 0) == [[1, 3], [2, 0]]


def test_long_examples_are_left_out_and_counted() -> None:
    plan = plan_tuning(sequences(5, 12, 11, 6), TrainingConfig(max_length=11), seed=0)
    assert [len(one.ids) for one in plan.sequences] == [5, 11, 6]
    assert plan.n_too_long == 1
    assert plan_tuning(sequences(5, 12), TrainingConfig(max_length=11), seed=0, context=8).n_too_long == 1


def test_by_default_a_row_has_1024_tokens_or_what_the_model_can_read() -> None:
    long = sequences(5, 1024, 1025)
    assert plan_tuning(long, TrainingConfig(), seed=0).n_too_long == 1
    assert plan_tuning(long, TrainingConfig(), seed=0, context=512).n_too_long == 2


def test_no_example_is_one_sentence() -> None:
    with pytest.raises(TeachableError) as caught:
        plan_tuning([], TrainingConfig(), seed=0)
    assert str(caught.value) == "there are no examples to train on. Select some, or widen what is selected."


def test_no_example_that_fits_is_one_sentence() -> None:
    with pytest.raises(TeachableError) as caught:
        plan_tuning(sequences(7, 9), TrainingConfig(max_length=6), seed=0)
    assert str(caught.value) == (
        "all 2 examples are longer than 6 tokens (the shortest has 7). Raise max_length, or take a base with a longer "
        "context."
    )


@pytest.mark.parametrize(("schedule", "end"), [("constant", 1.0), ("linear", 0.0), ("cosine", 0.1)])
def test_rates_rise_and_fall(schedule: str, end: float) -> None:
    config = TrainingConfig(learning_rate=2.0, schedule=schedule, warmup_steps=3)  # type: ignore[arg-type]
    rates = [rate_of(step, 11, config) for step in range(12)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert all(left >= right for left, right in pairwise(rates[3:]))
    assert math.isclose(rates[11], 2.0 * end, abs_tol=1e-12)


def test_without_warm_up_the_first_step_has_the_peak_rate() -> None:
    assert rate_of(0, 5, TrainingConfig(learning_rate=1.0, warmup_steps=0)) == 1.0
