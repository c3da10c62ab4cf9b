"""`teachable compare`: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.recipe.planted_runs import SCORED, make, right, scores
from typer.testing import CliRunner, Result

from teachable.cli.main import app

DOCS = Path(__file__).resolve().parents[2] / "docs" / "compare.md"


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two finished runs that differ in the seed, and by which the second is better."""
    one = replace(SCORED, settings={"stages.probe": None, "stages.select": None})
    two = replace(one, settings={**one.settings, "seed": 3}, scores=scores("teachable", right(shift=1)))
    return [str(make(tmp_path / name, run)) for name, run in (("one", one), ("two", two))]


def compare(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments])


def test_it_says_what_changed(runs: list[str]) -> None:
    done = compare(*runs)
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "two against one"
    assert re.fullmatch(r"On pass@1, teachable scored .*, paired\), so two is better\.", lines[3])
    assert re.search(r"^seed +0 +3$", done.stdout, re.MULTILINE)
    assert "\n\nScores\n------\n" in done.stdout and done.stderr == ""


def test_json_is_one_document_with_all_of_it(runs: list[str]) -> None:
    done = compare(*runs, "--json")
    found = json.loads(done.stdout)
    assert [run["run"] for run in found["runs"]] == ["one", "two"]
    assert found["comparisons"][0]["scores"]["headline"]["outcome"] == "better"
    assert found["comparisons"][0]["settings"]["fields"][0]["field"] == "seed"


def test_it_also_writes_a_file(runs: list[str], tmp_path: Path) -> None:
    markdown, document = tmp_path / "new/what.md", tmp_path / "what.json"
    done = compare(*runs, "--out", str(markdown))
    assert done.exit_code == 0 and done.stderr == f"wrote {markdown}\n"
    text = markdown.read_text()
    assert text.startswith("# What changed between these runs\n\n## two against one\n") and "| seed | 0 | 3 |" in text
    assert compare(*runs, "--out", str(document), "--json").stdout == document.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "error: compare: no run is named. Name two run folders or more, the baseline first.\n"),
        (
            ["one"],
            "error: compare: one run alone can't be compared. Name two run folders or more, the baseline first.\n",
        ),
        (["one", "nothing"], "error: nothing: there is no such folder. Name run folders, as `teachable run --out`"),
        (["one", "two", "--out", "page.html"], "error: page.html: a comparison is written as Markdown or JSON. Name a"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    runs: list[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(Path(runs[0]).parent)
    done = compare(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(sentence) and done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_it_loads_no_model_library(runs: list[str]) -> None:
    code = (
        "import sys\nfrom teachable.cli.main import app\n"
        f"app({['compare', *runs]!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'openai', 'datasets', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_documentation_names_flags_that_exist() -> None:
    known = CliRunner().invoke(app, ["compare", "--help"]).stdout
    used = [line for line in DOCS.read_text().splitlines() if line.startswith("teachable compare")]
    named = {flag for line in used for flag in re.findall(r"--[a-z][a-z-]+", line)}
    assert named == {"--out", "--json"} and all(flag in known for flag in named)
