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


def test_a_file_or_a_recipe_has_to_be_named(teachable: Command) -> None:
    result = teachable("train", "dpo", "--out", "o")
    assert (result.returncode, result.stderr) == (
        2,
        "error: train dpo: no file of preference pairs is named. Name one, or a recipe with --recipe.\n",
    )
