"""`teachable verify` as a user runs it: a process, files, mistakes, a judge behind a socket, ctrl-C and kills."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command, finish, start
from tests.cli.test_process import HEAVY, imported
from tests.engines.faulty import FaultyServer
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.store.files import read_json, read_rows, write_rows

ROWS: list[dict[str, Any]] = [
    {"attempt": "So it is 5.\nAnswer: 5", "answer": "5"},
    {"attempt": "Answer: 6", "answer": "5"},
    {"attempt": "Answer: Yes", "answer": "yes", "verifier": "exact"},
    {"attempt": "no idea", "answer": None},
]
N_PROGRAMS = 16
PROGRAMS: list[dict[str, Any]] = [  # each takes a while and is a program of its own; every third is wrong
    {
        "attempt": f"import time\ndef f():\n    time.sleep(0.1)\n    return {i if i % 3 else -i - 1}\n",
        "tests": f"assert f() == {i}",
    }
    for i in range(N_PROGRAMS)
]


def write(folder: Path, rows: list[dict[str, Any]], name: str = "answers.jsonl") -> None:
    if name.endswith(".jsonl"):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        write_rows(folder / name, rows)


def test_help_says_what_there_is_and_imports_nothing_heavy(teachable: Command) -> None:
    result = teachable("verify", "--help", flags=("-X", "importtime"))
    assert result.returncode == 0
    for flag in ("--out", "--verifier", "--calibrate", "--unsafe-no-sandbox", "--json"):
        assert flag in result.stdout
    assert not imported(result.stderr) & {*HEAVY, "yaml", "rich"}


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.parquet"])
def test_a_file_is_verified_and_summed_up(teachable: Command, tmp_path: Path, name: str) -> None:
    write(tmp_path, ROWS, name)
    result = teachable("verify", name, "--out", "o")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert " ".join(lines[0].split()) == "verifier rows right wrong could not tell right of decided (95%)"
    assert lines[1].split()[:5] == ["math", "3", "1", "1", "1"]
    assert lines[2].split()[:5] == ["exact", "1", "1", "0", "0"]
    assert lines[3].split()[:7] == ["all", "4", "2", "1", "1", "(25.0%)", "66.7%"]
    assert "most frequent reasons" in lines
    assert lines[-1].startswith("verify: 4 rows in ") and lines[-1].endswith("verdicts in o/verdicts.parquet")
    assert "columns: attempt <- attempt, answer <- answer, verifier <- verifier" in result.stderr
    assert [row["correct"] for row in read_rows(tmp_path / "o/verdicts.parquet")] == [True, False, True, None]


def test_the_same_again_says_so_and_writes_nothing(teachable: Command, tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    teachable("verify", "answers.jsonl", "--out", "o")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "o").iterdir() if path.name != ".lock"}
    result = teachable("verify", "answers.jsonl", "--out", "o")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "verify: everything is up to date, verdicts in o/verdicts.parquet"
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_json_is_one_document(in_process: CliRunner, tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    command = ["verify", "answers.jsonl", "--out", "o", "--json"]
    found = json.loads(in_process.invoke(app, command).stdout)
    assert (found["out"], found["up_to_date"], found["right"], found["undecided"]) == ("o", False, 2, 1)
    assert found["verifiers"]["exact"]["rows"] == 1
    again = json.loads(in_process.invoke(app, command).stdout)
    assert again == found | {"up_to_date": True}


def test_flags_reach_their_verifiers(in_process: CliRunner, tmp_path: Path) -> None:
    rows = [
        {"attempt": "Answer: YES", "answer": "yes"},
        {"attempt": "Answer: the cat", "answer": "cat"},
        {"attempt": "Answer: 3.14", "answer": "3.15"},
    ]
    write(tmp_path, rows)

    def correct(*flags: str) -> list[bool]:
        result = in_process.invoke(app, ["verify", "answers.jsonl", "--verifier", "exact", "--out", "o", *flags])
        assert result.exit_code == 0, result.stderr
        return [row["correct"] for row in read_rows(tmp_path / "o/verdicts.parquet")]

    assert correct() == [True, False, False]
    assert correct("--no-fold-case") == [False, False, False]
    assert correct("--fold-articles") == [True, True, False]
    assert correct("--tolerance", "0.02") == [True, False, True]


def test_a_flag_that_concerns_no_row_is_worth_a_word(in_process: CliRunner, tmp_path: Path) -> None:
    write(tmp_path, ROWS[:2])
    result = in_process.invoke(
        app, ["verify", "answers.jsonl", "--out", "o", "--tolerance", "0.1", "--time-limit", "3"]
    )
    assert "note: --tolerance is for the verifier exact, which decided no row" in result.stderr
    assert "--time-limit" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone.jsonl"], "gone.jsonl: this file is missing"),
        (["empty.jsonl"], "empty.jsonl: the file holds no answers"),
        (["broken.jsonl"], "broken.jsonl:3: this line is no JSON"),
        (["unnamed.jsonl"], "there is no column `attempt`: it has answer, response. Name the column"),
        (["answers.jsonl", "--verifier", "mth"], "there is no verifier called 'mth'. The nearest name is 'math'"),
        (["unknown.jsonl"], "unknown.jsonl, row 2: there is no verifier called 'exakt'. The nearest name is 'exact'"),
        (["answers.jsonl", "--map", "answer"], "--map: 'answer' maps nothing"),
        (["answers.jsonl", "--map", "gold=answer"], "--map: there is no field 'gold'"),
        (["answers.jsonl", "--verifier", "judge"], "has no engine. Name it with --engine"),
        (["answers.jsonl", "--calibrate"], "--calibrate: there is no engine"),
        (["answers.jsonl", "--engine", "gpt"], "there is no engine 'gpt'"),
        (["answers.jsonl", "--engine", "transformers"], "--engine: no model is named"),
        (["answers.jsonl", "--set", "engine.retries=1"], "there is no engine to set a field of"),
        (["answers.jsonl", "--rubric", "gone.txt"], "gone.txt: this rubric can't be read"),
        (["answers.jsonl", "--time-limit", "0"], "--time-limit: 0 s is no time limit"),
        (["answers.jsonl", "--out", "answers.jsonl"], "the output folder is a file"),
        (["answers.jsonl", "--out", "."], "the output folder is not empty and holds no run"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    in_process: CliRunner, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    write(tmp_path, ROWS)
    write(tmp_path, [], "empty.jsonl")
    (tmp_path / "broken.jsonl").write_text('{"attempt": "1", "answer": "1"}\n\n{"attempt": oops}\n')
    write(tmp_path, [{"response": "1", "answer": "1"}], "unnamed.jsonl")
    write(tmp_path, [ROWS[0], ROWS[1] | {"verifier": "exakt"}], "unknown.jsonl")
    out = [] if "--out" in arguments else ["--out", "o"]
    result = in_process.invoke(app, ["verify", *arguments, *out])
    assert (result.exit_code, result.stdout) == (2, ""), result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert sentence in result.stderr
    assert not (tmp_path / "o").exists()


def test_without_a_sandbox_programs_are_refused_and_the_way_out_is_named(
    teachable: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [*ROWS, PROGRAMS[1]])
    refusing = tmp_path / "bin" / "bwrap"  # as where the system grants no namespaces
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", str(refusing.parent))
    result = teachable("verify", "answers.jsonl", "--out", "o")
    assert (result.returncode, result.stdout) == (2, "")
    assert "bubblewrap" in result.stderr and "--unsafe-no-sandbox" in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()
    unsafe = teachable("verify", "answers.jsonl", "--out", "o", "--unsafe-no-sandbox")
    assert unsafe.returncode == 0, unsafe.stderr
    assert read_rows(tmp_path / "o/verdicts.parquet")[-1]["correct"] is True


# ---- programs that take a while ----


def slow(folder: Path, out: str) -> subprocess.Popen[str]:
    """Programs of our own, so that no sandbox is needed to see what a kill costs."""
    return start(["verify", "answers.jsonl", "--out", out, "--unsafe-no-sandbox"], folder, program=["-m", "teachable"])


def until_some_are_kept(out: Path, n: int = 3, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not (out / "journal.jsonl").is_file() or (out / "journal.jsonl").read_bytes().count(b"\n") < n:
        assert time.monotonic() < end, "no program was verified"
        time.sleep(0.01)


def journal_keys(out: Path) -> list[str]:
    return [json.loads(line)["key"] for line in (out / "journal.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_ctrl_c_finishes_what_is_in_flight_and_the_same_command_goes_on(tmp_path: Path) -> None:
    write(tmp_path, PROGRAMS)
    process = slow(tmp_path, "o")
    until_some_are_kept(tmp_path / "o")
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.returncode == 130, result.stderr
    assert "in flight are being finished" in result.stderr and "Traceback" not in result.stderr
    assert "every verdict so far is kept" in result.stderr.splitlines()[-1]
    kept = len(journal_keys(tmp_path / "o"))
    rows = read_rows(tmp_path / "o/verdicts.parquet")
    assert sum(row["correct"] is not None for row in rows) == kept < len(rows) == N_PROGRAMS
    assert read_json(tmp_path / "o/stats.json")["complete"] is False
    done = finish(slow(tmp_path, "o"))
    assert done.returncode == 0, done.stderr
    assert len(journal_keys(tmp_path / "o")) == len(set(journal_keys(tmp_path / "o"))) == N_PROGRAMS
    rows = read_rows(tmp_path / "o/verdicts.parquet")
    assert [row["correct"] for row in rows] == [i % 3 != 0 for i in range(N_PROGRAMS)]


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bytes_and_redoes_nothing(tmp_path: Path) -> None:
    write(tmp_path, PROGRAMS)
    draw = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID", "0"))
    assert finish(slow(tmp_path, "undisturbed")).returncode == 0
    for _ in range(3):
        process = slow(tmp_path, "killed")
        before = len(journal_keys(tmp_path / "killed")) if (tmp_path / "killed/journal.jsonl").is_file() else 0
        until_some_are_kept(tmp_path / "killed", min(before + 1, N_PROGRAMS))
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        process.communicate()
    assert finish(slow(tmp_path, "killed")).returncode == 0
    assert len(journal_keys(tmp_path / "killed")) == len(set(journal_keys(tmp_path / "killed"))) == N_PROGRAMS
    same = [(tmp_path / out / "verdicts.parquet").read_bytes() for out in ("undisturbed", "killed")]
    assert same[0] == same[1]
    assert not [path for path in (tmp_path / "killed").iterdir() if path.name.endswith(".tmp")]


# ---- the judge ----


def reply(body: dict[str, Any], luck: random.Random) -> str:
    """What a judge says that takes every answer for right but 6."""
    text = body["messages"][-1]["content"]
    seal = re.findall(r'"seal": "([0-9a-f]+)"', text)[-1]
    wrong = "Answer: 6" in text
    return json.dumps({"seal": seal, "reason": "by looking", "correct": not wrong})


def test_calibration_prints_agreement_and_kappa_and_writes_them(teachable: Command, tmp_path: Path) -> None:
    rows = [{"attempt": f"Answer: {i % 4 + 4}", "answer": "5", "question": f"{i}: 2+3?"} for i in range(12)]
    write(tmp_path, rows)  # 4 and 7 are wrong and accepted, 5 right and accepted, 6 wrong and refused
    (tmp_path / "rubric.txt").write_text("SAY YES.")
    with FaultyServer(answer=reply) as server:
        engine = f"openai:{server.model}@{server.url}"
        judged = ["--engine", engine, "--rubric", "rubric.txt", "--votes", "1", "--set", "engine.concurrency=4"]
        result = teachable("verify", "answers.jsonl", "--out", "o", "--calibrate", *judged)
        asked = len(server.asked)
    assert result.returncode == 0, result.stderr
    assert all("SAY YES." in seen.prompt for seen in server.asked)
    assert asked == 12 and max(seen.in_flight for seen in server.asked) <= 4
    assert "the judge compared on 12 rows (12 from math)" in result.stdout
    assert "Agreement 50.0%" in result.stdout and "kappa 0.200" in result.stdout
    counts = [line.split()[-2:] for line in result.stdout.splitlines() if line.startswith("label ")]
    assert counts == [["3", "0"], ["6", "3"]]
    found = read_json(tmp_path / "o/calibration.json")
    assert (found["agreement"]["value"], round(found["kappa"], 3)) == (0.5, 0.2)


def test_a_limit_of_tokens_ends_with_3(teachable: Command, tmp_path: Path) -> None:
    write(tmp_path, [{"attempt": f"Answer: {i}", "answer": "5", "question": "2+3?"} for i in range(9)])
    with FaultyServer(answer=reply) as server:
        engine = f"openai:{server.model}@{server.url}"
        more = ["--verifier", "judge", "--engine", engine, "--votes", "1", "--max-tokens", "2100"]
        result = teachable("verify", "answers.jsonl", "--out", "o", *more)
    assert result.returncode == 3
    assert "--max-tokens" in result.stderr.splitlines()[-1]
    assert 0 < read_json(tmp_path / "o/stats.json")["rows_not_done"] < 9
