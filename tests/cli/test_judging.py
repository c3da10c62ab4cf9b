"""`teachable judge-pairs` as a user runs it: a process, servers on sockets, mistakes, ctrl-C and kills."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command, finish, start
from tests.cli.test_process import HEAVY, imported
from tests.engines.faulty import FaultyServer
from tests.prefer.judges import compares, scores, served
from typer.testing import CliRunner

from teachable.cli.judging import settings
from teachable.cli.main import app
from teachable.errors import TeachableError
from teachable.store.files import read_json, read_rows

N_PROMPTS = 12
TABLES = ("preferences.parquet", "responses.parquet", "comparisons.parquet")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[FaultyServer, FaultyServer, FaultyServer]]:
    """A file of prompts; a good author, a bad one, and a judge, whose answers depend on the request alone."""
    rows = [{"id": f"p{i}", "prompt": f"Question {i}?"} for i in range(N_PROMPTS)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def answer(low: int, high: int) -> Any:
        return lambda body, luck: f"My answer [{luck.randint(low, high)}] {luck.getrandbits(24):x}"

    def judge(message: str, luck: random.Random) -> str:
        return (compares if "answer B" in message else scores)(message, luck)

    with (
        FaultyServer(answer=answer(6, 10), honour_seed=True, model="good") as good,
        FaultyServer(answer=answer(1, 6), honour_seed=True, model="bad") as bad,
        FaultyServer(answer=served(judge), honour_seed=True, model="judge") as third,
    ):
        yield good, bad, third


def asking(world: tuple[FaultyServer, FaultyServer, FaultyServer], out: str = "o", *more: str) -> list[str]:
    good, bad, judge = (f"openai:{server.model}@{server.url}" for server in world)
    short = ["--set", "judge_pairs.max_tokens=64", "--set", "judge_pairs.judge_max_tokens=128"]
    return [
        "judge-pairs",
        "prompts.jsonl",
        "--engine",
        good,
        "--engine",
        bad,
        "--judge",
        judge,
        "--out",
        out,
        *short,
        *more,
    ]


def test_help_says_what_there_is_and_imports_nothing_heavy(teachable: Command) -> None:
    result = teachable("judge-pairs", "--help", flags=("-X", "importtime"))
    assert result.returncode == 0
    for flag in ("--engine", "--judge", "--responses", "--mode", "--min-margin", "--rubric", "--max-cost", "--json"):
        assert flag in result.stdout
    assert not imported(result.stderr) & {*HEAVY, "yaml", "rich"}


def test_pairs_are_written_and_summed_up(in_process: CliRunner, tmp_path: Path, world: Any) -> None:
    result = in_process.invoke(app, asking(world, "o", "--votes", "1"))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["engine", "responses", "right", "wrong", "mean", "score", "chosen", "rejected"]
    stats, rows = read_json(tmp_path / "o/stats.json"), read_rows(tmp_path / "o/preferences.parquet")
    assert 0 < len(rows) == stats["n_pairs"] <= N_PROMPTS
    assert re.match(rf"judge-pairs: {N_PROMPTS} prompts in .*; {len(rows)} pairs, mean margin", lines[-1])
    assert lines[-1].endswith("in o/preferences.parquet")
    assert "the judge could not tell in 0 of 24 questions" in lines
    assert "columns: id <- id, prompt <- prompt" in result.stderr
    again = in_process.invoke(app, asking(world, "o", "--votes", "1"))
    assert "judge-pairs: everything is up to date" in again.stdout.splitlines()[-1]


def test_options_reach_the_settings(in_process: CliRunner, tmp_path: Path, world: Any) -> None:
    (tmp_path / "rubric.txt").write_text("BE STRICT.")
    more = ["--mode", "pairwise", "--n", "2", "--votes", "1", "--min-margin", "0.5", "--rubric", "rubric.txt"]
    more += ["--seed", "3", "--set", "judge_pairs.max_pairs=null", "--set", "engine.concurrency=3", "--json"]
    found = json.loads(in_process.invoke(app, asking(world, "o", *more)).stdout)
    assert (found["out"], found["up_to_date"], found["mode"]) == ("o", False, "pairwise")
    assert found["n_responses"] == 4 * N_PROMPTS and found["judging"]["questions"] == 6 * N_PROMPTS
    rows = read_rows(tmp_path / "o/preferences.parquet")
    assert len(rows) == found["n_pairs"] > N_PROMPTS and all(row["margin"] >= 0.5 for row in rows)
    assert all("BE STRICT." in seen.prompt for seen in world[2].asked)
    assert max(seen.in_flight for seen in world[0].asked) <= 3


def test_engines_may_be_set_one_by_one() -> None:
    url = "@http://localhost:1/v1"
    sets = ["engine.concurrency=4", "engine2.api_key_env=KEY", "judge.timeout_s=9", "judge_pairs.top_p=0.9"]
    config = settings([f"openai:a{url}", f"openai:b{url}"], f"openai:c{url}", {"mode": "pairwise"}, sets)
    assert [(one.concurrency, one.api_key_env) for one in config.engines] == [(4, ""), (4, "KEY")]
    assert config.judge is not None and (config.judge.timeout_s, config.judge.concurrency) == (9.0, 32)
    assert (config.top_p, config.mode, config.own) == (0.9, "pairwise", False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"judge": None}, "nobody judges. Name a judge with --judge ENGINE"),
        ({"engines": ["vllm"]}, "--engine: 'vllm': vLLM is used as a server"),
        ({"engines": ["transformers"]}, "--engine: no model is named"),
        ({"sets": ["judges.model=x"]}, "there is no 'judges' to set"),
        ({"sets": ["engine2.model=x"]}, "there is no 'engine2' to set"),
        ({"sets": ["judge_pairs.top=1"]}, "top: there is no such field"),
        ({"sets": ["judge_pairs.judge=x"]}, "'judge' is no setting of this command"),
        ({"sets": ["judge_pairs=1"]}, "judge_pairs is no field but holds fields"),
        ({"fields": {"mode": "best"}}, "mode: Input should be 'pointwise' or 'pairwise'"),
    ],
)
def test_mistakes_are_sentences(arguments: dict[str, Any], sentence: str) -> None:
    url = "openai:a@http://localhost:1/v1"
    given = {"engines": [url], "judge": url, "fields": {}, "sets": []} | arguments
    with pytest.raises(TeachableError) as error:
        settings(**given)
    assert sentence in error.value.sentence()


def test_responses_of_a_file_are_judged(in_process: CliRunner, tmp_path: Path, world: Any) -> None:
    rows = [{"prompt": f"{i}?", "answer": "1", "responses": ["[7]\nAnswer: 1", "[9]\nAnswer: 2"]} for i in range(3)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = f"openai:judge@{world[2].url}"
    result = in_process.invoke(app, ["judge-pairs", "--responses", "r.jsonl", "--judge", judge, "--out", "o"])
    assert result.exit_code == 0, result.stderr
    assert "3  the verifier finds the preferred one wrong and the other right" in result.stdout
    assert world[0].asked == world[1].asked == []


def test_without_prompts_the_user_is_told(in_process: CliRunner) -> None:
    result = in_process.invoke(app, ["judge-pairs", "--judge", "openai:j@http://localhost:1/v1", "--out", "o"])
    assert result.exit_code == 2 and "there are no prompts. Name a file of prompts, or --responses" in result.stderr


def test_a_limit_of_tokens_ends_with_3(in_process: CliRunner, tmp_path: Path, world: Any) -> None:
    result = in_process.invoke(app, asking(world, "o", "--votes", "1", "--max-tokens", "500"))
    assert result.exit_code == 3 and "--max-tokens" in result.stderr.splitlines()[-1]
    assert read_json(tmp_path / "o/stats.json")["complete"] is False


# ---- killed and stopped ----


def until_judged(world: tuple[FaultyServer, FaultyServer, FaultyServer], n: int, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while sum(seen.status == 200 for seen in world[2].asked) < n:
        assert time.monotonic() < end, "the judge was not asked"
        time.sleep(0.005)


def until_two_are_held(judge: FaultyServer, timeout_s: float = 60) -> None:
    """From now on the judge takes long; wait until two questions that came since are unanswered."""
    n, judge.latency_s = len(judge.asked), 3.0
    end = time.monotonic() + timeout_s
    while sum(seen.status == 0 for seen in judge.asked[n:]) < 2:
        assert time.monotonic() < end, "the judge is not asked two questions at once"
        time.sleep(0.005)


def slow(folder: Path, world: tuple[FaultyServer, FaultyServer, FaultyServer], out: str) -> Any:
    """The judge takes a while, and is asked two questions at once at most."""
    world[2].latency_s = 0.05
    return start([*asking(world, out), *SLOWLY], folder, program=["-m", "teachable"])


SLOWLY = ["--votes", "1", "--set", "judge.concurrency=2"]


@pytest.mark.slow
def test_killed_it_ends_with_the_same_bytes_and_pays_for_nothing_twice(
    in_process: CliRunner, tmp_path: Path, world: Any
) -> None:
    process = slow(tmp_path, world, "killed")
    until_judged(world, 8)
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed/stats.json").exists()
    result = in_process.invoke(app, [*asking(world, "killed"), *SLOWLY])
    assert result.exit_code == 0, result.stderr
    asked = [Counter(seen.prompt for seen in server.asked) for server in world]
    # What was in flight at the kill is asked again: two of the judge's questions.
    assert [sum(n - 1 for n in counts.values()) for counts in asked[:2]] == [0, 0]
    assert len(asked[2]) == 2 * N_PROMPTS and sum(n - 1 for n in asked[2].values()) <= 2
    assert in_process.invoke(app, [*asking(world, "undisturbed"), *SLOWLY]).exit_code == 0
    for name in TABLES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


@pytest.mark.slow
def test_ctrl_c_writes_what_is_judged_and_the_same_command_goes_on(
    in_process: CliRunner, tmp_path: Path, world: Any
) -> None:
    process = slow(tmp_path, world, "o")
    until_judged(world, 8)
    until_two_are_held(world[2])
    process.send_signal(signal.SIGINT)
    result = finish(process)
    world[2].latency_s = 0.0
    assert result.returncode == 130 and "Traceback" not in result.stderr, result.stderr
    assert "2 requests in flight are being finished" in result.stderr
    stats = read_json(tmp_path / "o/stats.json")
    assert stats["complete"] is False and 0 < stats["n_finished"] < N_PROMPTS
    assert len(read_rows(tmp_path / "o/preferences.parquet")) == stats["n_pairs"] > 0
    n_asked = len(world[2].asked)
    assert in_process.invoke(app, [*asking(world, "o"), *SLOWLY]).exit_code == 0
    assert n_asked < len(world[2].asked) == 2 * N_PROMPTS
