"""Is a set of real numbers the solution of an inequality in one letter that is not linear? Decided at points.

The ends of the set, points close to them on both sides, points between them and many others are put into the
inequality: it must hold at exactly those that are in the set. A solution set whose ends lie elsewhere differs at one
of them.
"""

from __future__ import annotations

from itertools import pairwise

from teachable.verify.maths import numeric
from teachable.verify.maths.algebra import Arithmetic, I
from teachable.verify.maths.limits import Unread
from teachable.verify.maths.regions import ends_of
from teachable.verify.maths.values import Region, Relation

_NEAR = 1e-4
_FIXED = (-1003.7, -97.3, *(0.137 + 1.618034 * k for k in range(-12, 13)), 88.9, 1009.1)


def solves(region: Region, relation: Relation, arithmetic: Arithmetic) -> bool | None:
    """Whether the inequality holds at exactly the numbers of the set; None where its points cannot be tried.

    Raises:
        TooLarge: it would take too much work.
    """
    letters = relation.left.letters()
    if len(letters) != 1 or relation.sign == "=" or relation.left.has(I):
        return None
    (letter,) = letters
    try:
        spans = [(*ends_of(one, arithmetic), one.closed) for one in region.intervals]
    except Unread:
        return None
    ends = sorted({end for low, high, _ in spans for end in (low, high) if abs(end) != float("inf")})
    points = [*ends, *_FIXED, *((a + b) / 2 for a, b in pairwise(ends))]
    for end in ends:
        step = _NEAR * (1 + abs(end))
        points.extend((end - step, end + step, end - 1, end + 1))
    for x in points:
        holds = _holds(relation, letter, x, arithmetic)
        inside = any(
            low < x < high or (x == low and closed[0]) or (x == high and closed[1]) for low, high, closed in spans
        )
        if holds is not inside:
            return False
    return True


def _holds(relation: Relation, letter: str, x: float, arithmetic: Arithmetic) -> bool:
    found = numeric.value_at(relation.left, {letter: x}, arithmetic)
    if found is None:
        return False
    value, size = found
    is_zero = abs(value) <= 1e-9 * size
    if relation.sign == "!=":
        return not is_zero
    return relation.sign == "<=" if is_zero else value < 0
