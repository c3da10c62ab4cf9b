"""The engine for servers under a server that misbehaves in every way that the protocol leaves open."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tests.engines.faulty import FAULTS, FaultyServer, Seen
from tests.engines.test_openai import engine_at, failure_of, sample

from teachable.engines import Completion, Request
from teachable.engines.ledgered import Ledgered
from teachable.engines.openai import EngineFailure, OpenAIEngine
from teachable.engines.pace import Backoff
from teachable.store.ledger import Ledger

WHY = {
    "429": "HTTP 429: told to fail",
    "500": "HTTP 500: told to fail",
    "503": "HTTP 503: told to fail",
    "stall": "no whole reply within 0.3 s",
    "drip": "no whole reply within 0.3 s",
    "drop": "the connection broke",
    "invalid json": "the reply is not JSON",
    "html": "the reply is not JSON: '<html>",
    "truncated utf-8": "the reply is not UTF-8",
    "empty choices": "the reply has no choices",
    "wrapped error": "upstream failed",
    "null content": "a choice has no text",
    "no message": "a choice has no text",
    "filtered": "finish reason 'content_filter'",
    "fewer": "the reply has no choices",
}


@pytest.mark.parametrize("fault", WHY)
def test_a_fault_that_lasts_ends_in_its_reason(fault: str) -> None:
    with FaultyServer({fault: 1.0}) as server:
        error = failure_of(engine_at(server, retries=1, timeout_s=0.3), Request("q"))
        assert isinstance(error, EngineFailure) and error.completions == ()
        assert f"gave up after 2 attempts: {WHY[fault]}" in str(error) or WHY[fault] in str(error)
        assert len(server.asked) == 2


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"429 retry-after-date"}))
def test_a_fault_that_passes_costs_nothing(fault: str) -> None:
    with FaultyServer({fault: 0.4}, seed=3) as server:
        got = sample(engine_at(server, retries=20, timeout_s=0.3), *[Request(f"{i}", n=2) for i in range(8)])
        assert [len(completions) for completions in got] == [2] * 8
        assert fault in {seen.fault for seen in server.asked}
        assert_nothing_was_paid_twice(server.asked, 2)


def test_an_unusable_reply_is_asked_for_again_under_another_seed_a_broken_one_under_the_same() -> None:
    seeds = {}
    for fault in ("null content", "500"):
        with FaultyServer({fault: 1.0}) as server:
            failure_of(engine_at(server, retries=3), Request("q"))
            seeds[fault] = {seen.body["seed"] for seen in server.asked}
    assert len(seeds["null content"]) == 4 and len(seeds["500"]) == 1


@pytest.mark.parametrize(
    ("fault", "asks_s", "shortest_s"),
    [("429 retry-after", 1.0, 1.0), ("429 retry-after-ms", 0.4, 0.4), ("429 retry-after-date", 2.0, 1.0)],
)
def test_the_wait_that_a_server_asks_for_is_kept(fault: str, asks_s: float, shortest_s: float) -> None:
    """A date has whole seconds."""
    with FaultyServer({fault: 1.0}, retry_after_s=asks_s) as server:
        failure_of(engine_at(server, retries=1), Request("q"))
        first, second = [seen.at for seen in server.asked]
        assert shortest_s <= second - first < asks_s + 1.0


def test_nobody_asks_before_the_time_is_over() -> None:
    """Not even for another prompt."""
    with FaultyServer({"429 retry-after-ms": 1.0}, retry_after_s=0.3) as server:
        engine = engine_at(server, retries=1, concurrency=1)

        async def main() -> None:
            await asyncio.gather(*[engine.sample(Request(p)) for p in "ab"], return_exceptions=True)

        asyncio.run(main())
        times = [seen.at for seen in server.asked]
        assert len(times) == 4
        assert all(later - earlier >= 0.3 for earlier, later in pairwise(times))


def test_a_server_that_goes_away_fails_the_request_and_may_come_back() -> None:
    """Who was there before is waited for: that is no wrong address."""
    with FaultyServer() as server:
        engine = engine_at(server)
        sample(engine, Request("q"))
        config = engine.config
    error = failure_of(engine, Request("q"))
    assert isinstance(error, EngineFailure) and "gave up after 3 attempts: ConnectError" in str(error)
    with FaultyServer(port=server.port) as server:
        assert server.url == config.base_url and len(sample(engine, Request("q"))[0]) == 1


def test_a_long_wish_is_cut() -> None:
    with FaultyServer({"429 retry-after": 1.0}, retry_after_s=86400) as server:
        engine = OpenAIEngine(engine_at(server, retries=1).config, backoff=Backoff(base_s=0.01, retry_after_cap_s=0.1))
        started = time.monotonic()
        failure_of(engine, Request("q"))
        assert 0.1 <= time.monotonic() - started < 5


def test_requests_in_flight_settle_at_what_the_server_can_do() -> None:
    """A server for four at once, asked with up to 32: after the first jams few requests are refused."""
    with FaultyServer(capacity=4, latency_s=0.01) as server:
        engine = engine_at(server, concurrency=32, retries=50)
        got = sample(engine, *[Request(f"{i}") for i in range(400)])
        assert [len(completions) for completions in got] == [1] * 400
        settled = server.asked[100:]
        refused = sum(seen.status == 429 for seen in settled)
        in_flight = sum(seen.in_flight for seen in settled) / len(settled)
        assert refused / len(settled) < 0.2
        assert 2.0 < in_flight < 5.5
        assert max(seen.in_flight for seen in server.asked) > 20 and engine.pace.limit < 8


def test_without_jams_as_many_are_in_flight_as_allowed() -> None:
    with FaultyServer(latency_s=0.02) as server:
        sample(engine_at(server, concurrency=12), *[Request(f"{i}") for i in range(60)])
        assert max(seen.in_flight for seen in server.asked) == 12


def assert_nothing_was_paid_twice(asked: list[Seen], n: int) -> None:
    """No request asks for a sample that the same prompt has been given before."""
    delivered: Counter[str] = Counter()
    for seen in asked:
        assert seen.n <= n - delivered[seen.prompt], f"{seen.prompt} asked for {seen.n} more than needed"
        delivered[seen.prompt] += len(seen.delivered)


SHARES = {fault: 0.2 / 15 for fault in FAULTS if fault not in ("429 retry-after-date", "stall", "drip", "no message")}
SHARES |= {"stall": 0.003, "drip": 0.002}


def test_two_thousand_requests_at_a_fifth_faults(tmp_path: Path) -> None:
    """Every request is answered, or recorded as failed with its reason; nothing is paid or kept twice."""
    assert 0.19 < sum(SHARES.values()) < 0.22
    n_requests, n = 2000, 2
    path = tmp_path / "ledger.sqlite"
    with FaultyServer(SHARES, seed=5, stall_s=3.0) as server, Ledger(path) as ledger:
        engine = engine_at(server, retries=2, timeout_s=1.0, concurrency=32)
        ledgered = Ledgered(engine, ledger, stage="probe")

        async def main() -> list[Any]:
            asked = [ledgered.sample(Request(f"question {i}", n=n, seed=i)) for i in range(n_requests)]
            return list(await asyncio.gather(*asked, return_exceptions=True))

        results = asyncio.run(main())
        recorded = ledger.failures()
        n_faulty = sum(bool(seen.fault) for seen in server.asked)
        assert 0.17 < n_faulty / len(server.asked) < 0.24
        assert set(SHARES) <= {seen.fault for seen in server.asked}
        assert_nothing_was_paid_twice(server.asked, n)
        delivered = defaultdict(list)
        for seen in server.asked:
            delivered[seen.body["messages"][0]["content"]] += seen.delivered

    failed = [i for i, result in enumerate(results) if isinstance(result, BaseException)]
    assert 1 <= len(failed) < 60  # a request fails if three attempts do
    assert sorted(failure.reason for failure in recorded) == sorted(f"EngineFailure: {results[i]}" for i in failed)
    for i, result in enumerate(results):
        if i in failed:
            assert isinstance(result, EngineFailure) and str(result).startswith("gave up after 3 attempts: ")
        else:
            assert [completion.text for completion in result] == delivered[f"question {i}"][:n]
    with sqlite3.connect(path) as database:
        texts = [text.decode() for (text,) in database.execute("SELECT text FROM completions")]
    assert len(texts) == len(set(texts))
    assert sorted(texts) == sorted(text for given in delivered.values() for text in given[:n])


def test_what_fails_today_is_asked_again_tomorrow(tmp_path: Path) -> None:
    """The ledger of a run under faults serves a later one: only what is missing is asked for."""
    requests = [Request(f"question {i}", n=2) for i in range(40)]

    async def ask(engine: Ledgered) -> list[list[Completion] | BaseException]:
        return await asyncio.gather(*[engine.sample(r) for r in requests], return_exceptions=True)

    with Ledger(tmp_path / "ledger.sqlite") as ledger, FaultyServer({"500": 0.3, "fewer": 0.3}, seed=1) as server:
        engine = engine_at(server, retries=0)
        first = asyncio.run(ask(Ledgered(engine, ledger, stage="probe")))
        lacking = sum(2 - len(getattr(r, "completions", ()) if isinstance(r, BaseException) else r) for r in first)
        assert 5 < lacking < 60
        server.faults = {}
        paid = sum(len(seen.delivered) for seen in server.asked)
        second = asyncio.run(ask(Ledgered(engine, ledger, stage="probe")))
        assert [len(r) for r in second if not isinstance(r, BaseException)] == [2] * 40
        assert sum(len(seen.delivered) for seen in server.asked) - paid == lacking
