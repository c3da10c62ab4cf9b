"""Theorems as questions: each has one answer, the conclusion decides it, and another program finds it too."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import pytest

from teachable.synthesize.workflows.rules_facts import Fact, facts, fault_of
from teachable.synthesize.workflows.rules_theorems import FACTS, N_LEVELS

N = 60


def sample(name: str) -> list[Fact]:
    return [fact for level in range(1, N_LEVELS + 1) for fact in islice(facts(name, level, 3), N)]


def read(pattern: str, text: str) -> list[int]:
    found = re.search(pattern, text)
    assert found, text
    return [int(number) for number in found.groups()]


def _perimeter(text: str) -> int:
    return read(r"perimeter (?:is |)(\d+)", text)[0]


def _base(text: str) -> int:
    return _perimeter(text) - 2 * read(r"= (\d+)", text)[0]


def _leg(text: str) -> float:
    return (_perimeter(text) - read(r"= (\d+)", text)[0]) / 2


def _diameter(text: str) -> float:
    one, two = read(r"(?:= |measures )(\d+)\D+?(\d+)", text)
    return math.hypot(one, two)


def _angle(total: bool) -> Callable[[str], float]:
    def found(text: str) -> float:
        m, n, s, t = read(r"\((\d+)x \+ (\d+)\) and \((\d+)x \+ (\d+)\)", text)
        x = (180 - n - t) / (m + s) if total else (t - n) / (m - s)
        return m * x + n

    return found


def _fourth(text: str) -> int:
    one, two, three = read(r"= (\d+)\D+(\d+)\D+(\d+)", text)
    return one + three - two


def _divisor(text: str) -> int:
    k = read(r"the (\d+) consecutive", text)[0]
    remainder, modulus = read(r"remainder (\d+) when divided by (\d+)", text)
    return math.gcd(*(math.prod(range(n, n + k)) for n in range(remainder + modulus, 3000, modulus)))


def _digit(text: str) -> int:
    before, after = re.findall(r"(\d+)\?(\d+)", text)[0]
    found = re.search(r"divisible by (\d+)|\b(\d+) divides", text)
    assert found
    divisor = int(found[1] or found[2])
    digits = [digit for digit in range(10) if int(f"{before}{digit}{after}") % divisor == 0]
    assert len(digits) == 1
    return digits[0]


def _squares(text: str) -> float:
    total = read(r"(?:up to|x \+ y =) (\d+)", text)[0]
    product = read(r"(?:product is|xy =) (\d+)", text)[0]
    root = math.sqrt(total * total / 4 - product)
    return (total / 2 + root) ** 2 + (total / 2 - root) ** 2


# The answer from the question's words alone, by another way than the one that made it.
ORACLES: dict[str, Callable[[str], float]] = {
    "isosceles_base": _base,
    "isosceles_leg": _leg,
    "diameter": _diameter,
    "alternate_angles": _angle(total=False),
    "cointerior_angles": _angle(total=True),
    "tangential": _fourth,
    "common_divisor": _divisor,
    "missing_digit": _digit,
    "sum_and_product": _squares,
}


@pytest.mark.parametrize("name", FACTS)
def test_the_answer_follows_from_the_words(name: str) -> None:
    found = sample(name)
    assert len(found) > N
    for fact in found:
        assert ORACLES[name](fact.question) == pytest.approx(float(fact.answer), rel=1e-9), fact


@pytest.mark.parametrize("name", FACTS)
def test_the_worked_steps_end_at_the_answer(name: str) -> None:
    for fact in sample(name):
        if name == "missing_digit":
            zeros = [place for place, step in enumerate(fact.steps) if step.endswith("= 0")]
            assert [str(place) for place in zeros] == [fact.answer]
        else:
            assert re.findall(r"\d+", fact.steps[-1])[-1] == fact.answer


@pytest.mark.parametrize("name", FACTS)
def test_every_equation_in_the_steps_holds(name: str) -> None:
    for fact in sample(name):
        for step in fact.steps:
            for left, right in re.findall(r"(?:^|: )([\d +*/()-]+) = (\d+)$", step):
                assert eval(left) == int(right), step


@pytest.mark.parametrize("name", FACTS)
def test_each_question_comes_once_and_the_seed_decides(name: str) -> None:
    first, again, other = (list(islice(facts(name, 2, seed), 20)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({fact.key for fact in first}) == len(first)


def test_levels_grow() -> None:
    means = [sum(int(f.answer) for f in islice(facts("isosceles_leg", n, 0), N)) for n in range(1, N_LEVELS + 1)]
    assert means == sorted(means)
    assert means[0] * 3 < means[-1]


def test_a_level_with_few_questions_ends() -> None:
    assert 5 < len(list(islice(facts("common_divisor", 1, 0), 500))) < 100


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"answer": "8"}, "its answer does not fit"),
        ({"otherwise": "5"}, "the conclusion does not decide the answer"),
        ({"otherwise": "400"}, "the conclusion does not decide the answer"),
        ({"hypothesis": "the triangle is large"}, "the hypothesis is not in the question"),
        ({"question": "5? angle B is as large as angle C"}, "the answer stands in the question"),
    ],
)
def test_a_question_that_is_not_in_order_is_found(changed: dict[str, str], said: str) -> None:
    fact = Fact(
        family="isosceles_base",
        level=1,
        question="Triangle ABC has perimeter 19, AB = 7, and angle B is as large as angle C. Find BC.",
        answer="5",
        hypothesis="angle B is as large as angle C",
        otherwise="4",
        numbers={"leg": 7, "base": 5, "perimeter": 19},
        steps=(),
    )
    assert fault_of(fact) == ""
    assert fault_of(replace(fact, **changed)) == said  # type: ignore[arg-type]


def test_two_answers_that_fit_are_found() -> None:
    fact = Fact("missing_digit", 1, "", "0", "", "1", {"before": 1, "after": 8, "divisor": 9}, ())
    assert fault_of(fact) == "its answer is not the only one that fits"
