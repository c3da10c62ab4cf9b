"""A run folder: who owns it, which of its stages are complete, and what they made.

`manifest.json` is the truth. A stage is complete only if its entry is there, and the entry is written last,
by rename: a process killed at any moment leaves a stage that is complete or one that is not, nothing between.
A stage that is not complete may keep partial work in its folder; a `.key` file there says for which key, and
`begin` wipes what belongs to another.

One process at a time works in a run folder: `RunFolder.locked` holds an advisory lock (`flock`) on `.lock`, which
the kernel drops when the process dies, so that no stale lock can stand in anyone's way.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.store.digest import file_digest
from teachable.store.files import mending, read_json, write_json, write_text

FORMAT = 1
# Beside a model or a data set: written after its stage, by the report or by hand, and no result of it. A card that
# changes must not make a stage look damaged, which would train its models again.
CARD = "README.md"


@dataclass(frozen=True)
class StageEntry:
    """What the manifest knows of a complete stage.

    `key` is the digest of what the outputs depend on; `ingredients` is that itself, kept so that a plan can say
    what changed. `outputs` maps paths relative to the run folder to
    `{"bytes", "sha256"}`. `requires` lists further paths that must still be there, whatever they hold: absolute (a
    model in the user cache), or relative to the run folder (a card). `model_digest` is the identity of the model that
    the stage made or found, if any.
    """

    kind: str
    key: str
    version: int
    status: str = "done"
    seconds: float = 0.0
    prompts: int = 0
    completions: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    note: str = ""
    ingredients: Mapping[str, Any] = field(default_factory=dict)
    model_digest: str = ""
    requires: tuple[str, ...] = ()
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class RunFolder:
    """The run folder at `path`; nothing is made or changed before `locked`."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def ledger_path(self) -> Path:
        return self.path / "ledger.sqlite"

    def stage_dir(self, stage: str) -> Path:
        """The folder of a stage's own files."""
        return self.path / stage

    @property
    def models_dir(self) -> Path:
        return self.path / "models"

    def check_owner(self, recipe: str) -> None:
        """Refuse a folder that another recipe owns, or that holds something else than a run.

        Raises:
            TeachableError: with what stands in the way.
        """
        if self.path.exists() and not self.path.is_dir():
            raise TeachableError("the output folder is a file", where=str(self.path), mend="Choose another with --out")
        if self.manifest_path.is_file():
            owner = self._document().get("recipe")
            if owner != recipe:
                raise TeachableError(
                    f"this is the output folder of another recipe ({owner!r}, not {recipe!r})",
                    where=str(self.path),
                    mend="Choose another folder with --out",
                )
        elif self.path.is_dir() and any(not _is_leftover(child) for child in self.path.iterdir()):
            raise TeachableError(
                "the output folder is not empty and holds no run",
                where=str(self.path),
                mend="Choose an empty or new folder with --out",
            )

    @contextmanager
    def locked(self, recipe: str) -> Iterator[None]:
        """Own the folder for the block: make it, lock it, and see that it belongs to this recipe.

        Raises:
            TeachableError: another process works in it, another recipe owns it, or it can't be written.
        """
        self.check_owner(recipe)
        with mending(self.path / ".lock"):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(handle, 64, 0).decode(errors="replace").strip()
                raise TeachableError(
                    f"another run is working in this folder (process {holder or 'unknown'})",
                    where=str(self.path),
                    mend="Wait for it, stop it, or choose another folder with --out",
                ) from error
            # The holder is told to others as a courtesy: a disk without room for it is no reason to stop yet.
            with mending(self.path / ".lock"):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            self.check_owner(recipe)
            for child in self.path.iterdir():
                if child.name.endswith(".tmp") and child.name.startswith("."):
                    child.unlink(missing_ok=True)
            if not self.manifest_path.is_file():
                self._write(recipe, {})
            yield
        finally:
            os.close(handle)

    def recipe_name(self) -> str | None:
        """The recipe that owns the folder; None if it holds no run."""
        return str(self._document()["recipe"]) if self.manifest_path.is_file() else None

    def entries(self) -> dict[str, StageEntry]:
        """The complete stages by name, in the order in which they were completed; empty if there is no run.

        Raises:
            TeachableError: the manifest is broken or of a later format.
        """
        if not self.manifest_path.is_file():
            return {}
        try:
            return {name: _entry(values) for name, values in self._document()["stages"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise TeachableError(f"this manifest is broken ({error})", where=str(self.manifest_path)) from error

    def entry(self, stage: str) -> StageEntry | None:
        """The entry of a complete stage, or None."""
        return self.entries().get(stage)

    def missing(self, entry: StageEntry) -> list[str]:
        """The recorded outputs and required paths that are gone or have another size (a cheap look, no hashing)."""
        gone = [name for name, output in entry.outputs.items() if _size(self.path / name) != output["bytes"]]
        places = (self.path, Path())  # a cache's place may be given relative to where the command is run
        return gone + [path for path in entry.requires if not any((place / path).exists() for place in places)]

    def is_complete(self, stage: str, key: str) -> bool:
        """Is the stage complete with this key, its outputs in place?"""
        entry = self.entry(stage)
        return entry is not None and entry.key == key and not self.missing(entry)

    def damaged(self) -> list[str]:
        """The recorded outputs whose bytes are not what they were (hashes every file: slow, for a check by hand)."""
        return [
            name
            for entry in self.entries().values()
            for name, output in entry.outputs.items()
            if _size(self.path / name) != output["bytes"] or file_digest(self.path / name) != output["sha256"]
        ]

    def begin(self, stage: str, key: str, *, outside: Sequence[str] = (), afresh: bool = False) -> Path:
        """Make the stage's folder ready for work on `key`; the stage is not complete from here on.

        Partial work of the same key stays (unless `afresh`), everything else of the stage goes: its folder and
        the `outside` patterns, relative to the run folder.
        """
        folder = self.stage_dir(stage)
        marker = folder / ".key"
        with mending(marker):
            entries = self.entries()
            if entries.pop(stage, None) is not None:
                self._write(self._owner(), entries)
            folder.mkdir(parents=True, exist_ok=True)
            if afresh or not marker.is_file() or marker.read_text().strip() != key:
                marker.unlink(missing_ok=True)
                for path in [*folder.iterdir(), *self._outside(outside)]:
                    _remove(path)
                write_text(marker, key + "\n")
        return folder

    def complete(self, stage: str, entry: StageEntry, *, outside: Sequence[str] = ()) -> StageEntry:
        """Record the stage's outputs and declare it complete. Returns the entry as written."""
        files = [path for path in _files(self.stage_dir(stage)) if not path.name.startswith(".")]
        for path in self._outside(outside):
            files += _files(path) if path.is_dir() else [path]
        outputs = {
            path.relative_to(self.path).as_posix(): {"bytes": path.stat().st_size, "sha256": file_digest(path)}
            for path in sorted(set(files))
            if path.name != CARD
        }
        done = replace(entry, outputs=outputs)
        entries = self.entries()
        entries.pop(stage, None)
        self._write(self._owner(), {**entries, stage: done})
        return done

    def _outside(self, patterns: Sequence[str]) -> list[Path]:
        return sorted({path for pattern in patterns for path in self.path.glob(pattern)})

    def _owner(self) -> str:
        return str(self._document()["recipe"])

    def _document(self) -> dict[str, Any]:
        document = read_json(self.manifest_path)
        if not isinstance(document, dict) or "recipe" not in document:
            raise TeachableError("this is no manifest of a run", where=str(self.manifest_path))
        if document.get("format") != FORMAT:
            raise TeachableError(
                f"this run folder has format {document.get('format')!r}, this version reads {FORMAT}",
                where=str(self.manifest_path),
                mend="Choose another folder with --out",
            )
        return document

    def _write(self, recipe: str, entries: Mapping[str, StageEntry]) -> None:
        write_json(self.manifest_path, {"recipe": recipe, "format": FORMAT, "stages": dict(entries)})


def _entry(values: Mapping[str, Any]) -> StageEntry:
    known: dict[str, Any] = {f.name: values[f.name] for f in fields(StageEntry) if f.name in values}
    known["requires"] = tuple(known.get("requires", ()))
    return StageEntry(**known)


def _is_leftover(path: Path) -> bool:
    """What a run killed before its first manifest leaves behind, and what desktops strew about."""
    name = path.name
    return name in {".lock", ".DS_Store"} or (name.startswith(".") and name.endswith(".tmp"))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return None


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
