"""The stage `balance` on the folders of other stages: the role `organic`, and every other one synthetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.recipe.test_balanced_file import synthesized
from tests.synthesize.mixing.balance_texts import edited, honest

from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.recipe.config import Resources
from teachable.recipe.spec import StageContext
from teachable.recipe.stages import balance
from teachable.records import Prompt, Solution, content_id
from teachable.store.files import read_json, read_records, read_rows, write_records
from teachable.synthesize.items import user
from teachable.synthesize.mixing.balance_config import BalanceConfig


def tasks(folder: Path, texts: list[str]) -> Path:
    """A folder as the stage `tasks` leaves it."""
    folder.mkdir()
    prompts = [Prompt(content_id(text), "sums", user(text), "5") for text in texts]
    write_records(folder / "prompts.parquet", prompts)
    solutions = [Solution(prompt.id, "Answer: 5", "program", "right") for prompt in prompts[::2]]
    write_records(folder / "solutions.parquet", solutions)
    return folder


def context(folder: Path, inputs: dict[str, Path], said: list[str], **fields: Any) -> StageContext:
    (folder / "balance").mkdir(exist_ok=True)
    return StageContext(
        name="balance",
        config=BalanceConfig.model_validate({"rounds": 20, "topics": 12, **fields}),
        seed=3,
        key="k",
        base="",
        engine=EngineConfig.model_validate({}),
        resources=Resources.model_validate({}),
        run=folder,
        folder=folder / "balance",
        inputs=inputs,
        on_progress=lambda progress: None,
        say=said.append,
    )


def test_every_other_role_is_synthetic(tmp_path: Path) -> None:
    inputs = {
        "questions": synthesized(tmp_path / "q", honest(60, 2), "questions"),
        "organic": tasks(tmp_path / "tasks", honest(60, 1)),
        "variants": synthesized(tmp_path / "v", edited(30, 3), "augment"),
    }
    said: list[str] = []
    outcome = balance.run(context(tmp_path, inputs, said, share=0.6))
    stats = read_json(tmp_path / "balance/stats.json")
    assert stats["rows"] == {"organic": 60, "synthetic": 90} and outcome.prompts == 150
    assert stats["strata"] == {"organic": {"sums": 60}, "synthetic": {"augment/algebra": 30, "questions/algebra": 60}}
    assert outcome.note.startswith("60 organic and 90 synthetic rows, 60.0%")
    assert len(read_records(tmp_path / "balance/prompts.parquet", Prompt)) == 150
    examples = read_rows(tmp_path / "balance/examples.jsonl")
    assert sum(example["messages"][-1]["content"] == "Answer: 5" for example in examples) == 30  # the tasks' own
    assert said == stats["warnings"]


def test_a_collapse_reaches_the_log_and_the_note(tmp_path: Path) -> None:
    inputs = {
        "organic": tasks(tmp_path / "tasks", honest(60, 1)),
        "made": synthesized(tmp_path / "m", edited(60, 2)),
    }
    said: list[str] = []
    outcome = balance.run(context(tmp_path, inputs, said))
    assert "collapsed by" in outcome.note and any("collapsed by distinct_2" in sentence for sentence in said)


def test_the_order_of_the_roles_changes_nothing(tmp_path: Path) -> None:
    inputs = {
        "organic": tasks(tmp_path / "tasks", honest(40, 1)),
        "a": synthesized(tmp_path / "a", honest(40, 2)),
        "b": synthesized(tmp_path / "b", honest(40, 3)),
    }
    found = []
    for order in (inputs, dict(reversed(inputs.items()))):
        balance.run(context(tmp_path, order, []))
        found.append([(tmp_path / "balance" / name).read_bytes() for name in ("prompts.parquet", "examples.jsonl")])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [(["made"], "no stage fills the role organic"), (["organic"], "no stage fills a role beside organic")],
)
def test_both_sides_are_needed(tmp_path: Path, roles: list[str], sentence: str) -> None:
    folder = tasks(tmp_path / "tasks", honest(5, 1))
    with pytest.raises(TeachableError, match=sentence):
        balance.run(context(tmp_path, dict.fromkeys(roles, folder), []))
