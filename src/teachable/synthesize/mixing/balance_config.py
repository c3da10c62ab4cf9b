"""How organic and synthetic rows are mixed, and when synthetic ones count as collapsed, as typed settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BalanceConfig(BaseModel):
    """A share, how it is counted, and how diversity is compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float = Field(0.5, ge=0, le=1, description="of synthetic rows in the mix; 0: organic ones alone")
    unit: Literal["examples", "characters", "tokens"] = Field(
        "examples", description="what the share is a share of; tokens need a tokenizer, or are characters / 4"
    )
    total: int | None = Field(None, ge=1, description="size of the mix, in that unit; null: as large as the share lets")
    keep_organic: bool = Field(
        False, description="no organic row is left out; where synthetic ones are too few, the share is lower"
    )
    strata: Literal["proportional", "equal"] = Field(
        "proportional", description="how domains and workflows share a side that is cut: as they stand, or evenly"
    )
    tokenizer: Path | None = Field(None, description="folder of a tokenizer, to count tokens")
    least_diversity: float = Field(
        0.8, gt=0, le=1, description="synthetic to organic diversity, below which synthetic rows count as collapsed"
    )
    max_texts: int = Field(600, ge=20, description="texts of each side that diversity is measured on")
    rounds: int = Field(100, ge=20, description="halvings that the intervals rest on")
    topics: int = Field(20, ge=2, description="clusters that topics are counted in; fewer where texts are few")
    embedding: Path | None = Field(
        None, description="folder of an embedding model (sentence-transformers or transformers); null: no embeddings"
    )
