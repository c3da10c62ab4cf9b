"""One searched solution on the page: its tokens coloured by their effects, its value curve, its pivotal tokens."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from teachable.report.drawing.charts import Band, Line, Scale, Step, curves
from teachable.report.drawing.parts import figure
from teachable.report.gathering.tokens import BAND_SDS, effects, strength, visible
from teachable.report.markup import DASH, Html, count, el, first_line, interval, join, percent, points

Facts = dict[str, Any]
MAX_TOKENS = 1500  # of a solution's text; what comes after is said, and its pivotal tokens are in the table
MAX_POINTS = 400  # of a value curve


def number_of(n: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count(n)} {noun}{'' if n == 1 else 's'}"


def key() -> Html:
    """What the marks in a solution's text mean."""
    return join(
        [
            "A token raises the chance of a right answer ",
            el("span", "a little", class_="tok u1"),
            ", ",
            el("span", "more", class_="tok u2"),
            ", ",
            el("span", "much", class_="tok u3"),
            " or lowers it ",
            el("span", "a little", class_="tok d1"),
            ", ",
            el("span", "more", class_="tok d2"),
            ", ",
            el("span", "much", class_="tok d3"),
            "; underlined and signed: ",
            el("span", "+31", class_="sign"),
            el("span", "pivotal", class_="tok pivotal u3"),
            ", with the change in points. What a token does is shown where the pointer rests on it.",
        ]
    )


def solution(one: Facts, anchor: str, *, first: bool) -> Html:
    """An item of the list of solutions, the first one open.

    Args:
        one: of `pivots.pivot_facts`.
        anchor: what the ids in it begin with.
    """
    n, total = len(one["pivots"]), sum(abs(pivot["delta"]) for pivot in one["pivots"])
    tags = [
        "\u2713 right" if one["correct"] else "\u2717 wrong",
        number_of(n, "pivotal token") if n else "no pivotal token",
        f"{points(total).lstrip('+')} points in all" if n > 1 else None,
        number_of(len(one["tokens"]), "token"),
        number_of(one["n_samples"], "sample"),
    ]
    question = one["question"] or "(the question is not in the run folder)"
    summary = el(
        "summary",
        el("h3", first_line(question)),
        el("span", join((el("span", tag, class_="tag") for tag in tags if tag), " "), class_="tags"),
    )
    body = [
        el("h4", "Question"),
        el("pre", question),
        el("h4", "Solution"),
        el("pre", join(_marked(one, anchor)), class_="tokens"),
        el("p", visible(one["note"]), class_="hint") if one["note"] else None,
        _value_curve(one),
        _pivots(one, anchor) if n else None,
        el("p", "Prompt ", el("code", visible(one["prompt_id"])), class_="hint"),
    ]
    return el("li", el("details", summary, el("div", join(body), class_="body"), open=first))


def _marked(one: Facts, anchor: str) -> list[Html]:
    """The tokens, coloured by their effects; those that change nothing are plain text, many at a time."""
    pivotal = {pivot["position"]: pivot for pivot in one["pivots"]}
    found = list(enumerate(zip(one["tokens"], effects(one), strict=True)))[:MAX_TOKENS]
    parts: list[Html] = []
    for plain, run in groupby(found, lambda item: item[0] not in pivotal and not strength(item[1][1])):
        if plain:
            parts.append(join(visible(token["token"], token["token_id"]) for _, (token, _) in run))
            continue
        for place, (token, effect) in run:
            if place in pivotal:
                parts.append(_pivotal(pivotal[place], f"{anchor}t{place}"))
            else:
                sign = "u" if (effect or 0) > 0 else "d"
                text = visible(token["token"], token["token_id"])
                title = _says(one["values"][place], one["values"][place + 1], effect, token["probability"])
                parts.append(el("span", text, class_=f"tok {sign}{strength(effect)}", title=title))
    more_ = len(one["tokens"]) - len(found)
    return [*parts, el("em", f" \u2026 [{more_:,} more tokens]")] if more_ > 0 else parts


def _pivotal(pivot: Facts, row: str) -> Html:
    """A pivotal token: its sign and change, underlined, a link to its row in the table."""
    delta, token = pivot["delta"], pivot["token"]
    says = _says(pivot["p_before"], pivot["p_after"], delta, pivot["probability"])
    says += f"; interval {interval(pivot['delta_low'], pivot['delta_high'], signed=True)} points"
    link = el(
        "a",
        el("span", _whole(delta), class_="sign"),
        visible(token, pivot["token_id"], flat=True),
        href=f"#{row}",
        class_=f"tok pivotal {'u' if delta > 0 else 'd'}{max(1, strength(delta))}",
        title=says,
        data_tip=says,
    )
    return join([link, "\n" if token.endswith("\n") else ""])


def _whole(delta: float) -> str:
    """Signed points without decimals."""
    return points(round(delta, 2)).removesuffix(".0")


def _says(before: float | None, after: float | None, effect: float | None, probability: float | None) -> str:
    chosen = "" if probability is None else f"; chosen with probability {probability:.2f}"
    return f"{points(effect)} points: {percent(before)} before, {percent(after)} after{chosen}"


def _value_curve(one: Facts) -> Html:
    """The chance of success after each token, with its band; pivotal tokens as arrows."""
    known = [
        (float(i), v, sd or 0.0)
        for i, (v, sd) in enumerate(zip(one["values"], one["value_sds"], strict=True))
        if v is not None
    ]
    keep = {pivot["position"] + after for pivot in one["pivots"] for after in (0, 1)} | {len(one["values"]) - 1}
    every = -(-len(known) // MAX_POINTS) or 1
    known = [point for number, point in enumerate(known) if number % every == 0 or int(point[0]) in keep]
    steps = [
        Step(
            pivot["position"] + 1,
            pivot["p_before"],
            pivot["p_after"],
            "up" if pivot["delta"] > 0 else "down",
            f"token {pivot['position']}, {visible(pivot['token'], pivot['token_id'], flat=True)}: "
            f"{points(pivot['delta'])} points",
        )
        for pivot in one["pivots"]
    ]
    start, end = (percent(known[place][1]) if known else DASH for place in (0, -1))
    changes = "".join(f"; at token {p['position']} {points(p['delta'])} points" for p in one["pivots"])
    caption = " after each token, per cent; in grey 95% of the posterior"
    caption += "; arrows show what pivotal tokens were measured to do" if steps else ""
    label = f"Chance of a right answer over {len(one['tokens'])} tokens: {start} before the first, {end} at the end"
    return figure(
        join([el("b", "Chance of a right answer"), caption]),
        curves(
            [Line([(i, v) for i, v, _ in known], "base", "mean")],
            Scale(0.0, max(1, len(one["tokens"]))),
            Scale(0.0, 1.0),
            height=190,
            label=label + changes,
            write_x=count,
            write_y=lambda v: f"{100 * v:g}",
            bands=[Band([(i, v - BAND_SDS * sd, v + BAND_SDS * sd) for i, v, sd in known], "base")],
            steps=steps,
        ),
        class_="value-curve",
    )


def _pivots(one: Facts, anchor: str) -> Html:
    """The pivotal tokens as a table, with the evidence and what else the model chose there."""
    head = ("place", "token", "before", "after", "change", "interval", "samples", "chosen with")
    kinds = (None, None, *["num"] * (len(head) - 2))
    header = [el("th", h, scope="col", class_=kind) for h, kind in zip(head, kinds, strict=True)]
    header.append(el("th", "others: right of tried (chosen with)", scope="col", class_="others"))
    rows = [
        el(
            "tr",
            el("th", count(pivot["position"]), scope="row"),
            el("td", el("code", visible(pivot["token"], pivot["token_id"], flat=True))),
            *(el("td", percent(pivot[name]), class_="num") for name in ("p_before", "p_after")),
            el("td", el("b", points(pivot["delta"])), class_="num"),
            el("td", interval(pivot["delta_low"], pivot["delta_high"], signed=True), class_="num ci"),
            el("td", count(pivot["n_samples"]), class_="num"),
            el("td", percent(pivot["probability"]), class_="num"),
            el("td", _others(pivot["alternatives"]), class_="others"),
            id=f"{anchor}t{pivot['position']}",
        )
        for pivot in one["pivots"]
    ]
    caption = "Pivotal tokens of this solution; changes in percentage points"
    return el(
        "div",
        el("table", el("caption", caption), el("thead", el("tr", join(header))), el("tbody", join(rows))),
        class_="scroll pivots",
        tabindex="0",
        role="region",
        aria_label=f"{caption}, {anchor}",
    )


def _others(alternatives: list[Facts]) -> Html:
    """Other tokens at the place: their success, and the probability with which each is chosen."""
    told = [
        join(
            [
                el("code", visible(other["token"], other["token_id"], flat=True)),
                f" {other['successes']}/{other['n_samples']}" if other["n_samples"] else " untried",
                el("span", f" ({percent(other['probability'])})", class_="ci"),
            ]
        )
        for other in alternatives
    ]
    return join(told, ", ")
