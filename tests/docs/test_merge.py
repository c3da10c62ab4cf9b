"""What docs/merge.md shows is run: models, commands, output, Python; and its tables name what there is."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.tuned_runs import tuned_run
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.engines.layers import GROUPS
from teachable.merge import METHODS
from teachable.merge.config import ABSOLUTE, DEFAULT_DENSITY, NEED_BASE
from teachable.merge.methods import PARALLEL
from teachable.recipe.predicting import REPEAT_LEAST, SIGNALS
from teachable.store.files import read_json
from teachable.train.gradients import MAX_LENGTH
from teachable.train.sketches import WIDTH

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "merge.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the page's models were made."""
    folder = tmp_path_factory.mktemp("example")
    models = next(text for kind, text in BLOCKS if kind == "python")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(models, "docs/merge.md", "exec"), {})
    return folder


def after(start: str) -> str:
    """The block that follows the one that begins so: what it puts out."""
    texts = [text for _, text in BLOCKS]
    return texts[next(i for i, text in enumerate(texts) if text.startswith(start)) + 1]


def test_the_prediction_is_what_is_shown(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example)
    before = signal.getsignal(signal.SIGTERM)
    command = next(text for _, text in BLOCKS if text.startswith("teachable merge --predict"))
    result = CliRunner().invoke(app, command.split()[1:])
    signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == after("teachable merge --predict")
    first = result.stdout.splitlines()[0]
    told = re.findall(r"^\| `([\w ]+)` \|", TEXT.split("## Will they clash?")[1].split("\n## ")[0], flags=re.MULTILINE)
    assert re.split(r"\s{2,}", first) == ["pair", *told]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of three tuned domains."""
    return tuned_run(tmp_path_factory.mktemp("tuned") / "run")


def test_a_runs_columns_are_those_that_are_told(tuned: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(app, ["merge", "--predict", str(tuned), "--probe-examples", "8"])
    signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 0, result.stderr
    headings = [re.split(r"\s{2,}", table.splitlines()[0]) for table in result.stdout.split("\n\n")[:3]]
    section = TEXT.split("## Will the domains of a run clash?")[1].split("\n## ")[0]
    parts = section.split("**Weights, wording**"), section.split("**Domains**")
    assert _told(parts[0][0]) | {"gradients", "95% interval"} == set(headings[0])
    assert set(re.findall(r"`([^`]+)`", parts[0][1].split("\n\n")[0])) == set(headings[1]) - {"weights, wording"}
    assert _told(parts[1][1]) | {"domain", "examples", "probed"} == set(headings[2])
    assert f"{WIDTH:,} parameters" in section and f"at most {len(GROUPS) * WIDTH / 1e6:.1f} million numbers" in section
    assert f"longer than {MAX_LENGTH:,} tokens" in section and f"below {REPEAT_LEAST} a note" in section


def _told(text: str) -> set[str]:
    """The columns that a table of the page names, several in a cell."""
    cells = re.findall(r"^\| (`.+?`) \|", text, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_a_runs_signals_are_columns(tuned: Path) -> None:
    names: dict[str, Any] = {}
    code = [text for kind, text in BLOCKS if kind == "python"][2]
    exec(compile(code, "docs/merge.md", "exec"), names)
    seen = {("sums", "more sums"): 1.0, ("sums", "spelling"): 0.5, ("more sums", "spelling"): 0.4}
    found = names["correlations"](tuned, seen)
    assert set(found) == set(SIGNALS) and found["prompts_shared"].rho == pytest.approx(0.87, abs=0.2)


def test_the_python_runs(example: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(example)
    code = [text for kind, text in BLOCKS if kind == "python"][1]
    exec(compile(code, "docs/merge.md", "exec"), {})
    assert capsys.readouterr().out == after("from teachable.merge")
    section = TEXT.split("`merge.json` says what was merged:")[1].split("\n\n")[1]
    fields = {name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"\w+", cell)}
    assert fields == set(read_json(Path("both/merge.json"))) | {"seed"}  # ties draws nothing


def test_methods_and_defaults_are_those_of_the_code() -> None:
    rows = {
        cells[0].strip("` "): cells[2].strip()
        for line in TEXT.split("## Methods")[1].split("## What is checked")[0].splitlines()
        if line.startswith("| `") and len(cells := line.strip("|").split("|")) == 4
    }
    rows.pop("--method")
    assert list(rows) == list(METHODS)
    assert {method for method, weights in rows.items() if weights == "factors"} == ABSOLUTE
    assert f"within {PARALLEL:.4f} radians" in TEXT
    assert DEFAULT_DENSITY == {"ties": 0.2, "dare": 0.5, "dare_ties": 0.5}
    assert "`--density` is 0.2 for `ties` and 0.5 for `dare` and `dare_ties`" in TEXT
    assert set(METHODS) - NEED_BASE == {"linear", "slerp"} and "`linear` and `slerp` need no base" in TEXT


def test_the_flags_exist() -> None:
    known = CliRunner().invoke(app, ["merge", "--help"]).stdout
    named = {flag for flag in re.findall(r"--[a-z]+(?:-[a-z]+)*", TEXT)}
    told = {"--base", "--method", "--out", "--weights", "--scale", "--density", "--seed", "--predict"}
    assert named == told | {"--probe-examples", "--seed-of-model", "--json"}
    assert all(flag in known for flag in named)
