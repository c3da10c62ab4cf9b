"""Rows of examples: each once, none cut, few rows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.train.packing import pack

lengths = st.lists(st.integers(1, 50), max_size=60)


@given(lengths)
def test_every_example_is_in_one_row_that_holds_it(lengths: list[int]) -> None:
    rows = pack(lengths, 50)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(row and sum(lengths[i] for i in row) <= 50 for row in rows)
    assert rows == pack(lengths, 50)


@given(lengths)
def test_rows_are_few(lengths: list[int]) -> None:
    """No two rows would fit into one, so there are fewer than twice what any packing needs."""
    rows = pack(lengths, 50)
    filled = sorted(sum(lengths[i] for i in row) for row in rows)
    assert len(filled) < 2 or filled[0] + filled[1] > 50
    at_least = max(math.ceil(sum(lengths) / 50), sum(length > 25 for length in lengths))
    assert len(rows) <= max(at_least, 2 * at_least - 1)


def test_the_fullest_row_that_has_room_is_taken() -> None:
    assert pack([6, 5, 4, 3, 2], 10) == [[0, 2], [1, 3, 4]]


def test_an_example_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="51 tokens does not fit into a row of 50"):
        pack([3, 51], 50)
