"""What an earlier probing knows of the prompts: its estimates, and its attempts where they are fair samples.

An attempt is a fair sample for another stage only if the same engine gave it (the name says which model, in which
number format, by which interface) and if it was drawn in the same way. How a probing drew is in its manifest entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from teachable.errors import TeachableError
from teachable.store.files import plain, read_json
from teachable.store.manifest import RunFolder

# What decides the distribution of an attempt's tokens, beside the engine and the prompt.
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop")
ESTIMATES, ATTEMPTS = "estimates.parquet", "attempts.parquet"


def sampling_of(config: BaseModel) -> dict[str, Any]:
    """How a stage with this config samples, as JSON holds it."""
    return {name: plain(getattr(config, name)) for name in SAMPLING}


def probing_of(folder: Path) -> dict[str, Any] | None:
    """How the attempts in the folder of a finished probe, or of a stage that took over another's, were sampled.

    None where nobody can say: the folder is no stage's, or the stage has not finished.
    """
    entry = RunFolder(folder.parent).entry(folder.name)
    if entry is None:
        return None
    if entry.kind == "estimates":
        found = read_json(folder / "stats.json").get("sampling")
        return dict(found) if isinstance(found, Mapping) else None
    values = (entry.ingredients.get("config") or {}).get("values") or {}
    return {name: values[name] for name in SAMPLING} if all(name in values for name in SAMPLING) else None


def files_of(place: Path, where: str) -> tuple[Path, Path | None]:
    """The estimates that a path stands for, and the attempts that they rest on where these are known.

    Args:
        place: a run folder with a finished probe, that probe's own folder, or a file of estimates.
        where: the option or field, for the sentence.

    Raises:
        TeachableError: there are no estimates.
    """
    if place.is_file():
        return place, None
    if not place.is_dir():
        raise TeachableError(
            f"there is no run folder and no file {place}", where=where, mend="Name a run folder or an estimates.parquet"
        )
    probes = [place / name for name, entry in RunFolder(place).entries().items() if entry.kind == "probe"]
    for folder in [*probes, place]:
        if (folder / ESTIMATES).is_file():
            attempts = folder / ATTEMPTS
            return folder / ESTIMATES, attempts if attempts.is_file() else None
    raise TeachableError(
        f"{place} holds no estimates: no probe has finished there",
        where=where,
        mend="Run `teachable probe` there, or name an estimates.parquet",
    )
