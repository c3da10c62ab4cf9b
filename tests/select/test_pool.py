"""The pool: size, confidence, quotas and suspects, and a decision with its reason for every prompt."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.select.toy import OFF, ZONES, count_tokens, estimate, pool_of, prompt

from teachable.errors import TeachableError
from teachable.records import Estimate, Message, Prompt, Solution
from teachable.select import SelectConfig, Selection, select

# Selection of a pool: prompts of three domains and levels, with all that could keep one out.
DOMAINS = ("algebra", "geometry", "logic")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Prompt], list[Solution], list[Estimate]]:
    prompts, solutions, estimates = [], [], []
    for i in range(draw(st.integers(0, 30))):
        name = f"p{i}"
        # Of some twins only one can be in.
        text = f"question {i if draw(st.integers(0, 5)) else i // 2}"
        domain, level = draw(st.sampled_from(DOMAINS)), draw(st.integers(1, 3))
        prompts.append(Prompt(name, domain, (Message(role="user", content=text),), "6", level=level))
        if draw(st.integers(0, 9)):
            solutions.append(Solution(name, "six", "teacher", ""))
        if draw(st.integers(0, 9)):
            mass = draw(st.sampled_from([0.0, 0.5, 0.8, 0.95]))
            zone = draw(st.sampled_from(["teachable", "teachable", "teachable", *ZONES]))
            suspect = draw(st.integers(0, 9)) == 0
            estimates.append(replace(estimate(name, zone), zone_mass=mass, suspect=suspect, reason=f"why {name}"))
    return prompts, solutions, estimates


@st.composite
def pool_settings(draw: st.DrawFn) -> SelectConfig:
    size = draw(st.none() | st.integers(1, 15))
    fields: dict[str, object] = {"arms": [], "size": size, "min_confidence": draw(st.sampled_from([0.0, 0.0, 0.7]))}
    fields["near_duplicate_threshold"] = draw(st.sampled_from([None, 1.0]))
    fields["allow_suspect"] = draw(st.booleans())
    for name, keys in (("domain_quota", DOMAINS), ("level_quota", (1, 2, 3))):
        kind = draw(st.sampled_from(["none", "counts", "shares", "equal"]))
        if kind == "counts" or size is None:
            most = 5 if size is None else size // 3
            fields[name] = draw(st.dictionaries(st.sampled_from(keys), st.integers(0, most)))
        elif kind != "none":
            shares = st.dictionaries(st.sampled_from(keys), st.sampled_from([0.0, 0.1, 0.25, 1 / 3]))
            fields[name] = "equal" if kind == "equal" else draw(shares)
    return SelectConfig.model_validate(fields)


World = tuple[list[Prompt], list[Solution], list[Estimate]]


def chosen_from(world: World, config: SelectConfig) -> Selection:
    prompts, solutions, estimates = world
    named = {p.domain for p in prompts}, {p.level for p in prompts}
    fields = config.model_dump()
    for field, there in (("domain_quota", named[0]), ("level_quota", named[1])):
        if isinstance(fields[field], dict):
            fields[field] = {name: quota for name, quota in fields[field].items() if name in there}
    return select(prompts, solutions, estimates, [], SelectConfig.model_validate(fields), count_tokens)


@given(worlds(), pool_settings())
@settings(max_examples=150, deadline=None)
def test_size_and_quotas_hold_and_every_prompt_has_one_decision(world: World, config: SelectConfig) -> None:
    found = chosen_from(world, config)
    prompts, solutions, estimates = world
    assert [d["prompt_id"] for d in found.decisions] == [p.id for p in prompts]
    assert all(d["decision"] in ("in", "out") and d["reason"] for d in found.decisions)
    inside = {d["prompt_id"] for d in found.decisions if d["decision"] == "in"}
    assert sorted(e.prompt_id for e in found.pool) == sorted(inside)
    assert config.size is None or len(inside) <= config.size
    for row in found.stats["quotas"]:
        n = sum(str(getattr(p, row["of"])) == row["name"] for p in prompts if p.id in inside)
        assert row["n"] == n <= row["quota"] and row["missing"] == row["quota"] - n
        assert bool(row["why"]) == bool(row["missing"])
    estimate_of = {e.prompt_id: e for e in estimates}
    solved = {s.prompt_id for s in solutions}
    for name in inside:
        of = estimate_of[name]
        assert of.zone == "teachable" and of.zone_mass >= config.min_confidence and name in solved
        assert config.allow_suspect or not of.suspect
    masses = [estimate_of[e.prompt_id].zone_mass for e in found.pool]
    assert masses == sorted(masses, reverse=True)
    if config.near_duplicate_threshold is not None:
        assert len({e.messages[0]["content"] for e in found.pool}) == len(found.pool)
    assert sum(row["count"] for row in found.stats["dropped"]) == len(prompts) - len(inside)
    assert found.stats["selected"]["n"] == len(inside)


@given(worlds(), pool_settings(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_order_of_prompts_does_not_matter_for_the_pool(
    world: World, config: SelectConfig, rng: random.Random
) -> None:
    found = chosen_from(world, config)
    for rows in world:
        rng.shuffle(rows)
    again = chosen_from(world, config)
    assert again.pool == found.pool
    assert {d["prompt_id"]: d for d in again.decisions} == {d["prompt_id"]: d for d in found.decisions}
    assert again.stats == found.stats


@given(worlds(), pool_settings(), st.integers(0, 30))
@settings(max_examples=80, deadline=None)
def test_more_prompts_change_only_what_depends_on_others(world: World, config: SelectConfig, n: int) -> None:
    prompts, solutions, estimates = world
    fewer = chosen_from((prompts[:n], solutions, estimates), config)
    more = {d["prompt_id"]: d for d in chosen_from(world, config).decisions}
    depends = ("near-duplicate of", "the pool of", "the quota of", "the equal share of")
    for before in fewer.decisions:
        after = more[before["prompt_id"]]
        if before["decision"] == "in" or before["reason"].startswith(depends):
            assert after["decision"] == "in" or after["reason"].startswith(depends)
        else:
            assert after == before


def pool_world(n: int = 10) -> World:
    """N sure prompts of algebra at level 1, n less sure of geometry at level 2, n unsure of logic at level 3."""
    prompts, solutions, estimates = [], [], []
    for domain, level, mass in (("algebra", 1, 0.9), ("geometry", 2, 0.8), ("logic", 3, 0.6)):
        for i in range(n):
            name = f"{domain}-{i}"
            prompts.append(replace(prompt(name), domain=domain, level=level))
            solutions.append(Solution(name, "six", "teacher", ""))
            estimates.append(replace(estimate(name, "teachable"), zone_mass=mass + i / 1000))
    return prompts, solutions, estimates


def pool_of_config(**fields: object) -> Selection:
    config = {"arms": [], "near_duplicate_threshold": OFF} | fields
    return select(*pool_world(), [], SelectConfig.model_validate(config), count_tokens)


def domains_in(found: Selection) -> dict[str, int]:
    return {name: n for name in DOMAINS if (n := sum(e.domain == name for e in found.pool))}


def test_the_surest_come_first() -> None:
    found = pool_of_config(size=3)
    assert [e.prompt_id for e in found.pool] == ["algebra-9", "algebra-8", "algebra-7"]
    assert found.sets == {}
    out = next(d for d in found.decisions if d["prompt_id"] == "algebra-6")
    assert (out["decision"], out["reason"]) == ("out", "the pool of 3 is full, with others that came before it")
    assert out["confidence"] == pytest.approx(0.906)
    assert found.stats["dropped"] == [{"reason": "the pool is full", "count": 27}]
    assert found.stats["selected"] == {"size": 3, "n": 3, "missing": 0, "n_tokens": sum(e.n_tokens for e in found.pool)}


def test_equally_sure_prompts_come_in_an_order_of_their_own() -> None:
    prompts, solutions, estimates = pool_world()
    level = [replace(e, zone_mass=0.9) for e in estimates]
    config = SelectConfig(size=12, arms=(), near_duplicate_threshold=OFF)
    names = [e.prompt_id for e in select(prompts, solutions, level, [], config, count_tokens).pool]
    assert len({name.partition("-")[0] for name in names}) == 3
    assert names != sorted(names)
    fewer = select(prompts, solutions, level, [], config.model_copy(update={"size": 5}), count_tokens)
    assert [e.prompt_id for e in fewer.pool] == names[:5]


def test_quotas_say_what_they_did() -> None:
    found = pool_of_config(size=10, domain_quota={"algebra": 0.3, "geometry": 2})
    assert domains_in(found) == {"algebra": 3, "geometry": 2, "logic": 5}
    reasons = {d["reason"] for d in found.decisions if d["decision"] == "out"}
    assert reasons == {
        "the quota of domain algebra (30%, 3 prompts) is full",
        "the quota of domain geometry (2 prompts) is full",
        "the pool of 10 is full, with others that came before it",
    }
    assert found.stats["dropped"][0] == {"reason": "the quota of its domain is full", "count": 15}


def test_a_quota_that_can_not_be_filled_says_so() -> None:
    found = pool_of_config(size=40, domain_quota={"algebra": 0.5, "geometry": 0.25, "logic": 0.25})
    assert domains_in(found) == {"algebra": 10, "geometry": 10, "logic": 10}
    assert found.stats["quotas"][0] == {
        "of": "domain",
        "name": "algebra",
        "quota": 20,
        "n_available": 10,
        "n": 10,
        "missing": 10,
        "why": "only 10 prompts of domain algebra can be taken",
    }
    assert found.stats["selected"]["missing"] == 10
    clash = pool_of_config(size=10, domain_quota={"algebra": 10}, level_quota={1: 4})
    assert domains_in(clash) == {"algebra": 4, "geometry": 6}
    assert clash.stats["quotas"][0]["why"] == "the size or the other quotas leave no room for more"


def test_equal_shares() -> None:
    found = pool_of_config(size=12, domain_quota="equal")
    assert domains_in(found) == {"algebra": 4, "geometry": 4, "logic": 4}
    assert "the equal share of domain algebra (4 prompts) is full" in {d["reason"] for d in found.decisions}
    assert domains_in(pool_of_config(size=12, level_quota="equal")) == domains_in(found)


def test_levels_have_quotas_too() -> None:
    found = pool_of_config(size=12, level_quota={"3": 0.5})
    assert domains_in(found) == {"algebra": 6, "logic": 6}
    assert "the quota of level 3 (50%, 6 prompts) is full" in {d["reason"] for d in found.decisions}


def test_prompts_that_are_not_sure_enough_are_out() -> None:
    found = pool_of_config(min_confidence=0.85)
    assert domains_in(found) == {"algebra": 10}
    reason = "teachable: 3 of 8 right, with probability 0.60, below the least of 0.85"
    assert reason in {d["reason"] for d in found.decisions}
    config = SelectConfig(min_confidence=0.85, budget_tokens=50, seeds=1, arms=("teachable", "random"))
    arms = select(*pool_world(), [], config, count_tokens).sets
    assert {e.domain for e in arms["teachable", 0]} == {"algebra"}
    assert {e.domain for e in arms["random", 0]} > {"algebra"}


def test_the_taught_arm_draws_from_the_pool_and_the_others_do_not() -> None:
    prompts, solutions, estimates = pool_of(40)
    fields = {"budget_tokens": 600, "near_duplicate_threshold": OFF, "max_epochs": 50}
    whole = select(prompts, solutions, estimates, [], SelectConfig.model_validate(fields), count_tokens)
    small = select(prompts, solutions, estimates, [], SelectConfig.model_validate(fields | {"size": 5}), count_tokens)
    assert {e.prompt_id for e in small.sets["teachable", 0]} == {e.prompt_id for e in small.pool}
    assert len(small.pool) == 5
    for arm in ("random", "mastered", "beyond"):
        assert small.sets[arm, 0] == whole.sets[arm, 0]


@pytest.mark.parametrize("arm", ["teachable", "random", "mastered", "beyond"])
def test_suspects_are_in_no_arm_unless_let_in(arm: str) -> None:
    prompts, solutions, estimates = pool_of(6)
    suspects = {"teachable-0", "mastered-0", "beyond-0", "ambiguous-0"}
    estimates = [
        replace(e, suspect=True, reason="suspect, it says 5") if e.prompt_id in suspects else e for e in estimates
    ]
    fields = {"budget_tokens": 600, "near_duplicate_threshold": OFF, "max_epochs": 50, "arms": [arm], "seeds": 1}

    def held(**more: object) -> Selection:
        return select(prompts, solutions, estimates, [], SelectConfig.model_validate(fields | more), count_tokens)

    found = held()
    assert not suspects & {e.prompt_id for e in found.sets[arm, 0]}
    decided = {d["prompt_id"]: d for d in found.decisions}
    assert {decided[name]["reason"] for name in suspects} == {"suspect, it says 5"}
    assert {decided[name]["decision"] for name in suspects} == {"out"}
    assert {"reason": "suspect: the teacher contradicts its answer", "count": 4} in found.stats["dropped"]
    let_in = held(allow_suspect=True)
    assert suspects & {e.prompt_id for e in let_in.sets[arm, 0]}
    assert {d["prompt_id"]: d["decision"] for d in let_in.decisions}["teachable-0"] == "in"


def test_prompts_alone_make_a_pool_without_responses() -> None:
    prompts, _, estimates = pool_of(2)
    config = SelectConfig(arms=(), responses="none", near_duplicate_threshold=OFF)
    found = select(prompts, [], estimates, [], config, count_tokens)
    assert {e.prompt_id for e in found.pool} == {"teachable-0", "teachable-1"}
    assert all(e.messages == (Message(role="user", content=e.prompt_id),) and e.n_tokens == 0 for e in found.pool)
    assert found.pool[0].why == "teachable: 3 of 8 right"


def test_where_nothing_could_be_counted_the_reason_stands_in() -> None:
    agreed = replace(estimate("p", "mastered"), n=0, successes=0, reason="no key: all 8 attempts agree, too easy")
    found = select([prompt("p")], [], [agreed], [], SelectConfig(arms=()), count_tokens)
    assert found.decisions[0]["reason"] == "mastered: no key: all 8 attempts agree, too easy, nothing to learn"
    assert found.pool == ()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"domain_quota": {"a": 0.3}}, "domain_quota: a share is a share of size, so size must be given"),
        ({"domain_quota": "equal"}, "domain_quota: equal shares are shares of size, so size must be given"),
        ({"size": 9, "level_quota": {1: 0.7, 2: 0.4}}, "level_quota: the shares add up to 1.1, more than 1"),
        ({"size": 9, "level_quota": {1: 1.5}}, "a share lies between 0 and 1; a number of prompts is a whole number"),
        ({"size": 9, "level_quota": {1: float("nan")}}, "level_quota: a share lies between 0 and 1"),
        ({"domain_quota": {"a": -1}}, "domain_quota: a number of prompts can't be negative"),
        ({"size": 9, "domain_quota": {"a": 5, "b": 0.5}}, "the quotas add up to 9.5 prompts, more than the size of 9"),
        ({"size": 0}, "greater than or equal to 1"),
        ({"min_confidence": 1.1}, "less than or equal to 1"),
    ],
)
def test_quotas_that_can_not_be_meant_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        SelectConfig.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"domain_quota": {"algbra": 3}},
            "select.domain_quota: there is a quota for the domain 'algbra', of which there is no prompt "
            "(did you mean 'algebra'?). The domains are algebra, geometry, logic.",
        ),
        (
            {"level_quota": {7: 3}},
            "select.level_quota: there is a quota for the level '7', of which there is no prompt. "
            "The levels are 1, 2, 3.",
        ),
    ],
)
def test_a_quota_for_what_is_not_there_is_one_sentence(fields: dict[str, object], said: str) -> None:
    with pytest.raises(TeachableError) as caught:
        pool_of_config(**fields)
    assert str(caught.value) == said


def test_settings_come_back_from_a_recipe_as_they_went() -> None:
    config = SelectConfig(size=10, level_quota={1: 1, 2: 0.5}, domain_quota={"a": 1.0}, arms=())
    assert SelectConfig.model_validate_json(json.dumps(config.model_dump(mode="json"))) == config
