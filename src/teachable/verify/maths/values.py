"""What an answer can be, once it is read: the nouns that `compare` decides on. All are immutable and hashable by
name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, TypeAlias

from teachable.verify.maths.algebra import Ratio, Rational, ratio_of


@dataclass(frozen=True, slots=True)
class Decimal:
    """How a decimal was written: `digits` significant ones, the last of which is worth `step`."""

    digits: int
    step: Fraction


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit: exponents of base units by name, and how many of the product of the base units one of it is."""

    dimensions: tuple[tuple[str, Rational], ...]
    factor: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number or an expression, with its unit; `percent` where a percent sign stood; `decimal` where it is a decimal.

    `other` is a second way to read it (5m as five metres), for a comparison with something that has a unit.
    """

    ratio: Ratio
    decimal: Decimal | None = None
    percent: bool = False
    unit: Unit | None = None
    other: Scalar | None = None


Brackets: TypeAlias = Literal["set", "round", "square", "angle", "none", "ratio"]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Several values: {..} "set", (..) "round", [..] "square", <..> "angle", without brackets "none", 2:3 "ratio"."""

    brackets: Brackets
    items: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`, where None is without end; `closed` says of each end whether it belongs to it."""

    low: Ratio | None
    high: Ratio | None
    closed: tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class Region:
    """A union of intervals of real numbers (single points among them), in order and apart where that could be told."""

    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of equal length."""

    rows: tuple[tuple[Scalar, ...], ...]


@dataclass(frozen=True, slots=True)
class Named:
    """x = value: a name, and what it stands for. `equation` is the whole, for a comparison with another form of it."""

    name: str
    value: Value
    equation: Relation | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """left sign 0, with sign one of = < <= != ; > is turned round.

    `stated` is the number on the right of an equation as it was written (m + n = 7), where it is not zero.
    """

    sign: str
    left: Ratio
    stated: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Words:
    """An answer in words, with case, articles and punctuation folded."""

    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """An answer that was not read; a computer algebra system may know better. `why` is a clause."""

    why: str
    letters: frozenset[str] = field(default_factory=frozenset)


Value: TypeAlias = Scalar | Sequence | Region | Matrix | Named | Relation | Words | Unknown


def number(value: Rational) -> Scalar:
    """A rational number as a value."""
    return Scalar(ratio_of(value))
