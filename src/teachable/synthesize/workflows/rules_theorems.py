"""The theorems that questions are made of: what is drawn, which answers fit, how it is solved, how it is said.

Answers are found by search over whole numbers, never by the formula that the worked steps use, so that one checks the
other. `rules_facts.py` says what makes a question good.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from teachable.synthesize.workflows.rules_grammar import Grammar

Numbers = Mapping[str, int]
N_LEVELS = 3


@dataclass(frozen=True)
class FactFamily:
    """One theorem.

    Attributes:
        name: of the family.
        theorem: what the original statement asks to prove.
        draw: (generator, scale) -> the numbers, among them what the question gives; `scale` grows with the level.
        fitting: the answers that fit all that the question says.
        loose: those that fit all but the hypothesis.
        solve: worked steps, one a line, without the final line.
        grammar: its phrasings, from `question`; `hypothesis` is the condition that the conclusion follows from.
    """

    name: str
    theorem: str
    draw: Callable[[random.Random, int], dict[str, int]]
    fitting: Callable[[Numbers], set[int]]
    loose: Callable[[Numbers], set[int]]
    solve: Callable[[Numbers], list[str]]
    grammar: Grammar


def _legs(rng: random.Random, scale: int) -> tuple[int, int, int]:
    """A right triangle in whole numbers: two legs and the hypotenuse."""
    m = rng.randint(2, 2 + scale // 6)
    n, times = rng.randint(1, m - 1), rng.randint(1, 1 + scale // 10)
    legs = [times * (m * m - n * n), times * 2 * m * n]
    rng.shuffle(legs)
    return legs[0], legs[1], times * (m * m + n * n)


def _sides(perimeter: int, side: int) -> Iterator[tuple[int, int]]:
    """The pairs of other sides of a triangle in whole numbers."""
    for one in range(1, perimeter - side):
        other = perimeter - side - one
        if one + other > side and abs(one - other) < side:
            yield one, other


def _isosceles(rng: random.Random, scale: int) -> dict[str, int]:
    leg = rng.randint(4, 4 + 2 * scale)
    base = rng.randint(1, 2 * leg - 1)
    return {"leg": leg, "base": base, "perimeter": 2 * leg + base}


def _angles(rng: random.Random, scale: int, total: int) -> dict[str, int]:
    """Two angles in degrees as m x + n and s x + t that are equal at a whole x, or that add up to `total`."""
    x, m, s = rng.randint(3, 4 + scale // 2), rng.randint(2, 6), rng.randint(2, 6)
    first = rng.randint(20, 160)
    second = total - first if total else first
    return {"m": m, "n": first - m * x, "s": s, "t": second - s * x}


def _pairs_of_angles(numbers: Numbers) -> Iterator[tuple[int, int]]:
    for x in range(1, 180):
        first, second = numbers["m"] * x + numbers["n"], numbers["s"] * x + numbers["t"]
        if 0 < first < 180 and 0 < second < 180:
            yield first, second


def _positive(numbers: dict[str, int]) -> dict[str, int]:
    """With constants that are written with a plus; others make no question."""
    return numbers if min(numbers["n"], numbers["t"]) > 0 and numbers["m"] != numbers["s"] else {**numbers, "m": 0}


def _products(numbers: Numbers, remainder: int) -> int:
    """The greatest common divisor of n(n+1)...(n+k-1) over all n that leave the remainder.

    Taken over k + 1 values in a row, which is exact: all others are whole combinations of the differences of these.
    """
    k, modulus = numbers["k"], numbers["modulus"]
    values = [math.prod(range(modulus * t + remainder, modulus * t + remainder + k)) for t in range(1, k + 2)]
    return math.gcd(*values)


def _digits(numbers: Numbers) -> set[int]:
    return {d for d in range(10) if _with_digit(numbers, d) % numbers["divisor"] == 0}


def _with_digit(numbers: Numbers, digit: int) -> int:
    return (numbers["before"] * 10 + digit) * 10 ** len(str(numbers["after"])) + numbers["after"]


def _power_sums(numbers: Numbers, product: int | None) -> set[int]:
    """x^2 + y^2 of all pairs of positive whole numbers with the sum, and with the product where it is given."""
    total = numbers["total"]
    pairs = [(x, total - x) for x in range(1, total) if product is None or x * (total - x) == product]
    return {x * x + y * y for x, y in pairs}


def _sum_and_product(rng: random.Random, scale: int) -> dict[str, int]:
    x, y = rng.randint(1, scale), rng.randint(1, scale)
    return {"total": x + y, "product": x * y}


def _pitot(rng: random.Random, scale: int) -> dict[str, int]:
    one, two, three = (rng.randint(3, 3 + scale) for _ in range(3))
    return {"one": one, "two": two, "three": three}


def _fourth(numbers: Numbers) -> set[int]:
    """Fourth sides that close the quadrilateral, of which the largest side is shorter than the others together."""
    three = [numbers["one"], numbers["two"], numbers["three"]]
    return {side for side in range(1, sum(three)) if 2 * max(*three, side) < sum(three) + side}


_TRIANGLE = (
    "angle {b} is as large as angle {c}",
    "the angles at {b} and {c} are equal",
    "the median from {a} is perpendicular to {b}{c}",
    "the bisector of the angle at {a} meets {b}{c} at a right angle",
    "the altitudes from {b} and {c} are equally long",
)
_PARALLEL = ("the lines p and q are parallel", "p runs parallel to q", "p and q have the same direction")
_STAGE = ("A third line crosses p and q.", "The lines p and q are cut by a transversal.")

_ALL = (
    FactFamily(
        "isosceles_base",
        "the triangle is isosceles",
        _isosceles,
        lambda n: {base for other, base in _sides(n["perimeter"], n["leg"]) if other == n["leg"]},
        lambda n: {base for _, base in _sides(n["perimeter"], n["leg"])},
        lambda n: [
            "The triangle is isosceles, so both legs are equal.",
            f"legs: {n['leg']} + {n['leg']} = {2 * n['leg']}",
            f"base: {n['perimeter']} - {2 * n['leg']} = {n['base']}",
        ],
        {
            "question": (
                "In triangle {a}{b}{c}, {hypothesis}. {given} {ask}",
                "Triangle {a}{b}{c} is such that {hypothesis}. {given} {ask}",
                "{given_of} In it {hypothesis}. {ask}",
            ),
            "hypothesis": _TRIANGLE,
            "given": (
                "Its perimeter is {perimeter} and {a}{b} = {leg}.",
                "{a}{b} = {leg}; the perimeter is {perimeter}.",
            ),
            "given_of": ("A triangle {a}{b}{c} has perimeter {perimeter} and {a}{b} = {leg}.",),
            "ask": ("How long is {b}{c}?", "Find {b}{c}.", "What is the length of {b}{c}?"),
        },
    ),
    FactFamily(
        "isosceles_leg",
        "the triangle is isosceles",
        _isosceles,
        lambda n: {one for one, other in _sides(n["perimeter"], n["base"]) if one == other},
        lambda n: {one for one, _ in _sides(n["perimeter"], n["base"])},
        lambda n: [
            "The triangle is isosceles, so both legs are equal.",
            f"legs together: {n['perimeter']} - {n['base']} = {2 * n['leg']}",
            f"one leg: {2 * n['leg']} / 2 = {n['leg']}",
        ],
        {
            "question": ("In triangle {a}{b}{c}, {hypothesis}. {given} {ask}", "{given} {ask} Note that {hypothesis}."),
            "hypothesis": _TRIANGLE,
            "given": ("Triangle {a}{b}{c} has perimeter {perimeter}, and {b}{c} = {base}.",),
            "ask": ("How long is {a}{c}?", "Find {a}{b}.", "What is the length of {a}{b}?"),
        },
    ),
    FactFamily(
        "diameter",
        "the angle in a semicircle is right",
        lambda rng, scale: dict(zip(("one", "two", "chord"), _legs(rng, scale), strict=True)),
        lambda n: {side for side in range(1, n["one"] + n["two"]) if side**2 == n["one"] ** 2 + n["two"] ** 2},
        lambda n: set(range(abs(n["one"] - n["two"]) + 1, n["one"] + n["two"])),
        lambda n: [
            "The angle over a diameter is right, so the squares of the legs add up.",
            f"{n['one']}^2 + {n['two']}^2 = {n['chord'] ** 2}",
            f"sqrt({n['chord'] ** 2}) = {n['chord']}",
        ],
        {
            "question": (
                "{scene}, and {hypothesis}. {given} {ask}",
                "{scene}. {given} {ask} You know that {hypothesis}.",
            ),
            "scene": ("The points {a}, {b} and {c} lie on a circle", "A circle goes through {a}, {b} and {c}"),
            "hypothesis": ("{a}{b} is a diameter of it", "the centre of the circle is the midpoint of {a}{b}"),
            "given": ("{a}{c} = {one} and {b}{c} = {two}.", "The chord {a}{c} measures {one}, {b}{c} measures {two}."),
            "ask": ("How long is {a}{b}?", "Find {a}{b}."),
        },
    ),
    FactFamily(
        "alternate_angles",
        "alternate interior angles at parallel lines are equal",
        lambda rng, scale: _positive(_angles(rng, scale, 0)),
        lambda n: {first for first, second in _pairs_of_angles(n) if first == second},
        lambda n: {first for first, _ in _pairs_of_angles(n)},
        lambda n: [
            "The lines are parallel, so the alternate angles are equal.",
            f"{n['m']}x + {n['n']} = {n['s']}x + {n['t']}",
            f"x = ({n['t']} - {n['n']}) / ({n['m']} - {n['s']}) = {(n['t'] - n['n']) // (n['m'] - n['s'])}",
            f"angle: {n['m']} * {(n['t'] - n['n']) // (n['m'] - n['s'])} + {n['n']}"
            f" = {n['m'] * ((n['t'] - n['n']) // (n['m'] - n['s'])) + n['n']}",
        ],
        {
            "question": (
                "{stage} It is known that {hypothesis}. {given} {ask}",
                "{stage} {given} Since {hypothesis}, {ask_on}",
            ),
            "stage": _STAGE,
            "hypothesis": _PARALLEL,
            "given": ("Two alternate interior angles measure ({m}x + {n}) and ({s}x + {t}) degrees.",),
            "ask": ("How many degrees has the first of them?", "Find the first angle, in degrees."),
            "ask_on": ("how many degrees has the first of them?", "what is the first angle, in degrees?"),
        },
    ),
    FactFamily(
        "cointerior_angles",
        "interior angles on the same side add up to 180 degrees at parallel lines",
        lambda rng, scale: _positive(_angles(rng, scale, 180)),
        lambda n: {first for first, second in _pairs_of_angles(n) if first + second == 180},
        lambda n: {first for first, _ in _pairs_of_angles(n)},
        lambda n: [
            "The lines are parallel, so the two angles add up to 180 degrees.",
            f"{n['m'] + n['s']}x + {n['n'] + n['t']} = 180",
            f"x = {180 - n['n'] - n['t']} / {n['m'] + n['s']} = {(180 - n['n'] - n['t']) // (n['m'] + n['s'])}",
            f"angle: {n['m']} * {(180 - n['n'] - n['t']) // (n['m'] + n['s'])} + {n['n']}"
            f" = {n['m'] * ((180 - n['n'] - n['t']) // (n['m'] + n['s'])) + n['n']}",
        ],
        {
            "question": (
                "{stage} It is known that {hypothesis}. {given} {ask}",
                "{given_of} Given that {hypothesis}, {ask_on}",
            ),
            "stage": _STAGE,
            "hypothesis": _PARALLEL,
            "given": ("Two interior angles on the same side of it measure ({m}x + {n}) and ({s}x + {t}) degrees.",),
            "given_of": (
                "A transversal of p and q makes interior angles of ({m}x + {n}) and ({s}x + {t}) degrees on one side.",
            ),
            "ask": ("How many degrees has the first of them?", "Find the first angle, in degrees."),
            "ask_on": ("how many degrees has the first of them?", "what is the first angle, in degrees?"),
        },
    ),
    FactFamily(
        "tangential",
        "opposite sides of a quadrilateral around a circle have equal sums",
        _pitot,
        lambda n: {side for side in _fourth(n) if n["one"] + n["three"] == n["two"] + side},
        _fourth,
        lambda n: [
            "A circle touches all sides, so opposite sides have equal sums.",
            f"{n['one']} + {n['three']} = {n['one'] + n['three']}",
            f"{n['one'] + n['three']} - {n['two']} = {n['one'] + n['three'] - n['two']}",
        ],
        {
            "question": (
                "{hypothesis} of the quadrilateral {a}{b}{c}O. {given} {ask}",
                "{given_of} {hypothesis} of it. {ask}",
            ),
            "hypothesis": ("A circle touches all four sides", "There is a circle tangent to the four sides"),
            "given": ("{a}{b} = {one}, {b}{c} = {two} and {c}O = {three}.",),
            "given_of": ("A quadrilateral {a}{b}{c}O has {a}{b} = {one}, {b}{c} = {two} and {c}O = {three}.",),
            "ask": ("How long is O{a}?", "Find the side O{a}."),
        },
    ),
    FactFamily(
        "common_divisor",
        "a product of consecutive integers is divisible by a fixed number",
        lambda rng, scale: {
            "k": rng.randint(2, 3 + scale // 15),
            "modulus": (modulus := rng.randint(2, 3 + scale // 8)),
            "remainder": rng.randrange(modulus),
        },
        lambda n: {_products(n, n["remainder"])},
        lambda n: {_products(n, remainder) for remainder in range(n["modulus"])},
        lambda n: [
            *(f"n = {v}: {math.prod(range(v, v + n['k']))}" for v in _first_values(n)),
            f"{n['k'] + 1} values in a row decide for a product of {n['k']} factors",
            f"greatest common divisor: {_products(n, n['remainder'])}",
        ],
        {
            "question": ("Let n be a positive integer. {condition} {ask}", "{ask_if}"),
            "condition": ("Suppose that {hypothesis}.", "It is given that {hypothesis}."),
            "hypothesis": ("n leaves the remainder {remainder} when divided by {modulus}",),
            "what": ("the product of the {k} consecutive integers that begin with n",),
            "ask": ("What is the largest integer that always divides {what}?",),
            "ask_if": ("What is the largest integer that divides {what}, whenever {hypothesis}?",),
        },
    ),
    FactFamily(
        "missing_digit",
        "the number is divisible",
        lambda rng, scale: {
            "before": rng.randint(1, 20 * scale),
            "after": rng.randint(1, 20 * scale),
            "divisor": rng.choice((7, 9, 11, 13, 17, 19)),
        },
        _digits,
        lambda n: set(range(10)),
        lambda n: [
            *(f"{_with_digit(n, d)} mod {n['divisor']} = {_with_digit(n, d) % n['divisor']}" for d in range(10)),
        ],
        {
            "question": (
                "One digit of {before}?{after} can't be read, but {hypothesis}. {ask}",
                "{ask} The number is {before}?{after}, and {hypothesis}.",
            ),
            "hypothesis": ("the whole number is divisible by {divisor}", "{divisor} divides the number"),
            "ask": (
                "Which digit stands at the question mark?",
                "What is the unreadable digit, shown as a question mark?",
            ),
        },
    ),
    FactFamily(
        "sum_and_product",
        "the sum of the squares is fixed by sum and product",
        _sum_and_product,
        lambda n: _power_sums(n, n["product"]),
        lambda n: _power_sums(n, None),
        lambda n: [
            f"(x + y)^2 = {n['total'] ** 2}",
            f"2xy = {2 * n['product']}",
            f"x^2 + y^2 = {n['total'] ** 2} - {2 * n['product']} = {n['total'] ** 2 - 2 * n['product']}",
        ],
        {
            "question": (
                "Two numbers x and y add up to {total}, and {hypothesis}. {ask}",
                "{ask_if} x + y = {total} and {hypothesis}?",
            ),
            "hypothesis": ("their product is {product}", "xy = {product}"),
            "ask": ("What is the sum of their squares?", "Find x^2 + y^2."),
            "ask_if": ("What is x^2 + y^2 if",),
        },
    ),
)


def _first_values(numbers: Numbers) -> list[int]:
    return [numbers["modulus"] * t + numbers["remainder"] for t in range(1, numbers["k"] + 2)]


FACTS: Mapping[str, FactFamily] = {family.name: family for family in _ALL}
