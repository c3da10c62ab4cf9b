"""Selection: equal budgets, a reason for every prompt, and no dependence on any order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.select.toy import OFF, ZONES, count_tokens, estimate, pool_of, prompt

from teachable.errors import TeachableError
from teachable.records import Attempt, Message, Solution
from teachable.select import SelectConfig, Selection, select
from teachable.store.digest import digest
from teachable.store.files import plain


def attempt(name: str, text: str, correct: bool | None = True, finish_reason: str = "stop", sample: int = 0) -> Attempt:
    return Attempt(name, sample, "e", 0, text, (), finish_reason, correct, "6", "")


def run(n: int = 40, *, shuffler: random.Random | None = None, seed: int = 0, **config: object) -> Selection:
    prompts, solutions, estimates = pool_of(n)
    if shuffler is not None:
        for rows in (solutions, estimates):
            shuffler.shuffle(rows)
    settings_ = SelectConfig.model_validate({"budget_tokens": 600, "near_duplicate_threshold": OFF} | config)
    return select(prompts, solutions, estimates, [], settings_, count_tokens, seed)


@given(st.integers(2, 40), st.integers(50, 2000))
@settings(max_examples=40, deadline=None)
def test_every_arm_gets_the_same_tokens(n: int, budget: int) -> None:
    found = run(n, budget_tokens=budget, max_epochs=1000)
    assert set(found.sets) == {(a, s) for a in ("teachable", "random", "mastered", "beyond") for s in range(3)}
    for (arm, seed), chosen in found.sets.items():
        total = sum(e.n_tokens for e in chosen)
        assert total == sum(count_tokens(e.messages) for e in chosen)
        longest = max(d["n_tokens"] for d in found.decisions)
        assert abs(total - budget) <= longest / 2 or len(chosen) == 1
        row = next(r for r in found.stats["arms"] if (r["arm"], r["seed"]) == (arm, seed))
        assert (row["n_tokens"], row["n_examples"]) == (total, len(chosen))
        assert row["n_unique"] == len({e.prompt_id for e in chosen})


def test_a_zones_arm_draws_from_its_zone_and_random_from_all() -> None:
    found = run()
    for arm in ("teachable", "mastered", "beyond"):
        assert {e.zone for s in range(3) for e in found.sets[arm, s]} == {arm}
    assert {e.zone for s in range(3) for e in found.sets["random", s]} == set(ZONES)
    assert found.sets["teachable", 0] != found.sets["teachable", 1]


def test_a_small_pool_comes_round_again_whole() -> None:
    found = run(3, budget_tokens=300)
    chosen = [e.prompt_id for e in found.sets["teachable", 0]]
    assert len(chosen) > 6
    for start in range(0, len(chosen) - 2, 3):
        assert len(set(chosen[start : start + 3])) == 3
    row = found.stats["arms"][0]
    assert row["n_unique"] == 3
    pool = sum(e.n_tokens for e in found.sets["teachable", 0][:3])
    assert row["n_epochs"] == pytest.approx(row["n_tokens"] / pool, abs=1e-3)


def test_a_pool_too_small_is_refused_with_its_numbers() -> None:
    with pytest.raises(TeachableError, match=r"arm 'teachable' has \d+ training tokens in 3 prompts.*budget of 5,000"):
        run(3, budget_tokens=5000)
    prompts, solutions, estimates = pool_of(5)
    nothing_mastered = [e for e in estimates if e.zone != "mastered"]
    config = SelectConfig(budget_tokens=50, near_duplicate_threshold=OFF)
    with pytest.raises(TeachableError, match=r"arm 'mastered' has 0 training tokens.*leave this arm out"):
        select(prompts, solutions, nothing_mastered, [], config, count_tokens)


@given(st.randoms())
@settings(max_examples=15, deadline=None)
def test_the_order_of_the_inputs_does_not_matter(shuffler: random.Random) -> None:
    assert run(shuffler=shuffler) == run()


def test_the_seed_matters() -> None:
    assert run(seed=1).sets != run().sets
    assert run(seed=1).sets == run(seed=1).sets


def test_a_prompt_that_leaves_does_not_move_the_others() -> None:
    prompts, solutions, estimates = pool_of(40)
    config = SelectConfig(budget_tokens=600, near_duplicate_threshold=OFF, arms=("teachable",), seeds=1)
    before = [e.prompt_id for e in select(prompts, solutions, estimates, [], config, count_tokens).sets["teachable", 0]]
    kept = [p for p in prompts if p.id != before[2]]
    after = [e.prompt_id for e in select(kept, solutions, estimates, [], config, count_tokens).sets["teachable", 0]]
    assert after[: len(before) - 2] == [name for name in before if name != before[2]][: len(before) - 2]


def test_every_prompt_has_its_reason() -> None:
    prompts = [prompt(name) for name in ("in", "known", "hard", "odd", "mute", "new")]
    estimates = [
        estimate("in", "teachable"),
        estimate("known", "mastered", 8),
        estimate("hard", "beyond", 0),
        estimate("odd", "ambiguous"),
        estimate("mute", "teachable", 2),
    ]
    solutions = [Solution(name, "six", "teacher", "") for name in ("in", "known", "hard", "odd", "new")]
    config = SelectConfig(budget_tokens=10, arms=("teachable", "random"), seeds=(4,))
    found = select(prompts, solutions, estimates, [], config, count_tokens)
    assert [(d["prompt_id"], d["decision"], d["reason"]) for d in found.decisions] == [
        ("in", "in", "why so"),
        ("known", "out", "mastered: 8 of 8 right, nothing to learn"),
        ("hard", "out", "beyond: 0 of 8 right, nothing to build on"),
        ("odd", "out", "ambiguous: why so, not to be trusted"),
        ("mute", "out", "teachable: 2 of 8 right, but no verified response to train on"),
        ("new", "out", "not probed"),
    ]
    assert found.decisions[0]["arms"][0] == "teachable-4"
    assert [d["n_tokens"] for d in found.decisions] == [5, 8, 7, 6, 0, 6]
    assert found.stats["pool"] == {"mastered": 1, "teachable": 2, "beyond": 1, "ambiguous": 1}
    assert sum(d["count"] for d in found.stats["dropped"]) == 5
    for decision in found.decisions:
        for arm_seed in decision["arms"]:
            arm, _, seed = arm_seed.rpartition("-")
            assert decision["prompt_id"] in {e.prompt_id for e in found.sets[arm, int(seed)]}


def test_near_duplicates_count_once() -> None:
    long = "a train leaves the town of Elm at nine and meets a slower one near the river by noon, how far is that"
    prompts = [prompt("b", long), prompt("a", long + "?"), prompt("c", "something else entirely")]
    estimates = [estimate(p.id, "teachable") for p in prompts]
    solutions = [Solution(p.id, "six", "teacher", "") for p in prompts]
    config = SelectConfig(budget_tokens=100, arms=("teachable",), seeds=1)
    found = select(prompts, solutions, estimates, [], config, count_tokens)
    assert next((d["prompt_id"], d["reason"]) for d in found.decisions) == ("b", "near-duplicate of a")
    assert {e.prompt_id for e in found.sets["teachable", 0]} <= {"a", "c"}
    assert found.stats["dropped"] == [{"reason": "near-duplicate", "count": 1}]


ATTEMPTS = [
    attempt("p", "a long right answer", sample=0),
    attempt("p", "right b", sample=1),
    attempt("p", "right a", sample=2),
    attempt("p", "wrong", False, sample=3),
    attempt("p", "cut", finish_reason="length", sample=4),
    attempt("p", "odd", None, sample=5),
]


@pytest.mark.parametrize(
    ("responses", "solved", "text"),
    [("auto", True, "worked"), ("solution", True, "worked"), ("attempt", True, "right a"), ("auto", False, "right a")],
)
def test_the_response_is_the_solution_or_the_shortest_right_attempt(responses: str, solved: bool, text: str) -> None:
    solutions = [Solution("p", "worked", "teacher", ""), Solution("p", "worked out at length", "x", "")] * solved
    config = SelectConfig.model_validate(
        {"budget_tokens": 5, "arms": ["teachable"], "seeds": 1, "responses": responses}
    )
    found = select([prompt("p")], solutions, [estimate("p", "teachable")], ATTEMPTS[::-1], config, count_tokens)
    example = found.sets["teachable", 0][0]
    assert example.messages == (Message(role="user", content="p"), Message(role="assistant", content=text))
    source = "worked solution" if text == "worked" else "the model's own right answer"
    assert example.why == f"teachable: 3 of 8 right; {source}"


def test_solutions_only_means_no_attempts() -> None:
    config = SelectConfig(budget_tokens=5, arms=("teachable",), seeds=1, responses="solution")
    with pytest.raises(TeachableError, match="0 training tokens"):
        select([prompt("p")], [], [estimate("p", "teachable")], ATTEMPTS, config, count_tokens)


@pytest.mark.parametrize(
    "wrong", [{"seeds": 0}, {"seeds": [1, 1]}, {"arms": ["edge"]}, {"seeds": [-1]}, {"responses": "none"}]
)
def test_settings_that_make_no_comparison_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SelectConfig.model_validate(wrong)


def test_two_prompts_with_one_id_are_refused() -> None:
    with pytest.raises(TeachableError, match="two prompts have the id 'p'"):
        select([prompt("p"), prompt("p")], [], [], [], SelectConfig(), count_tokens)


def test_the_default_experiment_is_what_it_was() -> None:
    """Golden: models that were tuned on these sets can be compared with models tuned on them anew."""
    found = run()
    sets = {f"{arm}-{seed}": [e.prompt_id for e in chosen] for (arm, seed), chosen in found.sets.items()}
    assert digest(plain(sets)) == "4310c7e47d89bf341e3cce7c7fd3e540a5195439756796a45e8919576b4b8830"
