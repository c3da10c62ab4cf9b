"""Where a task is written down: its YAML file, found by name, and those of a group's members.

Tasks and groups are found by the lines of the library's files that name them, in about a second. Only for a tag, and
for what is not found so, the library's whole index is built, which takes it about seven.
"""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.verify.harness import library

GENERATED = "generate_until"
YAML = (".yaml", ".yml")
_STRUCTURE = ("tag", "group", "task_list")  # keys that say where a task belongs, not what it is
_GROUP_KEYS = ("group", "group_alias", "task", "aggregate_metric_list", "metadata")


@dataclass(frozen=True)
class Leaf:
    """One task: its name, its YAML file (relative to the library's folder of tasks, or absolute), and what a group
    that it belongs to says of it beyond that.
    """

    name: str
    file: str
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The YAML file."""
        return library.folder() / self.file

    def config(self, *, resolve: bool = True) -> dict[str, Any]:
        """The task's settings; functions are imported, or named by their path where `resolve` is off.

        Raises:
            TeachableError: the file can't be read, or a function that it names can't be imported.
        """
        settings = {**_read(self.path, resolve), **deepcopy(dict(self.overrides))}
        for key in _STRUCTURE:
            settings.pop(key, None)
        about = settings.get("metadata") or {}
        settings["metadata"] = about if isinstance(about, dict) else {"_metadata": about}
        settings.setdefault("task", self.name)
        return settings


@dataclass(frozen=True)
class Tasks:
    """What a name stands for: one task, or the tasks of a group or a tag.

    `weights` says how the library weighs a group's tasks in its own score: "size", "equal", or "" where it gives none.
    """

    name: str
    leaves: tuple[Leaf, ...]
    is_group: bool
    weights: str = ""


@dataclass(frozen=True)
class _Entry:
    """What a name stands for, with the attributes of the library's own index entries."""

    name: str
    yaml_path: Path | None
    cfg: Mapping[str, Any]
    tags: frozenset[str] = frozenset()


_Look = Callable[[str], Any]  # a name's entry, or None


def find(name: str) -> Tasks:
    """The task, group or tag of that name, or of that YAML file.

    Raises:
        TeachableError: there is none, the library is not installed, or a group can't be taken apart.
    """
    if name.endswith(YAML):
        return _own(Path(name))
    entry = _entry(name)
    if entry is None:
        near = difflib.get_close_matches(name, list(_index()), n=3, cutoff=0.5)
        raise TeachableError(
            f"lm-evaluation-harness {library.version()} has no task called {name!r}",
            mend=f"The nearest names are {', '.join(near)}" if near else "List them with lm-eval ls tasks",
        )
    return _tasks(name, entry, _entry)


def generative(name: str) -> str:
    """The name of a task or group like this one that has the model write its answer; empty if there is none."""
    parts = name.removesuffix("_continuation").split("_")
    for n_parts in range(len(parts), 0, -1):
        stem = "_".join(parts[:n_parts])
        near = sorted((one for one in _index() if one.startswith(f"{stem}_") and _says_generated(one)), key=len)
        found = next((one for one in near if _generates(_index()[one])), "")
        if found:
            return found
    return ""


def _says_generated(name: str) -> bool:
    return "_generative" in name or name.endswith(("_chat", "_gen"))


def _generates(entry: Any) -> bool:
    leaf = next(_leaves(entry, {}, _index().get, entry.name), None)
    return leaf is not None and leaf.config(resolve=False).get("output_type", GENERATED) == GENERATED


def _own(path: Path) -> Tasks:
    """A task, or a group, in a file of the user's own."""
    path = path.expanduser().absolute()
    if not path.is_file():
        raise TeachableError("this file is missing", where=str(path), mend="Correct the path of the task's YAML file")
    settings = _read(path, resolve=False)
    name = settings["task"] if isinstance(settings.get("task"), str) else settings.get("group")
    if not isinstance(name, str):
        raise TeachableError("this YAML file names no task", where=str(path), mend="Give it `task: NAME`")

    def look(wanted: str) -> Any:
        return _beside(path, wanted) or _entry(wanted)

    return _tasks(name, _Entry(name, path, settings), look)


def _beside(path: Path, name: str) -> _Entry | None:
    """A task or group of a file beside the user's own one."""
    for other in sorted(file for file in path.parent.iterdir() if file.suffix in YAML and file != path):
        if name.encode() in other.read_bytes():
            settings = _read(other, resolve=False)
            if name in (settings.get("task"), settings.get("group")):
                return _Entry(name, other, settings)
    return None


@cache
def _entry(name: str) -> Any:
    """A name of the library's own."""
    for path in _named().get(name.encode(), ()):
        settings = _read(path, resolve=False)
        if name in (settings.get("task"), settings.get("group")):
            return _Entry(name, path, settings)
    return _index().get(name)


@cache
def _named() -> Mapping[bytes, Sequence[Path]]:
    """The library's files by the names that their lines give them; of a name's files the first counts."""
    line = re.compile(rb"^[\"']?(?:task|group)[\"']?:[ \t]*([\"']?)([^\s\"'#]+)\1[ \t]*(?:#.*)?\r?$", re.MULTILINE)
    found: defaultdict[bytes, list[Path]] = defaultdict(list)
    for path in sorted(library.folder().glob("**/*.yaml"), key=lambda path: path.as_posix()):
        for _, name in line.findall(path.read_bytes()):
            found[name].append(path)
    return found


@cache
def _index() -> Mapping[str, Any]:
    """The library's index of all its names."""
    found: Mapping[str, Any] = library.module("tasks").TaskManager().task_index
    return found


def _tasks(name: str, entry: Any, look: _Look) -> Tasks:
    leaves = tuple({leaf.name: leaf for leaf in _leaves(entry, {}, look, name)}.values())
    if not leaves:
        raise TeachableError(f"the group {name!r} of lm-evaluation-harness has no tasks", mend="Name one of its tasks")
    settings = entry.cfg or {}
    rules = settings.get("aggregate_metric_list") or [] if "group" in settings else []
    rules = rules if isinstance(rules, list) else [rules]
    weights = ("size" if rules[0].get("weight_by_size", True) else "equal") if rules else ""
    return Tasks(name, leaves, "group" in settings or entry.yaml_path is None, weights)


def _leaves(entry: Any, overrides: Mapping[str, Any], look: _Look, top: str) -> Iterator[Leaf]:
    """The tasks of an entry, in the library's order and with its rules of what overrides what."""
    if entry.yaml_path is None:  # a tag
        for member in filter(None, map(look, sorted(entry.tags))):
            yield from _leaves(member, overrides, look, top)
    elif "group" in entry.cfg:
        yield from _members(_read(Path(entry.yaml_path), resolve=True), overrides, look, top)
    else:
        path = Path(entry.yaml_path).resolve()
        inside = path.is_relative_to(library.folder())
        said = {key: value for key, value in overrides.items() if key != "task"}
        file = path.relative_to(library.folder()).as_posix() if inside else str(path)
        yield Leaf(entry.name, file, _plain(said, top))


def _members(group: Mapping[str, Any], overrides: Mapping[str, Any], look: _Look, top: str) -> Iterator[Leaf]:
    merged = {**{key: value for key, value in group.items() if key not in _GROUP_KEYS}, **overrides}
    for item in group["task"] if isinstance(group.get("task"), list) else ():
        name = item if isinstance(item, str) else item.get("group") or item.get("task")
        member = look(name)
        if member is None and isinstance(item, Mapping) and "group" in item:
            yield from _members(item, merged, look, top)
            continue
        if member is None:
            raise TeachableError(
                f"the group {top!r} of lm-evaluation-harness defines a task, {name!r}, within itself",
                mend="Write that task into a YAML file of its own, and name the file",
            )
        said = {} if isinstance(item, str) else {key: value for key, value in item.items() if key != "group"}
        yield from _leaves(member, {**merged, **said}, look, top)


def _plain(overrides: Mapping[str, Any], top: str) -> Mapping[str, Any]:
    """What a group says of a task, if it can be written down beside the questions."""
    said = {key: value for key, value in overrides.items() if key not in _STRUCTURE}
    try:
        kept: Mapping[str, Any] = json.loads(json.dumps(said))
    except TypeError as error:
        raise TeachableError(
            f"the group {top!r} of lm-evaluation-harness gives its tasks functions of its own",
            mend="Name one of its tasks",
        ) from error
    return kept


def _read(path: Path, resolve: bool) -> dict[str, Any]:
    """A YAML file with what it includes.

    Raises:
        TeachableError: it can't be read, or names a function that can't be imported.
    """
    load = library.module("tasks._yaml_loader").load_yaml
    try:
        settings: dict[str, Any] = load(path, resolve_func=resolve)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise TeachableError(
            f"lm-evaluation-harness can't read this task ({type(error).__name__}: {text})",
            where=str(path),
            mend="Install what it imports"
            if path.is_relative_to(library.folder())
            else "Mend the file, or install what it imports",
        ) from error
    return settings
