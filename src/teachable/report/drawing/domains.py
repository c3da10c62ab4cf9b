"""The section on accuracy by domain and level, before and after."""

from __future__ import annotations

import math
from typing import Any

from teachable.report.drawing.charts import Mark, Scale, axis_row, interval_row, legend, ticks
from teachable.report.drawing.parts import gap, more, plotted, section, table
from teachable.report.drawing.results import measured, metric_name
from teachable.report.markup import DASH, Html, count, el, interval, percent, points

Facts = dict[str, Any]


def by_domain(facts: Facts) -> Html:
    """Before and after, by domain and level; of models that are only compared, the two that the verdict is about."""
    arm, before, rows = facts["headline"]["arm"], facts["headline"]["baseline"], facts["domains"]
    alone = facts["models"]["evaluates_only"]
    told_already = {r["domain"] for r in rows if not r.get("level")} <= set(facts["models"]["tasks"])
    if alone and (arm is None or (told_already and not any(r.get("level") for r in rows))):
        return Html("")  # with a task for a domain and no levels it would repeat the section on models
    metrics = [r["metric"] for r in rows]
    metric = facts["headline"]["metric"] if facts["headline"]["metric"] in metrics else (metrics or [None])[0]
    cells = {(r["domain"], int(r.get("level") or 0), r["arm"]): r for r in rows if r["metric"] == metric}
    places = list(dict.fromkeys((d, level) for d, level, _ in cells))
    if not any((*p, arm) in cells for p in places):
        return section("domains", "By domain and level", gap("accuracy by domain", "evaluate/stats.json"))
    highest = max(v for r in cells.values() for v in (r["mean"], r.get("high")) if v is not None)
    scale = Scale(0.0, min(1.0, math.ceil(highest * 10) / 10))
    numbers = ticks(scale.low, scale.high, 5)
    groups: dict[str, list[tuple[object, Html, str, str]]] = {}
    for domain, level in places:
        base, after, rand = (cells.get((domain, level, a)) for a in (before, arm, "random"))
        marks = [
            Mark(
                r["mean"],
                r.get("low") if own else None,
                r.get("high") if own else None,
                r["arm"],
                f"{r['arm']}: {percent(r['mean'])} ({interval(r.get('low'), r.get('high'))})",
                hollow=r is base,
                tick=r is rand,
            )
            for r, own in ((base, False), (after, True), (rand, False))
            if r and (own or r is not after)
        ]
        gain = after["mean"] - base["mean"] if base and after else None
        small = f"{percent(base['mean'] if base else None, '')} \u2192 {percent(after['mean'] if after else None, '')}"
        name: object = (
            el("strong", _name(domain, facts)) if level == 0 else el("span", f"level {level}", class_="level")
        )
        groups.setdefault(domain, []).append((name, interval_row(scale, numbers, marks), points(gain), small))
    chart = plotted(
        f"{metric_name(str(metric), facts)}, {before} {DASH} {arm}, per cent",
        "domain",
        axis_row(scale, numbers, lambda v: f"{100 * v:g}"),
        "difference" if alone else "gain",
        list(groups.values()),
        class_="domains",
    )
    names = list(dict.fromkeys(a["arm"] for a in facts["arms"])) or sorted({a for *_, a in cells})
    every = table(
        "Accuracy by domain and level, in per cent",
        ("domain", "level", "questions", *names),
        [
            (
                _name(domain, facts),
                level or "all",
                count(next(c.get("n_questions") for (d, lv, _), c in cells.items() if (d, lv) == (domain, level))),
                *(measured(cells.get((domain, level, name))) for name in names),
            )
            for domain, level in places
        ],
    )
    marks_shown = {str(before): "ring", str(arm): "round"}
    if arm != "random" and any(a == "random" for *_, a in cells):
        marks_shown["random"] = "tick"
    return section(
        "domains",
        "By domain and level" if alone else "By domain and level, before and after",
        legend(marks_shown),
        chart,
        more("All models as a table" if alone else "All arms as a table", every),
        lead=f"The hollow point is {before}, the full one {arm} with its 95% interval."
        if alone
        else f"The hollow point is the base model, the full one the {arm} arm with its 95% interval.",
    )


def _name(domain: str, facts: Facts) -> str:
    """A task's name is a name; a domain's is words."""
    return domain if domain in facts["models"]["tasks"] else domain.replace("_", " ")
