"""Questions of reasoning-gym by name: fresh by seed, proved on their own answers, never from the pool's side."""

from __future__ import annotations

import asyncio
import json

import pytest

from teachable.errors import TeachableError
from teachable.families.catalog import FAMILIES, SIDES
from teachable.overlap.split import split_of
from teachable.records import Prompt, from_row, to_row
from teachable.store.files import plain
from teachable.tasks.benchmarks import load_benchmark
from teachable.tasks.benchmarks.gym import N_QUESTIONS, UNPROVEN
from teachable.verify import near_miss, prove_on_gold, verdict_of
from teachable.verify.gym import Gym


def verdict(prompt: Prompt, text: str) -> bool | None:
    return asyncio.run(verdict_of(Gym(), text, prompt)).correct


def sentence(task: str) -> str:
    with pytest.raises(TeachableError) as caught:
        load_benchmark(task, limit=10)
    return str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_that_is_taught_is_asked_from_the_held_out_side(family: str) -> None:
    found = load_benchmark(f"gym:{family}", seed=3, limit=60)
    assert {split_of(str(p.meta["content_key"]), SIDES) for p in found.prompts} == {"heldout"}
    assert {p.level for p in found.prompts} == set(range(1, len(FAMILIES[family].levels) + 1))
    assert 45 <= len(found.prompts) <= 60 and {p.domain for p in found.prompts} == {f"gym:{family}"}
    assert found.prompts[0].text == found.prompts[0].meta["entry"]["question"], "asked as it is taught"
    faults = prove_on_gold([from_row(Prompt, to_row(p)) for p in found.prompts], Gym())
    assert [fault for fault in faults if fault.tried == "its own answer"] == []
    assert json.dumps(plain(found.facts)) and found.facts["seed"] == 3


def test_a_seed_gives_other_questions_and_the_same_seed_the_same() -> None:
    one, same, other = (load_benchmark("gym:products", seed=seed) for seed in (1, 1, 2))
    assert one == same and len(one.prompts) == N_QUESTIONS
    assert len({p.id for p in one.prompts} & {p.id for p in other.prompts}) < N_QUESTIONS / 10
    assert one.facts["data_digest"] != other.facts["data_digest"]


def test_a_limit_says_how_many_are_drawn_and_fewer_are_some_of_more() -> None:
    ids = {n: {p.id for p in load_benchmark("gym:products", seed=1, limit=n).prompts} for n in (20, 250)}
    assert {n: len(found) for n, found in ids.items()} == {20: 20, 250: 250} and ids[20] < ids[250]
    taught = load_benchmark("gym:gcd", seed=1, limit=10).prompts
    assert sorted(p.level for p in taught) == [1, 1, 1, 2, 2, 2, 3, 3, 4, 4]
    for task in ("gym:products", "gym:gcd"):
        with pytest.raises(TeachableError, match="a limit of 0 questions leaves none"):
            load_benchmark(task, limit=0)


def test_a_question_of_any_family_says_how_to_answer() -> None:
    found = load_benchmark("gym:products", seed=1, limit=5)
    for prompt in found.prompts:
        assert prompt.answer is not None and prompt.text.endswith("final answer between <answer> and </answer>.")
        assert verdict(prompt, f"As 17 is wrong:\n<answer>{prompt.answer}</answer>") is True
        assert verdict(prompt, f"<answer>{near_miss(prompt.answer)[0]}</answer>") is False
    assert found.facts["template"].startswith("{question}\n\nThink it through")


def test_an_answer_of_many_lines_counts() -> None:
    [prompt] = load_benchmark("gym:rotate_matrix", seed=1, limit=1).prompts
    assert prompt.answer is not None and prompt.answer.count("\n") >= 1
    assert verdict(prompt, f"So:\n<answer>\n{prompt.answer}\n</answer>") is True


def test_what_json_has_no_form_for_is_text() -> None:
    found = load_benchmark("gym:gsm_symbolic", seed=1, limit=20)
    assert len(found.prompts) == 20
    for prompt in found.prompts:
        again = from_row(Prompt, to_row(prompt))
        assert prompt.answer is not None and verdict(again, f"<answer>{prompt.answer}</answer>") is True
        assert verdict(again, f"<answer>{near_miss(prompt.answer)[0]}</answer>") is False


def test_a_family_without_an_answer_of_its_own_has_none() -> None:
    found = load_benchmark("gym:graph_color", seed=1, limit=2)
    assert [p.answer for p in found.prompts] == [None, None] and UNPROVEN not in found.facts["left_out"]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("gym:countdown", "the scorer of reasoning-gym's 'countdown' runs the answer as code"),
        ("gym:no_such", "reasoning-gym has no family called 'no_such'. Correct the name."),
        (
            "gym:rearc",
            "gym:rearc: reasoning-gym's scorer of 'rearc' does not accept the family's own answers once they",
        ),
        ("gym:composite", "gym:composite: reasoning-gym can't generate this family with its default settings (Must"),
    ],
)
def test_a_family_that_cannot_be_asked_is_one_sentence(task: str, said: str) -> None:
    assert sentence(task).startswith(said)
