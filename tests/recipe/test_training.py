"""One training job and many: what a key depends on, what a slot saves, and what is told meanwhile."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from tests.recipe.teaching import QUICK, example, prompt, write_base

from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig
from teachable.recipe import training
from teachable.recipe.config import Resources
from teachable.recipe.sampling import Place
from teachable.recipe.slots import Slot
from teachable.recipe.spec import StageContext
from teachable.recipe.training import TrainJob, progress_of, train_all, train_job, training_key
from teachable.records import Progress
from teachable.store.files import write_json, write_records
from teachable.train.tune_config import ScaleConfig, SteeredConfig, TrainingConfig, TuneConfig

SHORT = {name: value for name, value in QUICK.items() if name in SteeredConfig.model_fields} | {"max_steps": 6}
JUDGED = EvaluateConfig(n_samples=2, max_tokens=8)
DEV = [prompt("sevens", 100 + i) for i in range(6)]


@pytest.fixture(scope="module")
def base(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base(tmp_path_factory.mktemp("base"), tokenizer)


def context(run: Path, told: list[Any], workers: int = 1) -> StageContext:
    return StageContext(
        "tune", TuneConfig(), 0, "key", "", EngineConfig.model_validate({}), Resources(workers=workers, device="cpu"),
        run, run / "tune", {}, on_progress=told.append,
    )  # fmt: skip


def make_job(run: Path, base: Path, seed: int = 0, *, workers: int = 1, key: str = "k", **fields: Any) -> TrainJob:
    run.mkdir(exist_ok=True)
    write_records(run / "examples.jsonl", [example("sevens", i) for i in range(16)])
    write_records(run / "dev.parquet", DEV)
    engine = EngineConfig.model_validate({})
    resources = Resources(workers=workers, device="cpu")
    return TrainJob(
        arm="sevens",
        seed=seed,
        base=str(base),
        examples=run / "examples.jsonl",
        config=SteeredConfig.model_validate({**SHORT, **fields}),
        dev=run / "dev.parquet",
        judged=JUDGED,
        slot=Slot(run, f"sevens-{seed}", key),
        place=Place(engine, resources, "tune", run / "ledger.sqlite", 20_000),
    )


def test_a_key_is_made_of_what_the_model_is_made_of() -> None:
    def key(**changes: Any) -> str:
        how = {"seed": 0, "dev": DEV, "judged": JUDGED, "request_seed": 0, "base": "b", "set": "e"} | changes
        config = how.pop("config", TuneConfig())
        return training_key(how.pop("base"), how.pop("set"), config, **how)

    usual = key()
    for nothing in (
        {"config": TuneConfig(domains=("a", "b"), seeds=4)},
        {"config": TuneConfig(allow_overlap=True, dev_frac=0.3)},  # the questions that it gave are there themselves
        {"config": SteeredConfig()},
        {"config": ScaleConfig(mix={"a": 1.0}, n_tokens=5)},
    ):
        assert key(**nothing) == usual
    changed = [
        key(base="c"),
        key(set="f"),
        key(seed=1),
        key(dev=DEV[:-1]),
        key(dev=[*DEV[:-1], replace(DEV[-1], answer="8")]),
        key(judged=EvaluateConfig(n_samples=3, max_tokens=8)),
        key(request_seed=1),
        key(dev=()),
        *(
            key(config=TuneConfig.model_validate({name: value}))
            for name, value in {
                "learning_rate": 1e-3, "packing": True, "max_steps": 3, "eval_every": 3, "patience": 1,
                "lora": {"r": 2}, "min_gain": 0.1, "max_epochs": 2, "batch_size": 3,
            }.items()
        ),
    ]  # fmt: skip
    assert len({usual, *changed}) == 1 + len(changed)


def test_a_job_is_plain_data(base: Path, tmp_path: Path) -> None:
    kinds = TypeAdapter(TrainJob)
    for job in (
        make_job(tmp_path / "run", base),
        replace(make_job(tmp_path / "run", base), config=TrainingConfig(), dev=None),
    ):
        assert kinds.validate_json(kinds.dump_json(job)) == job


def test_several_at_once_give_the_records_of_one_after_the_other(base: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    found = []
    for workers in (1, 2):
        run = tmp_path / str(workers)
        jobs = [make_job(run, base, seed, workers=workers) for seed in (0, 1)]
        assert jobs[0].place.n_at_once == workers
        found.append(train_all(context(run, told, workers), jobs))
    for one, other in zip(*found, strict=True):
        assert one["run"].pop("seconds") > 0 < other["run"].pop("seconds")
        assert one == other
    assert [record["run"]["seed"] for record in found[0]] == [0, 1]
    assert len({record["run"]["digest"] for record in found[0]}) == 2
    assert {(one.total, one.unit) for one in told} == {(12, "steps")}
    assert told[-1].done == 12
    assert told[-1].tokens == sum(record["run"]["n_tokens"] for record in found[1])


def test_what_a_slot_keeps_is_not_trained_again(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = train_all(context(run, []), [make_job(run, base)])
    at = (run / "models/sevens-0/model.safetensors").stat().st_mtime_ns
    told: list[Progress] = []
    again = train_all(context(run, told), [make_job(run, base), make_job(run, base, 1)])
    assert [record["kept"] for record in (*first, *again)] == [False, True, False]
    assert {**again[0], "kept": False} == first[0]
    assert train_job(make_job(run, base)) == {name: value for name, value in first[0].items() if name != "kept"}
    assert told[0].done == 6  # it counts as done from the beginning on
    assert (run / "models/sevens-0/model.safetensors").stat().st_mtime_ns == at
    [anew] = train_all(context(run, []), [make_job(run, base, key="other")])
    assert not anew["kept"]
    assert anew["run"]["digest"] == first[0]["run"]["digest"]  # a key says what goes in, and nothing that came out


def test_without_questions_that_steer_the_last_weights_are_kept(base: Path, tmp_path: Path) -> None:
    config = TrainingConfig(learning_rate=1e-2, batch_size=8, max_steps=3)
    job = replace(make_job(tmp_path / "run", base), config=config, dev=None)
    record = train_job(job)
    assert record["evaluations"] == []
    assert (record["run"]["dev_score"], record["run"]["best_step"], record["run"]["n_steps"]) == (None, 3, 3)


def test_one_that_fails_ends_the_work_and_loses_nothing(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    good, bad = make_job(run, base, 0), make_job(run, base, 1, learning_rate=1e30)
    with pytest.raises(TeachableError, match="norm of the gradient became nan at step 1"):
        train_all(context(run, []), [good, bad])
    [record] = train_all(context(run, []), [good])
    assert record["kept"]
    assert bad.slot.kept() is None


def test_progress_counts_steps_and_names_what_is_trained_with_its_last_score(base: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    jobs = [make_job(run, base, seed) for seed in range(4)]
    for seed, score in ((1, 0.25), (2, None)):
        write_json(jobs[seed].slot.work / "progress.json", {"step": seed, "tokens": 10 * seed, "score": score})
    told = progress_of(jobs, {jobs[0].slot.name: {"run": {"n_tokens": 100}}})
    assert told == Progress(6 + 1 + 2, 4 * 6, "steps", 130, "sevens-1 25%, sevens-2")


def test_how_far_a_training_is_can_be_read_while_it_runs(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "TELL_EVERY_S", 0.01)  # else a fast machine is done before it is told
    run = tmp_path / "run"
    seen: list[Any] = []

    def told(progress: Progress) -> None:
        path = job.slot.work / "progress.json"
        with suppress(FileNotFoundError):  # before and after it
            seen.append(json.loads(path.read_text()))

    job = make_job(run, base, max_steps=24, eval_every=2, patience=0)
    train_all(replace(context(run, []), on_progress=told), [job])
    assert seen and all(set(note) == {"step", "tokens", "score"} for note in seen)
