"""Splits by content: stable, of the right size, and never through a group."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.overlap.split import split_groups, split_of

SHARES = {"train": 0.8, "heldout": 0.2}


def test_the_split_never_changes() -> None:
    """Golden: a change of the hash would move rows of existing runs between training and evaluation."""
    sides = "".join(split_of(f"row {i}", SHARES)[0] for i in range(24))
    assert sides == "htthttttthhhhttttthtttth"
    assert sides == "".join(split_of(f"row {i}", dict(reversed(SHARES.items())))[0] for i in range(24))


def test_shares_are_met_within_sampling_error() -> None:
    n = 20_000
    n_heldout = sum(split_of(f"row {i}", SHARES) == "heldout" for i in range(n))
    assert abs(n_heldout - 0.2 * n) < 4 * math.sqrt(n * 0.2 * 0.8)


@pytest.mark.parametrize("shares", [{}, {"a": 0.5}, {"a": 1.5, "b": -0.5}])
def test_shares_that_make_no_split_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(TeachableError, match="must add up to 1"):
        split_of("row", shares)


def test_a_side_with_no_share_gets_nothing() -> None:
    assert {split_of(str(i), {"a": 0.0, "b": 1.0, "c": 0.0}) for i in range(500)} == {"b"}


@given(st.lists(st.tuples(st.text(min_size=1), st.integers(0, 5)), unique_by=lambda row: row[0]), st.randoms())
@settings(deadline=None)
def test_a_group_stays_together_in_any_order(rows: list[tuple[str, int]], shuffler: object) -> None:
    sides = split_groups([r[0] for r in rows], [r[1] for r in rows], SHARES)
    assert set(sides) == {r[0] for r in rows}
    for group in {r[1] for r in rows}:
        assert len({sides[name] for name, label in rows if label == group}) == 1
    shuffler.shuffle(rows)  # type: ignore[attr-defined]
    assert split_groups([r[0] for r in rows], [r[1] for r in rows], SHARES) == sides


def test_a_group_goes_where_its_smallest_id_goes() -> None:
    names = [f"row {i}" for i in range(100)]
    alone = split_groups(names, names, SHARES)
    assert alone == {name: split_of(name, SHARES) for name in names}
    paired = split_groups(names, [i // 2 for i in range(100)], SHARES)
    assert all(paired[name] == alone[min(names[i // 2 * 2], names[i // 2 * 2 + 1])] for i, name in enumerate(names))
