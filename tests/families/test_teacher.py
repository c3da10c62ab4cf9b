"""The teacher is right in every line, and its spoilt steps are wrong in one character and nowhere else."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.families.conftest import KINDS, SEEDS, Draw

from teachable.families import teacher
from teachable.families.catalog import FAMILIES, to_prompt
from teachable.verify import get, prove_on_gold

Entry = Mapping[str, Any]
STEPS = st.lists(st.text("abc 019+=:,", max_size=12), max_size=6)


def computed(expression: str) -> int:
    """The value of `a`, `a + b`, `a - b`, `a / b` or `a mod b`, worked out here and not by the teacher."""
    match = re.fullmatch(r"(-?\d+)(?: (\+|-|/|mod) (-?\d+))?", expression)
    assert match, expression
    left, sign, right = int(match[1]), match[2], int(match[3] or 0)
    if sign == "/":
        assert left % right == 0, expression
    return {None: left, "+": left + right, "-": left - right, "/": left // right if right else 0}.get(
        sign, left % right if right else 0
    )


def follow_sum(entry: Entry, steps: list[str]) -> str:
    """Each line starts from the last one's total, and the signs and terms are those of the question."""
    expression, *_ = re.findall(r"\d+(?: [+-] \d+)+", entry["question"])
    said = expression.split()[0]
    total = int(said)
    for step in steps:
        left, right = step.split(" = ")
        assert int(left.split()[0]) == total
        total = computed(left)
        assert int(right) == total
        said += left.removeprefix(left.split()[0])
    assert said == expression
    return str(total)


def follow_equation(entry: Entry, steps: list[str]) -> str:
    """Every part of a line that is linked by an equals sign has the same value once the unknown has its own."""
    unknown, value = entry["metadata"]["variable"], int(entry["answer"])
    for step in steps:
        left, *parts = step.split(" = ")
        factor = left.removesuffix(unknown).removesuffix("*") or "1"
        assert {computed(part) for part in parts} == {int(factor) * value}
    return steps[-1].split(" = ")[-1]


def follow_gcd(entry: Entry, steps: list[str]) -> str:
    """Euclid: each line divides the last divisor by the last remainder, down to a remainder of 0."""
    pair = sorted(entry["metadata"]["numbers"], reverse=True)
    for step in steps:
        left, remainder = step.split(" = ")
        assert [int(n) for n in left.split(" mod ")] == pair
        assert int(remainder) == computed(left)
        pair = [pair[1], int(remainder)]
    assert pair[1] == 0
    return str(pair[0])


def follow_letters(entry: Entry, steps: list[str]) -> str:
    letter, total = entry["metadata"]["target_letter"], 0
    assert [step.split(":")[0] for step in steps] == entry["metadata"]["span"]
    for step in steps:
        word, counts = step.split(": ")
        here, so_far = (int(n) for n in counts.split(", "))
        assert here == sum(c == letter for c in word.lower())
        total += here
        assert so_far == total
    return str(total)


def follow_spelling(entry: Entry, steps: list[str]) -> str:
    forward, backward = (step.split(" ") for step in steps)
    assert "".join(forward) == entry["metadata"]["word"]
    assert forward == backward[::-1]
    return "".join(backward)


FOLLOW: Mapping[str, Callable[[Entry, list[str]], str]] = {
    "chain_sum": follow_sum,
    "simple_equations": follow_equation,
    "gcd": follow_gcd,
    "letter_counting": follow_letters,
    "spell_backward": follow_spelling,
}


@pytest.mark.parametrize(("name", "level"), KINDS)
def test_the_tasks_own_verifier_accepts_the_teacher(draw: Draw, name: str, level: int) -> None:
    for entry in (entry for seed in SEEDS for entry in draw(name, level, seed)):
        prompt = to_prompt(name, level, entry)
        text = teacher.response(FAMILIES[name].solve(entry), entry["answer"])
        verdict = asyncio.run(get(prompt.verifier).verify(text, prompt))
        assert verdict.correct, (prompt.text, text, verdict)


@pytest.mark.parametrize(("name", "level"), KINDS)
def test_the_verifier_is_proven_on_every_question(draw: Draw, name: str, level: int) -> None:
    assert prove_on_gold([to_prompt(name, level, entry) for entry in draw(name, level, SEEDS[0])]) == []


@pytest.mark.parametrize(("name", "level"), KINDS)
def test_the_steps_are_right_and_lead_to_the_answer(draw: Draw, name: str, level: int) -> None:
    """The verifier reads the last line alone; the lines that a model learns from are followed one by one here."""
    for entry in (entry for seed in SEEDS for entry in draw(name, level, seed)):
        steps = FAMILIES[name].solve(entry)
        assert steps
        assert FOLLOW[name](entry, steps) == entry["answer"], (entry["question"], steps)


def test_an_equation_without_a_whole_solution_is_refused() -> None:
    with pytest.raises(ValueError, match="not whole"):
        teacher.simple_equations({"metadata": {"variable": "x", "equation": "2*x + 1 = 4"}})


@pytest.mark.parametrize(
    ("equation", "steps"),
    [
        ("x + 3 = 7", ["1*x = 7 - 3 = 4", "x = 4 / 1 = 4"]),
        ("3*x - 2 = 10", ["3*x = 10 + 2 = 12", "x = 12 / 3 = 4"]),
        ("9 - 2*x = 1", ["-2*x = 1 - 9 = -8", "x = -8 / -2 = 4"]),
        ("5*x = 20", ["x = 20 / 5 = 4"]),
    ],
)
def test_equations_of_every_shape(equation: str, steps: list[str]) -> None:
    assert teacher.simple_equations({"metadata": {"variable": "x", "equation": equation}}) == steps


def test_a_response_ends_with_the_answer_line() -> None:
    assert teacher.response(["1 + 2 = 3"], "3") == "1 + 2 = 3\nAnswer: 3"
    assert teacher.response([], "3") == "Answer: 3"


def differences(one: str, other: str) -> list[tuple[str, str]]:
    assert len(one) == len(other)
    return [(a, b) for a, b in zip(one, other, strict=True) if a != b]


@given(steps=STEPS, seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_a_spoilt_line_differs_in_one_digit_or_one_letter(steps: list[str], seed: int, share: float) -> None:
    spoilt = teacher.corrupt(steps, random.Random(seed), share)
    assert len(spoilt) == len(steps)
    for step, other in zip(steps, spoilt, strict=True):
        changed = differences(step, other)
        assert len(changed) <= 1
        for before, after in changed:
            # In a line with a digit a digit is wrong, since letters there are only names.
            assert before.isdigit() == after.isdigit() == any(c.isdigit() for c in step)


@given(steps=STEPS, seed=st.integers(0, 1000))
def test_a_share_of_none_spoils_nothing_and_of_one_every_line(steps: list[str], seed: int) -> None:
    assert teacher.corrupt(steps, random.Random(seed), 0.0) == steps
    for step, other in zip(steps, teacher.corrupt(steps, random.Random(seed), 1.0), strict=True):
        can_be_wrong = any(c.isdigit() or c.isalpha() for c in step)
        assert (step != other) == can_be_wrong


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_about_the_share_of_lines_is_wrong(share: float) -> None:
    steps = [f"{i} + 1 = {i + 1}" for i in range(4000)]
    spoilt = teacher.corrupt(steps, random.Random(3), share)
    wrong = sum(a != b for a, b in zip(steps, spoilt, strict=True)) / len(steps)
    assert abs(wrong - share) < 4 * math.sqrt(share * (1 - share) / len(steps))


def test_any_digit_of_a_line_may_be_the_wrong_one() -> None:
    spoilt = [teacher.corrupt(["12 + 34"], random.Random(seed), 1.0)[0] for seed in range(200)]
    assert {i for line in spoilt for i, c in enumerate(line) if c != "12 + 34"[i]} == {0, 1, 5, 6}
