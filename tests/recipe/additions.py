"""The stage `add` after a real stage `tune`, on folders of a run; its own process can be killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.recipe.teaching import QUICK

from teachable.engines.config import EngineConfig
from teachable.recipe.config import Resources
from teachable.recipe.spec import Permissions, StageContext
from teachable.recipe.stages import add
from teachable.train.tune_config import AddConfig, TuneConfig

SETTINGS: dict[str, Any] = {**QUICK, "max_steps": 12, "seeds": 2}


def tuning(run: Path) -> StageContext:
    """The stage `tune`, about to begin."""
    return _context(run, "tune", TuneConfig.model_validate(SETTINGS), {"examples": "select"}, lambda told: None)


def adding(
    run: Path, *, tell: Callable[[Any], None] = lambda told: None, allow: bool = False, **fields: Any
) -> StageContext:
    """The stage `add`, called after its way, about to begin."""
    config = AddConfig.model_validate(fields)
    return _context(run, f"add_{config.way}", config, {"tuned": "tune"}, tell, allow=allow)


def _context(
    run: Path, name: str, config: Any, needs: dict[str, str], tell: Callable[[Any], None], *, allow: bool = False
) -> StageContext:
    (run / name).mkdir(exist_ok=True)
    roles = {"prompts": "tasks", "base": "pretrain", **needs}
    return StageContext(
        name,
        config,
        0,
        "key",
        "base",
        EngineConfig.model_validate({}),
        Resources(workers=1, device="cpu"),
        run,
        run / name,
        {role: run / stage for role, stage in roles.items()},
        on_progress=tell,
        say=tell,
        permissions=Permissions(allow_regression=allow),
    )


def add_in(run: Path, fields: dict[str, Any]) -> None:
    """In a process of its own."""
    add.run(adding(run, **fields))
