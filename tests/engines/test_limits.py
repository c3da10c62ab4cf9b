"""Limits are never exceeded, nobody waits for ever, and an interrupt loses nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    if EXIT_LIMIT_REACHED in refused.values():  # the first who was refused did not fit indeed
        totals, need = ledgers[0].totals(), jobs[min(refused)].need
        too_many = max_tokens is not None and totals.tokens_out + need.tokens_out > max_tokens
        assert too_many or (max_cost_usd is not None and totals.cost_usd + need.cost_usd > max_cost_usd)
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


def test_a_ledger_that_cannot_be_written_ends_every_wait(ledger: Ledger) -> None:
    async def main() -> None:
        limits = Limits(max_tokens=1000)
        ledger._database.rows("PRAGMA query_only = 1")
        for _ in range(2):
            asks = [limits.admitted(ledger, TEN).__aenter__() for _ in range(3)]
            results = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 5)
            assert [isinstance(result, TeachableError) for result in results] == [True] * 3
        ledger._database.rows("PRAGMA query_only = 0")
        async with limits.admitted(ledger, TEN):
            assert limits.n_in_flight == 1

    asyncio.run(main())


def test_another_process_is_waited_for_before_the_work_is_stopped(tmp_path: Path) -> None:
    """It has 90 of 100 in flight and uses 10 of them; only then is it known that 50 more fit."""
    path = tmp_path / "l.sqlite"

    async def main(one: Ledger, other: Ledger) -> float:
        mine, theirs = Limits(max_tokens=100), Limits(max_tokens=100)

        async def slow() -> None:
            async with theirs.admitted(other, Need(90, 0)):
                await asyncio.sleep(0.2)
                pay(other, "theirs", 10)

        task = asyncio.create_task(slow())
        await asyncio.sleep(0.05)
        begun = time.perf_counter()
        async with mine.admitted(one, Need(50, 0)):
            seconds = time.perf_counter() - begun
        await task
        assert "10 are spent" in (await refused(mine, one, Need(91, 0))).sentence()
        return seconds

    with Ledger(path) as one, Ledger(path) as other:
        assert 0.1 < asyncio.run(main(one, other)) < 5


SPENDER = """
import asyncio, random, sys
from pathlib import Path
from teachable.engines.ledgered import Ledgered
from teachable.engines.limits import Limits
from teachable.engines.scripted import ScriptedEngine
from teachable.errors import Stopped
from teachable.records import Request
from teachable.store.ledger import Ledger

path, who, n_quick = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

class Slow(ScriptedEngine):
    async def sample(self, request):
        quick = int(request.prompt.split()[1]) < n_quick
        await asyncio.sleep(random.random() / 100 if quick else 600)
        return await super().sample(request)

async def main(engine):
    asked = [Request(f"{who} {i}", n=1 + i % 4, max_tokens=20) for i in range(200)]
    results = await asyncio.gather(*[engine.sample(r) for r in asked], return_exceptions=True)
    print(*{type(r).__name__ for r in results})

with Ledger(path) as ledger:
    answer = lambda text, index, generator: "x" * generator.randrange(25)
    limits = Limits(max_cost_usd=0.012, max_tokens=5000)
    asyncio.run(main(Ledgered(Slow(answer), ledger, stage=who, prices=(1.0, 2.0), limits=limits)))
"""


@contextmanager
def killing(processes: list[subprocess.Popen[str]]) -> Iterator[None]:
    """A test that fails must not wait for those that wait for ever."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_many_processes_keep_one_limit_between_them(tmp_path: Path) -> None:
    """Five processes want about six times what may be spent. The first soon has all the room in requests that take
    very long; while it lives the others wait, once it is killed they take what it leaves.
    """
    path = tmp_path / "l.sqlite"

    started: list[subprocess.Popen[str]] = []

    def start(who: int, n_quick: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SPENDER, str(path), str(who), str(n_quick)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    with Ledger(path) as ledger, killing(started):
        first = start(0, 10)
        while ledger.totals("0").requests < 10:
            assert first.poll() is None
            time.sleep(0.01)
        others = [start(who, 200) for who in range(1, 5)]
        while len(list(tmp_path.glob(".*.tmp"))) < 5:
            time.sleep(0.01)
        time.sleep(0.3)
        assert [one.poll() for one in (first, *others)] == [None] * 5
        first.kill()
        while any(one.poll() is None for one in others):
            totals = ledger.totals()
            assert totals.tokens_out <= 5000 and totals.cost_usd <= 0.012
            time.sleep(0.01)
        ended = [one.communicate(timeout=60) for one in others]
        assert [(one.returncode, *said) for one, (_, *said) in zip(others, ended, strict=True)] == [(0, "")] * 4
        kinds = [set(said.split()) for said, _ in ended]
        assert all({"Stopped"} <= kind <= {"Stopped", "list"} for kind in kinds)
        assert any("list" in kind for kind in kinds)
        totals = ledger.totals()
        # What was left was too little for the next request of anybody: at most 4 samples of 20 tokens.
        used = max(totals.tokens_out / 5000, totals.cost_usd / 0.012)
        assert 0.95 < used <= 1
    assert list(tmp_path.glob(".*")) == []


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
