"""What docs/explore.md shows is so: its commands parse; rounds, fields, files and columns are as there are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import yaml
from typer.main import get_command

from teachable.cli.main import app
from teachable.explore.config import ExploreConfig, Range
from teachable.explore.evidence import OPEN_SETTINGS
from teachable.explore.halving import judged, rounds
from teachable.explore.table import Outcome, round_rows
from teachable.explore.trial import Trial
from teachable.recipe.explored import AT_TOP, EVIDENCE, RECIPE
from teachable.train.tune_config import ScaleConfig, TrainingConfig

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "explore.md").read_text(encoding="utf-8")
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def test_the_commands_and_their_flags_are_there() -> None:
    (block,) = re.findall(r"^```\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        _, name, *arguments = line.partition("#")[0].split()
        with COMMANDS[name].make_context(name, arguments, resilient_parsing=False) as context:
            assert context.params
    flags = {flag for name in ("explore", "scale") for one in COMMANDS[name].params for flag in one.opts}
    told = set(re.findall(r"`(--[\w-]+)`", TEXT))
    assert told <= flags
    assert {flag for flag in flags if flag.startswith("--")} - told == set()


def test_the_rounds_are_those_of_the_defaults() -> None:
    table = re.findall(r"^\| (\d) \| ([\d,]+) \| ([\d,]+) \|$", TEXT, flags=re.MULTILINE)
    config = ExploreConfig()
    plan = rounds(config.n_trials, config.n_rounds, config.eta, config.first_tokens)
    assert [tuple(int(cell.replace(",", "")) for cell in row) for row in table] == [
        (one.number, one.n_trials, one.n_tokens) for one in plan
    ]
    for name in ("n_trials", "eta", "n_rounds"):
        assert f"`{name}` {getattr(config, name)}" in TEXT
    assert f"`first_tokens` {config.first_tokens:,}" in TEXT


def test_the_space_that_is_shown_is_one() -> None:
    (shown,) = re.findall(r"`(\{learning_rate.*?\}\})`", TEXT, flags=re.DOTALL)
    space = {name: Range.model_validate(values) for name, values in yaml.safe_load(shown).items()}
    assert ExploreConfig(space=space).space["learning_rate"].log


def test_fields_and_files_have_these_names() -> None:
    fields = re.findall(r"^- `(\w+)`:", TEXT, flags=re.MULTILINE)
    assert fields == ["space", "mixes", "sampler"]
    named = {"dev_frac", "confirm_seeds", "scale_tokens", "seeds", "n_trials", *fields}
    assert named <= ExploreConfig.model_fields.keys()
    assert {"n_tokens", "eval_every", "mix"} <= ScaleConfig.model_fields.keys()
    open_settings = {"max_steps", "max_epochs", "rows_at_once", "gradient_checkpointing"}
    assert open_settings == OPEN_SETTINGS
    assert all(f"`{name}`" in TEXT for name in open_settings)
    assert all(f"`{name}`" in TEXT for name in (AT_TOP, EVIDENCE, RECIPE))


def test_the_columns_are_those_of_the_table() -> None:
    (cell,) = re.findall(r"^\| `trials.parquet` \| (.*) \|$", TEXT, flags=re.MULTILINE)
    plain = Trial(0, TrainingConfig(), {"learning_rate": 4e-4}, {"a": 1.0})
    other = Trial(1, TrainingConfig(learning_rate=1e-3), {"learning_rate": 1e-3}, {"a": 1.0})
    rng = np.random.default_rng(0)
    outcomes = [Outcome(trial, rng.random((8, 2)), 100, 2) for trial in (plain, other)]
    rows = round_rows(1, outcomes, judged({0: 0.5, 1: 0.6}, 1), rng.random((8, 1)), ["a"])
    assert set(re.findall(r"`(\w+)`", cell)) - {"mix_DOMAIN"} == rows[0].keys() - {"learning_rate", "mix_a"}
