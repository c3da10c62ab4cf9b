"""`recipes/synthesize.yaml`: planned without asking anybody, and run to its end whatever the server says."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command
from tests.cli.test_process import imported
from tests.engines.faulty import FaultyServer
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.store.files import read_json, read_rows
from teachable.synthesize import SynthesizeConfig
from teachable.synthesize.workflows import NAMES

RECIPE = Path(__file__).resolve().parents[3] / "recipes" / "synthesize.yaml"
JUNK = ("I'm sorry, I can't help with that.", "{}", '{"question": "?"', "Answer: 4", "[]", "```json\n{}\n```", "")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    def answer(body: dict[str, Any], luck: random.Random) -> str:
        return luck.choice(JUNK)

    with FaultyServer(answer=answer, honour_seed=True, model="junk") as found:
        yield found


def test_it_has_every_workflow() -> None:
    recipe = load_recipe(RECIPE, kinds=STAGE_KINDS)
    configs = [stage.config for stage in recipe.stages if isinstance(stage.config, SynthesizeConfig)]
    assert sorted(config.workflow for config in configs) == sorted(NAMES)
    assert recipe.stage("balance").needs["organic"] == "tasks"
    assert all(stage.needs["heldout"] == "tasks" for stage in recipe.stages if stage.kind == "synthesize")


def test_a_plan_says_calls_tokens_and_dollars_and_asks_nobody(teachable: Command, server: FaultyServer) -> None:
    price = ("--set", "engine.usd_per_million_in=3", "--set", "engine.usd_per_million_out=15")
    engine = ("--engine", f"openai:junk@{server.url}")
    result = teachable("plan", str(RECIPE), *engine, *price, "--json", flags=("-X", "importtime"))
    assert result.returncode == 0, result.stderr
    stages = {stage["stage"]: stage for stage in json.loads(result.stdout)["stages"]}
    for name in NAMES:
        assert stages[name]["completions"] >= stages[name]["prompts"] > 0
        assert stages[name]["tokens"] > stages[name]["completions"] and stages[name]["cost_usd"] > 0
    assert stages["documents"]["prompts"] >= 5 and stages["documents"]["completions"] == 0
    assert server.seen == []
    assert not imported(result.stderr) & {"torch", "transformers", "trl", "datasets", "reasoning_gym", "openai"}


@pytest.mark.skipif(sys.platform != "linux", reason="no sandbox here")
def test_it_runs_to_its_end_though_nothing_comes_of_it(
    in_process: CliRunner, tmp_path: Path, server: FaultyServer
) -> None:
    command = ["run", str(RECIPE), "--engine", f"openai:junk@{server.url}", "--out", "o"]
    result = in_process.invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "questions: nothing was accepted; most was dropped at written: " in result.stderr
    for name in NAMES:
        stats = read_json(tmp_path / "o" / name / "stats.json")
        assert stats["complete"] and stats["n_outputs"] == 0 == len(
            read_rows(tmp_path / "o" / name / "prompts.parquet")
        )
        lost = sum(sum(row["dropped"].values()) for row in stats["steps"])
        assert lost == stats["n_rejects"] and (lost > 0 or stats["n_seeds"] == 0)
    n_asked = len(server.asked)
    assert in_process.invoke(app, command).exit_code == 0 and len(server.asked) == n_asked
