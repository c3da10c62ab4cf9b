"""Everything the page says, as one JSON-able mapping: report.json is this, report.html is drawn from this alone.

Counts come from the Parquet files. Accuracies and their intervals come from evaluate/stats.json, because the
method that made them is the evaluation's business; every mean is computed again from scores.parquet (`checking`), and
one that is off by more than half a point is announced on the page instead of being believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from teachable.report.config import ReportConfig
from teachable.report.gathering.answers import answer_facts
from teachable.report.gathering.by_turns import by_turns_facts
from teachable.report.gathering.checking import COLUMNS, disagreements, task_disagreements, undecided_rate
from teachable.report.gathering.costs import cost_facts
from teachable.report.gathering.forgetting import forgetting_facts
from teachable.report.gathering.load import ROLES, RunReader
from teachable.report.gathering.models import Order, model_facts
from teachable.report.gathering.pivots import pivot_facts
from teachable.report.gathering.pool import pass_rate_facts, pool_facts, probing_facts
from teachable.report.gathering.reproduce import private_words, redacted, reproduce_facts, stage_facts
from teachable.report.gathering.samples import sample_facts
from teachable.report.gathering.training import training_facts
from teachable.report.gathering.tuning import preference_facts

FORMAT = 1
ARM_ORDER = ("base", "teachable", "random", "mastered", "beyond")
Facts = dict[str, Any]


def gather(reader: RunReader, config: ReportConfig) -> Facts:
    """All facts of a run. What is missing is an empty value and a line in `missing`."""
    recipe, manifest = reader.recipe, reader.manifest
    scores = reader.rows("evaluate", "scores.parquet", COLUMNS)
    order = arm_order(reader.stats("evaluate"))
    stages = stage_facts(manifest, reader)
    facts: Facts = {
        "format": FORMAT,
        "name": str(recipe.get("name") or manifest.get("recipe") or reader.run.name),
        "run": reader.run.name,
        "seed": recipe.get("seed"),
        "base": str(recipe.get("base") or ""),
        "roles": [role for role in ROLES if reader.expects(role)],
        **result_facts(reader, scores, order),
        "models": model_facts(reader, order),
        "forgetting": forgetting_facts(reader, order),
        "answers": answer_facts(reader, config, scores, order),
        **pool_facts(reader),
        "pass_rates": pass_rate_facts(reader),
        "probing": probing_facts(reader),
        "training": training_facts(reader, order),
        "pivots": pivot_facts(reader, config),
        "preferences": preference_facts(reader),
        "by_turns": by_turns_facts(reader),
        "examples": sample_facts(reader, config, seed=recipe.get("seed")),
        "stages": stages,
        "costs": cost_facts(reader, stages["rows"]),
        "reproduce": reproduce_facts(reader.recipe_text, recipe, manifest),
        "missing": list(reader.missing),
    }
    clean: Facts = redacted(finite(facts), private_words(reader.run))
    return clean


def finite(value: Any) -> Any:
    """The same with NaN and infinities, which JSON lacks, turned into None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def arm_order(stats: Mapping[str, Any]) -> Callable[[str], tuple[int, str]]:
    """The order of arms everywhere on the page: base first, then the recipe's, then models as the evaluation has them.

    Args:
        stats: of the evaluation; arms that it does not name come last, by name.
    """
    named = [str(arm["arm"]) for arm in stats.get("arms") or []]
    places = {arm: place for place, arm in enumerate(dict.fromkeys((*ARM_ORDER, *named)))}
    return lambda arm: (places.get(arm, len(places)), arm)


def result_facts(reader: RunReader, rows: list[dict[str, Any]], order: Order) -> Facts:
    """Verdict, arms, differences, and accuracy by domain and level.

    Args:
        rows: of scores.parquet.
    """
    stats = reader.stats("evaluate")
    arms = sorted(stats.get("arms") or [], key=lambda a: order(str(a["arm"])))
    comparisons = sorted(
        stats.get("comparisons") or [],
        key=lambda c: (order(c["baseline"]), order(c["arm"]), str(c.get("task") or "")),
    )
    domains = sorted(
        stats.get("domains") or [], key=lambda d: (str(d["domain"]), int(d.get("level") or 0), order(str(d["arm"])))
    )
    metrics = list(dict.fromkeys(m for a in arms for m in a.get("metrics") or {}))
    verdict = stats.get("verdict") or {}
    return {
        "verdict": verdict,
        "headline": _headline([a["arm"] for a in arms], verdict, metrics),
        "metrics": metrics,
        "arms": arms,
        "comparisons": comparisons,
        "domains": domains,
        "evaluation": {
            "n_questions": stats.get("n_questions") or len({r["prompt_id"] for r in rows}) or None,
            "n_domains": len({r["domain"] for r in rows}) or None,
            "n_tasks": len({r["task"] for r in rows if r.get("task")}) or None,
            "n_samples": stats.get("n_samples"),
            "temperature": stats.get("temperature"),
            "n_seeds": max((int(a.get("n_seeds") or 0) for a in arms if a["arm"] != "base"), default=None),
            "undecided_rate": undecided_rate(rows) if rows else stats.get("undecided_rate"),
            "n_models": len({r["model"] for r in rows}) or None,
            "failed_requests": stats.get("failed_requests"),
        },
        "notices": disagreements(arms, rows) + task_disagreements(stats.get("by_task") or [], rows),
    }


def _headline(arms: list[str], verdict: Mapping[str, Any], metrics: list[str]) -> Facts:
    """The arm that the page is about, what it is set against, and by which metric.

    The taught arm against the base; without a base, the pair of the verdict, else the second model against the first.
    """
    others = [arm for arm in arms if arm != "base"]
    arm = "teachable" if "teachable" in others else others[0] if others else None
    baseline: str | None = "base"
    if "base" not in arms and "teachable" not in arms:
        baseline = verdict.get("baseline") or (arms[0] if len(arms) > 1 else None)
        rest = [one for one in arms if one != baseline]
        arm = verdict.get("arm") or (rest[0] if rest else None)
    return {
        "arm": arm,
        "baseline": baseline,
        "metric": verdict.get("metric") or (metrics[0] if metrics else None),
    }
