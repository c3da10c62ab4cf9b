"""From score rows to what the report states: means, differences, and the verdict.

Every mean is over questions first and seeds second, with an interval over both (see `teachable.stats`): questions are
the clusters, so that the samples of one question are never taken for independent ones (Miller 2024, "Adding error bars
to evals"). A question that a model could not be scored on at all (the verifier could not tell) is left out, never
counted as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from teachable.evaluate.config import EvaluateConfig
from teachable.evaluate.differences import by_domain, compared, pairs_of, power, trained_arms
from teachable.evaluate.score import HELD_OUT
from teachable.evaluate.tables import BASE, GREEDY, MAJORITY, PASS, SCORE, Row, Tables, metrics_of
from teachable.evaluate.verdict import main_pair, verdict
from teachable.stats import Interval

# By domain and level, of which there may be many, only these.
_DOMAIN_METRICS = (PASS, GREEDY, MAJORITY, SCORE)


def summarise(
    rows: Sequence[Row],
    config: EvaluateConfig,
    *,
    budget_tokens: int | None = None,
    seed: int = 0,
    beside: Sequence[str] = (),
) -> dict[str, Any]:
    """The content of evaluate/stats.json that follows from the scores.

    Args:
        rows: score rows of all models (see `score_model`).
        config: as the rows were made with.
        budget_tokens: training tokens of each arm, for the verdict's sentence; None leaves them out.
        seed: of the bootstrap, where that is how intervals are made.
        beside: the arms that are models beside the run's own, in the order in which they were named.
    """
    tables = Tables(rows, config, seed=seed)
    metrics = metrics_of(config, rows)
    headline = metrics[0]
    comparisons = compared(tables, pairs_of(tables.arms, beside), metrics)
    n_decided = sum(row["n"] for row in rows)
    n_undecided = sum(row["n_undecided"] for row in rows)
    arms = _arms(tables, metrics)
    trained = trained_arms(tables.arms, beside)
    # A run's verdict is on what it was made for; benchmarks that it was evaluated on beside that stand by task.
    own = HELD_OUT if trained and HELD_OUT in tables.tasks and len(tables.tasks) > 1 else ""
    told = verdict(
        _arms(tables, [headline], own) if own else arms,
        comparisons,
        budget_tokens,
        beside=beside,
        metric=headline,
        n_questions=len(tables.questions),
        task=own,
    )
    pair = main_pair(told, comparisons)
    baseline = BASE if BASE in tables.arms else tables.arms[0] if tables.arms else BASE
    return {
        "n_questions": len(tables.questions),
        "n_samples": config.n_samples,
        "temperature": config.temperature,
        "max_tokens": config.max_tokens,
        "interval": config.interval,
        "arms": arms,
        "trained": trained,
        "beside": [arm for arm in beside if arm in tables.arms],
        "by_task": _by_task(tables, rows, metrics),
        "domains": _domains(tables, [metric for metric in metrics if metric in _DOMAIN_METRICS]),
        "comparisons": comparisons,
        "domain_comparisons": by_domain(tables, baseline, headline) if tables.arms else [],
        "verdict": told,
        "power": power(_of(comparisons, pair, headline, own)),
        "power_by_task": [
            {"task": task, **least}
            for task in tables.tasks
            if (least := power(_of(comparisons, pair, headline, task if len(tables.tasks) > 1 else ""), task))
        ],
        "undecided_rate": n_undecided / (n_decided + n_undecided) if n_decided + n_undecided else None,
        "completions": n_decided + n_undecided + (len(rows) if config.greedy else 0),
        "tokens": sum(row["n_tokens"] for row in rows),
        "prompt_tokens": sum(row["n_prompt_tokens"] for row in rows),
        "cost_usd": round(sum(row["cost_usd"] for row in rows), 6),
    }


def _arms(tables: Tables, metrics: Sequence[str], task: str = "") -> list[dict[str, Any]]:
    """Means by arm and metric, over the questions of a task; over all of them where it is empty."""
    keep = tables.of_task(task)
    return [
        {
            "arm": arm,
            "n_seeds": len(tables.seeds[arm]),
            "metrics": {m: _mean(found) for m in metrics if (found := tables.mean(arm, m, keep)).n},
        }
        for arm in tables.arms
    ]


def per_question(rows: Sequence[Row]) -> dict[str, float | None]:
    """Sampled tokens, prompt tokens and dollars that a question took on average, all its answers together."""
    columns = {"tokens": "n_tokens", "prompt_tokens": "n_prompt_tokens", "usd": "cost_usd"}
    return {
        f"{name}_per_question": sum(row[column] for row in rows) / len(rows) if rows else None
        for name, column in columns.items()
    }


def _of(
    comparisons: Sequence[Mapping[str, Any]], pair: tuple[str, str] | None, metric: str, task: str
) -> Mapping[str, Any] | None:
    """The comparison of a pair on a metric and task."""
    wanted = (*(pair or ("", "")), metric, task)
    return next((c for c in comparisons if (c["arm"], c["baseline"], c["metric"], c["task"]) == wanted), None)


def _mean(found: Interval) -> dict[str, float]:
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _by_task(tables: Tables, rows: Sequence[Row], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Means by task, with what the task's questions cost."""
    found = []
    for task in tables.tasks:
        for arm in tables.arms:
            cost = per_question([row for row in rows if (row["task"], row["arm"]) == (task, arm)])
            for metric in metrics:
                mean = tables.mean(arm, metric, tables.of_task(task))
                if mean.n:
                    named = {"arm": arm, "task": task, "metric": metric}
                    found.append({**named, **_mean(mean), "n_questions": mean.n, **cost})
    return found


def _domains(tables: Tables, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Means by domain, and by domain and level (level 0 standing for all levels of the domain)."""
    groups: dict[tuple[str, int], set[str]] = {}
    for question, (_, domain, level) in tables.questions.items():
        for key in {(domain, 0), (domain, level)}:
            groups.setdefault(key, set()).add(question)
    found = []
    for (domain, level), members in sorted(groups.items()):
        for arm in tables.arms:
            for metric in metrics:
                mean = tables.mean(arm, metric, members.__contains__)
                if mean.n:
                    row = {"arm": arm, "domain": domain, "level": level, "metric": metric}
                    found.append({**row, **_mean(mean), "n_questions": mean.n})
    return found
