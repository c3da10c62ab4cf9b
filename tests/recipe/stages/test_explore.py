"""What the stages `explore` and `scale` refuse before they train, and what they say; the whole search: tests/cli."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.teaching import QUICK, example, prompt, write_base, write_inputs

from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig
from teachable.explore.config import ExploreConfig
from teachable.explore.evidence import Gain, gain, settings_digest
from teachable.explore.trial import Trial
from teachable.recipe import explored
from teachable.recipe.config import Resources
from teachable.recipe.explored import evidence_document
from teachable.recipe.exploring import frac_undecided, short_run, table_of
from teachable.recipe.spec import Permissions, StageContext
from teachable.recipe.stages import explore, scale
from teachable.store.digest import model_digest
from teachable.store.files import read_json, read_rows, write_json, write_records
from teachable.train.tune_config import ScaleConfig, TrainingConfig

pytest.importorskip("trl")
Context = Callable[..., StageContext]
SEARCH = {"first_tokens": 100, "n_trials": 2, "n_rounds": 1, "n_samples": 0, "max_tokens": 4}
SHORT = {
    **QUICK,
    "max_steps": 2,
    "n_samples": 0,
    "max_tokens": 4,
    "mix": {"sevens": 0.5, "nines": 0.5},
    "n_tokens": 800,
}


@pytest.fixture(scope="module")
def base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"), tokenizer)


@pytest.fixture
def context(base: Path, tmp_path: Path) -> Context:
    """A stage that is to begin, on folders of the stages before it; `told` collects what it says."""
    roles = write_inputs(tmp_path / "run", base)

    def made(config: Any, told: list[str] | None = None, **permissions: bool) -> StageContext:
        name = "explore" if isinstance(config, ExploreConfig) else "scale"
        run = tmp_path / "run"
        (run / name).mkdir(exist_ok=True)
        return StageContext(
            name, config, 0, "key", str(base), EngineConfig.model_validate({}), Resources(workers=1, device="cpu"), run,
            run / name, roles, on_progress=lambda progress: None, permissions=Permissions(**permissions),
            say=(told if told is not None else []).append,
        )  # fmt: skip

    return made


def proof(base: Path, path: Path, *, mean: float = 0.5, examples: dict[str, str] | None = None) -> Path:
    """Evidence for `SHORT`."""
    config = ScaleConfig.model_validate(SHORT)
    training = TrainingConfig.model_validate({name: getattr(config, name) for name in TrainingConfig.model_fields})
    trial = Trial(1, training, {"learning_rate": training.learning_rate}, dict(config.mix))
    found = gain([[mean, mean + 0.1], [mean, mean], [mean + 0.1, mean]], [[0.0], [0.0], [0.0]])
    write_json(path, evidence_document(trial, model_digest(base), found, None, {"examples": examples or {}}))
    return path


def test_rows_that_overlap_the_held_out_questions_are_refused_before_anything_is_trained(
    context: Context, base: Path, tmp_path: Path
) -> None:
    taught = replace(example("sevens", 99), messages=example("sevens", 105).messages)
    write_records(tmp_path / "run/select/examples.jsonl", [*(example("sevens", i) for i in range(15)), taught])
    evidence = proof(base, tmp_path / "evidence.json")
    for run, config in (
        (explore.run, ExploreConfig.model_validate({**SEARCH, "domains": ["sevens"]})),
        (scale.run, ScaleConfig.model_validate({**SHORT, "mix": {"sevens": 1.0}, "evidence": evidence})),
    ):
        with pytest.raises(TeachableError, match="1 of 16 training rows overlap the 24 held-out questions"):
            run(context(config, without_evidence=True))
    assert not (tmp_path / "run/models").exists()


def test_questions_that_a_judge_decides_are_refused(context: Context, tmp_path: Path) -> None:
    held = [replace(prompt("sevens", 100 + i), verifier="judge") for i in range(6)]
    write_records(tmp_path / "run/tasks/heldout.parquet", held)
    with pytest.raises(TeachableError, match="'sevens' are decided by a judge"):
        explore.run(context(ExploreConfig.model_validate({**SEARCH, "domains": ["sevens"]})))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"domains": ["seven"]}, "there is no domain 'seven' in this run (did you mean 'sevens'?)"),
        ({"space": {"max_steps": {"low": 1, "high": 9}}}, "max_steps can't be searched"),
        ({"space": {}, "mixes": "fixed"}, "there is nothing to search"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(context: Context, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TeachableError) as caught:
        explore.run(context(ExploreConfig.model_validate({**SEARCH, **fields})))
    assert sentence in caught.value.sentence()


def test_other_examples_than_the_search_saw_are_told_and_no_reason_to_refuse(
    context: Context, base: Path, tmp_path: Path
) -> None:
    evidence = proof(base, tmp_path / "evidence.json", examples={"sevens": "another", "gone": "x"})
    told: list[str] = []
    outcome = scale.run(context(ScaleConfig.model_validate({**SHORT, "evidence": evidence}), told))
    assert told == ["the search that is the evidence saw other examples of sevens"]
    run = tmp_path / "run"
    stats = read_json(run / "scale/stats.json")
    assert stats["evidence"]["trial"] == 1
    assert stats["mix"] == {"sevens": 0.5, "nines": 0.5}
    assert outcome.requires == (Path("models/scale-0"),)
    (row,) = read_rows(run / "scale/runs.parquet")
    assert (row["n_steps"], row["stopped"]) == (2, "max_steps")
    scores = read_rows(run / "scale/scores.parquet")
    assert {one["model"] for one in scores} == {"base", "scale-0"}
    # The same again takes what the slot keeps.
    assert scale.run(context(ScaleConfig.model_validate({**SHORT, "evidence": evidence}))).tokens_spent == 0


def test_evidence_of_no_gain_is_refused_unless_allowed(context: Context, base: Path, tmp_path: Path) -> None:
    path = proof(base, tmp_path / "evidence.json", mean=-0.2)
    with pytest.raises(TeachableError, match="the evidence is of no consistent gain"):
        scale.run(context(ScaleConfig.model_validate({**SHORT, "evidence": path})))
    assert not (tmp_path / "run/models").exists()


def test_a_mix_of_unknown_domains_is_refused(context: Context) -> None:
    with pytest.raises(TeachableError, match="there is no domain 'tens' in this run"):
        scale.run(context(ScaleConfig.model_validate({**SHORT, "mix": {"tens": 1.0}}), without_evidence=True))


def test_the_digest_in_the_evidence_is_that_of_its_settings(base: Path, tmp_path: Path) -> None:
    told = read_json(proof(base, tmp_path / "evidence.json"))
    config = ScaleConfig.model_validate(SHORT)
    assert told["settings_digest"] == settings_digest(config.mix, config, model_digest(base))


@pytest.mark.parametrize(
    ("number", "gained", "over_plain", "told"),
    [
        (2, 0.5, 0.4, "Trial 2 won and gains over the base: +50.0 points (+40.0 to +60.0) on 9 questions with 2 seeds, "
         "so a long run has evidence. It is better than the plain settings: +40.0 points (+30.0 to +50.0) on 9 "
         "questions with 2 seeds."),
        (2, 0.5, 0.0, "It can't be told from the plain settings: +0.0 points (-10.0 to +10.0) on 9 questions"),
        (2, 0.5, -0.2, "But it is worse than the plain settings: -20.0 points (-30.0 to -10.0) on 9 questions"),
        (2, 0.5, None, "It can't be compared with the plain settings, whose training failed."),
        (0, 0.0, None, "The plain settings won, but the gain over the base is not consistent: +0.0 points (-10.0 to "
         "+10.0) on 9 questions with 2 seeds, so a long run has no evidence. No trial beat the plain settings."),
    ],
)  # fmt: skip
def test_the_sentence_claims_no_more_than_the_intervals(
    number: int, gained: float, over_plain: float | None, told: str
) -> None:
    def around(mean: float) -> Gain:
        return Gain(mean, mean - 0.1, mean + 0.1, 9, 2)

    trial = Trial(number, TrainingConfig(), {}, {"a": 1.0})
    assert told in explored.sentence(trial, around(gained), around(over_plain) if over_plain is not None else None)


def test_a_short_run_warms_up_for_a_fifth_of_its_steps_at_most() -> None:
    plain = TrainingConfig(warmup_steps=10)
    assert [short_run(plain, n).warmup_steps for n in (3, 8, 50, 500)] == [0, 1, 10, 10]
    assert (short_run(plain, 8).max_steps, short_run(plain, 8).max_epochs) == (8, 1)


def test_undecided_answers_count_as_wrong_and_are_counted() -> None:
    judged = EvaluateConfig(n_samples=2)
    rows = [
        {"arm": arm, "seed": seed, "prompt_id": question, "n": n, "n_correct": n_correct, "n_undecided": 2 - n,
         "greedy": greedy}
        for arm, seed, question, n, n_correct, greedy in [
            ("x", 0, "q1", 2, 2, True), ("x", 0, "q2", 1, 1, None),
            ("x", 1, "q1", 2, 0, False), ("x", 1, "q2", 0, 0, None), ("y", 0, "q1", 2, 2, True),
        ]
    ]  # fmt: skip
    assert table_of(rows, "x", judged).tolist() == [[1.0, 0.0], [1 / 3, 0.0]]
    assert frac_undecided(rows, "x", judged) == 5 / 12
    with pytest.raises(ValueError, match="were not asked the same questions"):
        table_of([*rows, {**rows[0], "seed": 2}], "x", judged)
