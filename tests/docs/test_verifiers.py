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
from teachable.verify import check
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


# The table of `math`, row by row.
EQUAL = [
    *[("1/2", other) for other in ("0.5", r"\frac12", "½", "50%")],
    *[("1,000", other) for other in ("1 000", "1{,}000", "1000")],
    *[("1.5e3", r"1.5 \times 10^3"), ("1 1/2", "3/2"), ("0.333333", "1/3")],
    *[("50%", "50"), ("5 cm", "5"), ("$5", "5 dollars"), ("$5", "5"), ("5 m", "500 cm")],
    *[("{1, 2}", other) for other in ("{2, 1}", "1, 2", "x = 1 or x = 2")],
    *[(r"2 \pm 1", "{1, 3}"), ("2 < x < 3", "(2, 3)"), ("x > 2", r"(2, \infty)")],
    *[("x = 5", "5"), ("y = 2x + 1", "2x + 1"), ("y = 2x + 1", "y - 2x = 1")],
    *[("x^2 + 2x + 1", "(x + 1)^2"), ("x^2/2 + C", "x^2/2")],
    *[("No solution.", "no solution"), (r"\text{even}", "even"), ("monday", "Monday")],
]
UNEQUAL = [
    *[("0.1", "0.10000001"), ("0.33", "1/3"), ("5 cm", "5 m"), ("$5", "€5"), ("{5}", "5"), ("(1, 2)", "(2, 1)")],
    *[("[1, 2]", "(1, 2)"), ("x", "X"), (r"\ln x", r"\log_{10} x"), ("yes", "true")],
    (r"\begin{pmatrix} 1 & 2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
]


@pytest.mark.parametrize(("pairs", "equal"), [(EQUAL, True), (UNEQUAL, False)])
def test_what_math_takes_for_equal(pairs: list[tuple[str, str]], equal: bool) -> None:
    told = {(a, b): check(f"Answer: {a}", b).correct for pair in pairs for a, b in (pair, pair[::-1])}
    assert {pair: verdict for pair, verdict in told.items() if verdict is not equal} == {}


def test_every_flag_that_is_named_exists() -> None:
    known = CliRunner().invoke(app, ["verify", "--help"]).stdout
    named = set(re.findall(r"--[a-z][a-z-]+", TEXT))
    assert len(named) > 10
    assert {flag for flag in named if flag not in known} == set()
