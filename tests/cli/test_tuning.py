"""`teachable tune` as a command: a whole run on a tiny model, its lines, its refusals, and a kill amid training."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import start
from tests.recipe.teaching import QUICK, write_estimates, write_material
from typer.testing import CliRunner, Result

from teachable.cli.main import app
from teachable.cli.tuning import tuned_text
from teachable.store.digest import file_digest
from teachable.store.files import read_json, read_rows

PATIENCE_S = 240  # for a process of its own, on a machine that may be busy


@pytest.fixture(scope="module")
def material(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, prompts, estimates that call them teachable, and a recipe of all of it."""
    folder = tmp_path_factory.mktemp("material")
    write_material(folder, tokenizer, QUICK)
    return folder


@pytest.fixture(scope="module")
def finished(material: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run in which one domain was tuned, and what the command printed."""
    out = tmp_path_factory.mktemp("finished") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEACHABLE_CACHE", str(out.parent / "cache"))
        result = CliRunner().invoke(
            app, ["tune", "sevens", "--recipe", str(material / "recipe.yaml"), "--out", str(out)]
        )
    assert result.exit_code == 0, result.output
    return out, result.stdout


@pytest.fixture
def run(finished: tuple[Path, str], in_process: CliRunner, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished[0], tmp_path / "run"))


def tune(in_process: CliRunner, *arguments: str) -> Result:
    return in_process.invoke(app, ["tune", "--out", "run", *arguments])


def weights(run: Path) -> dict[str, str]:
    return {path.parent.name: file_digest(path) for path in sorted((run / "models").glob("*/model.safetensors"))}


def test_the_last_line_says_what_was_gained_in_how_many_steps_and_why_it_ended(finished: tuple[Path, str]) -> None:
    run, printed = finished
    [row] = read_rows(run / "tune/runs.parquet")
    [gain] = read_json(run / "tune/stats.json")["gains"]
    assert printed.splitlines()[-1] == (
        f"sevens: 0.0% -> 100.0% on {gain['n_questions']} questions (+100.0 points, 95% interval "
        f"{100 * gain['low']:+.1f} to +100.0); {row['n_steps']} steps, ended by a plateau"
    )
    assert printed.startswith("mine: done in ")
    assert not (run / "tuned/frozen/nines.json").exists()


def test_several_seeds_and_reasons_are_one_line_a_domain() -> None:
    gain = {"domain": "a", "base": 0.25, "tuned": 0.5, "gain": 0.25, "low": -0.05, "high": 0.55, "n_questions": 1200}
    ended = [
        {"arm": "a", "seed": 0, "n_steps": 1500, "stopped": "plateau"},
        {"arm": "a", "seed": 1, "n_steps": 1400, "stopped": "max_epochs"},
        {"arm": "b", "seed": 0, "n_steps": 3, "stopped": "max_steps"},
    ]
    nothing = {"domain": "b", "gain": None}
    assert tuned_text({"gains": [gain, nothing], "ended": ended}).splitlines() == [
        "a: 25.0% -> 50.0% on 1,200 questions (+25.0 points, 95% interval -5.0 to +55.0); 1,500, 1,400 steps, ended by "
        "a plateau and the most rounds allowed",
        "b: no question that judges could be decided; 3 steps, ended by the most steps allowed",
    ]


def test_the_same_command_again_does_nothing(in_process: CliRunner, run: Path) -> None:
    before = weights(run)
    result = tune(in_process, "sevens")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("mine: everything is up to date in run")
    assert result.stdout.splitlines()[-1].startswith("sevens: 0.0% -> 100.0%")
    assert weights(run) == before


def test_another_domain_is_tuned_beside_the_first(in_process: CliRunner, run: Path, material: Path) -> None:
    before = weights(run)
    at = (run / "models/tune-sevens-0/model.safetensors").stat().st_mtime_ns
    frozen = (run / "tuned/frozen/sevens.json").read_bytes()
    result = tune(in_process, "nines", "sevens", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["ran"] == ["tune"]
    assert document["stages"]["tune"]["note"] == "2 models; nines 0% -> 100%, sevens 0% -> 100%"
    assert read_json(run / "tune/stats.json")["domains"] == ["nines", "sevens"]
    assert weights(run)["tune-sevens-0"] == before["tune-sevens-0"]
    assert (run / "models/tune-sevens-0/model.safetensors").stat().st_mtime_ns == at
    assert (run / "tuned/frozen/sevens.json").read_bytes() == frozen
    # Without a name all domains are tuned, in the order of their names, which these are: nothing is left to do.
    again = tune(in_process)
    assert again.stdout.count("\n") == 3
    assert [line.partition(":")[0] for line in again.stdout.splitlines()] == ["mine", "nines", "sevens"]


def test_a_frozen_set_stays_unless_its_domain_is_refrozen(in_process: CliRunner, run: Path, material: Path) -> None:
    write_estimates(material / "fewer.parquet", left_out=4)
    fewer = f"estimates.source={material / 'fewer.parquet'}"
    before = weights(run)
    assert tune(in_process, "sevens", "--refreeze", "sevens").exit_code == 0
    assert weights(run) == before  # nothing had changed, so nothing was trained
    result = tune(in_process, "sevens", "--set", fewer)
    assert result.exit_code == 2
    assert "error: tune: the selection would change the frozen set of the domain 'sevens'" in result.stderr
    assert "--refreeze sevens" in result.stderr
    assert result.stderr.count("error") == 1
    assert weights(run) == before
    result = tune(in_process, "sevens", "--set", fewer, "--refreeze", "sevens", "--set", "tune.max_steps=2")
    assert result.exit_code == 0, result.output
    assert weights(run) != before
    assert result.stdout.splitlines()[-1].endswith("2 steps, ended by the most steps allowed")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["seven"], "tune: there is no domain 'seven' in this run (did you mean 'sevens'?)"),
        (["sevens", "sevens"], "the domain 'sevens' is named twice"),
        (["sevens", "--add", "joint"], "--add: 'joint' is no way to add a domain. Choose data, sequential or weights"),
        (["sevens", "--refreeze", "nines"], "--refreeze: the domain 'nines' is not among those that are tuned"),
        (["sevens", "--lr", "0"], "input should be greater than 0"),
    ],
)
def test_a_mistake_is_one_sentence(in_process: CliRunner, run: Path, arguments: Sequence[str], sentence: str) -> None:
    result = tune(in_process, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert sentence in result.stderr


def test_an_empty_selection_says_where_to_look(in_process: CliRunner, material: Path) -> None:
    write_estimates(material / "none.parquet", left_out=24)
    result = tune(
        in_process, "--recipe", str(material / "recipe.yaml"), "--set", f"estimates.source={material / 'none.parquet'}"
    )
    assert result.exit_code == 2
    assert "tune: the selection holds no examples to train on" in result.stderr
    assert "decisions.parquet says why each prompt is out" in result.stderr


def test_a_domain_without_held_out_questions_is_named(in_process: CliRunner, material: Path) -> None:
    result = tune(in_process, "nines", "--recipe", str(material / "recipe.yaml"), "--set", "tasks.heldout_frac=0")
    assert result.exit_code == 2
    assert (
        "the domain 'nines' has 0 held-out questions beside those of benchmarks, and two are the least" in result.stderr
    )


def test_options_become_settings_of_the_stage(in_process: CliRunner, material: Path) -> None:
    result = tune(
        in_process, "nines", "--recipe", str(material / "recipe.yaml"), "--seeds", "2", "--lr", "0.01", "--seed", "5",
        "--set", "tune.max_steps=2", "--set", "tune.lora.r=2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    stats = read_json(Path("run/tune/stats.json"))
    assert (stats["seeds"], stats["settings"]["learning_rate"], stats["domains"]) == ([5, 6], 0.01, ["nines"])
    assert sorted(weights(Path("run"))) == ["tune-nines-5", "tune-nines-6"]


def finished_by(arguments: list[str], cwd: Path) -> str:
    """What the command prints, which ends well."""
    process = start(arguments, cwd, program=["-m", "teachable"])
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out


def killed_at(arguments: list[str], cwd: Path, progress: Path, step: int) -> None:
    """Start the command and kill it as soon as the training that leaves this file is at that step."""
    process = start(arguments, cwd, program=["-m", "teachable"])
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and not (progress.exists() and read_json(progress)["step"] >= step):
        assert time.monotonic() < until
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_kill_amid_training_costs_nothing_but_time(material: Path, tmp_path: Path) -> None:
    arguments = ["tune", "sevens", "nines", "--recipe", str(material / "recipe.yaml"), "--out", "run"]
    killed_at(arguments, tmp_path, tmp_path / "run/tuned/.tune-nines-0.work/progress.json", step=6)
    assert (tmp_path / "run/tuned/tune-sevens-0.json").exists()
    assert not (tmp_path / "run/tuned/tune-nines-0.json").exists()
    assert not (tmp_path / "run/tuned/frozen/sevens.json").exists()
    first = (tmp_path / "run/models/tune-sevens-0/model.safetensors").stat().st_mtime_ns
    again = finished_by(arguments, tmp_path)
    assert (tmp_path / "run/models/tune-sevens-0/model.safetensors").stat().st_mtime_ns == first
    assert finished_by([*arguments[:-1], "other"], tmp_path).splitlines()[1:] == again.splitlines()[1:]
    assert weights(tmp_path / "run") == weights(tmp_path / "other")
    for name in ("curves", "evaluations", "scores"):
        one, other = (read_rows(tmp_path / run / f"tune/{name}.parquet") for run in ("run", "other"))
        assert one == other
    for domain in ("sevens", "nines"):
        paths = [tmp_path / run / f"tuned/frozen/{domain}.jsonl" for run in ("run", "other")]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_ways_of_adding_are_stages_that_run_after_it(in_process: CliRunner, run: Path) -> None:
    arguments = ["sevens", "nines", "--add", "weights", "--add", "data", "--add", "weights", "--allow-regression"]
    result = tune(in_process, *arguments, "--set", "add_data.learning_rate=0.01", "--set", "tune.max_steps=12")
    assert result.exit_code == 0, result.output
    recipe = yaml.safe_load((run / "run.yaml").read_text())["stages"]
    assert [(name, recipe[name]["way"]) for name in recipe if name.startswith("add")] == [
        ("add_weights", "weights"),
        ("add_data", "data"),
    ]
    assert {read_json(run / name / "stats.json")["way"] for name in ("add_weights", "add_data")} == {"weights", "data"}
    printed = result.stdout
    places = [printed.index(text) for text in ("mine: done", "\nweights (", "\ndata: ", "\nsevens: 0.0% -> ")]
    assert places == sorted(places)
    # And without a way nothing of that is done again, or told.
    alone = tune(in_process, "sevens", "nines")
    assert [line.partition(":")[0] for line in alone.stdout.splitlines()] == ["mine", "sevens", "nines"]
