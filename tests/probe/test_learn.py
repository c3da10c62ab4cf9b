"""What is learnt of groups of prompts, and the price that a budget comes to."""

from __future__ import annotations

import numpy as np
import pytest
from tests.probe.planted import prompt

from teachable.probe import ProbeConfig
from teachable.probe.learn import Learner
from teachable.records import Prompt


def pool(**sizes: int) -> list[Prompt]:
    """Prompts named by domain and level, such as easy_1=40."""
    return [
        prompt(f"{kind} {i}", domain=kind.rpartition("_")[0], level=int(kind.rpartition("_")[2]))
        for kind, size in sizes.items()
        for i in range(size)
    ]


def expected(learner: Learner) -> dict[tuple[str, int], float]:
    return {(row["domain"], row["level"]): row["pass_rate"] for row in learner.document()}


def counts(prompts: list[Prompt], n: int, **rates: float) -> tuple[np.ndarray, np.ndarray]:
    """n attempts each, of which the share of the prompt's kind is right; kinds that are left out have no attempt."""
    kinds = [f"{one.domain}_{one.level}" for one in prompts]
    return (
        np.array([n if kind in rates else 0 for kind in kinds]),
        np.array([round(n * rates.get(kind, 0.0)) for kind in kinds]),
    )


def test_domains_and_levels_have_priors_of_their_own() -> None:
    prompts = pool(sums_1=60, sums_2=60, words_1=60)
    learner = Learner(prompts, ProbeConfig())
    learner.learn(*counts(prompts, 10, sums_1=0.9, sums_2=0.1, words_1=0.5))
    found = expected(learner)
    assert found["sums", 1] > 0.75 and found["sums", 2] < 0.25 and 0.4 < found["words", 1] < 0.6
    assert [row["n_prompts"] for row in learner.document()] == [60, 60, 60]
    for row in learner.document():
        assert row["beyond"] + row["teachable"] + row["mastered"] == pytest.approx(1.0, abs=2e-4)


def test_a_level_that_nobody_tried_borrows_from_its_domain() -> None:
    prompts = pool(sums_1=60, sums_2=5, words_1=60)
    learner = Learner(prompts, ProbeConfig())
    learner.learn(*counts(prompts, 10, sums_1=0.0, words_1=0.9))
    found = expected(learner)
    assert found["sums", 2] < 0.2 < 0.7 < found["words", 1]


def test_what_one_prompt_shows_is_believed_of_it_more_than_of_its_kind() -> None:
    prompts = pool(sums_1=50)
    learner = Learner(prompts, ProbeConfig())
    n, s = counts(prompts, 12, sums_1=0.0)
    s[7] = 6
    learner.learn(n, s)
    assert learner.belief(7, 12, 6).masses[1] > 0.99
    assert learner.belief(8, 12, 0).masses[0] > 0.99
    assert learner.belief(9, 0, 0).masses[0] > 0.8


def test_without_new_attempts_nothing_is_learnt_anew() -> None:
    prompts = pool(sums_1=30, sums_2=30)
    learner = Learner(prompts, ProbeConfig())
    n, s = counts(prompts, 6, sums_1=0.5, sums_2=0.1)
    learner.learn(n, s)
    before = learner.groups
    learner.learn(n, s, anew=True)
    assert learner.groups is before
    n[0] += 1
    learner.learn(n, s)
    assert learner.groups is before  # one attempt more among 360
    learner.learn(n, s, anew=True)
    assert learner.groups is not before


def test_a_fixed_prior_learns_nothing() -> None:
    prompts = pool(sums_1=30)
    learner = Learner(prompts, ProbeConfig(prior="fixed", prior_a=2.0, prior_b=6.0))
    learner.learn(*counts(prompts, 10, sums_1=1.0))
    assert expected(learner)["sums", 1] == 0.25
    assert learner.belief(0, 4, 4).beta() == pytest.approx((6.0, 6.0))


def test_a_budget_stops_those_first_for_whom_a_sample_is_worth_least() -> None:
    prompts = pool(sums_1=300)
    draw = np.random.default_rng(0)
    n = np.full(300, 8)
    s = draw.binomial(8, draw.beta(0.3, 0.3, 300))
    waiting = []
    for left in (100_000.0, 2000.0, 600.0, 100.0):
        learner = Learner(prompts, ProbeConfig())
        learner.learn(n, s, left=left)
        waiting.append({place for place in range(300) if learner.index(place, 8, int(s[place])) > 0})
    assert waiting[0] >= waiting[1] >= waiting[2] >= waiting[3]
    assert len(waiting[0]) > len(waiting[2]) > len(waiting[3]) > 0


def test_prompts_that_can_take_no_more_claim_nothing_of_a_budget() -> None:
    prompts = pool(sums_1=300)
    draw = np.random.default_rng(0)
    n = np.full(300, 8)
    s = draw.binomial(8, draw.beta(0.3, 0.3, 300))
    is_open = np.arange(300) < 30
    waiting = []
    for mask in (None, is_open):
        learner = Learner(prompts, ProbeConfig())
        learner.learn(n, s, left=200.0, is_open=mask)
        waiting.append({place for place in range(30) if learner.index(place, 8, int(s[place])) > 0})
    assert waiting[0] < waiting[1]
