"""An engine that never loses a completion: it asks another engine, and writes the answer down before handing it on.

A request that the ledger knows is answered from it. What determines a completion is the key: engine (with the
model's digest and number format), prompt, sampling parameters, seed; the sample index is the row. Answers that
arrive together are written in one transaction.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from teachable.records import Completion, Engine, Message, Request
from teachable.store.digest import digest
from teachable.store.ledger import Ledger, Paid


@dataclass
class Spending:
    """Completions and tokens: all that were used, and of these what the ledger already had."""

    completions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    reused_completions: int = 0
    reused_tokens_out: int = 0


def request_key(engine_name: str, request: Request) -> str:
    """The ledger's key of a request; the number of samples is no part of it."""
    prompt: Any = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    how = [request.max_tokens, request.temperature, request.top_p, request.seed, list(request.stop)]
    return digest([engine_name, prompt, how])


class Ledgered:
    """Wraps an engine; follows the `Engine` protocol itself."""

    def __init__(self, engine: Engine, ledger: Ledger, *, stage: str) -> None:
        self.name = engine.name
        self.spent = Spending()
        self._engine = engine
        self._ledger = ledger
        self._stage = stage
        self._unwritten: list[tuple[Paid, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """The wrapped engine's token ids."""
        return self._engine.encode(prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The wrapped engine's text."""
        return self._engine.decode(token_ids)

    async def sample(self, request: Request) -> list[Completion]:
        """n completions, from the ledger where it has them, else sampled and written down first."""
        key = request_key(self.name, request)
        found = self._ledger.get(key)
        n_prompt_tokens = self._n_prompt_tokens(request)
        if found is not None and len(found) >= request.n:
            completions = found[: request.n]
            self.spent.reused_completions += len(completions)
            self.spent.reused_tokens_out += sum(len(c.token_ids) for c in completions)
        else:
            sampled = await self._engine.sample(request)
            await self._write(Paid(key, sampled, n_prompt_tokens))
            # What is written counts: another process, or an earlier request for fewer samples, may have come first.
            completions = (self._ledger.get(key) or [])[: request.n]
        self.spent.completions += len(completions)
        self.spent.tokens_in += n_prompt_tokens
        self.spent.tokens_out += sum(len(c.token_ids) for c in completions)
        return completions

    def _n_prompt_tokens(self, request: Request) -> int:
        prompt = request.prompt
        if isinstance(prompt, str):
            return len(self._engine.encode(prompt))
        messages = [part for part in prompt if not isinstance(part, int)]
        return len(self._engine.encode(messages)) if messages else len(prompt)

    async def _write(self, paid: Paid) -> None:
        """Return once `paid` is in the ledger; what else arrives in the same turn of the loop goes along."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unwritten.append((paid, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._flush())
        await written

    async def _flush(self) -> None:
        await asyncio.sleep(0)
        while self._unwritten:
            batch, self._unwritten = self._unwritten, []
            try:
                self._ledger.put_many([paid for paid, _ in batch], stage=self._stage, engine=self.name)
            except Exception as error:
                for _, written in batch:
                    if not written.done():
                        written.set_exception(error)
                continue
            for _, written in batch:
                if not written.done():
                    written.set_result(None)
