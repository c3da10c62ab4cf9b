"""McNemar's exact test and Holm's adjustment against known values, and their error rates on planted truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.stats import holm, mcnemar_exact


def answers(first_only: int, second_only: int, both: int = 3, neither: int = 4) -> tuple[list[float], list[float]]:
    """Answers of two systems with so many questions of each kind."""
    first = [1.0] * first_only + [0.0] * second_only + [1.0] * both + [0.0] * neither
    second = [0.0] * first_only + [1.0] * second_only + [1.0] * both + [0.0] * neither
    return first, second


@given(st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None)
def test_mcnemar_is_the_binomial_test_of_the_questions_that_differ(first_only: int, second_only: int) -> None:
    n, fewer = first_only + second_only, min(first_only, second_only)
    probabilities = [math.comb(n, i) / 2**n for i in range(n + 1)]
    expected = min(1.0, 2 * math.fsum(probabilities[: fewer + 1]))
    first, second = answers(first_only, second_only)
    assert mcnemar_exact(first, second) == pytest.approx(expected, abs=1e-10)
    assert mcnemar_exact(second, first) == pytest.approx(expected, abs=1e-10)
    if n:
        half = expected - probabilities[fewer] if first_only != second_only else 1.0
        assert mcnemar_exact(first, second, mid_p=True) == pytest.approx(half, abs=1e-10)


def test_mcnemar_of_the_textbook() -> None:
    """1 against 7 (Fagerland, Lydersen and Laake 2013: airway hyper-responsiveness): 0.070, mid-p 0.039."""
    first, second = answers(1, 7)
    assert mcnemar_exact(first, second) == pytest.approx(0.0703, abs=5e-5)
    assert mcnemar_exact(first, second, mid_p=True) == pytest.approx(0.0391, abs=5e-5)


def test_mcnemar_leaves_out_what_is_undecided_and_ends_at_one() -> None:
    first, second = answers(5, 0)
    nan = math.nan
    assert (
        mcnemar_exact([*first, nan, 1.0, nan], [*second, 0.0, nan, nan])
        == mcnemar_exact(first, second)
        == pytest.approx(2 / 2**5)
    )
    assert mcnemar_exact(np.array(first)[:, None], np.array(second)[:, None]) == pytest.approx(2 / 2**5)
    assert mcnemar_exact([1, 0], [1, 0]) == mcnemar_exact([], []) == mcnemar_exact([nan], [1]) == 1.0
    assert mcnemar_exact(*answers(3000, 2000)) < 1e-40


def test_mcnemar_refuses_what_is_no_answer() -> None:
    with pytest.raises(ValueError, match="3 questions can't be paired with 2"):
        mcnemar_exact([1, 0, 1], [1, 0])
    with pytest.raises(ValueError, match=r"1 .right., 0 .wrong. or NaN"):
        mcnemar_exact([0.5], [1])
    with pytest.raises(ValueError, match=r"not as .2, 3."):
        mcnemar_exact(np.ones((2, 3)), np.ones((2, 3)))


@pytest.mark.parametrize("n_questions", [30, 200])
def test_mcnemar_holds_its_false_positive_rate(n_questions: int) -> None:
    generator, rounds = np.random.default_rng(5), 3000
    rejected = {False: 0, True: 0}
    for _ in range(rounds):
        rates = generator.beta(0.5, 0.5, n_questions)
        first, second = (generator.random(n_questions) < rates for _ in range(2))
        for mid_p in rejected:
            rejected[mid_p] += mcnemar_exact(first, second, mid_p=mid_p) < 0.05
    error = math.sqrt(0.05 * 0.95 / rounds)
    assert 0.005 < rejected[False] / rounds < 0.05 + 3 * error
    assert rejected[False] < rejected[True] < rounds * (0.06 + 3 * error)


def test_holm_of_an_example_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04, and the last may not be below 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []
    with_one_not_made = holm([0.03, math.nan, 0.02])
    assert with_one_not_made[::2] == pytest.approx([0.04, 0.04]) and math.isnan(with_one_not_made[1])
    with pytest.raises(ValueError, match=r"in .0, 1."):
        holm([1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= min(1.0, len(p_values) * p)
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(adjusted)[order]) >= 0)


def test_holm_makes_a_false_rejection_among_all_tests_as_rarely_as_said() -> None:
    generator, rounds = np.random.default_rng(6), 4000
    families = generator.random((rounds, 8))
    adjusted = np.mean([min(holm(list(family))) < 0.05 for family in families])
    unadjusted = float((families.min(axis=1) < 0.05).mean())
    assert adjusted < 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds) < unadjusted
