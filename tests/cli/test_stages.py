"""The starter, the stage commands and `explain`, over the package's own stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Command

from teachable.cli import wiring
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.packaged import packaged_recipe
from teachable.recipe.story import story, story_text
from teachable.records import Attempt, Estimate, Prompt, Solution
from teachable.store.files import read_rows, write_records, write_rows
from teachable.store.manifest import RunFolder, StageEntry

USER = {"role": "user", "content": "1 + 1?"}
# Where the starter departs from the defaults, so that ten prompts go through all stages.
SMALL = {
    "tasks": {"source", "heldout_frac"},
    "probe": {"max_tokens"},
    "select": {"arms", "budget_tokens", "max_epochs"},
    "sft": {"tokens_per_step"},
    "evaluate": {"max_tokens"},
}
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")


def test_init_writes_a_recipe_that_loads_and_explains_every_field(teachable: Command, tmp_path: Path) -> None:
    result = teachable("init", "mine", "--json")
    assert sorted(json.loads(result.stdout)["files"]) == ["README.md", "prompts.jsonl", "recipe.yaml"]
    text = (tmp_path / "mine" / "recipe.yaml").read_text()
    recipe = load_recipe(tmp_path / "mine" / "recipe.yaml", kinds=STAGE_KINDS)
    for stage in recipe.stages:
        defaults = STAGE_KINDS[stage.kind].config.model_validate({}).model_dump()
        given = {name: value for name, value in stage.config.model_dump().items() if value != defaults[name]}
        assert set(given) == SMALL.get(stage.kind, set())
        for name, info in type(stage.config).model_fields.items():
            assert f"    {name}: " in text
            assert info.description, f"{stage.name}.{name} has no description"
            assert " ".join(info.description.split()[:4]) in text
    assert len(read_rows(tmp_path / "mine" / "prompts.jsonl")) == 10
    assert max(len(line) for line in text.splitlines()) <= 120


def test_init_overwrites_nothing(teachable: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "prompts.jsonl").write_text("precious")
    result = teachable("init", "mine")
    assert result.returncode == 2
    assert "prompts.jsonl is there already and would be overwritten" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["prompts.jsonl"]


def test_the_starter_can_be_planned_and_its_prompts_are_good(teachable: Command, tmp_path: Path) -> None:
    teachable("init", "mine")
    document = json.loads(teachable("plan", "mine/recipe.yaml", "--json").stdout)
    assert document["stages"][0]["prompts"] == 10
    assert {stage["action"] for stage in document["stages"]} == {"run"}
    ran = teachable("tasks", "mine/prompts.jsonl", "--out", "o", "--set", "tasks.heldout_frac=0.4")
    assert ran.returncode == 0, ran.stderr
    # Every response that comes with the starter is accepted by the verifier.
    assert len(read_rows(tmp_path / "o/tasks/solutions.parquet")) == len(
        read_rows(tmp_path / "o/tasks/prompts.parquet")
    )


@pytest.mark.parametrize("fast", [False, True])
def test_the_packaged_quickstart_loads(fast: bool) -> None:
    path, layers = packaged_recipe("quickstart", fast=fast)
    recipe = load_recipe(path, kinds=STAGE_KINDS, layers=layers)
    assert [stage.name for stage in recipe.stages] == [
        "tasks", "pretrain", "probe", "select", "sft", "evaluate", "report",
    ]  # fmt: skip


def test_every_kind_has_a_runner() -> None:
    for kind in STAGE_KINDS:
        assert callable(wiring.runner_for(kind))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no file or folder"),
        ("", "the file holds no prompts"),
        ('{"prompt": "a", "answer": "b"}\n{"prompt": \n', "p.jsonl:2: this line is no JSON"),
        ('{"answer": "a"}\n', "no column holds the prompts"),
        ('{"prompt": "a", "id": 1}\n{"prompt": "b", "id": 1}\n', "the id '1' was used by row 1 for another prompt"),
    ],
)
def test_bad_prompts_are_a_sentence(teachable: Command, tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "p.jsonl").write_text(content)
    result = teachable("tasks", "p.jsonl", "--out", "o")
    assert result.returncode == 2
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("without", MODEL_FILES)
def test_a_base_that_lacks_something_is_refused_before_anything_runs(
    teachable: Command, tmp_path: Path, without: str
) -> None:
    (tmp_path / "m").mkdir()
    for name in set(MODEL_FILES) - {without}:
        (tmp_path / "m" / name).touch()
    result = teachable("probe", "--base", "m", "--out", "o")
    assert result.returncode == 2
    assert "error: --base: base: the base folder" in result.stderr
    assert not (tmp_path / "o").exists()


def test_evaluate_wants_a_model(teachable: Command) -> None:
    result = teachable("evaluate", "--out", "o")
    assert (result.returncode, result.stderr) == (
        2,
        "error: evaluate: no model is named. Name the base first, then the others.\n",
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with one pool prompt that is known through and through, and a held-out one."""
    folder = RunFolder(tmp_path / "run")
    pool = [Prompt(f"abc{i}", "sums", (USER,), "2", level=1, meta={"k": 1}) for i in range(2)]
    answers = [("2", True), ("3", False), (None, None)]
    common = {"domain": "sums", "level": 1}
    decision = {"prompt_id": "abc0", **common, "zone": "teachable", "decision": "in", "reason": "it can almost do it"}
    score = {"model": "base", "arm": "base", "seed": 0, "prompt_id": "def0", **common, "n": 4, "n_correct": 3}
    rows: dict[str, dict[str, Any]] = {
        "tasks": {
            "prompts": pool,
            "heldout": [Prompt("def0", "sums", (USER,), "2")],
            "solutions": [Solution("abc0", "1 + 1\n= 2", "teacher", "exact")],
        },
        "probe": {
            "attempts": [
                Attempt("abc0", i, "e", 0, f"it is {answer}", (1,), "stop", correct, answer, "")
                for i, (answer, correct) in enumerate(answers)
            ],
            "estimates": [Estimate("abc0", "sums", 1, 2, 1, 1, 1.5, 1.5, 0.5, "2", "teachable", "1 of 2")],
        },
        "select": {"decisions": [{**decision, "n_tokens": 9, "arms": ["teachable-0"]}]},
        "evaluate": {"scores": [{**score, "n_undecided": 1, "greedy": True, "majority": True, "n_tokens": 9}]},
    }
    with folder.locked("mine"):
        for stage, files in rows.items():
            place = folder.begin(stage, "k")
            for name, found in files.items():
                (write_rows if isinstance(found[0], dict) else write_records)(place / f"{name}.parquet", found)
            folder.complete(stage, StageEntry(kind=stage, key="k", version=1))
    (tmp_path / "run" / "run.yaml").write_text(yaml.safe_dump({"name": "mine", "stages": {"tasks": None}}))
    return tmp_path / "run"


def test_explain_tells_the_whole_story(run: Path) -> None:
    told = story_text(story(run, "abc0"))
    for part in (
        "abc0  sums, level 1, pool",
        "user: 1 + 1?",
        "reference answer (organic): 2",
        "solution (teacher): 1 + 1\n    = 2",
        "right             2  it is 2",
        "wrong             3  it is 3",
        "undecided",
        "estimate: 1 of 2 right, 1 undecided, pass rate about 0.50",
        "zone: teachable (1 of 2)",
        "decision: in (it can almost do it)",
        "sets that hold it: teachable-0",
    ):
        assert part in told


def test_explain_a_held_out_question_by_the_beginning_of_its_id(run: Path, teachable: Command) -> None:
    told = json.loads(teachable("explain", "run", "def", "--json").stdout)
    assert (told["id"], told["side"], told["estimate"]) == ("def0", "held out", None)
    assert told["scores"][0]["n_correct"] == 3
    assert "base             3 of 4 right, 1 undecided, greedy right" in teachable("explain", "run", "def0").stdout


@pytest.mark.parametrize(
    ("prefix", "sentence"),
    [
        ("abc", "2 prompts begin with 'abc': abc0, abc1. Give more letters."),
        ("ab", "no prompt of this run has the id 'ab'. Give at least 3 letters of it."),
        ("zzz9", "no prompt of this run has the id 'zzz9'"),
    ],
)
def test_an_ambiguous_or_unknown_id_is_a_sentence(run: Path, teachable: Command, prefix: str, sentence: str) -> None:
    result = teachable("explain", "run", prefix)
    assert (result.returncode, result.stdout) == (2, "")
    assert sentence in result.stderr


def test_a_report_of_a_run_that_is_under_way_shows_what_is_there(run: Path, teachable: Command) -> None:
    result = teachable("report", "run", "--json")
    assert result.returncode == 0, result.stderr
    assert (run / "report.html").stat().st_size > 1000
    assert "evaluate/stats.json" in json.loads(result.stdout)["missing"]
