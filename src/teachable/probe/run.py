"""The probe itself: ask, verify, learn, and ask again where another sample is worth its price.

The stopping rule. After n decided attempts with s right, the posterior of a prompt's pass rate follows from the
prior of its kind, which is learnt from all attempts so far (`probe.prior`). Sampling of a prompt goes on as long as it
is expected to raise the probability of naming the right zone by more than its price (`probe.policy`), up to
`max_samples`. A prompt that gets no more is

- `decided` if one zone has at least 1 - delta of the posterior mass,
- else `max` if it has had `max_samples`,
- else `close`: its pass rate lies near a threshold, and more samples would rarely change the verdict
  (or `budget` or `interrupted`, where there was no more to spend or no more time).

With `price` 0 sampling goes on until a prompt is `decided` or has had `max_samples`, and no further. The guarantee: if
the prior is right, a prompt that is `decided` is in the wrong zone with probability at most delta, whatever rule
stopped it, because a posterior holds at every stopping time (Berger and Wolpert, The Likelihood Principle, 1988); so
the share of wrong zones among decided prompts is at most delta in expectation. The prior is learnt, hence the
guarantee approximate where few prompts speak for it; `benchmarks/probe_planted.py` measures it.

Attempts come in rounds: of the prompts that go on, those for which a sample is worth most are asked, then the prior is
learnt anew. What is asked next thus depends on the attempts alone and never on the order in which answers arrive:
an interrupted probe, resumed from its ledger, ends with the same estimates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from teachable.errors import Stopped, TeachableError
from teachable.probe.config import ProbeConfig
from teachable.probe.estimate import estimate, estimate_by_agreement
from teachable.probe.keys import ask_teacher, own_key, with_key
from teachable.probe.learn import UNKNOWN
from teachable.probe.rounds import Rounds, Tried
from teachable.records import Attempt, Engine, Estimate, OnProgress, Prompt, Verifier
from teachable.rollouts import refuse_shared_ids


@dataclass(frozen=True)
class ProbeResult:
    """What a probe found and what it spent: completions and tokens that the engines really returned.

    `teacher_attempts` are the reference model's answers. `priors` are the learnt priors, a row a domain and level.
    `stopped` is set when a limit or an interrupt ended the probe early; the estimates are then the best so far.
    """

    estimates: tuple[Estimate, ...]
    attempts: tuple[Attempt, ...]
    completions: int
    tokens: int
    teacher_attempts: tuple[Attempt, ...] = ()
    priors: tuple[dict[str, Any], ...] = ()
    stopped: Stopped | None = None


async def probe(
    prompts: Sequence[Prompt],
    *,
    engine: Engine,
    verifier: Verifier | None = None,
    teacher: Engine | None = None,
    config: ProbeConfig | None = None,
    seed: int = 0,
    on_progress: OnProgress | None = None,
) -> ProbeResult:
    """Find each prompt's zone with as few samples as that takes; see the module for the stopping rule.

    Args:
        prompts: what to try; ids must differ.
        engine: the model to probe.
        verifier: who decides, for all prompts; None for the verifier that each prompt names.
        teacher: a reference model. Its plurality answer is the key of prompts without one, and is compared with the
            answer of the others. Without it, and without a verifier for all, prompts that have no answer are judged by
            the agreement of the model's own attempts.
        config: None for the defaults.
        seed: of the sampling; each prompt's samples depend on it, on the prompt's id, and on how many were asked for.
        on_progress: called after every answer, in prompts that need no more.

    Returns:
        Estimates in the order of the prompts; attempts in the order of (prompt, sample).

    Raises:
        TeachableError: two prompts share an id, a verifier is unknown, or an engine failed on all prompts.
    """
    config = config or ProbeConfig()
    refuse_shared_ids(prompts)
    verifiers = {prompt.verifier: verifier for prompt in prompts} if verifier is not None else None
    keys = {prompt.id: own_key(prompt) for prompt in prompts}
    taught: list[Attempt] = []
    stopped: Stopped | None = None
    if teacher is not None:
        keys, taught, stopped = await ask_teacher(
            prompts, teacher=teacher, verifiers=verifiers, config=config, seed=seed, on_progress=on_progress
        )
        _refuse_total_failure(taught, "the teacher")
    tried = [Tried(with_key(prompt, keys[prompt.id]), keys[prompt.id]) for prompt in prompts]
    # Without a key, a verifier that the caller names may still know; a teacher in trouble means that nobody does.
    open_ended = [one for one in tried if one.key.answer is None and not one.key.trouble]
    keyless = open_ended if verifier is None else []
    keyed = [one for one in tried if one.key.answer is not None or (verifier is not None and not one.key.trouble)]
    rounds = Rounds(
        keyed,
        keyless,
        engine=engine,
        verifiers=verifiers,
        config=config,
        seed=seed,
        on_progress=on_progress,
        n_prompts=len(prompts),
    )
    stopped = await rounds.to_the_end(stopped)
    attempts = tuple(attempt for one in tried for attempt in one.attempts)
    _refuse_total_failure(attempts, "probe")
    beliefs = {one.prompt.id: rounds.learner.belief(place, one.n, one.successes) for place, one in enumerate(keyed)}
    apart = {one.prompt.id for one in keyless}
    estimates = []
    for one in tried:
        belief = beliefs.get(one.prompt.id, UNKNOWN)
        ended = rounds.why_stopped(one, belief)
        if one.prompt.id in apart:
            estimates.append(estimate_by_agreement(one.prompt, one.attempts, ended))
        else:
            estimates.append(estimate(one.prompt, one.attempts, belief, one.key, ended, config))
    return ProbeResult(
        estimates=tuple(estimates),
        attempts=attempts,
        completions=sum(attempt.finish_reason != "error" for attempt in (*attempts, *taught)),
        tokens=sum(attempt.n_tokens for attempt in (*attempts, *taught)),
        teacher_attempts=tuple(taught),
        priors=tuple(rounds.learner.document()),
        stopped=stopped,
    )


def _refuse_total_failure(attempts: Sequence[Attempt], where: str) -> None:
    """Raise if there were attempts and the engine failed in all of them: that is no property of the prompts."""
    if attempts and all(attempt.finish_reason == "error" for attempt in attempts):
        raise TeachableError(
            f"not one of {len(attempts)} attempts succeeded; the first: {attempts[0].reason}",
            where=where,
            mend="Mend what it says and run the same command again",
        )
