"""Real questions of every family and level, generated once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from teachable.families.catalog import FAMILIES, questions

Entry = Mapping[str, Any]
Draw = Callable[[str, int, int], list[Entry]]
KINDS = [(name, level) for name, family in FAMILIES.items() for level in range(1, len(family.levels) + 1)]
SEEDS = (0, 1, 7)
N = 80  # entries a seed


@pytest.fixture(scope="session")
def draw() -> Draw:
    """The first entries of the stream of a family, level and seed."""
    pytest.importorskip("reasoning_gym")

    @cache
    def first(name: str, level: int, seed: int) -> list[Entry]:
        return list(itertools.islice(questions(name, level, seed), N))

    return first
