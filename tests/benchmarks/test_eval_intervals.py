"""The benchmark of the evaluation's intervals knows its truths, sees a wrong interval, and reports what it found."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from teachable.stats import Interval, mcnemar_exact, mean_interval, paired_difference

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SEED = 91  # of evaluations that no result rests on


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import eval_intervals

    return eval_intervals


@pytest.mark.parametrize(("shift", "spread"), [(0.0, 0.0), (0.7, 1.0)])
def test_true_means_are_those_of_the_draws(bench: ModuleType, shift: float, spread: float) -> None:
    generator = np.random.default_rng(SEED)
    for world in bench.WORLDS:
        logits = world.logits(generator, (200_000,)) + shift + spread * generator.standard_normal(200_000)
        rates = bench.expit(logits)
        slack = 4 * rates.std() / math.sqrt(rates.size) + 1e-9
        assert abs(rates.mean() - world.mean(shift, spread)) < slack, world.name
    assert [round(world.mean(), 2) for world in bench.WORLDS] == [0.40, 0.50, 0.92, 0.02, 0.50]


def test_pairs_are_equal_on_average_and_differ_as_they_say(bench: ModuleType) -> None:
    for world in (bench.WORLDS[0], bench.WORLDS[3]):
        for kind in bench.NULLS:
            cell = bench.Cell(world, 40, 4, kind=kind)
            first, second = bench.rates_of(cell, np.random.default_rng(SEED), 3000)
            by_round = first.mean(axis=(1, 2)) - second.mean(axis=(1, 2))
            assert abs(by_round.mean()) <= 4 * by_round.std() / math.sqrt(3000), (world.name, kind)
            assert cell.truth == 0.0
            assert (kind == "identical") == bool(np.all(first == second))
            assert first.shape[2] == (3 if "seeds" in kind else 1)
            assert second.shape[2] == (3 if kind.endswith("with 3") else 1)
    moved = bench.Cell(bench.WORLDS[0], 40, 4, kind="moved", delta=0.05)
    first, second = bench.rates_of(moved, np.random.default_rng(SEED), 3000)
    by_round = first.mean(axis=(1, 2)) - second.mean(axis=(1, 2))
    assert abs(by_round.mean() - moved.truth) <= 4 * by_round.std() / math.sqrt(3000)
    assert moved.truth == -0.05


def test_samples_are_drawn_from_the_rates_and_depend_on_the_cell_alone(bench: ModuleType) -> None:
    cell = bench.Cell(bench.WORLDS[1], 50, 16)
    once, again = ([s for (s,), _ in bench.evaluations(cell, 4, SEED)] for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    other = next(iter(bench.evaluations(bench.Cell(bench.WORLDS[1], 50, 4), 1, SEED)))[0][0]
    assert set(np.unique(other * 4)) <= {0.0, 1.0, 2.0, 3.0, 4.0} and other.shape == (50, 1)
    assert all(abs(s.mean() - fixed) < 5 * 0.5 / math.sqrt(800) for (s,), fixed in bench.evaluations(cell, 50, SEED))


def test_the_projects_interval_covers_and_one_blind_to_questions_does_not(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, rounds = bench.Cell(bench.WORLDS[0], 100, 16), 600
    right = bench.try_cell(cell, rounds, SEED)
    assert abs(right["coverage"] - 0.95) < 4 * math.sqrt(0.95 * 0.05 / rounds)
    assert not bench.outside(right)
    assert right["coverage"] + right["too_high"] + right["too_low"] == pytest.approx(1.0)
    assert right["fixed_coverage"] > 0.99  # between questions lies most of the variance, which the fixed set has not

    def all_samples_alike(table: NDArray[np.float64]) -> Interval:
        n_correct = round(16 * float(table.sum()))
        return mean_interval(np.repeat([1.0, 0.0], [n_correct, 16 * table.size - n_correct]))

    monkeypatch.setattr(bench, "mean_interval", all_samples_alike)
    wrong = bench.try_cell(cell, rounds, SEED)
    assert wrong["coverage"] < 0.6
    assert bench.outside(wrong)
    assert wrong["coverage"] + wrong["too_high"] + wrong["too_low"] == pytest.approx(1.0)
    lines = bench.verdict_on([right, wrong], "coverage")
    assert len(lines) == 1 and lines[0].startswith("one model, two ends, 100 questions, 16 samples: ")


def test_false_positives_and_power(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = 600
    equal = bench.try_cell(bench.Cell(bench.WORLDS[0], 100, 4, kind="scattered"), rounds, SEED)
    assert abs(equal["rejected"] - 0.05) < 4 * math.sqrt(0.95 * 0.05 / rounds)
    assert equal["rejected"] == pytest.approx(1.0 - equal["coverage"])  # a test rejects where the interval misses 0
    cell = bench.detectable(bench.Cell(bench.WORLDS[0], 100, 4), SEED)
    found = bench.try_cell(cell, rounds, SEED)
    assert 0.02 < cell.delta < 0.2
    assert found["note"] == pytest.approx(cell.delta, rel=0.1)
    assert abs(found["rejected"] - 0.8) < 0.03 + 4 * math.sqrt(0.8 * 0.2 / rounds)

    def wrongly_paired(first: NDArray[np.float64], second: NDArray[np.float64]) -> Interval:
        return paired_difference(first, np.roll(second, 1))

    monkeypatch.setattr(bench, "paired_difference", wrongly_paired)
    assert bench.try_cell(cell, rounds, SEED)["rejected"] < found["rejected"] - 0.2


def test_other_tests_are_tried_on_answers_and_hold_their_rate(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "N_BOOTSTRAP", 200)
    cell, rounds = bench.Cell(bench.WORLDS[1], 60, 1, kind="scattered"), 400
    found = bench.try_tests(cell, rounds, SEED)
    slack = 4 * math.sqrt(0.05 * 0.95 / rounds)
    assert 0 < found["mcnemar"] <= found["mcnemar_mid_p"] < 0.05 + slack
    assert abs(found["bootstrap"] - 0.05) < slack
    monkeypatch.setattr(bench, "mcnemar_exact", lambda a, b, mid_p=False: mcnemar_exact(a, np.ones_like(b)))
    assert bench.try_tests(cell, rounds, SEED)["mcnemar"] > 0.9


def test_any_number_of_processes_finds_the_same(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [bench.Cell(bench.WORLDS[i], 30, 4) for i in range(3)]
    alone = bench.measure(cells, 20, SEED)
    monkeypatch.setattr(bench, "JOBS", 2)
    assert bench.measure(cells, 20, SEED) == alone
    assert [record["world"] for record in alone] == [cell.world.name for cell in cells]


def test_the_room_states_the_same(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.room_difference(SEED) < 1e-12
    monkeypatch.setattr(bench, "paired_difference", lambda a, b: mean_interval(b - a, bounds=(-1.0, 1.0)))
    assert bench.room_difference(SEED) > 1e-3


def test_a_small_run_from_end_to_end(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "N_QUESTIONS", (20,))
    monkeypatch.setattr(bench, "N_SAMPLES", (1, 4))
    monkeypatch.setattr(bench, "WORLDS", (bench.WORLDS[0], bench.WORLDS[3]))
    monkeypatch.setattr(sys, "argv", ["eval_intervals.py", "--rounds", "40", "--json", str(tmp_path / "found.json")])
    bench.main()
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    printed = capsys.readouterr().out
    assert [len(found[key]) for key in ("one_model", "three_models", "shifts", "moved", "power")] == [4, 4, 6, 4, 2]
    assert all(len(found[kind]) == 4 for kind in bench.NULLS)
    assert len(found["tests"]) == 6 and all(0 <= r[name] <= 1 for r in found["tests"] for name in bench.TESTS)
    assert all(r["rounds"] == (40 if key == "one_model" else 20) for key in ("one_model", "moved") for r in found[key])
    measured = [r for key in ("one_model", "three_models", "shifts", "moved") for r in found[key]]
    assert len(found["outside"]) == sum(not 0.93 <= r["coverage"] <= 0.97 for r in measured) > 0
    null = [r for kind in bench.NULLS for r in found[kind]]
    assert 0 < len(found["null_outside"]) == sum(not 0.03 <= r["rejected"] <= 0.07 for r in null)
    assert any(0.03 <= r["rejected"] <= 0.07 for r in null)
    assert all(line in printed for line in found["outside"] + found["null_outside"])
    assert found["room_difference"] == 0.0
