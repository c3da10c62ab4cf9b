"""Where a run's prompts come from, as typed settings.

Benchmarks are named by tasks, texts such as `gsm8k`, `gsm8k=data/gsm8k.jsonl` or `own.jsonl`; `split_task` says which
parts of one are paths, so that a recipe can be anchored and keyed without loading a benchmark.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from teachable.tasks.columns import check_fields

BUILT_IN = "reasoning_gym"
NO_SOURCE = "none"
DEFAULT_FAMILIES = ("chain_sum", "simple_equations", "gcd", "letter_counting", "spell_backward")
DEFAULT_POOL, DEFAULT_HELDOUT = 1500, 300
_NAMED = re.compile(r"([A-Za-z][^=/]*=)(.+)", re.DOTALL)
_OWN_YAML = re.compile(r"(lm_eval:)([^=]+?\.ya?ml)((?:\+\w+)*)(?:(=)(.+))?", re.DOTALL)
_TASK_FILES = (".jsonl", ".parquet")


def split_task(text: str) -> tuple[str, ...]:
    """A task in parts, of which those at odd places are paths.

    `gsm8k` is ("gsm8k",), `gsm8k=data` is ("gsm8k=", "data"), `own.jsonl` is ("", "own.jsonl"), and
    `lm_eval:my.yaml+chat=data` is ("lm_eval:", "my.yaml", "+chat=", "data").
    """
    text = text.strip()
    if (own := _OWN_YAML.fullmatch(text)) is not None:
        head, path, options, equals, data = own.groups(default="")
        return (head, path, f"{options}{equals}", data) if data else (head, path, options)
    if (named := _NAMED.fullmatch(text)) is not None:
        return named[1], named[2]
    return ("", text) if text.endswith(_TASK_FILES) else (text,)


def task_paths(text: str) -> tuple[str, ...]:
    """The files and folders that a task names."""
    return split_task(text)[1::2]


class TasksConfig(BaseModel):
    """The pool that is probed and taught from, and the held-out questions that judge the result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        BUILT_IN,
        description="reasoning_gym (procedural questions), a JSONL or Parquet file of your own prompts, or none",
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

    benchmarks: tuple[str, ...] = Field(
        (), description="tasks whose questions are held out too: a name, NAME=PATH, gym:FAMILY, lm_eval:NAME, or a file"
    )
    limit: int | None = Field(None, ge=1, description="most questions of each benchmark; null: all")

    @field_validator("columns")
    @classmethod
    def _fields_exist(cls, columns: dict[str, str]) -> dict[str, str]:
        check_fields(list(columns))
        return columns

    @field_validator("benchmarks")
    @classmethod
    def _each_once(cls, benchmarks: tuple[str, ...]) -> tuple[str, ...]:
        twice = [task for task, n in Counter(benchmarks).items() if n > 1]
        if twice:
            raise ValueError(f"the benchmark {twice[0]!r} is named twice")
        return benchmarks

    @model_validator(mode="after")
    def _something_to_do(self) -> Self:
        if self.source == NO_SOURCE and not self.benchmarks:
            raise ValueError("there is neither a source nor a benchmark")
        return self

    def sizes(self, n_rows: int | None = None) -> tuple[int, int]:
        """How many questions of the source the pool and the held-out set are expected to have.

        Args:
            n_rows: rows of the file; None for the built-in families, or where nobody counted them.
        """
        if self.source == NO_SOURCE:
            return 0, 0
        if self.source == BUILT_IN or n_rows is None:
            heldout = 0 if self.source != BUILT_IN and self.heldout_frac == 0 else self.n_heldout or DEFAULT_HELDOUT
            return self.n_pool or DEFAULT_POOL, heldout
        n_heldout = round(n_rows * self.heldout_frac)
        n_pool = n_rows - n_heldout
        return min(n_pool, self.n_pool or n_pool), min(n_heldout, self.n_heldout or n_heldout)
