"""Are two answers equal? Decided by what they are, exactly; None where a computer algebra system must say.

`same` takes values as `reader.read` gives them. Things of different kinds are unequal here (5 is not {5}), except for
the pairs that people write for each other: x = 5 and 5, a pair and an open interval, a bare list and a set, a column
and a tuple.
"""

from __future__ import annotations

from fractions import Fraction

from teachable.verify.maths import inequalities, numeric, regions, relations
from teachable.verify.maths.algebra import LOG_UNIT, ONE, PI, Arithmetic, Atom, Ratio, Rational, Sum, ratio_of
from teachable.verify.maths.limits import MAX_ITEMS, TooLarge
from teachable.verify.maths.values import (
    Decimal,
    Matrix,
    Named,
    Region,
    Relation,
    Scalar,
    Sequence,
    Unit,
    Unknown,
    Value,
    Words,
)

_POUND = Fraction("0.45359237")
_MIN_DIGITS = 6
_UNORDERED = frozenset(("set", "none"))
_TUPLES = frozenset(("round", "angle"))
_CONSTANTS_OF_INTEGRATION = ("C", "c", "K", "k")


def same(a: Value, b: Value, arithmetic: Arithmetic) -> bool | None:
    """Whether two values are equal; None where that could not be told.

    Raises:
        TooLarge: the comparison would take too much work.
    """
    if isinstance(a, Unknown) or isinstance(b, Unknown):
        return None
    if isinstance(a, Scalar) and isinstance(b, Scalar):
        return _scalars(a, b, arithmetic)
    if isinstance(a, Named) or isinstance(b, Named):
        return _named(a, b, arithmetic)
    if isinstance(a, Relation) or isinstance(b, Relation):
        return _relations(a, b, arithmetic)
    if isinstance(a, Words) or isinstance(b, Words):
        return _words(a, b)
    if isinstance(a, Region) or isinstance(b, Region):
        left, right = relations.as_region(a, arithmetic), relations.as_region(b, arithmetic)
        if left is None or right is None or _is_bare(a) or _is_bare(b):
            return False
        return regions.same(left, right, arithmetic)
    if isinstance(a, Matrix) or isinstance(b, Matrix):
        return _matrices(a, b, arithmetic)
    if isinstance(a, Sequence) and isinstance(b, Sequence):
        return _sequences(a, b, arithmetic)
    return False


def _is_bare(a: Value) -> bool:
    return isinstance(a, Sequence) and a.brackets == "none"


def _words(a: Value, b: Value) -> bool:
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Words) and one.text == "no solution" and other == Sequence("set", ()):
            return True
        if isinstance(one, Words) and one.text == "all reals" and other == regions.EVERYTHING:
            return True
    return isinstance(a, Words) and isinstance(b, Words) and a.text == b.text


def _scalars(a: Scalar, b: Scalar, arithmetic: Arithmetic) -> bool | None:
    answer = _plain_scalars(a, b, arithmetic)
    if answer is not True and (a.other or b.other):
        if a.other is not None and (b.unit is not None or b.ratio.letters()):
            answer = _plain_scalars(a.other, b, arithmetic) or answer
        if answer is not True and b.other is not None and (a.unit is not None or a.ratio.letters()):
            answer = _plain_scalars(a, b.other, arithmetic) or answer
    return answer


def _plain_scalars(a: Scalar, b: Scalar, arithmetic: Arithmetic) -> bool | None:
    """Two expressions with their units, percent signs and decimals."""
    a, b = _in_radians(a, b, arithmetic), _in_radians(b, a, arithmetic)
    left, right = a.ratio, b.ratio
    if a.unit is not None and b.unit is not None:
        factors = _conversion(a.unit, b.unit)
        if factors is None:
            return False
        if factors[0] != factors[1]:
            a, b = _times(a, factors[0], arithmetic), _times(b, factors[1], arithmetic)
            left, right = a.ratio, b.ratio
    answer = _ratios(left, right, a.decimal, b.decimal, arithmetic)
    if answer is not True and a.percent is not b.percent:
        if a.percent:
            a = _times(a, Fraction(1, 100), arithmetic)
        else:
            b = _times(b, Fraction(1, 100), arithmetic)
        return _ratios(a.ratio, b.ratio, a.decimal, b.decimal, arithmetic) or answer
    return answer


def _in_radians(a: Scalar, b: Scalar, arithmetic: Arithmetic) -> Scalar:
    """Degrees as radians where the other side is in radians, or is a multiple of pi without a unit."""
    degrees, radians = (("degree", 1),), (("angle", 1),)
    if a.unit is None or a.unit.dimensions != degrees:
        return a
    if b.unit.dimensions != radians if b.unit is not None else not b.ratio.has(PI):
        return a
    turned = arithmetic.multiply(arithmetic.multiply(a.ratio, ratio_of(Fraction(1, 180))), Ratio({((PI, 1),): 1}))
    return Scalar(turned, unit=b.unit)


def _conversion(a: Unit, b: Unit) -> tuple[Fraction, Fraction] | None:
    """What to multiply each side by so that both are in base units; None where the units measure different things."""
    if a.dimensions == b.dimensions:
        return (Fraction(1), Fraction(1)) if a.factor == b.factor else (a.factor, b.factor)
    if {a.dimensions, b.dimensions} == {(("sterling", 1),), (("mass", 1),)} and _POUND in (a.factor, b.factor):
        return Fraction(1), Fraction(1)  # "5 pounds" may be money
    names_a, names_b = {name for name, _ in a.dimensions}, {name for name, _ in b.dimensions}
    if (names_a < names_b or names_b < names_a) and a.factor == b.factor == 1:
        return (Fraction(1), Fraction(1)) if names_a ^ names_b <= _nouns(a) | _nouns(b) else None
    return None


def _nouns(unit: Unit) -> set[str]:
    from_table = {"length", "mass", "time", "current", "amount", "dollar", "euro", "sterling", "yen"}
    return {name for name, _ in unit.dimensions} - from_table


def _times(a: Scalar, factor: Fraction, arithmetic: Arithmetic) -> Scalar:
    decimal = None if a.decimal is None else Decimal(a.decimal.digits, a.decimal.step * factor)
    return Scalar(arithmetic.multiply(a.ratio, ratio_of(factor)), decimal)


def _ratios(
    a: Ratio, b: Ratio, decimal_a: Decimal | None, decimal_b: Decimal | None, arithmetic: Arithmetic
) -> bool | None:
    number_a, number_b = a.rational, b.rational
    if number_a is not None and number_b is not None:
        if number_a == number_b:
            return True
        if decimal_a is not None and decimal_b is None:
            return _is_rounded(decimal_a, number_a, number_b)
        if decimal_b is not None and decimal_a is None:
            return _is_rounded(decimal_b, number_b, number_a)
        return False
    for decimal, number, other in ((decimal_a, number_a, b), (decimal_b, number_b, a)):
        if decimal is not None and number is not None and not other.letters():
            position = numeric.value(other, arithmetic)
            if position is not None:
                return _is_rounded_float(decimal, number, position)
    answer = arithmetic.same(a, b)
    if answer is None or (answer is False and (LOG_UNIT not in a.atoms() | b.atoms())):
        if answer is None:
            answer = numeric.equal_everywhere(a, b, arithmetic)
        if answer is not True:
            return _antiderivatives(a, b, arithmetic, answer)
    return answer


def _is_rounded(decimal: Decimal, written: Rational, exact: Rational) -> bool:
    """Whether a decimal is a value that no decimal equals, rounded or cut off, to enough digits."""
    if decimal.digits < _MIN_DIGITS or _is_decimal(exact):
        return False
    off = _size(exact) - _size(written)
    return (written > 0) is (exact > 0) and (_size(off) * 2 <= decimal.step or 0 <= off < decimal.step)


def _is_rounded_float(decimal: Decimal, written: Rational, exact: float) -> bool:
    if decimal.digits < _MIN_DIGITS:
        return False
    off = Fraction(abs(exact)) - _size(written)
    noise = Fraction(abs(exact)) / 10**14
    is_near = abs(off) * 2 <= decimal.step + noise or -noise <= off < decimal.step + noise
    return (written > 0) is (exact > 0) and is_near


def _size(number: Rational) -> Fraction:
    return Fraction(-number if number < 0 else number)


def _is_decimal(number: Rational) -> bool:
    """Whether some finite decimal equals it."""
    rest = number.denominator
    for p in (2, 5):
        while rest % p == 0:
            rest //= p
    return rest == 1


def _without_constant(a: Ratio) -> tuple[Ratio, str] | None:
    """An antiderivative without its + C, and the letter; None where nothing is one: C, c, K or k added once, alone."""
    if a.bottom is not ONE:
        return None
    for letter in _CONSTANTS_OF_INTEGRATION:
        term = ((Atom(letter), 1),)
        if a.top.get(term) == 1:
            rest: Sum = {t: c for t, c in a.top.items() if t != term}
            left = Ratio(rest)
            if left.letters() and letter not in left.letters():
                return left, letter
    return None


def _antiderivatives(a: Ratio, b: Ratio, arithmetic: Arithmetic, otherwise: bool | None) -> bool | None:
    """Forgives a + C that one side leaves out, or writes with another letter, and a number that goes into it."""
    found_a, found_b = _without_constant(a), _without_constant(b)
    constants = [found[1] for found in (found_a, found_b) if found is not None]
    if "C" not in constants:
        return otherwise
    left, right = (found_a or (a, ""))[0], (found_b or (b, ""))[0]
    answer = arithmetic.same(left, right)
    if answer is True:
        return True
    letters = left.letters() | right.letters()
    if len(constants) == 2 and len(letters) == 1:
        return numeric.differ_by_number(left, right, arithmetic)
    return numeric.equal_everywhere(left, right, arithmetic) if answer is None else answer


def _named(a: Value, b: Value, arithmetic: Arithmetic) -> bool | None:
    if isinstance(a, Named) and isinstance(b, Named):
        if a.name == b.name and isinstance(a.value, Scalar) is not isinstance(b.value, Scalar):
            pair = [Sequence("set", (v,)) if isinstance(v, Scalar) else v for v in (a.value, b.value)]
            return same(pair[0], pair[1], arithmetic)
        if a.name == b.name or any(one.name.startswith(("words:", "call:")) for one in (a, b)):
            return same(a.value, b.value, arithmetic)
        if a.equation is not None and b.equation is not None:
            return _equations(a.equation, b.equation, arithmetic)
        return False
    named, other = (a, b) if isinstance(a, Named) else (b, a)
    assert isinstance(named, Named)
    if isinstance(other, Relation):
        if named.equation is None:
            return _solution(other, named, arithmetic)
        return _equations(named.equation, other, arithmetic)
    if isinstance(other, Sequence) and other.brackets == "set" and isinstance(named.value, Scalar):
        return same(Sequence("set", (named.value,)), other, arithmetic)
    return same(named.value, other, arithmetic)


def _relations(a: Value, b: Value, arithmetic: Arithmetic) -> bool | None:
    if isinstance(a, Relation) and isinstance(b, Relation):
        return _equations(a, b, arithmetic)
    inequality, other = (a, b) if isinstance(a, Relation) else (b, a)
    assert isinstance(inequality, Relation)
    return _solution(inequality, other, arithmetic)


def _solution(relation: Relation, other: Value, arithmetic: Arithmetic) -> bool | None:
    """Whether a set of numbers (x in it, where it is named) is the solution of an inequality."""
    region = relations.as_region(other, arithmetic)
    if relation.sign == "=" or region is None or _is_bare(other):
        return False
    if isinstance(other, Named) and relation.left.letters() != {other.name}:
        return False
    return inequalities.solves(region, relation, arithmetic)


def _equations(a: Relation, b: Relation, arithmetic: Arithmetic) -> bool | None:
    if a.sign != b.sign:
        return None if "=" not in (a.sign, b.sign) else False
    answer = arithmetic.same(a.left, b.left)
    if answer is None:
        return numeric.equal_everywhere(a.left, b.left, arithmetic) or None
    return answer if answer or a.sign == "=" else None


def _matrices(a: Value, b: Value, arithmetic: Arithmetic) -> bool | None:
    rows_a, rows_b = _as_rows(a, b), _as_rows(b, a)
    if rows_a is None or rows_b is None or len(rows_a) != len(rows_b) or len(rows_a[0]) != len(rows_b[0]):
        return False
    pairs = [(x, y) for one, two in zip(rows_a, rows_b, strict=True) for x, y in zip(one, two, strict=True)]
    return _all(pairs, arithmetic)


def _as_rows(a: Value, like: Value) -> tuple[tuple[Value, ...], ...] | None:
    """A matrix's rows; a tuple is a column or a row, as the other side has it."""
    if isinstance(a, Matrix):
        return a.rows
    if not isinstance(a, Sequence) or not isinstance(like, Matrix) or not a.items:
        return None
    if len(like.rows[0]) == 1 and a.brackets in _TUPLES:
        return tuple((item,) for item in a.items)
    if len(like.rows) == 1 and a.brackets in ("round", "square", "angle"):
        return (a.items,)
    if a.brackets in ("round", "square") and all(isinstance(item, Sequence) for item in a.items):
        rows = tuple(
            item.items for item in a.items if isinstance(item, Sequence) and item.brackets in ("round", "square")
        )
        return rows if len(rows) == len(a.items) and len({len(row) for row in rows}) == 1 else None
    return None


def _all(pairs: list[tuple[Value, Value]], arithmetic: Arithmetic) -> bool | None:
    unsure = False
    for x, y in pairs:
        equal = same(x, y, arithmetic)
        if equal is False:
            return False
        unsure = unsure or equal is None
    return None if unsure else True


def _sequences(a: Sequence, b: Sequence, arithmetic: Arithmetic) -> bool | None:
    kinds = {a.brackets, b.brackets}
    if "ratio" in kinds:
        return a.brackets == b.brackets and _ratio_items(a, b, arithmetic)
    if "set" in kinds or kinds == {"none"}:
        return _unordered(a, b, arithmetic) if kinds <= _UNORDERED else False
    if kinds == {"square", "round"} and len(a.items) == 2:
        return False
    if len(a.items) != len(b.items):
        return False
    if all(isinstance(item, Named) for s in (a, b) if s.brackets == "none" for item in s.items):
        a, b = _by_name(a), _by_name(b)
    return _all(list(zip(a.items, b.items, strict=True)), arithmetic)


def _by_name(a: Sequence) -> Sequence:
    """x = 1, y = 2 in the order of the names, as the pair (1, 2) means it."""
    if a.brackets != "none":
        return a
    return Sequence("none", tuple(sorted(a.items, key=lambda item: item.name if isinstance(item, Named) else "")))


def _ratio_items(a: Sequence, b: Sequence, arithmetic: Arithmetic) -> bool | None:
    """Ratios and times, as written: 2:3 is not 4:6; "pm" on one side only is forgiven."""
    plain_a = [item for item in a.items if not isinstance(item, Words)]
    plain_b = [item for item in b.items if not isinstance(item, Words)]
    said_a = [item for item in a.items if isinstance(item, Words)]
    said_b = [item for item in b.items if isinstance(item, Words)]
    if len(plain_a) != len(plain_b) or (said_a and said_b and said_a != said_b):
        return False
    return _all(list(zip(plain_a, plain_b, strict=True)), arithmetic)


def _unordered(a: Sequence, b: Sequence, arithmetic: Arithmetic) -> bool | None:
    """Two sets: each member of either is in the other. A member said twice counts once, except in two bare lists."""
    if max(len(a.items), len(b.items)) > MAX_ITEMS:
        raise TooLarge(f"it has more than {MAX_ITEMS} members")
    if a.brackets == b.brackets == "none" and len(a.items) != len(b.items):
        return False
    unsure = False
    for ones, others in ((a.items, b.items), (b.items, a.items)):
        names = {_name(item) for item in others}
        names.discard(None)
        for item in ones:
            if (name := _name(item)) is not None and name in names:
                continue
            answers = [same(item, other, arithmetic) for other in others]
            if True in answers:
                continue
            if None not in answers:
                return False
            unsure = True
    return None if unsure else True


def _name(item: Value) -> str | None:
    return item.ratio.name if isinstance(item, Scalar) and item.unit is None and not item.percent else None
