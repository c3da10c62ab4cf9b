"""`teachable ablate` on a tiny model whose outcome is planted: from a recipe, in a run, killed and begun again."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.ablations import ABLATE, BUDGET, N_EACH, write
from tests.cli.conftest import start
from typer.testing import CliRunner

from teachable.cli.ablating import ARMS, SEEDS, recipe_of
from teachable.cli.main import app
from teachable.errors import TeachableError
from teachable.recipe.packaged import packaged_recipe
from teachable.recipe.source import read_source
from teachable.store.files import read_json, read_rows
from teachable.train.config import PretrainConfig

SETTINGS = ("--set", "ablate.n_bootstrap=200")
TABLES = ("questions", "points", "scores", "comparisons", "curves")


@pytest.fixture(scope="module")
def folder(tokenizer: Any, small_config: PretrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ablation")
    write(made, tokenizer, small_config)
    return made


def invoke(*arguments: str) -> Any:
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(app, ["ablate", *arguments])
    signal.signal(signal.SIGTERM, before)
    return done


@pytest.fixture(scope="module")
def ran(folder: Path) -> Any:
    """The command run once, without a kill, with a recipe that lists the stage itself: its own arms count."""
    arms = ("select.arms=[teachable,random,full,mastered,beyond]", "select.leave_out_small=true", "select.seeds=2")
    sets = [text for one in arms for text in ("--set", one)]
    done = invoke("--recipe", str(folder / "recipe.yaml"), "--out", str(folder / "whole"), *sets, *SETTINGS)
    assert done.exit_code == 0, done.stderr
    return done


def test_the_planted_arm_wins_and_it_says_so(ran: Any, folder: Path) -> None:
    stats = read_json(folder / "whole/ablate/stats.json")
    ends = {arm["arm"]: arm["end"]["mean"] for arm in stats["arms"]}
    assert list(ends) == ["teachable", "random", "full", "beyond"]
    assert ends["teachable"] > 0.9 > 0.1 > ends["beyond"] and stats["base"]["mean"] < 0.1
    told = {row["baseline"]: row["outcome"] for row in stats["comparisons"] if row["number"] == "end"}
    assert told["beyond"] == told["base"] == "better"
    table, left_out, sentence, ending = ran.stdout.split("\n\n")
    assert [line.split()[0] for line in table.splitlines()] == ["arm", *ends, "base"]
    assert f"{100 * ends['teachable']:.1f} [" in table
    assert left_out.startswith("left out: the arm 'mastered' has 0 training tokens in 0 prompts")
    assert sentence == stats["verdict"]["sentence"] and "better than" in sentence
    assert "the arm 'mastered' has 0 training tokens" in ran.stderr
    page, plot = folder / "whole/ablate.html", folder / "whole/ablate.svg"
    assert ending == f"done: {page}, {plot}, tables in {folder / 'whole/ablate'}\n"
    assert page.is_file() and plot.is_file()


def test_every_arm_has_the_same_steps_and_tokens_and_is_asked_at_the_same_places(ran: Any, folder: Path) -> None:
    runs = read_rows(folder / "whole/ablate/runs.parquet")
    assert {(run["arm"], run["seed"]) for run in runs} == {
        (arm, seed) for arm in ("teachable", "random", "full", "beyond") for seed in (0, 1)
    }
    assert len({run["n_steps"] for run in runs}) == 1
    longest = max(row["n_tokens"] for row in read_rows(folder / "whole/select/decisions.parquet"))
    assert max(abs(run["n_tokens"] - BUDGET) for run in runs) <= longest / 2
    points = read_rows(folder / "whole/ablate/points.parquet")
    n_steps = runs[0]["n_steps"]
    assert n_steps == min(run["n_tokens"] for run in runs) // ABLATE["tokens_per_step"]
    expected = [0, round(n_steps / 3), round(2 * n_steps / 3), n_steps]
    assert sorted({point["step"] for point in points}) == expected
    for step in expected[1:]:
        tokens = [point["tokens"] for point in points if point["step"] == step]
        assert len(tokens) == len(runs) and max(tokens) - min(tokens) <= 2 * longest
    curves = read_rows(folder / "whole/ablate/curves.parquet")
    assert {n for n in Counter((row["arm"], row["seed"]) for row in curves).values()} == {n_steps}


def test_the_tables_fit_each_other(ran: Any, folder: Path) -> None:
    questions = read_rows(folder / "whole/ablate/questions.parquet")
    points = {
        (p["arm"], p["seed"], p["step"]): p["accuracy"] for p in read_rows(folder / "whole/ablate/points.parquet")
    }
    for at, accuracy in points.items():
        mine = [row["score"] for row in questions if (row["arm"], row["seed"], row["step"]) == at]
        assert len(mine) == 12 and accuracy == pytest.approx(sum(mine) / 12)
    scores = read_rows(folder / "whole/ablate/scores.parquet")
    assert {row["n"] for row in scores} == {ABLATE["n_samples"]} and None not in {row["greedy"] for row in scores}
    last = max(step for *_, step in points)
    for row in scores:
        step = 0 if row["arm"] == "base" else last
        same = [
            q["score"]
            for q in questions
            if (q["arm"], q["seed"], q["step"], q["prompt_id"]) == (row["arm"], row["seed"], step, row["prompt_id"])
        ]
        assert same == [row["n_correct"] / row["n"]]
    assert {row["model"] for row in scores if row["arm"] == "base"} == {"base"}


def test_a_second_run_does_nothing_and_draws_the_page_anew(ran: Any, folder: Path) -> None:
    page = folder / "whole/ablate.html"
    before = page.read_bytes()
    page.unlink()
    again = invoke("--out", str(folder / "whole"), "--json")
    assert again.exit_code == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["up_to_date"] and again.stderr == ""
    assert told["verdict"]["sentence"] in ran.stdout
    assert page.read_bytes() == before


def test_nothing_is_left_of_the_models(ran: Any, folder: Path) -> None:
    left = [path.name for path in (folder / "whole/ablate").iterdir() if path.name != ".key"]
    assert sorted(left) == sorted([*(f"{name}.parquet" for name in (*TABLES, "runs")), "stats.json"])
    assert not (folder / "whole/models").exists()


@pytest.mark.slow
def test_a_kill_loses_no_training_that_was_finished(ran: Any, folder: Path) -> None:
    """Two trainings at once, killed after the third record; what comes of it is what the undisturbed run has."""
    out = folder / "killed"
    sets = ("select.arms=[teachable,random,full,mastered,beyond]", "select.leave_out_small=true", "select.seeds=2",
            "resources.workers=2")  # fmt: skip
    command = ["ablate", "--recipe", "recipe.yaml", "--out", "killed", *SETTINGS]
    command += [text for one in sets for text in ("--set", one)]
    process = start(command, folder, program=["-m", "teachable"])
    deadline = time.monotonic() + 120
    while len(kept := sorted((out / "ablate").glob(".part-*.json"))) < 3 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(1.0)  # the workers notice that their parent is gone
    assert not (out / "ablate/stats.json").exists()
    kept = sorted((out / "ablate").glob(".part-*.json"))
    took = [read_json(path)["run"] for path in kept]
    again = invoke("--out", str(out))
    assert again.exit_code == 0, again.stderr
    runs = {(run["arm"], run["seed"]): run for run in read_rows(out / "ablate/runs.parquet")}
    trained = [run for run in took if run is not None]
    assert len(trained) >= 2
    for run in trained:  # to the millisecond that it had taken
        assert runs[run["arm"], run["seed"]] == run
    for name in TABLES:
        whole, killed = (folder / f"{place}/ablate/{name}.parquet" for place in ("whole", "killed"))
        assert whole.read_bytes() == killed.read_bytes(), name
    assert (folder / "whole/ablate.svg").read_bytes() == (out / "ablate.svg").read_bytes()


@pytest.mark.slow
def test_in_a_run_it_pays_for_nothing_twice_and_touches_no_stage(
    tokenizer: Any, small_config: PretrainConfig, tmp_path: Path
) -> None:
    recipe = write(tmp_path, tokenizer, small_config)
    document = yaml.safe_load(recipe.read_text())
    training = document["stages"].pop("ablate")
    document["stages"]["sft"] = {name: training[name] for name in ("learning_rate", "tokens_per_step")}
    document["stages"]["evaluate"] = {"n_samples": 2, "max_tokens": 4}
    recipe.write_text(yaml.safe_dump(document))
    out = tmp_path / "o"
    ran = CliRunner().invoke(app, ["run", str(recipe), "--out", str(out), "--until", "select"])
    assert ran.exit_code == 0, ran.stderr
    before = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    done = invoke("--out", str(out), "--seeds", "1", "--json", *SETTINGS, "--set", "ablate.n_points=1")
    assert done.exit_code == 0, done.stderr
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["ablate_select"] * 2 + ["ablate"]
    assert {path: path.read_bytes() for path in before} == before
    told = json.loads(done.stdout)
    assert told["seeds"] == [0] and [arm["arm"] for arm in told["arms"]] == ["teachable", "random", "full", "beyond"]
    assert (told["settings"]["learning_rate"], told["settings"]["n_samples"]) == (training["learning_rate"], 2)
    sizes = {arm["arm"]: arm["n_pool"] for arm in told["arms"]}
    assert sizes["full"] == [2 * N_EACH] and sizes["teachable"] == [N_EACH] and sizes["random"][0] < 2 * N_EACH
    kept = yaml.safe_load((out / "run.yaml").read_text())["stages"]
    assert list(kept["select"]["arms"]) == ["random"] and "sft" in kept


# ---- from options to a recipe ----


def test_without_a_run_it_is_the_quickstarts_up_to_the_probe(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "new")
    assert [stage.name for stage in recipe.stages] == ["tasks", "pretrain", "probe", "select", "ablate"]
    quickstart = read_source(packaged_recipe("quickstart")[0]).document["stages"]
    for name in ("tasks", "probe", "sft", "evaluate"):
        config = recipe.stage("ablate" if name in ("sft", "evaluate") else name).config
        assert {field: getattr(config, field) for field in quickstart[name]} == quickstart[name]
    select: Any = recipe.stage("select").config
    assert (select.arms, select.seeds, select.random_prompts) == (ARMS, SEEDS, "as_teachable")
    assert select.leave_out_small and select.budget_tokens == quickstart["select"]["budget_tokens"]


def test_options_and_prompts_of_ones_own(tmp_path: Path, folder: Path) -> None:
    recipe = recipe_of(tmp_path / "new", folder / "prompts.jsonl", str(folder / "model"), 7, sets=["ablate.n_points=9"])
    select: Any = recipe.stage("select").config
    tasks: Any = recipe.stage("tasks").config
    ablate: Any = recipe.stage("ablate").config
    assert (select.seeds, ablate.n_points, recipe.base) == (7, 9, str(folder / "model"))
    assert (tasks.source, tasks.n_pool) == (str(folder / "prompts.jsonl"), None)


def test_a_recipe_with_the_stage_keeps_its_selection_but_for_the_seeds(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path / "new", seeds=3, recipe=folder / "recipe.yaml")
    select: Any = recipe.stage("select").config
    assert (select.arms, select.seeds) == (("random",), 3)
    assert recipe.stage("ablate").needs["examples"] == "select"


def test_a_selection_without_two_arms_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    done = invoke("--recipe", str(folder / "recipe.yaml"), "--out", str(tmp_path / "o"))
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == (
        "error: ablate: the selection made the arm random alone, and an ablation compares teachable with at least one "
        "other. List teachable and other arms in the select stage."
    )


@pytest.mark.slow
def test_a_general_trainer_is_asked_in_the_same_places_and_gives_the_same_answers(folder: Path) -> None:
    pytest.importorskip("trl")
    sets = ("select.arms=[teachable,beyond]", "select.seeds=1", "ablate.n_points=2", "select.budget_tokens=1000")
    found = {}
    for backend in ("loop", "trl"):
        out = folder / backend
        command = ["--recipe", str(folder / "recipe.yaml"), "--out", str(out), *SETTINGS]
        command += [text for one in (*sets, f"ablate.backend={backend}") for text in ("--set", one)]
        done = invoke(*command)
        assert done.exit_code == 0, done.stderr
        assert {run["backend"] for run in read_rows(out / "ablate/runs.parquet")} == {backend}
        found[backend] = read_rows(out / "ablate/questions.parquet")
    assert found["loop"] == found["trl"]
    assert len({row["score"] for row in found["loop"]}) > 1


def test_a_question_for_a_judge_is_one_sentence(tokenizer: Any, small_config: PretrainConfig, tmp_path: Path) -> None:
    recipe = write(tmp_path, tokenizer, small_config)
    rows = [json.loads(line) for line in (tmp_path / "exam.jsonl").read_text().splitlines()]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps(row | {"verifier": "judge"}) + "\n" for row in rows))
    arms = ("--set", "select.arms=[teachable,beyond]")
    done = invoke("--recipe", str(recipe), "--out", str(tmp_path / "o"), *arms)
    assert done.exit_code == 2
    assert "error: ablate: the task 'exam' is decided by a judge, and an ablation asks none." in done.stderr


def test_nothing_held_out_is_one_sentence(tokenizer: Any, small_config: PretrainConfig, tmp_path: Path) -> None:
    tasks = {"source": "prompts.jsonl", "heldout_frac": 0}
    recipe = write(tmp_path, tokenizer, small_config, tasks=tasks)
    done = invoke("--recipe", str(recipe), "--out", str(tmp_path / "o"))
    assert done.exit_code == 2
    assert "error: ablate: no question was held out, so there is nothing to compare the arms on" in done.stderr


def test_a_field_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"there is no field 'n_pionts' .*did you mean 'n_points'"):
        recipe_of(tmp_path / "o", sets=["ablate.n_pionts=3"])
