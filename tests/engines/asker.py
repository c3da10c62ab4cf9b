"""Who asks a ledgered engine for completions; as a process of its own, one line of output an answer.

    python asker.py LEDGER CALLS N_REQUESTS N_AT_ONCE SECONDS_A_CALL

CALLS gets a line whenever the engine itself is asked, so that a test can count what was paid for.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from teachable.engines.ledgered import Ledgered
from teachable.engines.scripted import ScriptedEngine
from teachable.records import Completion, Engine, Request
from teachable.store.ledger import Ledger


def request(index: int, n: int = 3) -> Request:
    return Request(f"question {index}", n=n, seed=index)


class Counting(ScriptedEngine):
    """A scripted engine that takes its time and keeps count of what it is asked."""

    def __init__(self, calls: Path, seconds: float = 0.0) -> None:
        super().__init__(lambda text, sample, rng: f"{text}, sample {sample}: {rng.random()}")
        self._calls = calls
        self._seconds = seconds

    async def sample(self, request: Request) -> list[Completion]:
        with self._calls.open("a") as handle:
            handle.write(f"{request.prompt}\n")
        await asyncio.sleep(self._seconds)
        return await super().sample(request)


def sample(engine: Engine, *requests: Request) -> list[list[Completion]]:
    """The answers to all requests, asked at once."""

    async def main() -> list[list[Completion]]:
        return list(await asyncio.gather(*[engine.sample(r) for r in requests]))

    return asyncio.run(main())


def keep_asking(engine: Engine, *requests: Request) -> list[list[Completion] | BaseException]:
    """The answer or the error of each request, asked at once."""

    async def main() -> list[list[Completion] | BaseException]:
        return await asyncio.gather(*[engine.sample(r) for r in requests], return_exceptions=True)

    return asyncio.run(main())


async def ask(engine: Ledgered, n_requests: int, n_at_once: int) -> None:
    free = asyncio.Semaphore(n_at_once)

    async def one(index: int) -> None:
        async with free:
            texts = [c.text for c in await engine.sample(request(index))]
        print(index, texts, flush=True)

    await asyncio.gather(*[one(index) for index in range(n_requests)])


if __name__ == "__main__":
    path, calls, n_requests, n_at_once, seconds = sys.argv[1:]
    with Ledger(Path(path)) as ledger:
        engine = Ledgered(Counting(Path(calls), float(seconds)), ledger, stage="probe")
        asyncio.run(ask(engine, int(n_requests), int(n_at_once)))
