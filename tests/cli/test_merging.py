"""`teachable merge`: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.merge.folders import random_arrays, write_model
from tests.recipe.tuned_runs import tuned_run
from typer.testing import CliRunner, Result

from teachable.cli.main import app


@pytest.fixture
def models(tmp_path: Path, in_process: CliRunner) -> None:
    """`base`, `one` and `two` in the folder that commands work in."""
    base = random_arrays(0)
    write_model(tmp_path / "base", base)
    for seed, name in enumerate(("one", "two"), start=1):
        write_model(tmp_path / name, random_arrays(seed, base=base, scale=0.1))


def merge(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["merge", *arguments])


DONE = ("one", "two", "--base", "base", "--method", "ties", "--out", "out")


def test_it_merges_once(models: None) -> None:
    done = merge(*DONE, "--weights", "1,3", "--density", "0.5", "--scale", "0.8")
    assert done.exit_code == 0, done.stderr
    pattern = r"out: ties of 2 models \(weights 0\.25, 0\.75\), 116 parameters, 0\.0 MB in 1 file, \d+\.\d s\n"
    assert re.fullmatch(pattern, done.stdout) and done.stderr == ""
    record = json.loads(Path("out/merge.json").read_text())
    assert (record["weights"], record["density"], record["scale"]) == ([0.25, 0.75], 0.5, 0.8)
    assert merge(*DONE, "--weights", "1,3", "--density", "0.5", "--scale", "0.8").stdout == "out: up to date\n"


def test_json_is_one_document(models: None) -> None:
    arguments = ("one", "two", "--base", "base", "--method", "dare", "--seed", "3", "--out", "out", "--json")
    found = json.loads(merge(*arguments).stdout)
    assert found["folder"] == "out" and not found["up_to_date"] and found["n_shards"] == 1
    assert found["deciding"] == {"method": "dare", "weights": [1, 1], "scale": 1, "density": 0.5, "seed": 3}
    assert json.loads(merge(*arguments).stdout) == {**found, "up_to_date": True, "seconds": pytest.approx(0, abs=5)}


def test_it_predicts_and_writes_nothing(models: None) -> None:
    done = merge("--predict", "one", "two", "--base", "base", "--density", "0.5")
    assert done.exit_code == 0, done.stderr
    tables = [table.splitlines() for table in done.stdout.split("\n\n")]
    assert tables[0][0].split("  ")[0] == "pair" and tables[0][1].startswith("one / two ")
    groups = ["embedding", "early layers", "middle layers", "rest"]
    assert re.split(r"\s{2,}", tables[1][0]) == ["cosine by group", *groups]
    assert [line.split()[0] for line in tables[2]] == ["model", "one", "two"]
    assert "among the 50% largest changes" in tables[3][0]
    found = json.loads(merge("--predict", "one", "two", "--base", "base", "--density", "0.5", "--json").stdout)
    (pair,) = found["pairs"]
    shown = re.split(r"\s{2,}", tables[0][1])
    assert shown[1:3] == [f"{pair['cosine']:+.3f}", f"{pair['sign_conflicts']:.3f}"]
    assert sorted(path.name for path in Path().iterdir()) == ["base", "one", "two"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["one", "--base", "base", "--out", "x"], r"merge: --method is missing\. Choose one of linear, slerp, "),
        (["one", "--method", "linear"], r"merge: --out is missing\. Name a folder\."),
        (["one", "--method", "best", "--out", "x"], r"merge: there is no method 'best'\. Choose one of "),
        (["one", "--method", "ties", "--out", "x"], r"merge: ties merges what models .* with --base\."),
        ([*DONE, "--weights", "1;2"], r"merge: --weights: '1;2' are no numbers with commas between them\. Write such"),
        ([*DONE, "--weights", "1"], r"merge: weights: 1 weight is given for 2 models\. Give one a model, "),
        (["one", "three", "--method", "linear", "--out", "x"], r"three: there is no such folder\. Name model folders"),
        (["one", "two", "--method", "linear", "--out", "base"], r"base: this folder holds something that is no merge"),
        (["--predict", "one", "two"], r"merge: a prediction compares what models differ by from a base, and none is"),
        (["--predict", "one", "--base", "base"], r"merge: predict: interference is between models\. Name two or more"),
        (["--predict", *DONE], r"merge: --predict merges nothing, so --method means nothing to it\. Leave out --meth"),
        (["--predict", "one"], r"merge: a prediction compares what models differ by from a base, and none is named"),
        (["--predict", "run"], r"run: there is no run folder here\. Name the run folder of `teachable tune`\.$"),
        (["--predict", "run", "--out", "x"], r"merge: --predict merges nothing, so --out means nothing to it\. Leave"),
        (
            ["--predict", "one", "two", "--base", "base", "--probe-examples", "8"],
            r"merge: --probe-examples is for a run folder, and models are named\. Leave out --probe-examples\.$",
        ),
        ([*DONE, "--seed-of-model", "1"], r"merge: --seed-of-model is for --predict, which is not asked for\. Leave"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(models: None, arguments: list[str], sentence: str) -> None:
    done = merge(*arguments)
    assert done.exit_code == 2
    assert re.match("error: " + sentence, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""
    assert sorted(path.name for path in Path().iterdir()) == ["base", "one", "two"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of two seeds of three domains."""
    return tuned_run(tmp_path_factory.mktemp("tuned") / "run")


def test_a_run_is_predicted(tuned: Path, in_process: CliRunner) -> None:
    done = merge("--predict", str(tuned), "--probe-examples", "8", "--seed-of-model", "4")
    assert done.exit_code == 0, done.stderr
    gradients, others, domains, notes = (part.splitlines() for part in done.stdout.split("\n\n"))
    assert re.split(r"\s{2,}", gradients[0])[:3] == ["gradients", "aligned", "95% interval"]
    assert re.split(r"\s{2,}", others[0])[:3] == ["weights, wording", "cosine", "sign conflicts"]
    assert [re.split(r"\s{2,}", line)[0] for line in domains] == ["domain", "sums", "more sums", "spelling"]
    assert re.split(r"\s{2,}", domains[1])[-1] == "75%" and re.split(r"\s{2,}", domains[2])[-1] == "-"
    assert notes[0].startswith("26,912 parameters; models of seed 4; gradients at the base; independent")
    assert notes[2].endswith("None of these numbers says how much a pair will lose.") and len(notes) == 3
    arguments = ("--predict", str(tuned), "--probe-examples", "8", "--seed-of-model", "4", "--json")
    found = json.loads(merge(*arguments).stdout)
    for shown, pair in zip(gradients[1:], found["pairs"], strict=True):
        assert re.split(r"\s{2,}", shown)[:2] == [f"{pair['one']} / {pair['two']}", f"{pair['gradient_aligned']:+.2f}"]
    assert {one["n_probed"] for one in found["domains"]} == {8} and found["seed"] == 4


def test_a_seed_that_there_is_not_is_one_sentence(tuned: Path, in_process: CliRunner) -> None:
    done = merge("--predict", str(tuned), "--seed-of-model", "9")
    assert done.exit_code == 2 and done.stdout == ""
    assert re.fullmatch(r"error: .*tune: no model of this run has the seed 9\. There are 3, 4\.\n", done.stderr)


def test_it_loads_no_model_library(models: None) -> None:
    code = (
        "import sys\nfrom teachable.cli.main import app\n"
        f"app({['merge', *DONE]!r}, standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'safetensors', 'openai', 'datasets', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
