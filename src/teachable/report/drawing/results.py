"""What came out: the verdict, the key numbers, how they were measured, and the arms side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from teachable.report.drawing.charts import Mark, Scale, axis_row, interval_row, swatch, ticks
from teachable.report.drawing.parts import gap, more, plotted, section, table
from teachable.report.drawing.searches import sentence
from teachable.report.markup import Html, count, el, esc, interval, join, percent, points

Facts = dict[str, Any]
OUTCOMES = {"better": "Better", "worse": "Worse", "no difference": "No difference"}


def metric_name(metric: str, facts: Facts) -> str:
    """maj@k with its k where the run says it."""
    k = facts["evaluation"].get("n_samples")
    return f"maj@{k}" if metric == "maj@k" and k else metric


def header(facts: Facts) -> Html:
    """The verdict in one sentence, the key numbers, and how they were measured."""
    verdict = facts["verdict"]
    outcome = str(verdict.get("outcome") or "")
    place = [
        facts["name"],
        f"seed {facts['seed']}" if facts["seed"] is not None else "",
        "" if facts["models"]["evaluates_only"] else facts["base"] and f"base {facts['base']}",
    ]
    return el(
        "header",
        el(
            "div",
            el("p", join((el("span", p) for p in ["teachable", *place] if p), " "), class_="eyebrow"),
            el("button", "Theme: auto", type="button", id="theme", class_="theme", hidden=True),
            class_="bar",
        ),
        el(
            "p",
            el("span", class_="dot", aria_hidden="true"),
            OUTCOMES[outcome],
            class_="outcome " + outcome.replace(" ", "-"),
        )
        if outcome in OUTCOMES
        else None,
        el("h1", verdict.get("sentence") or _no_verdict(facts)),
        _keys(facts),
        _measured(facts),
        join(el("p", n, class_="notice", role="note") for n in facts["notices"]),
    )


def _no_verdict(facts: Facts) -> str:
    if "evaluate" not in facts["roles"] and any(one["found"] for one in facts["pivots"]):
        return f"{sentence(facts['pivots'])}."
    done = [r["stage"] for r in facts["stages"]["rows"]]
    return f"No verdict yet: {'the models have not been evaluated' if done else 'no stage of this run has finished'}."


def _keys(facts: Facts) -> Html | None:
    metric, arms = facts["headline"]["metric"], facts["arms"]
    with_metric = [a for a in arms if metric in (a.get("metrics") or {})]
    if not with_metric:
        return None
    over = facts["headline"]["baseline"]
    gains = {
        c["arm"]: c
        for c in facts["comparisons"]
        if c["baseline"] == over and c["metric"] == metric and not c.get("task")
    }
    items = []
    for a in with_metric:
        m, gain = a["metrics"][metric], gains.get(a["arm"])
        note = f"{points(gain['diff'])} over {over}" if gain else "before training" if a["arm"] == "base" else ""
        items.append(
            el(
                "div",
                el("dt", swatch(a["arm"]), a["arm"]),
                el(
                    "dd",
                    el("span", percent(m["mean"]), class_="big"),
                    el("span", note, class_="note"),
                    el("span", interval(m.get("low"), m.get("high")), class_="note"),
                ),
                class_="lead-arm" if a["arm"] == facts["headline"]["arm"] else None,
            )
        )
    return el("dl", join(items), class_="keys", aria_label=f"Accuracy, {metric_name(metric, facts)}")


def _measured(facts: Facts) -> Html | None:
    e = facts["evaluation"]
    if not e["n_questions"]:
        return None
    alone = facts["models"]["evaluates_only"]
    asked = f"{count(e['n_questions'])} {'' if alone else 'held-out '}questions"
    n_parts, part = (e["n_tasks"], "task") if alone and e["n_tasks"] else (e["n_domains"], "domain")
    if n_parts:
        asked += f" from {n_parts} {part}{'' if n_parts == 1 else 's'}"
    if e["n_samples"]:
        asked += f", {e['n_samples']} answer{'' if e['n_samples'] == 1 else 's'} each"
    if e["n_samples"] == 0:
        asked += ", the likeliest answer to each"
    elif e["temperature"] is not None:
        asked += f" at temperature {e['temperature']:g}"
    metric = metric_name(facts["headline"]["metric"] or "accuracy", facts)
    undecided = e["undecided_rate"]
    aside = f" {percent(undecided)} of the answers could not be decided and count neither way." if undecided else ""
    if undecided == 0:
        aside = " Every answer could be decided."
    if failed := e["failed_requests"]:
        aside += (
            f" {count(failed)} request{'' if failed == 1 else 's'} failed; what was not answered counts in no mean."
        )
    return el(
        "p",
        f"Measured on {asked}, checked by the tasks' own verifiers; numbers above are {metric}.",
        el("br"),
        f"{_alike(facts)}. Intervals are 95%; differences are paired by question.{aside}",
        class_="measured",
    )


def _alike(facts: Facts) -> str:
    """What is the same for all that are compared."""
    if facts["models"]["evaluates_only"]:
        return "Every model got the same prompts, the same sampling and the same verifiers"
    budget, n_seeds = facts["budget_tokens"], facts["evaluation"]["n_seeds"]
    trained = "Every arm starts from the same base" + (f" and trains on {count(budget)} tokens" if budget else "")
    return trained + (f", {n_seeds} seed{'s' if n_seeds != 1 else ''} each" if n_seeds else "")


def arms(facts: Facts) -> Html:
    """A chart of arms with intervals for every metric, on one scale."""
    if not facts["arms"]:
        return section("arms", "The arms side by side", gap("accuracies", "evaluate/stats.json"))
    metrics = shown_metrics(facts["metrics"], [a["metrics"] for a in facts["arms"]])
    measured = [a["metrics"][m] for a in facts["arms"] for m in metrics if m in a["metrics"]]
    scale = Scale.around(
        [v for one in measured for v in (one["mean"], one.get("low"), one.get("high")) if v is not None]
    )
    numbers = ticks(scale.low, scale.high, 4)
    axis = axis_row(scale, numbers, lambda v: f"{100 * v:g}")
    charts = []
    for metric in metrics:
        rows = []
        for a in facts["arms"]:
            m = a["metrics"].get(metric)
            if m is None:
                continue
            small = interval(m.get("low"), m.get("high"))
            mark = Mark(m["mean"], m.get("low"), m.get("high"), a["arm"], f"{a['arm']}: {percent(m['mean'])} ({small})")
            rows.append((a["arm"], interval_row(scale, numbers, [mark]), percent(m["mean"], ""), small))
        charts.append(plotted(_metric_caption(metric, facts), noun(facts), axis, "%", [rows]))
    alone = facts["models"]["evaluates_only"]
    return section(
        "arms",
        "The models side by side" if alone else "The arms side by side",
        el("div", join(charts), class_="panels"),
        _every_metric(facts) if len(metrics) < len(facts["metrics"]) else None,
        lead=f"Accuracy on {'all questions' if alone else 'the held-out questions'}, in per cent: means over questions "
        "and seeds as points, 95% intervals as lines.",
    )


def noun(facts: Facts) -> str:
    """What is compared: arms of a recipe, or models."""
    return "model" if facts["models"]["evaluates_only"] else "arm"


def shown_metrics(metrics: Sequence[str], found: Iterable[Mapping[str, Facts]]) -> list[str]:
    """The metrics that are drawn: of pass@K for K above 1 the largest K, and a partial score where it says more.

    Args:
        metrics: all of them.
        found: metric -> row with its mean, of each model; a score that is pass@1 in all of them is left out.
    """
    ks = [m for m in metrics if m.startswith("pass@") and m != "pass@1"]
    same = all(one["score"]["mean"] == one["pass@1"]["mean"] for one in found if "score" in one and "pass@1" in one)
    return [m for m in metrics if m not in ks[:-1] and not (m == "score" and same)]


def _every_metric(facts: Facts) -> Html:
    """All metrics as a table, every pass@K among them."""
    names = facts["metrics"]
    rows = [(a["arm"], *(measured(a["metrics"].get(m)) for m in names)) for a in facts["arms"]]
    head = (noun(facts), *(metric_name(m, facts) for m in names))
    return more("Every metric as a table", table("Every metric, in per cent, with 95% intervals", head, rows))


def measured(row: Facts | None) -> Html | str:
    """A mean above its interval."""
    if row is None:
        return ""
    small = el("span", interval(row.get("low"), row.get("high")), class_="ci")
    return join([percent(row["mean"], ""), el("br"), small])


def _metric_caption(metric: str, facts: Facts) -> Html:
    e = facts["evaluation"]
    if metric == "pass@1" and e["temperature"] is not None:
        says = f"one answer at temperature {e['temperature']:g}"
    elif metric == "greedy":
        says = "the likeliest answer"
    elif metric.startswith("maj@"):
        says = "the commonest answer"
    elif metric.startswith("pass@"):
        says = f"at least one of {metric.removeprefix('pass@')} right"
    elif metric == "score":
        says = "partial credit"
    else:
        says = ""
    return esc(el("span", el("b", metric_name(metric, facts)), f" {says}" if says else None))
