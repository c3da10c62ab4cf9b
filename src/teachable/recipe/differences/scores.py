"""What changed between the scores of two runs: arm by arm of the same name, and headline arm against headline arm.

Where at least half of the smaller run's questions were asked in both, and ask the same, a difference is paired by
question, over those alone, and by seed as within a run (`stats.paired_difference`). Elsewhere the two means are taken
as independent, over all questions of each run (`independent.py`). Questions that both runs asked make that interval too
wide, never too narrow, as long as scores on one question go together.

An interval here holds for the scores as they are. Whether they measure the same is for `comparable` to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teachable.evaluate import EvaluateConfig
from teachable.evaluate.tables import BASE, GREEDY, HEADLINE, MAJORITY, Tables, metrics_of
from teachable.evaluate.verdict import outcome_of
from teachable.recipe.differences.data import finite, prompts_of, text_of
from teachable.recipe.differences.folders import HELDOUT, ComparedRun, Row
from teachable.recipe.differences.independent import independent_difference
from teachable.stats import Floats, Interval, holm, mean_interval, paired_difference, smallest_detectable

LEAST_COMMON = 0.5  # share of the smaller run's questions from which on a difference is paired


class Scored:
    """The scores of one run, as tables of questions by seeds."""

    def __init__(self, rows: Sequence[Row], stats: Mapping[str, Any]) -> None:
        """Rows of `scores.parquet`, also those of an earlier version, and the evaluation's stats.json."""
        rows = [{**row, "task": row.get("task") or HELDOUT} for row in rows]
        n_samples = stats.get("n_samples")
        most = max(row["n"] + row["n_undecided"] for row in rows) if n_samples is None else int(n_samples)
        config = EvaluateConfig.model_validate({"n_samples": most})
        self.stats = stats
        self.tables = Tables(rows, config)
        has_greedy = any(row["greedy"] is not None for row in rows)
        self.metrics = [metric for metric in metrics_of(config, rows) if metric != GREEDY or has_greedy]
        self.n_tokens = _tokens(rows)
        self.order = list(self.tables.questions)
        self._known: dict[tuple[str, str], Floats] = {}

    @property
    def headline(self) -> str:
        """The arm that the run's verdict is on, or else the first that it trained, or else its first."""
        told = (self.stats.get("verdict") or {}).get("arm")
        arms = self.tables.arms
        trained = [arm for arm in arms if arm != BASE]
        candidates = [told, *(self.stats.get("trained") or ()), HEADLINE, *trained, *arms]
        return next(arm for arm in candidates if arm in arms)

    def identity(self, arm: str) -> object:
        """Which models answered as this arm, as the evaluation states it; None where it does not."""
        engines = [model.get("engine") for model in self.stats.get("models") or () if model.get("arm") == arm]
        return engines[0].get("names") if engines and engines[0] else None

    def values(self, arm: str, metric: str) -> Floats:
        """All scores of an arm, [questions, seeds]: questions as in `order`, seeds as in `tables.seeds`."""
        if (arm, metric) not in self._known:
            self._known[arm, metric] = self.tables.of(arm, metric)
        return self._known[arm, metric]


@dataclass(frozen=True)
class Scope:
    """A part of the questions: all, those of a task, or those of a domain."""

    task: str = ""
    domain: str = ""

    def holds(self, facts: tuple[str, str, int]) -> bool:
        """Does a question with this task, domain and level belong to it?"""
        return self.task in ("", facts[0]) and self.domain in ("", facts[1])


@dataclass(frozen=True)
class Part:
    """The questions of a scope: where they stand in each run's `order`; in pairs where `paired`.

    `frac_common` is the share of the smaller run's questions that both asked.
    """

    scope: Scope
    paired: bool
    frac_common: float
    places: tuple[NDArray[np.int64], NDArray[np.int64]]


def scored(run: ComparedRun) -> Scored | None:
    """The scores of a run; None where it has none."""
    rows = run.rows("evaluate", "scores.parquet")
    return Scored(rows, run.stats("evaluate")) if rows else None


def _tokens(rows: Sequence[Row]) -> dict[str, float]:
    """Sampled tokens a question, by arm: over questions and seeds."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["arm"], []).append(row["n_tokens"])
    return {arm: sum(tokens) / len(tokens) for arm, tokens in found.items()}


def score_difference(first: ComparedRun, second: ComparedRun) -> dict[str, Any] | None:
    """The second run's scores less the first's; None where either has none.

    Returns:
        `questions`: how many each has, and how many of them are the same. `metric`: the first that both have.
        `headline`: the row of headline arm against headline arm. `rows`: a row an arm that both have (and of the two
        headline arms, where their names differ), metric and scope (`task` and `domain` are "" for all questions;
        single domains have the main metric alone): both means, `diff`, `low`, `high`, `p_value`, `p_holm` (adjusted
        over the rows of the same metric and kind of scope), `outcome`, `method`, `frac_common`, `n_questions` and
        `n_seeds` of both, `same_model` (the very same weights answered), and `smallest_detectable`, the true difference
        found 80% of the time.
        `gains`: what arms gained over others within each run. `per_question`: by arm, sampled tokens and dollars.
        Differences are shares, not points.
    """
    one, other = scored(first), scored(second)
    if one is None or other is None:
        return None
    same = _same_questions(first, second, one, other)
    metrics = _metrics(one, other)
    arms = [arm for arm in one.tables.arms if arm in other.tables.arms]
    parts = [_part(one, other, scope, same) for scope in _scopes(one, other)]
    heads = one.headline, other.headline
    pairs = [(arm, arm) for arm in arms] + ([heads] if heads[0] != heads[1] else [])
    # Of single domains, of which there may be many, the main metric alone.
    asked = [
        (part, pair, m) for part in parts for pair in pairs for m in (metrics[:1] if part.scope.domain else metrics)
    ]
    made = [_row(one, other, pair, metric, part) for part, pair, metric in asked]
    rows = [row for row in made if row is not None]
    headline = [row for row in rows if (row["arm_baseline"], row["arm"]) == heads and _is_main(row, metrics[0])]
    _adjust(rows)
    return {
        "questions": {
            "n_baseline": len(one.tables.questions),
            "n_other": len(other.tables.questions),
            "n_both": len(same),
        },
        "metric": metrics[0] if metrics else None,
        "metrics": metrics,
        "headline": headline[0] if headline else None,
        "rows": rows,
        "gains": _gains(one, other, metrics[0]) if metrics else [],
        "only_baseline_arms": [arm for arm in one.tables.arms if arm not in arms],
        "only_other_arms": [arm for arm in other.tables.arms if arm not in arms],
        "per_question": [_per_question(one, other, arm) for arm in arms],
    }


def _gains(one: Scored, other: Scored, metric: str) -> list[dict[str, Any]]:
    """What an arm gained over another within each run, as the evaluations state it, where both do."""
    sides = [
        {
            (row["arm"], row["baseline"]): {name: row[name] for name in ("diff", "low", "high")}
            for row in scores.stats.get("comparisons") or ()
            if row["metric"] == metric and not row.get("task")
        }
        for scores in (one, other)
    ]
    return [
        {"arm": arm, "over": over, "baseline": found, "other": sides[1][arm, over]}
        for (arm, over), found in sides[0].items()
        if (arm, over) in sides[1]
    ]


def _per_question(one: Scored, other: Scored, arm: str) -> dict[str, Any]:
    """What a question cost in both runs; dollars are None where the evaluation does not state them."""
    dollars = [
        next((m.get("usd_per_question") for m in scores.stats.get("models") or () if m.get("arm") == arm), None)
        for scores in (one, other)
    ]
    return {"arm": arm, "tokens": [one.n_tokens[arm], other.n_tokens[arm]], "usd": dollars}


def _is_main(row: Mapping[str, Any], metric: str) -> bool:
    return row["metric"] == metric and not row["task"] and not row["domain"]


def _same_questions(first: ComparedRun, second: ComparedRun, one: Scored, other: Scored) -> set[str]:
    """The ids that both runs scored, but for those under which they asked different things."""
    both = one.tables.questions.keys() & other.tables.questions.keys()
    texts = prompts_of(first, "heldout.parquet"), prompts_of(second, "heldout.parquet")
    if texts[0] is None or texts[1] is None:
        return set(both)
    rows = texts[0], texts[1]
    return {q for q in both if not (q in rows[0] and q in rows[1]) or text_of(rows[0][q]) == text_of(rows[1][q])}


def _metrics(one: Scored, other: Scored) -> list[str]:
    """The metrics that both have and that mean the same in both: maj@k is not, where k differs."""
    alike = one.tables.config.n_samples == other.tables.config.n_samples
    return [m for m in one.metrics if m in other.metrics and (alike or m != MAJORITY)]


def _scopes(one: Scored, other: Scored) -> list[Scope]:
    """All questions; then the tasks, and the domains, that both have, where there are several."""
    facts = [set(scores.tables.questions.values()) for scores in (one, other)]
    tasks = sorted(set.intersection(*({task for task, _, _ in side} for side in facts)))
    domains = sorted(set.intersection(*({domain for _, domain, _ in side} for side in facts)))
    several = len({task for side in facts for task, _, _ in side}) > 1
    named = {task for side in facts for task, _, _ in side} if several else set()
    found = [Scope(), *(Scope(task=task) for task in tasks if several)]
    if len({domain for side in facts for _, domain, _ in side}) > 1:
        found += [Scope(domain=domain) for domain in domains if domain not in named]
    return found


def _part(one: Scored, other: Scored, scope: Scope, same: set[str]) -> Part:
    """The questions of a scope, in pairs where enough are common."""
    ids = [[q for q in side.order if scope.holds(side.tables.questions[q])] for side in (one, other)]
    common = sorted(set(ids[0]) & set(ids[1]) & same)
    frac_common = len(common) / max(1, min(map(len, ids)))
    paired = len(common) > 1 and frac_common >= LEAST_COMMON
    places = [
        np.array([place[q] for q in (common if paired else mine)], dtype=np.int64)
        for mine, place in zip(ids, ({q: i for i, q in enumerate(side.order)} for side in (one, other)), strict=True)
    ]
    return Part(scope, paired, frac_common, (places[0], places[1]))


def _row(one: Scored, other: Scored, arms: tuple[str, str], metric: str, part: Part) -> dict[str, Any] | None:
    """One difference; None where a side has no score there. `arms` are the baseline's and the other's."""
    seeds = list(range(len(one.tables.seeds[arms[0]]))), list(range(len(other.tables.seeds[arms[1]])))
    if part.paired:
        seeds = _matched(one.tables.seeds[arms[0]], other.tables.seeds[arms[1]])
    before = one.values(arms[0], metric)[part.places[0]][:, seeds[0]]
    after = other.values(arms[1], metric)[part.places[1]][:, seeds[1]]
    if part.paired:
        found = paired_difference(after, before)
        decided = ~(np.isnan(before).any(axis=1) | np.isnan(after).any(axis=1))
        means = [float(side[decided].mean()) if decided.any() else math.nan for side in (before, after)]
        n_questions = [found.n, found.n]
    else:
        each = mean_interval(before), mean_interval(after)
        found = independent_difference(each[1], each[0])
        means, n_questions = [each[0].mean, each[1].mean], [each[0].n, each[1].n]
    if not all(n_questions):
        return None
    return {
        "arm": arms[1],
        "arm_baseline": arms[0],
        "task": part.scope.task,
        "domain": part.scope.domain,
        "metric": metric,
        "baseline": means[0],
        "other": means[1],
        "diff": found.mean,
        "low": found.low,
        "high": found.high,
        "p_value": finite(found.p_value),
        "p_holm": None,
        "outcome": outcome_of(found.low, found.high),
        "method": "paired" if part.paired else "unpaired",
        "same_model": one.identity(arms[0]) is not None and one.identity(arms[0]) == other.identity(arms[1]),
        "frac_common": part.frac_common,
        "n_questions": n_questions,
        "n_seeds": [len(seeds[0]), len(seeds[1])],
        "se": finite(found.se),
        "df": finite(found.df),
        "smallest_detectable": _detectable(found),
    }


def _matched(first: Sequence[int], second: Sequence[int]) -> tuple[list[int], list[int]]:
    """Where the seeds that are paired stand in each list: those that both have, or else both in order.

    One seed goes with all of the other's.
    """
    if len(first) == 1 or len(second) == 1:
        return list(range(len(first))), list(range(len(second)))
    shared = [seed for seed in first if seed in second]
    if shared:
        return [first.index(seed) for seed in shared], [second.index(seed) for seed in shared]
    n = min(len(first), len(second))
    return list(range(n)), list(range(n))


def _detectable(found: Interval) -> float | None:
    """The true difference that such a comparison finds 80% of the time; None where its error is not known."""
    if not 0.0 < found.se < math.inf:
        return None
    return smallest_detectable(found.se, found.df)


def _adjust(rows: Iterable[dict[str, Any]]) -> None:
    """Write `p_holm`: rows of one metric and one kind of scope are one family."""
    families: dict[tuple[str, bool, bool], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row["metric"], bool(row["task"]), bool(row["domain"])), []).append(row)
    for family in families.values():
        p_values = [math.nan if row["p_value"] is None else row["p_value"] for row in family]
        for row, adjusted in zip(family, holm(p_values), strict=True):
            row["p_holm"] = finite(adjusted)
