"""What the stages share that are steered by half of the held-out questions and judged by the other half."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from teachable.errors import TeachableError
from teachable.evaluate import EvaluateConfig
from teachable.evaluate.tables import BASE, Tables, metrics_of
from teachable.recipe.domains import Domain
from teachable.recipe.guarding import n_overlaps
from teachable.recipe.scoring import judged_tasks
from teachable.recipe.spec import StageContext
from teachable.stats import paired_difference
from teachable.store.files import write_records
from teachable.train.tune_config import SteeredConfig


def judged_of(config: SteeredConfig) -> EvaluateConfig:
    """How held-out questions are asked, those that steer and those that judge."""
    return EvaluateConfig(n_samples=config.n_samples, max_tokens=config.max_tokens)


def steered(config: SteeredConfig) -> SteeredConfig:
    """What of a stage's settings a training needs."""
    return SteeredConfig.model_validate(config.model_dump(include=set(SteeredConfig.model_fields)))


def refuse_judges(ctx: StageContext, domains: Sequence[Domain]) -> None:
    """Raise where a question can only be decided by a judge, who would have to be asked at every evaluation.

    Raises:
        TeachableError: with the first such domain.
    """
    for domain in domains:
        for verifier in judged_tasks([*domain.dev, *domain.test]).values():
            raise TeachableError(
                f"questions of the domain {domain.name!r} are decided by a judge (verifier {verifier!r}), and training "
                "is steered by verifiers alone",
                where=ctx.name,
                mend="Leave the domain out, or give its held-out questions a verifier that needs no judge",
            )


def selected_overlaps(ctx: StageContext, domains: Sequence[Domain], *, allow: bool) -> int | None:
    """How many selected examples of these domains overlap the held-out questions; None where none are held out.

    Raises:
        TeachableError: some do, and that is not allowed.
    """
    selected = ctx.inputs["examples"] / "examples.jsonl"
    return n_overlaps(ctx, [selected], allow=allow, role="prompts", domains={domain.name for domain in domains})


def questions_of(folder: Path, domains: Sequence[Domain]) -> tuple[Path, Path]:
    """The files of the questions that steer and of those that judge, written into a stage's folder."""
    dev, test = folder / "dev.parquet", folder / "test.parquet"
    write_records(dev, [prompt for domain in domains for prompt in domain.dev])
    write_records(test, [prompt for domain in domains for prompt in domain.test])
    return dev, test


def seeds_of(ctx: StageContext, n: int) -> list[int]:
    """The seeds of n models: the recipe's, and those that follow it."""
    return [ctx.seed + i for i in range(n)]


def trained_facts(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What a stage's stats.json says of its trainings, and of the first model, which a later stage may start from."""
    runs = [record["run"] for record in records]
    return {
        "n_runs": len(runs),
        "ended": [
            {name: record["run"][name] for name in ("arm", "seed", "n_steps", "best_step", "stopped", "dev_score")}
            | {"sentence": record["sentence"]}
            for record in records
        ],
        "tokens": sum(run["n_tokens"] for run in runs),
        "seconds": round(sum(run["seconds"] for run in runs), 3),
        **{name: runs[0][name] for name in ("path", "digest", "n_params")},
    }


def gain_of(
    rows: Sequence[dict[str, Any]], domain: str, arm: str, config: EvaluateConfig, *, over: str = BASE
) -> dict[str, Any]:
    """What an arm's models gained over another arm's on a domain's judging questions, over questions and seeds.

    Args:
        rows: score rows, as `score_models` gives them.
        over: the arm compared with: one model, or as many seeds.

    Returns:
        The metric, both means, and the gain with its paired 95% interval. A question that could not be decided for one
        of the models counts for none of them.
    """
    mine = [row for row in rows if row["domain"] == domain]
    metric, tables = metrics_of(config, mine)[0], Tables(mine, config)
    tuned, base = tables.of(arm, metric), tables.of(over, metric)
    gain = paired_difference(tuned, base)
    decided = ~(np.isnan(tuned).any(axis=1) | np.isnan(base).any(axis=1))
    return {
        "domain": domain,
        "metric": metric,
        "n_questions": gain.n,
        "n_seeds": tuned.shape[1],
        "base": _or_none(base[decided].mean() if decided.any() else np.nan),
        "tuned": _or_none(tuned[decided].mean() if decided.any() else np.nan),
        "gain": _or_none(gain.mean),
        "low": _or_none(gain.low),
        "high": _or_none(gain.high),
    }


def _or_none(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
