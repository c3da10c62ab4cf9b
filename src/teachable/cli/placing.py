"""An engine that a command line names, with the path of its model or table made absolute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError


def placed(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An engine's settings with its path counted from the working folder.

    Raises:
        TeachableError: a transformers engine names no model, or one that is not there.
    """
    from teachable.recipe.base import resolve_base

    values = dict(values)
    if values.get("kind") == "transformers":
        if not values.get("model"):
            raise TeachableError("no model is named", where=where, mend="Write transformers:MODEL")
        values["model"] = resolve_base(values["model"], Path.cwd(), where, what="model")
    if values.get("kind") == "scripted":
        values["model"] = str(Path(values["model"]).resolve())
    return values
