"""An ablation, drawn: accuracy against tokens, what separates `teachable` from each other arm, and what each arm is.

Made of an ablation's `stats.json` and of its `points` alone, so that a page of its own and a run's report can both show
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from teachable.report.drawing.charts import Band, Line, Mark, Scale, axis_row, curves, interval_row, ticks, tone
from teachable.report.drawing.parts import figure, more, plotted, section, table
from teachable.report.markup import (
    MINUS,
    NONE,
    Html,
    count,
    el,
    interval,
    join,
    percent,
    points,
    probability,
    short,
)

Facts = Mapping[str, Any]
BASE, HEADLINE = "base", "teachable"
NUMBERS = {"end": "at the end", "area": "area under the curve"}
PLOT_PX, PANEL_PX = 340, 170
WHAT = {
    "teachable": "prompts that the base solves sometimes: the pool of the selection",
    "random": "prompts of every zone, drawn by chance for each seed",
    "full": "every prompt that has an answer to train on, each once before any comes twice",
    "mastered": "prompts that the base solves nearly always",
    "beyond": "prompts that the base solves hardly ever",
}
AS_TEACHABLE = "; different ones hold as many training tokens as those of teachable"


def scales(stats: Facts) -> tuple[Scale, Scale]:
    """The plot's scales: tokens from 0, and accuracy around everything that is drawn."""
    _, bands = lines_and_bands(stats)
    places = [place for band in bands for place in band.points]
    return Scale(0.0, max(x for x, _, _ in places)), Scale.around([end for _, *ends in places for end in ends])


def lines_and_bands(stats: Facts) -> tuple[list[Line], list[Band]]:
    """Each arm's mean from the base on, and what its gain over the base is known to: the base's own mean is the start
    of all of them and has no width.
    """
    start = (0.0, stats[BASE]["mean"])
    lines, bands = [], []
    for arm in reversed(stats["arms"]):  # the first arm is drawn last, over the others
        lines.append(Line([start, *((one["tokens"], one["mean"]) for one in arm["course"])], arm["arm"], "mean"))
        known = [
            (one["tokens"], *(one["mean"] + one[end] - one["gain"] for end in ("gain_low", "gain_high")))
            for one in arm["course"]
        ]
        bands.append(Band([(*start, start[1]), *known], arm["arm"]))
    return lines, bands


def told(stats: Facts) -> str:
    """What the plot shows, in a sentence for who can't see it."""
    ends = ", ".join(f"{arm['arm']} {percent(arm['end']['mean'])}" for arm in stats["arms"])
    return f"Accuracy against training tokens, from {percent(stats[BASE]['mean'])} before training to: {ends}"


def key(stats: Facts) -> Html:
    """The plot's legend, with where each arm ended."""
    items = (
        el(
            "li",
            el("span", class_=f"key round {tone(arm['arm'])}", aria_hidden="true"),
            f"{arm['arm']} {percent(arm['end']['mean'])}",
        )
        for arm in stats["arms"]
    )
    return el("ul", join(items), class_="legend")


def course(stats: Facts, seeds: Sequence[Facts]) -> Html:
    """The plot: accuracy against tokens, and below it arm by arm with every seed.

    Args:
        seeds: rows of points.parquet.
    """
    x, y = scales(stats)
    lines, bands = lines_and_bands(stats)
    drawn = curves(lines, x, y, height=PLOT_PX, bands=bands, write_x=short, write_y=percent_tick, label=told(stats))
    n = f"{count(stats['n_questions'])} held-out questions, {_seeds(stats)}"
    return section(
        "course",
        "Accuracy against training tokens",
        key(stats),
        figure(el("span", el("b", _accuracy(stats)), f", {n}"), drawn),
        el("h3", "Arm by arm"),
        el("p", "Seeds thin, their mean bold, the other arms' means in grey.", class_="hint"),
        el("div", join(_panel(arm, stats, seeds, x) for arm in stats["arms"]), class_="panels narrow"),
        lead="Every arm was trained on the same number of tokens in the same number of steps, and asked at the same "
        "points. A band is the 95% interval of the arm's gain over the base, over questions and seeds.",
    )


def _panel(arm: Facts, stats: Facts, seeds: Sequence[Facts], x: Scale) -> Html:
    mine = [row for row in seeds if row["arm"] == arm["arm"] and row["accuracy"] is not None]
    every = [row["accuracy"] for row in seeds if row["accuracy"] is not None]
    start = (0.0, stats[BASE]["mean"])
    lines = [
        Line([start, *((o["tokens"], o["mean"]) for o in other["course"])], other["arm"], "ghost")
        for other in stats["arms"]
        if other is not arm
    ]
    for seed in sorted({row["seed"] for row in mine}):
        its_own = sorted((row["tokens"], row["accuracy"]) for row in mine if row["seed"] == seed)
        lines.append(Line([start, *its_own], arm["arm"], "seed"))
    lines.append(Line([start, *((o["tokens"], o["mean"]) for o in arm["course"])], arm["arm"], "mean"))
    label = f"{arm['arm']}, every seed: {', '.join(percent(v) for v in _ends(mine))} at the end"
    caption = el("span", el("span", class_=f"key round {tone(arm['arm'])}", aria_hidden="true"), el("b", arm["arm"]))
    y = Scale.around(every or [0.0, 1.0])
    return figure(caption, curves(lines, x, y, height=PANEL_PX, write_x=short, write_y=percent_tick, label=label))


def _ends(rows: Sequence[Facts]) -> list[float]:
    last = max((row["step"] for row in rows), default=0)
    return [row["accuracy"] for row in sorted(rows, key=lambda row: row["seed"]) if row["step"] == last]


def differences(stats: Facts) -> Html:
    """`teachable` less every other arm, at the end and as areas: a chart each, and every number in a table."""
    found = stats["comparisons"]
    scale = Scale.around([row[end] for row in found for end in ("low", "high")], [0.0])
    charts = [_chart(number, [row for row in found if row["number"] == number], scale) for number in NUMBERS]
    rows = [
        (
            row["baseline"],
            NUMBERS[row["number"]],
            points(row["diff"]),
            interval(row["low"], row["high"], signed=True),
            interval(row["t_low"], row["t_high"], signed=True),
            probability(row["p_value"]),
            probability(row["p_holm"]) if row["baseline"] != BASE else NONE,
            percent(row["detectable"], ""),
            row["outcome"],
        )
        for row in found
    ]
    head = ("against", "number", "points", "95% interval", "Student's t", "p", "p, Holm", "detectable", "teachable is")
    return section(
        "differences",
        "Teachable less each other arm",
        el("div", join(charts), class_="panels"),
        more("Every number", table("Paired differences, in percentage points", head, rows, 2), open_=True),
        lead="Paired by question and seed; intervals from a bootstrap that draws both anew. A hollow point means that "
        "no difference may be claimed: that takes both intervals of the table, bootstrap and Student's t, and a "
        "p-value below 0.05 after Holm's adjustment for the number of arms. Area is the mean accuracy along the way, "
        "from the base to the end. Detectable is the true difference that would be found 80% of the time.",
    )


def _chart(number: str, rows: Sequence[Facts], scale: Scale) -> Html:
    numbers = ticks(scale.low, scale.high, 4)
    axis = axis_row(scale, numbers, lambda v: ("+" if v > 0 else MINUS if v < 0 else "") + f"{abs(100 * v):g}")
    drawn = []
    for row in rows:
        small = interval(row["low"], row["high"], signed=True)
        title = f"teachable less {row['baseline']}: {points(row['diff'])} points ({small})"
        hollow = row["outcome"] == "no difference"
        mark = Mark(row["diff"], row["low"], row["high"], row["baseline"], title, hollow=hollow)
        drawn.append((row["baseline"], interval_row(scale, numbers, [mark], zero=0.0), points(row["diff"]), small))
    caption = el("span", el("b", NUMBERS[number]), ", points; right of 0: teachable is better")
    return plotted(caption, "less", axis, "points", [drawn])


def arms(stats: Facts, runs: Sequence[Facts], seeds: Sequence[Facts]) -> Html:
    """What each arm is, that steps and tokens are equal, which arm was left out and why, and every training."""
    rows = [
        (
            arm["arm"],
            _span(arm["n_pool"]),
            _span(arm["n_unique"]),
            _span(arm["n_examples"]),
            f"{_mean(arm['n_epochs']):.2f}",
            count(arm["n_steps"]),
            _span(arm["n_tokens"]),
        )
        for arm in stats["arms"]
    ]
    head = ("arm", "drawn from", "different", "examples", "rounds", "steps", "tokens")
    notes = [el("p", f"Left out: {one['reason']}.", class_="notice", role="note") for one in stats["left_out"]]
    return section(
        "arms",
        "What each arm is",
        el("ul", join(_what(arm["arm"], stats) for arm in stats["arms"]), class_="arms"),
        *notes,
        table("Prompts, examples and tokens of one seed, from the least to the most", head, rows),
        more("Every training", _trainings(runs, seeds)),
        lead=f"One budget of {count(stats['budget_tokens'])} training tokens for every arm and seed, met within half "
        "an example, and the same steps. Where an arm's prompts hold less, they come round again.",
    )


def _what(name: str, stats: Facts) -> Html:
    square = el("span", class_=f"key square {tone(name)}", aria_hidden="true")
    matched = AS_TEACHABLE if name == "random" and stats["random_prompts"] == "as_teachable" else ""
    return el("li", square, el("b", name), f": {WHAT[name]}{matched}.")


def _trainings(runs: Sequence[Facts], seeds: Sequence[Facts]) -> Html:
    last = max(row["step"] for row in seeds)
    ends = {(row["arm"], row["seed"]): row["accuracy"] for row in seeds if row["step"] == last}
    rows = [
        (
            run["arm"],
            count(run["seed"]),
            percent(ends.get((run["arm"], run["seed"]))),
            count(run["n_steps"]),
            count(run["n_tokens"]),
            count(run["n_response_tokens"]),
            f"{run['final_loss']:.3f}",
        )
        for run in runs
    ]
    head = ("arm", "seed", "accuracy at the end", "steps", "tokens", "response tokens", "final loss")
    return table("Every training", head, rows)


def percent_tick(value: float) -> str:
    """A tick of an axis of accuracies."""
    return f"{100 * value:g}%"


def _accuracy(stats: Facts) -> str:
    n = stats["settings"]["n_samples"]
    return f"Accuracy, the share of {n} sampled answers that are right" if n else "Accuracy of the likeliest answer"


def _seeds(stats: Facts) -> str:
    n = len(stats["seeds"])
    return f"{n} seeds each" if n > 1 else "one seed each"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _span(values: Sequence[float]) -> str:
    """What seeds have of a count: one number, or from the least to the most."""
    least, most = min(values), max(values)
    return count(least) if least == most else f"{count(least)} to {count(most)}"
