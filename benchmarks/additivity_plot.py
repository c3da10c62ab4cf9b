"""The picture of `additivity.py`: gain kept against the number of domains, and loss predicted against loss seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 300, 52, 16, 34, 50
COLOURS = {
    "data": "#0b6e99",
    "sequential": "#b5541c",
    "sum": "#7a3b9a",
    "half": "#3f7d3a",
    "mean": "#6b6b6b",
    "one_by_one": "#c2185b",
}
SIGNAL = "delta_cosine"


def plot(found: Mapping[str, Any]) -> str:
    """One row of panels a setting, as an SVG."""
    rows = [(name, rate, found["pairs"].get(name)) for name, rate in found["rates"].items()]
    drawn = []
    for place, (name, rate, pairs) in enumerate(rows):
        seeds = len(rate["seeds"])
        title = f"{name} (rate {rate['learning_rate']:g}, {seeds} seed{'s' if seeds > 1 else ''})"
        drawn.append(_ratios(f"{title}: gain kept", rate, 0, place * HEIGHT))
        if pairs:
            drawn.append(_scatter(f"{title}: pairs, sum of deltas", pairs, WIDTH, place * HEIGHT))
    width, height = 2 * WIDTH, HEIGHT * max(1, len(rows))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="#ffffff"/>'
        + "".join(drawn)
        + "</svg>\n"
    )


class _Panel:
    """A panel's frame and its scales."""

    def __init__(self, left: float, top: float, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.left, self.top, self.x_range, self.y_range = left, top, x, y
        self.parts: list[str] = []

    def x(self, number: float) -> float:
        low, high = self.x_range
        return self.left + LEFT + (WIDTH - LEFT - RIGHT) * (number - low) / (high - low)

    def y(self, number: float) -> float:
        low, high = self.y_range
        share = (min(max(number, low), high) - low) / (high - low)
        return self.top + TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    def text(self, x: float, y: float, text: str, **named: object) -> None:
        attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in named.items())
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(text)}</text>')

    def path(self, path: str, colour: str, width: float = 1.0) -> None:
        self.parts.append(f'<path d="{path}" stroke="{colour}" stroke-width="{width}" fill="none"/>')

    def frame(self, title: str, below: str, aside: str, ticks: Sequence[float], unit: str = "") -> None:
        self.text(self.left + LEFT, self.top + 18, title, font_weight="bold")
        for tick in ticks:
            at = self.y(tick)
            self.path(
                f"M{self.left + LEFT} {at:.1f}H{self.left + WIDTH - RIGHT}", "#999999" if tick == 0 else "#dddddd"
            )
            self.text(self.left + LEFT - 6, at + 4, f"{tick:g}{unit}", text_anchor="end")
        middle = self.left + (LEFT + WIDTH - RIGHT) / 2
        self.text(middle, self.top + HEIGHT - 14, below, text_anchor="middle")
        x, y = self.left + 12, self.top + (TOP + HEIGHT - BOTTOM) / 2
        self.text(x, y, aside, text_anchor="middle", transform=f"rotate(-90 {x:.1f} {y:.1f})")


def _ratios(title: str, rate: Mapping[str, Any], left: float, top: float) -> str:
    """The share of the domains' own gains that the joint model has, at each number of domains, with its interval."""
    panel = _Panel(left, top, (0.5, 3.5), (-0.5, 1.5))
    sizes = sorted({one["n_domains"] for told in rate["ways"].values() for one in told["additivity"]})
    panel.x_range = (-0.5, len(sizes) - 0.5)
    panel.frame(title, "domains added (above 1: more than each alone)", "share of own gains", (-0.5, 0, 0.5, 1, 1.5))
    for place, n in enumerate(sizes):
        panel.text(panel.x(place), top + HEIGHT - BOTTOM + 16, str(n), text_anchor="middle")
    n_ways = len(rate["ways"])
    for order, (way, told) in enumerate(rate["ways"].items()):
        colour, shift = COLOURS[way], (order - (n_ways - 1) / 2) * 0.08
        line = []
        for one in told["additivity"]:
            if one["domain"] is not None or one["own_ratio"] is None:
                continue
            x = panel.x(sizes.index(one["n_domains"]) + shift)
            low, high, y = panel.y(one["own_low"]), panel.y(one["own_high"]), panel.y(one["own_ratio"])
            panel.path(f"M{x:.1f} {low:.1f}V{high:.1f}", colour)
            panel.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            line.append(f"{x:.1f} {y:.1f}")
        if line:
            panel.path("M" + "L".join(line), colour, 1.5)
        panel.text(left + LEFT + 4 + order * 58, top + HEIGHT - BOTTOM - 6, way, fill=colour, font_weight="bold")
    return "".join(panel.parts)


def _scatter(title: str, pairs: Mapping[str, Any], left: float, top: float) -> str:
    """Each pair: a signal of the deltas, and the points that the sum of both has lost."""
    seen, signal = pairs["seen"]["sum"], pairs["signals"][SIGNAL]
    points = [(_of(signal, pair), 100 * lost, pair) for pair, lost in seen.items()]
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    pad = (max(xs) - min(xs)) * 0.08 or 0.01
    low, high = min(-10.0, min(ys) - 5), max(10.0, max(ys) + 5)
    panel = _Panel(left, top, (min(xs) - pad, max(xs) + pad), (low, high))
    ticks = [tick for tick in range(-100, 101, 10 if high - low <= 70 else 20) if low <= tick <= high]
    found = pairs["correlations"][SIGNAL]["sum"]
    told = "no order" if found["rho"] is None else f"rank correlation {found['rho']:+.2f}"
    panel.frame(title, f"cosine of the two deltas ({told})", "points lost a domain", ticks)
    for x in (min(xs), max(xs)):
        panel.text(panel.x(x), top + HEIGHT - BOTTOM + 16, f"{x:.2f}", text_anchor="middle")
    for x, y, pair in points:
        at = f'cx="{panel.x(x):.1f}" cy="{panel.y(y):.1f}"'
        panel.parts.append(
            f'<circle {at} r="3.5" fill="#7a3b9a" fill-opacity="0.7"><title>{escape(pair)}</title></circle>'
        )
    return "".join(panel.parts)


def _of(signal: Mapping[str, float], pair: str) -> float:
    """A pair's number, in whatever order it is named."""
    return signal[pair] if pair in signal else signal[" + ".join(reversed(pair.split(" + ")))]
