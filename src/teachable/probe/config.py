"""How a model is probed, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from teachable.engines.config import EngineConfig


class ProbeConfig(BaseModel):
    """How many attempts at a prompt, how they are sampled, and where the zones begin and end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float = Field(0.1, gt=0, lt=1, description="pass rate below which a prompt is beyond the model")
    high: float = Field(0.9, gt=0, lt=1, description="pass rate above which a prompt is mastered")
    delta: float = Field(
        0.1, gt=0, lt=0.5, description="a prompt is decided when one zone has 1 - delta of the posterior mass"
    )
    max_samples: int = Field(64, ge=1, le=256, description="attempts at a prompt at most")
    price: float | None = Field(
        None,
        ge=0,
        le=0.25,
        description="what a further sample must promise, in probability of naming the right zone; null: delta / 50; "
        "0: no such rule, sample until decided or max_samples",
    )
    samples_per_prompt: float | None = Field(
        None, gt=0, description="budget: attempts a prompt on average, spent where they tell most; null: no budget"
    )
    n_samples: int | None = Field(
        None, ge=1, le=256, description="a fixed number of attempts at each prompt instead; null: adaptive"
    )
    prior: Literal["learnt", "fixed"] = Field(
        "learnt",
        description="learnt: from the attempts as they come, per domain and level; fixed: Beta(prior_a, prior_b)",
    )
    prior_a: float = Field(0.5, gt=0, description="weight of successes in a fixed prior; 0.5 is Jeffreys'")
    prior_b: float = Field(0.5, gt=0, description="weight of failures in a fixed prior; 0.5 is Jeffreys'")
    temperature: float = Field(1.0, ge=0, description="of the sampling; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling; 1 is off")
    top_k: int = Field(0, ge=0, description="sample from this many likeliest tokens; 0 is off")
    min_p: float = Field(0.0, ge=0, lt=1, description="leave out tokens below this share of the likeliest; 0 is off")
    max_tokens: int = Field(256, ge=1, description="longest attempt, in tokens")
    stop: tuple[str, ...] = Field((), description="strings that end an attempt")
    teacher: EngineConfig | None = Field(
        None, description="a reference model; its plurality answer is the key where a prompt has none"
    )
    teacher_samples: int = Field(5, ge=1, description="answers of the teacher to each prompt")
    teacher_temperature: float = Field(1.0, ge=0, description="of the teacher's sampling")
    teacher_max_tokens: int = Field(1024, ge=1, description="longest answer of the teacher, in tokens")
    teacher_agreement: float = Field(
        0.5, ge=0, lt=1, description="the teacher's plurality must hold more than this share of its answers"
    )
    agreement_samples: int = Field(
        8, ge=2, description="attempts at a prompt that has neither answer nor teacher, to be compared with each other"
    )

    @property
    def sample_price(self) -> float:
        """The price of a sample in probability of the right zone."""
        return self.delta / 50 if self.price is None else self.price

    @property
    def most_samples(self) -> int:
        """The greatest number of decided attempts that a prompt can have."""
        return self.max_samples if self.n_samples is None else self.n_samples

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        if self.temperature == 0 and self.n_samples != 1:
            raise ValueError("at temperature 0 all attempts are the same: raise it, or set n_samples to 1")
        return self
