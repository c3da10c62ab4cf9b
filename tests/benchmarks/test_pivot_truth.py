"""Ground truth from shared samples: checked against worlds whose truth is known exactly."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from types import ModuleType

import pytest

from teachable.records import Request

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SEED = 30_000


@pytest.fixture
def truth(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pivot_truth

    return pivot_truth


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pivot_worlds

    return pivot_worlds


def test_a_sample_counts_for_the_prefixes_that_it_passes_and_no_shorter_one(truth: ModuleType) -> None:
    tally = truth.Tally((5, 6, 7, 8))
    tally.add(1, (6, 7, 9, 9), True)  # drawn from the prefix of 1, left the solution at 3
    tally.add(0, (4, 6, 7, 8), False)  # left at once
    tally.add(0, (5, 6, 7, 8), True)  # the solution itself
    assert [len(tally.fair(place)) for place in range(5)] == [2, 2, 2, 2, 1]
    assert [len(tally.left_at(place)) for place in range(4)] == [1, 0, 0, 1]
    assert tally.fair(0) == [False, True] and sorted(tally.fair(1)) == [True, True]


def test_the_bound_leaves_out_tokens_that_are_almost_sure(truth: ModuleType) -> None:
    assert truth.candidates([0.95, 0.8, 0.81, 0.1, 1.0], gap=0.2) == [1, 3]


@pytest.mark.parametrize("family", ["main", "robust"])
def test_truth_is_true(truth: ModuleType, worlds: ModuleType, family: str) -> None:
    engine = worlds.Worlds(family)
    prompt = engine.prompt(SEED)
    ids = tuple(engine.encode(list(prompt.messages)))
    [solution] = asyncio.run(engine.sample(Request(ids, n=1, max_tokens=96)))
    values, probabilities, *_ = engine.world(SEED).path(solution.token_ids)
    problem = truth.Problem(prompt, ids, 0.5, ())
    judge = truth.Judge(engine, prompt, worlds.SaysRight())
    bought = engine.completions
    made = asyncio.run(truth.truth_of(engine, judge, problem, solution.token_ids, tuple(probabilities), 150))
    assert made.completions == engine.completions - bought
    assert made.correct is solution.text.endswith("right")
    places = [one.position for one in made.tokens]
    assert places == truth.candidates(probabilities) and len(places) > 8
    # Sharing saves samples, and every prefix has as many as were asked for all the same.
    assert made.completions < 150 * len({*places, *(place + 1 for place in places)})
    errors = []
    for one in made.tokens:
        ends = one.position + 1 == len(values) - 1
        assert one.n_before >= 150 and (ends or one.n_after >= 150)
        errors.append((one.delta - values[one.position + 1] + values[one.position]) / one.sd)
        assert one.delta == pytest.approx(one.p_after - one.p_before)
    assert max(map(abs, errors)) < 4 and sum(abs(one) < 2 for one in errors) >= 0.75 * len(errors)
    # What was left out can't reach the gap.
    steps = [abs(b - a) for a, b in itertools.pairwise(values)]
    assert all(step < 0.2 for place, step in enumerate(steps) if place not in places)


def test_finished_truths_are_read_back(truth: ModuleType, tmp_path: Path) -> None:
    assert truth.load_truths(tmp_path) == {}
    token = truth.Token(1, 0.5, 0.4, 0.6, 0.2, 0.01, 2000, 2100, 900)
    one = truth.Truth("p", (1, 2), (0.9, 0.5), True, (token,), 10, 100)
    truth.write_json(tmp_path / "truth.json", [truth.asdict(one)])
    assert truth.load_truths(tmp_path) == {("p", (1, 2)): one}
