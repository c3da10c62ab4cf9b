"""The benchmark of the intervals of `add` plants what it says, and a wrong interval would be seen by it."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SEED = 17  # of worlds that no result rests on


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import add_intervals

    return add_intervals


def test_nothing_is_lost_on_average_and_seeds_matter_where_they_are_to(bench: ModuleType) -> None:
    luck = np.random.default_rng(SEED)
    for pattern, matters in {"none": (), "alike": range(6), "shared": range(6), "one": (0,), "a third": (0, 1)}.items():
        worlds = np.array([bench.differences(pattern, 6, 3, luck) for _ in range(400)])  # [worlds, domains, Q, S]
        by_world = worlds.mean(axis=(1, 2, 3))
        assert abs(by_world.mean()) <= 4 * by_world.std() / math.sqrt(400), pattern
        of_seeds = worlds.mean(axis=2).var(axis=2, ddof=1).mean(axis=0)  # a domain's variance of a seed's mean
        plain = 2 * 0.24 / bench.N_SAMPLES / bench.N_QUESTIONS  # of answers alone, about
        assert [place for place in range(6) if of_seeds[place] > 1.5 * plain] == list(matters), pattern


@pytest.mark.parametrize("spread", [0.0, 0.15])
def test_gains_are_the_planted_ones(bench: ModuleType, spread: float) -> None:
    luck = np.random.default_rng(SEED)
    found = np.array([[table.mean() for table in bench.gains(3, spread, luck)] for _ in range(400)])
    slack = 4 * found.std(axis=0) / math.sqrt(400)
    assert np.all(np.abs(found.mean(axis=0) - (bench.JOINT, bench.OWN + 2 * bench.OTHER)) <= slack)


def test_intervals_that_are_too_narrow_are_seen(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = bench.regressions("alike", 4, 3, 100, SEED)
    assert honest["false_alarms"] <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)
    assert honest["half_width"] < honest["own_half_width"]
    right = bench.simultaneous_intervals

    def narrow(tables: list[np.ndarray]) -> list[tuple[float, float, float]]:
        return [(mean, mean - (mean - low) / 3, mean + (high - mean) / 3) for mean, low, high in right(tables)]

    monkeypatch.setattr(bench, "simultaneous_intervals", narrow)
    assert bench.regressions("alike", 4, 3, 100, SEED)["false_alarms"] > 0.2


def test_percentiles_are_of_the_ratio(bench: ModuleType) -> None:
    luck = np.random.default_rng(SEED)
    joint = np.full((20, 3), 0.25)
    assert bench.percentiles(joint, 2 * joint, luck) == pytest.approx((0.5, 0.5))
    assert bench.percentiles(joint, luck.normal(0.0, 1.0, (20, 3)), luck) is None
