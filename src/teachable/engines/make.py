"""From settings to an engine. A kind's library is imported when an engine of that kind is made, and not before."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from teachable.engines.config import EngineConfig
from teachable.engines.scripted import scripted_from_file
from teachable.errors import TeachableError
from teachable.records import Engine

_CLASSES = {
    "transformers": ("teachable.engines.local", "TransformersEngine", "train"),
    "openai": ("teachable.engines.openai", "OpenAIEngine", ""),
}


def make_engine(
    config: EngineConfig,
    *,
    model: str | Path = "",
    device: str = "auto",
    batch_rows: int = 384,
    n_threads: int | None = None,
) -> Engine:
    """The engine that these settings describe.

    Args:
        model: folder or hub id of a transformers engine whose settings name no model.
        device, batch_rows: of a transformers engine; see there.
        n_threads: threads of a transformers engine on a CPU; None leaves torch's own choice.

    Raises:
        TeachableError: its library is not installed, or the engine says what is wrong.
    """
    if config.kind == "scripted":
        return scripted_from_file(Path(config.model))
    engine = _class_of(config.kind)
    if config.kind == "openai":
        made: Engine = engine(config)
        return made
    if n_threads is not None:
        importlib.import_module("torch").set_num_threads(n_threads)
    local: Engine = engine(
        config.model or model,
        device=device,
        dtype=config.dtype,
        batch_rows=batch_rows,
        trust_remote_code=config.trust_remote_code,
    )
    return local


def require(config: EngineConfig) -> None:
    """See that the engine's library is there, before anything is asked of anyone.

    Raises:
        TeachableError: it is not installed.
    """
    if config.kind != "scripted":
        _class_of(config.kind)


def _class_of(kind: str) -> Any:
    module, name, extra = _CLASSES[kind]
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "teachable":
            raise
        package = f"teachable[{extra}]" if extra else "teachable"
        raise TeachableError(
            f"the engine {kind} needs the package {error.name!r}, which is not installed",
            mend=f"Install it: pip install '{package}'",
        ) from error
