"""Are two expressions equal as functions? Both are evaluated at points, and a clear difference at one of them decides.

Agreement at many points decides too, for the elementary functions that are evaluated here: two of them that are short
and agree to ten digits at a dozen points of different sizes and signs are equal but for coincidences that no answer
to a question hits upon (Schwartz 1980 and Zippel 1979 prove it for polynomials at random points; for the rest it is
experience). The points are fixed, so that a verdict is always the same.

Where a side has no real value at a point (a logarithm of a negative number), the point is passed over, so that 2 ln x
equals ln x^2. An unknown function f is taken for some smooth function that goes by its name.
Expressions with the imaginary unit are evaluated in complex numbers, at real points.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from teachable.verify.maths.algebra import PI, Arithmetic, Atom, E, I, Ratio, Sum
from teachable.verify.maths.limits import TooLarge

_AGREE = 1e-10
_DIFFER = 1e-6
_MIN_POINTS = 5
_LONGEST_NUMBER = 10**10
_LARGEST_CONSTANT = 1e9  # near-integers such as e^(pi sqrt(163)) differ from one by less than doubles hold
_BASES = (0.3719, 1.4142857, 2.7391, -0.6173, -1.8317, 5.2713, 0.9137, -3.4519, 11.317, 0.0471, 1.9173, -0.2391)
_WHOLES = (1, 2, 3, 4, 5, 7)
_STEP = 0.61803398875

Env = Mapping[str, float]


class _Undefined(ArithmeticError):
    """The expression has no value at this point."""


def equal_everywhere(a: Ratio, b: Ratio, arithmetic: Arithmetic) -> bool | None:
    """Whether a and b agree wherever both have a value; None where too few points tell.

    Raises:
        TooLarge: the evaluation would take too much work.
    """
    letters = sorted(a.letters() | b.letters())
    agreed = None if _is_extreme(a) or _is_extreme(b) else True
    is_complex = a.has(I) or b.has(I)
    lib: ModuleType = cmath if is_complex else math
    n_agree = 0
    for env in _points(letters):
        left = _value_at(a, env, lib, arithmetic)
        right = _value_at(b, env, lib, arithmetic)
        if left is None or right is None:
            continue
        apart = abs(left[0] - right[0])
        size = max(abs(left[0]), abs(right[0]))
        noise = 1e-13 * (left[1] + right[1])
        if apart > _DIFFER * size + noise and apart > 1e-290:
            return False
        if apart > _AGREE * size + noise:
            if not letters and size > 1e3 * noise:
                return False
            continue
        if noise > 1e-3 * size and size > 0:
            continue
        n_agree += 1
    if not letters and size > _LARGEST_CONSTANT:
        return None
    return agreed if n_agree >= (_MIN_POINTS if letters else 1) else None


def _is_extreme(a: Ratio) -> bool:
    """Whether numbers in it are so long that doubles may agree by their rounding alone."""
    for terms in (a.top, a.bottom):
        for term, c in terms.items():
            if max(abs(c.numerator), c.denominator) > _LONGEST_NUMBER:
                return True
            if any(isinstance(inner, Ratio) and _is_extreme(inner) for atom, _ in term for inner in atom.args):
                return True
    return False


def differ_by_number(a: Ratio, b: Ratio, arithmetic: Arithmetic) -> bool | None:
    """Whether a - b is the same number wherever both have a value; None where too few points tell."""
    letters = sorted(a.letters() | b.letters())
    apart: list[float] = []
    for env in _points(letters):
        left, right = _value_at(a, env, math, arithmetic), _value_at(b, env, math, arithmetic)
        if left is not None and right is not None:
            apart.append(left[0] - right[0])
            noise = 1e-9 * (abs(left[0]) + abs(right[0])) + 1e-13 * (left[1] + right[1])
            if abs(apart[-1] - apart[0]) > 2 * noise + 1e-9:
                return False
    return True if len(apart) >= _MIN_POINTS else None


def value_at(a: Ratio, env: Env, arithmetic: Arithmetic) -> tuple[float, float] | None:
    """The real value at a point, and the size of what it was summed up from; None where it has none."""
    return _value_at(a, env, math, arithmetic)


def value(a: Ratio, arithmetic: Arithmetic) -> float | None:
    """The real value of an expression without letters, or None where it has none that a float holds."""
    if a.letters():
        return None
    found = _value_at(a, {}, cmath if a.has(I) else math, arithmetic)
    if found is None or (isinstance(found[0], complex) and abs(found[0].imag) > 1e-12 * abs(found[0])):
        return None
    return float(found[0].real)


def _points(letters: list[str]) -> list[Env]:
    if not letters:
        return [{}]
    points: list[Env] = []
    for i in range(len(_BASES)):
        points.append({x: _BASES[(i + 5 * j) % len(_BASES)] * (1 + _STEP * j / 7) for j, x in enumerate(letters)})
    for i in range(len(_WHOLES)):
        points.append({x: float(_WHOLES[(i + 2 * j) % len(_WHOLES)]) for j, x in enumerate(letters)})
    for i in range(4):  # all positive, for what has a value only there
        points.append({x: 0.23 + i * 0.789 + ((j * _STEP + i * 0.37) % 1) * 1.7 for j, x in enumerate(letters)})
    return points


def _value_at(a: Ratio, env: Env, lib: ModuleType, arithmetic: Arithmetic) -> tuple[Any, float] | None:
    """The value and the size of the largest sum that it came out of (for the rounding error), or None."""
    try:
        found, size = _ratio(a, env, lib, arithmetic)
    except OverflowError:
        if not a.letters():
            raise TooLarge("its value is too large") from None
        return None
    except (ArithmeticError, ValueError, TypeError):
        return None
    return (found, size) if _is_finite(found) and math.isfinite(size) else None


def _is_finite(number: Any) -> bool:
    return cmath.isfinite(number)


def _ratio(a: Ratio, env: Env, lib: ModuleType, arithmetic: Arithmetic) -> tuple[Any, float]:
    top, top_size = _sum(a.top, env, lib, arithmetic)
    bottom, bottom_size = _sum(a.bottom, env, lib, arithmetic)
    if abs(bottom) <= 1e-12 * bottom_size:
        raise _Undefined
    found = top / bottom
    return found, (top_size + abs(found) * bottom_size) / abs(bottom)


def _sum(terms: Sum, env: Env, lib: ModuleType, arithmetic: Arithmetic) -> tuple[Any, float]:
    total: Any = 0.0
    size = 0.0
    arithmetic.spend(1 + len(terms) // 2)
    for term, c in terms.items():
        product: Any = float(c)
        worst = 1.0
        for atom, k in term:
            base, base_size = _atom(atom, env, lib, arithmetic)
            product *= _real_power(base, k, lib)
            if base:
                worst += abs(float(k)) * (base_size / abs(base))
        total += product
        size += abs(product) * worst
    return total, size


def _real_power(base: Any, k: Any, lib: ModuleType) -> Any:
    if k == 1:
        return base
    if isinstance(k, int):
        return base**k
    if lib is cmath:
        return base ** float(k)
    if base < 0:
        if k.denominator % 2 == 0:
            raise _Undefined
        size = (-base) ** float(k)
        return -size if k.numerator % 2 else size
    return base ** float(k)


def _atom(atom: Atom, env: Env, lib: ModuleType, arithmetic: Arithmetic) -> tuple[Any, float]:
    """The value of an atom, and its size for the rounding error."""
    kind = atom.kind
    if kind == "letter":
        return env[atom], abs(env[atom])
    if kind == "root":
        return float(str(atom.args[0])), 0.0
    if kind == "constant":
        if atom == PI:
            return math.pi, 0.0
        if atom == E:
            return math.e, 0.0
        raise _Undefined
    if kind == "imaginary":
        return 1j, 0.0
    if kind == "infinity":
        raise _Undefined
    arithmetic.spend(2)
    if kind == "lifted":
        return _lifted(atom, env, lib, arithmetic)
    inner = atom.args[-1]
    assert isinstance(inner, Ratio)
    argument, size = _ratio(inner, env, lib, arithmetic)
    if kind == "group":
        if abs(argument) < 1e-9 * size:
            raise _Undefined
        return argument, size
    found = _call(str(atom.args[0]), argument, lib)
    return found, abs(found) + size


def _lifted(atom: Atom, env: Env, lib: ModuleType, arithmetic: Arithmetic) -> tuple[Any, float]:
    base, exponent = atom.args
    if isinstance(base, Atom):
        number, _ = _atom(base, env, lib, arithmetic)
    elif isinstance(base, Ratio):
        number, _ = _ratio(base, env, lib, arithmetic)
    else:
        number = float(str(base))
    assert isinstance(exponent, Ratio)
    power, size = _ratio(exponent, env, lib, arithmetic)
    if lib is math and number < 0:
        if power != int(power) or abs(power) > 1e6:
            raise _Undefined
        return float(number) ** int(power), abs(float(number) ** int(power))
    found = number**power
    if lib is math and isinstance(found, complex):
        raise _Undefined
    return found, abs(found) * (1 + size)


_RECIPROCALS = {"sec": "cos", "csc": "sin", "cot": "tan", "sech": "cosh", "csch": "sinh", "coth": "tanh"}
_PLAIN = frozenset(
    ("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "exp")
)


def _call(name: str, x: Any, lib: ModuleType) -> Any:
    if name in _RECIPROCALS:
        return 1 / getattr(lib, _RECIPROCALS[name])(x)
    if name in _PLAIN:
        return getattr(lib, name)(x)
    if name == "ln":
        return lib.log(x)
    if name == "abs":
        return abs(x)
    if name == "acot":
        return math.pi / 2 - lib.atan(x)
    if name in ("asec", "acsc"):
        return lib.acos(1 / x) if name == "asec" else lib.asin(1 / x)
    if name == "conj":
        return x.conjugate()
    if name == "re":
        return x.real
    if name == "im":
        return x.imag
    if len(name) == 1:
        return lib.cos((0.1 + ord(name) / 97) * x + ord(name))
    if lib is math:
        if name in ("floor", "ceil"):
            if abs(x - round(x)) < 1e-9 and x != round(x):
                raise _Undefined
            return float(getattr(math, name)(x))
        if name == "sgn":
            return (x > 0) - (x < 0)
        if name == "fact":
            return math.gamma(x + 1)
    raise _Undefined
