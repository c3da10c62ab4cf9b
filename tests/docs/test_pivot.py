"""What the documents say of the search and its stages is so: fields and defaults, columns, flags, whole recipes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.pivot.preferences import REASONS
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import make_plan
from teachable.recipe.probed import SAMPLING
from teachable.recipe.stages.pivot import SCHEMAS
from teachable.store.manifest import RunFolder

DOCS = Path(__file__).resolve().parents[2] / "docs"
PIVOT, RECIPE, RUN = ((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("pivot", "recipe", "run-folder"))
COMMANDS = (["pivot"], ["train", "dpo"], ["run"])  # that the documents on the search speak of
# Where a field's default is no single word, the table says it in its own way.
IN_OTHER_WORDS = {"lora"}


def section(text: str, heading: str) -> str:
    """What stands below the heading that names this in backticks."""
    found = re.search(rf"^## [^\n]*`{heading}`[^\n]*\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found, f"no heading names {heading}"
    return found[1]


def rows(text: str) -> dict[str, str]:
    """First column -> second column, of every table; a row of several fields counts for each."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if line.startswith("|") and len(cells) > 1:
            found |= {name: cells[1] for name in re.findall(r"`(\w+)`", cells[0])}
    return found


def said(value: object) -> set[object]:
    """How a table may write a default."""
    return {json.dumps(value), f"`{json.dumps(value)}`", f"`{value}`", "empty" if value == "" else None, f"{value:g}"
            if isinstance(value, float) else None}  # fmt: skip


@pytest.mark.parametrize("kind", ["estimates", "pivot", "judge_pairs", "preferences", "dpo", "judge_dpo"])
def test_every_field_is_listed_with_its_default(kind: str) -> None:
    table = rows(section(RECIPE, kind))
    config = STAGE_KINDS[kind].config
    defaults = config.model_validate({}).model_dump(mode="json")
    assert set(table) - {"field"} == set(defaults)
    wrong = {name: table[name] for name, value in defaults.items() if table[name] not in said(value)}
    assert set(wrong) - IN_OTHER_WORDS == set(), wrong


def test_every_kind_and_its_roles_are_in_the_table() -> None:
    table = next(text for text in RECIPE.split("\n\n") if text.startswith("| kind | its roles"))
    for spec in STAGE_KINDS.values():
        line = next(one for one in table.splitlines() if f"`{spec.kind}`" in one.split("|")[1])
        assert [role for role in spec.roles if f"`{role}`" not in line] == []


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_every_column_of_the_search_is_explained(name: str) -> None:
    text = section(RUN, "pivot/")
    part = text[text.index(f"`{name}.parquet`") :]
    assert [column for column in SCHEMAS[name].names if f"`{column}`" not in part] == []


def test_every_reason_for_no_pair_is_explained() -> None:
    assert [reason for reason in REASONS if f"| `{reason}` |" not in PIVOT] == []


def test_what_must_be_alike_for_attempts_to_serve_is_listed() -> None:
    text = section(RECIPE, "pivot")
    assert [name for name in SAMPLING if f"`{name}`" not in text.rpartition("Where")[2]] == []


def test_every_flag_that_is_named_exists() -> None:
    runner = CliRunner()
    known = "".join(runner.invoke(app, [*command, "--help"]).stdout for command in COMMANDS)
    known = re.sub(r"\s+", " ", known)
    named = set(re.findall(r"--[a-z][a-z-]+", PIVOT))
    assert len(named) > 10 and {flag for flag in named if flag not in known} == set()


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(name: .*?)^```", PIVOT + RECIPE, re.MULTILINE | re.DOTALL))
def test_recipes_load_and_can_be_planned(text: str, tmp_path: Path) -> None:
    document = yaml.safe_load(text) | {"base": "embedded"}  # a folder on nobody's machine
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "1+1?", "answer": "2"}\n' * 5)
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    recipe = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
    assert {stage.name for stage in recipe.stages} >= set(document["stages"])
    assert len(make_plan(recipe, RunFolder(tmp_path / "run"), STAGE_KINDS).to_run) == len(recipe.stages)
