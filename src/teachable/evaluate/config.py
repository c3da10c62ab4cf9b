"""How models are evaluated, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvaluateConfig(BaseModel):
    """Answers to each held-out question, how they are sampled, and how intervals are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_samples: int = Field(4, ge=1, description="sampled answers to each question; also the k of maj@k")
    temperature: float = Field(1.0, gt=0, description="of the sampled answers")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampled answers; 1 is off")
    greedy: bool = Field(True, description="one more answer to each question at temperature 0")
    max_tokens: int = Field(256, ge=1, description="longest answer, in tokens")
    interval: Literal["t", "bootstrap"] = Field(
        "t",
        description="95% intervals over questions and seeds. t: crossed variance components; bootstrap: questions and "
        "seeds resampled, which is too narrow where few seeds differ much",
    )
    n_bootstrap: int = Field(2000, ge=100, description="resamples, where interval is bootstrap")
