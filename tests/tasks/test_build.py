"""Pool and held-out set of the procedural families: disjoint by content, in equal shares, with proven solutions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from teachable.errors import TeachableError
from teachable.families import teacher
from teachable.families.catalog import FAMILIES
from teachable.records import Progress, Prompt
from teachable.tasks.build import TaskSet, build_tasks, drop_unprovable
from teachable.tasks.config import DEFAULT_FAMILIES, TasksConfig
from teachable.verify import get

pytest.importorskip("reasoning_gym")

SEEDS = (0, 1, 2)
SMALL = TasksConfig(n_pool=105, n_heldout=42)
QUICK = ("chain_sum", "gcd")  # their questions cost nothing to make


@cache
def built(seed: int) -> TaskSet:
    return asyncio.run(build_tasks(SMALL, seed))


def build_quick(n_pool: int, n_heldout: int, seed: int = 0, families: tuple[str, ...] = QUICK) -> TaskSet:
    return asyncio.run(build_tasks(TasksConfig(families=families, n_pool=n_pool, n_heldout=n_heldout), seed))


def keys(prompts: Sequence[Prompt]) -> set[str]:
    return {str(p.meta["content_key"]) for p in prompts}


def test_no_seeds_pool_has_a_question_of_any_seeds_held_out_set() -> None:
    """Not only within one run: a model that was taught from one seed's pool may be judged on another's questions."""
    pools = set().union(*(keys(built(seed).pool) for seed in SEEDS))
    heldouts = set().union(*(keys(built(seed).heldout) for seed in SEEDS))
    assert len(pools) > 1.5 * SMALL.n_pool
    assert len(heldouts) > 1.5 * SMALL.n_heldout
    assert not pools & heldouts


@pytest.mark.parametrize("seed", SEEDS)
def test_every_question_is_there_once(seed: int) -> None:
    prompts = [*built(seed).pool, *built(seed).heldout]
    assert len(keys(prompts)) == len({p.id for p in prompts}) == len(prompts)


def test_the_same_seed_builds_the_same_and_another_one_others() -> None:
    assert build_quick(40, 16) == build_quick(40, 16)
    assert keys(build_quick(40, 16).pool) != keys(build_quick(40, 16, seed=1).pool)


def test_shares_are_equal_over_families_and_levels() -> None:
    tasks = built(0)
    n_repeated = dict(tasks.rejected).get("a near-duplicate of a question of another level", 0)
    assert n_repeated < 5
    assert len(tasks.pool) + len(tasks.heldout) == SMALL.n_pool + SMALL.n_heldout - n_repeated
    for side, n in ((tasks.pool, 21), (tasks.heldout, 8)):
        for name in DEFAULT_FAMILIES:
            n_levels = len(FAMILIES[name].levels)
            counts = Counter(p.level for p in side if p.domain == name)
            assert sorted(counts) == list(range(1, n_levels + 1))
            # A question that an easier level has too is dropped from the harder one.
            assert n - n_repeated <= sum(counts.values()) <= n + 1
            assert n // n_levels - n_repeated <= min(counts.values()) <= max(counts.values()) <= n // n_levels + 1


def test_a_level_without_enough_questions_gives_what_it_has_and_says_so() -> None:
    tasks = build_quick(600, 10, families=("gcd",))
    counts = Counter(p.level for p in tasks.pool)
    assert counts[1] < counts[2] <= 150
    rejected = dict(tasks.rejected)
    missing = sum(count for reason, count in rejected.items() if "fewer questions than asked for" in reason)
    # Every question that was asked for is in the pool, missing, or dropped as another level's.
    others = rejected.get("a near-duplicate of a question of another level", 0)
    assert len(tasks.pool) + len(tasks.heldout) + missing + others == 610
    assert rejected["gcd level 1 has fewer questions than asked for"] >= 100
    assert rejected["a near-duplicate of an earlier question"] > 0


def test_nothing_rejected_is_no_row() -> None:
    assert build_quick(2, 1, families=("chain_sum",)).rejected == ()


def test_every_solution_is_of_the_pool_and_was_accepted_by_the_tasks_verifier() -> None:
    tasks = built(1)
    prompts = {p.id: p for p in tasks.pool}
    assert [s.prompt_id for s in tasks.solutions] == list(prompts)
    for solution in tasks.solutions:
        verdict = asyncio.run(get("gym").verify(solution.text, prompts[solution.prompt_id]))
        assert verdict.correct
        assert (solution.reason, solution.source) == (verdict.reason, "rule-based teacher")


def test_a_wrong_solution_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    right = teacher.response
    monkeypatch.setattr(
        teacher, "response", lambda steps, answer: right(steps, "no idea" if len(steps) == 1 else answer)
    )
    tasks = build_quick(40, 10)
    one_step = sum(len(FAMILIES[p.domain].solve(p.meta["entry"])) == 1 for p in tasks.pool)
    assert 0 < one_step < len(tasks.pool) == len(tasks.solutions) + one_step
    wrong = {reason: n for reason, n in tasks.rejected if reason.startswith("the teacher's solution was not accepted")}
    assert sum(wrong.values()) == one_step
    assert all("scorer gives 0" in reason for reason in wrong)


def test_a_teacher_that_is_always_wrong_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "response", lambda steps, answer: "Answer: no idea")
    with pytest.raises(TeachableError, match=r"accepted none of the teacher's 8 solutions\. Check the installed"):
        build_quick(8, 2)


def test_an_unknown_family_is_one_sentence_before_anything_is_made() -> None:
    with pytest.raises(TeachableError, match="there is no task family 'gcdd'"):
        build_quick(10, 10, families=("gcd", "gcdd"))


def test_progress_ends_at_the_whole() -> None:
    said: list[Progress] = []
    asyncio.run(build_tasks(TasksConfig(families=QUICK, n_pool=18, n_heldout=9), 0, said.append))
    assert [p.done for p in said] == sorted(p.done for p in said)
    assert (said[-1].done, said[-1].total) == (27, 27)


def test_questions_on_which_the_verifier_fails_are_dropped_with_their_solutions() -> None:
    """Every fifth question gets a reference answer that the scorer's own entry contradicts."""
    tasks = build_quick(40, 10)
    spoilt = tuple(replace(p, answer=f"{p.answer}7") if i % 5 == 0 else p for i, p in enumerate(tasks.pool))
    kept = drop_unprovable(replace(tasks, pool=spoilt))
    assert [p.id for p in kept.pool] == [p.id for i, p in enumerate(tasks.pool) if i % 5]
    assert {s.prompt_id for s in kept.solutions} == {p.id for p in kept.pool}
    assert kept.heldout == tasks.heldout
    dropped = {reason: n for reason, n in kept.rejected if reason not in dict(tasks.rejected)}
    assert sum(dropped.values()) == 8
    assert all(reason.startswith("the verifier is wrong on its own answer") for reason in dropped)


def test_with_nothing_to_drop_the_tasks_stay() -> None:
    tasks = build_quick(20, 10)
    assert drop_unprovable(tasks) is tasks


@pytest.mark.parametrize("side", ["pool", "heldout"])
def test_a_side_that_would_be_empty_is_one_sentence(side: str) -> None:
    tasks = build_quick(20, 10)
    spoilt = tuple(replace(p, answer="no") for p in getattr(tasks, side))
    with pytest.raises(TeachableError, match=r"the verifiers fail on all questions.*Choose another verifier"):
        drop_unprovable(replace(tasks, **{side: spoilt}))
