"""Which code does which stage: the one place where the light half of a stage meets its heavy half.

Runners are imported when a stage of their kind must run and not before, so that `--help`, `plan` and a
finished run never load a model library.
"""

from __future__ import annotations

import importlib

from teachable.errors import TeachableError
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.spec import Kinds, Runner


def kinds() -> Kinds:
    """The stage kinds that recipes may use."""
    return STAGE_KINDS


def runner_for(kind: str) -> Runner:
    """The runner of a stage kind: the `run` of the module of that name in `teachable.recipe.stages`.

    Raises:
        TeachableError: a package of one of the extras is not installed.
    """
    try:
        runner: Runner = importlib.import_module(f"teachable.recipe.stages.{kind}").run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "teachable":
            raise
        raise TeachableError(
            f"stage {kind} needs the package {error.name!r}, which is not installed",
            mend="Install teachable with its extras: pip install 'teachable[train,tasks]'",
        ) from error
    return runner
