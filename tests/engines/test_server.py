"""The key and the environment: what reaches a server, and what never leaves it again."""

from __future__ import annotations

import asyncio
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from tests.engines.faulty import FaultyServer
from tests.engines.test_openai import engine_at, failure_of, sample

from teachable.engines import EngineConfig, Request
from teachable.engines.ledgered import Ledgered
from teachable.engines.openai import EngineFailure, OpenAIEngine
from teachable.engines.pace import Backoff
from teachable.engines.server import Server
from teachable.errors import TeachableError
from teachable.store.ledger import Ledger

KEY = "sk-proj-Qm3vT9xLw2Zr8Hb5"
VARIABLE = "SOME_SERVERS_KEY"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)


def holds_key(text: str) -> bool:
    """The key, or a piece of it of eight characters."""
    return any(KEY[at : at + 8] in text for at in range(len(KEY) - 7))


def shown(error: BaseException) -> str:
    """All that a logger or a debugger would show of an error, with those behind it."""
    seen, text = [error], ""
    while seen:
        one = seen.pop()
        text += f"{one!r} {one} {vars(one)} {''.join(traceback.format_exception(one))}"
        seen += [inner for inner in (one.__cause__, one.__context__) if inner is not None]
    return text


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyServer(key=KEY) as server:
        sample(engine_at(server, api_key_env=VARIABLE), Request("q"))
        monkeypatch.setenv(VARIABLE, f"  {KEY}\n")  # as `export KEY=$(cat file)` may leave it
        sample(engine_at(server, api_key_env=VARIABLE), Request("q"))
        monkeypatch.setenv(VARIABLE, f"Bearer {KEY}")
        sample(engine_at(server, api_key_env=VARIABLE), Request("q"))
        assert {seen.headers["authorization"] for seen in server.asked} == {f"Bearer {KEY}"}


def test_nothing_is_taken_from_variables_that_nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "somebody-elses")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer somebody-elses\nX-Team: somebody-elses")
    with FaultyServer() as server:
        sample(engine_at(server), Request("q"))
        sample(engine_at(server, api_key_env=VARIABLE), Request("q"))
        without, with_key = [seen.headers for seen in server.asked]
        assert "authorization" not in without and with_key["authorization"] == f"Bearer {KEY}"
        assert "somebody-elses" not in str(without) + str(with_key)
        assert set(without) <= {
            *("host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length")
        }


@pytest.mark.parametrize("value", ["", "  \n"])
def test_a_variable_without_a_key_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with FaultyServer() as server, pytest.raises(TeachableError, match=f"export {VARIABLE}="):
        engine_at(server, api_key_env=VARIABLE)


def test_a_key_that_no_header_can_carry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"{KEY}\n{KEY}ö")
    with FaultyServer() as server, pytest.raises(TeachableError, match="no HTTP header can carry") as caught:
        engine_at(server, api_key_env=VARIABLE)
    assert not holds_key(shown(caught.value))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://me:secret@127.0.0.1/v1", "user name or password"),
        ("http://127.0.0.1/v1?key=secret", "query"),
        ("http:///v1", "no address"),
        ("http://[::1/v1", "no address"),
    ],
)
def test_addresses_that_are_refused(url: str, sentence: str) -> None:
    settings = EngineConfig(kind="openai", model="m", base_url="http://127.0.0.1/v1")
    with pytest.raises(TeachableError, match=sentence) as caught:
        OpenAIEngine(settings.model_copy(update={"base_url": url}))
    assert "secret" not in shown(caught.value)


def test_a_wrong_key_names_its_variable_and_shows_nothing_of_it() -> None:
    with FaultyServer(key="another") as server:
        engine = engine_at(server, api_key_env=VARIABLE)
        error = failure_of(engine, Request("q"))
        assert isinstance(error, TeachableError) and f"refused the key in {VARIABLE}" in str(error)
        assert not holds_key(shown(error)) and len(server.asked) == 1
        error = failure_of(engine_at(server), Request("q"))
        assert "wants a key" in str(error) and "api_key_env" in str(error)


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_a_server_that_echoes_the_key_shows_nothing_of_it(
    status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In words, in fields, in pieces; with every logger at its loudest; in the ledger."""
    caplog.set_level(logging.DEBUG)
    told = {"message": f"no: Bearer {KEY}, or {KEY[:12]}…{KEY[-9:]}", "code": KEY, "param": KEY, "type": KEY}
    path = tmp_path / "ledger.sqlite"
    with FaultyServer(refuse=lambda _: (status, {"error": told})) as server, Ledger(path) as ledger:
        engine = engine_at(server, api_key_env=VARIABLE, model="tiny", retries=1)
        error = failure_of(Ledgered(engine, ledger, stage="probe"), Request("q"))
        assert "no: Bearer [redacted], or [redacted]…[redacted]" in str(error)
        assert not holds_key(shown(error) + repr(engine) + engine.name + repr(engine.config) + repr(vars(engine)))
    assert "httpx2" in {record.name.partition(".")[0] for record in caplog.records}
    assert not holds_key(caplog.text)
    assert KEY.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_an_answer_that_echoes_the_key_is_kept_without_it(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with FaultyServer(answer=lambda *_: f"your key is {KEY}!") as server, Ledger(path) as ledger:
        engine = Ledgered(engine_at(server, api_key_env=VARIABLE), ledger, stage="probe")
        assert sample(engine, Request("q"))[0][0].text == "your key is [redacted]!"
    assert KEY.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


def test_a_word_for_a_key_is_left_in_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "EMPTY")
    with FaultyServer(answer=lambda *_: "the set is EMPTY") as server:
        assert sample(engine_at(server, api_key_env=VARIABLE), Request("q"))[0][0].text == "the set is EMPTY"


def test_no_redirection_is_followed() -> None:
    with FaultyServer(refuse=lambda _: (307, {})) as server:
        error = failure_of(engine_at(server, api_key_env=VARIABLE), Request("q"))
        assert isinstance(error, TeachableError) and "sends its requests elsewhere" in str(error)
        assert len(server.asked) == 1


@pytest.mark.parametrize(("status", "code"), [(402, ""), (429, "insufficient_quota")])
def test_an_empty_account_stops_the_work_at_once(status: int, code: str) -> None:
    with FaultyServer(refuse=lambda _: (status, {"error": {"message": "pay first", "code": code}})) as server:
        error = failure_of(engine_at(server), Request("q"))
        assert isinstance(error, TeachableError) and "no credit left" in str(error) and len(server.asked) == 1


def test_a_moderated_prompt_fails_alone_once_others_were_answered() -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        return (403, {"error": {"message": "flagged"}}) if "bad" in str(body["messages"]) else None

    with FaultyServer(refuse=refuse) as server:
        engine = engine_at(server, api_key_env=VARIABLE)
        sample(engine, Request("good"))
        error = failure_of(engine, Request("bad"))
        assert isinstance(error, EngineFailure) and "flagged" in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "a  b\nc"}}, "a b c"),
        ({"error": "plain"}, "plain"),
        ({"detail": [{"loc": ["body", "x"], "msg": "wrong"}, {"msg": "too"}]}, "wrong (body.x); too"),
        ({"message": "m"}, "m"),
        ({"error": {"message": "x" * 5000}}, "x" * 299 + "…"),
        (["odd"], "odd"),
        (None, ""),
    ],
)
def test_the_words_of_an_error_in_the_shapes_that_servers_give_them(body: Any, words: str) -> None:
    with FaultyServer(refuse=lambda _: (400, body)) as running:
        server = Server(running.url, "", concurrency=1, timeout_s=5, backoff=Backoff())
        fault = asyncio.run(server.post("/completions", lambda: {"model": "tiny"}, 0))
    assert not isinstance(fault, dict) and (fault.status, fault.message) == (400, words)
