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
# These a recipe may lack, or have several of.
KINDS = (
    "pivot",
    "dpo",
    "judge_pairs",
    "judge_dpo",
    "tune",
    "add",
    "explore",
    "scale",
    "ablate",
)
MAKERS = ("pretrain", "probe", "select", "sft", *KINDS)  # stages that make a model, or what one is made from
Row = dict[str, Any]


class RunReader:
    """The files of one run by role.

    Args:
        run: the run folder.
        folders: role, or kind, -> folder name inside the run. A role left out takes its own name, or the stage of its
            kind in the manifest.

    Raises:
        TeachableError: the folder is not there, or `folders` names a role that the report does not know.
    """

    def __init__(self, run: Path, folders: Mapping[str, str] | None = None) -> None:
        if not run.is_dir():
            raise TeachableError(
                "there is no run folder to report on", where=str(run), mend="Give the folder that `teachable run` wrote"
            )
        unknown = sorted(set(folders or {}) - {*ROLES, *KINDS})
        if unknown:
            known = ", ".join((*ROLES, *KINDS))
            raise TeachableError(f"the report has no role {unknown[0]!r}", mend=f"Use some of: {known}")
        self.run = run
        self.missing: list[str] = []
        self.manifest = self.json("manifest.json")
        self.recipe_text = self.text("run.yaml")
        self.recipe = _mapping(self.recipe_text)
        self.given = dict(folders or {})
        self.folders = {role: self.given.get(role) or self._folder_of(role) for role in ROLES}

    def _folder_of(self, role: str) -> str:
        """The role's own name, or the first finished stage of that kind where none has the name."""
        stages = self.manifest.get("stages") or {}
        if role in stages:
            return role
        return next((name for name, entry in stages.items() if entry.get("kind") == role), role)

    def _listed(self) -> dict[str, str]:
        """Stage -> kind, for the stages of the recipe."""
        stages = self.recipe.get("stages")
        listed = stages.items() if isinstance(stages, dict) else ()
        return {str(name): str((one if isinstance(one, dict) else {}).get("kind", name)) for name, one in listed}

    def stages_of(self, kind: str) -> list[str]:
        """The folders of all stages of a kind that have run, or that the recipe wants to run; most runs have none."""
        found = [self.given[kind]] if kind in self.given else []
        found += [name for name, entry in (self.manifest.get("stages") or {}).items() if entry.get("kind") == kind]
        found += [name for name, listed in self._listed().items() if listed == kind]
        found += [kind] if not found and (self.run / kind).is_dir() else []
        return list(dict.fromkeys(found))

    def needs(self, stage: str) -> dict[str, str]:
        """Role -> the stage that fills it, as the recipe says; nothing where it does not."""
        listed = self.recipe.get("stages")
        one = listed.get(stage) if isinstance(listed, dict) else None
        needs = one.get("needs") if isinstance(one, dict) else None
        return {str(role): str(name) for role, name in needs.items()} if isinstance(needs, dict) else {}

    def expects(self, role: str) -> bool:
        """Whether the role is missed where it is empty.

        A recipe need not have every stage: a search for pivotal tokens evaluates nothing, and an evaluation of models
        that are there already trains none. So only what the run has or its recipe lists is missed. Where neither says
        what the run is for, every role is.
        """
        if not self._listed() and not any(self.stages_of(kind) for kind in KINDS):
            return True
        return (self.run / self.folders[role]).is_dir() or bool(self.stages_of(role))

    def path(self, role: str, name: str) -> Path:
        return self.run / self.folders[role] / name

    @property
    def evaluates_only(self) -> bool:
        """The run compares models and makes none: `teachable evaluate` wrote it."""
        return bool(self.stages_of("evaluate")) and not any(map(self.stages_of, MAKERS))

    def stats(self, role: str) -> Row:
        """The stage's stats.json, or nothing where the stage has not run."""
        return self.json(f"{self.folders[role]}/stats.json", note=self.expects(role))

    def json(self, name: str, *, note: bool = True) -> Row:
        """A JSON object of the run, or nothing where the file is not there."""
        path = self.run / name
        if not path.is_file():
            if note:
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
        """Some columns of a role's Parquet file; with `where`, the rows whose column holds one of the values."""
        return self.table(f"{self.folders[role]}/{name}", columns, where, note=self.expects(role))

    def table(
        self,
        name: str,
        columns: Collection[str],
        where: tuple[str, Collection[str]] | None = None,
        *,
        note: bool = True,
    ) -> list[Row]:
        """The same of any Parquet file of the run; `note`: it is missing where it is not there."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.run / name
        if not path.is_file():
            if note:
                self._note(name)
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


def _mapping(recipe_text: str) -> Row:
    """The recipe's document; nothing where there is none."""
    import yaml

    document = yaml.safe_load(recipe_text) if recipe_text else {}
    return document if isinstance(document, dict) else {}


def _unreadable(path: Path, error: Exception) -> TeachableError:
    return TeachableError(
        f"this file of the run cannot be read ({error})",
        where=str(path),
        mend="Run the stage that wrote it again, or restore the file",
    )
