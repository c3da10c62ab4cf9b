"""How pivotal tokens are searched for, as typed settings. All of it changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PivotConfig(BaseModel):
    """Which prompts are searched, what counts as pivotal, what may be spent, and which pairs are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gap: float = Field(
        0.2, gt=0, lt=1, description="least change of the success probability that makes a token pivotal"
    )
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="with which a reported change lies above half the gap, over a whole solution"
    )
    low: float = Field(0.2, ge=0, lt=1, description="success probability below which a prompt is left out")
    high: float = Field(0.8, gt=0, le=1, description="success probability above which a prompt is left out")
    n_gate: int = Field(
        12, ge=2, description="whole samples a prompt, which give its success probability and solutions"
    )
    n_solutions: int = Field(1, ge=1, description="solutions searched a prompt")
    max_samples: int = Field(400, ge=1, description="completions at most that the search of one solution may buy")
    price: float = Field(
        0.004,
        ge=0,
        description="what a further completion must promise, in nats about which tokens are pivotal; lower finds more, "
        "and costs more",
    )
    batch: int = Field(4, ge=1, description="completions asked for at a place at once")
    temperature: float = Field(1.0, gt=0, description="of the sampling")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling; 1 is off")
    top_k: int = Field(0, ge=0, description="sample from this many likeliest tokens; 0 is off")
    min_p: float = Field(0.0, ge=0, lt=1, description="leave out tokens below this share of the likeliest; 0 is off")
    max_tokens: int = Field(256, ge=1, description="longest solution, in tokens")
    stop: tuple[str, ...] = Field((), description="strings that end a solution")
    min_probability: float = Field(
        0.05, ge=0, lt=1, description="pairs are left out where either token has a lower next-token probability"
    )

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        return self
