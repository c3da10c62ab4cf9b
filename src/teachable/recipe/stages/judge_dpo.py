"""The second round of preference training, on judged pairs: the work of the `dpo` stage, from another base."""

from __future__ import annotations

from teachable.recipe.stages.dpo import run

__all__ = ["run"]
