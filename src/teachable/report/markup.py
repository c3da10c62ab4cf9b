"""HTML from Python with escaping that cannot be forgotten, and how the report writes numbers.

`el` escapes every child and every attribute unless it is `Html` already, so model output, which is hostile
by assumption, can only reach the page as text. Characters that HTML forbids (NUL, escape, lone surrogates) and
the two that make text run backwards become U+FFFD, so that a strange sample is seen and not silently lost.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable

_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202d\u202e\ufffe\uffff]")
_VOID = frozenset({"meta", "input", "br", "hr", "link"})
MINUS = "\u2212"
DASH = "\u2013"
NONE = "\u2014"


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def esc(value: object) -> Html:
    """The value as HTML text, also safe between double quotes."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(_FORBIDDEN.sub("\ufffd", str(value)), quote=True))


def join(parts: Iterable[object], between: str = "") -> Html:
    """Escape each part and put them one after the other."""
    return Html(between.join(esc(p) for p in parts if p is not None))


def el(tag: str, *children: object, **attributes: object) -> Html:
    """An element. `class_` and `for_` lose their underscore, other underscores become hyphens.

    An attribute that is None or False is left out; True stands alone. Children that are None are left out.
    """
    opening = tag
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        name = key.rstrip("_").replace("_", "-")
        opening += f" {name}" if value is True else f' {name}="{esc(value)}"'
    if tag in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{join(children)}</{tag}>")


def count(value: float | None) -> str:
    """A whole number with thousands separated: 12,345."""
    return NONE if value is None else f"{round(value):,}"


def short(value: float | None) -> str:
    """A large number in three digits: 4.21 M, 37.5 k."""
    if value is None:
        return NONE
    for size, unit in ((1e9, "\u00a0G"), (1e6, "\u00a0M"), (1e3, "\u00a0k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def dollars(value: float | None) -> str:
    """A sum of money, small ones to two digits: $1,204.50, $0.30, $0.0021."""
    if value is None:
        return NONE
    if value <= 0:
        return "$0"
    if value < 1e-6:
        return "<\u00a0$0.000001"
    decimals = 2 if value >= 1 else max(2, 1 - math.floor(math.log10(value)))
    return f"${value:,.{decimals}f}"


def percent(value: float | None, sign: str = "%") -> str:
    """A fraction in [0, 1] as a percentage with one decimal: 29.1%; more than nothing is never written as 0.0."""
    if value is None:
        return NONE
    return f"<0.1{sign}" if 0 < value < 0.0005 else f"{100 * value:.1f}{sign}"


def points(value: float | None) -> str:
    """A difference of two fractions as signed percentage points: +1.8."""
    if value is None:
        return NONE
    text = f"{abs(100 * value):.1f}"
    return text if text == "0.0" else ("+" if value > 0 else MINUS) + text


def interval(low: float | None, high: float | None, signed: bool = False) -> str:
    """Both ends of an interval in percent: 27.9 to 30.4."""
    if low is None or high is None:
        return NONE
    write = points if signed else lambda v: percent(v, "")
    return f"{write(low)}\u00a0to\u00a0{write(high)}"


def duration(seconds: float | None) -> str:
    """A time for people: 0.4 s, 48 s, 3 min 12 s, 2 h 05 min."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f}\u00a0s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}\u00a0s"
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60:02d}\u00a0s"
    return f"{whole // 3600}\u00a0h {whole % 3600 // 60:02d}\u00a0min"


def first_line(text: str, most: int = 160) -> str:
    """The first line of a text that says something, as a heading of at most about `most` characters."""
    line = next((part.strip() for part in text.splitlines() if part.strip()), text)
    return line if len(line) <= most else line[:most].rstrip() + "\u2026"


def probability(value: float | None) -> str:
    """A p-value: 0.032, or < 0.001."""
    if value is None:
        return NONE
    return "<\u00a00.001" if value < 0.001 else f"{value:.3f}"
