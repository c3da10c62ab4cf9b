"""A canonical text for an answer, so that equal answers can be grouped without comparing them in pairs.

Two answers with the same key are equal. A key that starts with "=" is exact: two different exact keys are certainly
unequal. Answers that equal others of another form (0.333333 and 1/3, 50% and 1/2, 5 cm and 5, x = 5 and 5, "1, 2" and
{1, 2}) have keys that are not exact.
"""

from __future__ import annotations

from teachable.verify.maths.algebra import ONE, Ratio, is_independent
from teachable.verify.maths.limits import TooLarge
from teachable.verify.maths.reader import read
from teachable.verify.maths.values import Interval, Matrix, Named, Region, Relation, Scalar, Sequence, Value, Words

_ROUNDED_DIGITS = 6


def key(answer: str) -> str | None:
    """The canonical key of an answer, or None where it has none. It never raises for anything that the answer says."""
    try:
        value = read(answer.strip())
    except (TooLarge, RecursionError):
        return None
    exact = _exact(value)
    return f"={exact}" if exact is not None else _loose(value)


def _exact(value: Value) -> str | None:
    """The name of a value that is a constant, or made of constants, that equals nothing of another name."""
    if isinstance(value, Scalar):
        if value.unit or value.percent or value.other or (value.decimal and value.decimal.digits >= _ROUNDED_DIGITS):
            return None
        return _constant(value.ratio)
    if isinstance(value, Sequence):
        if value.brackets == "none" or value.brackets == "ratio":
            return None
        names = [_exact(item) for item in value.items if isinstance(item, Scalar)]
        if None in names or len(names) != len(value.items):
            return None
        kept = [name for name in names if name is not None]
        if value.brackets == "set":
            return "{" + ",".join(sorted(set(kept))) + "}"
        opening, closing = "[]" if value.brackets == "square" and len(kept) == 2 else "()"
        return opening + ",".join(kept) + closing
    if isinstance(value, Region):
        parts = [_interval(interval) for interval in value.intervals]
        return None if None in parts else "u".join(part for part in parts if part is not None)
    return None


def _constant(ratio: Ratio) -> str | None:
    if ratio.bottom is not ONE or ratio.letters() or not is_independent(ratio.atoms()):
        return None
    return ratio.name


def _interval(interval: Interval) -> str | None:
    low = "-#inf" if interval.low is None else _constant(interval.low)
    high = "#inf" if interval.high is None else _constant(interval.high)
    if low is None or high is None:
        return None
    if interval.low is not None and interval.low is interval.high:
        return "{" + low + "}"
    return f"{'(['[interval.closed[0]]}{low},{high}{')]'[interval.closed[1]]}"


def _loose(value: Value) -> str | None:
    """A name under which only equal values stand, though equal ones may have others."""
    if isinstance(value, Scalar):
        unit = "" if value.unit is None else f" {value.unit.factor} {value.unit.dimensions}"
        other = "" if value.other is None else f" or{_loose(value.other)}"
        decimal = "" if value.decimal is None else f" {value.decimal.step}"
        return f"~{value.ratio.name}{'%' if value.percent else ''}{unit}{decimal}{other}"
    if isinstance(value, Sequence | Matrix):
        items = value.items if isinstance(value, Sequence) else tuple(entry for row in value.rows for entry in row)
        names = [_exact(item) or _loose(item) for item in items]
        if None in names:
            return None
        kept = [name for name in names if name is not None]
        if isinstance(value, Matrix):
            return f"~matrix {len(value.rows)} " + ";".join(kept)
        if value.brackets in ("set", "none"):
            kept = sorted(kept)
        return f"~{value.brackets} " + ";".join(kept)
    if isinstance(value, Named):
        inner = _exact(value.value) or _loose(value.value)
        return None if inner is None else f"~{value.name}={inner}"
    if isinstance(value, Relation):
        return f"~{value.sign} {value.left.name}"
    return f"~words {value.text}" if isinstance(value, Words) else None
