"""How many requests go at once, and how long the others wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from teachable.engines.pace import Backoff, Pace, retry_after_s


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(main(), 10)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"}, 20.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_asks_for(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, now=100.0) == expected


def test_waits_double_up_to_a_cap_and_are_drawn_from_the_whole_interval() -> None:
    backoff, luck = Backoff(base_s=1.0, cap_s=8.0), random.Random(1)
    for n_failures, longest in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (5000, 8.0)]:
        waits = [backoff.wait_s(n_failures, None, luck) for _ in range(400)]
        assert max(waits) <= longest and max(waits) > 0.95 * longest and min(waits) < 0.05 * longest


def test_a_servers_wish_is_granted_up_to_a_cap() -> None:
    backoff, luck = Backoff(base_s=1.0, retry_after_cap_s=60.0), random.Random(1)
    assert all(5.0 <= backoff.wait_s(1, 5.0, luck) <= 6.0 for _ in range(100))
    assert all(60.0 <= backoff.wait_s(1, 86400.0, luck) <= 61.0 for _ in range(100))


def test_no_more_than_the_limit_are_in_at_once_and_the_oldest_go_first() -> None:
    async def main() -> None:
        pace, order, most = Pace(3), [], 0

        async def one(ticket: int) -> None:
            nonlocal most
            await pace.enter(ticket)
            order.append(ticket)
            most = max(most, pace.in_flight)
            await asyncio.sleep(0.001)
            pace.leave()

        tickets = random.Random(2).sample(range(100), 40)
        await asyncio.gather(*[one(ticket) for ticket in tickets])
        assert most == 3 and pace.in_flight == 0
        assert order == [*tickets[:3], *sorted(tickets[3:])]

    run(main)


def test_one_jam_halves_once_and_a_window_of_successes_adds_one() -> None:
    async def main() -> None:
        pace = Pace(16)
        entered = [await pace.enter(i) for i in range(16)]
        for at in entered:
            pace.slow_down(at)
        assert pace.limit == 8
        for _ in range(16):
            pace.leave()
        await asyncio.sleep(0.001)
        pace.slow_down(await pace.enter(17))
        assert pace.limit == 4
        for _ in range(4):
            pace.succeeded()
        assert pace.limit == 5
        for _ in range(4):
            pace.succeeded()
        assert pace.limit == 5
        for _ in range(1000):
            pace.succeeded()
        assert pace.limit == 16
        for _ in range(10):
            await asyncio.sleep(0.001)
            pace.slow_down(asyncio.get_running_loop().time())
        assert pace.limit == 1

    run(main)


def test_nobody_is_let_in_while_the_server_wants_a_pause() -> None:
    async def main() -> None:
        loop, pace = asyncio.get_running_loop(), Pace(4)
        started = loop.time()
        pace.slow_down(await pace.enter(0), hold_s=0.05)
        waiting = asyncio.create_task(pace.enter(1))
        await asyncio.sleep(0.01)
        pace.slow_down(started, hold_s=0.12)  # a longer wish replaces a shorter one
        assert await waiting >= started + 0.12

    run(main)


def test_who_gives_up_waiting_takes_no_place() -> None:
    async def main() -> None:
        pace = Pace(1)
        await pace.enter(0)
        waiting = [asyncio.create_task(pace.enter(i)) for i in (1, 2, 3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        pace.leave()  # lets in the second, which is cancelled in the same turn
        waiting[1].cancel()
        await asyncio.wait_for(waiting[2], 1)
        assert pace.in_flight == 1

    run(main)
