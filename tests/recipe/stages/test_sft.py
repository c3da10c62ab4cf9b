"""The sft stage refuses examples that overlap the held-out questions, before anything is trained."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.recipe.watch import Watch

from teachable.cli import wiring
from teachable.errors import TeachableError
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.run import RunSummary, run_recipe
from teachable.store.files import read_json, read_rows
from teachable.store.manifest import RunFolder
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model

WORDS = ("what", "which", "river", "hill", "old", "mill", "carries", "market", "stone", "boat", "seven", "near")
Run = Callable[..., RunSummary]


def text(i: int) -> str:
    """Sixteen words that no other number has in this order."""
    return " ".join(random.Random(i).choices(WORDS, k=16)) + "?"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def base(tokenizer: Any, small_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_model(build_model(small_config, tokenizer), tokenizer, folder)
    return folder


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Run:
    """Teach all of twelve prompts with worked responses, and hold out what `exam.jsonl` has."""
    worked = [{"prompt": text(i), "answer": str(i), "response": f"So it is.\nAnswer: {i}"} for i in range(12)]
    write(tmp_path / "p.jsonl", worked)

    def ran(held: list[dict[str, Any]], watch: Watch | None = None, needs: bool = True, **fields: Any) -> RunSummary:
        write(tmp_path / "exam.jsonl", held)
        document = {
            "name": "mine",
            "base": str(base),
            "resources": {"workers": 1, "device": "cpu"},
            "stages": {
                "tasks": {"source": "p.jsonl", "heldout_frac": 0},
                "exam": {"kind": "tasks", "source": "none", "benchmarks": ["exam.jsonl"]},
                "probe": {"n_samples": 1, "max_tokens": 4},
                "select": {"arms": ["random"], "seeds": 1, "budget_tokens": 300, "responses": "solution"},
                "sft": {"tokens_per_step": 100, **({"needs": {"heldout": "exam"}} if needs else {}), **fields},
            },
        }
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(document))
        recipe = load_recipe(tmp_path / "recipe.yaml", kinds=STAGE_KINDS)
        return run_recipe(recipe, RunFolder(tmp_path / "run"), STAGE_KINDS, wiring.runner_for, watch or Watch())

    return ran


def test_examples_that_overlap_are_refused_by_name_before_training(run: Run, tmp_path: Path) -> None:
    taught = [{"prompt": text(i).upper(), "answer": "1"} for i in range(12)]
    with pytest.raises(TeachableError) as caught:
        run([*taught, {"prompt": text(99), "answer": "1"}])
    found = read_rows(tmp_path / "run/sft/overlaps.jsonl")
    n = len({row["row"] for row in found})
    assert 1 < n <= 12
    assert {(row["field"], row["how"], row["benchmark"]) for row in found} == {("prompt", "equal", "exam")}
    assert all(row["row"].startswith("random-0.jsonl, row ") for row in found)
    first = found[0]
    said = str(caught.value)
    assert said.startswith(
        f"sft: {n} of {n} training rows overlap the 13 held-out questions: "
        f"{first['row']}: the prompt equals question {first['question_id']} of exam ('{first['question'][:20].lower()}"
    )
    assert f"{tmp_path / 'run/sft/overlaps.jsonl'} lists them all" in said
    assert "sft.allow_overlap: true trains on them all the same" in said
    assert "sft" not in RunFolder(tmp_path / "run").entries()
    assert not (tmp_path / "run/models").exists()


def test_allowed_they_are_trained_on_and_counted(run: Run, tmp_path: Path) -> None:
    watch = Watch()
    run([{"prompt": text(i), "answer": "1"} for i in range(12)], watch, allow_overlap=True)
    n = len(read_rows(tmp_path / "run/sft/overlaps.jsonl"))
    assert read_json(tmp_path / "run/sft/stats.json")["n_overlaps"] == n > 1
    (sentence,) = [one for one in watch.sentences if "overlap" in one]
    assert sentence.startswith(f"{n} of {n} training rows overlap the 12 held-out questions, and are trained on")


def test_other_questions_are_no_reason_and_mended_it_goes_on(run: Run, tmp_path: Path) -> None:
    other = [{"prompt": text(i), "answer": "1"} for i in range(50, 60)]
    with pytest.raises(TeachableError, match=r"overlap the 22 held-out questions"):
        run([*other, *({"prompt": text(i), "answer": "1"} for i in range(12))])
    summary = run(other)
    assert summary.ran == ("exam", "sft")
    assert read_json(tmp_path / "run/sft/stats.json")["n_overlaps"] == 0
    assert not (tmp_path / "run/sft/overlaps.jsonl").exists()


def test_without_anything_held_out_there_is_nothing_to_say(run: Run, tmp_path: Path) -> None:
    run([{"prompt": text(0), "answer": "1"}], needs=False)
    assert read_json(tmp_path / "run/sft/stats.json")["n_overlaps"] is None
