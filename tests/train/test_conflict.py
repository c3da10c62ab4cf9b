"""What parts of probe batches say of two domains, on planted gradients whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teachable.train.conflict import GradientPair, PartProducts, pairs_of, share_opposed

Rng = np.random.Generator
N = 400  # parameters


def parts_of(*domains: np.ndarray, tokens: list[float] | None = None) -> PartProducts:
    """Domains from their parts' mean gradients [parts, parameters], over `tokens` each, in two groups of layers."""
    rows = np.concatenate(domains)
    owner = np.repeat(np.arange(len(domains)), [len(domain) for domain in domains])
    each = np.ones(len(rows)) if tokens is None else np.asarray(tokens)
    rows = rows * each[:, None]
    halves = rows[:, : N // 2], rows[:, N // 2 :]
    products = {name: half @ half.T for name, half in zip(("early layers", "rest"), halves, strict=True)}
    return PartProducts(tuple("abcdefgh"[: len(domains)]), owner, each, products)


def only(parts: PartProducts) -> GradientPair:
    (pair,) = pairs_of(parts, {})
    return pair


def means(cosine: float) -> tuple[np.ndarray, np.ndarray]:
    """Two true gradients with norms 1 and 2, at this cosine."""
    one, two = np.zeros(N), np.zeros(N)
    one[:N:4] = 1 / math.sqrt(N / 4)
    two[:N:4] = 2 * cosine / math.sqrt(N / 4)
    two[1:N:4] = 2 * math.sqrt(1 - cosine**2) / math.sqrt(N / 4)
    return one, two


def noisy(rng: Rng, mean: np.ndarray, noise: float, n_parts: int = 8) -> np.ndarray:
    return mean + noise / math.sqrt(N) * rng.normal(size=(n_parts, N))


def test_without_noise_every_number_is_by_hand() -> None:
    one, two = means(0.25)
    parts = parts_of(np.tile(one, (3, 1)), np.tile(two, (4, 1)), tokens=[1, 2, 3, 4, 5, 6, 7])
    pair = only(parts)
    assert (pair.cosine, pair.aligned, pair.low, pair.high) == pytest.approx((0.25,) * 4)
    assert pair.cosine_by_group == pytest.approx({"early layers": 0.25, "rest": 0.25})
    assert (pair.one_to_two, pair.two_to_one) == pytest.approx((0.5, 0.125))
    assert (parts.norm(0), parts.norm(1), parts.repeat(0), parts.repeat(1)) == pytest.approx((1, 2, 1, 1))


def test_noise_pulls_the_cosine_to_0_and_the_aligned_one_is_true_on_average() -> None:
    """Noise of 1.5 a part: of eight, a norm of 1.53 / sqrt(8) = 0.53 beside the gradient's 1."""
    rng, (one, two) = np.random.default_rng(0), means(-0.6)
    drawn = [parts_of(noisy(rng, one, 1.5), noisy(rng, two, 1.5)) for _ in range(200)]
    pairs = [only(parts) for parts in drawn]
    cosines, aligned, shared = (
        np.mean([getattr(pair, name) for pair in pairs]) for name in ("cosine", "aligned", "one_to_two")
    )
    repeats = np.mean([[parts.repeat(0), parts.repeat(1)] for parts in drawn], axis=0)
    assert repeats == pytest.approx([1 / (1 + 1.5**2 / 8), 4 / (4 + 1.5**2 / 8)], abs=0.01)
    assert cosines == pytest.approx(-0.6 * math.sqrt(repeats.prod()), abs=0.01) and abs(cosines) < 0.54
    assert aligned == pytest.approx(-0.6, abs=0.01)
    assert shared == pytest.approx(-1.2, abs=0.03)


@pytest.mark.parametrize(("cosine", "noise"), [(0.0, 1.0), (0.6, 1.5), (-0.9, 1.0), (0.3, 3.0)])
def test_the_interval_covers_the_planted_cosine(cosine: float, noise: float) -> None:
    rng, rounds, (one, two) = np.random.default_rng(1), 300, means(cosine)
    covered = told = 0
    for _ in range(rounds):
        pair = only(parts_of(noisy(rng, one, noise), noisy(rng, two, noise)))
        if pair.low is not None and pair.high is not None:
            told += 1
            covered += pair.low <= cosine <= pair.high
    assert told / rounds > (0.99 if noise < 3 else 0.5)
    assert covered / told > 0.95 - 4 * math.sqrt(0.95 * 0.05 / told)


def test_noise_alone_says_that_it_says_nothing() -> None:
    """No gradient but noise: half of the time no norm is left, and else the interval is wide."""
    rng, nothing = np.random.default_rng(2), np.zeros(N)
    drawn = [parts_of(noisy(rng, nothing, 1.0), noisy(rng, nothing, 1.0)) for _ in range(60)]
    assert abs(np.mean([parts.repeat(0) for parts in drawn])) < 0.05
    pairs = [only(parts) for parts in drawn]
    told = [pair for pair in pairs if pair.low is not None and pair.high is not None]
    assert all((pair.aligned is None) == (pair.low is None) for pair in pairs)
    assert len(told) < 30 and sum(pair.low <= 0 <= pair.high for pair in told) >= 0.9 * len(told)  # type: ignore


def test_pairs_are_listed_with_the_least_aligned_first() -> None:
    (one, two), rng = means(-0.5), np.random.default_rng(0)
    parts = parts_of(*(noisy(rng, mean, 0.1) for mean in (one, 3 * one, two)), np.zeros((2, N)))
    pairs = pairs_of(parts, {(0, 1): 0.25})
    assert {(pair.one, pair.two) for pair in pairs[:2]} == {("a", "c"), ("b", "c")}
    assert (pairs[2].one, pairs[2].two, pairs[2].opposed) == ("a", "b", 0.25)
    assert [pair.aligned for pair in pairs[3:]] == [None] * 3 and pairs[0].opposed is None
    assert all(pair.two == "d" and pair.cosine is None and pair.two_to_one is None for pair in pairs[3:])
    assert parts.repeat(3) is None


def test_one_part_has_no_noise_to_tell() -> None:
    one, two = means(0.5)
    parts = parts_of(one[None], two[None])
    pair = only(parts)
    assert pair.cosine == pytest.approx(0.5) and (pair.aligned, pair.low, parts.repeat(0)) == (None, None, None)


def test_signs_are_counted_where_both_are_there() -> None:
    assert share_opposed([1.0, -2, 0, 3], [1.0, 2, 5, 0]) == 0.5
    assert share_opposed([0.0, 1], [1.0, 0]) is None
    rng = np.random.default_rng(0)
    assert share_opposed(rng.normal(size=40_000), rng.normal(size=40_000)) == pytest.approx(0.5, abs=0.013)
