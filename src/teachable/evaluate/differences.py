"""Which models are compared, and how they differ: paired by question, with intervals and p-values.

Every difference is paired by question, and by seed where both models were trained with several. A question that one of
the two could not be scored on at all is left out of their comparison, never counted as wrong. The p-value is that of
the paired difference; where every score is 0 or 1 and each model has one seed, McNemar's exact test stands beside it.

Several comparisons are several chances of a false alarm. `p_holm` is adjusted for them (Holm 1979): the comparisons
over all questions that share a metric are one family, those of single tasks that share a metric another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, TypeAlias

from teachable.evaluate.tables import BASE, HEADLINE, RANDOM, Keep, Tables, everything, is_binary
from teachable.stats import holm, mcnemar_exact, paired_difference, smallest_detectable

Pair: TypeAlias = tuple[str, str]  # an arm and its baseline
POWER = 0.8


def trained_arms(arms: Sequence[str], beside: Sequence[str]) -> list[str]:
    """The arms that this run trained: neither the base nor models beside it; the headline arm first."""
    found = [arm for arm in arms if arm != BASE and arm not in beside]
    return sorted(found, key=lambda arm: arm != HEADLINE)


def pairs_of(arms: Sequence[str], beside: Sequence[str]) -> list[Pair]:
    """Who is compared with whom: (arm, baseline).

    Trained arms are compared with random examples and with the base. Models beside them with the base, with the
    headline arm, and each with those that were named before it.
    """
    trained = trained_arms(arms, beside)
    found = [(arm, other) for arm in arms if arm in trained for other in (RANDOM, BASE) if other not in (arm, *beside)]
    known = [*([BASE] if BASE in arms and BASE not in beside else []), *trained[:1]]
    found += [(one, other) for one in beside for other in known]
    found += [(later, earlier) for earlier, later in combinations(beside, 2)]
    return [pair for pair in found if pair[0] in arms and pair[1] in arms]


def compared(tables: Tables, pairs: Sequence[Pair], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Every pair on every metric: over all questions (`task` ""), and by task where there are several.

    Comparisons without a question that both could be scored on are left out.
    """
    tasks = ["", *(tables.tasks if len(tables.tasks) > 1 else [])]
    found = [
        {"arm": arm, "baseline": baseline, "metric": metric, "task": task, **facts}
        for task in tasks
        for arm, baseline in pairs
        for metric in metrics
        if (facts := _difference(tables, (arm, baseline), metric, tables.of_task(task)))["n_questions"]
    ]
    for by_task in (False, True):
        for metric in metrics:
            family = [one for one in found if one["metric"] == metric and bool(one["task"]) == by_task]
            for one, adjusted in zip(family, holm([one["p_value"] for one in family]), strict=True):
                one["p_holm"] = adjusted
    return found


def by_domain(tables: Tables, baseline: str, metric: str) -> list[dict[str, Any]]:
    """Every other arm against one baseline, domain by domain: what was gained and what was forgotten."""
    domains = sorted({domain for _, domain, _ in tables.questions.values()})
    told = ("diff", "low", "high", "p_value", "n_questions")
    found = []
    for arm in tables.arms:
        for domain in domains if arm != baseline else ():
            members = {question for question, facts in tables.questions.items() if facts[1] == domain}
            facts = _difference(tables, (arm, baseline), metric, members.__contains__)
            if facts["n_questions"]:
                row = {"arm": arm, "baseline": baseline, "domain": domain, "metric": metric}
                found.append({**row, **{name: facts[name] for name in told}})
    return found


def _difference(tables: Tables, pair: Pair, metric: str, keep: Keep = everything) -> dict[str, Any]:
    """One arm against one baseline.

    Arms with different seeds are compared on the seeds that both have; without any in common, both are paired in
    order, which is fair as long as seeds mean nothing but luck.
    """
    config = tables.config
    first, second = tables.seeds[pair[0]], tables.seeds[pair[1]]
    if len(first) > 1 and len(second) > 1:
        shared = [s for s in first if s in second]
        n = min(len(first), len(second))
        first, second = (shared, shared) if shared else (first[:n], second[:n])
    one, other = tables.of(pair[0], metric, keep, first), tables.of(pair[1], metric, keep, second)
    found = paired_difference(one, other, method=config.interval, n_bootstrap=config.n_bootstrap, seed=tables.seed)
    lone = len(first) == len(second) == 1 and is_binary(metric, config.n_samples)
    return {
        "diff": found.mean,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "mcnemar_p": mcnemar_exact(one, other) if lone and found.n else None,
        "se": found.se if math.isfinite(found.se) else None,
        "df": found.df,
        "n_questions": found.n,
        "n_seeds": max(len(first), len(second)),
    }


def power(comparison: Mapping[str, Any] | None, what: str = "This test set") -> dict[str, Any] | None:
    """What a comparison could have seen, from its own standard error; None where it has none.

    Args:
        what: what the questions are called, at the head of the sentence.
    """
    if comparison is None or not comparison["se"]:
        return None
    least = smallest_detectable(comparison["se"], comparison["df"], POWER)
    sentence = (
        f"{what} can't tell apart models closer than {100 * least:.1f} points: "
        f"a true difference of {100 * least:.1f} points or more would be found {POWER:.0%} of the time."
    )
    names = {"arm": comparison["arm"], "baseline": comparison["baseline"]}
    return {**names, "smallest_detectable": least, "sentence": sentence}
