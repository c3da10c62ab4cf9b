"""`teachable tune --add`: what is printed of an addition, and a regression that stops the command or is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.teaching import QUICK, write_material
from typer.testing import CliRunner

from teachable.cli.added import added_text
from teachable.cli.main import app
from teachable.store.files import read_json, read_rows
from teachable.store.manifest import RunFolder

SUM = "separate: the gains of all separate models added up; own: of each domain's own model; additivity: joint over "


def cell(stage: str, n: int, domain: str, mean: float | None, **fields: Any) -> dict[str, Any]:
    """A cell whose interval is five points to each side."""
    ends = {"low": None, "high": None} if mean is None else {"low": mean - 0.05, "high": mean + 0.05}
    return {"stage": stage, "n_domains": n, "domain": domain, "added": n > 0, "mean": mean, **ends, **fields} | {
        "regression": fields.get("regression", False)
    }


def score(n: int, domain: str | None, ratio: float | None, reason: str = "") -> dict[str, Any]:
    ends = {"low": None, "high": None} if ratio is None else {"low": ratio - 0.25, "high": ratio + 0.25}
    own = {f"own_{name}": value for name, value in {"ratio": ratio, **ends, "reason": reason}.items()}
    gains = {"joint_gain": 0.3, "separate_gain": 0.4, "own_gain": 0.35}
    return {"n_domains": n, "domain": domain, **gains, "ratio": ratio, **ends, "reason": reason, **own}


STATS: dict[str, Any] = {
    "way": "weights",
    "settings": {"method": "ties"},
    "seeds": [0, 1, 2],
    "metric": "pass@1",
    "domains": ["dates", "sums"],
    "arms": ["add_weights-1", "add_weights-2"],
    "sizes": [1, 2],
    "matrix": [
        cell("base", 0, "dates", 0.3),
        cell("base", 0, "sums", None),
        cell("add_weights-1", 1, "dates", 0.8),
        cell("add_weights-1", 1, "sums", 0.25, added=False),
        cell("add_weights-2", 2, "dates", 0.5, regression=True),
        cell("add_weights-2", 2, "sums", 0.7),
    ],
    "additivity": [score(2, None, 0.75), score(2, "dates", 0.5), score(2, "sums", None, "there is no gain")],
    "regressions": [{"sentence": "dates fell"}],
}


def test_the_matrix_marks_what_fell_and_what_is_not_added_yet() -> None:
    assert added_text(STATS).splitlines() == [
        "weights (ties): the domains' models merged; 3 seeds",
        "",
        "pass@1, %            base        1 domain       2 domains",
        "dates      30.0 [25, 35]   80.0 [75, 85]   50.0 [45, 55]*",
        "sums                    -  25.0 [20, 30]·  70.0 [65, 75]",
        "",
        "in brackets: 95% intervals over questions and seeds; · not added yet",
        "* dates fell",
        "",
        "gain over the base, points  joint  separate         additivity    own          joint/own",
        "2 domains                   +30.0     +40.0  0.75 [0.50, 1.00]  +35.0  0.75 [0.50, 1.00]",
        "  dates                     +30.0     +40.0  0.50 [0.25, 0.75]  +35.0  0.50 [0.25, 0.75]",
        "  sums                      +30.0     +40.0                  -  +35.0                  -",
        "",
        f"{SUM}separate, 1 where nothing is lost",
        "-: there is no gain",
    ]


def test_without_two_domains_there_is_no_score() -> None:
    stats = {**STATS, "additivity": [], "regressions": [], "arms": STATS["arms"][:1], "sizes": [1], "way": "data"}
    text = added_text(stats | {"seeds": [0], "matrix": STATS["matrix"][:4]})
    assert text.startswith("data: the base trained anew on all their examples; 1 seed\n\npass@1, %")
    assert text.endswith("· not added yet") and "additivity" not in text


@pytest.fixture(scope="module")
def recipe(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two domains that contradict each other, to be tuned and joined."""
    return write_material(tmp_path_factory.mktemp("material"), tokenizer, {**QUICK, "max_steps": 12})


def test_a_regression_stops_the_command_and_nothing_is_made_again_once_it_is_allowed(
    in_process: CliRunner, recipe: Path, tmp_path: Path
) -> None:
    command = ["tune", "--recipe", str(recipe), "--out", "run", "--add", "sequential", "--add", "weights"]
    run = tmp_path / "run"
    stopped = in_process.invoke(app, command)
    assert stopped.exit_code == 2, stopped.output
    assert "add_sequential: after adding sevens (2 domains), nines fell from 100.0% when it was added to " in (
        stopped.stderr
    )
    assert "run the same command with --allow-regression to go on from here" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "add_sequential" not in RunFolder(run).entries()
    assert read_json(run / "add_sequential/stats.json")["regressions"]
    made = {path: path.stat().st_mtime_ns for path in run.glob("models/*/model.safetensors")}
    allowed = in_process.invoke(app, [*command, "--allow-regression"])
    assert allowed.exit_code == 0, allowed.output
    assert all(path.stat().st_mtime_ns == at for path, at in made.items())
    assert {path.parent.name for path in run.glob("models/*/model.safetensors")} - {
        path.parent.name for path in made
    } == {"add_weights-2-0"}
    for name in ("add_sequential", "add_weights"):
        assert added_text(read_json(run / name / "stats.json")) in allowed.stdout
    assert f"* {read_json(run / 'add_sequential/stats.json')['regressions'][0]['sentence']}" in allowed.stdout
    again = in_process.invoke(app, [*command, "--json"])
    assert again.exit_code == 0 and json.loads(again.stdout)["ran"] == []
    # What the addition made is a model like any other, for later stages: `path` says where it is.
    (row,) = read_rows(run / "add_weights/runs.parquet")
    assert row["path"] == read_json(run / "add_weights/stats.json")["path"] == "models/add_weights-2-0"
