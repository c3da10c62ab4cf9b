"""`teachable explore` and `teachable scale` on a real tiny model: search, evidence, refusal, the long run, a kill."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from tests.recipe.teaching import write_base, write_estimates, write_prompts
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.explore.evidence import settings_digest
from teachable.recipe import exploring
from teachable.records import Prompt
from teachable.store.files import read_json, read_records, read_rows, write_json, write_records
from teachable.store.manifest import RunFolder
from teachable.train.tune_config import ScaleConfig

pytest.importorskip("trl")
pytest.importorskip("optuna")

Command = Callable[..., Result]
FIRST = 2400
BOLD = "{low: null, high: null, log: false, choices: [1.0e+30]}"
N_TRIALS, ETA, N_ROUNDS, SEEDS, CONFIRM = 3, 2, 2, 2, 2
TRAINED = N_TRIALS * SEEDS + 2 * SEEDS + 2 * CONFIRM  # at most: plain is trained beside who goes on


@pytest.fixture(scope="module")
def home(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base, prompts, and a recipe that explores: `sevens` wants 7, `nines` wants 9."""
    folder = tmp_path_factory.mktemp("explore")
    write_base(folder / "base", tokenizer)
    write_prompts(folder / "p.jsonl", n=36)
    write_estimates(folder / "estimates.parquet", n=36)
    write_records(folder / "attempts.parquet", [])
    training = {"learning_rate": 1e-4, "warmup_steps": 2, "batch_size": 8}
    document = {
        "name": "mine",
        "base": "base",
        "resources": {"workers": 1, "device": "cpu"},
        "stages": {
            "tasks": {"source": "p.jsonl", "heldout_frac": 0.5},
            "estimates": {"source": "estimates.parquet", "attempts": "attempts.parquet"},
            "select": {"arms": [], "needs": {"estimates": "estimates"}},
            "explore": {
                "training": training,
                "space": {"learning_rate": {"low": 5e-3, "high": 4e-2, "log": True}},
                "n_trials": N_TRIALS,
                "eta": ETA,
                "n_rounds": N_ROUNDS,
                "first_tokens": FIRST,
                "seeds": SEEDS,
                "confirm_seeds": CONFIRM,
                "n_samples": 0,
                "max_tokens": 4,
                "scale_tokens": 9600,
            },
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(document))
    return folder


@pytest.fixture(scope="module")
def command(home: Path) -> Iterator[Command]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("COLUMNS", "200")
        yield lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def explored(home: Path, command: Command) -> tuple[Path, Result]:
    """The run folder of a finished search, and what the command printed."""
    result = command("explore", "--recipe", "recipe.yaml", "--out", "run")
    assert result.exit_code == 0, result.output
    return home / "run", result


@pytest.fixture(scope="module")
def scaled(explored: tuple[Path, Result], command: Command) -> tuple[Path, Result]:
    """The same folder after the long run, and what that printed."""
    result = command("scale", "run/explored.yaml")
    assert result.exit_code == 0, result.output
    return explored[0], result


def test_all_trials_of_all_rounds_are_in_one_table(explored: tuple[Path, Result]) -> None:
    run, _ = explored
    rows = read_rows(run / "explore/trials.parquet")
    first, second = ([row for row in rows if row["round"] == number] for number in (1, 2))
    assert [row["trial"] for row in first] == [0, 1, 2]
    gone_on = {row["trial"] for row in first if row["promoted"]}
    assert len(gone_on) == 1
    assert {row["trial"] for row in second} == gone_on | {0}
    for number, mine in ((1, first), (2, second)):
        assert all(abs(row["tokens"] - FIRST * 2 ** (number - 1)) < 200 and row["seeds"] == SEEDS for row in mine)
        assert all(row["low"] <= row["score"] <= row["high"] for row in mine)
        best = sorted(mine, key=lambda row: (-row["score"], row["trial"]))
        assert [row["place"] for row in best] == list(range(1, len(mine) + 1))
        assert all(abs(row["mix_sevens"] + row["mix_nines"] - 1) < 1e-3 for row in mine)
        assert all(row["why"] for row in mine)
    assert [row["promoted"] for row in second].count(True) == 1
    plain = first[0]
    assert (plain["learning_rate"], plain["over_plain"], plain["better_than_plain"]) == (1e-4, None, None)
    for row in rows[1:]:
        if row["trial"]:
            assert row["better_than_plain"] == (row["over_plain_low"] > 0)
    assert len({row["learning_rate"] for row in first}) == 3


def test_the_winner_is_confirmed_on_fresh_seeds_and_questions_that_chose_nothing(explored: tuple[Path, Result]) -> None:
    run, result = explored
    dev, test = (read_records(run / f"explore/{name}.parquet", Prompt) for name in ("dev", "test"))
    held = {one.id for one in read_records(run / "tasks/heldout.parquet", Prompt)}
    assert {one.id for one in dev} | {one.id for one in test} == held
    assert not {one.id for one in dev} & {one.id for one in test}
    runs = read_rows(run / "explore/runs.parquet")
    searched, confirmed = ([row for row in runs if (row["part"] == "confirmation") == late] for late in (False, True))
    assert {row["seed"] for row in searched} == {0, 1}
    assert {row["seed"] for row in confirmed} == {2, 3}
    scores = read_rows(run / "explore/scores.parquet")
    assert {row["prompt_id"] for row in scores} == {one.id for one in test}
    evidence = read_json(run / "evidence.json")
    assert evidence["consistent"] is True
    assert evidence["gain"]["low"] > 0
    assert (evidence["gain"]["n_questions"], evidence["gain"]["n_seeds"]) == (len(test), CONFIRM)
    assert (evidence["over_plain"]["n_questions"], evidence["over_plain"]["n_seeds"]) == (len(test), CONFIRM)
    assert {row["arm"] for row in scores} == {"base", "trial0-confirmation", f"trial{evidence['trial']}-confirmation"}
    assert evidence["trial"] > 0
    of_plain = evidence["gain"]["mean"] - evidence["over_plain"]["mean"]
    assert evidence["plain_over_base"]["mean"] == pytest.approx(of_plain)
    assert evidence["sentence"] in result.output
    assert "| round | trial |" in (run / "explore/trials.md").read_text()
    assert evidence["sentence"] in (run / "explore/trials.md").read_text()


def test_of_all_models_one_is_left(explored: tuple[Path, Result]) -> None:
    run, _ = explored
    (kept,) = (run / "models").iterdir()
    stats = read_json(run / "explore/stats.json")
    assert (run / stats["path"]) == kept
    assert [row["path"] for row in read_rows(run / "explore/runs.parquet") if row["path"]] == [stats["path"]]
    assert not (run / "explore/.examples").exists()
    assert stats["n_runs"] <= TRAINED


def test_the_recipe_is_the_runs_own_with_the_winners_settings(explored: tuple[Path, Result]) -> None:
    run, _ = explored
    assert (run / "explored.yaml").read_text().split("\n")[1:] == (run / "explore/recipe.yaml").read_text().split("\n")[
        1:
    ]
    document = yaml.safe_load((run / "explored.yaml").read_text())
    assert document["name"] == "mine"
    assert list(document["stages"]) == ["tasks", "estimates", "pretrain", "select", "scale"]
    scale = document["stages"]["scale"]
    assert scale["needs"] == {"examples": "select", "prompts": "tasks", "base": "pretrain"}
    config = ScaleConfig.model_validate({name: value for name, value in scale.items() if name not in ("kind", "needs")})
    winner = read_json(run / "explore/stats.json")["winner"]
    assert config.learning_rate == winner["learning_rate"]
    assert config.mix == pytest.approx(winner["mix"], abs=1e-4)
    base = read_json(run / "pretrain/stats.json")["digest"]
    assert read_json(run / "evidence.json")["settings_digest"] == settings_digest(config.mix, config, base)


def test_a_second_search_of_the_same_is_up_to_date(explored: tuple[Path, Result], command: Command) -> None:
    result = command("explore", "--out", "run", "--json")
    assert json.loads(result.stdout)["up_to_date"] is True


@pytest.mark.slow
def test_what_was_trained_is_not_trained_again(
    explored: tuple[Path, Result], home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that lost its tables has its records; one of more trials trains those that are new."""
    shutil.copytree(home / "run", home / "again")
    trained: list[str] = []
    real = exploring.train_all

    def counting(ctx: Any, jobs: Any) -> Any:
        trained.extend(job.label for job in jobs)
        return real(ctx, jobs)

    monkeypatch.setattr(exploring, "train_all", counting)
    (home / "again/explored.yaml").unlink()
    before = read_rows(home / "run/explore/trials.parquet")
    assert command("explore", "--out", "again").exit_code == 0
    assert trained == []
    assert read_rows(home / "again/explore/trials.parquet") == before
    assert (home / "again/explored.yaml").read_bytes() == (home / "run/explored.yaml").read_bytes()
    assert (home / "again/evidence.json").read_bytes() == (home / "run/evidence.json").read_bytes()
    assert command("explore", "--out", "again", "--trials", "4").exit_code == 0
    assert {"trial3-round1-0", "trial3-round1-1"} <= set(trained)
    assert not {f"trial{trial}-round1-{seed}" for trial in range(3) for seed in range(2)} & set(trained)


class Killed(BaseException):
    """Stands for a signal."""


@pytest.mark.slow
@pytest.mark.parametrize("calls", [1, 4])
def test_a_killed_search_ends_as_an_undisturbed_one(
    explored: tuple[Path, Result], home: Path, command: Command, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """Killed after a training, before its answers; or in the middle of a later round."""
    real, trained = exploring.train_all, []

    def killed(ctx: Any, jobs: Any) -> Any:
        done = real(ctx, jobs[:1]) if len(trained) + 1 == calls else real(ctx, jobs)
        trained.append([job.label for job in jobs])
        if len(trained) == calls:
            raise Killed
        return done

    monkeypatch.setattr(exploring, "MODELS_BYTES", 300_000)  # about three models at a time
    monkeypatch.setattr(exploring, "train_all", killed)
    out = f"killed-{calls}"
    with pytest.raises(Killed):
        command("explore", "--recipe", "recipe.yaml", "--out", out)
    assert not (home / out / "explored.yaml").exists()
    finished = {path.stem for path in (home / out / "tuned/explore").glob("*.json")}
    again: list[str] = []

    def counting(ctx: Any, jobs: Any) -> Any:
        again.extend(job.label for job in jobs if job.slot.kept() is None)
        return real(ctx, jobs)

    monkeypatch.setattr(exploring, "train_all", counting)
    assert command("explore", "--recipe", "recipe.yaml", "--out", out).exit_code == 0
    assert not finished & set(again)
    assert trained[-1][0] not in again
    assert read_rows(home / out / "explore/trials.parquet") == read_rows(home / "run/explore/trials.parquet")
    for name in ("evidence.json", "explored.yaml"):
        assert (home / out / name).read_bytes() == (home / "run" / name).read_bytes()
    assert len(list((home / out / "models").iterdir())) == 1


@pytest.mark.slow
def test_kill_9_costs_nothing_that_was_counted(explored: tuple[Path, Result], home: Path, command: Command) -> None:
    """A process of its own, killed as soon as it has counted three trainings."""
    arguments = ["explore", "--recipe", "recipe.yaml", "--out", "shot"]
    small = (
        "import sys; from teachable.recipe import exploring; exploring.MODELS_BYTES = 1; sys.argv[0] = 'teachable'; "
    )
    program = small + "from teachable.cli.main import main; main()"
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=home, stderr=subprocess.PIPE)
    records = home / "shot/tuned/explore"
    while len(list(records.glob("*.json"))) < 3 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stderr and process.stderr.read()
    before = {path.name: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert command("explore", "--recipe", "recipe.yaml", "--out", "shot").exit_code == 0
    assert {name: (records / name).stat().st_mtime_ns for name in before} == before
    assert (home / "shot/evidence.json").read_bytes() == (home / "run/evidence.json").read_bytes()


@pytest.mark.slow
def test_settings_that_diverge_lose_and_harm_nobody(home: Path, command: Command, explored: Any) -> None:
    """A learning rate at which the loss is no number is a failed trial; the others go on."""
    result = command(
        "explore", "--recipe", "recipe.yaml", "--out", "bold", "--rounds", "1", "--trials", "3",
        "--set", f"explore.space.learning_rate={BOLD}", "--set", "explore.mixes=fixed",
        "--set", "explore.seeds=1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = read_rows(home / "bold/explore/trials.parquet")
    assert [row["score"] is None for row in rows] == [False, True, True]
    assert "its training failed: the" in rows[1]["why"] and "became" in rows[1]["why"]
    assert rows[0]["promoted"]
    assert "No trial beat the plain settings" in result.output
    assert "failed" in result.output
    result = command(
        "explore", "--recipe", "recipe.yaml", "--out", "bold", "--rounds", "1", "--trials", "2",
        "--set", f"explore.space.learning_rate={BOLD}", "--set", "explore.mixes=fixed",
        "--set", "explore.training.learning_rate=1.0e+30", "--set", "explore.seeds=1",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "explore: no trial of round 1 could be trained: in trial 0 the" in result.output


# ---- scale ----


def test_the_long_run_goes_into_the_same_folder_and_redoes_nothing(scaled: tuple[Path, Result]) -> None:
    run, result = scaled
    entries = RunFolder(run).entries()
    assert {"tasks", "pretrain", "select", "explore", "scale"} <= set(entries)
    rows = read_rows(run / "scale/runs.parquet")
    assert [(row["arm"], row["seed"], row["path"]) for row in rows] == [("scale", 0, "models/scale-0")]
    assert (run / "models/scale-0/model.safetensors").is_file()
    evaluations = read_rows(run / "scale/evaluations.parquet")
    assert evaluations[0]["step"] == 0 and len(evaluations) > 3
    stats = read_json(run / "scale/stats.json")
    assert {one["domain"] for one in stats["gains"]} == {"sevens", "nines"}
    test = {one.id for one in read_records(run / "scale/test.parquet", Prompt)}
    assert {row["prompt_id"] for row in read_rows(run / "scale/scores.parquet")} == test
    assert test == {one.id for one in read_records(run / "explore/test.parquet", Prompt)}
    assert stats["overall"]["mean"] > 0.3
    assert stats["sentence"] in result.output
    assert [path for path in (run / "scale").glob(".examples*")] == []


def test_after_the_long_run_the_search_is_still_up_to_date(scaled: tuple[Path, Result], command: Command) -> None:
    assert json.loads(command("explore", "--out", "run", "--json").stdout)["up_to_date"] is True
    assert json.loads(command("scale", "run/explored.yaml", "--json").stdout)["up_to_date"] is True


def copied(home: Path, name: str) -> Path:
    """The recipe and its evidence in a folder of their own, as somebody is sent them."""
    folder = home / name
    folder.mkdir()
    for file in ("explored.yaml", "evidence.json"):
        shutil.copy(home / "run" / file, folder / file)
    return folder


def change(path: Path, **fields: Any) -> None:
    document = yaml.safe_load(path.read_text())
    document["stages"]["scale"] |= fields
    path.write_text(yaml.safe_dump(document, sort_keys=False))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("missing", "there is no evidence evidence.json beside this recipe"),
        ("none", "scale: this recipe names no evidence that its settings gain anything"),
        ("settings", "scale: the evidence is for other settings (learning_rate"),
        ("mix", "scale: the evidence is for other settings (mix."),
        ("gain", "scale: the evidence is of no consistent gain: +20.0 points (-1.0 to +41.0) over the base"),
        ("other", "is no evidence of a search"),
    ],
)
def test_without_evidence_for_these_settings_nothing_is_trained(
    scaled: tuple[Path, Result], home: Path, command: Command, fault: str, sentence: str
) -> None:
    folder = copied(home, f"sent-{fault}")
    recipe, evidence = folder / "explored.yaml", folder / "evidence.json"
    if fault == "missing":
        evidence.unlink()
    if fault == "none":
        change(recipe, evidence=None)
    if fault == "settings":
        change(recipe, learning_rate=1e-5)
    if fault == "mix":
        change(recipe, mix={"sevens": 0.99, "nines": 0.01})
    if fault == "gain":
        told = read_json(evidence)
        write_json(evidence, {**told, "gain": {**told["gain"], "mean": 0.2, "low": -0.01, "high": 0.41}})
    if fault == "other":
        write_json(evidence, ["no"])
    out = shutil.copytree(home / "run", folder / "out", ignore=shutil.ignore_patterns("scale*"))
    result = command("scale", str(recipe), "--out", str(out))
    assert result.exit_code == 2
    assert sentence in result.output
    assert "--without-evidence" in result.output
    assert not (out / "models/scale-0").exists()
    if fault in ("missing", "mix"):
        result = command("scale", str(recipe), "--out", str(out), "--without-evidence", "--set", "scale.n_tokens=800")
        assert result.exit_code == 0, result.output
        assert "since that was allowed" in result.output
        assert (out / "models/scale-0").is_dir()


def test_more_tokens_and_steps_are_what_a_long_run_is_for(
    scaled: tuple[Path, Result], home: Path, command: Command
) -> None:
    out = shutil.copytree(home / "run", home / "longer")
    result = command("scale", "run/explored.yaml", "--out", str(out), "--set", "scale.max_steps=6")
    assert result.exit_code == 0, result.output
    assert read_rows(out / "scale/runs.parquet")[0]["n_steps"] == 6


def test_a_recipe_without_the_stage_is_a_sentence(home: Path, command: Command) -> None:
    result = command("scale", "recipe.yaml")
    assert result.exit_code == 2
    assert "recipe.yaml:" in result.output and "this recipe has no stage scale" in result.output
