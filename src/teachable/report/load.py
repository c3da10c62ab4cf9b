"""Reading a run folder that may be unfinished.

A stage that has not run leaves no files: asking for them gives nothing, and the gap is noted in `missing` so
that the page can say what it lacks. A file that is there but cannot be read is a user error. Parquet is read
by column and by prompt id here (not whole through the store), because of the attempts of a large run the
report needs some dozens and never their token ids.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.store.files import read_json

ROLES = ("tasks", "pretrain", "probe", "select", "sft", "evaluate")
Row = dict[str, Any]


class RunReader:
    """The files of one run by role.

    Args:
        run: the run folder.
        folders: role -> folder name inside the run. A role left out takes its own name, or the stage of its kind
            in the manifest.

    Raises:
        TeachableError: the folder is not there, or `folders` names a role that the report does not know.
    """

    def __init__(self, run: Path, folders: Mapping[str, str] | None = None) -> None:
        if not run.is_dir():
            raise TeachableError(
                "there is no run folder to report on", where=str(run), mend="Give the folder that `teachable run` wrote"
            )
        unknown = sorted(set(folders or {}) - set(ROLES))
        if unknown:
            raise TeachableError(f"the report has no role {unknown[0]!r}", mend=f"Use some of: {', '.join(ROLES)}")
        self.run = run
        self.missing: list[str] = []
        self.manifest = self.json("manifest.json")
        self.folders = {role: (folders or {}).get(role) or self._folder_of(role) for role in ROLES}

    def _folder_of(self, role: str) -> str:
        """The role's own name, or the first finished stage of that kind where none has the name."""
        stages = self.manifest.get("stages") or {}
        if role in stages:
            return role
        return next((name for name, entry in stages.items() if entry.get("kind") == role), role)

    def path(self, role: str, name: str) -> Path:
        return self.run / self.folders[role] / name

    def stats(self, role: str) -> Row:
        """The stage's stats.json, or nothing where the stage has not run."""
        return self.json(f"{self.folders[role]}/stats.json")

    def json(self, name: str) -> Row:
        """A JSON object of the run, or nothing where the file is not there."""
        path = self.run / name
        if not path.is_file():
            self._note(name)
            return {}
        value = read_json(path)
        if not isinstance(value, dict):
            raise _unreadable(path, TypeError("it holds no JSON object"))
        return value

    def text(self, name: str) -> str:
        """A text file of the run, empty where it is not there."""
        path = self.run / name
        if not path.is_file():
            self._note(name)
            return ""
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error

    def rows(
        self, role: str, name: str, columns: Collection[str], where: tuple[str, Collection[str]] | None = None
    ) -> list[Row]:
        """Some columns of a Parquet file; with `where`, the rows whose column holds one of the values."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(role, name)
        if not path.is_file():
            self._note(f"{self.folders[role]}/{name}")
            return []
        try:
            has = set(pq.read_schema(path).names)
            filters = [(where[0], "in", sorted(where[1]))] if where and where[1] else None
            if where and not where[1]:
                return []
            # partitioning=None: a run folder called a=b is no partition.
            table = pq.read_table(path, columns=[c for c in columns if c in has], filters=filters, partitioning=None)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error
        rows: list[Row] = table.to_pylist()
        return rows

    def responses(self, prompt_ids: Collection[str]) -> dict[str, Row]:
        """What was trained on, by prompt id: the first training example that holds it, the teachable arm's first."""
        folder = self.path("select", "examples")
        found: dict[str, Row] = {}
        for path in sorted(folder.glob("*.jsonl"), key=lambda p: (not p.name.startswith("teachable-"), p.name)):
            try:
                with path.open(encoding="utf-8") as lines:
                    for line in lines:
                        row = json.loads(line)
                        if row.get("prompt_id") in prompt_ids:
                            found.setdefault(row["prompt_id"], row)
            except (OSError, ValueError) as error:
                raise _unreadable(path, error) from error
            if len(found) == len(prompt_ids):
                break
        return found

    def _note(self, name: str) -> None:
        if name not in self.missing:
            self.missing.append(name)


def _unreadable(path: Path, error: Exception) -> TeachableError:
    return TeachableError(
        f"this file of the run cannot be read ({error})",
        where=str(path),
        mend="Run the stage that wrote it again, or restore the file",
    )
