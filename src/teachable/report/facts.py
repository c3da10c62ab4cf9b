"""Everything the page says, as one JSON-able mapping: report.json is this, report.html is drawn from this alone.

Counts come from the Parquet files. Accuracies and their intervals come from evaluate/stats.json, because the
method that made them is the evaluation's business; every mean is computed again from scores.parquet, and a
mean that is off by more than `TOLERANCE` is announced on the page instead of being believed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from teachable.report.config import ReportConfig
from teachable.report.load import ROLES, RunReader
from teachable.report.pivots import pivot_facts
from teachable.report.pool import pass_rate_facts, pool_facts, probing_facts
from teachable.report.reproduce import private_words, redacted, reproduce_facts, stage_facts
from teachable.report.samples import sample_facts
from teachable.report.training import training_facts
from teachable.report.tuning import preference_facts

FORMAT = 1
ARM_ORDER = ("base", "teachable", "random", "mastered", "beyond")
TOLERANCE = 0.005  # half a point: more than rounding, less than anything a reader would act upon
Facts = dict[str, Any]


def gather(reader: RunReader, config: ReportConfig) -> Facts:
    """All facts of a run. What is missing is an empty value and a line in `missing`."""
    recipe, manifest = reader.recipe, reader.manifest
    results = result_facts(reader)
    pool = pool_facts(reader)
    facts: Facts = {
        "format": FORMAT,
        "name": str(recipe.get("name") or manifest.get("recipe") or reader.run.name),
        "run": reader.run.name,
        "seed": recipe.get("seed"),
        "base": str(recipe.get("base") or ""),
        "roles": [role for role in ROLES if reader.expects(role)],
        **results,
        **pool,
        "pass_rates": pass_rate_facts(reader),
        "probing": probing_facts(reader),
        "training": training_facts(reader, arm_key),
        "pivots": pivot_facts(reader, config),
        "preferences": preference_facts(reader),
        "examples": sample_facts(reader, config, seed=recipe.get("seed")),
        "stages": stage_facts(manifest, reader),
        "reproduce": reproduce_facts(reader.recipe_text, manifest),
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


def arm_key(arm: str) -> tuple[int, str]:
    """The order of arms everywhere on the page: base first, then the contract's, then any other by name."""
    return (ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER), arm)


def result_facts(reader: RunReader) -> Facts:
    """Verdict, arms, differences, and accuracy by domain and level."""
    stats = reader.stats("evaluate")
    rows = reader.rows(
        "evaluate",
        "scores.parquet",
        (
            "model",
            "arm",
            "prompt_id",
            "domain",
            "level",
            "n",
            "n_correct",
            "n_undecided",
            "greedy",
            "majority",
            "n_tokens",
        ),
    )
    arms = sorted(stats.get("arms") or [], key=lambda a: arm_key(str(a["arm"])))
    comparisons = sorted(
        stats.get("comparisons") or [], key=lambda c: (arm_key(c["baseline"]), arm_key(c["arm"]), c["metric"])
    )
    domains = sorted(
        stats.get("domains") or [], key=lambda d: (str(d["domain"]), int(d.get("level") or 0), arm_key(str(d["arm"])))
    )
    metrics = list(dict.fromkeys(m for a in arms for m in a.get("metrics") or {}))
    verdict = stats.get("verdict") or {}
    trained = [a["arm"] for a in arms if a["arm"] != "base"]
    return {
        "verdict": verdict,
        "headline": {
            "arm": "teachable" if "teachable" in trained else (trained[0] if trained else None),
            "metric": verdict.get("metric") or (metrics[0] if metrics else None),
        },
        "metrics": metrics,
        "arms": arms,
        "comparisons": comparisons,
        "domains": domains,
        "evaluation": {
            "n_questions": stats.get("n_questions") or len({r["prompt_id"] for r in rows}) or None,
            "n_domains": len({r["domain"] for r in rows}) or None,
            "n_samples": stats.get("n_samples"),
            "temperature": stats.get("temperature"),
            "n_seeds": max((int(a.get("n_seeds") or 0) for a in arms if a["arm"] != "base"), default=None),
            "undecided_rate": undecided_rate(rows) if rows else stats.get("undecided_rate"),
            "n_models": len({r["model"] for r in rows}) or None,
        },
        "notices": disagreements(arms, means(rows)),
    }


def undecided_rate(rows: list[dict[str, Any]]) -> float | None:
    """The share of sampled answers that the verifier could not decide."""
    undecided = sum(r.get("n_undecided") or 0 for r in rows)
    total = undecided + sum(r.get("n") or 0 for r in rows)
    return undecided / total if total else None


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Arm -> metric -> mean, from the scores: over questions within a model, then over the arm's models.

    A question without a decided answer counts for no metric that it cannot speak to.
    """
    values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for r in rows:
        key = (r["arm"], r["model"])
        if r.get("n"):
            values[*key, "pass@1"].append(r["n_correct"] / r["n"])
        for metric, column in (("greedy", "greedy"), ("maj@k", "majority")):
            if r.get(column) is not None:
                values[*key, metric].append(float(r[column]))
    by_arm: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (arm, _model, metric), numbers in values.items():
        by_arm[arm][metric].append(sum(numbers) / len(numbers))
    return {arm: {m: sum(v) / len(v) for m, v in metrics.items()} for arm, metrics in by_arm.items()}


def disagreements(arms: list[dict[str, Any]], recomputed: dict[str, dict[str, float]]) -> list[str]:
    """Where evaluate/stats.json and scores.parquet tell different stories."""
    found = []
    for arm in arms:
        for metric, stated in (arm.get("metrics") or {}).items():
            mean = recomputed.get(arm["arm"], {}).get("maj@k" if metric.startswith("maj@") else metric)
            if mean is not None and stated.get("mean") is not None and abs(mean - stated["mean"]) > TOLERANCE:
                found.append(
                    f"The evaluation states {100 * stated['mean']:.1f}% {metric} for {arm['arm']}, "
                    f"but its scores give {100 * mean:.1f}%."
                )
    return found
