"""Cost against recall as an SVG: one panel a family, one line a method, a point a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 400, 290, 46, 14, 30, 52
COLOURS = ("#0b6e99", "#b5541c", "#6b6b6b")
TICKS = (25, 50, 100, 200, 400, 800, 1600, 3200)


@dataclass(frozen=True)
class Point:
    """A setting: completions a truly pivotal token, and the share of those that were found, in [0, 1]."""

    cost: float
    recall: float
    label: str = ""
    precise: bool = True  # drawn full; hollow otherwise


def curves_svg(panels: Mapping[str, Mapping[str, Sequence[Point]]]) -> str:
    """The picture of these families' lines, costs on a logarithmic axis."""
    costs = [point.cost for lines in panels.values() for line in lines.values() for point in line if point.cost > 0]
    low, high = min(costs, default=25) / 1.3, max(costs, default=400) * 1.3
    drawn = [_panel(title, lines, place * WIDTH, low, high) for place, (title, lines) in enumerate(panels.items())]
    width = WIDTH * max(len(panels), 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
        + "".join(drawn)
        + "</svg>\n"
    )


def _panel(title: str, lines: Mapping[str, Sequence[Point]], shift: float, low: float, high: float) -> str:
    def x(cost: float) -> float:
        return shift + LEFT + (WIDTH - LEFT - RIGHT) * math.log(cost / low) / math.log(high / low)

    def y(recall: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - recall)

    parts = [f'<text x="{shift + LEFT}" y="18" font-weight="bold">{escape(title)}</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path d="M{x(low):.1f} {y(share):.1f}H{x(high):.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{shift + LEFT - 6}" y="{y(share) + 4:.1f}" text-anchor="end">{share:g}</text>')
    for tick in TICKS:
        if low <= tick <= high:
            parts.append(f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{tick}</text>')
    middle = shift + (LEFT + WIDTH - RIGHT) / 2
    for line, below in enumerate(
        ("completions a truly pivotal token", "upwards: share found; hollow: precision < 0.95")
    ):
        height = HEIGHT - BOTTOM + 31 + 14 * line
        parts.append(f'<text x="{middle}" y="{height}" text-anchor="middle">{escape(below)}</text>')
    for place, (name, points) in enumerate(lines.items()):
        colour = COLOURS[place % len(COLOURS)]
        line = sorted(points, key=lambda one: one.cost)
        way = "L".join(f"{x(one.cost):.1f} {y(one.recall):.1f}" for one in line)
        if way:
            parts.append(f'<path d="M{way}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for one in line:
            said = escape(f"{name}, {one.label}: recall {one.recall:.3f} at {one.cost:.0f}")
            place_of = f'cx="{x(one.cost):.1f}" cy="{y(one.recall):.1f}"'
            fill = colour if one.precise else "#ffffff"
            parts.append(f'<circle {place_of} r="3.5" fill="{fill}" stroke="{colour}"><title>{said}</title></circle>')
        parts.append(
            f'<text x="{x(low) + 8:.1f}" y="{y(1) + 14 + 14 * place:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    return "".join(parts)
