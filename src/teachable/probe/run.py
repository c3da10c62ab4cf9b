"""The probe itself: sample, verify, estimate. A pure coroutine: no clock, no disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from teachable.probe.config import ProbeConfig
from teachable.probe.estimate import estimate
from teachable.records import Attempt, Engine, Estimate, OnProgress, Prompt, Verifier
from teachable.rollouts import roll_out


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found and what it spent: completions and tokens that the engine really returned."""

    estimates: tuple[Estimate, ...]
    attempts: tuple[Attempt, ...]
    completions: int
    tokens: int


async def probe(
    prompts: Sequence[Prompt],
    *,
    engine: Engine,
    verifier: Verifier | None = None,
    config: ProbeConfig | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> ProbeResult:
    """Attempts at every prompt, and the zone of each.

    Args:
        prompts: what to try; ids must differ.
        engine: the model to probe.
        verifier: who decides, for all prompts; None for the verifier that each prompt names.
        config: None for the defaults.
        seed: of the sampling; each prompt's samples depend on it and on the prompt's id alone.
        on_progress: called after every prompt.

    Returns:
        Estimates in the order of the prompts; attempts in the order of (prompt, sample).

    Raises:
        TeachableError: two prompts share an id, or a verifier is unknown.
    """
    config = config or ProbeConfig()
    attempts = await roll_out(
        prompts,
        engine=engine,
        verifiers={prompt.verifier: verifier for prompt in prompts} if verifier is not None else None,
        n=config.n_samples,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=seed,
        on_progress=on_progress,
    )
    attempts_at: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        attempts_at[attempt.prompt_id].append(attempt)
    return ProbeResult(
        estimates=tuple(estimate(prompt, attempts_at[prompt.id], config) for prompt in prompts),
        attempts=tuple(attempts),
        completions=sum(attempt.finish_reason != "error" for attempt in attempts),
        tokens=sum(attempt.n_tokens for attempt in attempts),
    )
