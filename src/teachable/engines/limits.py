"""The gate that every request passes before it is sent: money, tokens, and the user's wish to stop.

The most that a request may use is set aside before it is sent, so what a ledger holds never exceeds a limit; when the
request is answered, only what it really used counts. A request that does not fit waits until others have settled. With
none left to wait for the work ends with `Stopped`, and everything that was paid for is in the ledger. Requests are
admitted in the order in which they were asked, because callers ask in the order of worth: a small one never overtakes
a large one.

A limit is over all that a ledger holds: all stages, earlier runs, and other processes that write it (see
`store.reservations`). Not counted are requests that a killed process had in flight, attempts that a server charged for
but never answered, and tokens that a server adds beyond `max_tokens`.

After `interrupt` nothing more is sent; what is in flight is finished and kept, then every waiter gets `Stopped`.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

from teachable.errors import EXIT_INTERRUPTED, EXIT_LIMIT_REACHED, Stopped
from teachable.store.ledger import Ledger
from teachable.store.reservations import Admission, Need, Reservations

R = TypeVar("R")

POLL_S = 0.05  # how often to look whether another process has settled
BATCH = 256  # waiters looked at in one transaction


@dataclass(eq=False)
class _Waiter:
    """One who has asked to send a request; `place` is done when it may, or must not any more."""

    reservations: Reservations
    need: Need
    place: asyncio.Future[None]


class Limits:
    """What may be spent, and whether to go on; one for all engines of a command. For one event loop at a time.

    Args:
        max_cost_usd: dollars that a ledger may hold, prompt and sampled tokens together; None is no limit.
        max_tokens: sampled tokens that a ledger may hold; None is no limit.
        max_in_flight: requests sent and not yet answered; None is no limit. An engine that sends fewer at once than
            it is asked keeps the others in a queue of its own, and an interrupt has to wait for that queue too.
    """

    def __init__(
        self, max_cost_usd: float | None = None, max_tokens: int | None = None, *, max_in_flight: int | None = None
    ) -> None:
        self.max_cost_usd = max_cost_usd
        self.max_tokens = max_tokens
        self.max_in_flight = max_in_flight
        self.n_in_flight = 0
        self.interrupted = False
        self._stop: Stopped | None = None
        self._waiting: deque[_Waiter] = deque()
        self._unsynced: set[Reservations] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._soon = False  # the loop will call the pump
        self._poll: asyncio.TimerHandle | None = None

    @property
    def limited(self) -> bool:
        """There is a limit on money or tokens."""
        return self.max_cost_usd is not None or self.max_tokens is not None

    @property
    def _open(self) -> bool:
        """Whoever asks may send at once, since nothing is counted but requests in flight."""
        if self.limited or self.interrupted or self._stop is not None:
            return False
        return self.max_in_flight is None or self.n_in_flight < self.max_in_flight

    @asynccontextmanager
    async def admitted(self, ledger: Ledger, need: Need) -> AsyncIterator[None]:
        """A block in which one request is sent and its answer written into `ledger`.

        Args:
            ledger: whose spending is limited.
            need: the most that the request may use.

        Raises:
            Stopped: a limit is reached, or the user has interrupted; the block was not entered.
        """
        await self._admission(ledger.reservations, need)
        try:
            yield
        finally:
            self._settle(ledger.reservations, need)

    def interrupt(self) -> None:
        """Admit nothing more. May be called from any thread and from a signal handler."""
        self.interrupted = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._pump)

    async def _admission(self, reservations: Reservations, need: Need) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._soon, self._poll = loop, False, None
        if self._open and not self._waiting:  # the usual case: nothing to wait for, and nobody to overtake
            self.n_in_flight += 1
            return
        waiter = _Waiter(reservations, need, loop.create_future())
        self._waiting.append(waiter)
        if self.limited:
            self._pump_soon()  # who asks in the same turn of the loop is admitted in the same transaction
        else:
            self._pump()
        try:
            await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled() and waiter.place.exception() is None:
                self._settle(reservations, need)
            self._pump_soon()  # who stood behind may fit
            raise

    def _settle(self, reservations: Reservations, need: Need) -> None:
        self.n_in_flight -= 1
        if self.limited:
            reservations.settle(need)
            self._unsynced.add(reservations)
        if self._waiting or self._unsynced:
            self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._soon and self._loop is not None and not self._loop.is_closed():
            self._soon = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Admit who may be, turn away who must be, and let other processes see what has settled."""
        self._soon = False
        try:
            self._serve()
            for reservations in [one for one in self._unsynced if not one.closed]:
                self._admit(reservations, [])
            self._unsynced.clear()
        except Exception as error:  # a full disk, say: nobody may wait for ever
            self._turn_away(error)

    def _serve(self) -> None:
        while self._stop is None and not self.interrupted and (batch := self._take()):
            admission = self._admit(batch[0].reservations, batch)
            n = admission.n_admitted
            if n == len(batch):
                continue
            if admission.n_elsewhere:
                self._look_again()
            elif self.n_in_flight == 0:
                self._stop = self._limit_reached(admission.spent, batch[n].need)
            break
        if self._stop is not None:
            self._turn_away(self._stop)
        elif self.interrupted and self.n_in_flight == 0:
            self._turn_away(_INTERRUPTED)

    def _take(self) -> list[_Waiter]:
        """Those at the head of the queue, of one ledger, whom `max_in_flight` lets in; they leave the queue."""
        room = BATCH if self.max_in_flight is None else min(BATCH, self.max_in_flight - self.n_in_flight)
        batch: list[_Waiter] = []
        while self._waiting and len(batch) < room:
            waiter = self._waiting[0]
            if not waiter.place.done():
                if batch and waiter.reservations is not batch[0].reservations:
                    break
                batch.append(waiter)
            self._waiting.popleft()
        return batch

    def _admit(self, reservations: Reservations, batch: list[_Waiter]) -> Admission:
        """Admit as many of `batch` as fit; the others go back to the head of the queue, all of them on an error."""
        n = 0
        try:
            admission = Admission(len(batch), Need(0, 0.0), 0)
            if self.limited:
                needs = [waiter.need for waiter in batch]
                admission = reservations.admit(needs, max_tokens=self.max_tokens, max_cost_usd=self.max_cost_usd)
                self._unsynced.discard(reservations)
            n = admission.n_admitted
        finally:
            self._waiting.extendleft(reversed(batch[n:]))
        for waiter in batch[:n]:
            waiter.place.set_result(None)
        self.n_in_flight += n
        return admission

    def _look_again(self) -> None:
        """Other processes have requests in flight, and nobody tells when those settle."""
        if self._poll is None and self._loop is not None:
            self._poll = self._loop.call_later(POLL_S, self._polled)

    def _polled(self) -> None:
        self._poll = None
        self._pump()

    def _turn_away(self, error: Exception) -> None:
        """End every wait with the error; each gets a `Stopped` of its own, for each adds its own traceback."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.place.done():
                waiter.place.set_exception(copy(error) if isinstance(error, Stopped) else error)

    def _limit_reached(self, spent: Need, need: Need) -> Stopped:
        if self.max_tokens is not None and spent.tokens_out + need.tokens_out > self.max_tokens:
            flag, limit = "--max-tokens", f"{self.max_tokens:,} sampled tokens"
            figures = f"{spent.tokens_out:,} are spent and the next request may take {need.tokens_out:,}"
        else:
            flag, limit = "--max-cost", _dollars(self.max_cost_usd or 0.0)
            figures = f"{_dollars(spent.cost_usd)} are spent and the next request may cost {_dollars(need.cost_usd)}"
        return Stopped(
            f"the limit of {limit} is reached: {figures}",
            mend=f"Everything that was paid for is kept; raise {flag} and run the same command again to go on",
            exit_code=EXIT_LIMIT_REACHED,
        )


_INTERRUPTED = Stopped(
    "stopped: nothing is in flight any more, and everything that was paid for is kept",
    mend="Run the same command again to go on",
    exit_code=EXIT_INTERRUPTED,
)


def _dollars(amount: float) -> str:
    """Two decimals, four below a dollar, and two significant digits where those would show nothing."""
    if amount >= 1 or amount == 0:
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if amount >= 0.0001 else f"${amount:.2g}"


async def finishing(
    work: Awaitable[R], limits: Limits, on_interrupt: Callable[[int], None] = lambda n_in_flight: None
) -> R:
    """The result of `work`, which ctrl-C (or SIGTERM) ends cleanly.

    The first signal interrupts `limits`, so that `work` ends with `Stopped` once its requests in flight are answered
    and kept; the second cancels it at once. A third leaves a program whose event loop does not turn. Outside the main
    thread, and for a signal that was ignored before, nothing is changed. The former handlers are put back at the end.

    Args:
        work: what samples through `limits`.
        limits: its gate.
        on_interrupt: called once, on the first signal, with the number of requests in flight.

    Raises:
        KeyboardInterrupt: on the second signal.
        whatever `work` raises; `Stopped` after the first signal.
    """
    task = asyncio.ensure_future(work)
    leaving = False

    def first() -> None:
        limits.interrupt()
        on_interrupt(limits.n_in_flight)

    def second() -> None:
        nonlocal leaving
        leaving = True
        task.cancel()

    with _on_signals(first, second):
        try:
            return await task
        except BaseException:
            if leaving:
                raise KeyboardInterrupt from None
            raise


@contextmanager
def _on_signals(first: Callable[[], None], second: Callable[[], None]) -> Iterator[None]:
    """Call these in the running loop on the first and the second SIGINT or SIGTERM within the block."""
    loop = asyncio.get_running_loop()
    steps = [first, second]
    n_signals = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal n_signals
        n_signals += 1
        if n_signals > len(steps):
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(take, steps[n_signals - 1])

    def take(step: Callable[[], None]) -> None:
        if n_signals <= len(steps):  # else the program is leaving already
            step()

    former: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    former = {number: old for number, old in former.items() if old not in (signal.SIG_IGN, None)}
    try:
        for number in former:
            signal.signal(number, handle)
        yield
    finally:
        for number, old in former.items():
            signal.signal(number, old)
