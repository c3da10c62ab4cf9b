"""Statistics against known values, bounds, and planted truths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable import stats

# Regularised incomplete beta function; the closed forms are I_x(1, b) = 1 - (1 - x)^b, I_x(a, 1) = x^a, and
# I_x(1/2, 1/2) = (2 / pi) arcsin(sqrt(x)).
CLOSED = [
    (0.3, 1.0, 4.0, 1 - 0.7**4),
    (0.3, 5.0, 1.0, 0.3**5),
    (0.1, 0.5, 0.5, 2 / math.pi * math.asin(math.sqrt(0.1))),
    (0.9, 0.5, 0.5, 2 / math.pi * math.asin(math.sqrt(0.9))),
    (0.5, 7.0, 7.0, 0.5),
    (0.5, 5000.0, 5000.0, 0.5),
    (1e-9, 1.0, 1000.0, -math.expm1(1000 * math.log1p(-1e-9))),
]


@pytest.mark.parametrize(("x", "a", "b", "value"), CLOSED)
def test_beta_cdf_equals_its_closed_forms(x: float, a: float, b: float, value: float) -> None:
    assert stats.beta_cdf(x, a, b) == pytest.approx(value, rel=1e-10)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.001, 0.999))
@settings(deadline=None)
def test_beta_cdf_equals_a_binomial_tail(a: int, b: int, x: float) -> None:
    """I_x(a, b) = P(Binomial(a + b - 1, x) >= a) for whole numbers: an independent way to the same value."""
    n = a + b - 1
    tail = math.fsum(math.comb(n, i) * x**i * (1 - x) ** (n - i) for i in range(a, n + 1))
    assert stats.beta_cdf(x, a, b) == pytest.approx(tail, abs=1e-10)


@given(st.floats(0.05, 500), st.floats(0.05, 500), st.floats(0.01, 0.49), st.floats(0.51, 0.99))
@settings(deadline=None)
def test_zone_masses_are_a_distribution(a: float, b: float, low: float, high: float) -> None:
    masses = stats.zone_masses(a, b, low, high)
    assert masses.shape == (3,)
    assert np.all(masses >= 0)
    assert masses.sum() == pytest.approx(1.0, abs=1e-9)
    assert stats.zone_masses(b, a, 1 - high, 1 - low)[::-1] == pytest.approx(masses, abs=1e-9)


def test_beta_cdf_at_and_beyond_the_ends() -> None:
    assert list(stats.beta_cdf([-1.0, 0.0, 1.0, 2.0], 2.0, 3.0)) == [0.0, 0.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="above 0"):
        stats.beta_cdf(0.5, 0.0, 1.0)


@pytest.mark.parametrize(
    ("p", "df", "value"),
    [(0.975, 1, 12.7062), (0.975, 2, 4.30265), (0.975, 10, 2.22814), (0.95, 5, 2.01505), (0.975, 1e6, 1.95996)],
)
def test_t_quantiles_of_the_tables(p: float, df: float, value: float) -> None:
    assert stats.t_quantile(p, df) == pytest.approx(value, rel=1e-5)
    assert stats.t_quantile(1 - p, df) == pytest.approx(-value, rel=1e-5)
    assert stats.t_cdf(value, df) == pytest.approx(p, abs=1e-6)


def test_wilson_of_the_textbook() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3); 0 of 20: 0 to 0.1611."""
    assert stats.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert stats.wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert stats.wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 5000), st.data())
@settings(deadline=None)
def test_wilson_holds_the_share(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = stats.wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1


@given(st.integers(1, 12), st.data())
@settings(deadline=None)
def test_pass_at_k_is_the_share_of_subsets(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert stats.pass_at_k(n, c, k) == pytest.approx(1 - math.comb(n - c, k) / math.comb(n, k))


def test_pass_at_k_needs_k_samples() -> None:
    with pytest.raises(ValueError, match="pass@5"):
        stats.pass_at_k(4, 1, 5)


# ---- intervals ----


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


def test_one_seed_is_the_t_interval_of_the_mean() -> None:
    """1..5 tenths: mean 0.3, s = 0.158114, se = 0.0707107, t(0.975, 4) = 2.776445."""
    found = stats.mean_interval([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (found.low, found.high) == pytest.approx((0.3 - 2.776445 * 0.0707107, 0.3 + 2.776445 * 0.0707107), abs=1e-6)
    assert (found.df, found.n) == (4, 5)


def test_no_variance_is_not_no_doubt() -> None:
    found = stats.mean_interval(np.zeros((20, 3)))
    assert (found.low, found.high) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert stats.mean_interval(np.ones(20)).low == pytest.approx(1 - 0.1611, abs=5e-5)
    single = stats.mean_interval([1.0])
    assert (single.low, single.high) == (0.0, 1.0)
    assert stats.mean_interval(np.zeros((0, 1))).n == 0


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


def test_identical_systems_do_not_differ() -> None:
    scores = np.random.default_rng(0).random((30, 3))
    found = stats.paired_difference(scores, scores)
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)


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
