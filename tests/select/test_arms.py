"""The arms beside the zones: all once before any twice, a share of all, and arms that are left out."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.select.toy import OFF, count_tokens, estimate, pool_of, prompt

from teachable.errors import TeachableError
from teachable.records import Solution
from teachable.select import SelectConfig, Selection, select


def run(n: int, **config: object) -> Selection:
    prompts, solutions, estimates = pool_of(n)
    given_ = SelectConfig.model_validate({"near_duplicate_threshold": OFF, "max_epochs": 1000} | config)
    return select(prompts, solutions, estimates, [], given_, count_tokens)


@given(st.integers(2, 25), st.integers(60, 3000))
@settings(max_examples=30, deadline=None)
def test_full_takes_everything_once_before_anything_twice(n: int, budget: int) -> None:
    found = run(n, arms=["full"], budget_tokens=budget, seeds=2)
    everything = {row["prompt_id"] for row in found.decisions}
    for chosen in found.sets.values():
        names = [example.prompt_id for example in chosen]
        for start in range(0, len(names), 4 * n):
            turn = names[start : start + 4 * n]
            assert len(set(turn)) == len(turn)
            assert set(turn) == everything or start + len(turn) == len(names)
        assert max(Counter(names).values()) - min(Counter(names).values(), default=0) <= 1


def test_full_has_prompts_that_nobody_has_probed_and_no_suspects() -> None:
    prompts = [prompt(name) for name in ("known", "new", "mute", "doubted")]
    doubted = estimate("doubted", "teachable")
    object.__setattr__(doubted, "suspect", True)
    solutions = [Solution(name, "six", "teacher", "") for name in ("known", "new", "doubted")]
    config = SelectConfig(arms=("full",), budget_tokens=20, seeds=1, near_duplicate_threshold=OFF)
    found = select(prompts, solutions, [estimate("known", "mastered"), doubted], [], config, count_tokens)
    assert {example.prompt_id for example in found.sets["full", 0]} == {"known", "new"}


@given(st.integers(3, 25), st.integers(200, 3000))
@settings(max_examples=30, deadline=None)
def test_random_may_draw_from_as_many_tokens_as_teachable_has(n: int, budget: int) -> None:
    settings_ = {"arms": ["teachable", "random", "full"], "budget_tokens": budget, "seeds": 3}
    found = run(n, random_prompts="as_teachable", **settings_)
    pool = sum(example.n_tokens for example in found.pool)
    longest = max(row["n_tokens"] for row in found.decisions)
    rows = {(row["arm"], row["seed"]): row for row in found.stats["arms"]}
    tokens = {row["prompt_id"]: row["n_tokens"] for row in found.decisions}
    for seed in range(3):
        chosen = found.sets["random", seed]
        unique = {example.prompt_id for example in chosen}
        if rows["random", seed]["n_unique"] == rows["random", seed]["n_pool"]:  # the budget has gone round
            assert abs(sum(tokens[name] for name in unique) - pool) <= longest / 2
        else:
            assert sum(tokens[name] for name in unique) <= pool + longest / 2
        assert abs(sum(example.n_tokens for example in chosen) - budget) <= longest / 2
        assert rows["random", seed]["n_pool"] < rows["full", seed]["n_pool"] == 4 * n
    plain = run(n, **settings_)
    for arm in ("teachable", "full"):  # the others are drawn as ever
        assert [plain.sets[arm, seed] for seed in range(3)] == [found.sets[arm, seed] for seed in range(3)]


def test_each_seed_draws_its_own_share() -> None:
    found = run(25, arms=["teachable", "random"], budget_tokens=2000, seeds=4, random_prompts="as_teachable")
    shares = [frozenset(e.prompt_id for e in found.sets["random", seed]) for seed in range(4)]
    assert len(set(shares)) == 4
    assert {zone for seed in range(4) for zone in {e.zone for e in found.sets["random", seed]}} > {"teachable"}


def test_a_share_of_less_than_there_is_to_match_is_everything() -> None:
    prompts, solutions, estimates = pool_of(6)
    only = [one for one in estimates if one.zone == "teachable"]
    kept = [one for one in prompts if one.id.startswith("teachable")]
    config = SelectConfig(
        arms=("teachable", "random"), budget_tokens=50, near_duplicate_threshold=OFF, random_prompts="as_teachable"
    )
    found = select(kept, solutions, only, [], config, count_tokens)
    assert {row["n_pool"] for row in found.stats["arms"]} == {6}


def nothing_mastered(**config: object) -> Selection:
    prompts, solutions, estimates = pool_of(8)
    given_ = SelectConfig.model_validate({"budget_tokens": 300, "near_duplicate_threshold": OFF} | config)
    rest = [one for one in estimates if one.zone != "mastered"]
    return select(prompts, solutions, rest, [], given_, count_tokens)


def test_an_arm_without_enough_is_left_out_with_its_sentence_and_the_others_are_what_they_were() -> None:
    found = nothing_mastered(leave_out_small=True)
    assert {arm for arm, _ in found.sets} == {"teachable", "random", "beyond"}
    (left,) = found.stats["left_out"]
    assert left["arm"] == "mastered"
    assert left["reason"] == (
        "the arm 'mastered' has 0 training tokens in 0 prompts, which makes 0 in 8 rounds, short of the budget of 300"
    )
    alone = nothing_mastered(arms=["teachable", "random", "beyond"])
    assert alone.sets == found.sets and alone.stats["left_out"] == []
    with pytest.raises(TeachableError, match=r"arm 'mastered' has 0 training tokens.*leave this arm out"):
        nothing_mastered()


def test_teachable_is_never_left_out() -> None:
    prompts, solutions, estimates = pool_of(8)
    config = SelectConfig(budget_tokens=300, near_duplicate_threshold=OFF, leave_out_small=True)
    hard = [one for one in estimates if one.zone != "teachable"]
    with pytest.raises(TeachableError, match="arm 'teachable' has 0 training tokens"):
        select(prompts, solutions, hard, [], config, count_tokens)
