"""The benchmark of synthesis against planted truth: its truth is one, its teachers are what they say."""

from __future__ import annotations

import random
import re
from pathlib import Path
from types import ModuleType

import pytest

from teachable.synthesize.checks.voting import LEAD

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
N = 120


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import synthesis_precision

    return synthesis_precision


def test_the_truth_is_the_answer_of_each_question(bench: ModuleType) -> None:
    for number in range(500):
        text = bench.question(number)
        one, whole = (int(part) for part in re.findall(r"\d+", text))
        assert whole - 2 * one == bench.truth(number)
        assert bench.number_of(text) == number


@pytest.mark.parametrize("name", ["steady", "mixed", "scattered", "split"])
def test_teachers_are_right_with_three_quarters(bench: ModuleType, name: str) -> None:
    world = bench.World(name, "one")
    rates = [world.rate(number) for number in range(4000)]
    assert sum(rates) / 4000 == pytest.approx(0.75, abs=0.015)
    luck = random.Random(0)
    said = [world.said(number, luck) == bench.truth(number) for number in range(4000)]
    assert sum(said) / 4000 == pytest.approx(0.75, abs=0.03)


def test_rivals_are_as_many_as_they_say(bench: ModuleType) -> None:
    luck = random.Random(0)
    found = {rival: {bench.World("steady", rival).wrong(5, luck) for _ in range(2000)} for rival in bench.RIVALS}
    assert [len(found[rival]) for rival in bench.RIVALS] == [1, 5, 40]
    assert not any(bench.truth(5) in wrong for wrong in found.values())


def test_the_calculation_is_that_of_the_vote(bench: ModuleType) -> None:
    precision, share = bench.ceiling(bench.World("steady", "one"), 8)
    assert precision == pytest.approx(0.99381, abs=1e-5)
    assert share == pytest.approx(0.68277, abs=1e-5)
    assert bench.ceiling(bench.World("scattered", "one"), 8, 8)[0] == pytest.approx(90 / 92, abs=2e-3)
    world = bench.World("mixed", "one")
    assert bench.ceiling(world, 8, LEAD + 2)[0] > bench.ceiling(world, 8)[0]


@pytest.mark.parametrize("workflow", ["answers", "verifiable"])
def test_a_vote_beats_one_sample(bench: ModuleType, workflow: str) -> None:
    row = bench.measure(bench.World("steady", "many"), workflow, N, 8)
    assert row["voted"]["precision"] >= 0.98
    assert 0.6 < row["single"]["precision"] < 0.9
    assert 0.4 < row["voted"]["yield"] < row["single"]["yield"] <= 1
    assert bench.goal(row) == "yes"
    bench.printed([row])


def test_what_the_vote_leaves_is_what_is_calculated(bench: ModuleType) -> None:
    found = bench.counted(bench.accepted(bench.World("steady", "one"), "answers", 400), 400)
    assert found["yield"] == pytest.approx(0.683, abs=0.08)
    assert found["low"] < 0.9938 < found["high"]


def test_wrong_organic_answers_are_replaced(bench: ModuleType) -> None:
    world = bench.World("steady", "many", organic_wrong=0.5)
    rows = bench.accepted(world, "answers", N)
    assert bench.counted(rows, N)["precision"] >= 0.98
    outcomes = {row["answer_source"] for row in rows}
    assert outcomes == {"organic", "majority"}
