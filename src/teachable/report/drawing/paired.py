"""The section on differences: every pair that the evaluation compared, question by question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from teachable.report.drawing.charts import Mark, Scale, axis_row, interval_row, ticks
from teachable.report.drawing.parts import gap, more, plotted, section, table
from teachable.report.drawing.results import metric_name, noun
from teachable.report.markup import MINUS, Html, count, el, interval, join, points, probability

Facts = dict[str, Any]
MOST_CHARTS = 4  # baselines that are drawn at once; the others may be opened
# Column of a comparison -> its head in the table; only those that some comparison has are shown.
TESTS = {"p_value": "p", "p_holm": "p, Holm", "mcnemar_p": "p, McNemar"}


def differences(facts: Facts) -> Html:
    """Paired differences on all questions, a chart a baseline: random first, then base, then the others."""
    found = [one for one in facts["comparisons"] if not one.get("task")]
    if not found:
        alone = facts["models"]["evaluates_only"]
        return (
            Html("")
            if alone
            else section("differences", "Differences", gap("paired differences", "evaluate/stats.json"))
        )
    metric = facts["headline"]["metric"]
    shown = [c for c in found if c["metric"] == metric] or found
    scale = Scale.around([v for c in shown for v in (c["diff"], c["low"], c["high"]) if v is not None] + [0.0])
    baselines = list(dict.fromkeys(c["baseline"] for c in shown))
    baselines.sort(key=lambda name: (name != "random", name != "base"))
    charts = [_chart(name, [c for c in shown if c["baseline"] == name], scale, facts) for name in baselines]
    n_pairs = len({(c["arm"], c["baseline"]) for c in shown})
    return section(
        "differences",
        "Differences, question by question",
        el("div", join(charts[:MOST_CHARTS]), class_="panels"),
        more("The other pairs", el("div", join(charts[MOST_CHARTS:]), class_="panels"))
        if len(charts) > MOST_CHARTS
        else None,
        more("All metrics, with p-values", pairs("All paired differences, in percentage points", found, facts)),
        lead="The same questions on both sides. A hollow point means that the interval holds zero: no difference seen."
        + (f" Holm's p-values are corrected for all {n_pairs} pairs." if n_pairs > 1 and _has(found, "p_holm") else ""),
    )


def _chart(baseline: str, found: Sequence[Facts], scale: Scale, facts: Facts) -> Html:
    numbers = ticks(scale.low, scale.high, 4)
    axis = axis_row(scale, numbers, lambda v: ("+" if v > 0 else MINUS if v < 0 else "") + f"{abs(100 * v):g}")
    rows = []
    for c in found:
        crosses = c["low"] is None or c["low"] <= 0 <= c["high"]
        small = interval(c["low"], c["high"], signed=True)
        title = f"{c['arm']} against {baseline}: {points(c['diff'])} points ({small})"
        mark = Mark(c["diff"], c["low"], c["high"], c["arm"], title, hollow=crosses)
        rows.append((c["arm"], interval_row(scale, numbers, [mark], zero=0.0), points(c["diff"]), small))
    caption = el("span", el("b", f"against {baseline}"), f" {metric_name(found[0]['metric'], facts)}, points")
    return plotted(caption, noun(facts), axis, "points", [rows])


def _has(found: Sequence[Facts], column: str) -> bool:
    return any(one.get(column) is not None for one in found)


def pairs(caption: str, found: Sequence[Facts], facts: Facts, *, by_task: bool = False) -> Html:
    """Comparisons as a table with every test that was made."""
    tests = [name for name in TESTS if name == "p_value" or _has(found, name)]
    several = _has(found, "n_questions")
    head = [noun(facts), "against", *(["task"] if by_task else []), "metric", "difference", "95% interval"]
    rows = [
        (
            c["arm"],
            c["baseline"],
            *([c["task"]] if by_task else []),
            metric_name(c["metric"], facts),
            points(c["diff"]),
            interval(c["low"], c["high"], signed=True),
            *(probability(c[name]) if c.get(name) is not None else "" for name in tests),
            *([count(c.get("n_questions"))] if several else []),
        )
        for c in found
    ]
    head += [TESTS[name] for name in tests] + (["questions"] if several else [])
    return table(caption, head, rows, text_columns=4 if by_task else 3)
