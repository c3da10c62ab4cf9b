"""Limits are never exceeded, nobody waits for ever, and an interrupt loses nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.engines.limits import Limits
from teachable.errors import EXIT_INTERRUPTED, EXIT_LIMIT_REACHED, Stopped, TeachableError
from teachable.records import Completion
from teachable.store.ledger import Ledger, Paid
from teachable.store.reservations import Need

TEN = Need(10, 1.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def pay(ledger: Ledger, key: str, tokens: int, cost_usd: float = 0.0) -> None:
    completion = Completion("x", (), None, "stop", n_tokens=tokens)
    ledger.put_many([Paid(key, [completion], 0, [cost_usd])], stage="s", engine="e")


async def turns(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def enter(limits: Limits, ledger: Ledger, need: Need) -> None:
    async with limits.admitted(ledger, need):
        assert limits.n_in_flight


class Job:
    """A request that uses some of what it may, after some turns of the loop."""

    def __init__(self, need: Need, frac_used: float, n_turns: int, fate: str) -> None:
        self.need, self.frac_used, self.n_turns, self.fate = need, frac_used, n_turns, fate

    def __repr__(self) -> str:
        return f"Job({self.need}, {self.frac_used}, {self.n_turns}, {self.fate!r})"


JOBS = st.lists(
    st.builds(
        Job,
        st.builds(Need, st.integers(0, 40), st.integers(0, 40).map(lambda cents: cents / 100)),
        st.floats(0, 1),
        st.integers(0, 9),
        st.sampled_from(["answers", "answers", "answers", "fails", "is cancelled"]),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(
    jobs=JOBS,
    max_tokens=st.none() | st.integers(0, 200),
    max_cents=st.none() | st.integers(0, 200),
    max_in_flight=st.none() | st.integers(1, 4),
    n_ledgers=st.integers(1, 2),
    interrupted_after=st.none() | st.integers(0, 30),
)
def test_no_limit_is_exceeded_and_nobody_waits_for_ever(
    tmp_path_factory: pytest.TempPathFactory,
    jobs: list[Job],
    max_tokens: int | None,
    max_cents: int | None,
    max_in_flight: int | None,
    n_ledgers: int,
    interrupted_after: int | None,
) -> None:
    """Against the worst case of everything in flight, at every admission, through one or two openings of one file."""
    path = tmp_path_factory.mktemp("limits") / "l.sqlite"
    max_cost_usd = None if max_cents is None else max_cents / 100
    limits = Limits(max_cost_usd, max_tokens, max_in_flight=max_in_flight)
    ledgers = [Ledger(path) for _ in range(n_ledgers)]
    in_flight: dict[int, Need] = {}
    entered: list[int] = []
    refused: dict[int, int] = {}
    n_may_enter = len(jobs)

    def within() -> bool:
        totals = ledgers[0].totals()
        tokens = totals.tokens_out + sum(need.tokens_out for need in in_flight.values())
        cost_usd = totals.cost_usd + sum(need.cost_usd for need in in_flight.values())
        few = max_in_flight is None or len(in_flight) <= max_in_flight
        cheap = max_cost_usd is None or cost_usd <= max_cost_usd + 1e-6
        return few and cheap and (max_tokens is None or tokens <= max_tokens)

    async def run(index: int, job: Job) -> None:
        ledger = ledgers[index % n_ledgers]
        try:
            async with limits.admitted(ledger, job.need):
                in_flight[index] = job.need
                try:
                    entered.append(index)
                    assert within()
                    await turns(job.n_turns)
                    if job.fate == "fails":
                        raise ConnectionError
                    pay(ledger, f"{index}", int(job.need.tokens_out * job.frac_used), job.need.cost_usd * job.frac_used)
                finally:
                    del in_flight[index]
        except Stopped as stopped:
            assert in_flight == {}
            assert stopped.exit_code == EXIT_LIMIT_REACHED or limits.interrupted
            refused[index] = stopped.exit_code

    async def main() -> None:
        nonlocal n_may_enter
        tasks = [asyncio.create_task(run(index, job)) for index, job in enumerate(jobs)]
        for turn in range(31):
            if turn == interrupted_after:
                limits.interrupt()
                n_may_enter = len(entered) + limits.n_in_flight - len(in_flight)  # those who have been admitted
            for task, job in zip(tasks, jobs, strict=True):
                if job.fate == "is cancelled" and job.n_turns == turn // 2:
                    task.cancel()
            await asyncio.sleep(0)
        _, waiting = await asyncio.wait(tasks, timeout=5)
        assert not waiting
        for task in tasks:
            if not task.cancelled() and not isinstance(task.exception(), ConnectionError):
                await task

    asyncio.run(main())
    assert limits.n_in_flight == 0
    assert entered == sorted(entered)  # in the order of asking
    assert all(index > max(entered, default=-1) for index in refused)
    assert len(entered) <= n_may_enter
    assert within()
    assert len(set(refused.values())) <= 1
    if EXIT_LIMIT_REACHED in refused.values():  # somebody at the head of the queue did not fit indeed
        totals = ledgers[0].totals()
        # Who did not fit may have been cancelled before it heard of it.
        heads = [jobs[index].need for index in range(min(refused) + 1) if index not in entered]
        too_many = [max_tokens is not None and totals.tokens_out + need.tokens_out > max_tokens for need in heads]
        too_dear = [max_cost_usd is not None and totals.cost_usd + need.cost_usd > max_cost_usd for need in heads]
        assert any(too_many) or any(too_dear)
    for ledger in ledgers:
        ledger.close()
    assert list(path.parent.glob(".*")) == []


def test_without_limits_nobody_waits(ledger: Ledger) -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        limits = Limits()

        async def ask(name: str) -> None:
            async with limits.admitted(ledger, TEN):
                seen.append(name)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(ask(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert limits.n_in_flight == 3
        await asyncio.gather(*tasks)
        return seen

    assert asyncio.run(main()) == ["a", "b", "c"]


def test_who_does_not_fit_waits_and_nobody_overtakes(ledger: Ledger) -> None:
    """Room for 30: the large one waits until the first has used 2 of its 20, and the small one behind it too."""
    events: list[str] = []

    async def ask(limits: Limits, name: str, n_most: int, n_used: int) -> None:
        async with limits.admitted(ledger, Need(n_most, 0)):
            events.append(f"{name} in")
            await asyncio.sleep(0.01)
            pay(ledger, name, n_used)
            events.append(f"{name} out")

    async def main() -> None:
        limits = Limits(max_tokens=30)
        await asyncio.gather(ask(limits, "first", 20, 2), ask(limits, "large", 25, 25), ask(limits, "small", 3, 3))

    asyncio.run(main())
    assert events == ["first in", "first out", "large in", "small in", "large out", "small out"]


def test_when_a_large_one_is_cancelled_the_small_one_behind_it_need_not_wait(ledger: Ledger) -> None:
    async def main() -> None:
        limits = Limits(max_tokens=30)
        async with limits.admitted(ledger, Need(20, 0)):
            large = asyncio.create_task(enter(limits, ledger, Need(25, 0)))
            small = asyncio.create_task(enter(limits, ledger, Need(3, 0)))
            await turns(5)
            assert not small.done()
            large.cancel()
            await asyncio.wait_for(small, 5)

    asyncio.run(main())


@pytest.mark.parametrize("n_turns", range(5))
def test_who_is_cancelled_holds_nothing(ledger: Ledger, n_turns: int) -> None:
    """Before it was admitted, just then, or in its block."""

    async def main() -> None:
        limits = Limits(max_tokens=10)

        async def ask() -> None:
            async with limits.admitted(ledger, TEN):
                await asyncio.sleep(60)

        task = asyncio.create_task(ask())
        await turns(n_turns)
        task.cancel()
        await asyncio.wait([task])
        assert limits.n_in_flight == 0
        await asyncio.wait_for(enter(limits, ledger, TEN), 5)

    asyncio.run(main())


async def refused(limits: Limits, ledger: Ledger, need: Need) -> Stopped:
    with pytest.raises(Stopped) as caught:
        async with limits.admitted(ledger, need):
            raise AssertionError("it was let in")
    return caught.value


def test_the_sentence_says_what_was_reached_and_how_to_go_on(ledger: Ledger) -> None:
    pay(ledger, "k", 12_000, 0.05)

    async def both() -> tuple[Stopped, Stopped]:
        tokens = await refused(Limits(9.0, 12_345), ledger, Need(500, 0.1))
        return tokens, await refused(Limits(0.1, 99_999), ledger, Need(500, 0.0625))

    tokens, money = asyncio.run(both())
    assert tokens.exit_code == money.exit_code == EXIT_LIMIT_REACHED == 3
    assert tokens.sentence() == (
        "the limit of 12,345 sampled tokens is reached: 12,000 are spent and the next request may take 500. Everything "
        "that was paid for is kept; raise --max-tokens and run the same command again to go on."
    )
    assert money.sentence() == (
        "the limit of $0.1000 is reached: $0.0500 are spent and the next request may cost $0.0625. Everything "
        "that was paid for is kept; raise --max-cost and run the same command again to go on."
    )


def test_once_stopped_all_later_asks_raise_the_same(ledger: Ledger) -> None:
    async def main() -> None:
        limits = Limits(max_tokens=5)
        first = await refused(limits, ledger, TEN)
        small = await refused(limits, ledger, Need(1, 0))
        assert small.sentence() == first.sentence()
        assert small is not first

    asyncio.run(main())


def test_a_limits_object_outlives_a_loop_and_a_ledger(tmp_path: Path) -> None:
    """As in a run: a loop and an opening of the ledger for each stage, one limit over all."""
    limits = Limits(max_tokens=25)

    async def stage(ledger: Ledger, key: str) -> None:
        async with limits.admitted(ledger, TEN):
            await asyncio.sleep(0)
            pay(ledger, key, 10)

    for key in "ab":
        with Ledger(tmp_path / "l.sqlite") as ledger:
            asyncio.run(stage(ledger, key))
    with Ledger(tmp_path / "l.sqlite") as ledger, pytest.raises(Stopped, match="20 are spent"):
        asyncio.run(stage(ledger, "c"))


def test_a_loop_that_ended_while_waiting_for_others_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"

    async def first(limits: Limits, mine: Ledger) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(enter(limits, mine, TEN), 0.01)

    async def second(limits: Limits, mine: Ledger, theirs: Ledger) -> None:
        waits = asyncio.create_task(enter(limits, mine, TEN))
        await turns(5)
        theirs.close()
        await asyncio.wait_for(waits, 5)

    with Ledger(path) as mine, Ledger(path) as theirs:
        theirs.reservations.admit([TEN], max_tokens=15, max_cost_usd=None)
        limits = Limits(max_tokens=15)
        asyncio.run(first(limits, mine))
        asyncio.run(second(limits, mine, theirs))


def test_a_ledger_that_cannot_be_written_ends_every_wait(ledger: Ledger) -> None:
    async def main() -> None:
        limits = Limits(max_tokens=1000)
        ledger._database.rows("PRAGMA query_only = 1")
        for _ in range(2):
            asks = [enter(limits, ledger, TEN) for _ in range(3)]
            results = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 5)
            assert [isinstance(result, TeachableError) for result in results] == [True] * 3
        ledger._database.rows("PRAGMA query_only = 0")
        async with limits.admitted(ledger, TEN):
            assert limits.n_in_flight == 1

    asyncio.run(main())


def test_an_interrupt_finishes_what_is_in_flight_and_turns_the_others_away(ledger: Ledger) -> None:
    async def main() -> None:
        limits = Limits(max_tokens=25)
        done: list[str] = []

        async def ask(name: str) -> None:
            async with limits.admitted(ledger, TEN):
                await asyncio.sleep(0.05)
                pay(ledger, name, 10)
                done.append(name)

        tasks = [asyncio.create_task(ask(name)) for name in "abcd"]
        await asyncio.sleep(0.01)
        assert limits.n_in_flight == 2
        threading.Thread(target=limits.interrupt).start()  # from anywhere
        await asyncio.sleep(0.01)
        assert not any(task.done() for task in tasks)
        late = asyncio.create_task(ask("late"))
        results = await asyncio.wait_for(asyncio.gather(*tasks, late, return_exceptions=True), 5)
        assert done == ["a", "b"]
        assert [getattr(result, "exit_code", 0) for result in results] == [0, 0] + [EXIT_INTERRUPTED] * 3
        assert str(results[-1]) == (
            "stopped: nothing is in flight any more, and everything that was paid for is kept. "
            "Run the same command again to go on."
        )
        assert (await refused(limits, ledger, TEN)).exit_code == EXIT_INTERRUPTED

    asyncio.run(main())


def test_an_interrupt_reaches_who_has_no_limits(ledger: Ledger) -> None:
    limits = Limits()
    limits.interrupt()  # before any loop runs
    assert asyncio.run(refused(limits, ledger, TEN)).exit_code == EXIT_INTERRUPTED
