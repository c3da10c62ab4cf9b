"""Equations, inequalities and named values: what a relation of terms is, and how several of them join.

A name alone on a side (x = 5, f(x) = 2x, Area = 12) names the other side. An equation of anything else is its
difference, up to a factor. Linear inequalities in one letter are solved here: they are sets of real numbers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence as Several
from fractions import Fraction
from typing import Protocol

from teachable.verify.maths import numeric, regions, words
from teachable.verify.maths.algebra import INFINITY, ONE, Arithmetic, Atom, I, Ratio, Sum, ratio_of, ratio_of_atom
from teachable.verify.maths.limits import Unread
from teachable.verify.maths.tokens import Token
from teachable.verify.maths.values import Interval, Named, Region, Relation, Scalar, Sequence, Value, Words

_DERIVATIVE = re.compile(r"frac(?:d[A-Za-z]|d\^(\d)[A-Za-z])d[A-Za-z](?:\^\1)?")
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_INEQUALITIES = frozenset(("<", ">", "<=", ">=", "!="))
_NUMBER_SETS = {"Z": Words("integers"), "N": Words("natural numbers"), "Q": Words("rational numbers")}


class TermReader(Protocol):
    """What is needed of `reader.Reader`: it reads the terms that the relation signs part."""

    arithmetic: Arithmetic

    def part(self, tokens: list[Token]) -> Value: ...

    def term(self, tokens: list[Token]) -> Value: ...

    def expression(self, tokens: Several[Token]) -> Ratio: ...


def relation(parts: list[list[Token]], signs: list[str], reader: TermReader) -> Value:
    """What terms joined by relation signs are.

    Raises:
        TooLarge, Unread.
    """
    if signs == ["in"]:
        value = reader.part(parts[1])
        found = as_region(value, reader.arithmetic)
        name = name_of(parts[0])
        if found is not None and name is not None:
            return Named(name, value)
        raise Unread("membership of what is no set of numbers")
    if all(sign in ("=", "~") for sign in signs):
        return _equality(parts, signs, reader)
    if all(sign in _INEQUALITIES for sign in signs):
        return _inequality(parts, signs, reader)
    raise Unread("relations of several kinds in one")


def name_of(tokens: list[Token]) -> str | None:
    """The name that tokens are: a letter (with a subscript or primes), f(x), capital letters (AB), or words."""
    if not tokens:
        return None
    kinds = {token.kind for token in tokens}
    if kinds <= {"words", "letter"} and "words" in kinds:
        return "words:" + words.folded(" ".join(token.text for token in tokens))
    if (
        tokens[0].kind == "letter"
        and tokens[0].text in ("e", "i", "\\pi", "\\infty", "\\emptyset")
        and len(tokens) == 1
    ):
        return None
    if tokens[0].text == tokens[-1].text == "round" and all(t.kind in ("letter", "comma") for t in tokens[1:-1]):
        return "words:" + "".join(token.text for token in tokens[1:-1])
    if kinds == {"letter", "sign"} and all(token.text == ":" for token in tokens if token.kind == "sign"):
        return "words:" + "".join(token.text for token in tokens)
    if kinds == {"letter"}:
        letters = "".join(token.text for token in tokens)
        return letters if len(tokens) == 1 or letters.removeprefix("m").isupper() or tokens[0].text == "d" else None
    if _DERIVATIVE.fullmatch("".join(token.text for token in tokens if token.text != "brace")):
        return "call:derivative"
    if tokens[0].kind == "command" and tokens[0].text not in ("frac", "sqrt", "surd", "cbrt", "fourthroot", "binom"):
        return (
            "".join(t.text for t in tokens)
            if all(t.kind in ("command", "open", "close", "letter") for t in tokens)
            else None
        )
    if tokens[0].kind != "letter" or tokens[0].text in ("e", "i", "\\pi"):
        return None
    at = 1
    while at < len(tokens) and tokens[at].text == "'":
        at += 1
    if at < len(tokens) and tokens[at].text == "_":
        at += 1
        if at < len(tokens) and tokens[at].kind == "open":
            while at < len(tokens) and tokens[at].kind != "close":
                at += 1
        at += 1
    if [token.text for token in tokens[at : at + 5]] == ["^", "brace", "-", "1", "brace"]:
        at += 5
    name = "".join(token.text for token in tokens[:at] if token.text != "brace")
    if at >= len(tokens):
        return name if at == len(tokens) else None
    inside = tokens[at + 1 : -1]
    if tokens[at].text == "round" and tokens[-1].text == "round" and all(t.kind in ("letter", "comma") for t in inside):
        return "call:" + name
    return None


def _equality(parts: list[list[Token]], signs: list[str], reader: TermReader) -> Value:
    name = name_of(parts[0])
    if name is not None:
        about = next((i for i, sign in enumerate(signs) if sign == "~" and i > 0), len(signs))
        return _named(name, parts[0], parts[about], reader)
    if len(parts) == 2:
        last = name_of(parts[1])
        if last is not None and not last.startswith("words:"):
            return _named(last, parts[1], parts[0], reader)
    if signs[0] == "~":
        return reader.term(parts[0])
    try:
        left = reader.term(parts[0])
    except Unread:
        if len(parts) == 2 and parts[0][0].kind in ("letter", "words", "function"):
            return Named("words:" + "".join(token.text for token in parts[0]), reader.term(parts[1]))
        raise
    values = [left, *(reader.term(part) for part in parts[1:])]
    if not all(isinstance(value, Scalar) for value in values):
        raise Unread("an equation of other things than numbers")
    sides = [value.ratio for value in values if isinstance(value, Scalar)]
    if any(INFINITY in side.atoms() for side in sides):
        raise Unread("an equation with infinity")
    arithmetic = reader.arithmetic
    if not any(side.letters() for side in sides):
        for side in sides[1:]:
            equal = arithmetic.same(sides[0], side)
            if equal is None:
                equal = numeric.equal_everywhere(sides[0], side, arithmetic)
            if not equal:
                break
        return values[-1]
    if len(sides) > 2:
        if any(side.letters() for side in sides[1:]):
            raise Unread("an equation of more than two expressions")
        return Named("words:" + sides[0].name, values[-1])
    if _is_call(sides[0]) and not sides[1].letters():
        return Named("words:" + sides[0].name, values[1])
    stated = None if sides[1].letters() or not sides[1].top else values[1]
    whole = equation(sides[0], sides[1], arithmetic)
    return Relation("=", whole.left, stated if isinstance(stated, Scalar) else None)


def _is_call(side: Ratio) -> bool:
    """Whether a side is one function's value, as in |AB| = 5, which names the other side."""
    single = side.single
    if single is None or single[1] != 1 or len(single[0]) != 1:
        return False
    atom, k = single[0][0]
    return k == 1 and atom.kind == "call" and atom.args[0] not in ("ln", "fact")


def _named(name: str, name_tokens: list[Token], value_tokens: list[Token], reader: TermReader) -> Value:
    value = reader.term(value_tokens)
    if name.startswith(("words:", "call:")) or not isinstance(value, Scalar):
        return Named(name, value)
    letter = reader.expression(name_tokens)
    if INFINITY in value.ratio.atoms() or letter.single is None:
        return Named(name, value)
    whole = equation(letter, value.ratio, reader.arithmetic)
    return whole if letter.letters() & value.ratio.letters() else Named(name, value, whole)


def equation(left: Ratio, right: Ratio, arithmetic: Arithmetic) -> Relation:
    """left = right as its difference, without a bottom and with a leading coefficient of 1."""
    rest = arithmetic.difference(left, right)
    if not rest:
        return Relation("=", ratio_of(0))
    lead = Fraction(rest[min(rest)])
    return Relation("=", Ratio({term: c / lead for term, c in rest.items()}))


def _inequality(parts: list[list[Token]], signs: list[str], reader: TermReader) -> Value:
    arithmetic = reader.arithmetic
    values = [reader.term(part) for part in parts]
    if not all(isinstance(value, Scalar) for value in values):
        raise Unread("an inequality of other things than numbers")
    sides = [value.ratio for value in values if isinstance(value, Scalar)]
    letters = set().union(*(side.letters() for side in sides))
    found: list[tuple[str, Ratio]] = []
    solved: list[Region | None] = []
    for left, sign, right in zip(sides, signs, sides[1:], strict=False):
        if INFINITY in right.atoms() or INFINITY in left.atoms():
            if sign not in ("<", ">", "<=", ">="):
                raise Unread("infinity in an inequality")
            continue
        difference = arithmetic.subtract(left, right)
        found.append((sign, difference))
        solved.append(_half_line(sign, difference, arithmetic) if len(letters) == 1 else None)
    if len(letters) == 1 and all(region is not None for region in solved):
        whole = regions.EVERYTHING
        for region in solved:
            assert region is not None
            whole = regions.intersection(whole, region, arithmetic)
        return Named(letters.pop(), whole)
    if len(found) != 1 or not letters:
        raise Unread("an inequality that is not solved here")
    return _scaled(*found[0])


def _half_line(sign: str, difference: Ratio, arithmetic: Arithmetic) -> Region | None:
    """Where a x + b is below, above or not zero, for numbers a and b; None where the difference is not of this form."""
    if difference.bottom is not ONE or difference.has(I):
        return None
    letters = difference.letters()
    slope, rest = {}, {}
    for term, c in difference.top.items():
        with_letter = [k for atom, k in term if atom.kind == "letter"]
        if with_letter == [1]:
            slope[tuple((atom, k) for atom, k in term if atom.kind != "letter")] = c
        elif any(atom.kind == "letter" or (atom.args and _depends(atom, letters)) for atom, _ in term):
            return None
        else:
            rest[term] = c
    if not slope:
        return None
    at = arithmetic.divide(arithmetic.negative(Ratio(rest)), Ratio(slope))
    rise = numeric.value(Ratio(slope), arithmetic)
    if rise is None or rise == 0:
        return None
    if sign == "!=":
        return regions.without(regions.EVERYTHING, Region((regions.point(at),)), arithmetic)
    if rise < 0:
        sign = _TURNED[sign]
    closed = sign.endswith("=")
    low = sign.startswith(">")
    interval = Interval(at, None, (closed, False)) if low else Interval(None, at, (False, closed))
    return Region((interval,))


def _depends(atom: Atom, letters: set[str]) -> bool:
    return bool(ratio_of_atom(atom).letters() & letters)


def _scaled(sign: str, difference: Ratio) -> Relation:
    """An inequality that is not solved, with zero on the right, pointing left, its leading coefficient 1 or -1."""
    if not difference.top:
        raise Unread("an inequality that says nothing")
    turned = sign.startswith(">")
    lead = abs(Fraction(difference.top[min(difference.top)])) * (-1 if turned else 1)
    if sign == "!=":
        lead = Fraction(difference.top[min(difference.top)])
    top: Sum = {term: c / lead for term, c in difference.top.items()}
    return Relation(_TURNED[sign] if turned else sign, Ratio(top, difference.bottom))


def joined(items: Several[Value], joints: Several[str], arithmetic: Arithmetic) -> Value | None:
    """Inequalities of the same letter joined by "or" (union), "and" or commas (intersection); None for other things."""
    names = {item.name for item in items if isinstance(item, Named) and isinstance(item.value, Region)}
    if not all(isinstance(item, Named) and isinstance(item.value, Region) for item in items) or len(names) != 1:
        if all(isinstance(item, Region) for item in items) and "or" in joints:
            names = {""}
        else:
            return None
    found: Region | None = None
    parts = [as_region(item, arithmetic) for item in items]
    for how in (regions.union, regions.intersection) if "or" in joints else (regions.intersection, regions.union):
        found = None
        for part in parts:
            assert part is not None
            found = part if found is None else how(found, part, arithmetic)
        if found is not None and found.intervals:
            break
    if found is None:
        return None
    name = names.pop()
    return Named(name, found) if name else found


def number_set(tokens: list[Token]) -> Value | None:
    r"""\mathbb{R} as a set of real numbers; \mathbb{Z} and its like by their names."""
    texts = [token.text for token in tokens if token.text != "brace"]
    if texts[:1] == ["mathbb"] and len(texts) == 2:
        return regions.EVERYTHING if texts[1] == "R" else _NUMBER_SETS.get(texts[1])
    return None


def as_region(value: Value, arithmetic: Arithmetic) -> Region | None:
    """The set of real numbers that a value is, where it is one: an interval written as a pair, a set of numbers, ..."""
    if isinstance(value, Region):
        return value
    if isinstance(value, Named):
        return as_region(value.value, arithmetic)
    if not isinstance(value, Sequence) or not all(isinstance(item, Scalar) for item in value.items):
        return None
    ends = [item.ratio for item in value.items if isinstance(item, Scalar)]
    if value.brackets == "set" or (value.brackets == "none" and not any(end.letters() for end in ends)):
        return regions.region([regions.point(end) for end in ends], arithmetic)
    if value.brackets in ("round", "square") and len(ends) == 2:
        closed = value.brackets == "square"
        return regions.region([Interval(ends[0], ends[1], (closed, closed))], arithmetic)
    return None


def as_set(region: Region) -> Value:
    """A region of single points as the set that it is; any other as it stands."""
    if all(one.low is not None and one.low is one.high for one in region.intervals):
        return Sequence("set", tuple(Scalar(one.low) for one in region.intervals if one.low is not None))
    return region
