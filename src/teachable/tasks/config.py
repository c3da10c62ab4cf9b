"""Where a run's prompts come from, as typed settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from teachable.tasks.columns import check_fields

BUILT_IN = "reasoning_gym"
DEFAULT_FAMILIES = ("chain_sum", "simple_equations", "gcd", "letter_counting", "spell_backward")
DEFAULT_POOL, DEFAULT_HELDOUT = 1500, 300


class TasksConfig(BaseModel):
    """The pool that is probed and taught from, and the held-out questions that judge the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        BUILT_IN, description="reasoning_gym (procedural questions), or a JSONL or Parquet file of your own prompts"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="field: column, for a file whose columns are not recognised as you want; an empty column is none",
    )
    families: tuple[str, ...] = Field(
        DEFAULT_FAMILIES, min_length=1, description="reasoning-gym families, when source is reasoning_gym"
    )
    n_pool: int | None = Field(
        None, ge=1, description=f"most questions in the pool; null: {DEFAULT_POOL} built-in ones, or all of a file"
    )
    n_heldout: int | None = Field(
        None, ge=1, description=f"most held-out questions; null: {DEFAULT_HELDOUT} built-in ones, or all of a file"
    )
    heldout_frac: float = Field(0.2, ge=0, lt=1, description="share of a file's prompts that is held out; 0 is none")
    near_duplicate: float = Field(
        0.8, gt=0, le=1, description="similarity from which two of a file's prompts stay on one side of the split"
    )

    @field_validator("columns")
    @classmethod
    def _fields_exist(cls, columns: dict[str, str]) -> dict[str, str]:
        check_fields(list(columns))
        return columns

    def sizes(self, n_rows: int | None = None) -> tuple[int, int]:
        """How many questions the pool and the held-out set are expected to have.

        Args:
            n_rows: rows of the file; None for the built-in families, or where nobody counted them.
        """
        if self.source == BUILT_IN or n_rows is None:
            heldout = 0 if self.source != BUILT_IN and self.heldout_frac == 0 else self.n_heldout or DEFAULT_HELDOUT
            return self.n_pool or DEFAULT_POOL, heldout
        n_heldout = round(n_rows * self.heldout_frac)
        n_pool = n_rows - n_heldout
        return min(n_pool, self.n_pool or n_pool), min(n_heldout, self.n_heldout or n_heldout)
