"""A run folder as a comparison reads it: finished stages only, and a note of what is not there.

A recipe is read as the YAML that it is, not as this version's settings, so that a run of an earlier version can be
compared with one of today. Every stage is optional: what a run lacks is None, and its absence is in `missing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from teachable.errors import TeachableError
from teachable.store.files import read_json, read_rows
from teachable.store.manifest import RunFolder, StageEntry

Row: TypeAlias = dict[str, Any]
HELDOUT = "heldout"  # the task of questions that are no benchmark's
LISTED = 1000  # ids that a list in the document holds at most, beside their exact number


class ComparedRun:
    """One of the runs that are compared.

    Args:
        path: the run folder.
        label: what the comparison calls it.

    Raises:
        TeachableError: there is no such folder, it holds no run, or its manifest or recipe can't be read.
    """

    def __init__(self, path: Path, label: str) -> None:
        if not path.is_dir():
            what = "this is a file" if path.exists() else "there is no such folder"
            raise TeachableError(what, where=str(path), mend="Name run folders, as `teachable run --out` writes them")
        self.path, self.label = path, label
        self._folder = RunFolder(path)
        name = self._folder.recipe_name()
        if name is None:
            raise TeachableError(
                "there is no run in this folder", where=str(path), mend="Name a folder that holds a manifest.json"
            )
        self.entries: dict[str, StageEntry] = self._folder.entries()
        self.recipe = _document(path / "run.yaml")
        self.name = str(self.recipe.get("name") or name)
        self.missing = self._unfinished()
        self._read: dict[tuple[str, str], list[Row]] = {}

    def _unfinished(self) -> list[str]:
        """What of the run is not there, in words."""
        stages = _mapping(self.recipe.get("stages"))
        found = [] if stages else ["run.yaml (its settings are not known)"]
        found += [f"stage {stage} (not finished)" for stage in stages if stage not in self.entries]
        files = sorted({name for entry in self.entries.values() for name in entry.outputs})
        return found + [f"{name} (gone)" for name in files if not (self.path / name).exists()]

    def stages_of(self, kind: str) -> list[str]:
        """The finished stages of a kind; the one that bears the kind's own name comes first."""
        found = [name for name, entry in self.entries.items() if entry.kind == kind]
        return sorted(found, key=lambda name: name != kind)

    def stage(self, kind: str) -> str | None:
        """The finished stage of a kind that is compared: the first of `stages_of`, or None."""
        return next(iter(self.stages_of(kind)), None)

    def folder(self, kind: str) -> Path | None:
        """The folder of that stage."""
        stage = self.stage(kind)
        return None if stage is None else self._folder.stage_dir(stage)

    def rows(self, kind: str, file: str) -> list[Row] | None:
        """The rows of a file of the stage of that kind; None where the run has none.

        Raises:
            TeachableError: the file is there and can't be read.
        """
        folder = self.folder(kind)
        if folder is None or not (folder / file).is_file():
            return None
        if (kind, file) not in self._read:
            self._read[kind, file] = read_rows(folder / file)
        return self._read[kind, file]

    def stats(self, kind: str) -> Row:
        """The stage's stats.json; empty where the run has none.

        Raises:
            TeachableError: the file is there and can't be read.
        """
        folder = self.folder(kind)
        return _object(folder / "stats.json") if folder is not None else {}

    def config(self, kind: str) -> Row:
        """The stage's settings as they entered its key, or as the recipe says where the manifest does not."""
        stage = self.stage(kind)
        if stage is None:
            return {}
        kept = _mapping(_mapping(self.entries[stage].ingredients.get("config")).get("values"))
        return dict(kept or _mapping(_mapping(self.recipe.get("stages")).get(stage)))

    def packages(self) -> dict[str, str]:
        """Versions of Python and the packages, as the evaluation or else the report of the run noted them."""
        noted = _mapping(_mapping(self.stats("evaluate").get("determined_by")).get("packages"))
        if not noted:
            noted = _mapping(_mapping(_object(self.path / "report.json").get("reproduce")).get("environment"))
        return {str(name): str(version) for name, version in noted.items() if name != "cpus"}


def labels_of(paths: Sequence[Path]) -> list[str]:
    """A short name for each folder: its own, with as many of its parents as tell it from the others."""
    whole = [path.resolve() for path in paths]
    for depth in range(1, max((len(path.parts) for path in whole), default=1) + 1):
        names = ["/".join(path.parts[-depth:]) for path in whole]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def listed(ids: Sequence[str] | set[str]) -> dict[str, Any]:
    """How many there are, and the first of them in order."""
    return {"n": len(ids), "ids": sorted(ids)[:LISTED]}


def _object(path: Path) -> Row:
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise TeachableError(
            "this file holds no JSON object", where=str(path), mend="Run the stage that wrote it again"
        )
    return found


def _document(path: Path) -> Row:
    """The recipe of a run; empty where it is not there."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise TeachableError(f"this recipe can't be read ({said})", where=str(path)) from error
    return dict(_mapping(found))


def _mapping(value: object) -> Mapping[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}
