"""One model's answers to the held-out questions, as score rows and as attempts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teachable.evaluate.config import EvaluateConfig
from teachable.records import Attempt, Completion, Engine, Message, OnProgress, Progress, Prompt, Request, Verifier
from teachable.rollouts import Sampling, roll_out
from teachable.verify import vote

HELD_OUT = "heldout"  # the task of questions that no benchmark brought
GREEDY_SAMPLE = -1  # the number of the greedy answer among a question's attempts
MILLION = 1e6


@dataclass(frozen=True)
class Scores:
    """What a model's answers came to: a row a question, and a row an answer."""

    rows: list[dict[str, Any]]
    attempts: list[dict[str, Any]]


class Metered:
    """An engine that counts the prompt tokens of each request's seed; follows the `Engine` protocol itself.

    An attempt does not know what was paid for its prompt, but it knows the seed of its request, which is its prompt's
    alone.
    """

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.prompt_tokens: Counter[int] = Counter()
        self._engine = engine

    async def sample(self, request: Request) -> list[Completion]:
        """The engine's completions; those that a failing request had brought are counted too."""
        try:
            completions = await self._engine.sample(request)
        except Exception as error:
            self._count(request, getattr(error, "completions", ()))
            raise
        self._count(request, completions)
        return completions

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """The wrapped engine's token ids."""
        return self._engine.encode(prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The wrapped engine's text."""
        return self._engine.decode(token_ids)

    def _count(self, request: Request, completions: Sequence[Completion]) -> None:
        self.prompt_tokens[request.seed] += sum(one.n_prompt_tokens for one in completions)


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
    prices: tuple[float, float] = (0.0, 0.0),
    on_progress: OnProgress | None = None,
) -> Scores:
    """A score row for every question, in the order of the questions, and every answer.

    Args:
        model: the model's name in the rows: "base", arm and seed, or the label of a model beside them.
        arm: the arm that it was trained on, "base", or the label.
        seed: the seed that it was trained with.
        prompts: held-out questions; ids must differ.
        engine: the model.
        config: samples and sampling.
        request_seed: of the sampling. The same for all models, so that they face the same luck where they agree.
        verifiers: in place of those that the questions name, by name.
        prices: dollars for a million prompt tokens, and for a million sampled ones.
        on_progress: called after every question, in questions of both rounds (sampled, then greedy).

    Returns:
        Rows as in `scores.parquet` and `attempts.parquet`. `n` counts decided samples, `greedy` and `majority` are
        True, False, or None where it could not be told or was not asked for. `score` is the `partial_score` of the
        samples, of the greedy answer where nothing was sampled.

    Raises:
        TeachableError: two questions share an id, or a verifier is unknown or lacks what it needs.
    """
    metered = Metered(engine)
    answers_at: defaultdict[str, list[Attempt]] = defaultdict(list)
    greedy_at: dict[str, Attempt] = {}
    n_rounds = (config.n_samples > 0) + config.greedy
    if config.n_samples:
        sampled = await roll_out(
            prompts,
            engine=metered,
            verifiers=verifiers,
            n=config.n_samples,
            sampling=Sampling(config.max_tokens, config.temperature, config.top_p),
            seed=request_seed,
            on_progress=_within(on_progress, model, 0, n_rounds, 0),
        )
        for attempt in sampled:
            answers_at[attempt.prompt_id].append(attempt)
    if config.greedy:
        spent = sum(attempt.n_tokens for attempts in answers_at.values() for attempt in attempts)
        greedy = await roll_out(
            prompts,
            engine=metered,
            verifiers=verifiers,
            n=1,
            sampling=Sampling(config.max_tokens, 0.0),
            seed=request_seed,
            on_progress=_within(on_progress, model, n_rounds - 1, n_rounds, spent),
        )
        greedy_at = {attempt.prompt_id: attempt for attempt in greedy}
    who = {"model": model, "arm": arm, "seed": seed}
    scores = Scores([], [])
    for prompt in prompts:
        attempts, last = answers_at[prompt.id], greedy_at.get(prompt.id)
        every = [*attempts, *([last] if last is not None else [])]
        n_prompt_tokens = metered.prompt_tokens[every[0].seed]
        scores.rows.append({**who, **_row(prompt, attempts, last), **_paid(every, n_prompt_tokens, prices)})
        for attempt in every:
            scores.attempts.append({**who, **_told(attempt, GREEDY_SAMPLE if attempt is last else attempt.sample)})
    return scores


def _within(
    on_progress: OnProgress | None, model: str, turn: int, rounds: int, tokens_before: int
) -> OnProgress | None:
    """Progress of one round as progress of all rounds of a model."""
    if on_progress is None:
        return None
    return lambda p: on_progress(
        Progress(turn * p.total + p.done, rounds * p.total, "questions", tokens_before + p.tokens, model)
    )


def task_of(prompt: Prompt) -> str:
    """The benchmark that a question is of, or "heldout"."""
    return str(prompt.meta.get("benchmark") or HELD_OUT)


def _row(prompt: Prompt, sampled: Sequence[Attempt], greedy: Attempt | None) -> dict[str, Any]:
    """What a question's answers came to."""
    decided = [attempt for attempt in sampled if attempt.correct is not None]
    scored = [greedy] if not sampled and greedy is not None and greedy.correct is not None else decided
    return {
        "task": task_of(prompt),
        "prompt_id": prompt.id,
        "domain": prompt.domain,
        "level": prompt.level,
        "n": len(decided),
        "n_correct": sum(attempt.correct is True for attempt in decided),
        "n_undecided": len(sampled) - len(decided),
        "greedy": greedy.correct if greedy is not None else None,
        "majority": majority(sampled, prompt.verifier),
        "score": partial_score(scored),
    }


def _paid(every: Sequence[Attempt], n_prompt_tokens: int, prices: tuple[float, float]) -> dict[str, Any]:
    """What a question cost, in tokens and in dollars at the given prices for a million of them."""
    n_tokens = sum(attempt.n_tokens for attempt in every)
    dollars = (n_prompt_tokens * prices[0] + n_tokens * prices[1]) / MILLION
    return {"n_tokens": n_tokens, "n_prompt_tokens": n_prompt_tokens, "cost_usd": dollars}


def _told(attempt: Attempt, sample: int) -> dict[str, Any]:
    """An answer as a row of `attempts.parquet`."""
    return {
        "prompt_id": attempt.prompt_id,
        "sample": sample,
        "text": attempt.text,
        "answer": attempt.answer,
        "correct": attempt.correct,
        "frac_passed": attempt.frac_passed,
        "reason": attempt.reason,
        "finish_reason": attempt.finish_reason,
        "n_tokens": attempt.n_tokens,
    }


def partial_score(decided: Sequence[Attempt]) -> float | None:
    """The mean partial score of decided attempts, in [0, 1]; None where none of them has one.

    A verifier that gives partial scores may give none for an answer that it can't take apart (no program, say): that
    answer counts as it was decided, 1 or 0, since leaving it out would flatter the model.
    """
    if all(attempt.frac_passed is None for attempt in decided):
        return None
    parts = [float(one.correct is True) if one.frac_passed is None else one.frac_passed for one in decided]
    return sum(parts) / len(parts)


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


def without_hollow_votes(scores: Sequence[Scores]) -> list[dict[str, Any]]:
    """The rows of all models, with no `majority` for tasks whose right answers have no text that could vote.

    Such are tasks in which a judge compares or grades whole responses. A task is one of them if any model gave a right
    answer there from which none could be extracted, so that all models are treated alike.
    """
    task_at = {row["prompt_id"]: row["task"] for one in scores for row in one.rows}
    hollow = {
        task_at[attempt["prompt_id"]]
        for one in scores
        for attempt in one.attempts
        if attempt["correct"] and attempt["answer"] is None
    }
    rows = [row for one in scores for row in one.rows]
    return [{**row, "majority": None} if row["task"] in hollow else row for row in rows]
