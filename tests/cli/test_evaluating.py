"""`teachable evaluate` as a user runs it: processes, servers on sockets, mistakes, ctrl-C and kills."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Command, finish, start
from tests.cli.test_process import HEAVY, imported
from tests.engines.faulty import FaultyServer, closed_port
from typer.testing import CliRunner

from teachable.cli.evaluating import recipe_of
from teachable.cli.main import app
from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig
from teachable.store.files import read_json, read_rows
from teachable.tasks.config import TasksConfig

N = 8
SUMS = {f"{i} + {i + 1}?": str(2 * i + 1) for i in range(N)}
TABLES = ("scores.parquet", "attempts.parquet")
URL = "http://127.0.0.1:1/v1"
Servers = tuple[FaultyServer, FaultyServer]


def adds(accuracy: float) -> Callable[[dict[str, Any], random.Random], str]:
    def answer(body: dict[str, Any], luck: random.Random) -> str:
        right = SUMS[body["messages"][-1]["content"]]
        return f"Answer: {right if luck.random() < accuracy else '0'}"

    return answer


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """A file of sums, and two servers whose models add them up, one better than the other."""
    rows = [{"prompt": text, "answer": answer} for text, answer in SUMS.items()]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    more = [{"prompt": text, "answer": answer} for text, answer in list(SUMS.items())[:3]]
    (tmp_path / "few.jsonl").write_text(
        "".join(json.dumps({**row, "id": f"few{i}"}) + "\n" for i, row in enumerate(more))
    )
    with (
        FaultyServer(answer=adds(0.9), honour_seed=True, model="good") as good,
        FaultyServer(answer=adds(0.3), honour_seed=True, model="poor") as poor,
    ):
        yield good, poor


def named(server: FaultyServer) -> str:
    return f"openai:{server.model}@{server.url}"


def asking(servers: Servers, out: str = "o", *more: str) -> list[str]:
    return ["evaluate", *map(named, servers), "--tasks", "sums.jsonl", "--k", "2", "--out", out, *more]


def n_asked(servers: Servers) -> list[int]:
    return [len(server.asked) for server in servers]


def test_help_says_what_there_is_and_imports_nothing_heavy(teachable: Command) -> None:
    result = teachable("evaluate", "--help", flags=("-X", "importtime"))
    assert result.returncode == 0
    flags = (
        "--tasks",
        "--k",
        "--temperature",
        "--max-tokens-per-answer",
        "--limit",
        "--judge",
        "--dry-run",
        "--max-cost",
    )
    for flag in (*flags, "--max-tokens", "--recipe", "--set", "--seed", "--json"):
        assert flag in result.stdout
    assert not imported(result.stderr) & {*HEAVY, "yaml", "rich"}


def test_servers_are_compared_without_a_model_library(teachable: Command, servers: Servers) -> None:
    command = ["evaluate", named(servers[0]), "--tasks", "few.jsonl", "--k", "1", "--out", "o"]
    result = teachable(*command, flags=("-X", "importtime"))
    assert result.returncode == 0
    assert not imported(result.stderr) & {"torch", "transformers", "lm_eval", "reasoning_gym", "datasets"}


def test_models_are_compared_and_the_numbers_are_those_of_the_files(
    in_process: CliRunner, tmp_path: Path, servers: Servers
) -> None:
    more = ["--tasks", "few.jsonl", "--set", "model1.usd_per_million_out=100"]
    result = in_process.invoke(app, asking(servers, "o", *more))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    columns = ["model", "task", "questions", "pass@1", "greedy", "maj@2", "pass@2", "tokens/question", "$/question"]
    assert lines[0].split() == columns
    rows = read_rows(tmp_path / "o/evaluate/scores.parquet")
    for line in lines[1:5]:
        model, task, n, mean = line.split()[:4]
        mine = [row for row in rows if (row["model"], row["task"]) == (model, task)]
        assert int(n) == len(mine) == {"sums": N, "few": 3}[task]
        assert mean == f"{100 * sum(row['n_correct'] / 2 for row in mine) / len(mine):.1f}"
        tokens = sum(row["n_tokens"] for row in mine) / len(mine)
        assert line.split()[-2:] == [f"{tokens:,.0f}", f"{tokens / 1e4 if model == 'good' else 0:.5f}"]
    stats = read_json(tmp_path / "o/evaluate/stats.json")
    told = [line for line in lines if line.startswith("poor - good")]
    assert [line.split()[3] for line in told] == ["all", "sums", "few"]
    compared = [c for c in stats["comparisons"] if c["metric"] == "pass@1"]
    assert [line.split()[4] for line in told] == [f"{100 * c['diff']:+.1f}" for c in compared]
    assert any(line.startswith("This test set can't tell apart models closer than ") for line in lines)
    assert stats["verdict"]["sentence"] in lines
    assert lines[-1].endswith("scores.parquet, attempts.parquet, stats.json in o/evaluate; report: o/report.html")
    asked = n_asked(servers)
    again = in_process.invoke(app, asking(servers, "o", *more))
    assert "evaluate: everything is up to date" in again.stdout.splitlines()[-1]
    assert n_asked(servers) == asked == [22, 22]


def test_json_holds_the_whole_of_it(in_process: CliRunner, tmp_path: Path, servers: Servers) -> None:
    found = json.loads(in_process.invoke(app, asking(servers, "o", "--json")).stdout)
    assert (found["out"], found["up_to_date"], found["n_questions"]) == ("o", False, N)
    assert {name: found[name] for name in found if name not in ("out", "up_to_date")} == read_json(
        tmp_path / "o/evaluate/stats.json"
    )


def test_another_model_and_another_setting_ask_only_for_what_is_new(in_process: CliRunner, servers: Servers) -> None:
    alone = ["evaluate", named(servers[0]), "--tasks", "sums.jsonl", "--k", "2", "--out", "o"]
    first = in_process.invoke(app, alone)
    assert "there is no other model to compare it with" in first.stdout
    assert n_asked(servers) == [2 * N, 0]
    assert in_process.invoke(app, asking(servers)).exit_code == 0
    assert n_asked(servers) == [2 * N, 2 * N]
    assert in_process.invoke(app, asking(servers, "o", "--k", "3")).exit_code == 0
    assert n_asked(servers) == [3 * N, 3 * N]  # one more sample of each question


def test_a_dry_run_says_what_it_would_cost_and_the_written_recipe_can_be_planned(
    in_process: CliRunner, tmp_path: Path, servers: Servers
) -> None:
    priced = ["--set", "model.usd_per_million_out=1000000", "--set", "evaluate.max_tokens=10"]
    result = in_process.invoke(app, asking(servers, "o", "--dry-run", *priced))
    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert head.split()[1:5] == ["prompts", "completions", "tokens", "cost"]
    assert lines[1].split()[:6] == [
        "evaluate",
        "run",
        str(N),
        str(2 * N * 3),
        str(2 * N * 3 * 2),
        f"${2 * N * 3 * 2:.2f}",
    ]
    assert not (tmp_path / "o").exists() and n_asked(servers) == [0, 0]
    assert in_process.invoke(app, asking(servers, "o", *priced)).exit_code == 0
    planned = json.loads(in_process.invoke(app, ["plan", "o/run.yaml", "--out", "o", "--json"]).stdout)
    assert [stage["action"] for stage in planned["stages"]] == ["cached"] * 3
    planned = json.loads(in_process.invoke(app, ["plan", "o/run.yaml", "--out", "other", "--json"]).stdout)
    assert planned["total"]["completions"] == 2 * N * 3


# ---- options ----


def configs(*models: str, out: Path = Path("o"), **options: Any) -> tuple[EvaluateConfig, TasksConfig]:
    given: dict[str, Any] = {"tasks": ["gsm8k", "gym:chain_sum"], "fields": {}} | options
    recipe = recipe_of(out, models, given.pop("tasks"), given.pop("fields"), **given)
    evaluate, tasks = recipe.stage("evaluate").config, recipe.stage("tasks").config
    assert isinstance(evaluate, EvaluateConfig) and isinstance(tasks, TasksConfig)
    return evaluate, tasks


def test_options_reach_the_settings(tmp_path: Path) -> None:
    sets = ["model.concurrency=4", "model2.api_key_env=KEY", "judge.timeout_s=9", "evaluate.top_p=0.9"]
    sets += ["evaluate.labels=[small, large]", "tasks.limit=7", "resources.workers=1"]
    fields = {"n_samples": 8, "temperature": 0.6, "max_tokens": 99}
    evaluate, tasks = configs(
        f"openai:a@{URL}", f"openai:b@{URL}", judge=f"openai:j@{URL}", fields=fields, sets=sets, limit=5, out=tmp_path
    )
    assert [(one.concurrency, one.api_key_env) for one in evaluate.beside] == [(4, ""), (4, "KEY")]
    assert evaluate.judge is not None and (evaluate.judge.timeout_s, evaluate.judge.concurrency) == (9.0, 32)
    assert (evaluate.n_samples, evaluate.temperature, evaluate.max_tokens, evaluate.top_p) == (8, 0.6, 99, 0.9)
    assert list(evaluate.named) == ["small", "large"]
    assert (tasks.source, tasks.benchmarks, tasks.limit) == ("none", ("gsm8k", "gym:chain_sum"), 7)


def test_in_a_run_of_a_recipe_models_are_asked_beside_its_own(tmp_path: Path) -> None:
    stages = {"tasks": {"n_pool": 50}, "evaluate": {"n_samples": 2}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"name": "mine", "stages": stages}))
    evaluate, tasks = configs(f"openai:large@{URL}", tasks=[], out=tmp_path)
    assert (list(evaluate.named), evaluate.n_samples, tasks.n_pool) == (["large"], 2, 50)
    assert configs(tasks=[], out=tmp_path)[0].beside == ()
    other, _ = configs(f"openai:large@{URL}", tasks=[], out=tmp_path / "o", recipe=tmp_path / "run.yaml")
    assert list(other.named) == ["large"]


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"models": []}, "evaluate: no model is named. Name the base first, then the others"),
    ({"tasks": []}, "evaluate: no task is named. Write --tasks TASK: NAME, NAME=PATH, gym:FAMILY"),
    ({"models": ["gpt"]}, "MODEL: there is no engine 'gpt'"),
    ({"models": ["vllm:x"]}, "vLLM is used as a server"),
    ({"models": ["transformers"]}, "no model is named. Write transformers:MODEL"),
    ({"models": ["./gone"]}, "the model './gone' is no folder that exists and no hub id"),
    ({"models": ["scripted:gone.json"]}, "there is no table"),
    ({"models": [f"openai:a@{URL}"] * 2}, "the model a is named twice: name each once"),
    ({"tasks": ["gsm8k", "gsm8k"]}, "the benchmark 'gsm8k' is named twice"),
    ({"tasks": ["gsm8k=gone.jsonl"]}, "there is no file or folder"),
    ({"sets": ["model2.concurrency=1"]}, "there is no 'model2' to set"),
    ({"sets": ["judge.concurrency=1"]}, "there is no 'judge' to set"),
    ({"sets": ["model=1"]}, "model is no field but holds fields"),
    ({"sets": ["model1.concurency=1"]}, "there is no field 'concurency'"),
    ({"sets": ["evaluate.samples=1"]}, "there is no field 'samples' (did you mean 'n_samples'?)"),
    ({"fields": {"temperature": 0.0}}, "input should be greater than 0"),
    ({"judge": "j"}, "--judge: there is no engine 'j'"),
]


@pytest.mark.parametrize(("options", "sentence"), MISTAKES)
def test_mistakes_are_sentences(options: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    models = options.get("models", [f"openai:a@{URL}"])
    with pytest.raises(TeachableError) as error:
        configs(*models, out=tmp_path, **{name: value for name, value in options.items() if name != "models"})
    assert sentence in error.value.sentence() and "\n" not in error.value.sentence()


def test_questions_of_a_recipe_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"name": "mine", "stages": {"tasks": {}}}))
    with pytest.raises(TeachableError, match=r"--tasks: the recipe 'mine' has questions of its own"):
        configs(f"openai:a@{URL}", tasks=["gsm8k"], out=tmp_path)


def test_faults_of_the_world_are_sentences(in_process: CliRunner, tmp_path: Path, servers: Servers) -> None:
    with closed_port() as port:
        down = in_process.invoke(
            app, ["evaluate", f"openai:x@http://127.0.0.1:{port}/v1", "--tasks", "sums.jsonl", "--out", "a"]
        )
    assert down.exit_code == 2 and f"127.0.0.1:{port}" in down.stderr.splitlines()[-1]
    unknown = in_process.invoke(app, ["evaluate", named(servers[0]), "--tasks", "gsm9k", "--out", "b"])
    assert unknown.exit_code == 2 and "gsm9k" in unknown.stderr.splitlines()[-1] and "gsm8k" in unknown.stderr
    rows = [{"prompt": text, "answer": answer, "verifier": "judge"} for text, answer in SUMS.items()]
    (tmp_path / "open.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    unjudged = in_process.invoke(app, ["evaluate", named(servers[0]), "--tasks", "open.jsonl", "--out", "c"])
    assert unjudged.exit_code == 2 and "no judge is named. Name one with --judge ENGINE" in unjudged.stderr
    assert n_asked(servers) == [0, 0]


def test_what_failed_is_asked_again_by_the_same_command(in_process: CliRunner, servers: Servers) -> None:
    good, broken = servers[0], next(iter(SUMS))
    good.refuse = lambda body: (
        (400, {"error": {"message": "not today"}}) if body["messages"][-1]["content"] == broken else None
    )
    result = in_process.invoke(app, asking(servers))
    assert result.exit_code == 0 and "good failed on 1 of 8 questions" in result.stderr
    assert "of the sampled answers could not be decided and count in no mean" in result.stdout
    good.refuse, before = None, n_asked(servers)
    for command in (asking(servers), ["evaluate", "--out", "o"]):
        result = in_process.invoke(app, command)
        assert result.exit_code == 0 and "could not be decided" not in result.stdout
        assert n_asked(servers) == [before[0] + 2, before[1]]  # its samples and its greedy answer, once


def test_a_limit_of_tokens_ends_with_3(in_process: CliRunner, tmp_path: Path, servers: Servers) -> None:
    result = in_process.invoke(app, asking(servers, "o", "--max-tokens", "600"))
    assert result.exit_code == 3 and "--max-tokens" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "o/evaluate/scores.parquet").exists()
    assert sum(n_asked(servers)) > 0
    assert in_process.invoke(app, asking(servers)).exit_code == 0
    assert n_asked(servers) == [2 * N, 2 * N]


# ---- killed and stopped ----

SLOWLY = ["--set", "model.concurrency=2"]


def until(there: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not there():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def n_answered(servers: Servers) -> int:
    return sum(seen.status == 200 for server in servers for seen in server.asked)


def hold(server: FaultyServer) -> None:
    """From now on the server takes long; wait until two questions that came since are unanswered."""
    n, server.latency_s = len(server.asked), 3.0
    until(lambda: sum(seen.status == 0 for seen in server.asked[n:]) == 2, "it is not asked two questions at once")


def begun(folder: Path, servers: Servers, out: str) -> Any:
    for server in servers:
        server.latency_s = 0.05
    return start([*asking(servers, out), *SLOWLY], folder, program=["-m", "teachable"])


def twice(server: FaultyServer) -> int:
    """Requests that came again: the samples of a question differ from its greedy answer by their temperature."""
    asked = Counter((seen.prompt, seen.body["temperature"]) for seen in server.asked)
    return sum(n - 1 for n in asked.values())


@pytest.mark.slow
def test_killed_it_ends_with_the_same_bytes_and_pays_for_nothing_twice(
    in_process: CliRunner, tmp_path: Path, servers: Servers
) -> None:
    process = begun(tmp_path, servers, "killed")
    until(lambda: n_answered(servers) >= 8, "nothing is answered")
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed/evaluate/stats.json").exists()
    for server in servers:
        server.latency_s = 0.0
    result = in_process.invoke(app, [*asking(servers, "killed"), *SLOWLY])
    assert result.exit_code == 0, result.stderr
    # What was in flight at the kill is asked again: two questions of each server at most.
    assert all(twice(server) <= 2 for server in servers)
    assert in_process.invoke(app, [*asking(servers, "undisturbed"), *SLOWLY]).exit_code == 0
    for name in TABLES:
        bytes_of = [(tmp_path / out / "evaluate" / name).read_bytes() for out in ("killed", "undisturbed")]
        assert bytes_of[0] == bytes_of[1]


@pytest.mark.slow
def test_ctrl_c_finishes_what_is_in_flight_and_the_same_command_goes_on(
    in_process: CliRunner, tmp_path: Path, servers: Servers
) -> None:
    process = begun(tmp_path, servers, "o")
    until(lambda: n_answered(servers) >= 4, "nothing is answered")
    servers[1].latency_s = 3.0
    hold(servers[0])
    until(lambda: sum(seen.status == 0 for seen in servers[1].asked) == 2, "the other is not asked two questions")
    process.send_signal(signal.SIGINT)
    result = finish(process)
    for server in servers:
        server.latency_s = 0.0
    assert result.returncode == 130 and "Traceback" not in result.stderr, result.stderr
    assert "evaluate: stopping, 4 requests in flight are being finished" in result.stderr
    assert not (tmp_path / "o/evaluate/stats.json").exists()
    assert sum(n_asked(servers)) < 4 * N
    assert in_process.invoke(app, [*asking(servers, "o"), *SLOWLY]).exit_code == 0
    assert n_asked(servers) == [2 * N, 2 * N] and [twice(server) for server in servers] == [0, 0]
