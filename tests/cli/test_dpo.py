"""`teachable train dpo`, as a process of its own: from a file of pairs to a model, and what it refuses at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command

from teachable.store.digest import model_digest
from teachable.store.files import read_rows
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model

PAIRS = [{"prompt": f"{n} + 1 = ", "chosen": str(n + 1), "rejected": str(n + 2)} for n in range(6)]


@pytest.fixture
def base(tokenizer: Any, small_config: PretrainConfig, tmp_path: Path) -> Path:
    save_model(build_model(small_config, tokenizer), tokenizer, tmp_path / "model")
    return tmp_path / "model"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.slow
def test_a_file_of_pairs_becomes_a_model(teachable: Command, base: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    write(tmp_path / "pairs.jsonl", PAIRS)
    command = ("train", "dpo", "pairs.jsonl", "--base", "model", "--out", "o", "--seed", "3")
    settings = ("--set", "dpo.pairs_per_step=2", "--set", "dpo.lora.r=2", "--json")
    result = teachable(*command, *settings)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert set(told["ran"]) == {"pretrain", "preferences", "dpo"}
    assert told["stages"]["dpo"]["note"] == "1 model of 3 steps, on 6 pairs"
    (run,) = read_rows(tmp_path / "o/dpo/runs.parquet")
    assert (run["seed"], run["digest"]) == (3, model_digest(tmp_path / "o/models/dpo-3"))
    again = teachable(*command, *settings[:-1])
    assert (again.returncode, again.stdout) == (0, "dpo: everything is up to date in o\n")


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (None, "error: pairs.jsonl: this file is missing. Correct the path.\n"),
        ([], "pairs.jsonl: the file holds no preference pairs. Name another one.\n"),
        (
            [*PAIRS, PAIRS[0] | {"rejected": "1"}],
            "pairs.jsonl, row 7: chosen and rejected are the same. Leave the row out.\n",
        ),
    ],
)
def test_what_is_no_file_of_pairs_is_one_sentence(
    teachable: Command, base: Path, tmp_path: Path, rows: list[dict[str, Any]] | None, sentence: str
) -> None:
    if rows is not None:
        write(tmp_path / "pairs.jsonl", rows)
    result = teachable("train", "dpo", "pairs.jsonl", "--base", "model", "--out", "o")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.endswith(sentence)


def test_pairs_that_overlap_what_is_held_out_are_refused(teachable: Command, base: Path, tmp_path: Path) -> None:
    """A file of questions, and a benchmark's data in its own format."""
    pytest.importorskip("trl")
    river = "Which of the three rivers below the old mill carries the most water in April?"
    ferry = "A ferry leaves with 48 people and picks up 12 more on every island. How many arrive after 3 islands?"
    asked = [river, f"Now this: {ferry}"]
    pairs = [*PAIRS, *({"prompt": one, "chosen": "The first.", "rejected": "The last."} for one in asked)]
    write(tmp_path / "pairs.jsonl", pairs)
    write(tmp_path / "exam.jsonl", [{"prompt": river.upper(), "answer": "the first"}])
    write(tmp_path / "test.jsonl", [{"question": ferry, "answer": "48 and 36.\n#### 84"}])
    command = ("train", "dpo", "pairs.jsonl", "--base", "model", "--out", "o")
    result = teachable(*command, "--heldout", "exam.jsonl", "--heldout", "gsm8k=test.jsonl")
    assert result.returncode == 2, result.stderr
    error = result.stderr.splitlines()[-1]
    assert error.startswith(
        "error: dpo: 2 of 8 training rows overlap the 2 held-out questions: preferences.parquet, row 7:"
    )
    assert "preferences.parquet, row 8: the prompt shares 13 words in a row with question" in error
    found = read_rows(tmp_path / "o/dpo/overlaps.jsonl")
    assert [(row["row"][-5:], row["how"], row["benchmark"]) for row in found] == [
        ("row 7", "equal", "exam"),
        ("row 8", "shared run", "gsm8k"),
    ]
    assert not (tmp_path / "o/models").exists()
    gone = teachable(*command, "--heldout", "gone.jsonl")
    assert gone.returncode == 2 and "there is no file or folder" in gone.stderr


def test_a_file_or_a_recipe_has_to_be_named(teachable: Command) -> None:
    result = teachable("train", "dpo", "--out", "o")
    assert (result.returncode, result.stderr) == (
        2,
        "error: train dpo: no file of preference pairs is named. Name one, or a recipe with --recipe.\n",
    )
