"""Several processes keep one limit between them, whoever of them dies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from teachable.engines.limits import Limits
from teachable.errors import Stopped
from teachable.records import Completion
from teachable.store.ledger import Ledger, Paid
from teachable.store.reservations import Need


def test_another_process_is_waited_for_before_the_work_is_stopped(tmp_path: Path) -> None:
    """It has 90 of 100 in flight and uses 10 of them; only then is it known that 50 more fit."""
    path = tmp_path / "l.sqlite"

    async def main(one: Ledger, other: Ledger) -> float:
        mine, theirs = Limits(max_tokens=100), Limits(max_tokens=100)

        async def slow() -> None:
            async with theirs.admitted(other, Need(90, 0)):
                await asyncio.sleep(0.2)
                completion = Completion("x", (), None, "stop", n_tokens=10)
                other.put_many([Paid("theirs", [completion])], stage="s", engine="e")

        task = asyncio.create_task(slow())
        await asyncio.sleep(0.05)
        begun = time.perf_counter()
        async with mine.admitted(one, Need(50, 0)):
            seconds = time.perf_counter() - begun
        await task
        with pytest.raises(Stopped, match="10 are spent"):
            await mine.admitted(one, Need(91, 0)).__aenter__()
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
