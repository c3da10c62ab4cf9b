"""Sets of real numbers: unions of intervals, put in order and merged where their ends can be put in order."""

from __future__ import annotations

from collections.abc import Iterable

from teachable.verify.maths import numeric
from teachable.verify.maths.algebra import Arithmetic, Ratio
from teachable.verify.maths.limits import Unread
from teachable.verify.maths.values import Interval, Region

EVERYTHING = Region((Interval(None, None, (False, False)),))
_INFINITE = float("inf")


def ends_of(interval: Interval, arithmetic: Arithmetic) -> tuple[float, float]:
    """Where an interval starts and ends, as floats.

    Raises:
        Unread: an end is no real number, or larger than a float holds.
    """
    low = -_INFINITE if interval.low is None else _position(interval.low, arithmetic)
    high = _INFINITE if interval.high is None else _position(interval.high, arithmetic)
    return low, high


def _position(end: Ratio, arithmetic: Arithmetic) -> float:
    number = end.rational
    if number is not None:
        try:
            return float(number)
        except OverflowError as error:
            raise Unread("an interval whose end is too large") from error
    position = numeric.value(end, arithmetic)
    if position is None:
        raise Unread("an interval whose ends are no numbers")
    return position


def region(intervals: Iterable[Interval], arithmetic: Arithmetic) -> Region:
    """The union of intervals: empty ones left out, in order, and those that touch merged.

    Raises:
        Unread: several intervals with an end that is no real number, so that they cannot be put in order.
    """
    given = list(intervals)
    if len(given) == 1 and any(e is not None and e.letters() for e in (given[0].low, given[0].high)):
        return Region(tuple(given))
    found: list[tuple[float, float, Interval]] = []
    for interval in given:
        low, high = ends_of(interval, arithmetic)
        if low < high or (low == high and all(interval.closed)):
            found.append((low, high, interval))
    found.sort(key=lambda one: (one[0], not one[2].closed[0]))
    merged: list[tuple[float, float, Interval]] = []
    for low, high, interval in found:
        if merged:
            before_low, before_high, before = merged[-1]
            if low < before_high or (low == before_high and (before.closed[1] or interval.closed[0])):
                if high > before_high or (high == before_high and interval.closed[1]):
                    joined = Interval(before.low, interval.high, (before.closed[0], interval.closed[1]))
                    merged[-1] = (before_low, max(high, before_high), joined)
                continue
        merged.append((low, high, interval))
    return Region(tuple(interval for _, _, interval in merged))


def union(a: Region, b: Region, arithmetic: Arithmetic) -> Region:
    """All that is in a or in b."""
    return region((*a.intervals, *b.intervals), arithmetic)


def intersection(a: Region, b: Region, arithmetic: Arithmetic) -> Region:
    """All that is in a and in b."""
    parts: list[Interval] = []
    arithmetic.spend(4 * len(a.intervals) * len(b.intervals))
    for one in a.intervals:
        for two in b.intervals:
            low_one, high_one = ends_of(one, arithmetic)
            low_two, high_two = ends_of(two, arithmetic)
            lower = max((low_one, not one.closed[0], 0), (low_two, not two.closed[0], 1))
            upper = min((high_one, one.closed[1], 0), (high_two, two.closed[1], 1))
            low, high = (one, two)[lower[2]], (one, two)[upper[2]]
            parts.append(Interval(low.low, high.high, (low.closed[0], high.closed[1])))
    return region(parts, arithmetic)


def without(a: Region, b: Region, arithmetic: Arithmetic) -> Region:
    """All that is in a but not in b."""
    for hole in b.intervals:
        left = Interval(None, hole.low, (False, not hole.closed[0]))
        right = Interval(hole.high, None, (not hole.closed[1], False))
        rest = [part for part, end in ((left, hole.low), (right, hole.high)) if end is not None]
        a = intersection(a, Region(tuple(rest)), arithmetic)
    return a


def point(at: Ratio) -> Interval:
    """The interval of one number."""
    return Interval(at, at, (True, True))


def same(a: Region, b: Region, arithmetic: Arithmetic) -> bool | None:
    """Whether two regions, merged and in order, are equal; None where an end could not be compared."""
    if len(a.intervals) != len(b.intervals):
        return False
    unsure = False
    for one, two in zip(a.intervals, b.intervals, strict=True):
        if one.closed != two.closed:
            return False
        for end_one, end_two in ((one.low, two.low), (one.high, two.high)):
            if end_one is None or end_two is None:
                if end_one is not end_two:
                    return False
                continue
            equal = arithmetic.same(end_one, end_two)
            if equal is None:
                equal = numeric.equal_everywhere(end_one, end_two, arithmetic)
            if equal is False:
                return False
            unsure = unsure or equal is None
    return None if unsure else True
