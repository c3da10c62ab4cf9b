"""One model's answers to the held-out questions, as score rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from teachable.evaluate.config import EvaluateConfig
from teachable.records import Attempt, Engine, OnProgress, Progress, Prompt, Verifier
from teachable.rollouts import Sampling, roll_out
from teachable.verify import vote


async def score_model(
    model: str,
    arm: str,
    seed: int,
    prompts: Sequence[Prompt],
    *,
    engine: Engine,
    config: EvaluateConfig,
    request_seed: int = 0,
    verifiers: Mapping[str, Verifier] | None = None,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """A score row for every question, in the order of the questions.

    Args:
        model: the model's name in the rows: "base", or arm and seed.
        arm: the arm that it was trained on, or "base".
        seed: the seed that it was trained with.
        prompts: held-out questions; ids must differ.
        engine: the model.
        config: samples and sampling.
        request_seed: of the sampling. The same for all models, so that they face the same luck where they agree.
        verifiers: in place of those that the questions name, by name.
        on_progress: called after every question, in questions of both rounds (sampled, then greedy).

    Returns:
        Rows of model, arm, seed, prompt_id, domain, level, n (decided samples), n_correct, n_undecided, greedy
        and majority (True, False, or None where it could not be told or was not asked for), n_tokens.

    Raises:
        TeachableError: two questions share an id, or a verifier is unknown.
    """
    rounds = 2 if config.greedy else 1
    sampled = await roll_out(
        prompts,
        engine=engine,
        verifiers=verifiers,
        n=config.n_samples,
        sampling=Sampling(config.max_tokens, config.temperature, config.top_p),
        seed=request_seed,
        on_progress=_within(on_progress, model, 0, rounds, 0),
    )
    greedy_at: dict[str, Attempt] = {}
    if config.greedy:
        spent = sum(attempt.n_tokens for attempt in sampled)
        greedy = await roll_out(
            prompts,
            engine=engine,
            verifiers=verifiers,
            n=1,
            sampling=Sampling(config.max_tokens, 0.0),
            seed=request_seed,
            on_progress=_within(on_progress, model, 1, rounds, spent),
        )
        greedy_at = {attempt.prompt_id: attempt for attempt in greedy}
    sampled_at: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in sampled:
        sampled_at[attempt.prompt_id].append(attempt)
    return [_row(model, arm, seed, prompt, sampled_at[prompt.id], greedy_at.get(prompt.id)) for prompt in prompts]


def _within(
    on_progress: OnProgress | None, model: str, turn: int, rounds: int, tokens_before: int
) -> OnProgress | None:
    """Progress of one round as progress of all rounds of a model."""
    if on_progress is None:
        return None
    return lambda p: on_progress(
        Progress(turn * p.total + p.done, rounds * p.total, "questions", tokens_before + p.tokens, model)
    )


def _row(
    model: str, arm: str, seed: int, prompt: Prompt, sampled: Sequence[Attempt], greedy: Attempt | None
) -> dict[str, Any]:
    decided = [attempt for attempt in sampled if attempt.correct is not None]
    return {
        "model": model,
        "arm": arm,
        "seed": seed,
        "prompt_id": prompt.id,
        "domain": prompt.domain,
        "level": prompt.level,
        "n": len(decided),
        "n_correct": sum(attempt.correct is True for attempt in decided),
        "n_undecided": len(sampled) - len(decided),
        "greedy": greedy.correct if greedy is not None else None,
        "majority": majority(sampled, prompt.verifier),
        "n_tokens": sum(a.n_tokens for a in sampled) + (greedy.n_tokens if greedy is not None else 0),
    }


def majority(sampled: Sequence[Attempt], verifier: str) -> bool | None:
    """Is the plurality answer of these attempts right, equivalent answers under that verifier counting together?

    Attempts without a verdict have no vote; attempts that gave no answer vote for nothing. False where
    all decided attempts gave no answer, None where none was decided. Where two answers are as frequent, the
    one that was sampled first is taken.
    """
    decided = [attempt for attempt in sampled if attempt.correct is not None]
    if not decided:
        return None
    votes = vote([attempt.answer for attempt in decided], verifier)
    return decided[votes.groups[0].indices[0]].correct if votes.groups else False
