"""Exact arithmetic of expressions: quotients of sums of terms, each a rational number times powers of atoms.

An atom is a letter, pi, e, the imaginary unit, the root of a prime, or a thing that is not taken apart (a sine, a
power with a sum under it). A `Ratio` is a quotient of two such sums. The powers of primes keep their exponents
between 0 and 1 (what is over goes into the coefficient), so that sqrt(8) and 2 sqrt(2) are the same term; products of
such roots of distinct exponents are linearly independent over the rationals (Besicovitch 1940, On the linear
independence of fractional powers of integers), so that sums of them are equal only when they are the same.

All work is counted by the `Arithmetic` that does it, and too much raises `TooLarge`.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TypeAlias

from teachable.verify.maths.limits import MAX_BITS, MAX_WORK, TooLarge, Unread

Rational: TypeAlias = int | Fraction
Monomial: TypeAlias = tuple[tuple["Atom", Rational], ...]
Sum: TypeAlias = dict[Monomial, Rational]


class Atom(str):
    """A thing with a name that powers are taken of. Two atoms of the same name are the same.

    `kind` is "letter", "constant" (pi, e), "imaginary", "root" (of a prime: `args` is the prime), "group" (a sum that
    is not taken apart: `args` is a Ratio), "call" (`args` is the function's name and its argument, a Ratio), "lifted"
    (a base to a power that is no rational: `args` is the base, an Atom, an int or a Ratio, and the exponent, a
    Ratio).
    """

    kind: str
    args: tuple[object, ...]
    __slots__ = ("args", "kind")

    def __new__(cls, name: str, kind: str = "letter", args: tuple[object, ...] = ()) -> Atom:
        atom = super().__new__(cls, name)
        atom.kind = kind
        atom.args = args
        return atom


PI = Atom("#pi", "constant")
E = Atom("#e", "constant")
I = Atom("#i", "imaginary")  # noqa: E741 - the field's name for it
INFINITY = Atom("#inf", "infinity")
LOG_UNIT = Atom("#log", "letter")
"""One over the natural logarithm of the base that "log" without a base means: unknown, so a letter."""

ONE_TERM: Monomial = ()
ONE: Sum = {(): 1}


class Ratio:
    """`top` over `bottom`; never changed once made. The same value may have several forms (see `Arithmetic.same`)."""

    __slots__ = ("_name", "bottom", "top")

    def __init__(self, top: Sum, bottom: Sum = ONE) -> None:
        self.top = top
        self.bottom = bottom
        self._name: str | None = None

    @property
    def name(self) -> str:
        """A text that is the same for two ratios only when they are equal."""
        if self._name is None:
            self._name = _name(self.top) if self.bottom is ONE else f"({_name(self.top)})/({_name(self.bottom)})"
        return self._name

    @property
    def rational(self) -> Rational | None:
        """The value when it is a rational number, else None."""
        if self.bottom is not ONE or len(self.top) > 1:
            return None
        if not self.top:
            return 0
        return self.top.get(ONE_TERM)

    @property
    def single(self) -> tuple[Monomial, Rational] | None:
        """The only term, where the ratio has one and no bottom."""
        return next(iter(self.top.items())) if self.bottom is ONE and len(self.top) == 1 else None

    def atoms(self) -> set[Atom]:
        """The atoms of its terms, not those within other atoms."""
        return {atom for terms in (self.top, self.bottom) for term in terms for atom, _ in term}

    def letters(self) -> set[str]:
        """The letters anywhere in it, also within functions, roots and exponents."""
        found: set[str] = set()
        for atom in self.atoms():
            if atom.kind == "letter":
                found.add(atom)
            for arg in atom.args:
                if isinstance(arg, Ratio):
                    found |= arg.letters()
                elif isinstance(arg, Atom) and arg.kind == "letter":
                    found.add(arg)
        return found

    def has(self, wanted: Atom) -> bool:
        """Whether an atom stands anywhere in it."""
        return any(
            atom == wanted or any(isinstance(arg, Ratio) and arg.has(wanted) for arg in atom.args)
            for atom in self.atoms()
        )

    def __repr__(self) -> str:
        return f"Ratio({self.name})"


def _name(terms: Sum) -> str:
    parts = []
    for term, coefficient in sorted(terms.items()):
        parts.append("*".join([str(coefficient), *(a if k == 1 else f"{a}^{k}" for a, k in term)]))
    return "+".join(parts) or "0"


def ratio_of(number: Rational) -> Ratio:
    """A rational number as a ratio."""
    return Ratio({(): number} if number else {})


def ratio_of_atom(atom: Atom, exponent: Rational = 1) -> Ratio:
    """An atom, or a power of it, as a ratio."""
    return Ratio({((atom, exponent),): 1})


def is_independent(atoms: Iterable[Atom]) -> bool:
    """Whether sums of powers of these atoms are equal only when they are the same term by term.

    Proven for roots of primes, the imaginary unit and letters; for pi and e together believed (Schanuel's conjecture).
    """
    return all(atom.kind in ("root", "letter", "constant", "imaginary", "infinity") for atom in atoms)


def prime_of(atom: Atom) -> int:
    """The prime whose root an atom is."""
    prime = atom.args[0]
    assert isinstance(prime, int)
    return prime


def bits_of(number: Rational) -> int:
    """The size of a rational number: the bits of its larger part."""
    if isinstance(number, int):
        return number.bit_length()
    return max(number.numerator.bit_length(), number.denominator.bit_length())


class Arithmetic:
    """Sums, products and quotients of ratios, counted in units of work.

    Raises (all methods):
        TooLarge: the work or the size of a number passes a bound.
        Unread: a division by zero.
    """

    __slots__ = ("left",)

    def __init__(self, work: int = MAX_WORK) -> None:
        self.left = work

    def spend(self, units: int) -> None:
        """Count work, before it is done."""
        self.left -= units
        if self.left < 0:
            raise TooLarge("the expression is too long to work out")

    def add(self, a: Ratio, b: Ratio) -> Ratio:
        """a + b"""
        if a.bottom is b.bottom or a.bottom == b.bottom:
            return self._reduced(self._add(a.top, b.top), a.bottom)
        top = self._add(self._times(a.top, b.bottom), self._times(b.top, a.bottom))
        return self._reduced(top, self._times(a.bottom, b.bottom))

    def negative(self, a: Ratio) -> Ratio:
        """-a"""
        self.spend(len(a.top))
        return Ratio({term: -c for term, c in a.top.items()}, a.bottom)

    def subtract(self, a: Ratio, b: Ratio) -> Ratio:
        """a - b"""
        return self.add(a, self.negative(b))

    def multiply(self, a: Ratio, b: Ratio) -> Ratio:
        """a b"""
        if a.bottom is ONE and b.bottom is ONE:
            return Ratio(self._times(a.top, b.top))
        return self._reduced(self._times(a.top, b.top), self._times(a.bottom, b.bottom))

    def divide(self, a: Ratio, b: Ratio) -> Ratio:
        """a / b"""
        if not b.top:
            raise Unread("a division by zero")
        return self._reduced(self._times(a.top, b.bottom), self._times(a.bottom, b.top))

    def whole_power(self, a: Ratio, n: int) -> Ratio:
        """a to an integer power, multiplied out. The caller has made sure that the result is small."""
        if n < 0:
            return self.whole_power(self.divide(ratio_of(1), a), -n)
        result, square = ratio_of(1), a
        while n:
            if n & 1:
                result = self.multiply(result, square)
            n >>= 1
            if n:
                square = self.multiply(square, square)
        return result

    def difference(self, a: Ratio, b: Ratio) -> Sum:
        """The sum that is zero exactly where a = b: a's top times b's bottom, less the other way round."""
        left, right = self._times(a.top, b.bottom), self._times(b.top, a.bottom)
        return self._add(left, {term: -c for term, c in right.items()})

    def same(self, a: Ratio, b: Ratio) -> bool | None:
        """Whether a = b as far as arithmetic alone can tell; None where atoms that may depend on each other differ."""
        rest = self.difference(a, b)
        if not rest:
            return True
        return False if is_independent({atom for term in rest for atom, _ in term}) else None

    def _add(self, a: Sum, b: Sum) -> Sum:
        self.spend(len(a) + len(b))
        result = dict(a)
        for term, c in b.items():
            total = result.get(term, 0) + c
            if total:
                result[term] = total
            else:
                result.pop(term, None)
        return result

    def _times(self, a: Sum, b: Sum) -> Sum:
        if a is ONE:
            return b
        if b is ONE:
            return a
        self.spend(2 * len(a) * len(b) + 1)
        result: Sum = {}
        for term_a, c_a in a.items():
            for term_b, c_b in b.items():
                c = c_a * c_b
                if term_a and term_b:
                    term, extra = self.join(term_a, term_b)
                    c *= extra
                else:
                    term = term_a or term_b
                if bits_of(c) > MAX_BITS:
                    raise TooLarge("a number in it has too many digits")
                total = result.get(term, 0) + c
                if total:
                    result[term] = total
                else:
                    result.pop(term, None)
        return result

    def join(self, a: Monomial, b: Monomial) -> tuple[Monomial, Rational]:
        """The product of two monomials: what remains of the atoms, and the number that drops out."""
        self.spend(len(a) + len(b))
        exponents: dict[Atom, Rational] = dict(a)
        extra: Rational = 1
        for atom, k in b:
            exponents[atom] = exponents.get(atom, 0) + k
        for atom, _ in b:
            k = exponents[atom]
            if isinstance(k, Fraction) and k.denominator == 1:
                exponents[atom] = k = k.numerator
            if atom.kind == "root":
                whole = k.__floor__()
                if whole:
                    extra = extra * power_of_rational(prime_of(atom), whole)
                    exponents[atom] = k = k - whole
            elif atom.kind == "imaginary" and isinstance(k, int):
                extra = -extra if k % 4 >= 2 else extra
                exponents[atom] = k = k % 2
            if not k:
                del exponents[atom]
        return tuple(sorted(exponents.items())), extra

    def settled(self, term: Monomial) -> tuple[Monomial, Rational]:
        """A monomial with the exponents of roots and of i brought into their ranges, and the number that drops out."""
        settled: Monomial = ()
        extra: Rational = 1
        for factor in term:
            settled, more = self.join(settled, (factor,))
            extra = extra * more
        return settled, extra

    def _reduced(self, top: Sum, bottom: Sum) -> Ratio:
        """A ratio whose bottom is 1 where it has but one term, and else has a leading coefficient of 1."""
        if bottom is ONE:
            return Ratio(top)
        if not bottom:
            raise Unread("a division by zero")
        if not top:
            return Ratio(top)
        if len(bottom) == 1:
            ((term, c),) = bottom.items()
            inverse, extra = self.settled(tuple((atom, -k) for atom, k in term))
            return Ratio(self._times(top, {inverse: Fraction(extra) / c}))
        lead = bottom[min(bottom)]
        if top.keys() == bottom.keys():
            quotient = Fraction(top[min(bottom)]) / lead
            if all(top[term] == quotient * c for term, c in bottom.items()):
                return ratio_of(quotient)
        if lead == 1:
            return Ratio(top, bottom)
        self.spend(len(top) + len(bottom))
        return Ratio(
            {t: Fraction(c) / lead for t, c in top.items()}, {t: Fraction(c) / lead for t, c in bottom.items()}
        )


def power_of_rational(base: Rational, n: int) -> Rational:
    """A rational number to an integer power.

    Raises:
        TooLarge: the result has more than MAX_BITS bits, which is checked first.
        Unread: zero to a power that is not positive.
    """
    if base == 0 and n <= 0:
        raise Unread("zero to the power of zero or less")
    if base in (0, 1, -1):
        return base if n % 2 else base * base
    if bits_of(base) * abs(n) > MAX_BITS + bits_of(base):
        raise TooLarge("a power in it has too many digits")
    return base**n if n >= 0 else Fraction(1, 1) / Fraction(base) ** -n
