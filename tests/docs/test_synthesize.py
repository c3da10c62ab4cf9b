"""What docs/synthesize.md says is so: workflows, gates, files, commands, and its own workflow, which runs."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest
from tests.engines.faulty import FaultyServer
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.named_workflow import workflow_of
from teachable.store.files import read_rows
from teachable.synthesize import SynthesizeConfig
from teachable.synthesize.config import GatesConfig, WritingConfig
from teachable.synthesize.gates import GATES
from teachable.synthesize.tables import FILES
from teachable.synthesize.workflows import NAMES

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "synthesize.md").read_text(encoding="utf-8")
RECIPE = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
KINDS = {"documents": "text", "code": "code", "prompts": "prompt", "a policy": "text"}


def rows_under(heading: str, text: str = TEXT) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_workflows_are_those_that_there_are() -> None:
    rows = rows_under("The workflows")
    assert [cells[0].strip("` ") for cells in rows] == list(NAMES)
    for name, starts, *_ in rows:
        takes = set(workflow_of(SynthesizeConfig(workflow=name.strip("` "))).takes)
        assert {KINDS[one] for one in re.split(r", (?:or )?", starts) if one in KINDS} == takes


def test_gates_and_files_are_those_of_the_code() -> None:
    assert [cells[0] for cells in rows_under("What happens to a reply")] == list(GATES)
    assert {cells[0].strip("` ") for cells in rows_under("What is written")} == {*FILES, "stats.json"}


def test_every_field_that_is_named_exists() -> None:
    for part, kind in (("gates", GatesConfig), ("writing", WritingConfig)):
        for name in re.findall(rf"`{part}\.(\w+)", TEXT):
            assert name in kind.model_fields


@pytest.mark.parametrize("kind", ["documents", "synthesize", "balance"])
def test_the_fields_of_the_stages_are_in_the_recipe_page(kind: str) -> None:
    told = {name for cells in rows_under(f"`{kind}`", RECIPE) for name in re.findall(r"`([\w.]+)`", cells[0])}
    fields: set[str] = set()
    for name in STAGE_KINDS[kind].config.model_fields:
        inner = {"gates": GatesConfig, "writing": WritingConfig}.get(name)
        fields |= {f"{name}.{one}" for one in inner.model_fields} if inner else {name}
    assert told == fields


def test_the_commands_are_understood() -> None:
    for command in ("synthesize", "balance", "run", "plan"):
        said = CliRunner().invoke(app, [command, "--help"]).stdout
        lines = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]
        for line in lines:
            if line.startswith(f"teachable {command} "):
                assert all(option in said for option in re.findall(r"--[\w-]+", line)), line


def test_the_example_without_a_model_is_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    command = BLOCKS[0][1].split()[1:]
    done = CliRunner().invoke(app, [text.replace("n=300", "n=60") for text in command])
    signal.signal(signal.SIGTERM, before)
    assert done.exit_code == 0, done.stderr
    assert {path.name for path in (tmp_path / "made").iterdir()} >= {*FILES, "stats.json"}
    assert len(read_rows(tmp_path / "made/prompts.parquet")) > 50


def test_the_own_workflow_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "riddles.py").write_text(next(text for kind, text in BLOCKS if kind == "python"))
    (tmp_path / "mine/riddles").mkdir(parents=True)
    (tmp_path / "mine/riddles/write.jinja").write_text("A riddle.\n===\n{{ shown('passage', text) }}\n{{ form }}")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("A kettle stands on the stove and sings when the water in it boils. " * 3)

    def answer(body: dict[str, object], luck: object) -> str:
        return json.dumps({"riddle": "It has no voice, and sings when it is hot. What is it?", "answer": "kettle"})

    with FaultyServer(answer=answer, model="m") as server:
        before = signal.getsignal(signal.SIGTERM)
        command = "synthesize riddles.py:riddles docs/ --templates mine --out made --engine"
        assert command.rpartition(" --engine")[0].split()[1:4] == ["riddles.py:riddles", "docs/", "--templates"]
        done = CliRunner().invoke(app, [*command.split(), f"openai:m@{server.url}"])
        signal.signal(signal.SIGTERM, before)
    assert done.exit_code == 0, done.stderr
    [row] = read_rows(tmp_path / "made/prompts.parquet")
    assert row["answer"] == "kettle"
