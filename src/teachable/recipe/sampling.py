"""The engines of a stage: on how many threads, how many at once, with the ledger and the limits before them."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import Ledgered
from teachable.engines.limits import Limits, finishing
from teachable.engines.make import make_engine
from teachable.recipe.config import Resources
from teachable.recipe.spec import StageContext
from teachable.records import Completion, Engine, Message, Request
from teachable.store.ledger import Ledger
from teachable.train.config import SMALL_PARAMS

R = TypeVar("R")


@dataclass(frozen=True)
class Place:
    """Where a stage's engines compute: what a worker process needs to know, and nothing that a result depends on.

    `max_cost_usd` and `max_tokens` are what the run folder may hold at most; None is no limit.
    """

    engine: EngineConfig
    resources: Resources
    stage: str
    ledger: Path
    n_params: int
    max_cost_usd: float | None = None
    max_tokens: int | None = None

    @property
    def on_cpu(self) -> bool:
        """No GPU was asked for, or there is none."""
        device = self.resources.device
        return device == "cpu" or (device == "auto" and not importlib.import_module("torch").cuda.is_available())

    @property
    def n_at_once(self) -> int:
        """How many models run side by side: only small ones on a CPU do."""
        return self.resources.workers if self.on_cpu and self.n_params < SMALL_PARAMS else 1

    @property
    def n_threads(self) -> int:
        """One thread for a small model, which keeps its numbers the same whatever runs beside it; else all of them."""
        return 1 if self.n_params < SMALL_PARAMS else self.resources.workers

    def limits(self) -> Limits:
        """A gate for this place's engines; no more passes it at once than a server is sent, so that ctrl-C is quick."""
        at_once = self.engine.concurrency if self.engine.kind == "openai" else None
        return Limits(self.max_cost_usd, self.max_tokens, max_in_flight=at_once)


def place_of(ctx: StageContext, n_params: int) -> Place:
    """The place of a stage's models."""
    return Place(
        ctx.engine, ctx.resources, ctx.name, ctx.ledger_path, n_params, ctx.limits.max_cost_usd, ctx.limits.max_tokens
    )


@contextmanager
def asking(
    place: Place, model: str | Path = "", *, engine: EngineConfig | None = None, limits: Limits | None = None
) -> Iterator[Ledgered]:
    """An engine for the block; whatever it answers is in the ledger before the stage sees it.

    Args:
        model: of a transformers engine whose settings name none.
        engine: settings other than the place's own.
        limits: a gate shared with other engines; None for one of its own.
    """
    settings = place.engine if engine is None else engine
    resources = place.resources
    made = make_engine(
        settings, model=model, device=resources.device, batch_rows=resources.batch_rows, n_threads=place.n_threads
    )
    prices = settings.usd_per_million_in, settings.usd_per_million_out
    with Ledger(place.ledger) as ledger:
        yield Ledgered(made, ledger, stage=place.stage, prices=prices, limits=limits or place.limits())


class Opened:
    """Engines of a stage that share a gate, each opened once, by what it is, whoever names it.

    Args:
        stack: closes them.
        model: of a transformers engine whose settings name none.
    """

    def __init__(self, stack: ExitStack, place: Place, model: str, limits: Limits) -> None:
        self._stack, self._place, self._model, self._limits = stack, place, model, limits
        self._made: dict[str, tuple[Ledgered, Engine]] = {}

    def engine(self, settings: EngineConfig) -> tuple[Ledgered, Engine]:
        """The engine with the ledger before it, and the same, paced where it is a server: that one is asked."""
        name = json.dumps(settings.identity(), sort_keys=True)
        if name not in self._made:
            one = self._stack.enter_context(asking(self._place, self._model, engine=settings, limits=self._limits))
            self._made[name] = one, paced(one, settings)
        return self._made[name]

    @property
    def all(self) -> list[Ledgered]:
        """Every engine, in the order in which they were first named."""
        return [one for one, _ in self._made.values()]


def finish(
    work: Callable[[], Awaitable[R]], *engines: Ledgered, limits: Limits, on_interrupt: Callable[[int], None]
) -> R:
    """The result of `work()`, run in an event loop of its own; the engines are closed in it afterwards.

    Args:
        on_interrupt: told the number of requests that are still in flight, when ctrl-C asks the work to end.

    Raises:
        KeyboardInterrupt: on a second ctrl-C.
        whatever the work raises.
    """

    async def main() -> R:
        try:
            return await finishing(work(), limits, on_interrupt)
        finally:
            for engine in engines:
                await engine.aclose()

    return asyncio.run(main())


class Paced:
    """An engine of which no more requests reach the gate at once than its server is sent.

    Without the pace one slow server would have all its questions admitted and queued, and ctrl-C would wait for them.
    """

    def __init__(self, engine: Engine, at_once: int) -> None:
        self.name = engine.name
        self._engine = engine
        self._free = asyncio.Semaphore(at_once)

    async def sample(self, request: Request) -> list[Completion]:
        """The engine's completions, once there is room."""
        async with self._free:
            return await self._engine.sample(request)

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """The wrapped engine's token ids."""
        return self._engine.encode(prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The wrapped engine's text."""
        return self._engine.decode(token_ids)


def paced(engine: Engine, settings: EngineConfig) -> Engine:
    """The engine, paced where it is a server."""
    return Paced(engine, settings.concurrency) if settings.kind == "openai" else engine
