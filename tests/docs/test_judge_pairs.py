"""What docs/judge-pairs.md shows is run: its Python, prompts and recipe, and what it says of columns and reasons."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
from tests.engines.faulty import FaultyServer
from tests.prefer.judges import scores, served
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.prefer import pairs as reasons
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.store.files import read_json, read_rows

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "judge-pairs.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


def block(kind: str) -> tuple[str, str]:
    """The first block of that kind, and the text of the block below it."""
    place = next(place for place, (name, _) in enumerate(BLOCKS) if name == kind)
    return BLOCKS[place][1], BLOCKS[place + 1][1] if place + 1 < len(BLOCKS) else ""


def test_python_says_what_stands_below_it() -> None:
    code, shown = block("python")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "docs/judge-pairs.md", "exec"), {})  # the documentation's own text
    assert said.getvalue() == shown


def test_the_command_writes_the_columns_and_says_the_words(tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text(block("json")[0])
    with (
        FaultyServer(answer=lambda body, luck: "[9]\nAnswer: 42") as large,
        FaultyServer(answer=lambda body, luck: "[3]\nAnswer: 41") as small,
        FaultyServer(answer=served(scores)) as judge,
    ):
        engines = [f"openai:{one.model}@{one.url}" for one in (large, small, judge)]
        command = ["judge-pairs", str(tmp_path / "prompts.jsonl"), "--engine", engines[0], "--engine", engines[1]]
        done = CliRunner().invoke(app, [*command, "--judge", engines[2], "--out", str(tmp_path / "pairs")])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == TEXT.split("With 200 sums")[1].split("```")[1].split("\n")[1].split()
    named = set(re.findall(r"`(\w+)`", TEXT.split("## What is written")[1].split("## Options")[0]))
    for table in ("preferences", "responses", "comparisons"):
        [*rows] = read_rows(tmp_path / f"pairs/{table}.parquet")
        for column in rows[0] if rows else ():
            assert column in named or column.removesuffix("_chosen").removesuffix("_rejected") in named
    assert len(read_rows(tmp_path / "pairs/preferences.parquet")) == 2
    assert {"wins", "spending"} <= read_json(tmp_path / "pairs/stats.json").keys()


@pytest.mark.parametrize("name", [name for name in vars(reasons) if name.isupper() and name != "KIND"])
def test_every_reason_is_explained(name: str) -> None:
    reason = getattr(reasons, name)
    words = reason.removeprefix("the judge ").removeprefix("could not tell ")
    assert words in TEXT.split("## Which two make a pair")[1].split("## Responses")[0]


def test_the_recipe_loads(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"name: judging\n{block('yaml')[0]}")
    recipe = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
    config = json.loads(recipe.stage("judge_pairs").config.model_dump_json())
    assert config["engines"][0]["model"] == "large" and config["judge"]["model"] == "judge"
    assert recipe.stage("judge_dpo").needs == {"preferences": "judge_pairs", "base": "dpo", "heldout": "tasks"}
    assert recipe.stage("judge_pairs").needs == {"prompts": "tasks", "base": "dpo"}
