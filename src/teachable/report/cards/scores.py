"""How one trained model did: its own scores question by question, and what the evaluation says of its arm.

An arm's mean is over models that differ in their seed. A card is one model's, so the numbers of its model index are
that model's own, computed from `scores.parquet`; the arm's mean stands beside them with its interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from teachable.report.cards.source import Source
from teachable.report.gathering.load import Row, RunReader
from teachable.report.markdown.results import metric_name
from teachable.report.markdown.text import text
from teachable.report.markup import count, percent

COLUMNS = ("arm", "seed", "task", "prompt_id", "n", "n_correct", "n_undecided", "greedy", "majority", "score")
HELDOUT = "heldout"  # the task of questions that belong to no benchmark
DIGITS = 6


@dataclass(frozen=True)
class Scored:
    """One model on the questions of one task; metrics are means in [0, 1]."""

    task: str
    title: str
    n_questions: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """What is known of a model.

    `rows` are its own scores, `index` the same as the results of a model index; `arms` hold the base's and the arm's
    means with intervals, `comparisons` the arm's differences; `how`, `power` are sentences.
    """

    rows: tuple[Scored, ...] = ()
    index: tuple[dict[str, Any], ...] = ()
    arms: tuple[dict[str, Any], ...] = ()
    comparisons: tuple[Row, ...] = ()
    how: str = ""
    power: str = ""
    n_samples: int | None = None
    undecided: float | None = None


@dataclass
class _Found:
    """What the evaluations add to one another."""

    rows: list[Scored] = field(default_factory=list)
    index: list[dict[str, Any]] = field(default_factory=list)
    arms: list[dict[str, Any]] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    how: list[str] = field(default_factory=list)
    power: list[str] = field(default_factory=list)
    n_samples: list[int | None] = field(default_factory=list)
    undecided: list[float] = field(default_factory=list)


def measured(reader: RunReader, source: Source, arm: str, seed: int) -> Measured:
    """What all evaluations of the run say of a model; empty where none has asked it."""
    found = _Found()
    for stage in reader.stages_of("evaluate"):
        rows = reader.table(f"{stage}/scores.parquet", COLUMNS, ("arm", {arm}), note=False)
        mine = [row for row in rows if row.get("seed") == seed]
        if mine:
            _add(found, reader.json(f"{stage}/stats.json", note=False), mine, source, arm)
    return Measured(
        rows=tuple(found.rows),
        index=tuple(found.index),
        arms=tuple(found.arms),
        comparisons=tuple(found.comparisons),
        how=" ".join(dict.fromkeys(found.how)),
        power=" ".join(dict.fromkeys(found.power)),
        n_samples=next(iter(found.n_samples), None),
        undecided=max(found.undecided, default=None),
    )


def _add(found: _Found, stats: Row, mine: list[Row], source: Source, arm: str) -> None:
    n_samples = stats.get("n_samples")
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in mine:
        by_task[str(row.get("task") or HELDOUT)].append(row)
    for task, rows in by_task.items():
        dataset = source.dataset_of(task)
        metrics = {metric_name(name, n_samples): value for name, value in own_means(rows).items()}
        found.rows.append(Scored(task, dataset["name"], len(rows), metrics))
        found.index.append(
            {
                "task": {"type": "text-generation", "name": "Text Generation"},
                "dataset": dataset,
                "metrics": [{"type": name, "name": name, "value": round(v, DIGITS)} for name, v in metrics.items()],
            }
        )
    arms = {str(one["arm"]): one for one in stats.get("arms") or []}
    if arm in arms:
        shown = [(who, arms[who].get("metrics") or {}) for who in dict.fromkeys(("base", arm)) if who in arms]
        metrics_of_arm = list(arms[arm].get("metrics") or {})
        found.arms.append(
            {"metrics": metrics_of_arm, "rows": shown, "n_seeds": arms[arm].get("n_seeds"), "n_samples": n_samples}
        )
    compared = [one for one in stats.get("comparisons") or [] if one.get("arm") == arm and not one.get("task")]
    found.comparisons += compared
    found.how.append(_how(stats, len(mine)))
    found.n_samples.append(n_samples)
    undecided = sum(row.get("n_undecided") or 0 for row in mine)
    if undecided:
        found.undecided.append(undecided / (undecided + sum(row["n"] for row in mine)))
    power = stats.get("power") or {}
    if power.get("sentence"):
        found.power.append(str(power["sentence"]))


def own_means(rows: list[Row]) -> dict[str, float]:
    """Metric -> mean over the questions that can speak to it."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.get("n"):
            values["pass@1"].append(row["n_correct"] / row["n"])
        for metric, column in (("greedy", "greedy"), ("maj@k", "majority"), ("score", "score")):
            if row.get(column) is not None:
                values[metric].append(float(row[column]))
    return {metric: sum(found) / len(found) for metric, found in values.items()}


def _how(stats: Row, n_questions: int) -> str:
    told = f"Asked {count(n_questions)} held-out questions"
    if stats.get("n_samples"):
        told += f", {stats['n_samples']} sampled answers to each"
    if stats.get("temperature") is not None:
        told += f" at temperature {stats['temperature']:g}"
    told += f", at most {count(stats['max_tokens'])} tokens long" if stats.get("max_tokens") else ""
    rate = stats.get("undecided_rate")
    aside = f" Over all models {percent(rate)} of the answers could not be judged." if rate else ""
    k = stats.get("n_samples")
    majority = f", maj@{text(k)} whether the most frequent answer is right" if k else ""
    return (
        f"{told}; each was judged by its question's own verifier. pass@1 is the share of right answers{majority}, "
        f"greedy the answer at temperature 0.{aside}"
    )
