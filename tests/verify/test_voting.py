"""Plurality by equivalence: with planted classes of answers, and with the real verifiers."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.verify.voting import Plurality, _vote, plurality


class Planted:
    """Answers "CLASS:FORM", equal within a class.

    The key names the class, and is exact, for forms below `n_keyed`. A form from there on has a key of its own, or none
    when it is odd, and must be compared.
    """

    def __init__(self, n_keyed: int, tells: Callable[[str, str], bool] = lambda first, second: True) -> None:
        self.n_keyed = n_keyed
        self.tells = tells
        self.n_calls = 0
        self.pairs: Counter[frozenset[str]] = Counter()

    def key(self, answer: str) -> str | None:
        label, form = answer.split(":")
        if int(form) < self.n_keyed:
            return f"={label}"
        return None if int(form) % 2 else answer

    def equal(self, first: str, second: str) -> bool | None:
        self.n_calls += 1
        self.pairs[frozenset((first, second))] += 1
        both = [self.key(first) or "none", self.key(second) or "no other"]
        assert both[0] != both[1], "two groups of one key were compared"
        assert not all(key.startswith("=") for key in both), "two exact keys were compared"
        return first.split(":")[0] == second.split(":")[0] if self.tells(first, second) else None

    def vote(self, answers: list[str | None], max_comparisons: int = 10**6) -> Plurality:
        return _vote(answers, self.key, self.equal, max_comparisons)


def partition(vote: Plurality, answers: list[str | None]) -> set[frozenset[str | None]]:
    return {frozenset(answers[index] for index in group.indices) for group in vote.groups}


ANSWERS = st.lists(st.none() | st.builds("{}:{}".format, st.integers(0, 4), st.integers(0, 5)), min_size=0, max_size=40)


@given(ANSWERS, st.integers(0, 6), st.randoms())
@settings(max_examples=300, deadline=None)
def test_planted_classes_are_found_whatever_the_order(
    answers: list[str | None], n_keyed: int, rng: random.Random
) -> None:
    vote = Planted(n_keyed).vote(answers)
    given_answers = [answer for answer in answers if answer is not None]
    sizes = Counter(answer.split(":")[0] for answer in given_answers)
    assert sorted(len(group.indices) for group in vote.groups) == sorted(sizes.values())
    # Every attempt that answers is in one group only, and those that do not are counted.
    indices = sorted(index for group in vote.groups for index in group.indices)
    assert indices == [index for index, answer in enumerate(answers) if answer is not None]
    assert (vote.n, vote.n_without) == (len(given_answers), len(answers) - len(given_answers))
    # The order of the groups, and the texts that stand for them.
    places = [(-len(group.indices), group.indices[0]) for group in vote.groups]
    assert places == sorted(places)
    for group in vote.groups:
        texts = Counter(answers[index] for index in group.indices)
        assert texts[group.answer] == max(texts.values())
    # The formulas.
    shares = [*sorted((size / max(vote.n, 1) for size in sizes.values()), reverse=True), 0.0, 0.0]
    assert vote.agreement == pytest.approx(shares[0])
    assert vote.margin == pytest.approx(shares[0] - shares[1])
    assert vote.entropy == pytest.approx(-sum(share * math.log(share) for share in shares if share))
    assert (vote.answer, vote.votes) == ((vote.groups[0].answer, max(sizes.values())) if sizes else (None, 0))
    # The partition does not depend on the order.
    shuffled = list(answers)
    rng.shuffle(shuffled)
    assert partition(Planted(n_keyed).vote(shuffled), shuffled) == partition(vote, answers)


@given(st.lists(st.sampled_from("abcdef"), max_size=12), st.randoms(), st.randoms())
@settings(max_examples=200, deadline=None)
def test_the_partition_is_one_also_where_equivalence_is_not_transitive(
    answers: list[str], rng: random.Random, relation: random.Random
) -> None:
    related = {frozenset(pair) for pair in ("ab", "bc", "cd", "de", "ef", "fa") if relation.random() < 0.6}

    def vote(texts: list[str]) -> Plurality:
        return _vote(texts, lambda text: text, lambda a, b: frozenset((a, b)) in related, 10**6)

    shuffled = list(answers)
    rng.shuffle(shuffled)
    assert partition(vote(shuffled), list(shuffled)) == partition(vote(answers), list(answers))


def test_ten_thousand_attempts_need_few_comparisons() -> None:
    rng = random.Random(7)
    classes = [int(rng.triangular(0, 20, 0)) for _ in range(10_000)]
    answers: list[str | None] = [f"{label}:{rng.randrange(10)}" for label in classes]
    planted = Planted(n_keyed=8)  # eight forms have the class's key, two have to be compared
    vote = planted.vote(answers, max_comparisons=1000)
    assert [len(group.indices) for group in vote.groups] == sorted(Counter(classes).values(), reverse=True)
    assert planted.n_calls == vote.n_comparisons <= 40 * 20
    assert max(planted.pairs.values()) == 1  # no pair twice
    assert vote.n_undecided == 0


def test_exact_keys_alone_need_no_comparison() -> None:
    planted = Planted(n_keyed=10)
    vote = planted.vote([f"{index % 2000}:{index % 7}" for index in range(10_000)])
    assert len(vote.groups) == 2000
    assert (planted.n_calls, vote.n_comparisons, vote.n_undecided) == (0, 0, 0)


def test_beyond_the_bound_groups_stay_apart_and_are_counted() -> None:
    answers: list[str | None] = [f"{label}:{form}" for label in range(4) for form in (2, 4, 6)]
    planted = Planted(n_keyed=0)
    vote = planted.vote(answers, max_comparisons=5)
    assert planted.n_calls == vote.n_comparisons == 5
    assert vote.n_undecided > 0
    assert sum(len(group.indices) for group in vote.groups) == len(answers)
    assert all(len({answers[i].split(":")[0] for i in group.indices}) == 1 for group in vote.groups)  # type: ignore[union-attr]


def test_a_comparison_that_could_not_tell_leaves_apart() -> None:
    planted = Planted(n_keyed=0, tells=lambda first, second: "9" not in first + second)
    vote = planted.vote(["1:2", "1:4", "1:9", "2:2", "3:2", "4:2"])
    assert [group.indices for group in vote.groups] == [(0, 1), (2,), (3,), (4,), (5,)]
    assert vote.n_undecided >= 2
    # What can't be compared with two groups is not compared with the rest.
    assert sum(n for pair, n in planted.pairs.items() if "1:9" in pair) <= 5


def test_a_large_vote_of_unequal_inexact_answers_ends() -> None:
    planted = Planted(n_keyed=0)
    vote = planted.vote([f"{index}:2" for index in range(10_000)], max_comparisons=1000)
    assert len(vote.groups) == 10_000
    assert (vote.n_comparisons, vote.n_undecided) == (1000, 10_000 * 9_999 // 2 - 1000)


def test_nobody_votes() -> None:
    for attempts in ([], ["", None, "Answer:", r"\boxed{}", "<think>5</think>"]):
        vote = plurality(attempts)
        assert (vote.answer, vote.votes, vote.n, vote.n_without) == (None, 0, 0, len(attempts))
        assert (vote.agreement, vote.margin, vote.entropy, vote.groups) == (0.0, 0.0, 0.0, ())


def test_exact_votes_by_text() -> None:
    vote = plurality(["Answer: Paris", "Answer: 6", r"\boxed{paris}", "Answer: 06.0", "Rome"], verifier="exact")
    assert [group.indices for group in vote.groups] == [(0, 2), (1, 3), (4,)]
    assert (vote.answer, vote.votes, vote.agreement, vote.margin) == ("Paris", 2, 0.4, 0.0)


def test_choice_votes_by_option() -> None:
    attempts = ["Answer: B", "The answer is (b).", "the second option", "Paris", "A or B", "A"]
    assert [group.indices for group in plurality(attempts, verifier="choice").groups] == [(0, 1, 2), (3,), (4,), (5,)]
    vote = plurality(attempts, verifier="choice", options={"A": "London", "B": "Paris"})
    assert [group.indices for group in vote.groups] == [(0, 1, 2, 3), (4,), (5,)]


def test_math_votes_by_value() -> None:
    attempts = [
        *(r"\boxed{\frac{1}{2}}", "Answer: 0.5", "The answer is 1/2.", "#### 50%", r"\boxed{\dfrac12}"),
        *(r"\boxed{2}", "Answer: 2.0", r"\boxed{\sqrt{4}}"),
        *("Answer: 1/3", "Answer: any of 1..100", r"\boxed{}", ""),
    ]
    vote = plurality(attempts)
    assert [group.indices for group in vote.groups] == [(0, 1, 2, 3, 4), (5, 6, 7), (8,)]
    assert (vote.votes, vote.n, vote.n_without) == (5, 9, 3)
    assert vote.n_undecided == 0


def test_math_takes_answers_as_they_stand() -> None:
    vote = plurality(["1/2", "0.5", None, " ", "x^2+2x+1", "(x+1)^2", "1/2 "], extract=False)
    assert [group.indices for group in vote.groups] == [(0, 1, 6), (4, 5)]
    assert (vote.answer, vote.n_without) == ("1/2", 2)


def test_several_boxes_vote_as_a_list_and_a_hedge_for_itself() -> None:
    vote = plurality([r"\boxed{1} and \boxed{2}", "Answer: {2, 1}", "Answer: 1", "Answer: 1", "Answer: 1 or 5"])
    assert [group.indices for group in vote.groups] == [(0, 1), (2, 3), (4,)]


@pytest.mark.parametrize("verifier", ["code", "judge", "maths", ""])
def test_there_is_no_vote_by_every_verifier(verifier: str) -> None:
    with pytest.raises(TeachableError, match=r"Take one of choice, exact, math"):
        plurality(["1"], verifier=verifier)
