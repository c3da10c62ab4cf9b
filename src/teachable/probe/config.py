"""How a model is probed, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ProbeConfig(BaseModel):
    """Attempts at a prompt, how they are sampled, and where the zones begin and end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_samples: int = Field(8, ge=1, description="attempts at each prompt")
    low: float = Field(0.1, gt=0, lt=1, description="pass rate below which a prompt is beyond the model")
    high: float = Field(0.9, gt=0, lt=1, description="pass rate above which a prompt is mastered")
    temperature: float = Field(1.0, ge=0, description="of the sampling; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling; 1 is off")
    max_tokens: int = Field(256, ge=1, description="longest attempt, in tokens")
    prior_a: float = Field(0.5, gt=0, description="Beta prior of the pass rate, weight of successes; 0.5 is Jeffreys'")
    prior_b: float = Field(0.5, gt=0, description="Beta prior of the pass rate, weight of failures; 0.5 is Jeffreys'")

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self
