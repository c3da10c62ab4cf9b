"""The engine for servers against one that nobody here wrote: `transformers serve`, on a real socket.

It is the strictest of the servers that we know in what it takes (unknown fields are refused, `n` is ignored) and needs
nothing beyond two small packages. It answers from the same tiny model as our own engine, so greedy answers must agree.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.engines.test_openai import failure_of, sample
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.engines import EngineConfig, Request
from teachable.engines.local import TransformersEngine
from teachable.engines.openai import OpenAIEngine
from teachable.errors import TeachableError
from teachable.records import Message
from teachable.store.files import read_rows

COMMAND = Path(sys.executable).parent / "transformers"
MISSING = [name for name in ("fastapi", "uvicorn", "openai") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING) or not COMMAND.exists(), reason=f"REAL SERVER NOT TESTED: `transformers serve` lacks {MISSING}"
)
STARTS_WITHIN_S = 120
PROMPTS = ["1 + 1 =", "a longer prompt with many more characters in it", "größer?"]


@pytest.fixture(scope="module")
def address(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the tiny model; its own words are shown if it does not start."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(tiny_model, folder / "tiny")
    log = folder / "log.txt"
    arguments = ["serve", "tiny", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(COMMAND), *arguments], cwd=folder, stdout=output, stderr=output, env=os.environ | {"NO_PROXY": "*"}
        )
    try:
        until = time.monotonic() + STARTS_WITHIN_S
        while not _is_up(port):
            assert server.poll() is None and time.monotonic() < until, log.read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def local(address: str, tiny_model: Path) -> TransformersEngine:
    """Our own engine with the same model; made while the server is up, since both take their time to import."""
    return TransformersEngine(tiny_model, dtype="float32")


def engine_at(address: str, **settings: str) -> OpenAIEngine:
    return OpenAIEngine(
        EngineConfig(**{"kind": "openai", "model": "tiny", "base_url": address, "retries": 1} | settings)
    )


def test_greedy_texts_are_those_of_the_local_engine(address: str, local: TransformersEngine) -> None:
    requests = [Request(prompt, max_tokens=24, temperature=0.0) for prompt in PROMPTS]
    theirs = sample(engine_at(address, api="completions"), *requests)
    for [got], [expected], prompt in zip(theirs, sample(local, *requests), PROMPTS, strict=True):
        assert (got.text, got.finish_reason) == (expected.text, expected.finish_reason)
        assert (got.n_tokens, got.n_prompt_tokens) == (expected.n_tokens, len(local.encode(prompt)))


def test_greedy_chats_are_those_of_the_local_engine(address: str, local: TransformersEngine) -> None:
    chats = [(Message(role="user", content=prompt),) for prompt in PROMPTS]
    requests = [Request(chat, max_tokens=24, temperature=0.0) for chat in chats]
    theirs = sample(engine_at(address), *requests)
    for [got], [expected], chat in zip(theirs, sample(local, *requests), chats, strict=True):
        assert (got.text, got.finish_reason) == (expected.text, expected.finish_reason)
        assert (got.n_tokens, got.n_prompt_tokens) == (expected.n_tokens, len(local.encode(list(chat))))


def test_n_samples_come_though_the_server_gives_one_at_a_time(address: str) -> None:
    [got] = sample(engine_at(address), Request("abc", n=5, max_tokens=6))
    assert len(got) == 5 and all(0 < completion.n_tokens <= 6 for completion in got)


def test_a_stop_string_ends_a_completion(address: str, local: TransformersEngine) -> None:
    [[whole]] = sample(local, Request("abc", max_tokens=24, temperature=0.0))
    stop = next(pair for i in range(3, len(whole.text)) if (pair := whole.text[i : i + 2]).isascii() and len(pair) == 2)
    request = Request("abc", max_tokens=24, temperature=0.0, stop=(stop,))
    [[got]] = sample(engine_at(address, api="completions"), request)
    assert got.text == whole.text[: whole.text.index(stop)] and got.finish_reason == "stop"


def test_many_requests_at_once_are_all_answered(address: str) -> None:
    requests = [Request(f"question {i}", max_tokens=4, temperature=0.0) for i in range(40)]
    got = sample(engine_at(address), *requests)
    assert [len(completions) for completions in got] == [1] * 40


def test_what_it_refuses_is_said_in_its_words(address: str, tiny_model: Path) -> None:
    error = failure_of(engine_at(address, model="other"), Request("abc"))
    assert isinstance(error, TeachableError) and "Server is pinned to 'tiny'; requested 'other'" in str(error)
    error = failure_of(engine_at(address), Request("abc", min_p=0.1))
    assert isinstance(error, TeachableError) and "does not take min_p=0.1" in str(error)
    error = failure_of(engine_at(address, api="completions", tokenizer=str(tiny_model)), Request("abc"))
    assert isinstance(error, TeachableError) and "takes no token ids" in str(error)


def test_a_workflow_asks_it_and_lets_nothing_of_a_random_model_through(address: str, tmp_path: Path) -> None:
    """The whole command over the protocol: what a model of random weights writes is sent back, then dropped."""
    (tmp_path / "docs").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"docs/{name}.txt").write_text(
            f"The {name} of them stands by the river, and nobody knows since when. " * 3
        )
    out = tmp_path / "made"
    engine = f"openai:tiny@{address}"
    command = ["synthesize", "questions", str(tmp_path / "docs"), "--engine", engine, "--out", str(out), "--json"]
    before = signal.getsignal(signal.SIGTERM)
    done = CliRunner().invoke(app, [*command, "--set", "writing.max_tokens=16"])
    signal.signal(signal.SIGTERM, before)
    assert done.exit_code == 0, done.stderr
    stats = json.loads(done.stdout)
    assert stats["complete"] and stats["n_seeds"] == 2 and stats["n_outputs"] == 0
    written = next(row for row in stats["steps"] if row["step"] == "written")  # facts and deductions of two passages
    assert written["in"] == 4 == sum(written["dropped"].values())
    assert sum(written["retried"].values()) == 4 * 2  # each reply was sent back twice
    assert stats["completions"] == 4 * 3 and len(read_rows(out / "rejects.jsonl")) == stats["n_rejects"] == 4
