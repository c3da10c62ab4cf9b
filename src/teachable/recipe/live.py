"""Scores of models: of one that is being trained, and of those that are done.

A model under training is asked between two of its steps, in its own process and by no ledger, since its weights have
no digest yet. Finished models are asked through the run's ledger, once: where nothing has changed, every answer comes
from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.engines.config import EngineConfig
from teachable.engines.live import NAME, engine_around
from teachable.evaluate import EvaluateConfig, score_model
from teachable.evaluate.score import without_hollow_votes
from teachable.recipe.sampling import place_of
from teachable.recipe.scoring import ScoreJob, score_all
from teachable.recipe.spec import StageContext
from teachable.records import Prompt


def score_live(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    config: EvaluateConfig,
    *,
    batch_rows: int = 384,
    request_seed: int = 0,
    arm: str = NAME,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """A score row for every question, of a model that is being trained and afterwards is exactly as it was.

    Args:
        model: on its device; see `engines.live.engine_around` for what may be around it.
        config: how the questions are asked; its models `beside` and its judge are not.
        batch_rows: samples that decode together, at most; no score depends on it.
        request_seed: of the sampled answers: with the same one at every asking, two states of a model face the same
            luck where they agree.
        arm, seed: of the rows.

    Raises:
        TeachableError: what the engine or a verifier says the user must mend.
    """

    async def asked() -> list[dict[str, Any]]:
        with engine_around(model, tokenizer, batch_rows=batch_rows) as engine:
            scores = await score_model(
                f"{arm}-{seed}", arm, seed, prompts, engine=engine, config=config, request_seed=request_seed
            )
        return without_hollow_votes([scores])

    return asyncio.run(asked())


def question_scores(rows: Sequence[Mapping[str, Any]], *, greedy: bool = True) -> list[float]:
    """One number a question, in the order of the rows: the share of its answers that are right, in [0, 1].

    An answer that could not be decided counts as wrong, so that no question has a score at one evaluation and none at
    the next.

    Args:
        greedy: a greedy answer was asked for, and counts as one of the answers.
    """
    scores = []
    for row in rows:
        n_answers = row["n"] + row["n_undecided"] + greedy
        scores.append((row["n_correct"] + (row["greedy"] is True)) / n_answers)
    return scores


def score_models(
    ctx: StageContext,
    models: Sequence[tuple[str, str, int, Path, int]],
    questions: Path,
    config: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Score rows of finished models, with the columns of `evaluate`'s scores.parquet, model by model.

    Args:
        models: each one's name in the rows, arm, seed, folder, and number of parameters.
        questions: a Parquet file of prompts.

    Raises:
        Stopped: a limit was reached or the user interrupted; everything that was paid for is in the ledger.
        TeachableError: what the engine or a verifier says the user must mend.
    """
    # Models here are folders: they are sampled from in process, whatever engine probing asks.
    own = ctx.engine.model_copy(update={"model": ""}) if ctx.engine.is_local else EngineConfig.model_validate({})
    jobs = [
        ScoreJob(name, arm, seed, own, str(folder), questions, config, ctx.seed, place_of(ctx, n_params))
        for name, arm, seed, folder, n_params in models
    ]
    scored = score_all(jobs, on_progress=ctx.on_progress, on_interrupt=ctx.on_interrupt)
    return without_hollow_votes([one.scores for one in scored])
