"""The planted worlds keep their word (exact values, fair samples, stated structure), and what measures in them too."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from teachable.records import Completion, Engine, Request, Verifier
from teachable.verify import verdict_of

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FAMILIES = ("main", "robust", "cancelling", "null")
SEED = 20_000  # of worlds that no result rests on


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import pivot_worlds

    return pivot_worlds


@pytest.fixture
def bisection(worlds: ModuleType) -> ModuleType:
    import pivot_bisection

    return pivot_bisection


@pytest.fixture
def scores(worlds: ModuleType) -> ModuleType:
    import pivot_scores

    return pivot_scores


def sample(engine: Any, world: int, prefix: tuple[int, ...] = (), **more: Any) -> list[Completion]:
    ids = engine.encode(f"world {world}")
    found: list[Completion] = asyncio.run(engine.sample(Request((*ids, *prefix), max_tokens=2000, **more)))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_values_are_a_martingale_in_0_to_1(worlds: ModuleType, family: str) -> None:
    n_nodes = 0
    for seed in range(SEED, SEED + 3):
        world, rng = worlds.World(family, seed), random.Random(seed)
        for _ in range(20):
            key, state, length = world.root, world.start, 0
            while (node := world.node(key, state, length)) is not None:
                values = [after.value for after in node.states]
                mean = sum(pi * value for pi, value in zip(node.probabilities, values, strict=True))
                assert abs(sum(node.probabilities) - 1) < 1e-12 and abs(mean - state.value) < 1e-12
                assert all(0 <= value <= 1 for value in values) and len(set(node.tokens)) == len(node.tokens)
                which = rng.randrange(len(node.tokens))  # also where samples hardly ever go
                key, state = worlds.key_after(key, node.tokens[which]), node.states[which]
                length, n_nodes = length + 1, n_nodes + 1
            assert state.value in (0.0, 1.0)
    assert n_nodes > 1000


@pytest.mark.parametrize("family", FAMILIES)
def test_samples_succeed_as_often_as_the_values_say(worlds: ModuleType, family: str) -> None:
    engine, n = worlds.Worlds(family), 500
    world = engine.world(SEED)
    [first] = sample(engine, SEED, n=1, seed=5)
    _, _, kinds, *_ = world.path(first.token_ids)
    fork = next(place for place, kind in enumerate(kinds) if kind in ("minor", "step"))
    *_, key, state = world.path(first.token_ids[:fork])
    other = next(one for one in world.node(key, state, fork).tokens if one != first.token_ids[fork])
    [away] = sample(engine, SEED, (*first.token_ids[:fork], other), n=1, seed=6)
    for prefix in ((), first.token_ids[:30], (*first.token_ids[:fork], other, *away.token_ids[:9])):
        values, *_ = world.path(prefix)
        found = sample(engine, SEED, prefix, n=n, seed=7)
        right = sum(one.token_ids[-1] == worlds.RIGHT for one in found)
        assert right / n == pytest.approx(values[-1], abs=4 * math.sqrt(0.25 / n))
        assert {one.finish_reason for one in found} == {"stop"}
        # The tokens that come next are drawn with the probabilities that the log-probabilities state.
        stated = {one.token_ids[0]: math.exp(one.token_logprobs[0]) for one in found if one.token_logprobs}
        for token, times in Counter(one.token_ids[0] for one in found).items():
            assert times / n == pytest.approx(stated[token], abs=4 * math.sqrt(0.25 / n))
        for one in found[:20]:
            _, probabilities, *_ = world.path((*prefix, *one.token_ids))
            assert one.token_logprobs == pytest.approx([math.log(pi) for pi in probabilities[len(prefix) :]], abs=1e-12)


def test_forks_move_success_by_what_the_family_says(worlds: ModuleType) -> None:
    for family in ("main", "robust", "cancelling"):
        kinds_of, low, high = worlds.FAMILIES[family], *worlds.FAMILIES[family].planted
        sizes: dict[str, list[float]] = {}
        for seed in range(SEED, SEED + 30):
            world = worlds.World(family, seed)
            tokens, _ = world.draw(world.root, world.start, 0, 96, random.Random(seed))
            values, _, kinds, *_ = world.path(tokens)
            assert len(tokens) == 96 and kinds[-1] == "last"
            counts = Counter(kinds)
            assert kinds_of.n_planted[0] <= counts["planted"] <= kinds_of.n_planted[1]
            assert counts["medium"] == kinds_of.n_medium
            if family == "main":
                assert counts == {"planted": 3, "minor": 19, "certain": 73, "last": 1}
            for place, kind in enumerate(kinds):
                sizes.setdefault(kind, []).append(abs(values[place + 1] - values[place]))
        assert max(sizes["minor"]) <= 0.06 + 1e-12
        assert max(sizes["planted"]) <= high + 1e-12
        assert sum(low <= size for size in sizes["planted"]) > 30  # one a solution at least
        if family == "robust":
            assert max(sizes["medium"]) <= 0.14 + 1e-12


def test_the_second_of_a_pair_can_undo_the_first(worlds: ModuleType) -> None:
    undone = 0
    for seed in range(SEED, SEED + 30):
        world = worlds.World("cancelling", seed)
        tokens, _ = world.draw(world.root, world.start, 0, 96, random.Random(seed))
        values, _, kinds, *_ = world.path(tokens)
        forks = [place for place, kind in enumerate(kinds) if kind == "planted"]
        assert len(forks) == 6 and all(1 <= b - a <= 7 for a, b in zip(forks[::2], forks[1::2], strict=True))
        undone += sum(
            abs(values[a + 1] - values[a]) >= 0.2 and abs(values[b + 1] - values[a]) < 1e-9
            for a, b in zip(forks[::2], forks[1::2], strict=True)
        )
    assert undone >= 10


def test_nothing_is_pivotal_in_a_null_world(worlds: ModuleType) -> None:
    said = worlds.describe("null", range(SEED, SEED + 30))
    assert said["pivots_a_solution"] == {} and said["open_tokens_a_solution"] > 20
    for seed in range(SEED, SEED + 30):
        world = worlds.World("null", seed)
        tokens, _ = world.draw(world.root, world.start, 0, 1000, random.Random(seed))
        values, *_ = world.path(tokens)
        assert max(abs(b - a) for a, b in itertools.pairwise(values)) <= 0.095 + 1e-12


def test_steps_spend_the_variance_that_there_is(worlds: ModuleType) -> None:
    said = worlds.describe("main", range(SEED, SEED + 400))
    assert said["mean_square_sum_over_variance"] == pytest.approx(1.0, abs=0.1)


def test_a_sample_depends_on_the_request_alone(worlds: ModuleType) -> None:
    engine, again = worlds.Worlds("main"), worlds.Worlds("main")
    [one] = sample(engine, SEED, n=1)
    prefix = one.token_ids[:10]
    asked = sample(engine, SEED, prefix, n=6, seed=3)
    again.world(SEED + 1)
    assert sample(again, SEED, prefix, n=4, seed=3, first=2) == [
        *(Completion(c.text, c.token_ids, c.token_logprobs, c.finish_reason, -1, 12 * (i == 0))
          for i, c in enumerate(asked[2:])),
    ]  # fmt: skip
    assert len({c.token_ids for c in sample(engine, SEED, prefix, n=40, seed=4)} - {c.token_ids for c in asked}) > 1
    assert engine.completions == 1 + 6 + 40
    with pytest.raises(ValueError, match="temperature 1"):
        sample(engine, SEED, n=1, temperature=0.7)
    with pytest.raises(ValueError, match="can't stand"):
        sample(engine, SEED, (worlds.RIGHT,), n=1)


def test_text_says_what_the_tokens_are(worlds: ModuleType) -> None:
    engine, verifier = worlds.Worlds("main"), worlds.SaysRight()
    assert isinstance(engine, Engine) and isinstance(verifier, Verifier)
    prompt = engine.prompt(SEED)
    assert engine.encode(list(prompt.messages)) == engine.encode(f"world {SEED}")
    for one in sample(engine, SEED, n=10):
        assert engine.encode(one.text) == list(one.token_ids)
        verdict = asyncio.run(verdict_of(verifier, one.text, prompt))
        assert verdict.correct is (one.token_ids[-1] == worlds.RIGHT)
    ids = engine.encode(f"world {SEED}")
    [short] = asyncio.run(engine.sample(Request(ids, n=1, max_tokens=5)))
    assert (len(short.token_ids), short.finish_reason) == (5, "length")


def halved(values: Sequence[float], first: int, last: int) -> set[int]:
    """What bisection would find if it knew the values."""
    if abs(values[last] - values[first]) < 0.2:
        return set()
    middle = (first + last) // 2
    return {first} if last - first == 1 else halved(values, first, middle) | halved(values, middle, last)


def test_bisection_counts_all_and_misses_what_cancels(worlds: ModuleType, bisection: ModuleType) -> None:
    engine = worlds.Worlds("cancelling")
    true, reachable, hit = set(), set(), set()
    for seed in range(SEED, SEED + 4):
        [one] = sample(engine, seed, n=1)
        values, *_ = engine.world(seed).path(one.token_ids)
        deltas = [b - a for a, b in itertools.pairwise(values)]
        prompt, before = engine.prompt(seed), engine.completions
        search = bisection.Bisection(
            engine, worlds.SaysRight(), prompt, engine.encode(list(prompt.messages)), one.token_ids,
            correct=one.text.endswith("right"), n=200, gap=0.2, max_tokens=96, seed=0,
        )  # fmt: skip
        done = asyncio.run(search.run())
        assert done.completions == engine.completions - before and done.completions % 200 == 0
        for found in done.found:
            assert found.delta == pytest.approx(deltas[found.position], abs=0.25)
        true |= {(seed, place) for place, delta in enumerate(deltas) if abs(delta) >= 0.2}
        reachable |= {(seed, place) for place in halved(values, 0, len(deltas))}
        hit |= {(seed, found.position) for found in done.found}
    assert len(reachable) < len(true)
    assert len(hit & reachable) >= 0.6 * len(reachable) > 1
    assert len(hit & true) < len(true)


def test_figures_of_a_hand_made_result(scores: ModuleType) -> None:
    marked = [
        scores.Marked(
            {3: 0.3, 7: -0.22, 9: 0.05},
            (scores.Reported(3, 0.35, 0.25, 0.45), scores.Reported(9, 0.25, 0.15, 0.35)),
            {3: "planted", 7: "last"},
        ),
        scores.Marked({0: 0.18}, (scores.Reported(0, 0.21),)),
        scores.Marked({1: 0.1}, ()),
    ]
    found = scores.figures(marked, gap=0.2, completions=50, tokens=500)
    assert (found["n_true"], found["n_reported"], found["n_hits"]) == (2, 3, 1)
    assert found["precision"][0] == pytest.approx(1 / 3) and found["precision_15"][0] == pytest.approx(2 / 3)
    assert found["recall"][0] == 0.5 and found["recall_25"][0] == 1.0
    assert found["recall_by_kind"] == {"last": [0, 1], "planted": [1, 1]}
    assert (found["completions_a_true"], found["completions_a_hit"], found["tokens_a_true"]) == (25, 50, 250)
    assert found["coverage"][0] == 0.5 and found["any_reported"][0] == pytest.approx(2 / 3)
    assert found["optimism"] == pytest.approx((0.05 + 0.2 + 0.03) / 3)
