"""What docs/evaluate.md shows is run: its toy models, the command and its output; its columns, metrics and fields."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.evaluate.tables import pass_ks
from teachable.recipe.stages.evaluate import ATTEMPTS, SCORES
from teachable.store.files import read_json, read_rows

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The output of the worked example, and the folder where it ran."""
    folder = tmp_path_factory.mktemp("example")
    code, command = next(t for kind, t in BLOCKS if kind == "python"), next(t for kind, t in BLOCKS if "scripted:" in t)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(code, "docs/evaluate.md", "exec"), {})
        result = CliRunner().invoke(app, command.split()[1:])
    signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 0, result.stderr
    return result.stdout, folder / "compared"


def test_the_example_says_what_it_says(example: tuple[str, Path]) -> None:
    shown = next(text for kind, text in BLOCKS if text.startswith("model "))
    assert example[0].startswith(shown)


def test_columns_and_entries_have_these_names(example: tuple[str, Path]) -> None:
    told = {
        file: re.findall(r"`(\w+)`", cell)
        for file, cell in re.findall(r"^\| `(\w+\.parquet)` \| [^|]* \| (.*) \|$", TEXT, flags=re.MULTILINE)
    }
    assert told == {"scores.parquet": SCORES.names, "attempts.parquet": ATTEMPTS.names}
    stats = read_json(example[1] / "evaluate/stats.json")
    entries = re.findall(r"`(\w+)`", TEXT.split("`stats.json` holds the means")[1].split("\n\n")[0])
    assert {name for name in entries if name != "task"} <= set(stats)
    section = TEXT.split("## What a score depends on")[1].split("## Files")[0]
    bullets = [
        name for line in re.findall(r"^- (.*?):", section, flags=re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    ]
    assert set(bullets) == set(stats["determined_by"])


def test_metrics_are_those_of_the_formulas(example: tuple[str, Path]) -> None:
    stats = read_json(example[1] / "evaluate/stats.json")
    rows = [row for row in read_rows(example[1] / "evaluate/scores.parquet") if row["arm"] == "tuned"]
    metrics = next(one for one in stats["arms"] if one["arm"] == "tuned")["metrics"]
    assert [f"pass@{k}" for k in (1, *pass_ks(4))] == [name for name in metrics if name.startswith("pass@")]
    assert metrics["pass@1"]["mean"] == pytest.approx(sum(row["n_correct"] / row["n"] for row in rows) / len(rows))
    assert metrics["pass@4"]["mean"] == pytest.approx(sum(row["n_correct"] > 0 for row in rows) / len(rows))
