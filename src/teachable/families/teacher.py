"""The rule-based teacher: short worked steps for each built-in family, written by a program.

The teacher never decides whether it is right: its whole response goes through the task's own verifier
before anybody trains on it. Steps are short on purpose (a model of half a million parameters has to learn
them), one small operation a line.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Mapping
from typing import Any

Entry = Mapping[str, Any]

ANSWER_MARK = "Answer: "


def response(steps: list[str], answer: str) -> str:
    """The steps and the final answer line."""
    return "\n".join([*steps, ANSWER_MARK + answer])


def signed_terms(expression: str) -> list[int]:
    """The signed terms of `a + b - c`."""
    return [int(t.replace(" ", "")) for t in re.findall(r"(?:^|[+-])\s*\d+", expression)]


def chain_sum(entry: Entry) -> list[str]:
    """Left to right, one operation a line, each sign as the question has it."""
    first, *rest = re.findall(r"([+-]?)\s*(\d+)", entry["metadata"]["expression"])
    total = int(first[0] + first[1])
    steps = []
    for sign, size in rest:
        result = total + int(size) if sign == "+" else total - int(size)
        steps.append(f"{total} {sign} {size} = {result}")
        total = result
    return steps


def simple_equations(entry: Entry) -> list[str]:
    """Move the constant over, then divide by the coefficient."""
    meta = entry["metadata"]
    unknown = str(meta["variable"])
    left, right = str(meta["equation"]).split(" = ")
    coefficient = constant = 0
    for sign, term in re.findall(r"([+-]?)\s*([^\s+-]+)", left):
        factor = -1 if sign == "-" else 1
        if unknown in term:
            number = term.replace(f"*{unknown}", "").replace(unknown, "1")
            coefficient += factor * int(number)
        else:
            constant += factor * int(term)
    target = int(right) - constant
    if target % coefficient:
        raise ValueError(f"the solution of {meta['equation']!r} is not whole")
    sign, size = ("-", constant) if constant >= 0 else ("+", -constant)
    steps = [f"{coefficient}*{unknown} = {int(right)} {sign} {size} = {target}"] if constant else []
    return [*steps, f"{unknown} = {target} / {coefficient} = {target // coefficient}"]


def gcd(entry: Entry) -> list[str]:
    """Euclid's algorithm, one remainder a line."""
    a, b = sorted((int(n) for n in entry["metadata"]["numbers"]), reverse=True)
    steps = []
    while b:
        steps.append(f"{a} mod {b} = {a % b}")
        a, b = b, a % b
    return steps


def letter_counting(entry: Entry) -> list[str]:
    """Each word with its own count and the count so far."""
    letter, total, steps = str(entry["metadata"]["target_letter"]), 0, []
    for word in entry["metadata"]["span"]:
        n = word.lower().count(letter)
        total += n
        steps.append(f"{word}: {n}, {total}")
    return steps


def spell_backward(entry: Entry) -> list[str]:
    """The word letter by letter, then the letters from the last to the first."""
    word = str(entry["metadata"]["word"])
    return [" ".join(word), " ".join(reversed(word))]


def corrupt(steps: list[str], rng: random.Random, share: float) -> list[str]:
    """Steps in which about `share` of the lines have one digit (or, without digits, one letter) replaced.

    What a base model reads on the web: reasoning that is often wrong in the middle.
    """
    spoilt = []
    for step in steps:
        alphabet = string.digits if any(c.isdigit() for c in step) else string.ascii_lowercase
        places = [i for i, c in enumerate(step) if c in alphabet]
        if places and rng.random() < share:
            at = rng.choice(places)
            other = rng.choice([c for c in alphabet if c != step[at]])
            step = step[:at] + other + step[at + 1 :]
        spoilt.append(step)
    return spoilt
