"""Sample n answers to each prompt, verify each, keyed by id: the one path that all sampling stages share.

A failure is not a wrong answer. An engine that fails on a prompt, and a verifier that fails on an attempt,
leave attempts whose `correct` is None with the error as the reason; nothing here turns an error into a score.

The samples of a prompt depend on (seed, prompt id) and the sampling parameters alone: not on the other
prompts, their order or what was sampled before, so a run may be cut, resumed, or given more prompts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence

from teachable import verify
from teachable.errors import TeachableError
from teachable.records import Attempt, Completion, Engine, OnProgress, Progress, Prompt, Request, Verifier

# Prompts asked of the engine at once. The engine batches as it likes; this only bounds our own memory.
MAX_IN_FLIGHT = 4096


def request_seed(seed: int, prompt_id: str) -> int:
    """The seed of a prompt's request, 63 bits, the same on every machine for the same (seed, prompt id)."""
    return int.from_bytes(hashlib.sha256(f"{seed}\x1f{prompt_id}".encode()).digest()[:8], "big") >> 1


async def roll_out(
    prompts: Sequence[Prompt],
    *,
    engine: Engine,
    verifiers: Mapping[str, Verifier] | None = None,
    n: int,
    max_tokens: int,
    temperature: float,
    top_p: float = 1.0,
    seed: int,
    stop: Sequence[str] = (),
    on_progress: OnProgress | None = None,
) -> list[Attempt]:
    """Verified attempts at every prompt, n each, ordered by (order of the prompts, sample).

    Args:
        prompts: what to answer; ids must differ.
        engine: who answers. One request a prompt, with all n samples; up to `MAX_IN_FLIGHT` at once.
        verifiers: verifiers by the name that prompts use; names not in it are looked up by `verify.get`.
        n: samples a prompt.
        max_tokens: longest answer, in tokens.
        temperature: of the sampling; 0 is greedy.
        top_p: nucleus, in (0, 1]; 1 is off.
        seed: of the whole; each prompt's own seed is made from it and the prompt's id.
        stop: strings that end an answer.
        on_progress: called after every prompt, in prompts and sampled tokens.

    Returns:
        Exactly `n * len(prompts)` attempts. Where the engine failed, or returned too few completions, the
        missing ones have `finish_reason` "error" and `correct` None.

    Raises:
        TeachableError: two prompts share an id, a verifier is unknown, or the engine raised one.
    """
    judges = _verifiers_for(prompts, verifiers or {})
    results: list[list[Attempt]] = [[] for _ in prompts]
    done = tokens = 0

    async def answer(pending: Iterator[tuple[int, Prompt]]) -> None:
        nonlocal done, tokens
        for index, prompt in pending:
            request = Request(
                prompt=prompt.messages,
                n=n,
                max_tokens=max_tokens,
                temperature=temperature,
                top_p=top_p,
                seed=request_seed(seed, prompt.id),
                stop=tuple(stop),
            )
            results[index] = await _attempts_at(prompt, request, engine, judges[prompt.verifier])
            done += 1
            tokens += sum(attempt.n_tokens for attempt in results[index])
            if on_progress is not None:
                on_progress(Progress(done=done, total=len(prompts), unit="prompts", tokens=tokens))

    # The workers draw from one iterator, so a slow prompt holds up nobody else.
    shared = iter(enumerate(prompts))
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(MAX_IN_FLIGHT, len(prompts))):
                group.create_task(answer(shared))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [attempt for attempts in results for attempt in attempts]


def _verifiers_for(prompts: Sequence[Prompt], given: Mapping[str, Verifier]) -> dict[str, Verifier]:
    """Every verifier that the prompts name, found before anything is sampled; also refuses duplicate ids."""
    seen: set[str] = set()
    found: dict[str, Verifier] = {}
    for prompt in prompts:
        if prompt.id in seen:
            raise TeachableError(f"two prompts have the id '{prompt.id}'", mend="Give every prompt an id of its own")
        seen.add(prompt.id)
        if prompt.verifier not in found:
            found[prompt.verifier] = given[prompt.verifier] if prompt.verifier in given else verify.get(prompt.verifier)
    return found


async def _attempts_at(prompt: Prompt, request: Request, engine: Engine, verifier: Verifier) -> list[Attempt]:
    """The n attempts of one request, verified; failures of the engine become attempts without a verdict."""
    fault = ""
    completions: list[Completion] = []
    try:
        completions = (await engine.sample(request))[: request.n]
    except TeachableError:
        raise
    except Exception as error:  # one prompt's failure must not cost the others; it is recorded, not scored
        fault = f"the engine failed: {type(error).__name__}: {error}"
    if not fault and len(completions) < request.n:
        fault = f"the engine returned {len(completions)} of {request.n} samples"
    attempts: list[Attempt] = []
    for sample in range(request.n):
        if sample >= len(completions):
            attempts.append(
                Attempt(prompt.id, sample, engine.name, request.seed, "", (), "error", None, None, reason=fault)
            )
            continue
        completion = completions[sample]
        verdict = await verify.judge(verifier, completion.text, prompt)
        attempts.append(
            Attempt(
                prompt_id=prompt.id,
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
            )
        )
    return attempts
