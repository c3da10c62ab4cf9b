"""Numbers as they are written: their exact values, and how many digits a decimal was given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from teachable.verify.maths.algebra import Rational, ratio_of
from teachable.verify.maths.limits import MAX_DIGITS, TooLarge
from teachable.verify.maths.tokens import Token
from teachable.verify.maths.values import Decimal, Scalar, number

_PLAIN = re.compile(r"[+-]?(?:\d{1,300}(?:\.\d{1,300})?|\.\d{1,300})")
_PLAIN_QUOTIENT = re.compile(r"(-?)(?:(\d{1,300})/(\d{1,300})|\\[dt]?frac\{(\d{1,300})\}\{(\d{1,300})\})")


def rational_of(digits: str) -> Rational:
    """The value of a number token ("12", "1.50", "1.5e3").

    Raises:
        TooLarge: the exponent is too large.
    """
    mantissa, _, exponent = digits.partition("e")
    if exponent and abs(int(exponent)) > MAX_DIGITS:
        raise TooLarge("a number in it has too many digits")
    whole, dot, tail = mantissa.partition(".")
    if not dot and not exponent:
        return int(whole)
    scale = int(exponent or 0) - len(tail)
    number = int(whole + tail)
    return number * 10**scale if scale >= 0 else Fraction(number, 10**-scale)


def quick(text: str) -> Scalar | None:
    """Whole numbers, decimals and quotients, without taking the text apart."""
    if _PLAIN.fullmatch(text) and text.isascii():
        digits = text.lstrip("+-")
        value = rational_of(digits)
        return Scalar(ratio_of(-value if text[0] == "-" else value), decimal_of(digits))
    found = _PLAIN_QUOTIENT.fullmatch(text)
    if found and text.isascii():
        over, under = int(found[2] or found[4]), int(found[3] or found[5])
        if under:
            value = Fraction(over, under)
            return number(-value if found[1] else value)
    return None


def decimal_of(digits: str) -> Decimal | None:
    """How a number token was written, where it is a decimal."""
    mantissa, _, exponent = digits.partition("e")
    whole, _, tail = mantissa.partition(".")
    if not tail:
        return None
    return Decimal(len((whole + tail).lstrip("0")), Fraction(10) ** (int(exponent or 0) - len(tail)))


def decimal_of_tokens(tokens: Sequence[Token]) -> Decimal | None:
    """How the expression was written, where it is a decimal, also times a power of ten."""
    texts = [token.text for token in tokens if token.text != "brace"]
    while texts and texts[0] in "+-":
        texts.pop(0)
    if not texts or "." not in texts[0] or tokens[-1].kind not in ("number", "close"):
        return None
    decimal = decimal_of(texts[0]) if texts[0].replace(".", "").replace("e", "").replace("-", "").isdigit() else None
    if len(texts) == 1 or decimal is None:
        return decimal
    if texts[1:4] == ["*", "10", "^"]:
        power = "".join(texts[4:])
        if power.lstrip("-").isdigit() and len(power) < 5:
            return Decimal(decimal.digits, decimal.step * Fraction(10) ** int(power))
    return None
