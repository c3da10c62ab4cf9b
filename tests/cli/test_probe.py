"""`teachable probe` as a user runs it: a process, a prompt file, a server on a socket, limits, kills and mistakes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command, finish, start
from tests.engines.faulty import FaultyServer

from teachable.records import Attempt, Estimate
from teachable.store.files import read_json, read_records, read_rows, write_rows
from teachable.store.ledger import Ledger

N = 60
KEY = "sk-very-secret-0123456789"


def rate(body: dict[str, Any]) -> float:
    """The pass rate that a question states."""
    return float(body["messages"][-1]["content"].split()[-1])


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    """Right as often as the question says, by the request's seed."""
    answer = lambda body, luck: "Answer: yes" if luck.random() < rate(body) else "Answer: no"  # noqa: E731
    with FaultyServer(honour_seed=True, answer=answer, latency_s=0.01, key=KEY) as serving:
        yield serving


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THE_KEY", KEY)
    path = tmp_path / "questions.jsonl"
    rates = [0.0, 0.02, 0.3, 0.6, 1.0, 0.99]
    write_rows(path, [{"problem": f"number {i}: {rates[i % 6]}", "gold": "yes", "subject": "yn"} for i in range(N)])
    return path


def arguments(server: FaultyServer, out: str, *more: str) -> list[str]:
    engine = f"openai:{server.model}@{server.url}"
    settings = ["--set", "engine.api_key_env=THE_KEY", "--set", "probe.max_tokens=16"]
    return ["probe", "questions.jsonl", "--engine", engine, "--out", out, *settings, *more]


def n_samples(server: FaultyServer) -> int:
    return sum(len(seen.delivered) for seen in server.asked)


def test_a_file_is_probed_through_a_server(
    teachable: Command, server: FaultyServer, prompts: Path, tmp_path: Path
) -> None:
    result = teachable(*arguments(server, "run", "--map", "answer=gold", "--json"))
    assert result.returncode == 0, result.stderr
    assert "columns: prompt <- problem, answer <- gold, domain <- subject" in result.stderr
    assert set(json.loads(result.stdout)["stages"]) == {"tasks", "probe"}  # a served model needs no base
    found = read_records(tmp_path / "run/probe/estimates.parquet", Estimate)
    assert len(found) == N
    planted = dict(zip((0.0, 0.3, 0.6, 1.0), ("beyond", "teachable", "teachable", "mastered"), strict=True))
    texts = {row["id"]: row["messages"][0]["content"] for row in read_rows(tmp_path / "run/tasks/prompts.parquet")}
    right = [
        one.zone == planted[float(texts[one.prompt_id].split()[-1])]
        for one in found
        if float(texts[one.prompt_id].split()[-1]) in planted
    ]
    # At most a tenth of 40 should be wrong; 10 or more would happen once in three thousand times.
    assert sum(right) >= 31
    assert sum(one.n for one in found) == n_samples(server) < 32 * N
    with Ledger(tmp_path / "run/ledger.sqlite") as ledger:
        assert ledger.totals("probe").completions == n_samples(server)


def test_the_key_is_in_no_file_and_no_message(
    teachable: Command, server: FaultyServer, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert teachable(*arguments(server, "run", "--map", "answer=gold")).returncode == 0
    wrong = "sk-wrong-9876543210"
    monkeypatch.setenv("THE_KEY", wrong)
    refused = teachable(*arguments(server, "other", "--map", "answer=gold"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "THE_KEY" in refused.stderr and refused.stderr.strip().splitlines()[-1].startswith("error: ")
    assert wrong not in refused.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert not [path for path in files if KEY.encode() in path.read_bytes() or wrong.encode() in path.read_bytes()]


def test_a_limit_ends_with_3_keeps_what_is_paid_and_the_same_command_goes_on(
    teachable: Command, server: FaultyServer, prompts: Path, tmp_path: Path
) -> None:
    priced = ["--map", "answer=gold", "--set", "engine.usd_per_million_out=1000000"]  # a dollar a token
    stopped = teachable(*arguments(server, "run", "--max-cost", "300", *priced))
    assert stopped.returncode == 3
    assert "--max-cost" in stopped.stderr and stopped.stderr.strip().splitlines()[-1].count(". ") <= 2
    with Ledger(tmp_path / "run/ledger.sqlite") as ledger:
        spent = ledger.totals().cost_usd
    assert 300 - 4 * 16 - 1 <= spent <= 300  # short of it by less than the most that one request could cost
    partial = read_records(tmp_path / "run/probe/estimates.parquet", Estimate)
    assert len(partial) == N and any(one.stopped == "interrupted" for one in partial)
    assert read_json(tmp_path / "run/probe/stats.json")["complete"] is False
    assert "probe" not in read_json(tmp_path / "run/manifest.json")["stages"]

    gone_on = teachable(*arguments(server, "run", *priced))
    assert gone_on.returncode == 0, gone_on.stderr
    resumed = (tmp_path / "run/probe/estimates.parquet").read_bytes()
    paid = n_samples(server)
    assert teachable(*arguments(server, "calm", *priced)).returncode == 0
    assert (tmp_path / "calm/probe/estimates.parquet").read_bytes() == resumed
    assert n_samples(server) == 2 * paid  # what the first run had paid for was not asked for again


def test_a_token_limit_stops_too(teachable: Command, server: FaultyServer, prompts: Path, tmp_path: Path) -> None:
    stopped = teachable(*arguments(server, "run", "--max-tokens", "200", "--map", "answer=gold"))
    assert stopped.returncode == 3 and "--max-tokens" in stopped.stderr
    with Ledger(tmp_path / "run/ledger.sqlite") as ledger:
        assert 0 < ledger.totals().tokens_out <= 200


def test_killed_at_random_moments_it_ends_with_the_same_bytes_and_pays_once(
    server: FaultyServer, prompts: Path, tmp_path: Path
) -> None:
    program = ["-m", "teachable"]
    options = ["--map", "answer=gold", "--set", "engine.concurrency=4"]
    calm = finish(start(arguments(server, "calm", *options), tmp_path, program=program))
    assert calm.returncode == 0, calm.stderr
    once = n_samples(server)
    luck, n_kills = random.Random(5), 0
    for _ in range(4):
        process = start(arguments(server, "killed", *options), tmp_path, program=program)
        try:
            process.wait(luck.uniform(0.8, 1.6))
        except subprocess.TimeoutExpired:
            n_kills += 1
            process.kill()
        process.communicate()
    assert finish(start(arguments(server, "killed", *options), tmp_path, program=program)).returncode == 0
    assert n_kills >= 2
    for name in ("estimates.parquet", "attempts.parquet"):
        assert (tmp_path / "killed/probe" / name).read_bytes() == (tmp_path / "calm/probe" / name).read_bytes()
    most_in_flight = 4 * max(seen.n for seen in server.asked)
    assert once <= n_samples(server) - once <= once + n_kills * most_in_flight


def test_an_interrupt_finishes_what_is_in_flight_and_ends_with_130(
    server: FaultyServer, prompts: Path, tmp_path: Path
) -> None:
    server.latency_s = 0.3
    process = start(arguments(server, "run", "--map", "answer=gold"), tmp_path, program=["-m", "teachable"])
    until = time.monotonic() + 20
    while len(server.asked) < 10 and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    result = finish(process)
    assert result.returncode == 130, result.stderr
    assert "requests in flight" in result.stderr and "Traceback" not in result.stderr
    with Ledger(tmp_path / "run/ledger.sqlite") as ledger:
        assert ledger.totals().completions == n_samples(server) > 0
    attempts = read_records(tmp_path / "run/probe/attempts.parquet", Attempt)
    assert len(attempts) == n_samples(server)


def test_a_price_is_no_reason_to_probe_again_but_a_threshold_is(
    teachable: Command, server: FaultyServer, prompts: Path
) -> None:
    assert teachable(*arguments(server, "run", "--map", "answer=gold")).returncode == 0
    before = n_samples(server)
    again = teachable(*arguments(server, "run", "--set", "engine.usd_per_million_out=3", "--set", "engine.timeout_s=9"))
    assert (again.returncode, n_samples(server)) == (0, before)
    assert "up to date" in again.stdout
    other = teachable(*arguments(server, "run", "--high", "0.95"))
    assert other.returncode == 0 and "up to date" not in other.stdout
    assert n_samples(server) < 2 * before  # the ledger has most of what the new thresholds want


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--engine", "nosuch"], "--engine: there is no engine 'nosuch'. Write transformers:MODEL"),
        (["--engine", "vllm:m"], "Start `vllm serve MODEL` and write openai:MODEL@http://localhost:8000/v1"),
        (["--engine", "openai:m"], "Write openai:MODEL@http://HOST:PORT/v1"),
        (["--engine", "openai:m@http://me:secret@host/v1"], "a base_url holds no password and no query"),
        (["--engine", "scripted:none.json"], "there is no table"),
        (["--engine", "transformers:./empty"], "empty holds no config.json"),
        (["--engine", "transformers:./bare"], "bare holds no weights (*.safetensors)"),
        (["--engine", "openai:m@http://127.0.0.1:1/v1"], "no server answers at http://127.0.0.1:1/v1"),
        (["--engine", "scripted:t.json", "--map", "answer=nope"], "there is no column 'nope' for the field 'answer'"),
        (["--engine", "scripted:t.json", "--map", "answer"], "--map: 'answer' maps nothing. Write field=column"),
        (["--engine", "scripted:t.json", "--low", "0.9", "--high", "0.1"], "low (0.9) must be below high (0.1)"),
        (["--engine", "scripted:t.json", "--teacher", "what"], "--teacher: there is no engine 'what'"),
        (
            ["--engine", "scripted:t.json", "--set", "engine.api_key_env=X", "--set", "probe.dleta=1"],
            "no field 'dleta'",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(
    teachable: Command, prompts: Path, tmp_path: Path, options: list[str], sentence: str
) -> None:
    (tmp_path / "t.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    result = teachable("probe", "questions.jsonl", "--out", "run", *options)
    assert (result.returncode, result.stdout) == (2, "")
    said = [line for line in result.stderr.splitlines() if not line.startswith("tasks: ")]
    assert len(said) == 1 and said[0].startswith("error: ") and sentence in said[0]
    assert "secret" not in result.stderr
    assert not list(tmp_path.glob("run/probe/*.parquet"))


def test_answers_by_a_table_teacher_and_agreement(teachable: Command, tmp_path: Path) -> None:
    """A teacher's plurality is the key of prompts without an answer, and contradicts a wrong one."""
    rows = [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "c", "answer": "9"}, {"prompt": "d", "answer": "4"}]
    write_rows(tmp_path / "p.jsonl", rows)
    model = {"a": ["Answer: 1", "Answer: 2"], "b": "Answer: 5", "c": "Answer: 3", "d": ["Answer: 4", "Answer: 0"]}
    teacher = {"a": "Answer: 1", "b": [f"Answer: {i}" for i in range(50)], "c": "Answer: 3", "d": "Answer: 4"}
    (tmp_path / "m.json").write_text(json.dumps(model))
    (tmp_path / "t.json").write_text(json.dumps(teacher))
    options = ["probe", "p.jsonl", "--engine", "scripted:m.json"]
    assert teachable(*options, "--teacher", "scripted:t.json", "--out", "taught").returncode == 0
    a, b, c, d = read_records(tmp_path / "taught/probe/estimates.parquet", Estimate)
    assert (a.zone, a.key, a.key_source, a.key_agreement, a.suspect) == ("teachable", "1", "teacher", 1.0, False)
    assert (b.zone, b.n, b.suspect) == ("ambiguous", 0, False) and "disagrees with itself" in b.reason
    assert c.suspect and (c.key, c.key_source) == ("9", "organic") and c.zone == "beyond"
    assert not d.suspect and d.zone == "teachable"

    chosen = teachable("select", "--out", "taught")
    assert chosen.returncode == 0, chosen.stderr
    decisions = {row["prompt_id"]: row for row in read_rows(tmp_path / "taught/select/decisions.parquet")}
    assert len(decisions) == 4
    assert [decisions[one.prompt_id]["decision"] for one in (a, b, c, d)] == ["in", "out", "out", "in"]
    assert "suspect" in decisions[c.prompt_id]["reason"]
    examples = {row["prompt_id"]: row for row in read_rows(tmp_path / "taught/select/examples.jsonl")}
    assert examples[a.prompt_id]["messages"][-1]["content"] == "Answer: 1"

    assert teachable(*options, "--out", "alone").returncode == 0
    a, b, c, d = read_records(tmp_path / "alone/probe/estimates.parquet", Estimate)
    assert (a.key_source, b.zone, b.key) == ("majority", "mastered", "5")
    assert a.zone == "teachable" and a.key in ("1", "2") and a.n_undecided == 8
    assert (c.key_source, c.zone, d.zone) == ("organic", "beyond", "teachable")
