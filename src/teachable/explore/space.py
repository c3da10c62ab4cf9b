"""Where the settings of a trial come from: Optuna's samplers behind our own description of the space.

Trial 0 is always the plain one: the settings as they were given, and the mix that the selection has.

A mix is drawn as weights: each domain's share as selected times an exponentially distributed factor, made to add up to
1. That is a Dirichlet distribution where the domains are selected in equal parts (there every mix is as likely as any
other), and keeps near what there is where they are not, so that a small domain is not asked for what it has not got.
(RegMix, Liu et al. 2024, draws from a Dirichlet around the token counts too.) In Optuna's eyes a mix is one number in
[0, 1] a domain, the factor's quantile.

- `qmc`: scrambled Halton points (Optuna's `QMCSampler`), which cover the space more evenly than random ones, however
  few they are; Sobol points want powers of two.
- `random`: independent draws.
- `tpe`: half of the trials at random, then `eta` at a time from Optuna's tree-structured Parzen estimator, told of the
  scores of all trials before (Bergstra et al. 2011). So its first round is several waves, one after the other.

The same seed and the same scores give the same trials, on any machine with the same Optuna.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, get_args

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from pydantic import ValidationError

from teachable.errors import TeachableError
from teachable.explore.config import ExploreConfig, Range
from teachable.explore.trial import Trial
from teachable.train.tune_config import TrainingConfig

FOLLOWS = ("max_steps", "max_epochs")  # from the tokens of a round
WHERE = "explore.space"
_MIX = "mix."
_FIGURES = 4  # of a drawn value: more would only look exact
_LEAST_FACTOR = 1e-3  # no share is quite 0: a domain that is left out should be left out on purpose
_PLAIN_QUANTILE = 1 - math.exp(-1)  # of the factor 1, which changes no share


def waves(config: ExploreConfig) -> tuple[int, ...]:
    """How many trials are drawn at a time; the scores of a wave are told before the next is drawn."""
    if config.sampler != "tpe":
        return (config.n_trials,)
    first = math.ceil(config.n_trials / 2)
    rest = config.n_trials - first
    return (first, *(min(config.eta, rest - done) for done in range(0, rest, config.eta)))


class Space:
    """Draws the trials of a search, one wave after the other.

    Args:
        shares: domain: its share of the tokens that were selected.
        seed: of the draws.

    Raises:
        TeachableError: a setting can't be searched, or a value that it may take is not valid.
    """

    def __init__(self, config: ExploreConfig, shares: Mapping[str, float], seed: int) -> None:
        self._config = config
        self._shares = _rounded(shares)
        self._distributions = _distributions(config, shares)
        self._drawn: list[tuple[Trial, Any]] = []
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of every trial on stderr
        sampler = _sampler(config, self._distributions, seed)
        self._study = optuna.create_study(sampler=sampler, direction="maximize")

    def draw(self, n: int) -> list[Trial]:
        """The next `n` trials; the very first is the plain one."""
        return [self._next() for _ in range(n)]

    def tell(self, scores: Mapping[int, float]) -> None:
        """Let the sampler know what trials came to; NaN where a training failed."""
        for number, score in sorted(scores.items()):
            asked = self._drawn[number][1]
            if asked is None:
                self._tell_plain(score)
            elif math.isnan(score):
                self._study.tell(asked, state=optuna.trial.TrialState.FAIL)
            else:
                self._study.tell(asked, score)

    def _next(self) -> Trial:
        number = len(self._drawn)
        if number == 0:
            plain = {name: getattr(self._config.training, name) for name in self._config.space}
            trial, asked = Trial(0, self._config.training, plain, dict(self._shares)), None
        else:
            asked = self._study.ask(self._distributions)
            values = {name: _short(asked.params[name], self._config.space[name]) for name in self._config.space}
            trial = Trial(number, _with(self._config.training, values), values, self._mix(asked.params))
        self._drawn.append((trial, asked))
        return trial

    def _mix(self, values: Mapping[str, Any]) -> dict[str, float]:
        """The shares that the quantiles of a draw stand for."""
        if not any(name.startswith(_MIX) for name in values):
            return dict(self._shares)
        factors = {name: max(_LEAST_FACTOR, -math.log1p(-values[f"{_MIX}{name}"])) for name in self._shares}
        weights = {name: share * factors[name] for name, share in self._shares.items()}
        return _rounded(weights)

    def _tell_plain(self, score: float) -> None:
        """The plain settings, if they lie in the space at all; Optuna did not draw them."""
        values = dict(self._drawn[0][0].searched)
        values |= dict.fromkeys((name for name in self._distributions if name.startswith(_MIX)), _PLAIN_QUANTILE)
        if math.isnan(score) or not all(_holds(self._distributions[name], value) for name, value in values.items()):
            return
        self._study.add_trial(optuna.trial.create_trial(params=values, distributions=self._distributions, value=score))


class _Halton(QMCSampler):
    """Points of one sequence from the first trial on; Optuna would draw the first at random, to learn the space."""

    def __init__(self, distributions: Mapping[str, BaseDistribution], seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(qmc_type="halton", scramble=True, seed=seed)
        self._distributions = dict(distributions)

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
        """The whole space, which is known."""
        return {name: one for name, one in self._distributions.items() if not one.single()}


def _sampler(config: ExploreConfig, distributions: Mapping[str, BaseDistribution], seed: int) -> BaseSampler:
    if config.sampler == "qmc":
        return _Halton(distributions, seed)
    if config.sampler == "random":
        return RandomSampler(seed=seed)
    return TPESampler(n_startup_trials=waves(config)[0] - 1, seed=seed, constant_liar=True)


def _distributions(config: ExploreConfig, shares: Mapping[str, float]) -> dict[str, BaseDistribution]:
    """The space as Optuna describes it.

    Raises:
        TeachableError: see `Space`.
    """
    found = {name: _distribution(name, values, config.training) for name, values in config.space.items()}
    if config.mixes == "searched" and len(shares) > 1:
        found |= {f"{_MIX}{name}": FloatDistribution(0.0, 1.0) for name in shares}
    if not found:
        raise TeachableError(
            "there is nothing to search: the space is empty and the mix can't vary",
            where=WHERE,
            mend="Name a setting in explore.space, or have more than one domain and explore.mixes: searched",
        )
    return found


def _distribution(name: str, values: Range, plain: TrainingConfig) -> BaseDistribution:
    where = f"{WHERE}.{name}"
    if name in FOLLOWS:
        raise TeachableError(
            f"{name} can't be searched, since it follows from the tokens of a round",
            where=where,
            mend="Search another setting, or change explore.first_tokens",
        )
    annotation = TrainingConfig.model_fields[name].annotation
    kinds = set(get_args(annotation)) or {annotation}
    for value in values.choices or (values.low, values.high):
        _with(plain, {name: int(value) if int in kinds and isinstance(value, float) else value}, where=where)
    if values.choices:
        return CategoricalDistribution(values.choices)
    if not kinds & {int, float} or bool in kinds:
        raise TeachableError(f"{name} is no number, so it has no low and high", where=where, mend="List its choices")
    low, high = values.low, values.high
    if low is None or high is None:
        raise TypeError(f"{name} has no low and high, nor choices")  # `Range` refuses it
    if int in kinds:
        return IntDistribution(math.ceil(low), math.floor(high), log=values.log)
    return FloatDistribution(low, high, log=values.log)


def _with(plain: TrainingConfig, values: Mapping[str, Any], where: str = WHERE) -> TrainingConfig:
    """The plain settings with others in their place.

    Raises:
        TeachableError: they are not valid.
    """
    try:
        return TrainingConfig.model_validate({**plain.model_dump(), **values})
    except ValidationError as error:
        fault = error.errors()[0]
        message = fault["msg"].removeprefix("Value error, ")
        raise TeachableError(
            f"{message[:1].lower()}{message[1:]} (it is {fault['input']!r})", where=where, mend="Change the range"
        ) from error


def _short(value: Any, within: Range) -> Any:
    """A drawn number with as many digits as a reader needs, still in its range; anything else as it is."""
    if not isinstance(value, float) or within.low is None or within.high is None:
        return value
    return min(max(float(f"{value:.{_FIGURES}g}"), within.low), within.high)


def _rounded(weights: Mapping[str, float]) -> dict[str, float]:
    """Shares that add up to 1 but for rounding."""
    total = math.fsum(weights.values())
    return {name: round(weight / total, _FIGURES) for name, weight in weights.items()}


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Is this value one that the distribution could give?"""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    return bool(distribution.low <= value <= distribution.high)
