"""Intervals of means and differences: known values, bounds, symmetries, and planted truths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable import stats
from teachable.stats.posterior import posterior_interval


@given(
    st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=20),
    st.sampled_from(["t", "bootstrap"]),
)
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_mean_within_bounds(rows: list[list[float]], method: stats.Method) -> None:
    found = stats.mean_interval(rows, method=method, n_bootstrap=50)
    assert 0 <= found.low <= found.high <= 1
    assert found.mean == pytest.approx(np.mean(rows))
    assert 0 <= found.p_value <= 1
    if method == "t":
        assert found.low - 1e-12 <= found.mean <= found.high + 1e-12


def test_a_difference_of_one_seed_has_the_t_interval_of_a_mean() -> None:
    """1..5 tenths: mean 0.3, s = 0.158114, se = 0.0707107, t(0.975, 4) = 2.776445."""
    found = stats.paired_difference([0.1, 0.2, 0.3, 0.4, 0.5], np.zeros(5))
    assert (found.low, found.high) == pytest.approx((0.3 - 2.776445 * 0.0707107, 0.3 + 2.776445 * 0.0707107), abs=1e-6)
    assert (found.se, found.df, found.n) == (pytest.approx(0.0707107, abs=1e-7), 4, 5)


def test_answers_of_one_sample_have_wilsons_interval() -> None:
    """81 of 263 (Newcombe 1998, table I)."""
    found = stats.mean_interval(np.repeat([1.0, 0.0], [81, 182]))
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    in_points = stats.mean_interval(np.repeat([100.0, 0.0], [81, 182]), bounds=(0.0, 100.0))
    assert (in_points.low, in_points.high) == pytest.approx((100 * found.low, 100 * found.high))


def test_scores_of_several_samples_have_the_posteriors_interval() -> None:
    scores = np.random.default_rng(2).binomial(4, 0.1, 60) / 4
    found = stats.mean_interval(scores)
    assert (found.low, found.high) == posterior_interval(scores)
    assert found.high - found.mean > found.mean - found.low  # skewed away from the bound that is near


@pytest.mark.parametrize("n_seeds", [1, 3])
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_right_and_wrong_may_be_swapped(n_seeds: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(st.integers(0, 4), min_size=n_seeds, max_size=n_seeds), min_size=2, max_size=15))
    table = np.array(rows) / 4
    right, wrong = stats.mean_interval(table), stats.mean_interval(1 - table)
    assert (wrong.low, wrong.high) == pytest.approx((1 - right.high, 1 - right.low), abs=1e-6)


@pytest.mark.parametrize("method", ["t", "bootstrap"])
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_more_confidence_is_a_wider_interval(method: stats.Method, data: st.DataObject) -> None:
    n_seeds = data.draw(st.sampled_from([1, 3]))
    rows = data.draw(
        st.lists(st.lists(st.integers(-4, 4), min_size=n_seeds, max_size=n_seeds), min_size=2, max_size=15)
    )
    table = np.array(rows) / 4
    for scores, bounds in ((table, (-1.0, 1.0)), (np.abs(table), (0.0, 1.0))):
        found = [
            stats.mean_interval(scores, bounds=bounds, confidence=c, method=method, n_bootstrap=99)
            for c in (0.5, 0.8, 0.95, 0.99)
        ]
        for less, more in itertools.pairwise(found):
            assert more.low <= less.low + 1e-9 and less.high <= more.high + 1e-9


@pytest.mark.parametrize("method", ["t", "bootstrap"])
@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_difference_is_significant_exactly_where_its_interval_leaves_out_zero(
    method: stats.Method, data: st.DataObject
) -> None:
    n_seeds = data.draw(st.sampled_from([1, 2, 3]))
    shift = data.draw(st.integers(0, 3))
    rows = data.draw(
        st.lists(st.lists(st.integers(-1, 1), min_size=n_seeds, max_size=n_seeds), min_size=2, max_size=25)
    )
    table = np.clip(np.array(rows) + shift, -4, 4) / 4
    found = stats.paired_difference(table, np.zeros_like(table), method=method, n_bootstrap=200)
    assert (found.p_value < 0.05) == (not found.low <= 0.0 <= found.high)
    other_way = stats.paired_difference(np.zeros_like(table), table, n_bootstrap=200)
    if method == "t":
        assert (other_way.low, other_way.high) == pytest.approx((-found.high, -found.low))
        assert other_way.p_value == pytest.approx(found.p_value)


def test_no_variance_is_not_no_doubt() -> None:
    """0 of 20 leaves 16.1% open (Wilson): that share may be otherwise, and as far off as the bounds allow."""
    unseen = 0.1611
    found = stats.mean_interval(np.zeros((20, 3)))
    assert (found.low, found.high) == pytest.approx((0.0, unseen), abs=5e-5)
    assert stats.mean_interval(np.ones(20)).low == pytest.approx(1 - unseen, abs=5e-5)
    half_right = stats.mean_interval(np.full((20, 3), 0.5))
    assert (half_right.low, half_right.high) == pytest.approx((0.5 - unseen / 2, 0.5 + unseen / 2), abs=5e-5)
    always_better = stats.paired_difference(np.ones(20), np.zeros(20))
    assert (always_better.low, always_better.high) == pytest.approx((1 - 2 * unseen, 1.0), abs=1e-4)
    assert always_better.p_value < 0.05
    assert not stats.paired_difference(np.ones(3), np.zeros(3)).p_value < 0.05
    single = stats.mean_interval([1.0])
    assert (single.low, single.high) == (0.0, 1.0)
    assert stats.mean_interval(np.zeros((0, 1))).n == 0


def test_scores_outside_of_the_bounds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"scores from 0.5 to 1.5 are not within 0.0 to 1.0"):
        stats.mean_interval([0.5, 1.5])


def test_questions_without_a_score_leave_both_systems() -> None:
    first, second = np.array([[1.0], [math.nan], [0.0], [1.0]]), np.array([[0.0], [1.0], [0.0], [0.5]])
    found = stats.paired_difference(first, second)
    assert found.n == 3
    assert found.mean == pytest.approx(0.5)


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="3 questions can't be paired with 2"):
        stats.paired_difference([1, 0, 1], [1, 0])
    with pytest.raises(ValueError, match="2 seeds can't be paired with 3"):
        stats.paired_difference(np.ones((4, 2)), np.ones((4, 3)))


def test_identical_answers_do_not_differ_and_leave_open_what_was_not_asked() -> None:
    scores = np.random.default_rng(0).random((30, 3))
    found = stats.paired_difference(scores, scores)
    end = stats.wilson_interval(0, 30)[1]
    assert (found.mean, found.low, found.high, found.p_value) == (0, pytest.approx(-end), pytest.approx(end), 1)
    # The power note says the same: a difference at the interval's end would be found half of the time, one a bit
    # larger more often.
    assert end < stats.smallest_detectable(found.se, found.df) < 1.6 * end


def test_seeds_and_questions_count_with_the_degrees_of_freedom_of_each() -> None:
    """Questions and seeds that add up exactly: no residual, so the two variances are those of the two effects."""
    questions, seeds = np.random.default_rng(1).normal(0, 0.1, (80, 1)), np.array([[0.0, 0.1, -0.1]])
    found = stats.paired_difference(questions + seeds, np.zeros((80, 1)))
    of_questions, of_seeds = questions.var(ddof=1) / 80, 0.01 / 3
    assert found.se == pytest.approx(math.sqrt(of_questions + of_seeds))
    expected = (of_questions * 1.990450 + of_seeds * 4.302653) / (of_questions + of_seeds)
    assert (found.high - found.mean) / found.se == pytest.approx(expected, rel=1e-5)
    assert stats.t_quantile(0.975, found.df) == pytest.approx(expected, rel=1e-5)
    seeds_alone = stats.paired_difference(np.tile([0.4, 0.5, 0.6], (50, 1)), np.zeros((50, 1)))
    assert seeds_alone.df == pytest.approx(2)
    assert seeds_alone.se == pytest.approx(0.1 / math.sqrt(3))


def test_what_cancels_out_to_the_last_digit_has_its_residual() -> None:
    found = stats.paired_difference(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros((2, 1)))
    assert (found.mean, found.se, found.df) == (0.5, 0.5, 1.0)
    assert found.low == -1.0 and found.high == 1.0


def test_the_bootstrap_is_seeded() -> None:
    scores = np.random.default_rng(0).random((30, 3))
    one, two = (stats.mean_interval(scores, method="bootstrap", seed=4) for _ in range(2))
    assert one == two != stats.mean_interval(scores, method="bootstrap", seed=5)


def planted(generator: np.random.Generator, n_questions: int, n_seeds: int, sd_seed: float) -> np.ndarray:
    """Scores of one system: 4 samples a question of a beta-distributed pass rate, seeds shifting all questions."""
    rates = generator.uniform(0.2, 0.8, size=(n_questions, 1)) + generator.normal(0, sd_seed, size=(1, n_seeds))
    return generator.binomial(4, rates.clip(0, 1)) / 4


def coverage(n_questions: int, n_seeds: int, sd_seed: float, method: stats.Method, rounds: int) -> tuple[float, float]:
    """Share of rounds whose interval holds the true mean 0.5, and of null comparisons that came out significant."""
    generator = np.random.default_rng(11)
    covered = positive = 0
    for _ in range(rounds):
        table = planted(generator, n_questions, n_seeds, sd_seed)
        found = stats.mean_interval(table, method=method, n_bootstrap=100)
        covered += found.low <= 0.5 <= found.high
        rates = generator.uniform(0.2, 0.8, size=(n_questions, 1))
        pair = [
            generator.binomial(4, (rates + generator.normal(0, sd_seed, (1, n_seeds))).clip(0, 1)) / 4 for _ in range(2)
        ]
        positive += stats.paired_difference(*pair, method=method, n_bootstrap=100).p_value < 0.05
    return covered / rounds, positive / rounds


@pytest.mark.parametrize(
    ("n_questions", "n_seeds", "sd_seed"),
    [(50, 1, 0.0), (200, 1, 0.0), (200, 3, 0.01), (200, 5, 0.03), (400, 5, 0.05)],
)
def test_t_intervals_cover_the_planted_mean(n_questions: int, n_seeds: int, sd_seed: float) -> None:
    """Nominal 95%; the floor is four binomial standard errors of 500 rounds below 95% less a point of slack."""
    rounds = 500
    covered, positive = coverage(n_questions, n_seeds, sd_seed, "t", rounds)
    slack = 4 * math.sqrt(0.95 * 0.05 / rounds)
    assert covered > 0.94 - slack
    assert positive < 0.06 + slack
    if n_seeds == 1:
        assert covered < 0.96 + slack


def test_the_bootstrap_covers_where_seeds_are_not_the_main_source() -> None:
    rounds = 200
    covered, positive = coverage(60, 1, 0.0, "bootstrap", rounds)
    slack = 4 * math.sqrt(0.95 * 0.05 / rounds)
    assert 0.93 - slack < covered
    assert positive < 0.07 + slack


def test_the_t_interval_is_wider_where_three_seeds_say_little() -> None:
    """Seeds vary by 10 points and the questions not at all: three seeds must not claim a narrow interval."""
    table = np.tile([0.4, 0.5, 0.6], (300, 1)) + np.random.default_rng(1).normal(0, 0.01, (300, 3))
    t, bootstrap = (stats.mean_interval(table, method=m) for m in ("t", "bootstrap"))
    half = 4.30265 * 0.1 / math.sqrt(3)
    assert t.high - t.mean == pytest.approx(half, rel=0.05)
    assert bootstrap.high - bootstrap.mean < half / 2


def test_the_smallest_detectable_difference_is_found_as_often_as_said() -> None:
    generator = np.random.default_rng(3)
    n, rounds = 200, 1500
    se = 0.25 / math.sqrt(n)
    effect = stats.smallest_detectable(se, n - 1, power=0.8)
    hits = sum(
        stats.mean_interval(generator.normal(effect, 0.25, n), bounds=(-9, 9)).p_value < 0.05 for _ in range(rounds)
    )
    assert abs(hits / rounds - 0.8) < 4 * math.sqrt(0.8 * 0.2 / rounds) + 0.01
    assert stats.power_note(se, n - 1).startswith(f"A true difference of {100 * effect:.1f} points")


@pytest.mark.parametrize(("n_questions", "n_samples"), [(50, 16), (200, 4)])
def test_means_near_a_bound_are_covered(n_questions: int, n_samples: int) -> None:
    """5% of the questions carry the whole mean: there mean +- t errors covers 88% to 91%."""
    generator, rounds, truth = np.random.default_rng(17), 1000, 0.025
    covered = {"posterior": 0, "t": 0}
    for _ in range(rounds):
        rates = np.where(generator.random(n_questions) < 0.05, generator.random(n_questions), 0.0)
        scores = generator.binomial(n_samples, rates) / n_samples
        found = stats.mean_interval(scores)
        half = stats.t_quantile(0.975, n_questions - 1) * found.se
        covered["posterior"] += found.low <= truth <= found.high
        covered["t"] += scores.mean() - half <= truth <= scores.mean() + half
    assert 0.93 < covered["posterior"] / rounds < 0.985
    assert covered["t"] / rounds < 0.93


def test_three_trainings_against_one_base_hold_the_false_positive_rate() -> None:
    """Seeds matter as much as questions, where Satterthwaite's degrees of freedom reject 7.7% (and up to 10%)."""
    generator, rounds = np.random.default_rng(23), 1500
    positive = 0
    for _ in range(rounds):
        differences = generator.normal(0, 0.2, (60, 1)) + generator.normal(0, 0.05, (1, 3))
        table = np.clip(differences + generator.normal(0, 0.05, (60, 3)), -1, 1)
        positive += stats.paired_difference(table, np.zeros((60, 1))).p_value < 0.05
    assert 0.02 < positive / rounds < 0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds)
