"""Splits that depend on content alone.

A row's side is a hash of its key, so it stays on its side when rows are added, removed or reordered, on every
machine; and a group of near-duplicates is on one side as a whole, since its members share one key.
The shares of the sides are met in expectation, not exactly: n rows land within about sqrt(n f (1 - f)) of n f.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence

from teachable.errors import TeachableError


def split_of(key: str, fractions: Mapping[str, float]) -> str:
    """The side of the row with that key.

    Args:
        key: what identifies the row's content: its text or its content id.
        fractions: the share of each side, in [0, 1], adding up to 1; their order does not matter.

    Raises:
        TeachableError: a share is negative, or they do not add up to 1.
    """
    if not fractions or any(share < 0 for share in fractions.values()) or not math.isclose(sum(fractions.values()), 1):
        raise TeachableError(f"the shares of a split must add up to 1: {dict(fractions)}", mend="Correct the shares")
    point = int.from_bytes(hashlib.sha256(f"split\x1f{key}".encode()).digest()[:8], "big") / 2**64
    sides = [name for name in sorted(fractions) if fractions[name] > 0]
    edge = 0.0
    for name in sides:
        edge += fractions[name]
        if point < edge:
            return name
    return sides[-1]  # rounding: the shares add up to a hair less than the point


def split_groups(ids: Sequence[str], groups: Sequence[Hashable], fractions: Mapping[str, float]) -> dict[str, str]:
    """The side of every id, all ids of a group on the same side.

    A group's key is the smallest of its ids, so it moves only when the group gets a smaller one.

    Args:
        ids: content ids.
        groups: the label of each id's group, in the same order.
        fractions: the share of each side, as in `split_of`, counted in groups.
    """
    key_of: dict[Hashable, str] = {}
    for row, group in zip(ids, groups, strict=True):
        key_of[group] = min(row, key_of.get(group, row))
    side_of = {group: split_of(key, fractions) for group, key in key_of.items()}
    return {row: side_of[group] for row, group in zip(ids, groups, strict=True)}
