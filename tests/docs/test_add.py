"""What docs/add.md shows is so: its Python prints what stands below it, its recipe loads, its names exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import yaml
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.stages.add import ADDITIONS, MATRIX
from teachable.train.tune_config import AddConfig

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "add.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def test_python_says_what_stands_below_it() -> None:
    place = next(place for place, (kind, _) in enumerate(BLOCKS) if kind == "python")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(BLOCKS[place][1], "docs/add.md", "exec"), {})  # the documentation's own text
    assert said.getvalue() == BLOCKS[place + 1][1]


def test_the_recipe_loads(tmp_path: Path) -> None:
    (stages,) = [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml"]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": "skills", **stages}))
    recipe = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
    added = {stage.name: stage.config for stage in recipe.stages if stage.kind == "add"}
    assert added["joined"] == AddConfig(way="data", sizes=(2, 4))
    assert added["merged"] == AddConfig(way="weights", sizes=(2, 4), method="ties", density=0.3)


def test_fields_columns_and_options_have_these_names() -> None:
    assert re.findall(r"^- `(\w+)`:", TEXT, flags=re.MULTILINE) == list(AddConfig.model_fields)
    told = {
        file: re.findall(r"`(\w+)`", cell)
        for file, cell in re.findall(r"^\| `(\w+\.parquet)` \| [^|]* \| (.*) \|$", TEXT, flags=re.MULTILINE)
    }
    assert told == {"matrix.parquet": MATRIX.names, "additions.parquet": ADDITIONS.names}
    ways = re.findall(r"^\| `(\w+)` \| the base|^\| `(sequential)` ", TEXT, flags=re.MULTILINE)
    assert {one or other for one, other in ways} == {"data", "sequential", "weights"}
    options = CliRunner().invoke(app, ["tune", "--help"]).stdout
    for option in set(re.findall(r"(?<=[ `])--[a-z][a-z-]+", TEXT)) - {"--predict"}:
        assert option in options
