"""What docs/ablate.md says is so: its arms, fields, recipe, commands, and the columns that a real one writes."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.cli.ablations import write
from typer.testing import CliRunner

from teachable.cli.ablating import recipe_of
from teachable.cli.main import app
from teachable.evaluate.ablation import ALPHA, POWER
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.stages.evaluate import SCORES
from teachable.select.config import Arm
from teachable.store.files import read_rows
from teachable.train.config import PretrainConfig, SftConfig
from teachable.train.tune_config import AblateConfig

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "ablate.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    part = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_arms_are_those_of_the_code() -> None:
    assert [cells[0].strip("` ") for cells in rows_under("The arms")] == [
        "teachable", "random", "full", "mastered", "beyond",
    ]  # fmt: skip
    assert {cells[0].strip("` ") for cells in rows_under("The arms")} == set(get_args(Arm))


def test_the_fields_and_their_defaults_are_those_of_the_code() -> None:
    told = {cells[0].strip("` "): cells[1] for cells in rows_under("In a recipe")}
    own = {name: info for name, info in AblateConfig.model_fields.items() if name not in SftConfig.model_fields}
    assert told == {name: str(info.default) for name, info in own.items()}
    assert f"below {ALPHA}" in TEXT and f"found {POWER:.0%} of the time" in TEXT


def test_the_recipe_is_the_commands_own(tmp_path: Path) -> None:
    text = next(text for kind, text in BLOCKS if kind == "yaml")
    (tmp_path / "recipe.yaml").write_text(f"name: ablate\n{text}")
    shown = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
    made = recipe_of(tmp_path / "new")
    assert {stage.name: stage for stage in shown.stages} == {
        stage.name: stage.model_copy(update={"needs": shown.stage(stage.name).needs}) for stage in made.stages
    }
    assert shown.stage("ablate").needs == {"examples": "select", "prompts": "tasks", "base": "pretrain"}


def test_the_commands_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = CliRunner().invoke(app, ["ablate", "--help"]).stdout
    for line in BLOCKS[0][1].splitlines():
        assert line.startswith("teachable ablate ")
        assert all(option in said for option in re.findall(r"--\w+", line))


def test_a_real_ablation_writes_what_is_said(tokenizer: Any, small_config: PretrainConfig, tmp_path: Path) -> None:
    recipe = write(tmp_path, tokenizer, small_config)
    sets = ("select.arms=[teachable,beyond]", "ablate.n_points=1", "ablate.n_bootstrap=100", "select.budget_tokens=400")
    before = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "o"
    command = ["ablate", "--recipe", str(recipe), "--out", str(out), *(t for one in sets for t in ("--set", one))]
    done = CliRunner().invoke(app, command)
    signal.signal(signal.SIGTERM, before)
    assert done.exit_code == 0, done.stderr
    told = {file: cells[1] for cells in rows_under("What is written") for file in re.findall(r"`([\w./]+)`", cells[0])}
    assert all((out / file).is_file() for file in told)
    written = {path.relative_to(out).as_posix() for path in (out / "ablate").iterdir() if path.name != ".key"}
    assert written == {file for file in told if "/" in file}
    columns = {path: list(read_rows(out / path)[0]) for path in told if path.endswith(".parquet")}
    for path in ("ablate/points.parquet", "ablate/comparisons.parquet"):
        assert re.findall(r"`(\w+)`", told[path]) == columns[path]
    the_same = [name for name in columns["ablate/points.parquet"] if name != "accuracy"]
    assert columns["ablate/questions.parquet"] == [*the_same, *re.findall(r"`(\w+)`", told["ablate/questions.parquet"])]
    assert columns["ablate/scores.parquet"] == SCORES.names
