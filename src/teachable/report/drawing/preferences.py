"""The section on preference pairs: who judged what, and how training on pairs went."""

from __future__ import annotations

from typing import Any

from teachable.report.drawing.charts import Line, Scale, curves
from teachable.report.drawing.parts import figure, gap, more, section, table
from teachable.report.markup import NONE, Html, count, duration, el, join, percent, short

Facts = dict[str, Any]
# Measure -> its name, and what it is.
MEASURES = {
    "loss": ("loss", ""),
    "reward_margin": ("reward margin", "chosen less rejected, nats"),
    "reward_accuracy": ("reward accuracy", "pairs of margin above 0"),
}
# What `stats.json` counts of the judge, for people; shares are in [0, 1].
JUDGING = {
    "questions": "questions to the judge",
    "undecided": "of which it could not tell",
    "ties": "of which ties",
    "replies": "its replies",
    "unreadable": "of which nobody could read",
    "inconsistent_votes": "votes that followed a place, not a response",
    "frac_inconsistent": "share of such votes",
    "position_bias": "preference for the first place",
}


def preferences(facts: Facts) -> Html:
    """Judged pairs, then each training on pairs; nothing where the run has neither."""
    told = facts["preferences"]
    parts = [part for one in told["judged"] for part in _judged(one)]
    parts += [part for one in told["tuned"] for part in _tuned(one)]
    if not parts:
        return Html("")
    return section(
        "preferences",
        "Preference pairs",
        *parts,
        lead="Training on which of two continuations is better. A reward is beta times the rise of a continuation's "
        "log-probability over the base's.",
    )


def _judged(one: Facts) -> list[Html]:
    heading = el("h3", f"Judged pairs, {one['stage']}")
    if not one["found"]:
        return [heading, gap("the judged pairs", f"{one['stage']}/stats.json")]
    judging, margin = one["judging"], one["mean_margin"]
    rows = [
        ("prompts", count(one["n_prompts"])),
        ("responses", count(one["n_responses"])),
        ("pairs", count(one["n_pairs"])),
        ("pairs left out", count(sum(one["pairs_left_out"].values()))),
        ("mean margin", NONE if margin is None else f"{margin:.2f}"),
        *((JUDGING.get(name, name.replace("_", " ")), _written(value)) for name, value in judging.items()),
    ]
    engines = [
        (
            name,
            count(e.get("responses")),
            NONE if e.get("mean_score") is None else f"{e['mean_score']:.2f}",
            count(e.get("chosen")),
            count(e.get("rejected")),
        )
        for name, e in one["engines"].items()
    ]
    caption = f"What judging came to ({one['mode'] or 'mode unknown'})"
    reasons = [("pair", reason, count(n)) for reason, n in one["pairs_left_out"].items()]
    reasons += [("response", reason, count(n)) for reason, n in one["responses_left_out"].items()]
    return [
        heading,
        el(
            "div",
            table(caption, ("measure", "number"), rows),
            class_="alone",
        ),
        table("Engines that answered", ("engine", "responses", "mean score", "chosen", "rejected"), engines)
        if engines
        else Html(""),
        more("What was left out", table("Left out of judging, by reason", ("what", "reason", "count"), reasons, 2))
        if reasons
        else Html(""),
    ]


def _written(value: float | None) -> str:
    """A count whole, a share with its decimals."""
    return NONE if value is None else count(value) if isinstance(value, int) else f"{value:.3f}"


def _tuned(one: Facts) -> list[Html]:
    heading = el("h3", f"Training on pairs, {one['stage']}")
    if not one["found"]:
        return [heading, gap("the models trained on pairs", f"{one['stage']}/runs.parquet")]
    head = ("seed", "pairs", "too long", "steps", "pairs a step", "tokens", "loss", "margin", "accuracy", "time")
    rows = [
        (
            run["seed"],
            count(run["n_pairs"]),
            count(run["n_too_long"]),
            count(run["n_steps"]),
            count(run["pairs_per_step"]),
            count(run["n_tokens"]),
            *(NONE if run[name] is None else f"{run[name]:.3f}" for name in ("last_loss", "last_reward_margin")),
            percent(run["last_reward_accuracy"]),
            duration(run["seconds"]),
        )
        for run in one["runs"]
    ]
    panels = [_panel(one, name) for name in MEASURES if one["curves"][name]["mean"]]
    return [
        heading,
        el("div", join(panels), class_="panels narrow curved"),
        table(f"Models of {one['stage']}; loss, margin and accuracy over the last tenth of the steps", head, rows),
    ]


def _panel(one: Facts, measure: str) -> Html:
    """One measure against steps: seeds thin, their mean bold."""
    c = one["curves"][measure]
    name, meaning = MEASURES[measure]
    lines = [Line(points, "base", "seed") for points in c["seeds"].values() if len(c["seeds"]) > 1]
    lines.append(Line(c["mean"], "teachable", "mean"))
    points = [p for line in lines for p in line.points]
    x = Scale(min(p[0] for p in points), max(max(p[0] for p in points), 1.0))
    accuracy = measure == "reward_accuracy"
    y = Scale(0.0, 1.0) if accuracy else Scale.around([p[1] for p in points], pad=0.06)
    (_, first), (_, last) = c["mean"][0], c["mean"][-1]
    return figure(
        join([el("b", name), f" {meaning}" if meaning else None]),
        curves(
            lines,
            x,
            y,
            height=170,
            write_x=short,
            label=f"{name} of {one['stage']} over {short(x.high)} steps: from {first:.2f} to {last:.2f}",
        ),
    )
