"""The tasks stage: benchmarks among the held-out questions, no pool at all, and what enters the stage's key."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.recipe.watch import Watch

from teachable.cli import wiring
from teachable.errors import TeachableError
from teachable.recipe.config import Recipe
from teachable.recipe.keys import ingredients, key_of
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import make_plan
from teachable.recipe.run import RunSummary, run_recipe
from teachable.records import Prompt
from teachable.store.files import read_json, read_records
from teachable.store.manifest import RunFolder

NAMES = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Fay", "Gus", "Hana", "Ivo", "Jutta", "Kim", "Lotte")
THINGS = ("kites", "lanterns", "melons", "needles", "oars", "pebbles", "quilts", "ropes", "saddles", "tulips", "urns")


def story(i: int) -> dict[str, str]:
    """A question that shares no more than its form with the others."""
    name, thing = NAMES[i % 12], THINGS[i // 12 * 5 % 11]
    n = 3 + i
    text = f"{name} carries {n} {thing} over hill number {i} before noon. After lunch {name} finds {i} more."
    return {"prompt": f"{text} How many now?", "answer": str(n + i)}


def gsm8k(i: int) -> dict[str, str]:
    return {"question": story(i)["prompt"], "answer": f"They add up.\n#### {story(i)['answer']}"}


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


Make = Callable[..., Recipe]


@pytest.fixture
def recipe_of(tmp_path: Path) -> Make:
    def make(fields: dict[str, Any], seed: int = 0) -> Recipe:
        document = {"name": "mine", "seed": seed, "stages": {"tasks": fields}}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
        return load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)

    return make


def carry_out(recipe: Recipe, folder: Path, watch: Watch | None = None) -> RunSummary:
    return run_recipe(recipe, RunFolder(folder), STAGE_KINDS, wiring.runner_for, watch or Watch())


def key(recipe: Recipe) -> str:
    stage = recipe.stage("tasks")
    return key_of(ingredients(recipe, stage, STAGE_KINDS["tasks"], {}, {}))


def test_benchmarks_alone_are_held_out_and_described(recipe_of: Make, tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", [gsm8k(i) for i in range(12)])
    write(tmp_path / "own.jsonl", [story(i) for i in range(20, 25)])
    fields = {"source": "none", "benchmarks": ["gsm8k=test.jsonl", "own.jsonl", "gym:chain_sum"], "limit": 8}
    summary = carry_out(recipe_of(fields), tmp_path / "run")
    heldout = read_records(tmp_path / "run/tasks/heldout.parquet", Prompt)
    names = [prompt.meta["benchmark"] for prompt in heldout]
    assert names == ["gsm8k"] * 8 + ["own"] * 5 + ["gym:chain_sum"] * 8
    assert [prompt.domain for prompt in heldout] == names
    assert read_records(tmp_path / "run/tasks/prompts.parquet", Prompt) == []
    stats = read_json(tmp_path / "run/tasks/stats.json")
    assert (stats["n_pool"], stats["n_heldout"], stats["source"]) == (0, 21, "none")
    described = {one["name"]: one for one in stats["benchmarks"]}
    assert list(described) == ["gsm8k", "own", "gym:chain_sum"]
    assert described["gsm8k"]["n_questions"] == 8 and described["gsm8k"]["n_rows"] == 12
    assert described["gsm8k"]["unproved"] == [] and described["gsm8k"]["data_digest"]
    assert summary.entries["tasks"].note == (
        "0 prompts in the pool, 21 held out, 0 solutions; benchmarks: gsm8k (8), own (5), gym:chain_sum (8)"
    )


def test_a_source_and_a_benchmark_stand_beside_each_other(recipe_of: Make, tmp_path: Path) -> None:
    write(tmp_path / "p.jsonl", [story(i) for i in range(40)])
    write(tmp_path / "test.jsonl", [gsm8k(i) for i in range(100, 106)])
    carry_out(recipe_of({"source": "p.jsonl", "benchmarks": ["gsm8k=test.jsonl"]}), tmp_path / "run")
    heldout = read_records(tmp_path / "run/tasks/heldout.parquet", Prompt)
    stats = read_json(tmp_path / "run/tasks/stats.json")
    assert stats["n_heldout"] == len(heldout) and stats["n_pool"] + len(heldout) == 46
    assert [prompt.meta.get("benchmark") for prompt in heldout[-6:]] == ["gsm8k"] * 6
    assert not any("benchmark" in prompt.meta for prompt in heldout[:-6])
    assert stats["domains"]["gsm8k"]["heldout"] == 6


def test_a_reference_answer_that_the_verifier_rejects_is_kept_and_told(recipe_of: Make, tmp_path: Path) -> None:
    write(tmp_path / "own.jsonl", [story(i) | ({"answer": "\\boxed{"} if i == 2 else {}) for i in range(5)])
    watch = Watch()
    carry_out(recipe_of({"source": "none", "benchmarks": ["own.jsonl"]}), tmp_path / "run", watch)
    (described,) = read_json(tmp_path / "run/tasks/stats.json")["benchmarks"]
    assert described["n_questions"] == 5
    assert described["unproved"] == [{"reason": "its own answer: the answer box is never closed", "count": 1}]
    (sentence,) = watch.sentences
    assert sentence.startswith("own: the verifier is wrong on 1 of 5 reference answers, as on ")
    assert sentence.endswith("(its own answer: the answer box is never closed); these questions are kept")


# ---- keys ----


def test_a_benchmarks_data_and_limit_enter_the_key(recipe_of: Make, tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", [gsm8k(i) for i in range(5)])
    fields: dict[str, Any] = {"source": "none", "benchmarks": ["gsm8k=test.jsonl"]}
    recipe = recipe_of(fields)
    assert recipe.stage("tasks").config.benchmarks == (f"gsm8k={path}",)
    before = key(recipe)
    assert key(recipe_of(fields)) == before
    assert key(recipe_of(fields | {"limit": 3})) != before
    write(path, [gsm8k(i) for i in range(6)])
    assert key(recipe_of(fields)) != before
    write(path, [gsm8k(i) for i in range(5)])
    assert key(recipe_of(fields)) == before


def test_a_resolved_recipe_means_the_same(recipe_of: Make, tmp_path: Path) -> None:
    write(tmp_path / "own.jsonl", [story(1)])
    recipe = recipe_of({"source": "none", "benchmarks": ["own.jsonl", "gsm8k", "gym:gcd"], "limit": 3})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/run.yaml").write_text(yaml.safe_dump(recipe.document(), sort_keys=False))
    assert load_recipe(tmp_path / "elsewhere/run.yaml", kinds=STAGE_KINDS) == recipe


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"source": "none"}, "there is neither a source nor a benchmark"),
        ({"benchmarks": ["gsm8k", "gsm8k"]}, "the benchmark 'gsm8k' is named twice"),
        ({"benchmarks": ["gsm8k=gone.jsonl"]}, "there is no file or folder"),
        ({"benchmarks": ["gsm8k"], "limit": 0}, "limit: input should be greater than or equal to 1"),
    ],
)
def test_a_mistake_is_a_sentence(recipe_of: Make, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TeachableError) as caught:
        recipe_of(fields)
    assert sentence in str(caught.value)


def test_a_plan_counts_the_benchmarks_questions(recipe_of: Make, tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", [gsm8k(i) for i in range(30)])

    def prompts(**fields: Any) -> int:
        recipe = recipe_of({"source": "none", **fields})
        return make_plan(recipe, RunFolder(tmp_path / "run"), STAGE_KINDS).stages[0].forecast.prompts

    assert prompts(benchmarks=["gsm8k=test.jsonl"]) == 30
    assert prompts(benchmarks=["gsm8k=test.jsonl", "gym:gcd"], limit=20) == 40
    assert prompts(benchmarks=["gsm8k"]) == 1000
