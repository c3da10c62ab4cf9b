"""What an engine brings is kept when it fails, when its caller is cancelled, and when something can't be written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.engines.asker import keep_asking, request, sample

from teachable.engines.ledgered import Ledgered, Spending, request_key
from teachable.engines.limits import Limits
from teachable.engines.scripted import ScriptedEngine, ScriptedFailure
from teachable.errors import TeachableError
from teachable.records import Completion, Request
from teachable.store.ledger import Failure, Ledger, Totals

ASK = request(0, n=4)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_an_engine_that_fails_leaves_its_reason_and_costs_the_others_nothing(ledger: Ledger) -> None:
    fails = ScriptedEngine(lambda text, *_: text, frac_failing=0.5)
    engine = Ledgered(fails, ledger, stage="probe")
    results = keep_asking(engine, *[request(index) for index in range(40)])
    failed = [index for index, result in enumerate(results) if isinstance(result, ScriptedFailure)]
    assert 5 < len(failed) < 35
    for index, result in enumerate(results):
        kept = list(ledger.get(request_key(engine.name, request(index))).values())
        assert kept == ([] if index in failed else result)
    assert engine.spent.completions == 3 * (40 - len(failed)) == ledger.totals().completions
    assert engine.spent.failed == len(failed) == ledger.totals("probe").failed
    keys = sorted(request_key(engine.name, request(index)) for index in failed)
    reason = "ScriptedFailure: told to fail"
    assert ledger.failures() == [Failure(key, 0, "probe", engine.name, reason) for key in keys]
    sample(Ledgered(ScriptedEngine({}), ledger, stage="probe"), *[request(index) for index in failed])
    assert ledger.failures() == []


class Faulty(ScriptedEngine):
    """Brings what it is told to, and raises the error if there is one."""

    def __init__(self, n_brought: int, error: Exception | None = None) -> None:
        super().__init__(lambda text, index, _: f"{index}", name="faulty")
        self.n_brought = n_brought
        self.error = error
        self.asked: list[tuple[int, int]] = []

    async def sample(self, request: Request) -> list[Completion]:
        self.asked.append((request.first, request.n))
        completions = (await super().sample(request))[: self.n_brought]
        if self.error is None:
            return completions
        self.error.completions = completions  # type: ignore[attr-defined]
        raise self.error


def test_what_a_failing_engine_brought_all_the_same_is_kept(ledger: Ledger) -> None:
    inner = Faulty(3, ConnectionError("reset"))
    engine = Ledgered(inner, ledger, stage="probe", prices=(1e6, 1e6))
    assert keep_asking(engine, ASK) == [inner.error]
    key = request_key("faulty", ASK)
    assert [c.text for c in ledger.get(key).values()] == ["0", "1", "2"]
    assert ledger.failures() == [Failure(key, 3, "probe", "faulty", "ConnectionError: reset")]
    n_in = len(b"question 0")
    assert ledger.totals() == Totals(1, 3, n_in, 3, n_in + 3.0, failed=1)
    assert engine.spent == Spending(3, n_in, 3, n_in + 3.0, failed=1)
    [four] = sample(engine, ASK)  # what it brings now is all that is missing, so its error hurts nobody
    assert [c.text for c in four] == ["0", "1", "2", "3"]
    assert inner.asked == [(0, 4), (3, 1)]
    assert ledger.failures() == []
    assert engine.spent.failed == 1


def test_a_mistake_of_the_users_is_no_failed_request(ledger: Ledger) -> None:
    """A wrong key, say: every request would fail, and it is mended outside. What was brought is kept."""
    engine = Ledgered(Faulty(1, TeachableError("the key is wrong")), ledger, stage="probe")
    with pytest.raises(TeachableError, match="the key is wrong"):
        sample(engine, ASK)
    assert ledger.failures() == []
    assert engine.spent.failed == 0
    assert ledger.totals().completions == 1


def test_an_engine_that_brings_too_few_is_asked_again(ledger: Ledger) -> None:
    inner = Faulty(0)
    engine = Ledgered(inner, ledger, stage="probe")
    assert sample(engine, ASK) == [[]]
    assert [f.reason for f in ledger.failures()] == ["the engine returned 0 of 4 samples"]
    inner.n_brought = 2
    assert [c.text for c in sample(engine, ASK)[0]] == ["0", "1"]
    assert [f.first for f in ledger.failures()] == [2]
    assert [c.text for c in sample(engine, ASK)[0]] == ["0", "1", "2", "3"]
    assert inner.asked == [(0, 4), (0, 4), (2, 2)]
    assert ledger.failures() == []


def test_only_gaps_are_asked_for_each_in_one_request(ledger: Ledger) -> None:
    inner = Faulty(9)
    engine = Ledgered(inner, ledger, stage="probe")
    sample(engine, replace(ASK, first=2, n=1))
    sample(engine, replace(ASK, first=4, n=2))
    inner.asked.clear()
    [nine] = sample(engine, replace(ASK, n=9))
    assert inner.asked == [(0, 2), (3, 1), (6, 3)]
    assert [c.text for c in nine] == [*"012345678"]
    assert sample(engine, replace(ASK, first=3, n=4)) == [nine[3:7]]
    assert len(inner.asked) == 3


def test_a_place_in_the_list_is_always_the_same_sample(ledger: Ledger) -> None:
    """With a gap in the middle that stays, what stands behind it is not handed on in its place."""
    inner = Faulty(1)
    engine = Ledgered(inner, ledger, stage="probe")
    sample(engine, replace(ASK, first=3, n=1))
    [completions] = sample(engine, ASK)
    assert [c.text for c in completions] == ["0"]
    assert sorted(ledger.get(request_key("faulty", ASK))) == [0, 3]


def test_who_waits_for_another_that_fails_asks_itself(ledger: Ledger) -> None:
    inner = Faulty(0, ConnectionError("reset"))

    class Recovering(Faulty):
        async def sample(self, request: Request) -> list[Completion]:
            if self.asked:
                self.n_brought, self.error = 9, None
            return await super().sample(request)

    inner = Recovering(0, ConnectionError("reset"))
    error, completions = keep_asking(Ledgered(inner, ledger, stage="probe"), ASK, ASK)
    assert isinstance(error, ConnectionError)
    assert isinstance(completions, list) and len(completions) == 4
    assert inner.asked == [(0, 4), (0, 4)]


@pytest.mark.parametrize("turns", range(6))
def test_a_cancelled_caller_loses_nothing_that_was_brought(ledger: Ledger, turns: int) -> None:
    """Cancelled in every turn of the loop from the one on in which the engine has answered."""
    brought: list[int] = []

    class Telling(ScriptedEngine):
        async def sample(self, request: Request) -> list[Completion]:
            completions = await super().sample(request)
            brought.append(1)
            return completions

    engine = Ledgered(Telling({}), ledger, stage="probe", limits=Limits(max_tokens=4 * ASK.max_tokens))

    kept: list[int] = []

    async def caller() -> None:
        try:
            await engine.sample(ASK)
        finally:
            kept.append(len(ledger.get(request_key(engine.name, ASK))))

    async def main() -> None:
        task = asyncio.create_task(caller())
        while not brought:
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert kept == [4]  # before anyone else gets a turn
        await asyncio.wait_for(engine.sample(replace(ASK, first=4)), 5)  # and what was set aside is free again

    asyncio.run(main())


def test_a_loop_that_closes_writes_what_is_left(ledger: Ledger) -> None:
    """As after a second ctrl-C: everything is cancelled at once, and nobody waits for the writer."""
    brought: list[int] = []

    class Leaving(ScriptedEngine):
        async def sample(self, request: Request) -> list[Completion]:
            completions = await super().sample(request)
            brought.append(1)
            return completions

    engine = Ledgered(Leaving({}), ledger, stage="probe")

    async def main() -> None:
        tasks = [asyncio.create_task(engine.sample(request(index))) for index in range(5)]
        while len(brought) < 5:
            await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)

    asyncio.run(main())
    assert ledger.totals().completions == 15


def test_a_ledger_that_cannot_be_written_is_heard_of(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, say: nobody may go on with completions that were not kept, and nobody may wait for ever."""

    def full(*args: object, **kwargs: object) -> None:
        raise TeachableError("no space is left on the disk")

    engine = Ledgered(ScriptedEngine({"question 0": "a", "question 1": "b"}), ledger, stage="probe")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "put_many", full)
        for _ in range(2):
            with pytest.raises(TeachableError, match="no space is left"):
                sample(engine, request(0), request(1))
    assert [c.text for c in sample(engine, request(1))[0]] == ["b"] * 3


def test_one_that_cannot_be_written_costs_the_others_nothing(ledger: Ledger) -> None:
    class Odd(ScriptedEngine):
        async def sample(self, request: Request) -> list[Completion]:
            completions = await super().sample(request)
            odd = request.prompt == "question 1"
            return [replace(c, finish_reason=None) for c in completions] if odd else completions  # type: ignore[arg-type]

    results = keep_asking(Ledgered(Odd({}), ledger, stage="probe"), *[request(index) for index in range(3)])
    assert [type(result).__name__ for result in results] == ["list", "IntegrityError", "list"]
    assert ledger.totals().completions == 6
