"""What docs/tune.md shows is so: its command runs, its lines are the command's, its tables name what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.teaching import QUICK, write_estimates, write_material
from typer.main import get_command
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.recipe.training_tables import CURVES, EVALUATIONS, RUNS
from teachable.stats import t_quantile
from teachable.store.files import read_json
from teachable.train.config import LoraConfig
from teachable.train.tune_config import TuneConfig

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "tune.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
SHOWN = [text.rstrip("\n") for kind, text in BLOCKS if kind == "text"]
DOMAINS = ("maths", "code")


def as_pattern(shown: str) -> str:
    """A line of the page with any numbers, and any id, in the place of its own."""
    number = r"\\d[\\d,]*(\\.\\d+)?"
    return re.sub(r"\d[\d,]*(\\\.\d+)?", number, re.escape(shown).replace(re.escape("5f0c..."), r"[\w.]+"))


@pytest.fixture(scope="module")
def place(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page's command finds its prompts, and probing is done."""
    folder = tmp_path_factory.mktemp("place")
    write_material(folder, tokenizer, {**QUICK, "max_steps": 8}, DOMAINS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TEACHABLE_CACHE", str(folder / "cache"))
        result = CliRunner().invoke(app, ["run", "recipe.yaml", "--out", "runs/mine", "--until", "select"])
    assert result.exit_code == 0, result.output
    return folder


def test_the_command_runs_and_its_lines_are_those_that_are_shown(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("TEACHABLE_CACHE", str(place / "cache"))
    [command] = [text for kind, text in BLOCKS if kind == "" and text.startswith("teachable tune")]
    arguments = shlex.split(command.replace("/models/my-model", "base"))[1:]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()[-2:]
    assert [line.partition(":")[0] for line in lines] == list(DOMAINS)
    pattern = as_pattern(SHOWN[0]).replace("a\\ plateau", ".+").replace("\\+", "[+-]")
    assert re.fullmatch(pattern, lines[0])
    run = place / "runs/mine"
    assert {path.name for path in (run / "models").iterdir()} == {"tune-maths-0", "tune-code-0"}
    told = {
        file: set(re.findall(r"`(\w+)`", cell.partition(" (a domain")[0]))
        for file, cell in re.findall(r"^\| `(\w+\.json)` \| (.*) \|$", TEXT, flags=re.MULTILINE)
    }
    assert told["stats.json"] <= set(read_json(run / "tune/stats.json"))
    for name in re.findall(r"`(\w+\.(?:parquet|json))`", TEXT.split("## What comes out")[1]):
        assert (run / "tune" / name).is_file(), name
    # And the refusal of a changed selection.
    write_estimates(place / "estimates.parquet", domains=DOMAINS, left_out=6)
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert re.fullmatch(as_pattern(SHOWN[1]), refused.stderr.splitlines()[-1])


def test_the_flags_are_those_of_the_command() -> None:
    options = {option for one in get_command(app).commands["tune"].params for option in one.opts}  # type: ignore[attr-defined]
    table = TEXT.split("| flag | what it is |")[1].split("\n\n")[0]
    assert {name for name in re.findall(r"`(--[\w-]+)`", table)} >= options - {"domains", "--help"}
    assert {name for name in re.findall(r"^\| `(--[\w-]+)`", table, flags=re.MULTILINE)} <= options


def test_settings_and_columns_have_these_names() -> None:
    named = re.findall(r"`(\w+)(?:\.(\w+))?`", "".join(re.findall(r"^- (.*?):? ", TEXT, flags=re.MULTILINE)))
    assert len(named) > 8
    for name, inner in named:
        assert name in TuneConfig.model_fields
        assert not inner or inner in LoraConfig.model_fields
    tables = {
        file: set(re.findall(r"`(\w+)`", cell))
        for file, cell in re.findall(r"^\| `(\w+\.parquet)` \| (.*) \|$", TEXT, flags=re.MULTILINE)
    }
    assert tables["runs.parquet"] == {*RUNS.names, "plateau", "max_steps", "max_epochs"}
    assert tables["curves.parquet"] == set(CURVES.names)
    assert tables["evaluations.parquet"] == set(EVALUATIONS.names)


def test_what_is_said_of_twenty_questions_is_so() -> None:
    assert t_quantile(0.9, 19) / 3 / 20**0.5 == pytest.approx(0.1, abs=0.005)
    assert TuneConfig().gain_confidence == 0.8
