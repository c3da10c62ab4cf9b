"""Settings that a command line gives, as typed ones; engines with the path of their model or table made absolute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from teachable.errors import TeachableError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from teachable.engines.config import EngineConfig

M = TypeVar("M", bound="BaseModel")


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


def engine_at(values: Mapping[str, Any], where: str, mend: str) -> EngineConfig:
    """An engine's settings, typed and placed.

    Raises:
        TeachableError: it is no engine, or names no model.
    """
    from teachable.engines.config import EngineConfig

    return validated(EngineConfig, placed(values, where), where, mend)


def validated(kind: type[M], values: Mapping[str, Any], where: str, mend: str) -> M:
    """The values as a model of that kind.

    Raises:
        TeachableError: with the first mistake as a sentence.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        message = "there is no such field" if fault["type"] == "extra_forbidden" else fault["msg"]
        what = f"{field}: {message.removeprefix('Value error, ')}"
        raise TeachableError(what.removeprefix(": "), where=where, mend=mend) from error
