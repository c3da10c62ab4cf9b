"""Successive halving against what is known of it: its rounds, its ties, and its winner's expected rank."""

from __future__ import annotations

import math

import numpy as np
import pytest

from teachable.explore.halving import Placing, Round, judged, rounds

NAN = math.nan


def test_each_round_costs_about_the_same() -> None:
    assert rounds(9, 3, 3, 1000) == (Round(1, 9, 1000), Round(2, 3, 3000), Round(3, 1, 9000))
    # Published example: R = 81, eta = 3, the most aggressive bracket of Hyperband (Li et al. 2018, table 1).
    assert [(one.n_trials, one.n_tokens) for one in rounds(81, 5, 3, 1)] == [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]
    assert [one.n_trials for one in rounds(20, 3, 3, 1)] == [20, 6, 2]
    with pytest.raises(ValueError, match="8 trials can't be cut to one in 3 2 times"):
        rounds(8, 3, 3, 1)


def test_the_best_go_on_and_ties_are_settled_the_same_way_every_time() -> None:
    found = judged({3: 0.5, 1: 0.7, 0: 0.5, 2: 0.5}, 2)
    assert [(one.trial, one.place, one.goes_on) for one in found] == [
        (1, 1, True), (0, 2, True), (2, 3, False), (3, 4, False),
    ]  # fmt: skip
    assert found[2].reason == "not among the best 2: as good as the last of them, but drawn later"
    assert judged({1: 0.7, 2: 0.1}, 1)[1].reason == "not among the best 1"


def test_a_failed_training_is_last_and_never_goes_on() -> None:
    found = judged({0: NAN, 1: 0.1, 2: NAN}, 2)
    assert found == [
        Placing(1, 1, True, "among the best 2"),
        Placing(0, 2, False, "its training failed"),
        Placing(2, 3, False, "its training failed"),
    ]
    assert not any(one.goes_on for one in judged({0: NAN, 1: NAN}, 1))


def test_plain_settings_that_did_not_earn_the_round_only_stand_beside() -> None:
    found = judged({0: 0.9, 4: 0.7, 5: 0.6}, 1, plain_is_guest=True)
    assert [one.trial for one in found if one.goes_on] == [4]
    assert found[0].reason == "the plain settings, trained to compare with"
    assert [one.trial for one in judged({0: 0.9, 4: 0.7, 5: 0.6}, 1) if one.goes_on] == [0]


# ---- planted truth: trials of known quality, scores with known noise ----

ETA, N_TRIALS, N_ROUNDS, FIRST = 3, 27, 3, 1000
NOISE = 3.0  # of the score of one token: variance NOISE^2 * FIRST / tokens, in units of the spread of qualities


def halving_winner(qualities: np.ndarray, rng: np.random.Generator, noise: float = NOISE) -> int:
    """The trial that wins a search whose scores are qualities with noise."""
    running = list(range(len(qualities)))
    plan = rounds(len(qualities), N_ROUNDS, ETA, FIRST)
    for number, one in enumerate(plan):
        sigma = noise * math.sqrt(FIRST / one.n_tokens)
        scores = {trial: float(qualities[trial] + sigma * rng.standard_normal()) for trial in running}
        n_on = plan[number + 1].n_trials if number + 1 < len(plan) else 1
        running = [placing.trial for placing in judged(scores, n_on) if placing.goes_on]
    return running[0]


def uniform_winner(qualities: np.ndarray, rng: np.random.Generator, noise: float = NOISE) -> int:
    """The best of all trials, each on an equal part of what halving spends."""
    spent = sum(one.n_trials * one.n_tokens for one in rounds(len(qualities), N_ROUNDS, ETA, FIRST))
    sigma = noise * math.sqrt(FIRST * len(qualities) / spent)
    return int(np.argmax(qualities + sigma * rng.standard_normal(len(qualities))))


def ranks(winner, n: int, noise: float = NOISE, seed: int = 0) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The winner's true rank, 0 for the best, in `n` searches of qualities drawn anew."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        qualities = rng.standard_normal(N_TRIALS)
        won = winner(qualities, rng, noise)
        found.append(int((qualities > qualities[won]).sum()))
    return np.array(found)


def expected_rank(seed: int = 1, n: int = 40_000) -> float:
    """The expected rank of halving's winner, by another way: all searches at once, as tables, without our code."""
    rng = np.random.default_rng(seed)
    quality = rng.standard_normal((n, N_TRIALS))
    alive = quality
    for number in range(N_ROUNDS):
        scores = alive + NOISE * ETA ** (-number / 2) * rng.standard_normal(alive.shape)
        n_on = N_TRIALS // ETA ** (number + 1) if number + 1 < N_ROUNDS else 1
        alive = np.take_along_axis(alive, np.argpartition(-scores, n_on - 1, axis=1)[:, :n_on], axis=1)
    return float((quality > alive).sum(axis=1).mean())


def test_the_winner_has_the_rank_that_theory_expects() -> None:
    found = ranks(halving_winner, 3000)
    error = found.std(ddof=1) * math.sqrt(1 / 3000 + 1 / 40_000)
    assert abs(found.mean() - expected_rank()) < 4 * error


def test_halving_beats_uniform_allocation_at_equal_tokens() -> None:
    """By more than four standard errors: its winner is the better one on average."""
    halved, uniform = ranks(halving_winner, 3000), ranks(uniform_winner, 3000, seed=2)
    error = math.sqrt((halved.var(ddof=1) + uniform.var(ddof=1)) / 3000)
    assert uniform.mean() - halved.mean() > 4 * error


def test_without_noise_the_best_wins_and_with_noise_alone_anyone_does() -> None:
    assert ranks(halving_winner, 50, noise=0.0).max() == 0
    rng = np.random.default_rng(3)
    won = np.bincount([halving_winner(np.zeros(N_TRIALS), rng) for _ in range(2700)], minlength=N_TRIALS)
    assert ((won - 100) ** 2 / 100).sum() < 57  # chi-squared with 26 degrees of freedom, p = 0.0004
