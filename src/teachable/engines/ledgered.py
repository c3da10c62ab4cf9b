"""An engine that never loses a completion: it asks another engine, and writes the answer down before handing it on.

What the ledger knows is answered from it, and only the samples that it lacks are asked for. What determines a
completion is the key: engine (with the model's digest and number format), prompt, sampling parameters, seed; the
sample index is the row. Answers that arrive together are written in one transaction. A request that the engine could
not answer leaves its reason in the ledger, and what it did bring.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, TypeAlias

from teachable.engines.limits import Limits
from teachable.errors import TeachableError
from teachable.records import Completion, Engine, Message, PromptInput, Request
from teachable.store.digest import digest
from teachable.store.ledger import Ledger, Paid
from teachable.store.reservations import Need

MILLION = 1e6
# For an engine without a tokenizer: what a chat template adds at most, and the fewest bytes of UTF-8 that a token
# stands for on average, in any script that a model was trained on.
TEMPLATE_TOKENS = 16
BYTES_PER_TOKEN = 2

_Unwritten: TypeAlias = tuple[Paid, "asyncio.Future[bool]"]


@dataclass
class Spending:
    """Completions, tokens and dollars that were used, and of these (`reused_`) what the ledger already had.

    Dollars are at the prices of now, whatever a reused completion cost at its time; the ledger knows that.
    `failed` are requests that the engine could not answer in full.
    """

    completions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    failed: int = 0
    reused_completions: int = 0
    reused_tokens_in: int = 0
    reused_tokens_out: int = 0
    reused_cost_usd: float = 0.0


def request_key(engine_name: str, request: Request) -> str:
    """The ledger's key of a request; which of its samples are wanted is no part of it.

    Parameters that older versions did not have enter only where they are on, so that older keys hold.
    """
    prompt: Any = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    how: list[Any] = [request.max_tokens, request.temperature, request.top_p, request.seed, list(request.stop)]
    if request.top_k or request.min_p:
        how += [request.top_k, request.min_p]
    return digest([engine_name, prompt, how])


class Ledgered:
    """Wraps an engine; follows the `Engine` protocol itself. For one event loop at a time.

    Args:
        engine: who answers what the ledger lacks.
        ledger: where answers are kept.
        stage: for whom; the ledger sums spending up by it.
        prices: dollars for a million prompt tokens, and for a million sampled ones.
        limits: the gate that requests to the engine pass; None lets everything through.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: Ledger,
        *,
        stage: str,
        prices: tuple[float, float] = (0.0, 0.0),
        limits: Limits | None = None,
    ) -> None:
        self.name = engine.name
        self.spent = Spending()
        self._engine = engine
        self._ledger = ledger
        self._stage = stage
        self._prices = prices
        self._limits = Limits() if limits is None else limits
        self._buying: dict[str, asyncio.Future[None]] = {}
        self._unwritten: list[_Unwritten] = []

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """The wrapped engine's token ids."""
        return self._engine.encode(prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The wrapped engine's text."""
        return self._engine.decode(token_ids)

    async def aclose(self) -> None:
        """Close the wrapped engine, if it has anything to close."""
        close = getattr(self._engine, "aclose", None)
        if close is not None:
            await close()

    async def sample(self, request: Request) -> list[Completion]:
        """The wanted samples in order, from the ledger where it has them, else sampled and written down first.

        An engine that brings fewer than it was asked for, without an error, gives as many as stand in a row from
        the first wanted one on.

        Raises:
            Stopped: a limit is reached or the user has interrupted, and the ledger lacks some of the samples.
            whatever the engine raises, if samples are missing then; what it brought all the same (the error's
                `completions`, in order from the first one asked for) is kept.
        """
        key = request_key(self.name, request)
        kept = self._ledger.get(key, request.n, request.first)
        error: Exception | None = None
        if len(kept) < request.n:
            async with self._alone_with(key) as waited:
                if waited:  # another has paid meanwhile
                    kept = self._ledger.get(key, request.n, request.first)
                self._count(kept.values(), reused=True)
                for part in _missing(request, kept):
                    bought, fault = await self._buy(key, part)
                    error = fault or error
                    if bought is None:  # what is written counts, and another process came first
                        kept = self._ledger.get(key, request.n, request.first)
                    else:
                        kept = {**kept, **dict(enumerate(bought, part.first))}
        else:
            self._count(kept.values(), reused=True)
        if error is not None and len(kept) < request.n:
            raise error
        return _in_a_row(kept, request)

    @asynccontextmanager
    async def _alone_with(self, key: str) -> AsyncIterator[bool]:
        """A block that no other coroutine is in with the same key: two who ask the same must not both pay.

        It is told whether it had to wait for one.
        """
        waited = False
        while (other := self._buying.get(key)) is not None:
            waited = True
            await asyncio.wait([other])
        mine = self._buying[key] = asyncio.get_running_loop().create_future()
        try:
            yield waited
        finally:
            del self._buying[key]
            mine.set_result(None)

    async def _buy(self, key: str, request: Request) -> tuple[list[Completion] | None, Exception | None]:
        """Ask the engine, and write down what it brings.

        Returns:
            what it brought, or None where the ledger had some of it by then; and the error that kept it from bringing
            more.

        Raises:
            TeachableError: the engine's own, which the user has to mend first, or one of the ledger or the limits.
        """
        async with self._limits.admitted(self._ledger, self._most(request)):
            fault: Exception | None = None
            is_new = True
            try:
                completions = await self._engine.sample(request)
            except Exception as error:
                fault = error
                completions = list(getattr(error, "completions", ()))
            if completions:
                is_new = await self._write(
                    Paid(key, completions, request.first, [self._cost(one) for one in completions])
                )
                self._count(completions)
            if isinstance(fault, TeachableError):
                raise fault
            if len(completions) < request.n:
                self.spent.failed += 1
                reason = f"the engine returned {len(completions)} of {request.n} samples"
                if fault is not None:
                    reason = f"{type(fault).__name__}: {fault}"
                lost = request.first + len(completions)
                self._ledger.fail(key, lost, reason, stage=self._stage, engine=self.name)
        return (completions if is_new else None), fault

    def _most(self, request: Request) -> Need:
        """The most that a request may use. An engine may have to read the prompt anew for each sample."""
        usd_in, usd_out = self._prices
        n_out = request.n * request.max_tokens
        n_in = 0
        if usd_in and self._limits.max_cost_usd is not None:
            n_in = request.n * self._n_prompt_tokens(request.prompt)
        return Need(n_out, (n_in * usd_in + n_out * usd_out) / MILLION)

    def _n_prompt_tokens(self, prompt: PromptInput) -> int:
        """How many tokens a prompt has; an upper guess where the engine has no tokenizer."""
        messages = [] if isinstance(prompt, str) else [part for part in prompt if not isinstance(part, int)]
        if not isinstance(prompt, str) and not messages:
            return len(prompt)
        try:
            return len(self._engine.encode(prompt if isinstance(prompt, str) else messages))
        except (TeachableError, NotImplementedError):
            texts = [prompt] if isinstance(prompt, str) else [message["content"] for message in messages]
            n_bytes = sum(len(text.encode("utf-8", "replace")) for text in texts)
            return n_bytes // BYTES_PER_TOKEN + TEMPLATE_TOKENS * (1 + len(texts))

    def _cost(self, completion: Completion) -> float:
        usd_in, usd_out = self._prices
        return (completion.n_prompt_tokens * usd_in + completion.n_tokens * usd_out) / MILLION

    def _count(self, completions: Iterable[Completion], *, reused: bool = False) -> None:
        spent = self.spent
        for one in completions:
            cost_usd = self._cost(one)
            spent.completions += 1
            spent.tokens_in += one.n_prompt_tokens
            spent.tokens_out += one.n_tokens
            spent.cost_usd += cost_usd
            if reused:
                spent.reused_completions += 1
                spent.reused_tokens_in += one.n_prompt_tokens
                spent.reused_tokens_out += one.n_tokens
                spent.reused_cost_usd += cost_usd

    async def _write(self, paid: Paid) -> bool:
        """Return once `paid` is in the ledger, and whether all of it was new; what arrives in the same turn goes along.

        The loop itself writes, not a task: nobody can cancel that, it happens even in a loop that is closing, and a
        caller that is cancelled hears of it only afterwards, so its reservation stands until then.
        """
        loop = asyncio.get_running_loop()
        written: asyncio.Future[bool] = loop.create_future()
        self._unwritten.append((paid, written))
        loop.call_soon(self._flush)
        return await written

    def _flush(self) -> None:
        batch, self._unwritten = self._unwritten, []
        done = self._put(batch)
        if not isinstance(done, Exception) or len(batch) == 1:
            _wake(batch, done)
            return
        for one in batch:  # whatever is wrong with one of them, the others were paid for too
            _wake([one], self._put([one]))

    def _put(self, batch: Sequence[_Unwritten]) -> bool | Exception:
        """Write a batch, and return whether all of it was new, or what kept it from being written."""
        try:
            return not batch or self._ledger.put_many([paid for paid, _ in batch], stage=self._stage, engine=self.name)
        except Exception as error:
            return error


def _wake(batch: Sequence[_Unwritten], done: bool | Exception) -> None:
    """Tell those who still wait how their writing went."""
    for _, written in batch:
        if written.done():
            continue
        if isinstance(done, Exception):
            written.set_exception(done)
        else:
            written.set_result(done)


def _missing(request: Request, kept: Mapping[int, Completion]) -> Iterator[Request]:
    """The fewest requests for the samples that are wanted and not kept: one for each gap."""
    if not kept:  # the usual case
        yield request
        return
    end = request.first + request.n
    lacking = [sample for sample in range(request.first, end) if sample not in kept]
    starts = [sample for sample in lacking if sample - 1 not in lacking]
    for start in starts:
        stop = next((sample for sample in range(start, end) if sample in kept), end)
        yield replace(request, first=start, n=stop - start)


def _in_a_row(kept: Mapping[int, Completion], request: Request) -> list[Completion]:
    """The wanted samples up to the first that is missing, so that a place in the list is always the same sample."""
    samples = takewhile(kept.__contains__, range(request.first, request.first + request.n))
    return [kept[sample] for sample in samples]
