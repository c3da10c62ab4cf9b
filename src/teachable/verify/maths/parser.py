r"""Tokens of one expression -> a `Ratio`, by recursive descent.

A product without a sign (2x, 3(x+1)) binds as one with a sign: 1/2x is x/2. A whole number before a proper fraction
is a mixed number (1 1/2, 1\frac12). A function without brackets takes the product after it (sin 2x), up to the next
sign or function. Degrees count as such only within a function; elsewhere 90° is 90.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from teachable.verify.maths import powers
from teachable.verify.maths.algebra import (
    INFINITY,
    PI,
    Arithmetic,
    Atom,
    E,
    I,
    Ratio,
    Rational,
    ratio_of,
    ratio_of_atom,
)
from teachable.verify.maths.limits import MAX_DEPTH, TooLarge, Unread
from teachable.verify.maths.literals import rational_of
from teachable.verify.maths.tokens import Token

_CONSTANTS = {"\\pi": PI, "e": E, "i": I, "\\infty": INFINITY}
_ACCENTS = frozenset(("overline", "bar", "hat", "vec", "tilde", "dot", "widehat", "overrightarrow", "widetilde"))
_CALLED = frozenset("fghFGH")
_GROUPS = frozenset(("round", "square", "brace", "floor", "ceil"))
SIDE_BY_SIDE = "two numbers side by side"
_END = Token("end", "")


class Parser:
    """One expression. `upper` says which sign plus-minus stands for this time.

    Raises (`parse`):
        TooLarge: a bound is passed.
        Unread: the tokens are no expression that is known here.
    """

    def __init__(self, tokens: Sequence[Token], arithmetic: Arithmetic, upper: bool = True) -> None:
        self.tokens = list(tokens)
        self.at = 0
        self.arithmetic = arithmetic
        self.upper = upper
        self.depth = 0
        self.n_bars = 0
        self.n_functions = 0

    def parse(self) -> Ratio:
        """The expression that all tokens make."""
        found = self._sum()
        if self.at < len(self.tokens):
            raise Unread(f"'{self.tokens[self.at].text[:20]}' where an expression should end")
        return found

    def _peek(self, ahead: int = 0) -> Token:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else _END

    def _is(self, kind: str, text: str, ahead: int = 0) -> bool:
        token = self._peek(ahead)
        return token.kind == kind and token.text == text

    def _take(self, kind: str, text: str) -> None:
        if not self._is(kind, text):
            raise Unread(f"'{text}' is missing")
        self.at += 1

    def _sum(self) -> Ratio:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"it is nested more than {MAX_DEPTH} deep")
        total: Ratio | None = None
        while True:
            sign = self._signs()
            if sign is None and total is not None:
                break
            term = self._product()
            if sign == -1:
                term = self.arithmetic.negative(term)
            total = term if total is None else self.arithmetic.add(total, term)
        self.depth -= 1
        return total

    def _signs(self) -> int | None:
        """The product of the plus and minus signs here, or None where there are none."""
        sign: int | None = None
        while self._peek().kind == "sign" and (text := self._peek().text) in ("+", "-", "pm", "mp"):
            minus = text == "-" or (text == "pm" and not self.upper) or (text == "mp" and self.upper)
            sign = (sign or 1) * (-1 if minus else 1)
            self.at += 1
        return sign

    def _product(self) -> Ratio:
        found = self._factor()
        while True:
            if self._is("sign", "*") or self._is("sign", "/"):
                divide = self._peek().text == "/"
                self.at += 1
                sign = self._signs() or 1
                factor = self._factor()
                if sign < 0:
                    factor = self.arithmetic.negative(factor)
                found = self.arithmetic.divide(found, factor) if divide else self.arithmetic.multiply(found, factor)
            elif self._starts_factor():
                found = self.arithmetic.multiply(found, self._factor())
            else:
                return found

    def _starts_factor(self) -> bool:
        token = self._peek()
        if token.kind in ("letter", "command", "function"):
            return True
        if token.kind == "number":
            before = self.tokens[self.at - 1]
            return before.kind == "close"
        if token.kind == "open":
            return token.text in _GROUPS
        return token.kind == "sign" and token.text == "|" and self.n_bars == 0

    def _factor(self) -> Ratio:
        base = self._primary()
        while True:
            token = self._peek()
            if token.kind != "sign":
                return base
            if token.text == "!":
                base = self._factorial(base)
            elif token.text == "%":
                self.at += 1
                base = self.arithmetic.divide(base, ratio_of(100))
            elif token.text == "degree":
                self.at += 1
                base = self._degrees(base)
            elif token.text == "^":
                self.at += 1
                if self._skip_degree():
                    base = self._degrees(base)
                else:
                    return powers.power(base, self._exponent(), self.arithmetic)
            else:
                return base

    def _skip_degree(self) -> bool:
        if self._is("sign", "degree"):
            self.at += 1
            return True
        if self._is("open", "brace") and self._is("sign", "degree", 1) and self._is("close", "brace", 2):
            self.at += 3
            return True
        return False

    def _degrees(self, base: Ratio) -> Ratio:
        if not self.n_functions:
            return base
        return self.arithmetic.multiply(base, self.arithmetic.divide(ratio_of_atom(PI), ratio_of(180)))

    def _exponent(self) -> Ratio:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"it is nested more than {MAX_DEPTH} deep")
        sign = self._signs() or 1
        found = self._argument() if self._is("open", "brace") else self._factor()
        if self._is("sign", "^"):  # 2^{3}^2, which TeX refuses, is read as 2^(3^2)
            self.at += 1
            found = powers.power(found, self._exponent(), self.arithmetic)
        self.depth -= 1
        return self.arithmetic.negative(found) if sign < 0 else found

    def _factorial(self, base: Ratio) -> Ratio:
        n_marks = 0
        while self._is("sign", "!"):
            n_marks += 1
            self.at += 1
        number = base.rational
        if n_marks > 2:
            raise TooLarge("a factorial of more than two marks is not worked out")
        self.arithmetic.spend(50)
        if number is not None:
            return ratio_of(powers.factorial(number, n_marks))
        if n_marks == 2:
            raise Unread("a double factorial of an expression")
        return powers.call("fact", base, self.arithmetic)

    def _primary(self) -> Ratio:
        token = self._peek()
        if token.kind == "number":
            return self._number()
        if token.kind == "letter":
            return self._letter()
        if token.kind == "open":
            return self._group()
        if token.kind == "function":
            return self._function()
        if token.kind == "command":
            return self._command()
        if token.kind == "sign" and token.text == "|":
            return self._bars()
        raise Unread(f"'{token.text[:20]}' where an expression should be" if token.text else "an expression that stops")

    def _bars(self) -> Ratio:
        self.at += 1
        self.n_bars += 1
        inner = self._sum()
        self.n_bars -= 1
        self._take("sign", "|")
        return powers.call("abs", inner, self.arithmetic)

    def _group(self) -> Ratio:
        kind = self._peek().text
        if kind not in _GROUPS:
            raise Unread("a bracket of another kind within an expression")
        self.at += 1
        bars, self.n_bars = self.n_bars, 0
        inner = self._sum()
        self.n_bars = bars
        self._take("close", kind)
        return powers.call(kind, inner, self.arithmetic) if kind in ("floor", "ceil") else inner

    def _number(self) -> Ratio:
        token = self._peek()
        self.at += 1
        value = rational_of(token.text)
        if self._peek().kind == "command" and self._peek().text in ("overline", "dot"):
            return ratio_of(self._repeating(token.text))
        if self._is("sign", "_"):
            return ratio_of_atom(Atom(f"{token.text}_{self._after_underscore()}"))
        if isinstance(value, int):
            part = self._mixed_part()
            if part is not None:
                return ratio_of(value + part)
        if self._peek().kind == "number":
            raise Unread(SIDE_BY_SIDE)
        return ratio_of(value)

    def _repeating(self, digits: str) -> Rational:
        self.at += 1
        again = self._raw_argument()
        if not again.isdigit() or "e" in digits or self._peek().kind in ("number", "command"):
            raise Unread("a repeating decimal of another form")
        if "." not in digits:
            raise Unread("an overlined number")
        start = rational_of(digits)
        n_before = len(digits.partition(".")[2])
        return start + Fraction(int(again), (10 ** len(again) - 1) * 10**n_before)

    def _mixed_part(self) -> Rational | None:
        r"""The proper fraction after a whole number, as 1/2 in 1\frac12 and 1 1/2; None where there is none."""
        start = self.at
        if self._is("command", "frac"):
            before = list(self.tokens)
            self.at += 1
            over, under = self._raw_argument(), self._raw_argument()
            if over.isdigit() and under.isdigit() and 0 < int(over) < int(under) and not self._is("sign", "^"):
                return Fraction(int(over), int(under))
            self.at, self.tokens = start, before
        elif self._peek().kind == "number" and self._peek().spaced and self._is("sign", "/", 1):
            over, under = self._peek().text, self._peek(2).text
            if over.isdigit() and under.isdigit() and 0 < int(over) < int(under):
                self.at += 3
                return Fraction(int(over), int(under))
        return None

    def _letter(self) -> Ratio:
        name = self._peek().text
        self.at += 1
        primes = 0
        while self._is("sign", "'"):
            primes += 1
            self.at += 1
        if self._is("sign", "_"):
            name = f"{name}_{self._after_underscore()}"
        elif not primes and name in _CONSTANTS:
            return ratio_of_atom(_CONSTANTS[name])
        elif name == "\\emptyset":
            raise Unread("an empty set within an expression")
        if name in ("\\zeta", "\\Gamma") and self._is("open", "round"):
            raise Unread("a function that is not known here")
        if name == "C" and self._is("open", "round") and self._choice_follows():
            return self._pair()
        if name in _CALLED and self._is("open", "round"):
            inner = self._group()
            return ratio_of_atom(Atom(f"{name}{chr(39) * primes}({inner.name})", "call", (name, inner)))
        return ratio_of_atom(Atom(name + "'" * primes))

    def _choice_follows(self) -> bool:
        """Whether the brackets here hold two things: C(n, k)."""
        depth = 0
        for token in self.tokens[self.at : self.at + 60]:
            depth += {"open": 1, "close": -1}.get(token.kind, 0)
            if depth == 0:
                break
            if depth == 1 and token.kind == "comma":
                return True
        return False

    def _pair(self) -> Ratio:
        self.at += 1
        first = self._sum()
        self._take("comma", ",")
        second = self._sum()
        self._take("close", "round")
        return self._binomial(first, second)

    def _binomial(self, n: Ratio, k: Ratio) -> Ratio:
        self.arithmetic.spend(50)
        if n.rational is None or k.rational is None:
            return powers.symbolic_binomial(n, k, self.arithmetic)
        return ratio_of(powers.binomial(n.rational, k.rational))

    def _after_underscore(self) -> str:
        self.at += 1
        return self._raw_argument()

    def _raw_argument(self) -> str:
        """The text of a brace group without groups in it, of one digit of a number, or of another token."""
        token = self._peek()
        if token.kind == "open" and token.text == "brace":
            texts = []
            self.at += 1
            while not self._is("close", "brace"):
                if self._peek().kind in ("open", "end"):
                    raise Unread("a subscript of another form")
                texts.append(self._peek().text)
                self.at += 1
            self.at += 1
            return "".join(texts)
        return self._first_character()

    def _first_character(self) -> str:
        token = self._peek()
        if token.kind == "number" and len(token.text) > 1:
            before = self.tokens[self.at - 1]
            if not (before.kind == "sign" and before.text == "_"):
                if not token.text.isdigit():
                    raise Unread("an argument of another form")
                self.tokens[self.at] = Token("number", token.text[1:])
                return token.text[0]
        if token.kind not in ("number", "letter", "words", "sign"):
            raise Unread("an argument of another form")
        self.at += 1
        return token.text

    def _argument(self) -> Ratio:
        """The argument of a command: a brace group, one digit, a letter or a command."""
        if self._is("open", "brace"):
            return self._group()
        if self._peek().kind == "number":
            digit = self._first_character()
            return ratio_of(rational_of(digit))
        return self._primary()

    def _command(self) -> Ratio:
        name = self._peek().text
        self.at += 1
        if name == "frac":
            over = self._argument()
            return self.arithmetic.divide(over, self._argument())
        if name == "binom":
            n = self._argument()
            return self._binomial(n, self._argument())
        if name in ("sqrt", "surd", "cbrt", "fourthroot"):
            return self._root({"cbrt": 3, "fourthroot": 4}.get(name, 2))
        if name in _ACCENTS:
            return ratio_of_atom(Atom(f"{name}({self._raw_argument()})"))
        raise Unread(f"{name} within an expression")

    def _root(self, degree: int) -> Ratio:
        of: Ratio = ratio_of(degree)
        if self._is("open", "square"):
            self.at += 1
            of = self._sum()
            self._take("close", "square")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"it is nested more than {MAX_DEPTH} deep")
        inner = self._group() if self._peek().kind == "open" else self._primary()
        self.depth -= 1
        return powers.root(inner, of, self.arithmetic)

    def _function(self) -> Ratio:
        name = self._peek().text
        self.at += 1
        base: Ratio | None = ratio_of(10) if name == "lg" else None
        exponent: Ratio | None = None
        for _ in range(2):
            if self._is("sign", "_"):
                self.at += 1
                base = self._argument()
            elif self._is("sign", "^"):
                self.at += 1
                exponent = self._exponent()
        if name in ("gcd", "lcm", "max", "min"):
            return self._of_several(name)
        found = self._applied(name, base, exponent)
        if exponent is not None and exponent.rational != -1:
            return powers.power(found, exponent, self.arithmetic)
        return found

    def _applied(self, name: str, base: Ratio | None, exponent: Ratio | None) -> Ratio:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLarge(f"it is nested more than {MAX_DEPTH} deep")
        self.n_functions += 1
        if self._is("open", "round") or self._is("open", "brace") or self._is("open", "square"):
            argument = self._group()
        else:
            argument = self._bare_argument()
        self.n_functions -= 1
        self.depth -= 1
        if exponent is not None and exponent.rational == -1:
            name = {"sin": "asin", "cos": "acos", "tan": "atan", "cot": "acot", "sinh": "asinh"}.get(name, "")
            if not name:
                raise Unread("the inverse of a function")
        if name in ("ln", "log", "lg"):
            natural = base if name != "ln" else ratio_of_atom(E)
            return powers.logarithm(argument, natural, self.arithmetic)
        return powers.call(name, argument, self.arithmetic)

    def _bare_argument(self) -> Ratio:
        """What a function without brackets takes: factors side by side, and quotients of them."""
        sign = self._signs() or 1
        found = self._factor()
        while True:
            if self._is("sign", "/"):
                self.at += 1
                found = self.arithmetic.divide(found, self._factor())
            elif self._starts_factor() and self._peek().kind != "function" and not self._is("open", "round"):
                found = self.arithmetic.multiply(found, self._factor())
            else:
                return self.arithmetic.negative(found) if sign < 0 else found

    def _of_several(self, name: str) -> Ratio:
        self._take("open", "round")
        numbers: list[Rational] = []
        while True:
            number = self._sum().rational
            if number is None:
                raise Unread(f"the {name} of expressions")
            numbers.append(number)
            if not self._is("comma", ","):
                break
            self.at += 1
        self._take("close", "round")
        return ratio_of(powers.of_several(name, numbers))
