"""Ctrl-C and SIGTERM: the first finishes what is in flight, the second leaves, and the handlers are put back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from teachable.engines.limits import Limits, finishing
from teachable.errors import EXIT_INTERRUPTED, Stopped
from teachable.records import Completion
from teachable.store.ledger import Ledger, Paid
from teachable.store.reservations import Need


def test_finishing_hands_on_what_the_work_gives_and_puts_the_handlers_back() -> None:
    def mine(*_: object) -> None:
        raise AssertionError("called")

    async def work() -> int:
        assert signal.getsignal(signal.SIGINT) not in before and signal.getsignal(signal.SIGTERM) not in before
        return 7

    async def broken() -> int:
        raise ZeroDivisionError

    before = [signal.signal(signal.SIGTERM, mine), mine, signal.getsignal(signal.SIGINT)]
    try:
        assert asyncio.run(finishing(work(), Limits())) == 7
        with pytest.raises(ZeroDivisionError):
            asyncio.run(finishing(broken(), Limits()))
        assert signal.getsignal(signal.SIGTERM) is mine
        assert signal.getsignal(signal.SIGINT) is before[2]
    finally:
        signal.signal(signal.SIGTERM, before[0])


def test_a_signal_interrupts_and_says_so(tmp_path: Path) -> None:
    said: list[int] = []
    limits = Limits()

    async def work() -> str:
        async with limits.admitted(ledger, Need(10, 1.0)):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)
            ledger.put_many([Paid("k", [Completion("x", (1, 2, 3), None, "stop")])], stage="s", engine="e")
        async with limits.admitted(ledger, Need(10, 1.0)):
            raise AssertionError("it was let in")

    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(Stopped) as caught:
            asyncio.run(finishing(work(), limits, said.append))
        assert caught.value.exit_code == EXIT_INTERRUPTED
        assert said == [1]
        assert ledger.totals().tokens_out == 3


def test_in_another_thread_nothing_is_installed() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    async def work() -> None:
        seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=lambda: asyncio.run(finishing(work(), Limits())))
    thread.start()
    thread.join()
    assert seen == [before]


def test_an_ignored_signal_stays_ignored() -> None:
    """As a shell's background job is started: ctrl-C is for the one in front."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def work() -> None:
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert callable(signal.getsignal(signal.SIGTERM))

    try:
        asyncio.run(finishing(work(), Limits()))
    finally:
        signal.signal(signal.SIGINT, before)


COMMAND = """
import asyncio, sys, time
from pathlib import Path
from teachable.cli.ending import ending
from teachable.engines.ledgered import Ledgered
from teachable.engines.limits import Limits, finishing
from teachable.engines.scripted import ScriptedEngine
from teachable.records import Request
from teachable.store.ledger import Ledger

path, seconds, stuck_s = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])

class Slow(ScriptedEngine):
    async def sample(self, request):
        print("asked", flush=True)
        time.sleep(stuck_s)
        await asyncio.sleep(seconds)
        return await super().sample(request)

async def main(ledger):
    limits = Limits(max_tokens=50)
    engine = Ledgered(Slow({}), ledger, stage="probe", limits=limits)
    asked = [engine.sample(Request(f"{i}", max_tokens=10)) for i in range(9)]
    await finishing(asyncio.gather(*asked), limits, lambda n: print("finishing", n, flush=True))

with ending(), Ledger(path) as ledger:
    asyncio.run(main(ledger))
"""


def interrupted(path: Path, numbers: list[int], seconds: float, stuck_s: float = 0.0) -> tuple[int, str, str, float]:
    """Run `COMMAND`, send it the signals once it is asking, and see how and how soon it ends."""
    arguments = [sys.executable, "-c", COMMAND, str(path), str(seconds), str(stuck_s)]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as command:
        assert command.stdout is not None
        said = [command.stdout.readline() for _ in range(1 if stuck_s else 5)]
        begun = time.perf_counter()
        for number in numbers:
            time.sleep(0.1)  # two of the same that are pending at once are one
            command.send_signal(number)
        try:
            out, complaint = command.communicate(timeout=30)
        finally:
            command.kill()
    return command.returncode, "".join(said) + out, complaint, time.perf_counter() - begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_flight(tmp_path: Path, number: int) -> None:
    code, said, complaint, _ = interrupted(tmp_path / "l.sqlite", [number], seconds=0.5)
    assert code == EXIT_INTERRUPTED
    assert said == "asked\n" * 5 + "finishing 5\n"
    assert "stopped: nothing is in flight" in complaint and "Traceback" not in complaint
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.totals().completions == 5


@pytest.mark.parametrize("numbers", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM, signal.SIGINT]])
def test_the_second_signal_leaves_at_once(tmp_path: Path, numbers: list[int]) -> None:
    code, said, complaint, seconds = interrupted(tmp_path / "l.sqlite", numbers, seconds=60)
    assert code == EXIT_INTERRUPTED
    assert said == "asked\n" * 5 + "finishing 5\n"
    assert "stopped: what was finished is kept" in complaint and "Traceback" not in complaint
    assert seconds < 20
    assert [path.name for path in tmp_path.iterdir()] == ["l.sqlite"]


def test_the_third_signal_leaves_a_loop_that_does_not_turn(tmp_path: Path) -> None:
    code, said, complaint, seconds = interrupted(tmp_path / "l.sqlite", [signal.SIGINT] * 3, seconds=60, stuck_s=60)
    assert code == EXIT_INTERRUPTED
    assert said == "asked\n"
    assert "stopped: what was finished is kept" in complaint
    assert seconds < 20
