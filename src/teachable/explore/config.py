"""What is searched, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from teachable.train.tune_config import TrainingConfig


class Range(BaseModel):
    """The values that a setting may take: between two numbers, or one of a list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float | None = Field(None, description="least value; with high")
    high: float | None = Field(None, description="greatest value; with low")
    log: bool = Field(False, description="drawn evenly in its logarithm")
    choices: tuple[Any, ...] = Field((), description="the values themselves, in the place of low and high")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise ValueError("a range has either low and high, or choices")
        if not self.choices:
            if self.low is None or self.high is None or not self.low < self.high:
                raise ValueError("low must be given and below high")
            if self.log and self.low <= 0:
                raise ValueError("a logarithmic range starts above 0")
        return self


class ExploreConfig(BaseModel):
    """A search by successive halving over the mix of domains and the training settings, on short runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domains: tuple[str, ...] = Field((), description="domains of the mix, in their order; empty: all of the selection")
    training: TrainingConfig = Field(TrainingConfig(), description="the settings that are not searched")
    space: dict[str, Range] = Field(
        default_factory=lambda: {"learning_rate": Range(low=5e-5, high=2e-3, log=True)},
        description="setting of training: the values that it may take",
    )
    mixes: Literal["fixed", "searched"] = Field(
        "searched", description="searched: each trial draws a share of the tokens for every domain; fixed: as selected"
    )
    sampler: Literal["tpe", "random", "qmc"] = Field("qmc", description="Optuna's sampler of the first settings")
    n_trials: int = Field(9, ge=2, description="settings tried in the first round, the plain ones among them")
    eta: int = Field(3, ge=2, description="one in so many goes on to the next round, on so many times the tokens")
    n_rounds: int = Field(3, ge=1, description="rounds, the last on the most tokens")
    first_tokens: int = Field(8_000, ge=100, description="training tokens of a trial in the first round")
    seeds: int = Field(2, ge=1, description="trainings of each trial, each on another order")
    confirm_seeds: int = Field(5, ge=2, description="fresh trainings of the winner, on questions that chose nothing")
    dev_frac: float = Field(
        0.5, gt=0, lt=1, description="share of the held-out questions that the search sees; the others only judge"
    )
    n_samples: int = Field(2, ge=0, description="sampled answers to each question, beside the greedy one")
    max_tokens: int = Field(256, ge=1, description="longest answer, in tokens; a question may say otherwise")
    scale_tokens: int = Field(
        0,
        ge=0,
        description="training tokens of the long run in the recipe that is written; 0: ten times the last round's",
    )
    allow_overlap: bool = Field(False, description="train on rows that overlap the held-out questions all the same")

    @model_validator(mode="after")
    def _space_fits(self) -> Self:
        unknown = [name for name in self.space if name not in TrainingConfig.model_fields or name == "lora"]
        if unknown:
            raise ValueError(f"space: {unknown[0]!r} is no setting of training that can be searched")
        if self.n_trials < self.eta ** (self.n_rounds - 1):
            raise ValueError(f"{self.n_trials} trials can't be cut to one in {self.eta} {self.n_rounds - 1} times")
        return self
