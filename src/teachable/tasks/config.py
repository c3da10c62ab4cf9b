"""Where a run's prompts come from, as typed settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

BUILT_IN = "reasoning_gym"
DEFAULT_FAMILIES = ("chain_sum", "simple_equations", "gcd", "letter_counting", "spell_backward")


class TasksConfig(BaseModel):
    """The pool that is probed and taught from, and the held-out questions that judge the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        BUILT_IN, description="reasoning_gym (procedural questions), or a JSONL or Parquet file of your own prompts"
    )
    families: tuple[str, ...] = Field(
        DEFAULT_FAMILIES, min_length=1, description="reasoning-gym families, when source is reasoning_gym"
    )
    n_pool: int = Field(1500, ge=1, description="questions in the pool; of a file, at most this many")
    n_heldout: int = Field(300, ge=1, description="held-out questions; of a file, at most this many")
    heldout_frac: float = Field(0.2, gt=0, lt=1, description="share of a file's prompts that is held out")
    near_duplicate: float = Field(
        0.8, gt=0, le=1, description="similarity from which two of a file's prompts stay on one side of the split"
    )
