"""What a worker does with a pair of answers: read both with math-verify's grammar, compare them with its grader.

Loaded by `worker.py` alone, inside a process that can be killed; nothing else imports it, as it imports sympy.

Where this departs from `math_verify.parse` and `math_verify.verify` (0.9), and why:

- Answers go straight to the LaTeX grammar (`latex2sympy2_extended`, antlr). math-verify's extraction also tries text as
  a Python expression (`sympy.parse_expr`, which ends in `eval`), and `sympy.Number(text)` ends there too. Numbers are
  read by `_number` here, and sympy's parser of Python is replaced by a refusal, so that no answer's text is evaluated.
- A decimal is the fraction that it writes. With floats rounded to six places, 0.0000001 equals 0.
- Symbols keep their case, and units are left alone: `X` is not `x`, and 5 m is not 5 cm.
- `strict=True`: with `strict=False` variables are matched by position, and x + 1 equals y + 1. Sets and inequalities
  may be compared in both directions (`allow_set_relation_comp=True`).
- Two expressions are compared at random points first: a difference at a point where both are real decides, and so does
  agreement to `MAX_DIGITS` digits at `N_POINTS`. That settles nearly every pair without `simplify`, which is the slow
  part of math-verify. Points where a value is not real do not count (unless `i` occurs), so ln(x^2) = 2 ln x.
- An equation and a plain value are compared only where the equation has a single variable on a side: 2x + z = 5 is
  not 5.
- Running out of memory or of stack means "could not tell", where math-verify catches it and says unequal.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import latex2sympy2_extended.latex2sympy2 as reader
import math_verify.grader as grader
import sympy
import sympy.physics.units  # loads late otherwise, and needs sympy's own parser
from math_verify.parser import should_treat_as_complex
from sympy import Basic, Eq, MatrixBase, Rational
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.parsing import sympy_parser

N_DIGITS = 40  # decimal digits of a value
MAX_DIGITS = 400  # that a difference is computed with before it counts as zero
N_POINTS = 5  # points that must agree
N_TRIED = 20  # points tried until so many count
MAX_EXPONENT = 5000  # of scientific notation
_NEAR = sympy.Float(10, N_DIGITS) ** -(N_DIGITS - 12)

_NORMAL = reader.NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none")
_AS_WRITTEN = reader.ConversionConfig(lowercase_symbols=False)
_NUMBER = re.compile(r"([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]+))?", re.ASCII)
_DECIMAL = re.compile(r"([+-]?)([0-9]*)\.([0-9]+)(?:\\ldots|\\dots|\.\.\.|…)?", re.ASCII)
_UNDONE = (sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit, sympy.Derivative)
# Read as products and quotients otherwise: 1 000 as 0, 2:3 as 2/3. After a letter or an index it is one: \log_2 8.
_AMBIGUOUS = re.compile(r"(?<![_^0-9.A-Za-z])[0-9.]+(?:(?:\s|\\,|\\ |~)+|\s*:\s*)[0-9]")
_ANGLED = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")  # where degrees are part of the value
_COULD_NOT_READ = "the computer algebra system could not read the {}"


class Undecided(BaseException):
    """No verdict can be had. Not an Exception, because the libraries catch those and take them for "unequal"."""


def compare(reference: str, attempt: str) -> tuple[bool | None, str, bool]:
    """Are both answers the same?

    Args:
        reference: LaTeX without a box and without dollar signs.
        attempt: likewise.

    Returns:
        The verdict, or None where there is none; a reason; and whether that came of the pair alone: if not, memory was
        short, and this process should not go on.
    """
    random.seed(0)
    try:
        gold, value = _read(reference), _read(attempt)
        if gold is None or value is None:
            return None, _COULD_NOT_READ.format("reference" if gold is None else "attempt"), True
        equal = _equal(gold, value, reference, attempt)
        return equal, "equal by computer algebra" if equal else "not equal by computer algebra", True
    except MemoryError:
        return None, "comparing them took too much memory", False
    except Undecided as why:
        return None, str(why), "memory" not in str(why)
    except RecursionError:
        return None, "comparing them nests too deeply", True
    except Exception as error:  # a fault of a library says nothing about the answer
        return None, f"the computer algebra system failed ({type(error).__name__})", True


def warm_up() -> None:
    """Compare one pair of each common kind, so that what loads late is loaded once, before the first fork."""
    matrix = r"\begin{pmatrix} 1 & 2 \\ 3 & x \end{pmatrix}"
    pairs = [
        ("x^2+2x+1", "(x+1)^2"),
        (r"\frac{\sqrt{3}}{2}", r"\sin{\frac{\pi}{3}}"),
        ("(1, 2]", "1 < x \\leq 2"),
        (r"\{1, a\}", "1, a"),
        (matrix, matrix),
        ("y = 2x + 1", "2y = 4x + 2"),
        (r"(-\infty, 1) \cup (2, \infty)", r"(2, \infty) \cup (-\infty, 1)"),
        (r"e^{i\pi}", "-1"),
        (r"\log_2(x)", r"\frac{\ln x}{\ln 2}"),
        (r"\binom{n}{2}", r"\frac{n!}{2(n-2)!}"),
        ("x^2 = 4", "x = 2"),
        ("f(x) = x + 3", "x + 4"),
    ]
    for reference, attempt in pairs:
        compare(reference, attempt)
    sympy.simplify(sympy.sin(sympy.Symbol("x")) ** 2 + 1)


def _read(text: str) -> Any:
    """The answer as sympy sees it, or None."""
    if _AMBIGUOUS.search(text):
        return None
    try:
        normal = reader.normalize_latex(text.replace("\\varnothing", "\\emptyset"), config=_NORMAL)
        value = reader.latex2sympy(
            normal,
            is_real=not should_treat_as_complex(normal),
            convert_degrees=_ANGLED.search(text) is not None,
            normalization_config=None,
            conversion_config=_AS_WRITTEN,
        )
    except (MemoryError, RecursionError):
        raise
    except Exception:  # the grammar's way to say no
        return None
    if not isinstance(value, Basic | MatrixBase):
        return None
    if value.has(sympy.Sum, sympy.Product):
        return value  # `i` is an index there
    return value.xreplace({symbol: sympy.I for symbol in value.free_symbols if str(symbol) == "i"})


def _equal(gold: Any, value: Any, reference: str, attempt: str) -> bool:
    """math-verify's grader, after what it would get wrong."""
    rounded = _rounded(reference, value) if _is_decimal(reference) else _rounded(attempt, gold)
    if rounded is not None:
        return rounded
    gold, value = _unwrapped(gold, value), _unwrapped(value, gold)
    if (
        isinstance(gold, Eq) != isinstance(value, Eq)
        and not isinstance(gold, sympy.Set)
        and not isinstance(value, sympy.Set)
    ):
        return False
    if _in_braces(gold, reference) != _in_braces(value, attempt) and not (_is_list(gold) and _is_list(value)):
        return False
    return bool(
        grader.verify(gold, value, strict=True, allow_set_relation_comp=True, timeout_seconds=None, raise_on_error=True)
    )


def _is_decimal(text: str) -> bool:
    return _DECIMAL.fullmatch(text.strip()) is not None


def _rounded(text: str, value: Any) -> bool | None:
    """Is the constant this decimal, or does it become so by rounding or cutting off to six significant digits or more?

    The latter only for a constant that no decimal writes: 0.333333 is 1/3, but 0.1 is not 0.10000001. None where the
    text is no decimal, or the value no real constant.
    """
    match = _DECIMAL.fullmatch(text.strip())
    if match is None or not isinstance(value, sympy.Expr) or value.free_symbols or not value.is_number:
        return None
    unit = Rational(1, 10 ** len(match[3]))
    written = Rational(int(match[2] + match[3])) * unit * (-1 if match[1] == "-" else 1)
    if _sampled(value, written):
        return True
    digits = (match[2] + match[3]).lstrip("0")
    exact = _at(value, {}, N_DIGITS + len(digits))
    if exact is None or not exact.is_real:
        return None
    off = exact - written
    is_cut = bool(0 <= off * (1 if written >= 0 else -1) < unit)
    if len(digits) < 6 or not (is_cut or bool(abs(off) <= unit / 2)):
        return False
    value = value.doit()
    return not (value.is_Rational and set(sympy.factorint(value.q, limit=10)) <= {2, 5})


def _unwrapped(one: Any, other: Any) -> Any:
    """The value of `x = value`, where the other side is no equation; of a chain, the value at its end."""
    if isinstance(other, Relational | reader.And) or not isinstance(one, Eq | reader.And):
        return one
    if isinstance(one, reader.And):
        if not all(isinstance(part, Eq) for part in one._unsorted_args):
            return one
        one = Eq(one._unsorted_args[0].lhs, one._unsorted_args[-1].rhs, evaluate=False)
    if _is_name(one.lhs):
        return one.rhs
    return one.lhs if _is_name(one.rhs) else one


def _is_name(value: Any) -> bool:
    """A variable, or a function of variables: what stands on one side of a definition."""
    if isinstance(value, AppliedUndef):
        return all(_is_name(argument) for argument in value.args)
    return isinstance(value, sympy.Symbol) or (isinstance(value, sympy.Tuple) and all(map(_is_name, value.args)))


def _in_braces(value: Any, text: str) -> bool:
    """A set written in braces: neither its element nor a tuple nor an interval equals it."""
    return isinstance(value, sympy.FiniteSet) and "\\{" in text


def _is_list(value: Any) -> bool:
    """Several values: in braces, or without any brackets."""
    return isinstance(value, sympy.FiniteSet)


# What replaces parts of the grader and of the reader.


def _symbolic(left: Any, right: Any, *_: Any) -> bool:
    """Are two expressions or matrices equal, entry by entry, as real functions of their symbols?"""
    try:
        if isinstance(left, MatrixBase | sympy.MatrixExpr) or isinstance(right, MatrixBase | sympy.MatrixExpr):
            return _same_matrix(left.doit(), right.doit())
        if not isinstance(left, sympy.Expr) or not isinstance(right, sympy.Expr):
            return bool(left == right)
        sampled = _sampled(left, right)
        return bool(sympy.simplify(left - right).is_zero) if sampled is None else sampled
    except MemoryError:
        raise Undecided("comparing them took too much memory") from None
    except RecursionError:
        raise Undecided("comparing them nests too deeply") from None
    except (AttributeError, TypeError, ValueError, NotImplementedError, ZeroDivisionError):
        return False


def _same_matrix(left: Any, right: Any) -> bool:
    if not isinstance(left, MatrixBase) or not isinstance(right, MatrixBase) or left.shape != right.shape:
        return False
    return all(_symbolic(one, other) for one, other in zip(left.flat(), right.flat(), strict=True))


def _sampled(left: Any, right: Any) -> bool | None:
    """Compare values at random points: False at the first difference, True after enough agreement, else None."""
    left, right = _with_symbols(left), _with_symbols(right)
    if left.has(*_UNDONE) or right.has(*_UNDONE):
        left, right = left.doit(), right.doit()
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    difference = left - right
    want_real = not (left.has(sympy.I) or right.has(sympy.I))
    n_agreed = 0
    for point in _points(symbols):
        one, other, between = (_at(expr, point, 15) for expr in (left, right, difference))
        if one is None or other is None or between is None:
            continue
        if want_real and symbols and not (one.is_real and other.is_real):
            continue
        if not _is_zero(between):
            if difference.has(*_UNDONE) and abs(between) < 1e-9 * (abs(one) + abs(other)):
                raise Undecided("they differ by no more than an integral or a sum was computed to")
            return False
        n_agreed += 1
        if n_agreed == N_POINTS or not symbols:
            return True
    return None


def _with_symbols(expr: Any) -> Any:
    """The expression with a symbol for each unknown function's value, so that it can be evaluated."""
    return expr.replace(lambda part: isinstance(part, AppliedUndef), lambda part: sympy.Symbol(str(part), real=True))


def _points(symbols: list[Any]) -> Iterator[dict[Any, Any]]:
    """Points to compare at, the same for every pair of answers: all above zero, all below, mixed, and so on."""
    chance = random.Random(1)
    for number in range(N_TRIED if symbols else 1):
        signs = [(1, -1, chance.choice((1, -1)))[number % 3] for _ in symbols]
        yield {
            symbol: Rational(sign * chance.randrange(1, 60_000), 20_011)
            for sign, symbol in zip(signs, symbols, strict=True)
        }


def _is_zero(value: Any) -> bool:
    """Whether a number from `_at` is zero as far as `MAX_DIGITS` show: sympy then gives it one bit of precision."""
    parts = value.as_real_imag()
    return all(part == 0 or (isinstance(part, sympy.Float) and part._prec <= 4) for part in parts)


def _at(expr: Any, point: dict[Any, Any], n_digits: int = N_DIGITS) -> Any:
    """The value at a point to so many digits, or zero to `MAX_DIGITS`; None where there is none."""
    try:
        value = expr.evalf(n_digits, subs=point, maxn=MAX_DIGITS) if point else expr.evalf(n_digits, maxn=MAX_DIGITS)
    except MemoryError:
        raise
    except (ArithmeticError, AttributeError, TypeError, ValueError, NotImplementedError, RecursionError):
        return None
    parts = value.as_real_imag() if isinstance(value, sympy.Expr) else ()
    return value if parts and all(part.is_Number and part.is_finite for part in parts) else None


def _compare_symbols(gold: Any, value: Any) -> bool:
    """A name against a name or a product: case counts, and `abc` is the name or the product of its letters."""
    for one, other in ((gold, value), (value, gold)):
        if isinstance(one, sympy.Symbol) and isinstance(other, sympy.Mul):
            letters = [argument.name if isinstance(argument, sympy.Symbol) else "" for argument in other.args]
            if all(letters) and sorted(one.name) == sorted("".join(letters)):
                return True
    return _symbolic(gold, value)


def _relations(gold: Any, value: Any, *precision: int) -> bool:
    """Relations whose sides' differences are in a constant ratio; else math-verify's own comparison by solving."""
    if isinstance(gold, Relational) and isinstance(value, Relational):
        ratio = _constant_ratio(gold, value)
        if ratio is not None and (ratio > 0 or isinstance(gold, Eq | sympy.Ne)):
            return type(gold) is type(value)
        if ratio is not None:
            return grader.INVERSE_RELATIONS.get(type(gold)) is type(value)
        if isinstance(gold, Eq) and isinstance(value, Eq) and gold.free_symbols != value.free_symbols:
            return False
    return bool(_compare_relational(gold, value, *precision))


def _constant_ratio(gold: Any, value: Any) -> Any:
    """What gold's left side minus right side is of value's, if that is one non-zero number everywhere; else None."""
    try:
        left, right = _with_symbols(gold.lhs - gold.rhs), _with_symbols(value.lhs - value.rhs)
    except (AttributeError, TypeError):
        return None
    ratio, n_agreed = None, 0
    for point in _points(sorted(left.free_symbols | right.free_symbols, key=str)):
        one, other = _at(left, point), _at(right, point)
        if one is None or other is None or not (one.is_real and other.is_real) or one == 0 or other == 0:
            continue
        ratio = one / other if ratio is None else ratio
        if abs(one / other - ratio) > _NEAR * abs(ratio):
            return None
        n_agreed += 1
        if n_agreed == N_POINTS:
            return ratio
    return None


def _solve_and_compare(gold: Any, value: Any, *precision: int) -> bool:
    """math-verify's, except that two equations without a solution are not equal for that."""
    if isinstance(gold, Eq) and isinstance(value, Eq) and not sympy.solve(gold, gold.free_symbols):
        return False
    return bool(_compare_solutions(gold, value, *precision))


def _number(text: str) -> Any:
    """The number that the text writes, exactly; no Python is parsed.

    Raises:
        ValueError: it writes none, or one of an immense size.
    """
    match = _NUMBER.fullmatch(text.replace(",", "").replace(" ", "").strip())
    if match is None or not (match[1] or match[2]):
        raise ValueError("not a number")
    places, exponent = match[2] or "", int(match[3] or 0)
    if abs(exponent) > MAX_EXPONENT:
        raise ValueError("an immense number")
    digits = sympy.Integer(int((match[1] or "") + places))
    return digits * sympy.Integer(10) ** (exponent - len(places))


def _no_python(text: Any, *_: Any, **__: Any) -> Any:
    """Instead of sympy's parser of Python, which evaluates what it parses: a plain name or number, and nothing else.

    Raises:
        ValueError: the text is more than that.
    """
    return sympy.Symbol(text) if str(text).isidentifier() else _number(str(text))


_compare_relational = grader.sympy_compare_relational
_compare_solutions = grader.sympy_solve_and_compare
grader.sympy_compare_relational = _relations
grader.sympy_solve_and_compare = _solve_and_compare
grader.sympy_compare_symbols = _compare_symbols
grader.sympy_symbolic_eq = _symbolic
grader.sympy_numeric_eq = _symbolic
reader.convert_number = _number
reader._Latex2Sympy.parse_number = lambda self, text: _number(text)
for _module in (sympy_parser, reader, grader):
    if hasattr(_module, "parse_expr"):
        _module.parse_expr = _no_python
sympy_parser.eval_expr = _no_python
