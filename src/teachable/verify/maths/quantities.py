"""What stands around a number: currency signs before it; a percent sign, words of size (million) and units after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from teachable.verify.maths import units, words
from teachable.verify.maths.tokens import Token
from teachable.verify.maths.values import Unit

_CURRENCY_CODES = frozenset(("USD", "EUR", "GBP", "JPY", "INR", "CNY", "RMB", "Rs"))
_UNIT_SIGNS = frozenset(("^", "/", "*", "-", "."))


@dataclass(frozen=True, slots=True)
class Stripped:
    """The tokens of the number itself, and what stood around them.

    `times` is the factor of words such as "million". `letters` are all tokens, where the unit may have been meant as
    letters; `is_loose` says that this is the likelier reading. `is_plain` says that nothing stood around them.
    """

    tokens: list[Token]
    unit: Unit | None = None
    percent: bool = False
    times: Fraction = Fraction(1)
    letters: Sequence[Token] = ()
    is_loose: bool = False
    is_plain: bool = False


def strip_unit(tokens: list[Token]) -> Stripped | None:
    """A term without its unit; None where there are words that are no unit."""
    first_word = next((i for i, token in enumerate(tokens) if token.kind == "words"), None)
    currency = _currency_at(tokens)
    last = tokens[-1] if tokens else None
    is_percent = last is not None and last.kind == "sign" and last.text == "%"
    if first_word is None and currency is None and not is_percent:
        return _with_letters(tokens)
    inner, unit_text = list(tokens), ""
    if currency is not None:
        unit_text = inner.pop(currency).text
        first_word = None if first_word is None else first_word - 1
    if first_word is not None:
        if first_word == 0 and tokens[0].text in _CURRENCY_CODES and len(tokens) > 1 and tokens[1].kind == "number":
            return strip_unit([*tokens[1:], tokens[0]])
        if first_word == 0:
            return in_words(tokens)
        words_after = inner[first_word:]
        inner = inner[:first_word]
        if len(inner) == 1 and inner[0].kind == "letter" and inner[0].text in "aAI":  # an article
            return None
        if not all(_is_unit_token(token) for token in words_after):
            return None
        while inner and inner[-1].kind == "sign" and inner[-1].text in ("-", "/", "*") and len(inner) > 1:
            sign = inner.pop()
            if sign.text == "/":
                words_after.insert(0, sign)
        return _named(inner, words_after, unit_text)
    percent = is_percent
    if percent:
        inner.pop()
    return Stripped(inner, units.unit_of(unit_text) if unit_text else None, percent)


def _currency_at(tokens: list[Token]) -> int | None:
    for i, token in enumerate(tokens[:2]):
        if token.kind == "sign" and token.text in units.CURRENCY_SIGNS:
            return i
        if not (token.kind == "sign" and token.text in "+-"):
            break
    last = len(tokens) - 1
    return last if last > 0 and tokens[last].kind == "sign" and tokens[last].text in units.CURRENCY_SIGNS else None


def _is_unit_token(token: Token) -> bool:
    if token.kind in ("words", "letter"):
        return True
    if token.kind in ("open", "close"):
        return token.text in ("brace", "round")
    if token.kind == "number":
        return len(token.text) <= 2
    return token.kind == "sign" and (token.text in _UNIT_SIGNS or token.text in units.CURRENCY_SIGNS)


def _named(inner: list[Token], after: list[Token], unit_text: str) -> Stripped | None:
    """A number with words after it: of size first, then percent, then a unit."""
    times = Fraction(1)
    texts = [token.text for token in after if token.text not in ("brace", "round")]
    while texts and texts[0].lower() in words.NUMBER_WORDS and words.NUMBER_WORDS[texts[0].lower()] >= 100:
        times *= words.NUMBER_WORDS[texts.pop(0).lower()]
    part = words.part_of_one(texts[0].lower()) if texts else None
    if part is not None:
        times, texts = times * part, texts[1:]
    joined = " ".join(texts).strip()
    low = joined.lower()
    percent = low in ("percent", "per cent", "percentage points", "percents", "pct")
    if percent or not joined:
        return Stripped(inner, units.unit_of(unit_text) if unit_text else None, percent, times)
    if inner and inner[-1].kind == "sign" and inner[-1].text == "%":
        inner, percent = inner[:-1], True
    if inner and inner[-1].text == "degree" and joined in ("C", "F"):
        inner = inner[: -2 if len(inner) > 2 and inner[-2].text == "^" else -1]
        joined = {"C": "celsius", "F": "fahrenheit"}[joined]
    degrees = ("degrees celsius", "degrees fahrenheit", "degree celsius", "degree fahrenheit")
    if low in degrees:
        joined = joined.split()[1]
    unit = units.unit_of(joined)
    if unit is None:
        return None
    if unit_text and not _is_money(unit):
        unit = units.unit_of(f"{unit_text} {joined}" if low.startswith(("per ", "/")) else unit_text)
    return Stripped(inner, unit if unit and unit.dimensions else None, percent, times * _dozens(unit))


def _dozens(unit: Unit | None) -> Fraction:
    return unit.factor if unit is not None and not unit.dimensions else Fraction(1)


def _is_money(unit: Unit) -> bool:
    return len(unit.dimensions) == 1 and unit.dimensions[0][0] in ("dollar", "euro", "sterling", "yen", "rupee", "yuan")


def in_words(tokens: list[Token]) -> Stripped | None:
    """A number in words ("six", "twenty-five apples")."""
    texts: list[str] = []
    for token in tokens:
        if token.kind == "sign" and token.text == "-":
            continue
        if token.kind not in ("words", "and"):
            return None
        texts.extend(token.text.lower().replace("-", " ").split())
    for n in range(len(texts), 0, -1):
        value = words.number_in_words(texts[:n])
        if value is not None and (n == len(texts) or texts[n - 1] != "and"):
            rest = " ".join(texts[n:])
            number = [
                Token("number", str(value.numerator)),
                Token("sign", "/"),
                Token("number", str(value.denominator)),
            ]
            if not rest:
                return Stripped(number)
            if rest in ("percent", "per cent"):
                return Stripped(number, None, True)
            unit = units.unit_of(rest)
            return None if unit is None else Stripped(number, unit if unit.dimensions else None)
    return None


def _degrees_at_end(tokens: list[Token]) -> int:
    """How many tokens at the end are a degree sign, with the exponent's sign and braces around it."""
    texts = [token.text for token in tokens[-4:]]
    if texts[-4:] == ["^", "brace", "degree", "brace"]:
        return 4
    if texts[-2:] == ["^", "degree"]:
        return 2
    return 1 if texts[-1:] == ["degree"] else 0


def _with_letters(tokens: list[Token]) -> Stripped:
    """A number followed by letters that are units ("5 m", "3 m/s^2", "20 ^\\circ C"), or by a degree sign."""
    plain = Stripped(tokens, is_plain=True)
    n_degrees = _degrees_at_end(tokens)
    if n_degrees and not any(token.kind in ("function", "relation") for token in tokens):
        return Stripped(tokens[:-n_degrees], units.unit_of("degrees"))
    at = next((i for i, token in enumerate(tokens) if token.kind == "letter"), None)
    if at is None or at == 0 or any(token.kind not in ("number", "sign") for token in tokens[:at]):
        return plain
    if tokens[at].text == "\\mu" and len(tokens) == at + 2 and tokens[-1].kind == "letter":
        micro = units.unit_of(f"mu{tokens[-1].text}")
        return Stripped(tokens[:at], micro) if micro is not None and units.is_known(micro) else plain
    before = tokens[at - 1]
    if before.kind == "sign" and before.text == "degree" and len(tokens) == at + 1 and tokens[at].text in "CF":
        n_number = at - (2 if tokens[at - 2].text == "^" else 1)
        scale = {"C": "celsius", "F": "fahrenheit"}[tokens[at].text]
        return Stripped(tokens[:n_number], units.unit_of(scale))
    if before.kind != "number" or len(tokens) - at > 8:
        return plain
    rest = tokens[at:]
    letters = [token.text for token in rest if token.kind == "letter"]
    if not all(units.may_be_letter(letter) for letter in letters) or not all(map(_is_unit_token, rest)):
        return plain
    if any(token.text in ("-", ".") for token in rest if token.kind == "sign"):
        return plain
    unit = units.unit_of(" ".join(token.text for token in rest))
    if unit is None or not unit.dimensions:
        return plain
    is_compound = len(letters) > 1 and any(token.text == "/" for token in rest)
    return Stripped(tokens[:at], unit, letters=tokens, is_loose=not (tokens[at].spaced or is_compound))
