"""How fast a server is asked: how many requests at once, and how long to wait after a failure.

The number at once follows additive increase, multiplicative decrease (Chiu and Jain, "Analysis of the Increase and
Decrease Algorithms for Congestion Avoidance in Computer Networks", 1989), as TCP's congestion window does: one more
after a window of successes, half as many when the server says that it is busy. Signs of one and the same jam count
once: only a request that was sent after the last cut may cause another. Waits between attempts grow exponentially
and are drawn from the whole interval ("full jitter"), so that requests that failed together do not return together;
a server that names a time is believed.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Backoff:
    """Waits between attempts, in seconds.

    `base_s` is the longest wait after the first failure, doubled with each further one up to `cap_s`.
    `retry_after_cap_s` is the longest that a server may ask for: a longer wish is cut to it.
    """

    base_s: float = 0.5
    cap_s: float = 30.0
    retry_after_cap_s: float = 120.0

    def wait_s(self, n_failures: int, retry_after_s: float | None, luck: random.Random) -> float:
        """How long to wait after the `n_failures`-th failure in a row (from 1), in seconds."""
        if retry_after_s is not None:
            return self.hold_s(retry_after_s) + luck.uniform(0.0, self.base_s)
        return luck.uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** min(n_failures - 1, 30)))

    def hold_s(self, retry_after_s: float) -> float:
        """The part of a server's wish that is granted, in seconds."""
        return min(retry_after_s, self.retry_after_cap_s)


def retry_after_s(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """The wait in seconds that a reply asks for, or None.

    Read from `retry-after-ms` (milliseconds, as some hosted servers say it) or `retry-after` (seconds, or a date in
    HTTP's form, RFC 9110, section 10.2.3; `now` is the time to count from, in seconds since 1970).
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            wait_s = float(headers.get(name, "")) * unit_s
        except ValueError:
            continue
        if 0.0 <= wait_s < float("inf"):
            return wait_s
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, date.timestamp() - (time.time() if now is None else now))


class Pace:
    """Lets in at most `most` requests at once, fewer while the server is busy, in the order of their tickets.

    It belongs to one event loop. A ticket is any number that orders requests by age; a request that comes again
    keeps its ticket and so goes before younger ones.
    """

    def __init__(self, most: int, limit: int | None = None) -> None:
        self.limit = min(most, limit or most)
        self.in_flight = 0
        self._most = most
        self._n_successes = 0
        self._cut_at = float("-inf")
        self._hold_until = float("-inf")
        self._alarm: asyncio.TimerHandle | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._n_arrivals = 0

    async def enter(self, ticket: int) -> float:
        """Wait for a place; returns the moment of entry on the loop's clock. Every entry needs a `leave`."""
        loop = asyncio.get_running_loop()
        self._n_arrivals += 1
        place: asyncio.Future[None] = loop.create_future()
        heapq.heappush(self._waiting, (ticket, self._n_arrivals, place))
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise
        return loop.time()

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._let_in()

    def succeeded(self) -> None:
        """A request was answered: after a window of them one more may be in flight."""
        self._n_successes += 1
        if self._n_successes >= self.limit:
            self._n_successes = 0
            self.limit = min(self._most, self.limit + 1)
            self._let_in()

    def slow_down(self, entered_at: float, hold_s: float = 0.0) -> None:
        """The server was too busy for a request that entered at `entered_at`: halve, and let nobody in for `hold_s`."""
        now = asyncio.get_running_loop().time()
        self._hold_until = max(self._hold_until, now + hold_s)
        if entered_at > self._cut_at:
            self._cut_at = now
            self._n_successes = 0
            self.limit = max(1, self.limit // 2)

    def _ring(self) -> None:
        self._alarm = None  # a timer may go off a little early, and is then set again
        self._let_in()

    def _let_in(self) -> None:
        if not self._waiting:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._hold_until:
            if self._alarm is None or self._alarm.when() < self._hold_until:
                self._alarm = loop.call_at(self._hold_until, self._ring)
            return
        while self._waiting and self.in_flight < self.limit:
            place = heapq.heappop(self._waiting)[2]
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
