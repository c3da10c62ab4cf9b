"""What the command is as a process: quick to answer, one sentence a mistake, and hard to hurt by killing it."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import TEXT, TOY, Command, finish, start
from typer.testing import CliRunner

from teachable.cli.main import app

HEAVY = ("torch", "transformers", "trl", "pyarrow", "datasets", "reasoning_gym", "altair", "polars", "numpy")
# Promises in processor time: tests share a machine with each other, and waiting for one's turn is not slowness.
HELP_S = 0.3
SECOND_RUN_S = 2.0


def imported(stderr: str) -> set[str]:
    """The top packages in the output of `python -X importtime`."""
    names = (line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:"))
    return {name.partition(".")[0] for name in names}


def children_s() -> float:
    """Processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_answers_at_once(teachable: Command) -> None:
    times = []
    for _ in range(5):
        before = children_s()
        assert teachable("--help").returncode == 0
        times.append(children_s() - before)
    assert statistics.median(times) < HELP_S


def test_help_imports_nothing_heavy(teachable: Command) -> None:
    found = imported(teachable("--help", flags=("-X", "importtime")).stderr)
    assert "typer" in found
    assert not found & {*HEAVY, "pydantic", "yaml", "rich"}


@pytest.mark.parametrize(
    "command",
    [
        "quickstart", "init", "run", "plan", "tasks", "probe", "select", "pivot", "judge-pairs", "train", "evaluate",
        "verify", "report", "explain",
    ],
)  # fmt: skip
def test_every_command_is_there_and_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    if command != "train":
        assert "--json" in result.stdout


def test_a_run_says_a_line_a_stage_and_its_end(toy: Command) -> None:
    result = toy("run", "recipe.yaml")
    assert result.returncode == 0
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["numbers", "squares", "total"]
    assert lines[0].endswith("| 12 numbers")
    assert "12 completions, 12 tokens" in lines[1]
    assert result.stdout.startswith("toy: done in ")
    assert result.stdout.rstrip().endswith("results in runs/toy (report: runs/toy/report.html)")


def test_a_second_run_does_nothing_says_so_and_is_quick(toy: Command, tmp_path: Path) -> None:
    toy("run", "recipe.yaml")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "toy").rglob("*") if path.name != ".lock"}
    begun = children_s()
    result = toy("run", "recipe.yaml")
    assert children_s() - begun < SECOND_RUN_S
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "toy: everything is up to date in runs/toy (report: runs/toy/report.html)\n"
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_finished_run_imports_nothing_heavy(toy: Command, command: str) -> None:
    toy("run", "recipe.yaml")
    result = toy(command, "recipe.yaml", flags=("-X", "importtime"))
    assert "everything is up to date" in result.stdout
    # The rooms' arithmetic brings NumPy along; models and tables stay out.
    assert not imported(result.stderr) & {*HEAVY} - {"numpy"}


def test_json_is_one_document_on_stdout(toy: Command) -> None:
    planned = json.loads(toy("plan", "recipe.yaml", "--json").stdout)
    assert [stage["action"] for stage in planned["stages"]] == ["run"] * 3
    ran = json.loads(toy("run", "recipe.yaml", "--json").stdout)
    assert (ran["ran"], ran["up_to_date"]) == (["numbers", "squares", "total"], False)
    again = json.loads(toy("run", "recipe.yaml", "--json").stdout)
    assert (again["ran"], again["up_to_date"], again["report"]) == ([], True, "runs/toy/report.html")


def test_a_plan_is_a_table_that_says_why(toy: Command) -> None:
    toy("run", "recipe.yaml", "--until", "squares")
    lines = toy("plan", "recipe.yaml", "--set", "squares.k=2").stdout.splitlines()
    assert lines[1].split() == ["numbers", "cached"]
    assert lines[2].endswith("its config changed: k 1 -> 2")
    assert lines[3].endswith("never ran")
    assert "2 of 3 stages will run" in lines[4]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "gone.yaml"], "gone.yaml: there is no such recipe"),
        (["plan", "gone.yaml", "--json"], "gone.yaml: there is no such recipe"),
        (["run", "recipe.yaml", "--set", "numbers.nn=3"], "there is no field 'nn' (did you mean 'n'?)"),
        (["run", "recipe.yaml", "--set", "numbers.n=many"], "input should be a valid integer"),
        (["run", "recipe.yaml", "--set", "squares.needs.numbers=total"], "in a circle: total -> squares -> total"),
        (["run", "recipe.yaml", "--set", "base=nowhere"], "no folder that exists and no hub id"),
        (["run", "recipe.yaml", "--set", "base=."], "holds no config.json"),
        (["run", "recipe.yaml", "--until", "totl"], "there is no stage 'totl' in recipe 'toy' (did you mean 'total'?)"),
        (["run", "recipe.yaml", "--out", "."], "the output folder is not empty and holds no run"),
        (["run", "recipe.yaml", "--out", "recipe.yaml"], "the output folder is a file"),
        (["run", "recipe.yaml", "--out", "recipe.yaml/x"], "a file is in the place of a folder"),
        (["report", "nowhere"], "there is no run in this folder"),
        (["explain", "nowhere", "abc"], "there is no run with finished stages"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(toy: Command, arguments: list[str], sentence: str) -> None:
    result = toy(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_output_folder_of_another_recipe_is_refused(toy: Command) -> None:
    toy("run", "recipe.yaml", "--out", "o")
    result = toy("run", "recipe.yaml", "--out", "o", "--set", "name=other")
    assert result.returncode == 2
    assert "o: this is the output folder of another recipe ('toy', not 'other')" in result.stderr


def test_a_defect_keeps_its_traceback(toy: Command) -> None:
    result = toy("run", "recipe.yaml", "--set", "squares.misbehave=defect")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: a defect of ours" in result.stderr


def slow(tmp_path: Path, out: str, delay_s: float = 0.05) -> subprocess.Popen[str]:
    return start(["run", "recipe.yaml", "--out", out, "--set", f"squares.delay_s={delay_s}"], tmp_path)


def until_begun(folder: Path, stage: str, timeout_s: float = 20) -> None:
    """Wait until a run is in the middle of a stage."""
    end = time.monotonic() + timeout_s
    while not (folder / stage / ".key").is_file():
        assert time.monotonic() < end, f"stage {stage} did not begin"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_in_a_sentence_and_130(toy: Command, tmp_path: Path, number: int) -> None:
    process = slow(tmp_path, "o", delay_s=0.5)
    until_begun(tmp_path / "o", "squares")
    process.send_signal(number)
    result = finish(process)
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1] == (
        "stopped: what was finished is kept in o, and the same command goes on from there"
    )
    assert "Traceback" not in result.stderr
    again = toy("run", "recipe.yaml", "--out", "o", "--json", "--set", "squares.delay_s=0")
    assert json.loads(again.stdout)["ran"] == ["squares", "total"]


def test_a_second_run_in_the_same_folder_is_refused(toy: Command, tmp_path: Path) -> None:
    process = slow(tmp_path, "o", delay_s=0.5)
    until_begun(tmp_path / "o", "squares")
    result = toy("run", "recipe.yaml", "--out", "o")
    process.kill()
    process.communicate()
    assert result.returncode == 2
    assert f"another run is working in this folder (process {process.pid})" in result.stderr


def results(folder: Path) -> dict[str, bytes]:
    """What a run has made, apart from what tells of time."""
    timed = {"manifest.json", ".lock", "run.yaml", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in timed
    }


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(TEXT)
    draw = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID", "0"))
    assert finish(slow(tmp_path, "undisturbed")).returncode == 0
    kills = 0
    while kills < 10:
        process = slow(tmp_path, "killed")
        try:
            process.wait(timeout=draw.uniform(0.1, 1.2))
        except subprocess.TimeoutExpired:
            process.kill()
            kills += 1
        else:
            # It got to its end before it was killed: the next kills are those of a run that begins anew.
            assert process.returncode == 0
            assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")
            shutil.rmtree(tmp_path / "killed")
        process.communicate()
    assert finish(slow(tmp_path, "killed")).returncode == 0
    assert results(tmp_path / "killed") == results(tmp_path / "undisturbed")
    assert not [path for path in (tmp_path / "killed").iterdir() if path.name.endswith(".tmp")]


def small_disk() -> list[str]:
    """A command that runs the rest of its line with a file system of 24 MB in $1; empty if this machine can't."""
    mount = 'mount -t tmpfs -o size=24m none "$0" && cd "$0" && exec "$@"'
    for wrap in (["unshare", "-rm"], ["unshare", "-m"]):
        if shutil.which("unshare") is None:
            return []
        probe = subprocess.run([*wrap, "sh", "-c", mount, "/mnt", "true"], capture_output=True)
        if probe.returncode == 0:
            return [*wrap, "sh", "-c", mount]
    return []


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("squares.misbehave=fill", "no space is left on the disk"),
        ("squares.k=100000", "of disk space"),  # forecast at 114 MB: said before the stage begins
    ],
)
def test_a_full_disk_is_a_sentence_and_nothing_is_lost(tmp_path: Path, setting: str, sentence: str) -> None:
    wrap = small_disk()
    if not wrap:
        pytest.skip("no user or mount namespaces here")
    (tmp_path / "recipe.yaml").write_text(TEXT)
    disk = tmp_path / "disk"
    disk.mkdir()
    program = f"{sys.executable} {TOY} run {tmp_path}/recipe.yaml --out o"
    script = f"{program} --set {setting}; echo code $?; ls -A o o/numbers; {program}; echo code $?"
    result = subprocess.run([*wrap, str(disk), "sh", "-c", script], capture_output=True, text=True, timeout=60)
    codes = [line for line in result.stdout.splitlines() if line.startswith("code")]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert codes == ["code 2", "code 0"]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert "run the same command again" in errors[0]
    assert "Traceback" not in result.stderr
    assert "numbers.parquet" in result.stdout


def test_a_reader_that_goes_away_is_no_error(toy: Command, tmp_path: Path) -> None:
    toy("run", "recipe.yaml")
    script = f"{sys.executable} {TOY} plan recipe.yaml --json | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (result.returncode, result.stderr) == (0, "")
