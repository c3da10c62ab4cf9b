"""Units and currencies, converted exactly by rational numbers.

Two quantities are compared after conversion to base units; each currency is a base unit of its own, as rates change.
Temperatures on different scales are not converted. A noun that is no unit (5 apples) is a base unit of its own name.
"""

from __future__ import annotations

import re
from fractions import Fraction

from teachable.verify.maths.algebra import Rational
from teachable.verify.maths.values import Unit

_Dimensions = dict[str, Rational]


def _table() -> dict[str, tuple[_Dimensions, Fraction]]:
    table: dict[str, tuple[_Dimensions, Fraction]] = {}

    def put(names: str, factor: Fraction | int | str, **dimensions: Rational) -> None:
        for name in names.split():
            table[name] = (dimensions, Fraction(factor))

    prefixes: dict[str, tuple[str, str]] = {
        "k": ("kilo", "1000"),
        "c": ("centi", "0.01"),
        "m": ("milli", "0.001"),
        "d": ("deci", "0.1"),
    }
    small: dict[str, tuple[str, str]] = {
        "n": ("nano", "1e-9"),
        "mu": ("micro", "1e-6"),
        "M": ("mega", "1e6"),
        "G": ("giga", "1e9"),
    }
    bases: tuple[tuple[str, str, Fraction, _Dimensions], ...] = (
        ("m", "meter metre", Fraction(1), {"length": 1}),
        ("g", "gram gramme", Fraction(1, 1000), {"mass": 1}),
        ("L l", "liter litre", Fraction(1, 1000), {"length": 3}),
        ("J", "joule", Fraction(1), {"mass": 1, "length": 2, "time": -2}),
        ("W", "watt", Fraction(1), {"mass": 1, "length": 2, "time": -3}),
        ("N", "newton", Fraction(1), {"mass": 1, "length": 1, "time": -2}),
        ("Pa", "pascal", Fraction(1), {"mass": 1, "length": -1, "time": -2}),
        ("Hz", "hertz", Fraction(1), {"time": -1}),
        ("V", "volt", Fraction(1), {"mass": 1, "length": 2, "time": -3, "current": -1}),
        ("A", "ampere amp", Fraction(1), {"current": 1}),
        ("C", "coulomb", Fraction(1), {"current": 1, "time": 1}),
        ("mol", "mole", Fraction(1), {"amount": 1}),
        ("s", "second", Fraction(1), {"time": 1}),
        ("eV", "electronvolt", Fraction("1.602176634e-19"), {"mass": 1, "length": 2, "time": -2}),
        ("Ohm ohm", "ohm", Fraction(1), {"mass": 1, "length": 2, "time": -3, "current": -2}),
    )
    for signs, names, factor, dimensions in bases:
        put(f"{signs} {names}", factor, **dimensions)
        put(" ".join(f"{name}s" for name in names.split()), factor, **dimensions)
        for short, (long, times) in (prefixes | small).items():
            scaled = factor * Fraction(times)
            put(" ".join(f"{short}{sign}" for sign in signs.split()), scaled, **dimensions)
            longs = [f"{long}{name}{end}" for name in names.split() for end in ("", "s")]
            put(" ".join(longs), scaled, **dimensions)
    inch = Fraction("0.0254")
    put("inch inches in", inch, length=1)
    put("foot feet ft", 12 * inch, length=1)
    put("yard yards yd yds", 36 * inch, length=1)
    put("mile miles mi", 63360 * inch, length=1)
    put("acre acres", 43560 * (12 * inch) ** 2, length=2)
    put("hectare hectares ha", 10_000, length=2)
    put("sec secs", 1, time=1)
    put("minute minutes min mins", 60, time=1)
    put("hour hours hr hrs h", 3600, time=1)
    put("day days", 86400, time=1)
    put("week weeks wk wks", 7 * 86400, time=1)
    put("month months", 1, month=1)
    put("year years yr yrs", 12, month=1)
    put("decade decades", 120, month=1)
    put("mph", Fraction(63360, 3600) * inch, length=1, time=-1)
    put("kph kmh kmph", Fraction(1000, 3600), length=1, time=-1)
    put("pound pounds lb lbs", "0.45359237", mass=1)
    put("ounce ounces oz", Fraction("0.45359237") / 16, mass=1)
    put("ton tons", Fraction("907.18474"), mass=1)
    put("tonne tonnes", 1000, mass=1)
    gallon = 231 * inch**3
    put("gallon gallons gal", gallon, length=3)
    put("quart quarts qt", gallon / 4, length=3)
    put("pint pints", gallon / 8, length=3)
    put("cup cups", gallon / 16, length=3)
    put("tablespoon tablespoons tbsp", gallon / 256, length=3)
    put("teaspoon teaspoons tsp", gallon / 768, length=3)
    put("cc", "1e-6", length=3)
    put("cal calorie calories", "4.184", mass=1, length=2, time=-2)
    put("kcal kilocalorie kilocalories", 4184, mass=1, length=2, time=-2)
    put("kWh", 3_600_000, mass=1, length=2, time=-2)
    put("atm", 101325, mass=1, length=-1, time=-2)
    put("K kelvin kelvins", 1, kelvin=1)
    put("celsius degC", 1, celsius=1)
    put("fahrenheit degF", 1, fahrenheit=1)
    put("degree degrees deg", 1, degree=1)
    put("rad rads radian radians", 1, angle=1)
    put("bit bits", 1, bit=1)
    put("byte bytes B", 8, bit=1)
    put("KB kB kilobyte kilobytes", 8000, bit=1)
    put("MB megabyte megabytes", 8 * 10**6, bit=1)
    put("GB gigabyte gigabytes", 8 * 10**9, bit=1)
    put("dollar dollars usd USD $ buck bucks", 1, dollar=1)
    put("cent cents ¢", Fraction(1, 100), dollar=1)
    put("dime dimes", Fraction(1, 10), dime=1)
    put("euro euros EUR €", 1, euro=1)
    put("GBP £ quid", 1, sterling=1)
    put("pence", Fraction(1, 100), sterling=1)
    put("yen JPY ¥", 1, yen=1)
    put("rupee rupees INR ₹ Rs", 1, rupee=1)
    put("yuan rmb RMB CNY", 1, yuan=1)
    put("dozen", 12)
    return table


_UNITS = _table()
UNIT_WORDS = frozenset(name for name in _UNITS if name.isalpha()) | {"square", "cubic", "squared", "cubed", "per", "sq"}
CURRENCY_SIGNS = "$€£¥₹¢"
_AMBIGUOUS = frozenset(["m", "g", "s", "L", "l", "h", "A", "B", "C", "J", "K", "N", "V", "W"])
"""Units of one letter, which may as well be a letter of algebra."""
_IRREGULAR = {"people": "person", "children": "child", "men": "man", "women": "woman", "feet": "foot", "mice": "mouse"}
_PIECE = re.compile(r"[^\W\d_]+|\^?\{?-?\d{1,2}\}?|[/*$€£¥₹¢%]|[-.,()\s^{}]+")
_EXPONENT = re.compile(r"\s?\^\s?\{?\s?(-?)\s?(\d{1,2})\s?\}?")
_EXTRA = frozenset(
    ("of", "the", "a", "an", "in", "total", "each", "more", "us", "u", "s", "approximately", "about", "left")
)

_NO_NOUN_TEXT = """
    is are was were be been because since so not or and then but if for as to with that this which what it we i you
    he she they have has had will would can could must may should do does did thus hence therefore when where
    than no yes get gets gives give equals equal makes make into from by at on let find
    plus minus divided multiplied over less greater least most under below above mod modulo remainder factorial
    percent percentage either neither nor never any all none
"""
_NO_NOUNS = frozenset(_NO_NOUN_TEXT.split())


def unit_of(text: str) -> Unit | None:
    r"""The unit that a text names ("cm^2", "km/h", "square feet", "dollars", "red apples"), or None where it is none.

    Args:
        text: what follows the number, as written, at most a few words.
    """
    if len(text) > 80:
        return None
    text = _EXPONENT.sub(r"^\1\2", text)
    dimensions: _Dimensions = {}
    factor = Fraction(1)
    sign, waiting, last = 1, 1, ""
    at, n_nouns = 0, 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            return None
        at = piece.end()
        word = piece[0].strip("-.,() \t\n")
        if not word or word in ("^", "{", "}", "*"):
            continue
        if word in ("/", "per", "an hour"):
            sign = -1
        elif word in ("square", "sq", "cubic"):
            waiting = 3 if word == "cubic" else 2
        elif word in ("squared", "cubed") or word.strip("^{}-").isdigit():
            if not last or (word.isdigit() and word not in ("2", "3")):
                return None
            k = {"squared": 2, "cubed": 3}.get(word) or int(word.strip("^{}"))
            factor = _count(dimensions, factor, last, (k - 1) * sign)
            last = ""
        elif word == "ms" and text.startswith("^-", at):  # metres by seconds, not milliseconds
            factor = _count(dimensions, factor, "m", sign * waiting)
            factor, last, waiting = _count(dimensions, factor, "s", sign), "s", 1
        elif word in CURRENCY_SIGNS or _name(word):
            last = _name(word) or word
            factor = _count(dimensions, factor, last, sign * waiting)
            waiting = 1
        elif word.lower() in _NO_NOUNS or len(word) == 1 or (word == "times" and at < len(text)):
            return None
        elif word.lower() not in _EXTRA:
            n_nouns += 1
            last = singular(word.lower())
            dimensions[last] = dimensions.get(last, 0) + sign
        if n_nouns > 4:
            return None
    kept = tuple(sorted((name, k) for name, k in dimensions.items() if k))
    return Unit(kept, factor)


def _name(word: str) -> str:
    """The word under which the table knows a unit, or nothing."""
    if word in _UNITS:
        return word
    low = word.lower()
    return low if len(low) > 2 and low in _UNITS else ""


def _count(dimensions: _Dimensions, factor: Fraction, name: str, times: Rational) -> Fraction:
    if name not in _UNITS:
        dimensions[name] = dimensions.get(name, 0) + times
        return factor
    of_unit, size = _UNITS[name]
    for dimension, k in of_unit.items():
        dimensions[dimension] = dimensions.get(dimension, 0) + k * times
    return factor * size ** int(times)


def singular(word: str) -> str:
    """An English noun without its plural's ending."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def may_be_letter(text: str) -> bool:
    """Whether a unit of one letter may as well be a letter of algebra."""
    return text in _AMBIGUOUS


def is_known(unit: Unit) -> bool:
    """Whether all of its dimensions are of units that the table knows, no mere nouns."""
    return all(name in _KNOWN_DIMENSIONS for name, _ in unit.dimensions)


_KNOWN_DIMENSIONS = frozenset(name for dimensions, _ in _UNITS.values() for name in dimensions)
