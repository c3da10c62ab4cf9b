"""Scores of a model in training, which goes on as if nobody had asked it, and of finished models, by the ledger."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.recipe.teaching import example, prompt, write_base

from teachable.engines.config import EngineConfig
from teachable.evaluate import EvaluateConfig
from teachable.recipe.config import Resources
from teachable.recipe.live import question_scores, score_live, score_models
from teachable.recipe.spec import StageContext
from teachable.recipe.stages.evaluate import SCORES
from teachable.store.files import write_records
from teachable.store.ledger import Ledger
from teachable.train.loop import CurvePoint
from teachable.train.sft import load_trainable
from teachable.train.tune import TuneResult, tune
from teachable.train.tune_config import SteeredConfig, TuneConfig

QUESTIONS = [prompt("sevens", 100 + i) for i in range(6)]
HOW = EvaluateConfig(n_samples=3, max_tokens=8)


@pytest.fixture(scope="module")
def base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"), tokenizer)


def trained(base: Path, out: Path, lora: int, on_step: Callable[[CurvePoint], None] | None, judge: Any) -> TuneResult:
    config = SteeredConfig(
        learning_rate=1e-2, batch_size=4, max_steps=6, eval_every=2, patience=0, lora={"r": lora, "dropout": 0.2},
        gradient_checkpointing=bool(lora),
    )  # fmt: skip
    return tune(
        base, [example("sevens", i) for i in range(8)], config, seed=3, out=out, device="cpu", judge=judge,
        on_step=on_step,
    )  # fmt: skip


@pytest.mark.parametrize("lora", [0, 4])
def test_a_training_that_is_asked_ends_with_the_weights_of_one_that_is_not(
    base: Path, tmp_path: Path, lora: int
) -> None:
    asked: list[list[float]] = []

    def judge(model: Any, tokenizer: Any, step: int) -> list[float]:
        asked.append(question_scores(score_live(model, tokenizer, QUESTIONS, HOW)))
        return [step / 10] * len(QUESTIONS)  # so that the last weights are the best

    def silent(model: Any, tokenizer: Any, step: int) -> list[float]:
        return [step / 10] * len(QUESTIONS)

    results = [trained(base, tmp_path / str(i), lora, None, who) for i, who in enumerate((judge, silent))]
    assert len(asked) == 4
    assert asked[-1] != asked[0]  # it learnt something meanwhile, so that the asking was no formality
    assert results[0].curve == results[1].curve
    assert results[0].digest == results[1].digest


def test_scores_are_those_of_the_saved_model(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_trainable(base, "cpu")
    model.train()
    live = score_live(model, tokenizer, QUESTIONS, HOW, request_seed=5, arm="base", batch_rows=3)
    assert model.training
    write_records(tmp_path / "questions.parquet", QUESTIONS)
    saved = score_models(
        context(tmp_path, seed=5), [("base", "base", 0, base, 20_000)], tmp_path / "questions.parquet", HOW
    )
    ours = ("n", "n_correct", "n_undecided", "greedy", "majority", "n_tokens", "prompt_id")
    assert [[row[name] for name in ours] for row in live] == [[row[name] for name in ours] for row in saved]
    assert set(saved[0]) == set(SCORES.names) == set(live[0])


def context(run: Path, seed: int = 0) -> StageContext:
    return StageContext(
        "tune", TuneConfig(), seed, "key", "", EngineConfig.model_validate({}), Resources(workers=1, device="cpu"), run,
        run, {}, on_progress=lambda progress: None,
    )  # fmt: skip


def test_finished_models_are_asked_once(base: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(base, tmp_path / "other"))
    questions = tmp_path / "questions.parquet"
    write_records(questions, QUESTIONS)
    models = [("base", "base", 0, base, 20_000), ("sevens-1", "sevens", 1, other, 20_000)]
    rows = score_models(context(tmp_path), models, questions, HOW)
    assert [(row["model"], row["arm"], row["seed"]) for row in rows[::6]] == [(*models[0][:3],), (*models[1][:3],)]
    assert [row["prompt_id"] for row in rows] == [one.id for one in QUESTIONS] * 2
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        spent = ledger.totals()
    assert score_models(context(tmp_path), models, questions, HOW) == rows
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.totals() == spent


def test_a_question_has_the_share_of_its_answers_that_are_right() -> None:
    def row(n: int, n_correct: int, n_undecided: int, greedy: bool | None) -> dict[str, Any]:
        return {"n": n, "n_correct": n_correct, "n_undecided": n_undecided, "greedy": greedy}

    rows = [row(3, 2, 1, True), row(4, 4, 0, True), row(4, 4, 0, None), row(0, 0, 4, None), row(0, 0, 0, True)]
    assert question_scores(rows) == [0.6, 1.0, 0.8, 0.0, 1.0]
    assert question_scores([row(4, 1, 0, None)], greedy=False) == [0.25]


def test_the_random_state_is_nobodys_but_the_trainings(base: Path) -> None:
    model, tokenizer = load_trainable(base, "cpu")
    torch.manual_seed(4)
    before = torch.get_rng_state()
    score_live(model, tokenizer, QUESTIONS, HOW)
    assert torch.equal(torch.get_rng_state(), before)
