"""Sample answers to prompts, verify each, keyed by id: the one path that all sampling stages share.

A failure is not a wrong answer. An engine that fails on a prompt, and a verifier that fails on an attempt,
leave attempts whose `correct` is None with the error as the reason; nothing here turns an error into a score.

The samples of a prompt depend on (seed, prompt id) and the sampling parameters alone: not on the other
prompts, their order or what was sampled before, so a run may be cut, resumed, or given more prompts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from teachable import verify
from teachable.errors import TeachableError
from teachable.records import (
    Attempt,
    Completion,
    Engine,
    OnProgress,
    Progress,
    Prompt,
    PromptInput,
    Request,
    Verifier,
)

# Prompts asked of the engine at once. The engine batches as it likes; this only bounds our own memory.
MAX_IN_FLIGHT = 4096


@dataclass(frozen=True)
class Sampling:
    """How answers are sampled; see `Request` for the fields."""

    max_tokens: int
    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()

    def of(self, prompt: Prompt) -> Sampling:
        """The same, with what the prompt's task defines: `meta` may hold `stop` (strings) and `max_tokens`."""
        stop = tuple(prompt.meta.get("stop") or ())
        max_tokens = int(prompt.meta.get("max_tokens") or self.max_tokens)
        return replace(self, stop=tuple(dict.fromkeys((*self.stop, *stop))), max_tokens=max_tokens)

    def request(self, prompt: PromptInput, n: int, seed: int) -> Request:
        """What is asked of an engine for n samples of a prompt in this way."""
        return Request(
            prompt=prompt,
            n=n,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed,
            stop=self.stop,
            top_k=self.top_k,
            min_p=self.min_p,
        )


@dataclass(frozen=True)
class Ask:
    """n further attempts at a prompt, of which `first` is the number of those before."""

    prompt: Prompt
    n: int
    first: int = 0


OnAnswer: TypeAlias = Callable[[int, list[Attempt]], None]


def request_seed(seed: int, prompt_id: str, first: int = 0) -> int:
    """The seed of a prompt's request, 63 bits, the same on every machine for the same arguments.

    Requests for further samples have seeds of their own, so that an engine which knows nothing of `Request.first`
    does not give the same samples again.
    """
    named = f"{seed}\x1f{prompt_id}" if first == 0 else f"{seed}\x1f{prompt_id}\x1f{first}"
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:8], "big") >> 1


async def roll_out(
    prompts: Sequence[Prompt],
    *,
    engine: Engine,
    verifiers: Mapping[str, Verifier] | None = None,
    n: int,
    sampling: Sampling,
    seed: int,
    on_progress: OnProgress | None = None,
) -> list[Attempt]:
    """Verified attempts at every prompt, n each, ordered by (order of the prompts, sample).

    Args:
        prompts: what to answer; ids must differ.
        engine: who answers. One request a prompt, with all n samples; up to `MAX_IN_FLIGHT` at once.
        verifiers: verifiers by the name that prompts use; names not in it are looked up by `verify.get`.
        n: samples a prompt.
        sampling: how they are sampled.
        seed: of the whole; each prompt's own seed is made from it and the prompt's id.
        on_progress: called after every prompt, in prompts and sampled tokens.

    Returns:
        Exactly `n * len(prompts)` attempts. Where the engine failed, or returned too few completions, the
        missing ones have `finish_reason` "error" and `correct` None.

    Raises:
        TeachableError: two prompts share an id, a verifier is unknown, or the engine raised one.
    """
    refuse_shared_ids(prompts)
    results: list[list[Attempt]] = [[] for _ in prompts]
    done = tokens = 0

    def answered(index: int, attempts: list[Attempt]) -> None:
        nonlocal done, tokens
        results[index] = attempts
        done += 1
        tokens += sum(attempt.n_tokens for attempt in attempts)
        if on_progress is not None:
            on_progress(Progress(done=done, total=len(prompts), unit="prompts", tokens=tokens))

    asks = [Ask(prompt, n) for prompt in prompts]
    await answer(asks, engine=engine, verifiers=verifiers, sampling=sampling, seed=seed, on_answer=answered)
    return [attempt for attempts in results for attempt in attempts]


async def answer(
    asks: Sequence[Ask],
    *,
    engine: Engine,
    verifiers: Mapping[str, Verifier] | None = None,
    sampling: Sampling,
    seed: int,
    on_answer: OnAnswer,
) -> None:
    """Have every ask answered and verified, begun in the order given; see `roll_out` for the arguments.

    `on_answer` gets an ask's place and its n attempts as soon as they are there; when an error ends the whole, what
    was answered until then has been handed over.
    """
    judges = verifiers_for((ask.prompt for ask in asks), verifiers or {})

    async def work(pending: Iterator[tuple[int, Ask]]) -> None:
        for index, ask in pending:
            asked, own_seed = asked_as(ask.prompt), request_seed(seed, ask.prompt.id, ask.first)
            request = sampling.of(ask.prompt).request(asked, ask.n, own_seed)
            on_answer(index, await _attempts_at(ask, request, engine, judges[ask.prompt.verifier]))

    # The workers draw from one iterator, so a slow prompt holds up nobody else.
    shared = iter(enumerate(asks))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(MAX_IN_FLIGHT, len(asks))):
                group.create_task(work(shared))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def asked_as(prompt: Prompt) -> PromptInput:
    """What an engine is asked: the messages, or plain text to go on from where `meta` says `plain_text`."""
    return prompt.text if prompt.meta.get("plain_text") else prompt.messages


def refuse_shared_ids(prompts: Sequence[Prompt]) -> None:
    """Raise unless every prompt has an id of its own.

    Raises:
        TeachableError: two prompts share one.
    """
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise TeachableError(f"two prompts have the id '{prompt.id}'", mend="Give every prompt an id of its own")
        seen.add(prompt.id)


def verifiers_for(prompts: Iterable[Prompt], given: Mapping[str, Verifier]) -> dict[str, Verifier]:
    """Every verifier that the prompts name, found before anything is sampled, and asked whether it can work at all.

    Raises:
        TeachableError: there is none of that name, or its `ready` says what it lacks (a sandbox, an engine).
    """
    found: dict[str, Verifier] = {}
    for name in (prompt.verifier for prompt in prompts):
        if name not in found:
            verifier = given[name] if name in given else verify.get(name)
            if isinstance(verifier, verify.Prepared):
                verifier.ready()
            found[name] = verifier
    return found


async def completions_of(engine: Engine, request: Request) -> tuple[list[Completion], Exception | None]:
    """What an engine gives, n completions at most, and the error that it failed with, if it did.

    What it had got before it failed is among them. One request's failure must not cost the others: it is for the caller
    to record, and no wrong answer.

    Raises:
        TeachableError: passed through, as it is a mistake that the user must mend, or the end of the work.
    """
    try:
        return (await engine.sample(request))[: request.n], None
    except TeachableError:
        raise
    except Exception as error:
        return list(getattr(error, "completions", ()))[: request.n], error


async def _attempts_at(ask: Ask, request: Request, engine: Engine, verifier: Verifier) -> list[Attempt]:
    """The n attempts of one request, verified; failures of the engine become attempts without a verdict."""
    completions, error = await completions_of(engine, request)
    fault = f"the engine failed: {type(error).__name__}: {error}" if error is not None else ""
    if not fault and len(completions) < request.n:
        fault = f"the engine returned {len(completions)} of {request.n} samples"
    attempts: list[Attempt] = []
    for place in range(request.n):
        sample = ask.first + place
        if place >= len(completions):
            attempts.append(
                Attempt(ask.prompt.id, sample, engine.name, request.seed, "", (), "error", None, None, reason=fault)
            )
            continue
        completion = completions[place]
        verdict = await verify.verdict_of(verifier, completion.text, ask.prompt)
        attempts.append(
            Attempt(
                prompt_id=ask.prompt.id,
                sample=sample,
                engine=engine.name,
                seed=request.seed,
                text=completion.text,
                token_ids=tuple(completion.token_ids),
                finish_reason=completion.finish_reason,
                correct=verdict.correct,
                answer=verdict.answer,
                reason=verdict.reason,
                n_tokens=completion.n_tokens,
                frac_passed=verdict.frac_passed,
            )
        )
    return attempts
