"""`teachable synthesize` as a user runs it: an own workflow, mistakes, limits, ctrl-C and kills."""

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
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.store.files import read_json, read_rows
from teachable.synthesize.tables import FILES
from teachable.synthesize.templates import packaged_templates

N_DOCUMENTS = 12
FLOW = """
from pydantic import BaseModel, Field

from teachable.synthesize import Ask, Options, Output, Workflow, user


class Question(BaseModel):
    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)


class Own(Options):
    ending: str = Field("", description="put behind every question")


def output(item, options):
    asked = item["asked"]
    return Output(user(asked.question + options.ending), "grounded", answer=asked.answer, verifier="exact")


flow = Workflow("flow", "colours", ("text",), (Ask("asked", Question),), output, Own, roles=("writer",))
nothing = 1
"""
WORDS = (
    *("river", "lantern", "copper", "meadow", "granite", "violin"),
    *("harbour", "saddle", "thistle", "bronze", "candle", "walnut"),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[FaultyServer]:
    """A folder of documents, a workflow and its template, and a server that answers by the passage alone."""
    (tmp_path / "docs").mkdir()
    luck = random.Random(3)
    for i in range(N_DOCUMENTS):
        others = " ".join("".join(luck.choices("abcdefghijklmnop", k=7)) for _ in range(25))
        (tmp_path / "docs" / f"{i:02}.txt").write_text(f"The {WORDS[i]} {others} is the last of them.\n")
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "own/flow").mkdir(parents=True)
    (tmp_path / "own/flow/asked.jinja").write_text("{{ shown('passage', text) }}\n{{ form }}")

    def answer(body: dict[str, Any], luck: random.Random) -> str:
        passage = body["messages"][0]["content"].split("-----\n", 1)[1].split("\n-----")[0]
        words = passage.split()
        return json.dumps({"question": f"What follows {' '.join(words[2:12])}?", "answer": words[1]})

    with FaultyServer(answer=answer, honour_seed=True, model="m") as server:
        yield server


def asking(server: FaultyServer, out: str = "o", *more: str) -> list[str]:
    engine = f"openai:m@{server.url}"
    own = ["--templates", "own", "--set", "documents.min_words=5"]
    return ["synthesize", "flow.py:flow", "docs", "--engine", engine, "--out", out, *own, *more]


def test_help_says_what_there_is_and_imports_nothing_heavy(teachable: Command) -> None:
    result = teachable("synthesize", "--help", flags=("-X", "importtime"))
    assert result.returncode == 0
    for flag in ("--engine", "--role", "--templates", "--export-templates", "--heldout", "--against", "--dry-run"):
        assert flag in result.stdout
    assert not imported(result.stderr) & {*HEAVY, "yaml", "rich", "jinja2"}


def test_the_light_install_is_enough_for_a_server(tmp_path: Path, world: FaultyServer) -> None:
    lacking = ("torch", "transformers", "safetensors", "tokenizers", "datasets", "trl", "reasoning_gym")
    program = f"import sys; sys.modules.update(dict.fromkeys({lacking})); from teachable.cli.main import main; main()"
    result = finish(start(asking(world, "o", "--chat", "chatml"), tmp_path, program=["-c", program]))
    assert result.returncode == 0, result.stderr
    assert len(read_rows(tmp_path / "o/prompts.parquet")) == N_DOCUMENTS
    ruled = ["synthesize", "verifiable", "--engine", "rules", "--out", "r"]
    result = finish(start(ruled, tmp_path, program=["-c", program]))
    assert result.returncode == 2 and "needs reasoning-gym, which is not installed" in result.stderr
    result = finish(
        start([*ruled, "--set", "options.families=[isosceles_base, diameter]"], tmp_path, program=["-c", program])
    )
    assert result.returncode == 0, result.stderr


def test_documents_become_prompts_that_say_where_they_come_from(
    in_process: CliRunner, tmp_path: Path, world: FaultyServer
) -> None:
    result = in_process.invoke(app, asking(world, "o", "--set", "options.ending=' Name it.'"))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["step", "in", "out", "retried", "failed", "dropped", "because"]
    assert lines[1].split() == ["asked", "12", "12"]
    assert re.match(
        r"synthesize flow: 12 seeds in .* s, 12 completions, .*; 12 prompts in o/prompts.parquet", lines[-1]
    )
    assert re.search(r"12 seeds: about \d+ completions, [\d,]+ tokens", result.stderr)  # said before it is asked
    rows = read_rows(tmp_path / "o/prompts.parquet")
    assert [row["answer"] for row in rows] == list(WORDS)
    assert all(row["messages"][0]["content"].endswith("? Name it.") for row in rows)
    history = json.loads(rows[0]["meta"])["synthesis"]
    assert history["source"] == "00.txt" and history["engines"][0].startswith("openai:m")
    again = in_process.invoke(app, asking(world, "o", "--set", "options.ending=' Name it.'"))
    assert "synthesize flow: everything is up to date" in again.stdout.splitlines()[-1]
    assert len(world.asked) == N_DOCUMENTS
    other = in_process.invoke(app, asking(world, "o", "--json"))  # another option: asked anew only where that matters
    assert json.loads(other.stdout)["n_outputs"] == 12 and len(world.asked) == N_DOCUMENTS


def test_what_it_costs_is_said_before_anybody_is_asked(
    in_process: CliRunner, tmp_path: Path, world: FaultyServer
) -> None:
    price = ["--set", "engine.usd_per_million_out=1000000"]
    result = in_process.invoke(app, asking(world, "o", "--dry-run", "--limit", "5", *price))
    assert result.exit_code == 0, result.stderr
    assert re.fullmatch(r"5 seeds: about \d+ completions, [\d,]+ tokens, \$[\d,.]+\n", result.stdout)
    document = json.loads(in_process.invoke(app, asking(world, "o", "--dry-run", "--json")).stdout)
    assert document["seeds"] == 12 and document["tokens"] > 0
    assert world.asked == [] and not (tmp_path / "o").exists()


def test_templates_are_written_and_used(in_process: CliRunner, tmp_path: Path) -> None:
    result = in_process.invoke(app, ["synthesize", "--export-templates", "mine"])
    n = len(packaged_templates())
    assert result.exit_code == 0 and result.stdout.startswith(f"{n} templates written to mine") and n > 10
    first = tmp_path / "mine" / packaged_templates()[0]
    first.write_text("changed")
    again = in_process.invoke(app, ["synthesize", "--export-templates", "mine", "--json"])
    assert json.loads(again.stdout) == {"folder": "mine", "files": []} and first.read_text() == "changed"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no workflow is named. Write teachable synthesize WORKFLOW INPUT --engine ENGINE --out DIR"),
        (["questions", "docs"], "nowhere to write"),
        (["quests", "docs", "--out", "o"], "there is no workflow 'quests'. There are questions, rewrite"),
        (["flow.py:flow", "docs", "--out", "o"], "nobody writes. Name an engine with --engine ENGINE"),
        (["verifiable", "docs", "--out", "o"], "--engine rules"),
        (["flow.py:flow", "--engine", "URL", "--out", "o"], "there is nothing to start from"),
        (["flow.py:flow", "none", "--engine", "URL", "--out", "o"], "there is no such file or folder"),
        (["flow.py:flow", "docs", "--engine", "rules", "--out", "o"], "flow has no rules, so an engine has to write"),
        (["none.py:flow", "docs", "--engine", "URL", "--out", "o"], "there is no such Python file"),
        (["flow.py:nothing", "docs", "--engine", "URL", "--out", "o"], "this is no Workflow"),
        (["broken.py:flow", "docs", "--engine", "URL", "--out", "o"], "this file can't be run (ZeroDivisionError"),
        (["flow.py:flow", "docs", "--engine", "gpt", "--out", "o"], "--engine: there is no engine 'gpt'"),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--role", "x"], "'x' gives no role an engine"),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--role", "cook=URL"], "flow has no role 'cook'"),
        (
            ["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--set", "option.a=1"],
            "there is no 'option' to set",
        ),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--set", "options=1"], "options is no field but"),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--set", "options.k=1"], "there is no option 'k'"),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--set", "gates.x=1"], "gates.x: there is no such"),
        (
            ["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--chat", "html"],
            "chat: Input should be 'messages'",
        ),
        (
            ["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--templates", "none"],
            "there is no such file or f",
        ),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "o"], "there is no template flow/asked.jinja"),
        (["flow.py:flow", "empty", "--engine", "URL", "--out", "o"], "no passage is left (the folder is empty)"),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "o", "--against", "docs"], "prompts.parquet"),
        (["flow.py:flow", "docs", "--engine", "URL", "--out", "other"], "judge"),
    ],
)
def test_mistakes_are_sentences_and_lose_nothing(
    in_process: CliRunner, tmp_path: Path, world: FaultyServer, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text('{"recipe": "judge_pairs", "format": 1, "stages": {}}')
    url = f"openai:m@{world.url}"
    result = in_process.invoke(app, ["synthesize", *(text.replace("URL", url) for text in arguments)])
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr and "Traceback" not in result.stderr
    assert world.asked == []
    assert not list((tmp_path / "o").glob("*.parquet")) if (tmp_path / "o").exists() else True


def test_what_is_held_out_or_was_made_before_is_not_made_again(
    in_process: CliRunner, tmp_path: Path, world: FaultyServer
) -> None:
    in_process.invoke(app, asking(world, "first", "--limit", "4"))
    questions = [row["messages"][0]["content"] for row in read_rows(tmp_path / "first/prompts.parquet")]
    (tmp_path / "exam.jsonl").write_text(json.dumps({"prompt": questions[0], "answer": "x"}) + "\n")
    result = in_process.invoke(app, asking(world, "o", "--heldout", "exam.jsonl", "--json"))
    assert result.exit_code == 0, result.stderr
    rejects = read_rows(tmp_path / "o/rejects.jsonl")
    assert [(row["step"], row["text"]) for row in rejects] == [("held out", questions[0])]
    result = in_process.invoke(app, asking(world, "later", "--against", "first"))
    rejects = read_rows(tmp_path / "later/rejects.jsonl")
    assert [(row["step"], row["text"]) for row in rejects] == [("near-duplicate", text) for text in questions]
    assert len(world.asked) == 4 + 12 + 12  # folders have ledgers of their own


def test_a_limit_ends_with_3_and_the_same_command_goes_on(
    in_process: CliRunner, tmp_path: Path, world: FaultyServer
) -> None:
    short = ["--set", "writing.max_tokens=120"]
    result = in_process.invoke(app, asking(world, "o", *short, "--max-tokens", "400"))
    assert result.exit_code == 3 and "--max-tokens" in result.stderr.splitlines()[-1]
    stats = read_json(tmp_path / "o/stats.json")
    assert not stats["complete"] and 0 < stats["n_outputs"] < N_DOCUMENTS
    n_paid = len(world.asked)
    assert in_process.invoke(app, asking(world, "o", *short)).exit_code == 0
    assert len(world.asked) == N_DOCUMENTS > n_paid
    assert len(read_rows(tmp_path / "o/prompts.parquet")) == N_DOCUMENTS


def test_what_failed_is_asked_again_by_the_same_command(
    in_process: CliRunner, tmp_path: Path, world: FaultyServer
) -> None:
    world.refuse = lambda body: (400, {"error": {"message": "no"}}) if WORDS[3] in json.dumps(body) else None
    result = in_process.invoke(app, asking(world))
    assert result.exit_code == 0 and "1 items were lost to failed requests, such as: asked: the engine" in result.stderr
    assert not read_json(tmp_path / "o/stats.json")["complete"]
    world.refuse = None
    before = len(world.asked)
    result = in_process.invoke(app, asking(world))
    assert result.exit_code == 0 and len(world.asked) == before + 1
    assert [row["answer"] for row in read_rows(tmp_path / "o/prompts.parquet")] == list(WORDS)


# ---- killed and stopped ----


def answered(server: FaultyServer, n: int, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while sum(seen.status == 200 for seen in server.asked) < n:
        assert time.monotonic() < end, "the server was not asked"
        time.sleep(0.005)


SLOWLY = ["--set", "engine.concurrency=2"]


@pytest.mark.slow
def test_killed_it_ends_with_the_same_bytes_and_pays_for_nothing_twice(
    in_process: CliRunner, tmp_path: Path, world: FaultyServer
) -> None:
    world.latency_s = 0.05
    process = start([*asking(world, "killed"), *SLOWLY], tmp_path, program=["-m", "teachable"])
    answered(world, 5)
    process.kill()
    process.communicate()
    assert not any((tmp_path / "killed" / file).exists() for file in FILES)
    assert in_process.invoke(app, [*asking(world, "killed"), *SLOWLY]).exit_code == 0
    counts = Counter(seen.prompt for seen in world.asked)
    assert len(counts) == N_DOCUMENTS and sum(n - 1 for n in counts.values()) <= 2  # what was in flight
    assert in_process.invoke(app, [*asking(world, "whole"), *SLOWLY]).exit_code == 0
    for file in FILES:
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    assert not list((tmp_path / "killed").glob(".*.part"))


@pytest.mark.slow
def test_ctrl_c_writes_what_was_finished(in_process: CliRunner, tmp_path: Path, world: FaultyServer) -> None:
    world.latency_s = 0.2
    process = start([*asking(world), *SLOWLY], tmp_path, program=["-m", "teachable"])
    answered(world, 4)
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.returncode == 130, result.stderr
    stats = read_json(tmp_path / "o/stats.json")
    assert not stats["complete"] and 4 <= stats["n_outputs"] == len(read_rows(tmp_path / "o/prompts.parquet")) < 12
    n_paid = len(world.asked)
    assert in_process.invoke(app, [*asking(world), *SLOWLY]).exit_code == 0
    assert len(world.asked) == N_DOCUMENTS > n_paid
