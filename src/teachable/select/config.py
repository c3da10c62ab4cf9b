"""What is selected, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

Arm = Literal["teachable", "random", "mastered", "beyond", "full"]
# A whole number counts prompts, a fraction is a share of `size`: 1 is one prompt, 1.0 is all of them.
Quota: TypeAlias = int | float
EQUAL = "equal"


class SelectConfig(BaseModel):
    """The pool that is worth training on, the arms of the comparison, and how much each of them is taught."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int | None = Field(
        None, ge=1, description="most prompts in the pool, the surest first; null: all that qualify"
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="least posterior probability of its zone that a prompt must have; 0 is off"
    )
    domain_quota: dict[str, Quota] | Literal["equal"] = Field(
        default_factory=dict,
        description="domain: its share of size (0.3), or its number of prompts (30); the other domains share the rest. "
        "equal: as even as the domains allow",
    )
    level_quota: dict[int, Quota] | Literal["equal"] = Field(
        default_factory=dict, description="level: its share of size, or its number of prompts; or equal"
    )
    allow_suspect: bool = Field(
        False, description="let in prompts whose own answer the teacher contradicts; else they are in no set at all"
    )
    arms: tuple[Arm, ...] = Field(
        ("teachable", "random", "mastered", "beyond"),
        description="training sets to make; random and full draw from all prompts, the others from their zone; none: "
        "only the pool",
    )
    random_prompts: Literal["all", "as_teachable"] = Field(
        "all",
        description="different prompts that a set of the arm random draws from: all there are; or a share of them, "
        "drawn anew for each seed, that holds as many training tokens as the pool of teachable",
    )
    leave_out_small: bool = Field(
        False,
        description="leave out an arm whose pool is too small for the budget, with a sentence, in the place of "
        "refusing; teachable is never left out",
    )
    budget_tokens: int = Field(60_000, ge=1, description="training tokens of each arm and seed, repeats included")
    seeds: int | tuple[int, ...] = Field(3, description="how many seeds an arm (0, 1, ...), or a list of them")
    responses: Literal["auto", "solution", "attempt", "none"] = Field(
        "auto",
        description="solution: the worked solution; attempt: the model's own shortest right answer; auto: the "
        "solution where there is one, else the attempt; none: the prompts alone, where arms is empty",
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
        if self.arms and self.responses == "none":
            raise ValueError("arms are trained on responses, so with responses none there must be no arms")
        return self

    @model_validator(mode="after")
    def _quotas_fit(self) -> Self:
        for name, wanted in (("domain_quota", self.domain_quota), ("level_quota", self.level_quota)):
            if isinstance(wanted, str):
                if self.size is None:
                    raise ValueError(f"{name}: equal shares are shares of size, so size must be given")
                continue
            _check_quotas(name, wanted.values(), self.size)
        return self


def _check_quotas(name: str, wanted: Iterable[Quota], size: int | None) -> None:
    shares = [one for one in wanted if isinstance(one, float)]
    counts = [one for one in wanted if isinstance(one, int)]
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"{name}: a share lies between 0 and 1; a number of prompts is a whole number, such as 30")
    if any(count < 0 for count in counts):
        raise ValueError(f"{name}: a number of prompts can't be negative")
    if shares and size is None:
        raise ValueError(f"{name}: a share is a share of size, so size must be given")
    if math.fsum(shares) > 1 + 1e-9:
        raise ValueError(f"{name}: the shares add up to {math.fsum(shares):g}, more than 1")
    if size is not None and math.fsum(shares) * size + sum(counts) > size * (1 + 1e-9):
        asked = math.fsum(shares) * size + sum(counts)
        raise ValueError(f"{name}: the quotas add up to {asked:g} prompts, more than the size of {size}")
