"""Statements that are hard to verify, as questions with one short answer, written and checked by a program.

"Prove that triangle ABC is isosceles" has no answer that could be compared. With lengths that fit, and one of them
asked for, it has: whoever sees the conclusion finds the number, and nobody else does (Phi-4-reasoning Technical Report,
arXiv:2504.21318, section 2). Each family takes one theorem (`rules_theorems.py`), and what it makes is checked by
search:

- `fitting` finds every answer that fits all that the question says: there must be one, the stated one;
- `loose` finds those that fit when the hypothesis is left out: there must be others, so the conclusion decides.

The answer never stands among the numbers of the question.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from teachable.synthesize.workflows.rules_grammar import expand
from teachable.synthesize.workflows.rules_theorems import FACTS, FactFamily

_MAX_DRAWS = 2000  # in a row without a new question: the level has no more to give
_NAMES = ("ABC", "PQR", "XYZ", "KLM", "DEF", "RST", "UVW")


@dataclass(frozen=True)
class Fact:
    """A question of a family, with its answer, and a value that would do if the conclusion did not hold."""

    family: str
    level: int
    question: str
    answer: str
    hypothesis: str
    otherwise: str
    numbers: Mapping[str, int]
    steps: tuple[str, ...]

    @property
    def key(self) -> str:
        """What is left of it without its phrasing."""
        return f"{self.family} {' '.join(f'{name}={number}' for name, number in sorted(self.numbers.items()))}"


def facts(name: str, level: int, seed: int) -> Iterator[Fact]:
    """Questions of a family and level, each once, until it has no more to give; the same for the same seed."""
    family = FACTS[name]
    rng = random.Random(f"{name} {level} {seed}")
    seen: set[str] = set()
    n_misses = 0
    while n_misses < _MAX_DRAWS:
        fact = _fact(family, level, rng)
        if fact is None or fact.key in seen:
            n_misses += 1
            continue
        n_misses = 0
        seen.add(fact.key)
        yield fact


def fault_of(fact: Fact) -> str:
    """What is wrong with a question, by search; "" where it has one answer, and the conclusion decides it."""
    family = FACTS[fact.family]
    fitting = {str(answer) for answer in family.fitting(fact.numbers)}
    if fitting != {fact.answer}:
        return "its answer is not the only one that fits" if fact.answer in fitting else "its answer does not fit"
    if fact.otherwise == fact.answer or fact.otherwise not in {str(one) for one in family.loose(fact.numbers)}:
        return "the conclusion does not decide the answer"
    if fact.hypothesis not in fact.question:
        return "the hypothesis is not in the question"
    return "the answer stands in the question" if fact.answer in re.findall(r"\d+", fact.question) else ""


def _fact(family: FactFamily, level: int, rng: random.Random) -> Fact | None:
    """A question that passes its own check, None where this draw does not make one."""
    numbers = family.draw(rng, 10 * 3 ** (level - 1))
    a, b, c = tuple(rng.choice(_NAMES))
    letters = {"a": a, "b": b, "c": c}
    question, chosen = expand(family.grammar, "question", {**numbers, **letters}, rng)
    fitting = sorted(family.fitting(numbers))
    others = sorted(family.loose(numbers) - set(fitting))
    if len(fitting) != 1 or not others:
        return None
    fact = Fact(
        family=family.name,
        level=level,
        question=question,
        answer=str(fitting[0]),
        hypothesis=chosen["hypothesis"],
        otherwise=str(others[len(others) // 2]),
        numbers=numbers,
        steps=tuple(family.solve(numbers)),
    )
    return None if fault_of(fact) else fact
