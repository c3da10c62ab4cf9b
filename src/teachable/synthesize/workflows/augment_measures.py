"""How a variant relates to the problem that it was made from: what it kept, and whether it is harder or easier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from teachable.records import Completion
from teachable.synthesize.checks.rubric import folded
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.augment_problems import REPEATS, numbers_in, overlap, words_in

Way: TypeAlias = Literal["harder", "easier", "numbers", "context", "composed"]
WAYS: tuple[Way, ...] = ("harder", "easier", "numbers", "context", "composed")

SAME_WORDS = 0.6  # Jaccard similarity of words from which two problems tell one story
OTHER_WORDS = 0.75  # and up to which they tell two
MIN_KEPT = 0.25  # share of what only one of two problems has that a composition of both must have
SAME_NUMBERS, OTHER_STORY = "the numbers are the same", "the story is another"
OTHER_NUMBERS, SAME_STORY = "the numbers are others", "the story is the same"
LEFT_OUT = "one of the two problems is left out"


def misses_its_way(way: Way, question: str, seed: str, partner: str = "") -> Fault | None:
    """Why a question is no variant of that kind, as far as its words and numbers tell; None where they don't."""
    if partner and folded(question) == folded(partner):
        return Fault(REPEATS, "The problem must not repeat one of the two.")
    if way == "numbers":
        if numbers_in(question) == numbers_in(seed):
            return Fault(SAME_NUMBERS, "The numbers must be other ones.")
        if overlap(words_in(question), words_in(seed)) < SAME_WORDS:
            return Fault(OTHER_STORY, "Only the numbers may change; keep the words as they are.")
    if way == "context":
        if numbers_in(question) != numbers_in(seed):
            return Fault(OTHER_NUMBERS, "Every number must stay, written in digits as it was, and no other may come.")
        if overlap(words_in(question), words_in(seed)) > OTHER_WORDS:
            return Fault(SAME_STORY, "The people, things and places must be other ones.")
    if way == "composed" and min(_kept(question, seed, partner), _kept(question, partner, seed)) < MIN_KEPT:
        return Fault(LEFT_OUT, "The new problem must hold what both problems are about.")
    return None


def _kept(question: str, one: str, other: str) -> float:
    """How much of what only `one` has, against `other`, stands in the question: of its numbers or its words, the more.

    Both are shares, in [0, 1]; 1 where it has nothing of its own.
    """
    shares = []
    for marks in (_numbers, _long_words):
        own = marks(one) - marks(other)
        shares += [len(own & marks(question)) / len(own)] if own else []
    return max(shares, default=1.0)


def _numbers(text: str) -> frozenset[str]:
    return frozenset(numbers_in(text))


def _long_words(text: str) -> frozenset[str]:
    return frozenset(word for word in words_in(text) if len(word) > 2)


@dataclass(frozen=True)
class Effort:
    """What a problem takes: the share of samples that solve it, and the median length of those, in characters.

    `length` is None where no sample solves it.
    """

    agreement: float
    length: float | None


def effort(solutions: Sequence[Completion], k: int) -> Effort:
    """The effort of k samples of which these solve the problem."""
    return Effort(len(solutions) / k, median(len(one.text) for one in solutions) if solutions else None)


def shift(before: Effort, after: Effort, min_shift: float, min_growth: float) -> int:
    """1 where a problem takes more than the other, -1 where it takes less, 0 where that can't be told.

    It takes more if it is solved less often by `min_shift`, or its solutions are `min_growth` times as long, and the
    other sign does not point the opposite way. Of few samples the shares are coarse: where both problems are solved
    85% of the time, 8 samples each, the second has two votes less in 14% of all cases, and four less in 0.7%.

    Args:
        min_shift: of the shares, in (0, 1].
        min_growth: of the lengths, above 1.
    """
    solved = before.agreement - after.agreement
    by_votes = (solved >= min_shift - 1e-9) - (solved <= -min_shift + 1e-9)
    by_length = 0
    if before.length and after.length:
        growth = after.length / before.length
        by_length = (growth >= min_growth) - (growth <= 1 / min_growth)
    return 0 if by_votes * by_length < 0 else by_votes or by_length
