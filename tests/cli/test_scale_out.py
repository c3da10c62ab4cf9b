"""Trainings in several processes from the command line, and what a plan says of trainings before they are begun."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.recipe.teaching import QUICK, write_material
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.store.files import read_json, read_rows

PHI4 = Path(__file__).resolve().parents[2] / "recipes" / "phi4-reasoning.yaml"


@pytest.fixture(scope="module")
def material(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, prompts, estimates that call them teachable, and a recipe of all of it."""
    folder = tmp_path_factory.mktemp("material")
    tune = {**QUICK, "learning_rate": 5e-3, "max_steps": 12, "patience": 0, "domains": ["sevens"]}
    write_material(folder, tokenizer, tune)
    return folder


# ---- several processes ----


@pytest.mark.slow
def test_two_processes_tune_as_one_does_and_keep_its_key(material: Path, in_process: CliRunner) -> None:
    runs = {}
    for name, sets in (("one", []), ("two", ["--set", "resources.processes=2"])):
        result = in_process.invoke(app, ["tune", "--recipe", str(material / "recipe.yaml"), "--out", name, *sets])
        assert result.exit_code == 0, result.output
        [runs[name]] = read_rows(Path(name, "tune", "runs.parquet"))
    same = ("n_steps", "n_tokens", "n_examples", "best_step", "stopped", "path")
    assert {name: runs["two"][name] for name in same} == {name: runs["one"][name] for name in same}
    losses = [[row["loss"] for row in read_rows(Path(name, "tune", "curves.parquet"))] for name in ("one", "two")]
    assert len(losses[0]) == 12 and losses[1] == pytest.approx(losses[0], rel=1e-3)
    gains = [read_json(Path(name, "tune", "stats.json"))["gains"][0]["tuned"] for name in ("one", "two")]
    assert gains[0] == pytest.approx(gains[1])
    # However many processes there were, it is the same stage.
    keys = [read_json(Path(name, "manifest.json"))["stages"]["tune"]["key"] for name in ("one", "two")]
    assert keys[0] == keys[1]
    again = in_process.invoke(app, ["tune", "--recipe", str(material / "recipe.yaml"), "--out", "two"])
    assert again.exit_code == 0 and read_rows(Path("two", "tune", "runs.parquet")) == [runs["two"]]


def test_a_whole_command_in_every_process_is_refused(
    material: Path, in_process: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `accelerate launch -m teachable run ...` would have it."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = in_process.invoke(app, ["run", str(material / "recipe.yaml"), "--out", "run"])
    assert result.exit_code == 2
    assert "started 2 times over" in result.stderr and "resources.processes=N" in result.stderr
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("distributed_type: DEEPSPEED", "accelerate.yaml: this asks for DeepSpeed, which is not installed."),
        ("distributed_type: FSDP", "accelerate.yaml: accelerate shards a model over GPUs only, and on the CPU"),
        (None, "resources.accelerate: there is no file"),
    ],
)
def test_what_this_machine_can_not_do_is_one_sentence(
    material: Path, in_process: CliRunner, text: str | None, sentence: str
) -> None:
    if text is not None:
        Path("accelerate.yaml").write_text(text)
    sets = ["--set", "resources.accelerate=accelerate.yaml"]
    result = in_process.invoke(app, ["tune", "--recipe", str(material / "recipe.yaml"), "--out", "run", *sets])
    assert result.exit_code == 2
    assert sentence in result.stderr.splitlines()[-1]


# ---- the plan ----


def planned(in_process: CliRunner, *arguments: str) -> dict[str, Any]:
    result = in_process.invoke(app, ["plan", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_plan_says_what_a_training_takes(material: Path, in_process: CliRunner) -> None:
    """Before it is run its steps are the most that it may take; afterwards it costs nothing."""
    recipe = str(material / "recipe.yaml")
    stages = {stage["stage"]: stage for stage in planned(in_process, recipe, "--out", "run")["stages"]}
    assert {name for name, stage in stages.items() if stage["training"]} == {"tune"}
    told = stages["tune"]["training"]
    assert (told["steps"], told["devices"]) == (12, 1)
    assert 1e5 < told["device_bytes"] < 1e9 and told["flops"] > 0
    assert told["device_hours"] == pytest.approx(stages["tune"]["minutes"] / 60, abs=0.005)
    assert "parameters, " in told["basis"] and "config.json" in told["basis"]
    two = planned(in_process, recipe, "--out", "run", "--set", "resources.processes=2")["stages"][-1]["training"]
    assert two["devices"] == 2
    text = in_process.invoke(app, ["plan", recipe, "--out", "run"]).stdout
    assert [line.split() for line in text.splitlines() if line.startswith("training")] == [
        ["training", "steps", "tokens", "devices", "memory/device", "device-hours"]
    ]


def test_of_an_unknown_base_the_plan_says_that_it_does_not_know(material: Path, in_process: CliRunner) -> None:
    told = planned(in_process, str(material / "recipe.yaml"), "--out", "run", "--set", "base=nobody/nothing")
    training = told["stages"][-1]["training"]
    assert training["device_bytes"] is None and training["flops"] is None
    assert training["basis"].startswith("memory and arithmetic are not known: nobody/nothing is neither in the hub's")
    text = in_process.invoke(app, ["plan", str(material / "recipe.yaml"), "--set", "base=nobody/nothing"]).stdout
    assert "unknown" in text


def test_phi4_reasoning_is_planned_without_the_model(in_process: CliRunner) -> None:
    """Its published settings, and the device-hours of its makers: 32 H100 for 2.5 days."""
    told = planned(in_process, str(PHI4), "--out", "run")
    training = {stage["stage"]: stage["training"] for stage in told["stages"]}["scale"]
    assert 15_000 < training["steps"] <= 16_000 and training["devices"] == 32
    assert training["device_bytes"] < 80e9
    assert training["device_hours"] == pytest.approx(32 * 60, rel=0.1)
    assert told["total"]["device_hours"] == training["device_hours"]
    assert "14,659,507,200 parameters, the published shape of microsoft/phi-4; 989 TFLOP/s" in training["basis"]


def test_a_plan_of_phi4_loads_no_model_library() -> None:
    code = (
        "import sys\nfrom teachable.cli.main import app\n"
        f"try:\n    app(['plan', {str(PHI4)!r}, '--out', 'nowhere'])\nexcept SystemExit:\n    print('ended')\n"
        "print(sorted({'torch', 'transformers', 'trl', 'accelerate', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
