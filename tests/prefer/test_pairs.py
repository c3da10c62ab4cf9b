"""Which two responses make a pair, which do not, and that each is counted once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.prefer.judges import prompt

from teachable.prefer import Judged, JudgePairsConfig, Response
from teachable.prefer import pairs as reasons
from teachable.prefer.found import EMPTY, Compared
from teachable.prefer.pairs import pairs_of
from teachable.verify.judging import Comparison, Winner


def judged(name: str, score: float | None, correct: bool | None = None, *, like: str = "", fault: str = "") -> Judged:
    return Judged(Response("p0", name, 0, f"text of {name}", correct=correct, fault=fault), score, like=like)


def compared(first: Judged, second: Judged, winner: Winner | None, **fields: Any) -> Compared:
    comparison = Comparison(winner, "said", votes=(winner,), **fields)
    return Compared("p0", first.response.id, second.response.id, comparison)


def made(
    ones: Sequence[Judged], comparisons: Sequence[Compared] = (), **fields: Any
) -> tuple[list[tuple[str, str, float]], dict[str, int]]:
    """Engine chosen, engine rejected and margin of each pair; and the reasons."""
    config = JudgePairsConfig.model_validate(fields)
    pairs, left_out = pairs_of(prompt(), ones, comparisons, config)
    return [(p.chosen.response.engine, p.rejected.response.engine, p.margin) for p in pairs], dict(left_out)


def test_the_best_is_paired_with_the_worst() -> None:
    ones = [judged("a", 5.0), judged("b", 9.0), judged("c", 2.0)]
    assert made(ones) == ([("b", "c", 7.0)], {reasons.SURPLUS: 2})


def test_all_pairs_above_the_margin_by_setting() -> None:
    ones = [judged("a", 5.0), judged("b", 9.0), judged("c", 4.5)]
    pairs, left_out = made(ones, max_pairs=None)
    assert pairs == [("b", "c", 4.5), ("b", "a", 4.0)] and left_out == {reasons.MARGIN: 1}
    assert made(ones, max_pairs=None, min_margin=0)[0][-1] == ("a", "c", 0.5)
    assert made(ones, max_pairs=2, min_margin=0)[1] == {reasons.SURPLUS: 1}


def test_no_score_is_no_low_score() -> None:
    assert made([judged("a", 9.0), judged("b", None)]) == ([], {reasons.NO_SCORE: 1})
    assert made([judged("a", None), judged("b", None)]) == ([], {reasons.NO_SCORE: 1})
    assert made([judged("a", 9.0), judged("b", 9.0)], min_margin=0) == ([], {reasons.NO_DIFFERENCE: 1})


def test_alike_and_unfit_responses_never_pair() -> None:
    first = judged("a", 9.0)
    ones = [first, judged("b", 9.0, like=first.response.id), judged("c", 1.0), judged("d", None, fault=EMPTY)]
    assert made(ones) == ([("a", "c", 8.0)], {reasons.ALIKE: 2})


@pytest.mark.parametrize(
    ("correct", "kept"),
    [
        ((False, True), False),
        ((True, False), True),
        ((False, False), True),
        ((None, True), True),
        ((False, None), True),
    ],
)
def test_a_wrong_response_is_not_chosen_over_a_right_one(correct: tuple[bool | None, bool | None], kept: bool) -> None:
    ones = [judged("liked", 9.0, correct[0]), judged("disliked", 3.0, correct[1])]
    pairs, left_out = made(ones)
    assert bool(pairs) == kept and left_out == ({} if kept else {reasons.CONTRADICTED: 1})
    assert made(ones, verify=False)[0] == [("liked", "disliked", 6.0)]


def test_the_next_best_pair_takes_the_place_of_one_that_the_verifier_refuses() -> None:
    ones = [judged("liked", 9.0, False), judged("right", 3.0, True), judged("wrong", 5.0, False)]
    assert made(ones)[0] == [("liked", "wrong", 4.0)]


@pytest.mark.parametrize(
    ("winner", "fields", "reason"),
    [
        ("tie", {}, reasons.TIE),
        (None, {"n_flipped": 1}, reasons.ORDER),
        (None, {"n_unreadable": 2}, reasons.NO_VERDICT),
    ],
)
def test_a_comparison_without_a_winner_makes_no_pair(
    winner: Winner | None, fields: dict[str, int], reason: str
) -> None:
    a, b = judged("a", 1.0), judged("b", 0.0)
    assert made([a, b], [compared(a, b, winner, **fields)], mode="pairwise") == ([], {reason: 1})


def test_the_winner_of_a_comparison_is_chosen() -> None:
    a, b = judged("a", 0.0), judged("b", 1.0)
    assert made([a, b], [compared(a, b, "second")], mode="pairwise") == ([("b", "a", 1.0)], {})


def test_a_circle_of_verdicts_makes_no_pair() -> None:
    a, b, c = (judged(name, 0.5) for name in "abc")
    circle = [compared(a, b, "first"), compared(b, c, "first"), compared(a, c, "second")]
    assert made([a, b, c], circle, mode="pairwise", max_pairs=None) == ([], {reasons.CIRCLE: 3})


@given(
    st.lists(
        st.tuples(st.none() | st.integers(1, 10), st.none() | st.booleans(), st.sampled_from(["", "x"])), max_size=8
    ),
    st.none() | st.integers(1, 4),
    st.booleans(),
)
def test_pairs_and_reasons_add_up(
    drawn: list[tuple[int | None, bool | None, str]], max_pairs: int | None, verify: bool
) -> None:
    ones = [judged(f"e{i}", score, correct, fault=fault) for i, (score, correct, fault) in enumerate(drawn)]
    pairs, left_out = pairs_of(prompt(), ones, [], JudgePairsConfig(max_pairs=max_pairs, verify=verify))
    n = sum(not one.response.fault for one in ones)
    assert len(pairs) + left_out.total() == n * (n - 1) // 2
    for pair in pairs:
        assert pair.margin >= 1.0 and not pair.chosen.response.fault
        if verify:
            assert not (pair.chosen.response.correct is False and pair.rejected.response.correct is True)
    assert [pair.margin for pair in pairs] == sorted((pair.margin for pair in pairs), reverse=True)
