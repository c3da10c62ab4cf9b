"""The sections on what came out: verdict, key numbers, arms, differences, domains and levels."""

from __future__ import annotations

import math
from typing import Any

from teachable.report.charts import Mark, Scale, axis_row, interval_row, legend, ticks, tone
from teachable.report.markup import DASH, MINUS, Html, count, el, esc, interval, join, percent, points, probability
from teachable.report.parts import gap, more, plotted, section, table
from teachable.report.searches import sentence

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
        facts["base"] and f"base {facts['base']}",
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
    gains = {c["arm"]: c for c in facts["comparisons"] if c["baseline"] == "base" and c["metric"] == metric}
    items = []
    for a in with_metric:
        m, gain = a["metrics"][metric], gains.get(a["arm"])
        note = f"{points(gain['diff'])} over base" if gain else "before training" if a["arm"] == "base" else ""
        items.append(
            el(
                "div",
                el("dt", el("span", class_=f"key square {tone(a['arm'])}", aria_hidden="true"), a["arm"]),
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
    asked = f"{count(e['n_questions'])} held-out questions"
    if e["n_domains"]:
        asked += f" from {e['n_domains']} domains"
    if e["n_samples"]:
        asked += f", {e['n_samples']} answers each"
    if e["temperature"] is not None:
        asked += f" at temperature {e['temperature']:g}"
    metric = metric_name(facts["headline"]["metric"] or "accuracy", facts)
    budget = facts["budget_tokens"]
    trained = "Every arm starts from the same base" + (f" and trains on {count(budget)} tokens" if budget else "")
    if e["n_seeds"]:
        trained += f", {e['n_seeds']} seed{'s' if e['n_seeds'] != 1 else ''} each"
    undecided = e["undecided_rate"]
    aside = f" {percent(undecided)} of the answers could not be decided and count neither way." if undecided else ""
    if undecided == 0:
        aside = " Every answer could be decided."
    return el(
        "p",
        f"Measured on {asked}, checked by the tasks' own verifiers; numbers above are {metric}.",
        el("br"),
        f"{trained}. Intervals are 95%; differences are paired by question.{aside}",
        class_="measured",
    )


def arms(facts: Facts) -> Html:
    """A chart of arms with intervals for every metric, on one scale."""
    if not facts["arms"]:
        return section("arms", "The arms side by side", gap("accuracies", "evaluate/stats.json"))
    values = [
        v
        for a in facts["arms"]
        for m in a["metrics"].values()
        for v in (m["mean"], m.get("low"), m.get("high"))
        if v is not None
    ]
    scale = Scale.around(values)
    numbers = ticks(scale.low, scale.high, 4)
    axis = axis_row(scale, numbers, lambda v: f"{100 * v:g}")
    charts = []
    for metric in facts["metrics"]:
        rows = []
        for a in facts["arms"]:
            m = a["metrics"].get(metric)
            if m is None:
                continue
            small = interval(m.get("low"), m.get("high"))
            mark = Mark(m["mean"], m.get("low"), m.get("high"), a["arm"], f"{a['arm']}: {percent(m['mean'])} ({small})")
            rows.append((a["arm"], interval_row(scale, numbers, [mark]), percent(m["mean"], ""), small))
        charts.append(plotted(_metric_caption(metric, facts), "arm", axis, "%", [rows]))
    return section(
        "arms",
        "The arms side by side",
        el("div", join(charts), class_="panels"),
        lead="Accuracy on the held-out questions, in per cent: means over questions and seeds as points, "
        "95% intervals as lines.",
    )


def _metric_caption(metric: str, facts: Facts) -> Html:
    e = facts["evaluation"]
    if metric == "pass@1" and e["temperature"] is not None:
        says = f"one answer at temperature {e['temperature']:g}"
    elif metric == "greedy":
        says = "the likeliest answer"
    elif metric.startswith("maj@"):
        says = "the commonest answer"
    else:
        says = ""
    return esc(el("span", el("b", metric_name(metric, facts)), f" {says}" if says else None))


def differences(facts: Facts) -> Html:
    """Paired differences against random and against base."""
    found = facts["comparisons"]
    if not found:
        return section("differences", "Differences", gap("paired differences", "evaluate/stats.json"))
    metric = facts["headline"]["metric"]
    shown = [c for c in found if c["metric"] == metric] or found
    scale = Scale.around([v for c in shown for v in (c["diff"], c["low"], c["high"]) if v is not None] + [0.0])
    numbers = ticks(scale.low, scale.high, 4)
    axis = axis_row(scale, numbers, lambda v: ("+" if v > 0 else MINUS if v < 0 else "") + f"{abs(100 * v):g}")
    charts = []
    for baseline in sorted({c["baseline"] for c in shown}, key=lambda b: (b != "random", b)):
        rows = []
        for c in (c for c in shown if c["baseline"] == baseline):
            crosses = c["low"] is None or c["low"] <= 0 <= c["high"]
            small = interval(c["low"], c["high"], signed=True)
            mark = Mark(
                c["diff"],
                c["low"],
                c["high"],
                c["arm"],
                f"{c['arm']} against {baseline}: {points(c['diff'])} points ({small})",
                hollow=crosses,
            )
            rows.append((c["arm"], interval_row(scale, numbers, [mark], zero=0.0), points(c["diff"]), small))
        caption = el("span", el("b", f"against {baseline}"), f" {metric_name(metric, facts)}, points")
        charts.append(plotted(caption, "arm", axis, "points", [rows]))
    every = table(
        "All paired differences, in percentage points",
        ("arm", "against", "metric", "difference", "95% interval", "p"),
        [
            (
                c["arm"],
                c["baseline"],
                metric_name(c["metric"], facts),
                points(c["diff"]),
                interval(c["low"], c["high"], signed=True),
                probability(c.get("p_value")),
            )
            for c in found
        ],
        text_columns=3,
    )
    return section(
        "differences",
        "Differences, question by question",
        el("div", join(charts), class_="panels"),
        more("All metrics, with p-values", every),
        lead="The same questions on both sides. A hollow point means that the interval holds zero: no difference seen.",
    )


def by_domain(facts: Facts) -> Html:
    """Before and after, by domain and level."""
    arm, rows = facts["headline"]["arm"], facts["domains"]
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
        base, after, rand = (cells.get((domain, level, a)) for a in ("base", arm, "random"))
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
            el("strong", domain.replace("_", " ")) if level == 0 else el("span", f"level {level}", class_="level")
        )
        groups.setdefault(domain, []).append((name, interval_row(scale, numbers, marks), points(gain), small))
    chart = plotted(
        f"{metric_name(str(metric), facts)}, base {DASH} {arm}, per cent",
        "domain",
        axis_row(scale, numbers, lambda v: f"{100 * v:g}"),
        "gain",
        list(groups.values()),
        class_="domains",
    )
    names = list(dict.fromkeys(a["arm"] for a in facts["arms"])) or sorted({a for *_, a in cells})
    every = table(
        "Accuracy by domain and level, in per cent",
        ("domain", "level", "questions", *names),
        [
            (
                domain.replace("_", " "),
                level or "all",
                count(next(c.get("n_questions") for (d, lv, _), c in cells.items() if (d, lv) == (domain, level))),
                *(_cell(cells.get((domain, level, name))) for name in names),
            )
            for domain, level in places
        ],
    )
    marks_shown = {"base": "ring", str(arm): "round"}
    if arm != "random" and any(a == "random" for *_, a in cells):
        marks_shown["random"] = "tick"
    return section(
        "domains",
        "By domain and level, before and after",
        legend(marks_shown),
        chart,
        more("All arms as a table", every),
        lead=f"The hollow point is the base model, the full one the {arm} arm with its 95% interval.",
    )


def _cell(row: Facts | None) -> Html | str:
    """A mean above its interval."""
    if row is None:
        return ""
    small = el("span", interval(row.get("low"), row.get("high")), class_="ci")
    return join([percent(row["mean"], ""), el("br"), small])
