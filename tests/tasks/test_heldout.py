"""Benchmarks beside the source's held-out questions, and a pool without anything of them."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from teachable.errors import TeachableError
from teachable.records import Message, Prompt, Solution
from teachable.tasks.benchmarks import Benchmark
from teachable.tasks.build import TaskSet
from teachable.tasks.heldout import with_benchmarks

SYLLABLES = ("ba", "do", "fi", "gu", "ka", "le", "mo", "ni", "pe", "ru", "sa", "ti", "vo", "wy", "za")


def prompt(i: int, text: str = "", **fields: object) -> Prompt:
    """A prompt of twenty words that no other prompt has in this order."""
    rng = random.Random(i)
    said = " ".join("".join(rng.choices(SYLLABLES, k=3)) for _ in range(20)) + "?"
    made = Prompt(id=f"p{i}", domain="own", messages=(Message(role="user", content=text or said),), answer=str(i))
    return replace(made, **fields)  # type: ignore[arg-type]


def benchmark(name: str, *prompts: Prompt) -> Benchmark:
    asked = [replace(one, id=f"{name} {one.id}", domain=name, meta={**one.meta, "benchmark": name}) for one in prompts]
    return Benchmark(name, tuple(asked), {"title": name})


def tasks(n: int = 30) -> TaskSet:
    pool = tuple(prompt(i) for i in range(n))
    solutions = tuple(Solution(one.id, f"It was number {one.answer}.", "organic", "right") for one in pool)
    return TaskSet(pool, (prompt(90), prompt(91)), solutions, (("said twice", 3),))


def test_benchmarks_follow_the_sources_questions_whole() -> None:
    made = with_benchmarks(tasks(), [benchmark("a", prompt(50), prompt(51)), benchmark("b", prompt(52))])
    assert [one.id for one in made.heldout] == ["p90", "p91", "a p50", "a p51", "b p52"]
    assert (made.pool, made.solutions, made.rejected) == (tasks().pool, tasks().solutions, tasks().rejected)


def test_what_overlaps_a_benchmark_leaves_the_pool_with_its_solution_and_a_reason() -> None:
    """Pool prompts 3 (equal), 4 (re-cased), 5 (one word changed), 6 (within a longer question)."""
    longer = prompt(6, f"Here is a riddle from long ago. {prompt(6).text} Say it in one word.")
    asked = [
        prompt(3),
        prompt(4, prompt(4).text.upper()),
        prompt(5, " ".join([*prompt(5).text.split()[:10], "another", *prompt(5).text.split()[11:]])),
        longer,
    ]
    made = with_benchmarks(tasks(), [benchmark("quiz", *asked)])
    assert [one.id for one in made.pool] == [f"p{i}" for i in range(30) if i not in (3, 4, 5, 6)]
    assert {one.prompt_id for one in made.solutions} == {one.id for one in made.pool}
    assert len(made.heldout) == 2 + 4
    assert dict(made.rejected) == {
        "said twice": 3,
        "overlaps a question of quiz: equal": 2,
        "overlaps a question of quiz: near-duplicate": 1,
        "overlaps a question of quiz: shared run": 1,
    }


def test_a_solution_that_holds_a_held_out_question_goes_and_its_prompt_stays() -> None:
    given = tasks()
    telling = Solution("p7", f"Compare: {prompt(90).text} That was 90.", "organic", "right")
    made = with_benchmarks(replace(given, solutions=(*given.solutions[:7], telling, *given.solutions[8:])), [])
    assert made.pool == given.pool
    assert [one.prompt_id for one in made.solutions] == [f"p{i}" for i in range(30) if i != 7]
    assert dict(made.rejected)["the solution holds a held-out question"] == 1


def test_procedural_prompts_go_by_their_content() -> None:
    texts = {"sum 3 4": "Add 3 and 4.", "sum 3 5": "Add 3 and 5."}
    pool = tuple(prompt(i, text, meta={"content_key": key}) for i, (key, text) in enumerate(texts.items(), start=1))
    asked = benchmark("gym:sum", prompt(3, "What is 4 + 3?", meta={"content_key": "sum 3 4"}))
    made = with_benchmarks(TaskSet(pool, (), (), ()), [asked])
    assert [one.id for one in made.pool] == ["p2"]
    assert made.rejected == (("overlaps a question of gym:sum: same content", 1),)


def test_a_pool_that_is_the_benchmark_is_one_sentence() -> None:
    with pytest.raises(TeachableError, match="all 30 prompts of the pool overlap the benchmarks") as caught:
        with_benchmarks(tasks(), [benchmark("quiz", *tasks().pool)])
    assert caught.value.where == "tasks.benchmarks"


def test_one_name_or_one_question_twice_is_one_sentence() -> None:
    one = benchmark("quiz", prompt(50))
    with pytest.raises(TeachableError, match="two benchmarks are called 'quiz'"):
        with_benchmarks(tasks(), [one, benchmark("quiz", prompt(51))])
    with pytest.raises(TeachableError, match="quiz and other both hold the question quiz p50"):
        with_benchmarks(tasks(), [one, replace(one, name="other")])
