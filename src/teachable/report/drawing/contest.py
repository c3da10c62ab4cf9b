"""The section on models: accuracy by task with what an answer costs, power, and what determines the scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teachable.report.drawing.charts import Mark, Scale, axis_row, interval_row, ticks
from teachable.report.drawing.paired import pairs
from teachable.report.drawing.parts import boxed, figure, more, plotted, section, table
from teachable.report.drawing.results import measured, metric_name, noun, shown_metrics
from teachable.report.gathering.models import HELDOUT
from teachable.report.markup import Html, count, dollars, el, interval, join, percent, points
from teachable.report.terms import fields, said

Facts = dict[str, Any]
Scored = tuple[str, dict[str, Facts], Facts]  # a model, metric -> mean and interval, and what its answers cost
# Field of a row -> its head in the table; means a question, over all samples.
COSTS = {"tokens_per_question": "tokens out", "prompt_tokens_per_question": "tokens in", "usd_per_question": "paid"}
DIGITS = 16  # of a digest that is shown
# Facts of a benchmark that are told in this order, before any other.
FACTS = ("title", "metric", "verifier", "n_questions", "n_rows", "data", "data_digest", "version", "adapter", "source")


def models(facts: Facts) -> Html:
    """Models by task; nothing where the evaluation wrote no such table."""
    told = facts["models"]
    if not told["rows"] and not told["by_task"]:
        return Html("")
    several = len(told["tasks"]) > 1
    return section(
        "models",
        "Models, tasks and what an answer costs",
        _chart(facts) if several else None,
        _scores(facts),
        _by_task(facts),
        _power(told),
        _determined(told),
        lead="The same questions, prompts, sampling and verifiers for every model. Tokens and dollars are means a "
        "question, over all of its samples.",
    )


def _task(name: str) -> str:
    return "held out from the pool" if name == HELDOUT else name


def _title(name: str) -> str:
    return "The questions held out from the pool" if name == HELDOUT else f"Task {name}"


def _chart(facts: Facts) -> Html:
    """Accuracy with intervals, the models of a task together."""
    told = facts["models"]
    metric = facts["headline"]["metric"] if facts["headline"]["metric"] in told["metrics"] else told["metrics"][0]
    rows = [row for row in told["by_task"] if row["metric"] == metric]
    highest = max((v for row in rows for v in (row["mean"], row.get("high")) if v is not None), default=1.0)
    scale = Scale(0.0, min(1.0, max(0.1, highest)))
    numbers = ticks(scale.low, scale.high, 5)
    groups = []
    for task in told["tasks"]:
        group: list[tuple[object, ...]] = [(el("strong", _task(task)),)]
        for row in (row for row in rows if row["task"] == task):
            small = interval(row.get("low"), row.get("high"))
            title = f"{row['arm']} on {task}: {percent(row['mean'])} ({small})"
            mark = Mark(row["mean"], row.get("low"), row.get("high"), row["arm"], title)
            name = el("span", row["arm"], class_="level")
            group.append((name, interval_row(scale, numbers, [mark]), percent(row["mean"], ""), small))
        groups.append(group)
    return plotted(
        f"{metric_name(metric, facts)} by task, per cent, with 95% intervals",
        f"task and {noun(facts)}",
        axis_row(scale, numbers, lambda v: f"{100 * v:g}"),
        "%",
        groups,
        class_="domains",
    )


def _scores(facts: Facts) -> Html:
    """The metrics of every model on every task, with tokens and dollars a question; a group of rows a task."""
    told = facts["models"]
    groups = _groups(facts)
    metrics = shown_metrics(told["metrics"] or facts["metrics"], [found for _, rows in groups for _, found, _ in rows])
    paid = any(cost.get("usd_per_question") for _, rows in groups for *_, cost in rows)
    shown = [name for name in COSTS if paid or name != "usd_per_question"]
    head = [noun(facts), *(metric_name(m, facts) for m in metrics), *(COSTS[name] for name in shown)]
    header = join(el("th", h, scope="col", class_="num" if i else None) for i, h in enumerate(head))
    caption = "Scores in per cent with 95% intervals; tokens" + (" and dollars" if paid else "") + " a question"
    bodies = [_group(title, rows, metrics, shown) for title, rows in groups]
    return boxed(caption, header, bodies, class_="matrix", box="scores")


def _groups(facts: Facts) -> list[tuple[str, list[Scored]]]:
    """The models of each task, and of all questions where that is not the same."""
    cells: dict[str, dict[str, dict[str, Facts]]] = {}
    for row in facts["models"]["by_task"]:
        cells.setdefault(str(row["task"]), {}).setdefault(str(row["arm"]), {})[row["metric"]] = row
    groups = [
        (_task(task), [(arm, found, next(iter(found.values()))) for arm, found in arms.items()])
        for task, arms in cells.items()
    ]
    if len(groups) == 1:
        return groups
    by_arm = {arm["arm"]: arm["metrics"] for arm in facts["arms"]}
    n = {"n_questions": facts["evaluation"]["n_questions"]}
    everything = [(one["arm"], by_arm.get(one["arm"], {}), {**n, **one}) for one in facts["models"]["rows"]]
    return [*groups, ("all questions", everything)]


def _group(title: str, rows: list[Scored], metrics: list[str], shown: list[str]) -> Html:
    """The rows of one task under its name."""
    n_questions = next((count(cost["n_questions"]) for *_, cost in rows if cost.get("n_questions")), "")
    name = [el("strong", title), f" {n_questions} questions" if n_questions else None]
    lines = [el("tr", el("th", *name, scope="rowgroup", colspan=1 + len(metrics) + len(shown), class_="group"))]
    for arm, found, cost in rows:
        numbers = [*(measured(found.get(m)) for m in metrics), *(_cost(one, cost.get(one)) for one in shown)]
        lines.append(el("tr", el("th", arm, scope="row"), join(el("td", v, class_="num") for v in numbers)))
    return el("tbody", join(lines))


def _cost(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return dollars(value) if name == "usd_per_question" else f"{value:,.1f}" if value < 100 else count(value)


def _by_task(facts: Facts) -> Html | None:
    """Differences on single tasks."""
    found = [one for one in facts["comparisons"] if one.get("task")]
    if not found:
        return None
    return more(
        "All pairs, task by task",
        pairs("Paired differences by task, in percentage points", found, facts, by_task=True),
    )


def _power(told: Facts) -> Html | None:
    """What these questions could have told apart."""
    overall, by_task = told["power"], told["power_by_task"]
    if not overall and not by_task:
        return None
    rows = [
        (
            _task(str(one.get("task", ""))),
            f"{one.get('arm', '')} against {one.get('baseline', '')}",
            points(one.get("smallest_detectable")).lstrip("+"),
        )
        for one in by_task
    ]
    return join(
        [
            el("h3", "What these questions can tell apart"),
            el("p", said(overall["sentence"])) if overall else None,
            table(
                "The smallest difference that would be seen four times in five, in points",
                ("task", "pair", "points"),
                rows,
                text_columns=2,
            )
            if rows
            else None,
        ]
    )


def _determined(told: Facts) -> Html | None:
    """Everything that a score depends on."""
    known = {name: value for name, value in told["determined_by"].items() if value not in (None, {}, [], "")}
    tasks = known.pop("tasks", [])
    parts: list[object] = [more(_title(str(one.get("name", ""))), *_benchmark(one)) for one in tasks]
    if told["rows"]:
        parts.append(more("The models", _engines(told["rows"])))
        known.pop("engines", None)  # the same, without the numbers of answers
    if packages := known.pop("packages", None):
        parts.append(more("Versions of the packages", fields(packages)))
    if known:
        parts.append(more("Sampling, seed, verifier and judge", *_settings(known)))
    return join([el("h3", "What determines these scores"), *parts]) if parts else None


def _benchmark(one: Mapping[str, Any]) -> list[Html]:
    """The facts of a task; its template as a text."""
    rest = [name for name in one if name not in (*FACTS, "name", "template")]
    told = {name: one[name] for name in (*FACTS, *rest) if one.get(name) not in (None, "", [], {})}
    told |= {name: str(one)[:DIGITS] for name, one in told.items() if name.endswith("digest")}
    parts = [fields(told)]
    if template := one.get("template"):
        parts.append(figure("What is asked", el("pre", template)))
    return parts


def _settings(known: Mapping[str, Any]) -> list[Html]:
    """Single values together, then each group of values under its name."""
    single = {name: value for name, value in known.items() if not isinstance(value, Mapping | list)}
    groups = {name: value for name, value in known.items() if isinstance(value, Mapping | list)}
    parts = [fields(single)] if single else []
    for name, value in groups.items():
        several = value if isinstance(value, list) else [value]
        parts.append(el("h4", name.replace("_", " ")))
        parts += [fields(one) if isinstance(one, Mapping) else el("p", said(one)) for one in several]
    return parts


def _engines(rows: list[Facts]) -> Html:
    told = [
        (
            row["arm"],
            el("code", said(row.get("engine"))),
            count(row.get("n_seeds")),
            count(row.get("completions")),
        )
        for row in rows
    ]
    return table("The models that answered", ("model", "engine", "seeds", "answers"), told, text_columns=2)
