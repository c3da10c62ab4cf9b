"""What tuning by domains is, as typed settings: how a model is fitted, when it is done, how domains are joined."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from teachable.train.config import LoraConfig, SftConfig

Way = Literal["data", "sequential", "weights"]


class TrainingConfig(BaseModel):
    """How a model is fitted to examples by TRL's `SFTTrainer`; the loss is on the responses only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(4e-4, gt=0, description="peak learning rate of AdamW")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant",
        description="after warm-up: stay, fall to 0, or fall to a tenth along a cosine, over the most steps allowed",
    )
    warmup_steps: int = Field(10, ge=0, description="steps in which the rate rises from 0")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay; 0 is off")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    batch_size: int = Field(16, ge=1, description="rows in one optimiser step, over all devices: examples, or packs")
    rows_at_once: int = Field(
        0, ge=0, description="rows computed at once on a device, the rest is accumulated; 0 is all of them"
    )
    max_length: int = Field(
        0, ge=0, description="longest example, and width of a pack, in tokens; longer examples are left out; 0: 1024 "
        "or the model's own, whichever is less"
    )  # fmt: skip
    packing: bool = Field(False, description="several examples in one row, none of which sees another")
    gradient_checkpointing: bool = Field(False, description="compute activations twice to keep fewer of them")
    lora: LoraConfig = Field(LoraConfig(), description="adapters in the place of training all weights")
    max_steps: int = Field(400, ge=1, description="optimiser steps at most")
    max_epochs: int = Field(20, ge=1, description="how often each example is used at most")


class SteeredConfig(TrainingConfig):
    """Training that is watched on questions held out for steering, and ends where they show no more gain."""

    eval_every: int = Field(25, ge=1, description="steps between two evaluations on the questions that steer")
    patience: int = Field(3, ge=0, description="evaluations in a row without a gain that end training; 0: never")
    min_gain: float = Field(
        0.0, ge=0, lt=1, description="a gain counts where its paired interval lies above this, in accuracy"
    )
    gain_confidence: float = Field(0.8, gt=0, lt=1, description="of the interval of a gain")
    dev_frac: float = Field(
        0.5, gt=0, lt=1, description="share of a domain's held-out questions that steer; the others only judge"
    )
    n_samples: int = Field(4, ge=0, description="sampled answers to each judging question, beside the greedy one")
    max_tokens: int = Field(256, ge=1, description="longest answer, in tokens; a question may say otherwise")
    allow_overlap: bool = Field(False, description="train on rows that overlap the held-out questions all the same")


class TuneConfig(SteeredConfig):
    """One model a domain and seed, each tuned to its plateau."""

    domains: tuple[str, ...] = Field((), description="domains to tune, in their order; empty: all of the pool")
    seeds: int = Field(1, ge=1, description="models a domain, each on another order of the same examples")

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        twice = [name for name, n in Counter(self.domains).items() if n > 1]
        if twice:
            raise ValueError(f"the domain {twice[0]!r} is named twice")
        return self


class AddConfig(BaseModel):
    """Domains added one by one to what was tuned before, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    way: Way = Field(
        "data",
        description="data: the base trained anew on the union of the frozen sets; sequential: the last model trained "
        "on; weights: the domains' models merged",
    )
    sizes: tuple[int, ...] = Field(
        (), description="numbers of domains after each addition, rising, such as [2, 4, 8]; empty: one by one"
    )
    learning_rate: float | None = Field(None, gt=0, description="of data and sequential; null: as the domains were")
    method: Literal["linear", "slerp", "task_arithmetic", "ties", "dare", "dare_ties"] = Field(
        "task_arithmetic", description="of weights; the others ignore it"
    )
    weight: float | None = Field(
        None, description="of weights: of each domain's delta; null: 1 for task_arithmetic and dare, else equal shares"
    )
    density: float | None = Field(None, gt=0, le=1, description="of ties, dare, dare_ties: share of a delta that stays")


class ScaleConfig(SteeredConfig):
    """One long joint run on a mix of domains, from the settings that a search has found."""

    mix: dict[str, float] = Field(
        default_factory=dict, description="domain: its share of the training tokens; empty: as the selection has them"
    )
    n_tokens: int = Field(0, ge=0, description="training tokens of the mix, repeats included; 0: each example once")
    seeds: int = Field(1, ge=1, description="models, each on another order")
    evidence: Path | None = Field(None, description="what the search found, which must say that these settings gain")

    @model_validator(mode="after")
    def _mix_fits(self) -> Self:
        if any(share < 0 for share in self.mix.values()) or (self.mix and not sum(self.mix.values()) > 0):
            raise ValueError("mix: shares can't be negative, and one of them must be above 0")
        return self


class AblateConfig(SftConfig):
    """The arms of the selection trained alike and evaluated along the way, at the same numbers of training tokens."""

    n_points: int = Field(5, ge=1, description="evaluations along each training, the last at its end")
    n_samples: int = Field(4, ge=0, description="sampled answers to each question, beside the greedy one")
    max_tokens: int = Field(256, ge=1, description="longest answer, in tokens; a question may say otherwise")
    n_bootstrap: int = Field(2000, ge=100, description="resamples of questions and seeds for the paired intervals")
