"""From a recipe file to a typed `Recipe`; every mistake is one sentence with its file, line and field."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from teachable.engines.config import EngineConfig
from teachable.errors import TeachableError
from teachable.recipe.base import resolve_base
from teachable.recipe.config import EMBEDDED, Recipe, Resources, Stage
from teachable.recipe.graph import order
from teachable.recipe.source import COMMAND_LINE, Source, layered, overridden, read_source
from teachable.recipe.spec import Kinds, StageSpec
from teachable.tasks.config import split_task

M = TypeVar("M", bound=BaseModel)
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Names of the run folder's own files and folders, which a stage's folder must not take.
_TAKEN = {"models", "manifest", "ledger", "run", "tuned"}


class _Document(BaseModel):
    """A recipe file as it is written, its stages not yet typed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$")
    seed: int = Field(0, ge=0)
    base: str = EMBEDDED
    engine: EngineConfig = Field(default_factory=lambda: EngineConfig.model_validate({}))
    resources: Resources = Field(default_factory=lambda: Resources.model_validate({}))
    stages: dict[str, dict[str, Any] | None]


def load_recipe(path: Path, overrides: Sequence[str] = (), *, kinds: Kinds, layers: Sequence[Path] = ()) -> Recipe:
    """The recipe at `path`, `layers` laid over it in turn, then the `a.b=c` overrides.

    Relative paths in a file count from the recipe's folder, in an override from the working folder.

    Raises:
        TeachableError: whatever is wrong with it, the first mistake met.
    """
    source = read_source(path)
    for layer in layers:
        source = layered(source, read_source(layer))
    return recipe_from(source, overrides, kinds=kinds, folder=Path(path).resolve().parent)


def recipe_from(source: Source, overrides: Sequence[str] = (), *, kinds: Kinds, folder: Path) -> Recipe:
    """The recipe of a document (see `load_recipe`)."""
    listed = source.document.get("stages")
    names = {*kinds, *(listed if isinstance(listed, dict) else ())}
    source = overridden(source, overrides, names)
    document = _validated(_Document, source.document, source, ())
    engine = _placed(document.engine, source, folder, ("engine",))
    stages = _stages(document.stages, source, kinds, folder, engine)
    base = resolve_base(document.base, _folder_of("base", source, folder), source.where("base"))
    return Recipe(
        name=document.name,
        seed=document.seed,
        base=base,
        engine=engine,
        resources=_reachable(document.resources, source, folder),
        stages=tuple(stages),
    )


def _reachable(resources: Resources, source: Source, folder: Path) -> Resources:
    """The resources with the paths that they name made absolute; a folder of models may be one that is yet to be made.

    Raises:
        TeachableError: there is no such config file of accelerate.
    """
    changed: dict[str, Path] = {}
    for name in ("cache_dir", "accelerate"):
        value = getattr(resources, name)
        if value is None:
            continue
        changed[name] = (_folder_of(f"resources.{name}", source, folder) / Path(value).expanduser()).resolve()
        if name == "accelerate" and not changed[name].is_file():
            raise TeachableError(
                f"there is no file {changed[name]}",
                where=source.where("resources", name),
                mend="Write the path of a config file, as `accelerate config` makes it, or null",
            )
    return resources.model_copy(update=changed) if changed else resources


def _folder_of(field: str, source: Source, folder: Path) -> Path:
    """What a relative path in this field counts from: who set it, or the field around it, decides."""
    parts = field.split(".")
    around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    place = next((source.places[name] for name in around if name in source.places), "")
    return Path.cwd() if place.startswith(("--", COMMAND_LINE)) else folder


def _placed(engine: EngineConfig, source: Source, folder: Path, field: tuple[str, ...]) -> EngineConfig:
    """The engine with the paths that it names made absolute.

    Raises:
        TeachableError: a model or tokenizer that it names is no folder that holds one, and no hub id; or a table is
            missing.
    """
    changed: dict[str, str] = {}
    for name, text in (("model", engine.model), ("tokenizer", engine.tokenizer)):
        where = source.where(*field, name)
        start = _folder_of(".".join([*field, name]), source, folder)
        if not text or (name == "model" and engine.kind == "openai"):
            continue
        if name == "model" and engine.kind == "transformers":
            changed[name] = resolve_base(text, start, where, what="model")
            continue
        path = (start / Path(text).expanduser()).resolve()
        if path.exists():
            changed[name] = str(path)
        elif engine.kind == "scripted":
            raise TeachableError(f"there is no table {path}", where=where, mend="Write the path of a JSON file")
    return engine.model_copy(update=changed)


def _stages(
    listed: Mapping[str, Mapping[str, Any] | None], source: Source, kinds: Kinds, folder: Path, engine: EngineConfig
) -> list[Stage]:
    if not listed:
        raise TeachableError("a recipe lists at least one stage", where=source.where("stages"))
    stages: dict[str, Stage] = {}
    waiting: list[tuple[str, Mapping[str, Any]]] = [(name, fields or {}) for name, fields in listed.items()]
    while waiting:
        name, fields = waiting.pop(0)
        if name in stages:
            continue
        stage = _stage(name, fields, source, kinds, folder, engine)
        stages[name] = stage
        for role, needed in stage.needs.items():
            if needed in listed or needed in stages:
                continue
            if needed not in kinds:
                raise TeachableError(
                    f"stage {name!r} needs {needed!r}, which is no stage of this recipe"
                    + nearest(needed, [*listed, *kinds]),
                    where=source.where("stages", name, "needs", role),
                )
            waiting.append((needed, {}))
    stages = {name: _with_optional(stage, kinds[stage.kind], stages) for name, stage in stages.items()}
    return [stages[name] for name in order({name: tuple(stage.needs.values()) for name, stage in stages.items()})]


def _stage(
    name: str, fields: Mapping[str, Any], source: Source, kinds: Kinds, folder: Path, engine: EngineConfig
) -> Stage:
    where = source.where("stages", name)
    if not _STAGE_NAME.fullmatch(name) or name in _TAKEN:
        raise TeachableError(
            f"{name!r} can't name a stage", where=where, mend="Use small letters, digits and _, a letter first"
        )
    rest = dict(fields)
    kind = rest.pop("kind", name)
    if kind not in kinds:
        unknown = f"there is no stage kind {kind!r}{nearest(str(kind), kinds)}"
        raise TeachableError(unknown, where=source.where("stages", name, *(["kind"] if "kind" in fields else [])))
    spec = kinds[kind]
    needs = _needs(name, rest.pop("needs", None), source, spec, engine)
    config = _validated(spec.config, rest, source, ("stages", name), extra=("kind", "needs"))
    return Stage(name=name, kind=kind, needs=needs, config=_anchored(config, spec, source, name, folder))


def _needs(name: str, given: object, source: Source, spec: StageSpec, engine: EngineConfig) -> dict[str, str]:
    field = ("stages", name, "needs")
    usual = {role: stage for role, stage in spec.needs.items() if engine.is_local or role not in spec.local_needs}
    if given is None:
        return usual
    if not isinstance(given, dict):
        raise TeachableError("this is a mapping of roles to stages", where=source.where(*field))
    for role, stage in given.items():
        if role not in spec.roles and not spec.open_roles:
            raise TeachableError(
                f"a {spec.kind} stage has no role {role!r}{nearest(str(role), spec.roles)}",
                where=source.where(*field, str(role)),
            )
        if not isinstance(stage, str):
            raise TeachableError("a role is filled by one stage's name", where=source.where(*field, role))
    return {**usual, **given}


def _with_optional(stage: Stage, spec: StageSpec, present: Collection[str]) -> Stage:
    """The stage with those optional roles filled whose usual stage is present (listed, or needed by another one)."""
    usual = {role: needed for role, needed in spec.optional.items() if needed in present and needed != stage.name}
    return stage.model_copy(update={"needs": {**usual, **stage.needs}}) if usual else stage


def _anchored(config: BaseModel, spec: StageSpec, source: Source, stage: str, folder: Path) -> BaseModel:
    """The config with its relative paths made absolute, so that run.yaml means the same from anywhere.

    Raises:
        TeachableError: one of them leads to nothing.
    """
    changed: dict[str, Any] = {}
    for field in spec.path_fields:
        value = getattr(config, field)
        start = _folder_of(f"stages.{stage}.{field}", source, folder)
        many = isinstance(value, list | tuple)
        paths = []
        for item in value if many else [value]:
            if item is None or str(item) in spec.no_paths:
                paths.append(item)
                continue
            path = (start / Path(item).expanduser()).resolve()
            if not path.exists():
                mend = f"Write a path that exists, or {' or '.join(spec.no_paths)}" if spec.no_paths else ""
                where = source.where("stages", stage, field)
                raise TeachableError(f"there is no file or folder {path}", where=where, mend=mend)
            paths.append(type(item)(path))
        changed[field] = type(value)(paths) if many else paths[0]
    for field in spec.task_fields:
        start = _folder_of(f"stages.{stage}.{field}", source, folder)
        where = source.where("stages", stage, field)
        changed[field] = tuple(_task_at(task, start, where) for task in getattr(config, field))
    for field in spec.config.model_fields:
        at = ("stages", stage, field)
        if isinstance(value := getattr(config, field), EngineConfig):
            changed[field] = _placed(value, source, folder, at)
        elif isinstance(value, tuple) and any(isinstance(one, EngineConfig) for one in value):
            changed[field] = tuple(_placed(one, source, folder, (*at, str(i))) for i, one in enumerate(value))
        elif isinstance(value, dict) and any(isinstance(one, EngineConfig) for one in value.values()):
            changed[field] = {role: _placed(one, source, folder, (*at, role)) for role, one in value.items()}
    return config.model_copy(update=changed) if changed else config


def _task_at(task: str, start: Path, where: str) -> str:
    """The task with the paths that it names made absolute.

    Raises:
        TeachableError: one of them leads to nothing.
    """
    parts = list(split_task(task))
    for place in range(1, len(parts), 2):
        path = (start / Path(parts[place]).expanduser()).resolve()
        if not path.exists():
            mend = "Write a path that exists, or a benchmark's name alone"
            raise TeachableError(f"there is no file or folder {path}", where=where, mend=mend)
        parts[place] = str(path)
    return "".join(parts)


def _validated(
    model: type[M], values: Mapping[str, Any], source: Source, at: tuple[str, ...], extra: Collection[str] = ()
) -> M:
    """The values as a model.

    Args:
        at: where in the document the values stand.
        extra: further keys that are valid there, for naming the nearest one.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first, *more = error.errors()
        raise TeachableError(
            _sentence(first, model, extra) + (f" (and {len(more)} more)" if more else ""),
            where=source.where(*at, *_written(first["loc"], values)),
        ) from error


def _sentence(problem: Mapping[str, Any], model: type[BaseModel], extra: Collection[str]) -> str:
    location = problem["loc"]
    if problem["type"] == "extra_forbidden":
        valid = [*_fields_at(model, location[:-1]), *(extra if len(location) == 1 else ())]
        return f"there is no field {str(location[-1])!r}{nearest(str(location[-1]), valid)}"
    if problem["type"] == "missing":
        return f"the field {str(location[-1])!r} is missing"
    message = str(problem["msg"]).removeprefix("Value error, ")
    given = repr(problem["input"])
    if isinstance(problem["input"], Mapping):  # of several fields together; the message names them
        return f"{message[:1].lower()}{message[1:]}"
    return f"{message[:1].lower()}{message[1:]} (it is {given if len(given) <= 60 else given[:57] + '...'})"


def _written(location: Sequence[str | int], values: object) -> list[str | int]:
    """The part of a problem's location that is in the document: unions add parts that nobody wrote."""
    written: list[str | int] = []
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(values, Mapping) and (part in values or last):
            written.append(part)
            values = values.get(part)
        elif isinstance(values, list | tuple) and isinstance(part, int) and part < len(values):
            written.append(part)
            values = values[part]
    return written


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The valid fields of the (nested) model at a location; empty where it is no model."""
    current: object = model
    for part in location:
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return []
        field = current.model_fields.get(str(part))
        current = _model_in(field.annotation) if field is not None else None
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The first model in an annotation such as `A`, `A | None` or `tuple[A, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one)) is not None), None)


def nearest(name: str, valid: Collection[str]) -> str:
    """What to add to "there is no ...": the nearest valid name, or all of them where none is near."""
    near = difflib.get_close_matches(name, [str(one) for one in valid], n=1, cutoff=0.5)
    if near:
        return f" (did you mean {near[0]!r}?)"
    return f"; there are {', '.join(sorted(str(one) for one in valid))}" if valid else ""
