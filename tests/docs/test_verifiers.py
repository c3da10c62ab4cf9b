"""What docs/verifiers.md shows is run: its Python says what stands below it, and its file of answers is verified."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.errors import TeachableError
from teachable.verify.programs import find_sandbox

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "verifiers.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
PYTHON = [
    (code, BLOCKS[place + 1][1] if BLOCKS[place + 1][0] == "" else None)
    for place, (kind, code) in enumerate(BLOCKS)
    if kind == "python"
]


@pytest.mark.parametrize(("code", "shown"), PYTHON)
def test_python_says_what_stands_below_it(code: str, shown: str | None) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "docs/verifiers.md", "exec"), {})  # the documentation's own text
    assert said.getvalue() == shown


def test_the_file_of_answers_is_right_throughout(tmp_path: Path) -> None:
    try:
        find_sandbox()
    except TeachableError as error:
        pytest.skip(f"no sandbox here: {error}")
    rows = [line for kind, text in BLOCKS if kind == "json" for line in text.splitlines()]
    assert len(rows) == 4 and all(json.loads(row)["attempt"] for row in rows)
    if shutil.which("g++") is None:
        rows = [row for row in rows if "g++" not in row]
    (tmp_path / "answers.jsonl").write_text("\n".join(rows))
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "answers.jsonl"), "--out", str(tmp_path / "o"), "--json"])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["right"], found["rows"]) == (len(rows), len(rows)), found["reasons"]
    assert set(found["verifiers"]) == {"math", "choice", "code"}


def test_every_flag_that_is_named_exists() -> None:
    known = CliRunner().invoke(app, ["verify", "--help"]).stdout
    named = set(re.findall(r"--[a-z][a-z-]+", TEXT))
    assert len(named) > 10
    assert {flag for flag in named if flag not in known} == set()
