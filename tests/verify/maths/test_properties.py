"""An answer equals itself written otherwise, other values are unequal, keys agree with equality, no text raises."""

from __future__ import annotations

import random
import time
from fractions import Fraction

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from teachable.verify.maths import key
from teachable.verify.maths.equality import decide

SETTINGS = settings(max_examples=150, deadline=None)
NUMBERS = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**4)
PIECES = [
    "\\frac",
    "\\sqrt",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "1",
    "23",
    "0.5",
    "x",
    "y",
    "n",
    "i",
    "e",
    "\\pi",
    "^",
    "_",
    "+",
    "-",
    "*",
    "/",
    "=",
    "<",
    "\\le",
    "\\in",
    "\\cup",
    ",",
    " or ",
    " and ",
    "|",
    "!",
    "%",
    "$",
    "\\$",
    "\\text{",
    "cm",
    "km/h",
    " ",
    ".",
    "1,000",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "&",
    "\\\\",
    "\\{",
    "\\}",
    "\\infty",
    "\\pm",
    "\\sin",
    "\\ln",
    "\\log",
    "^\\circ",
    "½",
    "²",
    "√",
    "∞",
    "≤",
    "\\overline",
    "\\mathbb{R}",
    "\\emptyset",
    "yes",
    "six",
    "(B)",
    "f(",
    ":",
    "'",
    "\\left(",
    "\\binom",
    "9^{9^9}",
    "\\boxed{",
    "dollars",
    "per",
    "\\dots",
    "#",
    "C(",
    "\\sum",
    "e5",
    "99999999999",
    "**",
    "~",
    "\n",
]


def writings(value: Fraction, rng: random.Random) -> list[str]:
    """Several ways to write a rational number."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    over, under = size.numerator, size.denominator
    k = rng.randint(2, 9)
    found = [
        f"{sign}{over}/{under}",
        rf"{sign}\frac{{{over}}}{{{under}}}",
        rf"\dfrac{{{sign}{over * k}}}{{{under * k}}}",
        f"${sign}\\frac{{{over}}}{{{under}}}$",
        f"({sign}{over})/({under})",
        rf"\frac{{{sign}{over}}}{{{under}}}.",
    ]
    whole, rest = divmod(over, under)
    if whole and rest:
        found.extend((f"{sign}{whole} {rest}/{under}", rf"{sign}{whole}\frac{{{rest}}}{{{under}}}"))
    if under == 1:
        found.extend((f"{sign}{over}", f"{sign}{over:,}", f"{sign}{over}.0", f"−{over}" if sign else f"+{over}"))
        found.append(sign + f"{over:,}".replace(",", "{,}"))
    places = next((n for n in range(12) if 10**n % under == 0), None)
    if places is not None:
        digits = str(over * 10**places // under).rjust(places + 1, "0")
        plain = f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}".rstrip(".")
        found.extend(
            (
                sign + plain,
                f"{sign}{digits}e-{places}",
                rf"{sign}{digits} \times 10^{{-{places}}}",
                sign + plain + "0" * places,
            )
        )
    return found


@SETTINGS
@given(NUMBERS, st.randoms(use_true_random=False))
def test_a_number_equals_its_other_writings(value: Fraction, rng: random.Random) -> None:
    ways = writings(value, rng)
    first, second = rng.choice(ways), rng.choice(ways)
    assert decide(first, second).equal is True, (first, second)
    keys = {key(way) for way in ways}
    assert len({k for k in keys if k and k.startswith("=")}) <= 1, keys


@SETTINGS
@given(NUMBERS, NUMBERS, st.randoms(use_true_random=False))
def test_different_numbers_are_unequal(a: Fraction, b: Fraction, rng: random.Random) -> None:
    assume(a != b)
    first, second = writings(a, rng)[0], rng.choice(writings(b, rng))
    if abs(a - b) * 10**6 > max(abs(a), abs(b)) or "." not in second:
        assert decide(first, second).equal is False, (first, second)
    assert key(f"{a}") != key(f"{b}")


@SETTINGS
@given(st.lists(NUMBERS, min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_sets_lists_and_tuples(values: list[Fraction], rng: random.Random) -> None:
    shuffled = rng.sample(values, len(values))
    written = ", ".join(rng.choice(writings(v, rng)[:3]) for v in values)
    other = ", ".join(writings(v, rng)[0] for v in shuffled)
    assert decide(rf"\{{{written}\}}", f"{{{other}}}").equal is True
    assert decide(rf"\{{{written}\}}", other).equal is True
    assert decide(written, other).equal is True
    assert decide(f"({written})", f"({other})").equal is (values == shuffled)
    assert decide(rf"\{{{written}\}}", rf"\{{{written}, 10000001\}}").equal is False
    assert decide(f"({written})", rf"\{{{written}\}}").equal is False


@SETTINGS
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=4), st.integers(-5, 5), st.sampled_from("xyt"))
def test_polynomials_expanded_and_factored(roots: list[int], lead: int, x: str) -> None:
    assume(lead)
    coefficients = [lead]
    for root in roots:
        shifted = [*coefficients, 0]
        coefficients = [a - root * b for a, b in zip(shifted, [0, *coefficients], strict=True)]
    degree = len(roots)
    factored = f"{lead}" + "".join(f"({x}-({root}))" for root in roots)
    expanded = "+".join(f"({c}){x}^{{{degree - i}}}" for i, c in enumerate(coefficients))
    assert decide(factored, expanded).equal is True
    assert decide(f"y={factored}" if x != "y" else factored, f"y = {expanded}" if x != "y" else expanded).equal is True
    assert decide(factored, f"{expanded}+1").equal is False
    assert key(factored) == key(expanded)


@SETTINGS
@given(st.integers(1, 60), st.integers(2, 60), st.integers(1, 12), st.integers(-20, 20))
def test_surds(a: int, b: int, k: int, c: int) -> None:
    ways = [rf"{a * k}\sqrt{{{b}}}+{c}", rf"{c} + {a}\sqrt{{{b * k * k}}}", f"{c}+{a}√({b * k * k})"]
    ways.append(rf"{c} + \frac{{{a * k * b}}}{{\sqrt{{{b}}}}}")
    for way in ways[1:]:
        assert decide(ways[0], way).equal is True, (ways[0], way)
        assert key(ways[0]) == key(way)
    assert decide(ways[0], rf"{a * k}\sqrt{{{b}}}+{c + 1}").equal is False
    value = a * k * b**0.5 + c
    if b not in (4, 9, 16, 25, 36, 49) and abs(value) > 1:
        assert decide(ways[0], f"{value:.9f}").equal is True
        assert decide(ways[0], f"{value + 1e-6:.9f}").equal is False


@SETTINGS
@given(NUMBERS, NUMBERS, st.booleans(), st.booleans())
def test_intervals_and_inequalities(a: Fraction, b: Fraction, low: bool, high: bool) -> None:
    assume(a < b)
    interval = f"{'[' if low else '('}{a}, {b}{']' if high else ')'}"
    left, right = ("\\le" if low else "<"), ("≤" if high else "<")
    chain = f"{a} {left} x {right} {b}"
    joined = f"x {'>=' if low else '>'} {a} and {b} {'>=' if high else '>'} x"
    assert decide(interval, chain).equal is True
    assert decide(chain, joined).equal is True
    assert decide(rf"x \in {interval}", joined).equal is True
    assert decide(interval, f"{'(' if low else '['}{a}, {b}{']' if high else ')'}").equal is False
    assert decide(chain, chain.replace("x", "y")).equal is False


@SETTINGS
@given(
    NUMBERS,
    st.sampled_from(
        [("m", "cm", 100), ("kg", "g", 1000), ("hours", "minutes", 60), ("L", "mL", 1000), ("dollars", "cents", 100)]
    ),
)
def test_units(value: Fraction, units: tuple[str, str, int]) -> None:
    assume(value)
    large, small, factor = units
    assert decide(f"{value} {large}", f"{value * factor} {small}").equal is True
    assert decide(f"{value} {large}", f"{value}").equal is True
    assert decide(f"{value} {large}", f"{value} {small}").equal is False


@SETTINGS
@given(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
)
@example(r"\binom0e5", "5")
@example("Asinx}", "[∞")
def test_symmetric_and_consistent_with_keys(a: str, b: str) -> None:
    for first, second in ((a, b), (a, f" {a}  ")):
        forth, back = decide(f"0+{first}", f"0+{second}"), decide(f"0+{second}", f"0+{first}")
        assert "checker failed" not in forth.reason + back.reason
        key_a, key_b = key(f"0+{first}"), key(f"0+{second}")
        if key_a is not None and key_a == key_b:
            assert forth.equal is True
        elif key_a and key_b and key_a.startswith("=") and key_b.startswith("="):
            assert forth.equal is False


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=60).map("".join)),
    st.sampled_from(["5", "x+1", "{1,2}", "(0,1)", "yes", "B"]),
)
def test_no_text_raises_or_takes_long(text: str, other: str) -> None:
    start = time.process_time()
    for first, second in ((text, other), (other, text), (text, text)):
        assert "checker failed" not in decide(first, second).reason
    key(text)
    assert time.process_time() - start < 1.0
