"""The report's charts as inline SVG, drawn here in Python.

Vega-Lite was weighed first (altair 6.3 with vl-convert 1.9): its bundle inlines once at 0.9 MB and works. It
was left out because the page is better without it: these charts are there without JavaScript and in print,
follow the theme through CSS variables with no second rendering, keep their type at one size from 360 px to a
wide screen (places are percentages, so only the marks move; a Vega chart scales its text or needs a script to
lay itself out again), sit inside the rows of real tables so that the numbers are their own text alternative,
and weigh about a tenth of that. They need no dependency and start no second runtime. What is given up:
zooming, which nothing here needs. Values show as native tooltips (`title`).

Every function returns `Html`. Colours are classes: `c-teachable` and the like, for zones and arms alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from teachable.report.markup import Html, count, el, join

TONES = ("teachable", "random", "mastered", "beyond", "ambiguous", "base", "up", "down")
ROW_PX = 30


def tone(name: str) -> str:
    """The colour class of an arm or a zone; names that the page does not know share one."""
    return f"c-{name}" if name in TONES else "c-other"


def swatch(name: str) -> Html | None:
    """The square of an arm's or a zone's colour; None for a name that shares its colour with others."""
    return el("span", class_=f"key square {tone(name)}", aria_hidden="true") if name in TONES else None


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers in [low, high], at most about `most`: steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Scale:
    """A linear scale from [low, high] to per cent of the drawing's width or height."""

    low: float
    high: float

    @staticmethod
    def around(values: Sequence[float], include: Sequence[float] = (), pad: float = 0.04) -> Scale:
        """The scale that holds all values and a little more."""
        every = [*values, *include]
        low, high = (min(every), max(every)) if every else (0.0, 1.0)
        room = (high - low) * pad or 0.01
        return Scale(low if low in include else low - room, high if high in include else high + room)

    def at(self, value: float) -> float:
        """Where the value is, in per cent; values outside are held at the edge."""
        place = 100 * (value - self.low) / ((self.high - self.low) or 1.0)
        return min(100.0, max(0.0, place))


def _pc(place: float) -> str:
    return f"{place:.2f}%"


def _svg(*children: object, height: int, class_: str, label: str | None = None) -> Html:
    """A drawing as wide as its place. With a label it is an image; without, it decorates numbers beside it."""
    named = {"role": "img", "aria_label": label} if label else {"aria_hidden": "true", "focusable": "false"}
    return el("svg", *children, class_=class_, width="100%", height=height, **named)


def _vertical(place: float, class_: str, low: str = "0", high: str = "100%") -> Html:
    return el("line", x1=_pc(place), x2=_pc(place), y1=low, y2=high, class_=class_)


def axis_row(scale: Scale, numbers: Sequence[float], write: Callable[[float], str]) -> Html:
    """The tick labels that stand above a column of `interval_row`s."""
    texts = [el("text", write(v), x=_pc(scale.at(v)), y="13", text_anchor="middle") for v in numbers]
    return _svg(*texts, height=18, class_="axis")


@dataclass(frozen=True)
class Mark:
    """A point with its whiskers on a row, or a bare tick for what is only there to be compared."""

    value: float | None
    low: float | None
    high: float | None
    name: str
    title: str
    hollow: bool = False
    tick: bool = False


def interval_row(scale: Scale, numbers: Sequence[float], marks: Sequence[Mark], zero: float | None = None) -> Html:
    """One row of a chart of intervals: grid lines, then each mark as a point with whiskers."""
    parts: list[object] = [_vertical(scale.at(v), "grid") for v in numbers]
    if zero is not None:
        parts.append(_vertical(scale.at(zero), "zero"))
    for m in marks:
        if m.value is None:
            continue
        drawn: list[object] = [el("title", m.title)]
        if m.low is not None and m.high is not None:
            drawn.append(
                el("line", x1=_pc(scale.at(m.low)), x2=_pc(scale.at(m.high)), y1="50%", y2="50%", class_="whisker")
            )
        if m.tick:
            drawn.append(_vertical(scale.at(m.value), "mark", "24%", "76%"))
        else:
            kind = "point hollow" if m.hollow else "point"
            drawn.append(el("circle", cx=_pc(scale.at(m.value)), cy="50%", r=5, class_=kind))
        parts.append(el("g", *drawn, class_=tone(m.name)))
    return _svg(*parts, height=ROW_PX, class_="row")


def histogram(
    labels: Sequence[str], stacks: Mapping[str, Sequence[int]], *, height: int, top: int, label: str, axis: bool = True
) -> Html:
    """Stacked bars, one a label; `top` is the count at the top, shared by charts to be compared."""
    foot = 22 if axis else 4
    plot = height - foot
    width = 100 / max(1, len(labels))
    parts: list[object] = []
    for v in ticks(0, top, 4 if axis else 1):
        y = plot - (plot - 8) * v / (top or 1)
        parts.append(el("line", x1="0", x2="100%", y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        if axis:
            parts.append(el("text", count(v), x="-8", y=f"{y + 4:.1f}", text_anchor="end", class_="ylabel"))
    for i, name in enumerate(labels):
        base = float(plot)
        for zone, counts in stacks.items():
            if not counts[i]:
                continue
            tall = (plot - 8) * counts[i] / (top or 1)
            base -= tall
            parts.append(
                el(
                    "rect",
                    el("title", f"{name} right, {zone}: {count(counts[i])} prompts"),
                    x=_pc(i * width + width * 0.09),
                    width=_pc(width * 0.82),
                    y=f"{base:.2f}",
                    height=f"{max(tall - 0.75, 0.5):.2f}",
                    class_=f"bar {tone(zone)}",
                )
            )
        if axis:
            middle, kind = _pc((i + 0.5) * width), "odd" if i % 2 else None  # every other one gives way on a phone
            parts.append(el("text", name, x=middle, y=str(height - 6), text_anchor="middle", class_=kind))
    return _svg(*parts, height=height, class_="histogram", label=label)


@dataclass(frozen=True)
class Line:
    """A curve; `weight` is seed (thin), mean (bold) or ghost (another arm, for comparison)."""

    points: Sequence[tuple[float, float]]
    name: str
    weight: str


@dataclass(frozen=True)
class Band:
    """What a curve is known to: (x, low, high) along it."""

    points: Sequence[tuple[float, float, float]]
    name: str


@dataclass(frozen=True)
class Step:
    """A step of a curve that stands out: a line from one value to the other, with an arrow head at its end."""

    x: float
    before: float
    after: float
    name: str
    title: str


def curves(
    lines: Sequence[Line],
    x: Scale,
    y: Scale,
    *,
    height: int,
    label: str,
    write_x: Callable[[float], str],
    write_y: Callable[[float], str] = "{:g}".format,
    bands: Sequence[Band] = (),
    steps: Sequence[Step] = (),
) -> Html:
    """Curves in a frame with both axes, over their bands and under the steps that stand out.

    Lines and bands live in a stretched inner drawing, text and arrow heads in the unstretched outer.
    """
    foot = 22
    plot = height - foot
    parts: list[object] = []
    for v in ticks(y.low, y.high, 4):
        place = plot * (1 - y.at(v) / 100)
        parts.append(el("line", x1="0", x2="100%", y1=f"{place:.1f}", y2=f"{place:.1f}", class_="grid"))
        parts.append(el("text", write_y(v), x="-8", y=f"{place + 4:.1f}", text_anchor="end", class_="ylabel"))
    for v in ticks(x.low, x.high, 4):
        place = x.at(v)
        anchor = "start" if place < 8 else "end" if place > 92 else "middle"
        parts.append(el("text", write_x(v), x=_pc(place), y=str(height - 6), text_anchor=anchor))
    drawn = [
        el(
            "polygon",
            points=" ".join(
                [f"{x.at(a):.2f},{100 - y.at(high):.2f}" for a, _, high in band.points]
                + [f"{x.at(a):.2f},{100 - y.at(low):.2f}" for a, low, _ in reversed(band.points)]
            ),
            class_=f"band {tone(band.name)}",
        )
        for band in bands
    ]
    drawn += [
        el(
            "polyline",
            points=" ".join(f"{x.at(a):.2f},{100 - y.at(b):.2f}" for a, b in line.points),
            class_=f"curve {line.weight} {tone(line.name)}",
        )
        for line in lines
    ]
    parts.append(
        el("svg", *drawn, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height=plot, class_="plot")
    )
    parts += [_step(one, x, y, plot) for one in steps]
    return _svg(*parts, height=height, class_="curves", label=label)


def _step(one: Step, x: Scale, y: Scale, plot: float) -> Html:
    place, start, end = _pc(x.at(one.x)), plot * (1 - y.at(one.before) / 100), plot * (1 - y.at(one.after) / 100)
    tip = 9 if end < start else -9  # the head points the way the curve goes
    return el(
        "g",
        el("title", one.title),
        el("line", x1=place, x2=place, y1=f"{start:.1f}", y2=f"{end:.1f}", class_="whisker"),
        el("svg", el("path", d=f"M-6 {tip}L0 0L6 {tip}Z", class_="head"), x=place, y=f"{end:.1f}"),
        class_=f"step {tone(one.name)}",
    )


def legend(names: Mapping[str, str]) -> Html:
    """What the marks mean: name -> shape (square, round, ring or tick)."""
    items = (el("li", el("span", class_=f"key {shape} {tone(n)}", aria_hidden="true"), n) for n, shape in names.items())
    return el("ul", join(items), class_="legend")
