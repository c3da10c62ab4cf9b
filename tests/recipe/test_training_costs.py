"""What trainings by domains are forecast to cost, and what of it becomes minutes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from teachable.engines.config import EngineConfig
from teachable.recipe.config import Resources
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.plan import rated
from teachable.recipe.rates import Rates
from teachable.recipe.spec import Forecast, ForecastInput
from teachable.recipe.training_costs import EXAMPLE_TOKENS, UTILISATION
from teachable.train.memory import train_flops
from teachable.train.shapes import PUBLISHED

PHI4 = PUBLISHED["microsoft/phi-4"]


def forecast(kind: str, *, resources: dict[str, Any] | None = None, shape: Any = PHI4, **given: Any) -> Forecast:
    """The forecast of a stage; what is no field of its config is an input's stats, by role."""
    spec = STAGE_KINDS[kind]
    fields = {name: value for name, value in given.items() if name in spec.config.model_fields}
    return spec.forecast(
        ForecastInput(
            config=spec.config.model_validate(fields),
            base="microsoft/phi-4",
            engine=EngineConfig.model_validate({}),
            inputs={name: value for name, value in given.items() if name not in fields},
            resources=Resources.model_validate(resources or {}),
            shape=shape,
            shape_from="a table" if shape else "nobody knows it",
        )
    )


def test_tuning_is_the_most_steps_of_every_domain_and_seed() -> None:
    told = forecast("tune", domains=["a", "b"], seeds=3, max_steps=100, batch_size=8)
    assert (told.steps, told.tokens) == (600, 600 * 8 * EXAMPLE_TOKENS)
    assert told.disk_bytes == 6 * 4 * PHI4.n_params
    counted = forecast(
        "tune", domains=["a", "b"], max_steps=100, max_epochs=99, batch_size=8,
        examples={"selected": {"n": 50, "n_tokens": 5000}},
    )  # fmt: skip
    assert (counted.steps, counted.tokens) == (200, 200 * 8 * 100)
    few = forecast("tune", max_steps=1000, max_epochs=2, examples={"selected": {"n": 50, "n_tokens": 5000}})
    assert few.tokens == 2 * 5000 and few.steps < 10


def test_an_addition_is_trained_as_the_domains_were_or_not_at_all() -> None:
    tuned = forecast("tune", domains=["a", "b"], max_steps=50, gradient_checkpointing=True, rows_at_once=1)
    joint = forecast("add", way="data", tuned=tuned.produces)
    assert (joint.steps, joint.tokens, joint.device_bytes) == (tuned.steps, tuned.tokens, tuned.device_bytes)
    spent = forecast("add", way="sequential", tuned={"tokens": 12_000, "n_runs": 2, "settings": {"batch_size": 4}})
    assert (spent.steps, spent.tokens) == (12_000 // (4 * EXAMPLE_TOKENS), 12_000)
    merged = forecast("add", way="weights", tuned=tuned.produces)
    assert (merged.steps, merged.tokens, merged.n_devices) == (0, 0, 0)


def test_a_search_has_its_rounds_and_its_confirmation() -> None:
    told = forecast("explore", n_trials=9, eta=3, n_rounds=3, first_tokens=1000, seeds=2, confirm_seeds=5)
    assert told.tokens == 3 * 9 * 2 * 1000 + 2 * 5 * 9000


def test_a_long_run_ends_by_its_tokens_or_by_its_steps() -> None:
    packs = {"batch_size": 32, "max_length": 1000, "packing": True}
    assert forecast("scale", n_tokens=320_000, max_steps=400, **packs).steps == 10
    assert forecast("scale", n_tokens=320_000, max_steps=4, **packs).tokens == 4 * 32_000
    assert forecast("scale", n_tokens=0, max_steps=4, seeds=2, **packs).tokens == 2 * 4 * 32_000


def test_an_ablation_is_a_training_a_set() -> None:
    told = forecast("ablate", tokens_per_step=500, examples={"arms": 6, "budget_tokens": 5000})
    assert (told.steps, told.tokens, told.n_devices) == (60, 30_000, 1)


def test_arithmetic_is_spread_over_the_devices(tmp_path: Path) -> None:
    fields = {"n_tokens": 10**9, "max_steps": 10**6, "packing": True, "max_length": 4096, "rows_at_once": 1}
    one, four = forecast("scale", **fields), forecast("scale", **fields, resources={"processes": 4})
    assert one.flops == four.flops == train_flops(PHI4, 10**9, 4096)
    assert one.work_s == pytest.approx(4 * four.work_s) == pytest.approx(one.flops / (989e12 * UTILISATION))
    half = forecast("scale", **fields, resources={"device_tflops": 494.5})
    assert half.work_s == pytest.approx(2 * one.work_s)
    recomputed = forecast("scale", **fields, gradient_checkpointing=True)
    assert recomputed.flops == one.flops and recomputed.work_s == pytest.approx(4 / 3 * one.work_s)
    (tmp_path / "fsdp.yaml").write_text("{distributed_type: FSDP, num_processes: 4}")
    shared = forecast("scale", **fields, resources={"accelerate": tmp_path / "fsdp.yaml"})
    assert shared.n_devices == 4 and shared.device_bytes < four.device_bytes / 2


def test_rows_are_no_longer_than_the_base_reads() -> None:
    fields = {"max_steps": 10, "packing": True, "max_length": 32768, "batch_size": 2}
    assert forecast("scale", **fields).tokens == 10 * 2 * 32768
    assert forecast("scale", **fields, shape=replace(PHI4, context=16384)).tokens == 10 * 2 * 16384


def test_of_an_unknown_model_only_steps_and_tokens_are_told() -> None:
    told = forecast("scale", shape=None)
    assert (told.device_bytes, told.flops, told.work_s) == (0, 0.0, 0.0) and told.steps and told.tokens
    assert told.basis == "memory and arithmetic are not known: nobody knows it"


def test_a_measured_rate_comes_before_the_arithmetic_and_belongs_to_the_devices(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        "name: r\nbase: microsoft/phi-4\nresources: {processes: 4}\nstages:\n  scale: {n_tokens: 1000000}\n"
    )
    recipe = load_recipe(tmp_path / "r.yaml", kinds=STAGE_KINDS)
    spec, rates = STAGE_KINDS["scale"], Rates(tmp_path)
    assert rated(recipe, spec) == "microsoft/phi-4 on 4 devices"
    assert rated(recipe, STAGE_KINDS["sft"]) == "microsoft/phi-4"
    told = Forecast(tokens=10**6, seconds=10, work_s=90)
    assert rates.seconds(spec, rated(recipe, spec), told) == (100, "default")
    rates.measured(spec, rated(recipe, spec), 10**6, 50.0)
    assert rates.seconds(spec, rated(recipe, spec), told) == (60, "measured")
    assert rates.seconds(spec, "microsoft/phi-4", told) == (100, "default")
