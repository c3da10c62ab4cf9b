"""Which code does which stage: the one place where the light half of a stage meets its heavy half.

Runners are imported when a stage of their kind must run and not before, so that `--help`, `plan` and a
finished run never load a model library.
"""

from __future__ import annotations

import importlib

from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.spec import Kinds, Runner


def kinds() -> Kinds:
    """The stage kinds that recipes may use."""
    return STAGE_KINDS


def runner_for(kind: str) -> Runner:
    """The runner of a stage kind: the `run` of the module of that name in `teachable.recipe.stages`."""
    runner: Runner = importlib.import_module(f"teachable.recipe.stages.{kind}").run
    return runner
