"""What is selected, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Arm = Literal["teachable", "random", "mastered", "beyond"]


class SelectConfig(BaseModel):
    """The arms of the comparison, and how much each of them is taught."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arms: tuple[Arm, ...] = Field(
        ("teachable", "random", "mastered", "beyond"),
        min_length=1,
        description="training sets to make; random draws from the whole pool, the others from their zone",
    )
    budget_tokens: int = Field(60_000, ge=1, description="training tokens of each arm and seed, repeats included")
    seeds: int | tuple[int, ...] = Field(3, description="how many seeds an arm (0, 1, ...), or a list of them")
    responses: Literal["auto", "solution", "attempt"] = Field(
        "auto",
        description="solution: the worked solution; attempt: the model's own shortest right answer; auto: the "
        "solution where there is one, else the attempt",
    )
    near_duplicate_threshold: float | None = Field(
        0.9, gt=0, le=1, description="similarity from which two prompts of an arm count once, in (0, 1]; null is off"
    )
    max_epochs: int = Field(8, ge=1, description="how often an example may come round before the pool is too small")

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if not self.seed_list or min(self.seed_list) < 0:
            raise ValueError("seeds must be at least one, none of them negative")
        if len(set(self.seed_list)) < len(self.seed_list) or len(set(self.arms)) < len(self.arms):
            raise ValueError("arms and seeds must not be given twice")
        return self
