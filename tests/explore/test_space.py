"""The trials of a search: the plain ones first, the same ones every time, spread over the space, valid."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from teachable.errors import TeachableError
from teachable.explore.config import ExploreConfig, Range
from teachable.explore.space import Space, waves
from teachable.explore.trial import Trial

RATE = Range(low=5e-5, high=2e-3, log=True)
SHARES = {"a": 0.5, "b": 0.3, "c": 0.2}


def drawn(config: ExploreConfig, seed: int = 0, shares: dict[str, float] = SHARES, score: Any = None) -> list[Trial]:
    """All trials of a search in which a trial's score is what `score` makes of it."""
    space, found = Space(config, shares, seed), []
    for n in waves(config):
        wave = space.draw(n)
        space.tell({trial.number: score(trial) if score else 0.5 for trial in wave})
        found += wave
    return found


def config(**values: Any) -> ExploreConfig:
    return ExploreConfig.model_validate({"space": {"learning_rate": RATE}, "n_rounds": 1, **values})


@pytest.mark.parametrize("sampler", ["qmc", "random", "tpe"])
def test_trial_0_is_plain_and_the_same_seed_draws_the_same(sampler: str) -> None:
    settings = config(sampler=sampler, n_trials=9)
    trials = drawn(settings)
    assert [trial.number for trial in trials] == list(range(9))
    assert trials[0].training == settings.training
    assert trials[0].mix == SHARES
    assert trials == drawn(settings)
    assert trials[1:] != drawn(settings, seed=1)[1:]
    assert len({trial.training.learning_rate for trial in trials}) == 9
    assert all(5e-5 <= trial.training.learning_rate <= 2e-3 for trial in trials)


def test_more_trials_begin_with_the_same_ones() -> None:
    assert drawn(config(n_trials=12))[:6] == drawn(config(n_trials=6))


def test_quasi_random_points_cover_the_space_evenly() -> None:
    """In each coordinate no more than one gap of 1 / 8 is left empty by 16 points, in the logarithm of the rate too."""
    trials = drawn(config(n_trials=17))[1:]
    places = [math.log(trial.training.learning_rate / 5e-5) / math.log(40) for trial in trials]
    assert len({int(8 * place) for place in places}) >= 7


def test_a_mix_is_dirichlet_around_the_selection() -> None:
    """Of two equal domains any share is as likely; of unequal ones the larger has more on average."""
    even = [trial.mix["a"] for trial in drawn(config(sampler="random", n_trials=400), shares={"a": 0.5, "b": 0.5})[1:]]
    assert stats.kstest(even, "uniform").pvalue > 0.001
    trials = drawn(config(sampler="random", n_trials=400))[1:]
    means = {name: sum(trial.mix[name] for trial in trials) / 399 for name in SHARES}
    assert means["a"] > means["b"] + 0.05 > means["c"] + 0.1
    assert all(abs(sum(trial.mix.values()) - 1) < 1e-3 and min(trial.mix.values()) > 0 for trial in trials)


def test_a_fixed_mix_stays_as_it_is() -> None:
    assert {tuple(trial.mix.items()) for trial in drawn(config(mixes="fixed"))} == {tuple(SHARES.items())}


def test_tpe_learns_from_what_it_is_told() -> None:
    """Told that low rates are better, its later waves draw lower ones than its first, and than if told the opposite."""

    def later(sign: int) -> float:
        rates = [
            math.log(trial.training.learning_rate)
            for seed in range(5)
            for trial in drawn(
                config(sampler="tpe", n_trials=20, mixes="fixed"),
                seed,
                score=lambda trial: -sign * math.log(trial.training.learning_rate),
            )[10:]
        ]
        return sum(rates) / len(rates)

    assert later(1) < later(-1) - 1.5


def test_waves_hold_all_trials() -> None:
    assert waves(config(n_trials=9)) == (9,)
    assert waves(config(n_trials=9, sampler="tpe", eta=3)) == (5, 3, 1)
    assert waves(config(n_trials=2, sampler="tpe")) == (1, 1)


def test_plain_settings_outside_the_space_and_failed_trials_do_no_harm() -> None:
    settings = config(sampler="tpe", n_trials=8, space={"learning_rate": Range(low=1e-3, high=2e-3)})
    assert settings.training.learning_rate < 1e-3
    trials = drawn(settings, score=lambda trial: math.nan if trial.number % 2 == 0 else 0.5)
    assert all(1e-3 <= trial.training.learning_rate <= 2e-3 for trial in trials[1:])


def test_whole_numbers_and_choices_keep_their_type() -> None:
    space = {"batch_size": Range(low=4, high=32), "schedule": Range(choices=("linear", "cosine"))}
    trials = drawn(config(space=space, n_trials=9))[1:]
    assert all(isinstance(trial.training.batch_size, int) and 4 <= trial.training.batch_size <= 32 for trial in trials)
    assert {trial.training.schedule for trial in trials} == {"linear", "cosine"}


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"max_steps": Range(low=1, high=9)}, "max_steps can't be searched, since it follows from the tokens"),
        ({"learning_rate": Range(low=-1.0, high=1.0)}, "input should be greater than 0 (it is -1.0)"),
        ({"schedule": Range(low=1, high=2)}, "schedule: input should be 'constant', 'linear' or 'cosine'"),
        ({"packing": Range(low=0, high=1)}, "packing is no number"),
        ({"schedule": Range(choices=("linear", "steep"))}, "(it is 'steep')"),
    ],
)
def test_what_cannot_be_searched_is_a_sentence(space: dict[str, Range], sentence: str) -> None:
    with pytest.raises(TeachableError) as caught:
        Space(config(space=space), SHARES, 0)
    assert sentence in caught.value.sentence()
    assert "explore.space." in caught.value.where


def test_nothing_to_search_is_a_sentence() -> None:
    with pytest.raises(TeachableError, match="there is nothing to search"):
        Space(config(space={}), {"a": 1.0}, 0)
