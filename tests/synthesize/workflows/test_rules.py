"""Rule-based synthesis: every question proves itself, and none is from a side that is kept apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from teachable import verify
from teachable.errors import TeachableError
from teachable.families.catalog import FAMILIES, SIDES
from teachable.overlap.split import split_of
from teachable.records import Prompt, from_row
from teachable.store.files import read_rows
from teachable.synthesize.config import GatesConfig, SynthesizeConfig
from teachable.synthesize.gates import Gates
from teachable.synthesize.items import Seed, seed_of_prompt
from teachable.synthesize.make import Synthesized, synthesize
from teachable.synthesize.workflows import rules
from teachable.synthesize.workflows.rules_theorems import FACTS
from teachable.synthesize.workflows.verifiable import WORKFLOW, VerifiableOptions

BY_RULE = WORKFLOW.with_rules()


def options(**given: Any) -> VerifiableOptions:
    return VerifiableOptions.model_validate(given)


def run(seeds: list[Seed], out: Path) -> Synthesized:
    config = SynthesizeConfig(workflow="verifiable", rules=True)
    gates = Gates(GatesConfig.model_validate({}))
    return asyncio.run(synthesize(BY_RULE, seeds, out, config=config, engines={}, gates=gates))


def prompts(out: Path) -> list[Prompt]:
    return [from_row(Prompt, row) for row in read_rows(out / "prompts.parquet")]


def reasons(out: Path) -> Counter[str]:
    return Counter(row["reason"] for row in read_rows(out / "rejects.jsonl"))


def prompt(family: str = "chain_sum") -> Prompt:
    found = rules.seeds(options(families=(family,), n=1), 0)[0].prompt
    assert found is not None
    return found


def test_all_default_families_give_questions_that_prove_themselves(tmp_path: Path) -> None:
    seeds = rules.seeds(options(n=4 * len(rules.DEFAULT_FAMILIES)), 1)
    assert Counter(seed.prompt.domain for seed in seeds if seed.prompt) == dict.fromkeys(rules.DEFAULT_FAMILIES, 4)
    done = run(seeds, tmp_path)
    made = prompts(tmp_path)
    assert len(made) >= 0.97 * len(seeds)
    assert {one.domain for one in made} == set(rules.DEFAULT_FAMILIES)
    assert verify.prove_on_gold(made) == []
    assert all(one.answer_source == "program" for one in made)
    assert all(one.meta["synthesis"]["proof"] == "program" for one in made)
    assert all(len(one.lineage) == 2 for one in made)
    # Worked responses where somebody can solve it, each right by its own verifier.
    examples = read_rows(tmp_path / "examples.jsonl")
    assert {row["domain"] for row in examples} == {*FAMILIES, *FACTS}
    by_id = {one.id: one for one in made}
    for row in examples:
        said = row["messages"][-1]["content"]
        assert asyncio.run(verify.get(row["verifier"]).verify(said, by_id[row["prompt_id"]])).correct is True
    check = done.stats["steps"][0]
    assert check["in"] == check["out"] + sum(check["dropped"].values()) == len(seeds)


def test_the_seed_decides_and_no_question_comes_twice() -> None:
    given = options(families=("gcd", "lcm", "diameter"), n=60)
    first, again, other = rules.seeds(given, 3), rules.seeds(given, 3), rules.seeds(given, 4)
    assert [seed.id for seed in first] == [seed.id for seed in again]
    assert [seed.id for seed in first] != [seed.id for seed in other]
    assert len({seed.meta["content_key"] for seed in first}) == len(first) == 60


def test_catalog_questions_are_from_the_pool_alone() -> None:
    seeds = rules.seeds(options(families=tuple(FAMILIES), n=200), 0)
    assert {split_of(str(seed.meta["content_key"]), SIDES) for seed in seeds} == {"pool"}


def test_others_fill_in_for_a_level_with_few_questions() -> None:
    found = rules.seeds(options(families=("common_divisor", "tangential"), n=200, level=1), 0)
    names = Counter(seed.prompt.domain for seed in found if seed.prompt)
    assert len(found) == 200
    assert names["common_divisor"] < 50 < names["tangential"]
    few = rules.seeds(options(families=("common_divisor",), n=200, level=1), 0)
    assert len(few) == names["common_divisor"]
    assert {seed.id for seed in few} <= {seed.id for seed in found}


def test_levels_share_and_can_be_chosen() -> None:
    levels = Counter(s.prompt.level for s in rules.seeds(options(families=("gcd", "lcm"), n=16), 0) if s.prompt)
    assert levels == {1: 2, 2: 2, 3: 2, 4: 2, 0: 8}
    only = rules.seeds(options(families=("gcd", "lcm"), n=16, level=3), 0)
    assert {(s.prompt.domain, s.prompt.level) for s in only if s.prompt} == {("gcd", 3)}
    assert len(only) == 16


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"families": ("isosceles_bass",)}, "Did you mean 'isosceles_base'"),
        ({"families": ("countdown",)}, "runs the answer as code"),
        ({"families": ("composite",)}, "can't generate|default settings"),
        ({"families": ("lcm",), "level": 2}, "none of these families has a level 2"),
    ],
)
def test_what_can_not_be_asked_for_is_said_in_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TeachableError, match=said):
        rules.seeds(options(n=2, **given), 0)


def test_a_family_without_answers_of_its_own_gives_nothing(tmp_path: Path) -> None:
    run(rules.seeds(options(families=("rush_hour",), n=3), 0), tmp_path)
    assert reasons(tmp_path) == {"no answer of its own": 3}


def test_a_lenient_scorer_gives_nothing(tmp_path: Path) -> None:
    run(rules.seeds(options(families=("number_format",), n=3), 0), tmp_path)
    assert reasons(tmp_path) == {"its verifier accepts a near miss": 3}


def test_a_wrong_answer_is_not_accepted(tmp_path: Path) -> None:
    good, fact = prompt(), prompt("tangential")
    wrong = [
        replace(good, answer=str(int(str(good.answer)) + 10)),
        replace(fact, answer=str(int(str(fact.answer)) + 1)),
        replace(fact, meta={**fact.meta, "otherwise": fact.answer}),
    ]
    run([seed_of_prompt(one) for one in wrong], tmp_path)
    assert reasons(tmp_path) == {
        "its verifier refuses its own answer": 1,
        "its answer does not fit": 1,
        "the conclusion does not decide the answer": 1,
    }
    assert not prompts(tmp_path)


def test_worked_steps_that_end_elsewhere_are_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules.teacher, "response", lambda steps, answer: "Answer: 123456789")
    run([seed_of_prompt(prompt()), seed_of_prompt(prompt("diameter"))], tmp_path)
    assert reasons(tmp_path) == {"its worked steps are not accepted": 2}
