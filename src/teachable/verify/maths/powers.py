"""Powers, roots, logarithms and the other functions, exactly where that is possible.

Roots of rational numbers come apart into roots of primes; powers of e, of primes and of letters to an exponent that
is no rational come apart into one atom for each term of the exponent, so that 4^n = 2^{2n} and 2^{n+1} = 2 2^n are
seen without more ado. What does not come apart stays whole, and is left to `numeric`.

An odd root of a negative number is the real one, as at school: the cube root of -8 is -2.
"""

from __future__ import annotations

import math
from fractions import Fraction

from teachable.verify.maths.algebra import (
    LOG_UNIT,
    ONE,
    PI,
    Arithmetic,
    Atom,
    E,
    I,
    Ratio,
    Rational,
    Sum,
    bits_of,
    power_of_rational,
    prime_of,
    ratio_of,
    ratio_of_atom,
)
from teachable.verify.maths.limits import MAX_BITS, TooLarge, Unread

_TRIAL_PRIMES = tuple(p for p in range(2, 1000) if all(p % q for q in range(2, math.isqrt(p) + 1)))
_MAX_TERMS = 400
_MAX_FACTORIAL = 1200
_HALF = Fraction(1, 2)


def factored(n: int, arithmetic: Arithmetic) -> dict[int, int]:
    """The factors of a positive integer and their exponents; what trial division up to 1,000 leaves is the last factor.

    The last factor is prime when it is less than a million, and else may be composite.
    """
    factors: dict[int, int] = {}
    arithmetic.spend(20 + n.bit_length())
    for p in _TRIAL_PRIMES:
        if p * p > n:
            break
        while n % p == 0:
            n //= p
            factors[p] = factors.get(p, 0) + 1
    if n > 1:
        root = math.isqrt(n)
        if root * root == n:
            factors[root] = factors.get(root, 0) + 2
        else:
            factors[n] = factors.get(n, 0) + 1
    return factors


def power(a: Ratio, exponent: Ratio, arithmetic: Arithmetic) -> Ratio:
    """a to any exponent.

    Raises:
        TooLarge: the result passes a bound.
        Unread: zero to a power that is not positive.
    """
    q = exponent.rational
    if q is None:
        return _lifted_power(a, exponent, arithmetic)
    if isinstance(q, Fraction) and q.denominator == 1:
        q = q.numerator
    if bits_of(q) > 64:
        raise TooLarge("an exponent in it is too large")
    if q == 1:
        return a
    if not a.top:
        if q <= 0:
            raise Unread("zero to the power of zero or less")
        return a
    if isinstance(q, int):
        return _whole_power(a, q, arithmetic)
    return _broken_power(a, q, arithmetic)


def _whole_power(a: Ratio, n: int, arithmetic: Arithmetic) -> Ratio:
    single = a.single
    if single is not None:
        term, c = single
        raised, extra = arithmetic.settled(tuple((atom, k * n) for atom, k in term))
        c = power_of_rational(c, n) * extra
        return Ratio({raised: c})
    n_terms = max(len(a.top), len(a.bottom))
    size = max(map(bits_of, [*a.top.values(), *a.bottom.values()]))
    if abs(n) <= 60 and math.comb(abs(n) + n_terms - 1, n_terms - 1) <= _MAX_TERMS and size * abs(n) <= MAX_BITS:
        return arithmetic.whole_power(a, n)
    if is_constant(a) and abs(n) > 60:
        raise TooLarge("a power in it is too large")
    return ratio_of_atom(Atom(f"({a.name})", "group", (a,)), n)


def _broken_power(a: Ratio, q: Fraction, arithmetic: Arithmetic) -> Ratio:
    """a to a power that is no integer: the number in front comes out, then each atom, then the rest as a group."""
    if a.bottom is not ONE:
        over, under = Ratio(a.top), Ratio(a.bottom)
        return arithmetic.divide(_broken_power(over, q, arithmetic), _broken_power(under, q, arithmetic))
    single = a.single
    content = single[1] if single is not None else _content(list(a.top.values()), arithmetic)
    inner: Ratio = Ratio({term: c / Fraction(content) for term, c in a.top.items()})
    result = _root_of_rational(content, q, arithmetic)
    rest: list[tuple[Atom, Rational]] = []
    if single is None:
        return arithmetic.multiply(result, ratio_of_atom(Atom(f"({inner.name})", "group", (inner,)), q))
    for atom, k in single[0]:
        if _may_be_raised(atom, k, q):
            raised, extra = arithmetic.settled(((atom, k * q),))
            result = arithmetic.multiply(result, Ratio({raised: extra}))
        else:
            rest.append((atom, k))
    if rest:
        inner = Ratio({tuple(rest): 1})
        if inner.name == I and q == _HALF:  # the principal root of i
            half = power(ratio_of(2), ratio_of(-_HALF), arithmetic)
            return arithmetic.multiply(arithmetic.multiply(result, half), arithmetic.add(ratio_of(1), ratio_of_atom(I)))
        result = arithmetic.multiply(result, ratio_of_atom(Atom(f"({inner.name})", "group", (inner,)), q))
    return result


def _may_be_raised(atom: Atom, k: Rational, q: Fraction) -> bool:
    """Whether (atom^k)^q is atom^(k q) for all real values of its letters for which both are real."""
    if atom.kind in ("root", "constant"):
        return True
    if atom.kind == "lifted":
        base = atom.args[0]
        return isinstance(base, int) or base == E
    odd_inside = isinstance(k, int) and k % 2 == 1
    return atom.kind in ("letter", "group") and odd_inside


def _content(coefficients: list[Rational], arithmetic: Arithmetic) -> Rational:
    """The largest positive rational number that leaves integers without a common factor."""
    arithmetic.spend(len(coefficients))
    return Fraction(math.gcd(*(c.numerator for c in coefficients)), math.lcm(*(c.denominator for c in coefficients)))


def _root_of_rational(c: Rational, q: Fraction, arithmetic: Arithmetic) -> Ratio:
    """c^q for a rational number c other than zero."""
    if c < 0:
        size = _root_of_rational(-c, q, arithmetic)
        if q.denominator % 2:
            return arithmetic.negative(size) if q.numerator % 2 else size
        if q.denominator == 2:
            return arithmetic.multiply(size, Ratio(dict([arithmetic.settled(((I, q.numerator),))])))
        raise Unread("an even root of a negative number")
    result = ratio_of(1)
    for n, sign in ((c.numerator, 1), (c.denominator, -1)):
        for p, k in factored(n, arithmetic).items() if n > 1 else ():
            exponent = k * q * sign
            if bits_of(exponent) > 64 or abs(exponent) * p.bit_length() > MAX_BITS:
                raise TooLarge("a power in it has too many digits")
            result = arithmetic.multiply(result, _root_of_factor(p, exponent, arithmetic))
    return result


def _root_of_factor(p: int, exponent: Fraction, arithmetic: Arithmetic) -> Ratio:
    if p < 1_000_000:
        atom = Atom(f"#{p}", "root", (p,))
        term, extra = arithmetic.settled(((atom, exponent),))
        return Ratio({term: extra})
    whole = exponent.__floor__()  # not known to be prime: independent of the other roots as far as anybody knows
    outside = ratio_of(power_of_rational(p, whole))
    rest = exponent - whole
    if not rest:
        return outside
    return arithmetic.multiply(outside, ratio_of_atom(Atom(f"({p})", "group", (ratio_of(p),)), rest))


def _lifted_power(a: Ratio, exponent: Ratio, arithmetic: Arithmetic) -> Ratio:
    """a to an exponent that is no rational number: one atom for each term of the exponent."""
    if not a.top:
        raise Unread("zero to an unknown power")
    number = a.rational
    single = a.single
    if exponent.bottom is not ONE:
        if number == 1:
            return a
        lifted: Atom | Ratio = E if single == (((E, 1),), 1) else a
        return ratio_of_atom(Atom(f"<{a.name}>^<{exponent.name}>", "lifted", (lifted, exponent)))
    if number is not None and number > 0:
        result = ratio_of(1)
        for n, sign in ((number.numerator, 1), (number.denominator, -1)):
            for p, k in factored(n, arithmetic).items() if n > 1 else ():
                result = arithmetic.multiply(result, _lifted(p, exponent, k * sign, arithmetic))
        return result
    if single is not None and single[1] == 1 and len(single[0]) == 1:
        base, times = single[0][0]
        if base == E or (base.kind == "letter" and times == 1):
            return _lifted(base, exponent, times, arithmetic)
    return ratio_of_atom(Atom(f"<{a.name}>^<{exponent.name}>", "lifted", (a, exponent)))


def _lifted(base: int | Atom, exponent: Ratio, times: Rational, arithmetic: Arithmetic) -> Ratio:
    result = ratio_of(1)
    for term, c in exponent.top.items():
        k = c * times
        if not term:
            plain = ratio_of(base) if isinstance(base, int) else ratio_of_atom(base)
            factor = power(plain, ratio_of(k), arithmetic)
        elif base == E and set(term) == {(I, 1), (PI, 1)} and 12 % Fraction(k).denominator == 0:
            turns = Fraction(k)
            imaginary = arithmetic.multiply(_sine(turns, arithmetic), ratio_of_atom(I))
            factor = arithmetic.add(_sine(turns + _HALF, arithmetic), imaginary)
        else:
            inner = Ratio({term: 1})
            factor = ratio_of_atom(Atom(f"<{base}>^<{inner.name}>", "lifted", (base, inner)), k)
        result = arithmetic.multiply(result, factor)
    return result


def is_constant(a: Ratio) -> bool:
    """Whether no letter stands in it."""
    return not a.letters()


def root(a: Ratio, degree: Ratio, arithmetic: Arithmetic) -> Ratio:
    """The root of a degree, such as 2 or 3."""
    return power(a, arithmetic.divide(ratio_of(1), degree), arithmetic)


def factorial(n: Rational, step: int = 1) -> Rational:
    """n! (step 1) or n!! (step 2) of a small whole number.

    Raises:
        TooLarge: n is over 1,200.
        Unread: n is no whole number, or negative.
    """
    if n.denominator != 1 or n < 0:
        raise Unread("a factorial of no whole number")
    if n > _MAX_FACTORIAL:
        raise TooLarge("a factorial in it is too large")
    return math.prod(range(int(n), 0, -step))


def binomial(n: Rational, k: Rational) -> Rational:
    """The number of ways to choose k of n.

    Raises:
        TooLarge: it may have more than MAX_BITS bits.
        Unread: not two whole numbers.
    """
    if n.denominator != 1 or k.denominator != 1 or n < 0:
        raise Unread("a binomial coefficient of no whole numbers")
    if k < 0 or k > n:
        return 0
    few = min(int(k), int(n - k))
    if few * max(n.numerator.bit_length(), 1) > MAX_BITS:
        raise TooLarge("a binomial coefficient in it is too large")
    return math.comb(int(n), few)


def of_several(name: str, numbers: list[Rational]) -> Rational:
    """The gcd, lcm, max or min of numbers.

    Raises:
        Unread: the gcd or lcm of what are no whole numbers.
    """
    if name in ("max", "min"):
        return max(numbers) if name == "max" else min(numbers)
    if any(number.denominator != 1 for number in numbers):
        raise Unread(f"the {name} of what are no whole numbers")
    wholes = [int(number) for number in numbers]
    return math.gcd(*wholes) if name == "gcd" else math.lcm(*wholes)


def symbolic_binomial(n: Ratio, k: Ratio, arithmetic: Arithmetic) -> Ratio:
    """The binomial coefficient of expressions: a polynomial where k is a small number, else by factorials."""
    few = k.rational
    if few is not None and few.denominator == 1 and 0 <= few <= 10:
        result = ratio_of(Fraction(1, math.factorial(int(few))))
        for i in range(int(few)):
            result = arithmetic.multiply(result, arithmetic.subtract(n, ratio_of(i)))
        return result
    over = call("fact", n, arithmetic)
    under = arithmetic.multiply(call("fact", k, arithmetic), call("fact", arithmetic.subtract(n, k), arithmetic))
    return arithmetic.divide(over, under)


def logarithm(a: Ratio, base: Ratio | None, arithmetic: Arithmetic) -> Ratio:
    """The logarithm; base None is "log" without a base, which is the natural one times an unknown number."""
    natural = _natural_logarithm(a, arithmetic)
    if base is None:
        return arithmetic.multiply(natural, ratio_of_atom(LOG_UNIT))
    return arithmetic.divide(natural, _natural_logarithm(base, arithmetic))


def _natural_logarithm(a: Ratio, arithmetic: Arithmetic) -> Ratio:
    if not a.top:
        raise Unread("the logarithm of zero")
    number = a.rational
    result = ratio_of(0)
    if number is not None and number > 0:
        for n, sign in ((number.numerator, 1), (number.denominator, -1)):
            for p, k in factored(n, arithmetic).items() if n > 1 else ():
                atom = Atom(f"ln({p})", "call", ("ln", ratio_of(p)))
                result = arithmetic.add(result, Ratio({((atom, 1),): k * sign}))
        return result
    single = a.single
    if single is not None and single[1] > 0 and all(atom.kind in ("root", "constant") for atom, _ in single[0]):
        result = _natural_logarithm(ratio_of(single[1]), arithmetic)
        for base, times in single[0]:
            inner = ratio_of(prime_of(base)) if base.kind == "root" else ratio_of_atom(base)
            log = ratio_of(1) if base == E else ratio_of_atom(Atom(f"ln({inner.name})", "call", ("ln", inner)))
            result = arithmetic.add(result, arithmetic.multiply(log, ratio_of(times)))
        return result
    if single is not None and single[1] == 1 and len(single[0]) == 1:
        power_of_e, times = single[0][0]
        if power_of_e.kind == "lifted" and power_of_e.args[0] == E:
            exponent = power_of_e.args[1]
            assert isinstance(exponent, Ratio)
            return arithmetic.multiply(exponent, ratio_of(times))
    return ratio_of_atom(Atom(f"ln({a.name})", "call", ("ln", a)))


def call(name: str, a: Ratio, arithmetic: Arithmetic) -> Ratio:
    """A function of one argument: sin and its kin, abs, floor, ceil, conj; others stay as they are."""
    arithmetic.spend(5)
    number = a.rational
    if number is not None and name == "abs":
        return ratio_of(-number if number < 0 else number)
    if number is not None and name in ("floor", "ceil"):
        return ratio_of(math.floor(number) if name == "floor" else math.ceil(number))
    if name == "exp":
        return power(ratio_of_atom(E), a, arithmetic)
    if name in ("sin", "cos", "tan", "sec", "csc", "cot"):
        turns = _in_pi(a)
        if turns is not None:
            exact = _circular(name, turns, arithmetic)
            if exact is not None:
                return exact
    return ratio_of_atom(Atom(f"{name}({a.name})", "call", (name, a)))


def _in_pi(a: Ratio) -> Fraction | None:
    """a / pi where that is a multiple of 1/12, else None."""
    if not a.top:
        return Fraction(0)
    single = a.single
    if single is None or single[0] != ((PI, 1),):
        return None
    turns = Fraction(single[1])
    return turns if 12 % turns.denominator == 0 and bits_of(turns) < 64 else None


def _circular(name: str, turns: Fraction, arithmetic: Arithmetic) -> Ratio | None:
    sine, cosine = _sine(turns, arithmetic), _sine(turns + _HALF, arithmetic)
    one = ratio_of(1)
    over, under = {
        "sin": (sine, one),
        "cos": (cosine, one),
        "tan": (sine, cosine),
        "cot": (cosine, sine),
        "sec": (one, cosine),
        "csc": (one, sine),
    }[name]
    return arithmetic.divide(over, under)


def _sine(turns: Fraction, arithmetic: Arithmetic) -> Ratio:
    """sin(pi turns) for a multiple of 1/12."""
    twelfth = int(turns * 12) % 24
    sign = 1
    if twelfth >= 12:
        twelfth, sign = twelfth - 12, -1
    twelfth = min(twelfth, 12 - twelfth)
    quarter = Fraction(sign, 4)
    six = (_SQRT_2, _SQRT_3)
    by_twelfth: dict[int, Sum] = {
        0: {},
        1: {six: quarter, (_SQRT_2,): -quarter},
        2: {(): 2 * quarter},
        3: {(_SQRT_2,): 2 * quarter},
        4: {(_SQRT_3,): 2 * quarter},
        5: {six: quarter, (_SQRT_2,): quarter},
        6: {(): 4 * quarter},
    }
    arithmetic.spend(2)
    return Ratio(by_twelfth[twelfth])


_SQRT_2: tuple[Atom, Rational] = (Atom("#2", "root", (2,)), _HALF)
_SQRT_3: tuple[Atom, Rational] = (Atom("#3", "root", (3,)), _HALF)
