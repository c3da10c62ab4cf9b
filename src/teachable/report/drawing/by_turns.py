"""The section on training by domains: each alone, then joined, then what a search and a long run came to."""

from __future__ import annotations

from typing import Any

from teachable.report.drawing.charts import Line, Scale, curves
from teachable.report.drawing.parts import boxed, figure, gap, more, section, table
from teachable.report.gathering.by_turns import BASE, WAYS
from teachable.report.markup import NONE, Html, count, el, interval, join, percent, points, short

Facts = dict[str, Any]
ENDED = {"plateau": "plateau", "max_steps": "all steps used", "max_epochs": "all rounds used"}


def by_turns(facts: Facts) -> Html:
    """All of it; nothing where the run trained by no domain."""
    told = facts["by_turns"]
    parts = [part for one in told["tuned"] for part in _tuned(one, "Each domain alone")]
    parts += [part for one in told["added"] for part in _added(one)]
    parts += [part for one in told["explored"] for part in _explored(one)]
    parts += [part for one in told["scaled"] for part in _tuned(one, "The long run")]
    parts += [part for one in told["ablated"] for part in _ablated(one)]
    if not parts:
        return Html("")
    return section(
        "by-turns",
        "One domain at a time",
        *parts,
        lead="Half of a domain's held-out questions steer its training; the other half only judge, and every accuracy "
        "in these tables is theirs. Intervals are at 95%, over questions and seeds.",
    )


def _tuned(one: Facts, heading: str) -> list[Html]:
    title = el("h3", f"{heading}, {one['stage']}")
    if not one["found"]:
        return [title, gap("the tuned models", f"{one['stage']}/stats.json")]
    ended: dict[str, list[Facts]] = {}
    for run in one["ended"]:
        ended.setdefault(str(run["arm"]), []).append(run)
    rows = [(*_gain(gain), *_end(ended.get(str(gain["domain"])) or one["ended"], one, gain)) for gain in one["gains"]]
    head = ("domain", "base", "tuned", "gain", "interval", "questions", "seeds", "steps kept", "ended by", "examples")
    panels = [_panel(arm, curve) for arm, curve in one["curves"].items() if len(curve["mean"]) > 1]
    mix = ", ".join(f"{name} {percent(share)}" for name, share in (one["mix"] or {}).items())
    return [
        title,
        el("p", one["sentence"]) if one["sentence"] else Html(""),
        el("p", f"Mix: {mix}.") if mix else Html(""),
        table(f"{one['stage']}: accuracy on the questions that judge, in per cent; the gain in points", head, rows),
        el("div", join(panels), class_="panels narrow curved"),
    ]


def _gain(gain: Facts) -> tuple[object, ...]:
    return (
        _words(gain["domain"]),
        percent(gain["base"], ""),
        percent(gain["tuned"], ""),
        points(gain["gain"]),
        interval(gain["low"], gain["high"], signed=True),
        count(gain["n_questions"]),
        count(gain["n_seeds"]),
    )


def _end(runs: list[Facts], one: Facts, gain: Facts) -> tuple[object, ...]:
    """Where a domain's trainings were at their best, what ended them, and how much they were trained on."""
    frozen = one["frozen"].get(str(gain["domain"])) or {}
    steps = sorted({int(run["best_step"]) for run in runs})
    ends = list(dict.fromkeys(ENDED.get(str(run["stopped"]), str(run["stopped"])) for run in runs))
    kept = NONE if not steps else count(steps[0]) if len(steps) == 1 else f"{count(steps[0])} to {count(steps[-1])}"
    return kept, ", ".join(ends), count(frozen.get("n_examples"))


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _panel(arm: str, curve: Facts) -> Html:
    """Scores of the questions that steer, against tokens: seeds thin, their mean bold."""
    lines = [Line(one, BASE, "seed") for one in curve["seeds"].values() if len(curve["seeds"]) > 1]
    lines.append(Line(curve["mean"], "teachable", "mean"))
    longest = max(x for line in lines for x, _ in line.points)
    (_, first), (_, last) = curve["mean"][0], curve["mean"][-1]
    return figure(
        join([el("b", _words(arm)), " on the questions that steer"]),
        curves(
            lines,
            Scale(0.0, max(longest, 1.0)),
            Scale(0.0, 1.0),
            height=170,
            write_x=short,
            write_y=lambda v: percent(v, ""),
            label=f"accuracy of {arm} over {short(longest)} tokens: from {percent(first)} to {percent(last)}",
        ),
    )


def _added(one: Facts) -> list[Html]:
    title = el("h3", f"Domains joined, {one['stage']}")
    if not one["found"]:
        return [title, gap("the joined models", f"{one['stage']}/stats.json")]
    given = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in one["settings"].items()
        if value is not None and (name == "learning_rate") != (one["way"] == "weights")
    ]
    how = WAYS.get(str(one["way"]), str(one["way"]))
    return [
        title,
        el("p", f"{how[:1].upper()}{how[1:]}{' (' + ', '.join(given) + ')' if given else ''}. {one['sentence']}."),
        *(el("p", f"\u25bc {sentence}.", class_="notice") for sentence in one["regressions"]),
        _matrix(one),
        _additivity(one),
    ]


def _matrix(one: Facts) -> Html:
    head = [el("th", "domain", scope="col")]
    for column in one["columns"]:
        n = column["n_domains"]
        name = "base" if not n else "1 domain" if n == 1 else f"{n} domains"
        head.append(el("th", name, scope="col", class_="num"))
    body = [
        el("tr", el("th", _words(row["domain"]), scope="row"), join(_cell(cell) for cell in row["cells"]))
        for row in one["rows"]
    ]
    caption = f"{one['stage']}: accuracy by domain after each addition, and the change against the base in points"
    return boxed(caption, join(head), [el("tbody", join(body))], class_="matrix")


def _cell(cell: Facts | None) -> Html:
    """The mean; under it the change against the base; marked where the domain fell since it was added."""
    if cell is None or cell["mean"] is None:
        return el("td", NONE, class_="num")
    if cell["since_base_mean"] is None:
        return el(
            "td", el("b", percent(cell["mean"], "")), el("span", interval(cell["low"], cell["high"]), class_="ci"),
            class_="num",
        )  # fmt: skip
    low, high = cell["since_base_low"], cell["since_base_high"]
    says = "drop" if cell["regression"] or high < 0 else "gain" if low > 0 else ""
    words = "\u25bc fell since added " if cell["regression"] else {"drop": "\u25bc ", "gain": "\u25b2 "}.get(says, "")
    return el(
        "td",
        el("b", percent(cell["mean"], "")),
        el("span", f"{words}{points(cell['since_base_mean'])}", class_="change"),
        el("span", interval(low, high, signed=True), class_="ci"),
        el("span", "added" if cell["added"] else "not yet added", class_="ci"),
        class_=f"num {says}".strip(),
    )


def _additivity(one: Facts) -> Html:
    if not one["additivity"]:
        return Html("")
    rows = [
        (
            f"{row['n_domains']} domains" if row["domain"] is None else _words(row["domain"]),
            *(points(row[name]) for name in ("joint_gain", "separate_gain", "own_gain")),
            _ratio(row, ""),
            _ratio(row, "own_"),
        )
        for row in sorted(one["additivity"], key=lambda row: (row["n_domains"], row["domain"] is not None))
    ]
    head = ("domains", "joint gain", "separate gains", "own gain", "additivity", "of its own gain")
    lead = "Additivity is the joint model's gain over the sum of the separate models' gains: 1 is additive."
    reasons = {str(row[f"{prefix}reason"]) for row in one["additivity"] for prefix in ("", "own_")} - {"", "None"}
    lead += "".join(f" {NONE}: {reason}." for reason in sorted(reasons))
    return more(
        "Additivity scores",
        el("p", lead),
        table(f"{one['stage']}: gains in points, and how much of them is left", head, rows),
    )


def _ratio(row: Facts, prefix: str) -> str:
    value, low, high = row[f"{prefix}ratio"], row[f"{prefix}low"], row[f"{prefix}high"]
    if value is None:
        return NONE
    ends = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
    return f"{value:.2f}{ends}"


def _explored(one: Facts) -> list[Html]:
    title = el("h3", f"The search, {one['stage']}")
    if not one["found"]:
        return [title, gap("the search", f"{one['stage']}/stats.json")]
    names = [*one["searched"], *(f"mix_{domain}" for domain in one["domains"])]
    head = ("trial", "accuracy", "interval", "over the plain settings", *(_words(n) for n in names), "place")
    rows = [
        (
            str(row["trial"]),
            percent(row["score"], ""),
            interval(row["low"], row["high"]),
            points(row["over_plain"]),
            *(NONE if row.get(name) is None else _number(row[name]) for name in names),
            count(row["place"]),
        )
        for row in sorted(one["last_round"], key=lambda row: row["place"] or 10**9)
    ]
    evidence = one["evidence"] or {}
    return [
        title,
        el("p", f"{one['n_trials']} settings tried. {evidence.get('sentence', '')}"),
        more("The last round", table(f"{one['stage']}: trials of the last round", head, rows)),
    ]


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _ablated(one: Facts) -> list[Html]:
    title = el("h3", f"The ablation, {one['stage']}")
    if not one["found"]:
        return [title, gap("the ablation", f"{one['stage']}/stats.json")]
    link = join([" ", el("a", "Its own page", href=one["page"]), " has the plot."]) if one["page"] else None
    return [title, el("p", one["sentence"], link)]
