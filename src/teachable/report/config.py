"""What the report stage may be told. Light: nothing but pydantic is imported here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ReportConfig(BaseModel):
    """How the report is made; it changes what the page shows, never a number on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_examples: int = Field(
        20,
        ge=0,
        le=200,
        description="prompts shown with their attempts, half of them in and half out, and as many held-out questions "
        "with each model's answers; 0 shows none",
    )
    max_chars: int = Field(
        2000,
        ge=100,
        le=20_000,
        description="longest question, attempt or response shown, in characters; the rest is cut",
    )
    n_solutions: int = Field(
        8, ge=0, le=50, description="solutions shown token by token where pivotal tokens were searched; 0 shows none"
    )
    title: str = Field("", description="what the browser's tab says; empty takes the recipe's name")
