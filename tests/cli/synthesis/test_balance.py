"""`teachable balance` as a user runs it: what it prints, settings, and mistakes in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from tests.recipe.test_balanced_file import file_of, synthesized
from tests.synthesize.mixing.balance_texts import edited, honest
from typer.testing import CliRunner

from teachable.cli.balancing import settings
from teachable.cli.main import app
from teachable.errors import TeachableError
from teachable.store.files import read_json, read_rows

QUICK = ("--set", "balance.rounds=20", "--set", "balance.topics=12")


@pytest.fixture(autouse=True)
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Organic rows, honest synthetic ones in a folder, and one sentence with small edits in a file."""
    monkeypatch.setenv("TEACHABLE_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path)
    file_of(tmp_path / "organic.jsonl", honest(60, 1))
    synthesized(tmp_path / "made", honest(60, 2))
    file_of(tmp_path / "collapsed.jsonl", edited(60, 3))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["balance", *arguments, *QUICK])


def test_a_mix_and_its_diversity() -> None:
    done = run("--organic", "organic.jsonl", "--synthetic", "made", "--share", "0.25", "--out", "o")
    assert done.exit_code == 0, done.output
    assert len(read_rows(Path("o/prompts.parquet"))) == 80
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["side", "domain", "rows"],
        ["organic", "d0", "30"],
        ["organic", "d1", "30"],
        ["synthetic", "augment/algebra", "20"],
    ]
    measures = [line.split()[0] for line in lines if "% to " in line]
    assert measures == ["distinct_1", "distinct_2", "distinct_3", "incompressible", "novelty", "topics"]
    assert "at 30 texts a side; synthetic rows reach the topics of" in done.stdout
    assert "! 40 synthetic rows are left out: more than the share has room for" in lines
    assert lines[-1].startswith("balance: ") and lines[-1].endswith(
        "60 of 60 organic and 20 of 60 synthetic rows, 25.0% synthetic by examples, in o/examples.jsonl"
    )
    assert "collapsed" not in done.stdout


def test_a_collapse_is_told_and_still_written() -> None:
    done = run("--organic", "organic.jsonl", "--synthetic", "collapsed.jsonl", "--out", "o", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert "novelty" in document["collapsed"] and document["out"] == "o" and document["up_to_date"] is False
    assert any("the synthetic rows have collapsed by novelty" in one for one in document["warnings"])
    again = run("--organic", "organic.jsonl", "--synthetic", "collapsed.jsonl", "--out", "o")
    assert "everything is up to date" in again.stdout
    assert any(line.startswith("novelty") and line.endswith("collapsed") for line in again.stdout.splitlines())
    assert "! the synthetic rows have collapsed by novelty" in again.stdout


def test_several_files_and_columns() -> None:
    file_of(Path("more.jsonl"), [f"{text} again" for text in honest(20, 5)])
    rows = [{"frage": text} for text in honest(20, 6)]
    Path("other.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("--organic", "organic.jsonl", "--organic", "more.jsonl", "--synthetic", "made", "--out", "o", "--json")
    assert json.loads(done.stdout)["n_organic"] == 80
    mapped = run("--organic", "other.jsonl", "--synthetic", "other.jsonl", "--map", "prompt=frage", "--out", "p")
    assert mapped.exit_code == 2 and "there are no synthetic rows that say something new" in mapped.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--synthetic", "made"), "there are no organic rows"),
        (("--organic", "no.jsonl", "--synthetic", "made"), "no.jsonl: there is no such file or folder"),
        (("--organic", "organic.jsonl", "--synthetic", "."), "there is no prompts.parquet in this folder"),
        (("--organic", "organic.jsonl", "--synthetic", "made", "--unit", "pages"), "unit: Input should be 'examples'"),
        (("--organic", "organic.jsonl", "--synthetic", "made", "--set", "balance.shares=1"), "shares"),
        (("--organic", "organic.jsonl", "--synthetic", "made", "--set", "mix.share=1"), "there is no 'mix' to set"),
        (
            ("--organic", "organic.jsonl", "--synthetic", "made", "--embedding", "made"),
            "this folder holds no embedding model",
        ),
    ],
)
def test_mistakes_are_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    done = run(*arguments, "--out", "o")
    assert done.exit_code == 2, done.output
    last = done.stderr.splitlines()[-1]
    assert sentence in last and last.startswith("error: ") and "Traceback" not in done.stderr
    assert not Path("o/stats.json").exists()


def test_settings_are_laid_over_options() -> None:
    found = settings({"share": 0.2, "unit": "tokens"}, ["balance.share=0.9", "balance.strata=equal"])
    assert (found.share, found.unit, found.strata) == (0.9, "tokens", "equal")
    with pytest.raises(TeachableError, match="share: Input should be less than or equal to 1"):
        settings({}, ["balance.share=2"])


def test_the_written_counts_are_the_printed_ones() -> None:
    done = run("--organic", "organic.jsonl", "--synthetic", "made", "--out", "o", "--json", "--total", "30")
    document = json.loads(done.stdout)
    assert {name: document[name] for name in document if name not in ("out", "up_to_date")} == read_json(
        Path("o/stats.json")
    )
    assert document["rows"] == {"organic": 15, "synthetic": 15}
