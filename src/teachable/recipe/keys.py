"""A stage's key: the digest of everything that its outputs depend on, and of nothing else.

The ingredients are kept in the manifest beside the key, so that a plan can say in words why a stage must run
again. Resources (devices, workers, batch sizes) are no ingredients: they must not change a result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from teachable.engines.config import EngineConfig
from teachable.recipe.base import base_identity, content_identity
from teachable.recipe.config import Recipe, Stage
from teachable.recipe.spec import StageSpec
from teachable.store.digest import digest
from teachable.store.manifest import StageEntry

Ingredients = dict[str, Any]


def ingredients(
    recipe: Recipe, stage: Stage, spec: StageSpec, keys: Mapping[str, str], entries: Mapping[str, StageEntry]
) -> Ingredients:
    """What a stage's outputs depend on.

    Args:
        keys: stage -> its present key, for every stage that this one needs.
        entries: the complete stages. An input's model digest counts only while that input's key is the present one.

    Raises:
        TeachableError: a file that the config names is missing.
    """
    cache = recipe.resources.cache_path()
    models = {
        role: entries[needed].model_digest
        for role, needed in sorted(stage.needs.items())
        if needed in entries and entries[needed].key == keys[needed] and entries[needed].model_digest
    }
    made: Ingredients = {
        "kind": spec.kind,
        "version": spec.version,
        "config": {"type": spec.config.__name__, "values": _values(stage.config)},
        "seed": recipe.seed,
        "inputs": {role: keys[needed] for role, needed in sorted(stage.needs.items())},
        "models": models,
    }
    if spec.uses_engine:
        made["engine"] = recipe.engine.identity()
    if spec.uses_base:
        made["base"] = base_identity(recipe.base, cache)
    engines = [*([recipe.engine] if spec.uses_engine else []), *_engines(stage.config)]
    paths = [*spec.paths(stage.config), *(path for engine in engines for path in engine.paths())]
    if paths:
        made["files"] = {str(path): content_identity(path, cache) for path in paths}
    return made


def _engines(config: BaseModel) -> list[EngineConfig]:
    """The engines that a stage's config names beside the recipe's, alone in a field or several in one."""
    found: list[EngineConfig] = []
    for name in type(config).model_fields:
        value = getattr(config, name)
        each = value if isinstance(value, tuple) else value.values() if isinstance(value, dict) else (value,)
        found += [one for one in each if isinstance(one, EngineConfig)]
    return found


def _values(config: BaseModel) -> dict[str, Any]:
    """A config's fields as they enter the key: of an engine, what a result depends on."""
    values = config.model_dump(mode="json")
    for name in type(config).model_fields:
        value = getattr(config, name)
        if isinstance(value, EngineConfig):
            values[name] = value.identity()
        elif isinstance(value, tuple) and any(isinstance(one, EngineConfig) for one in value):
            values[name] = [one.identity() for one in value]
        elif isinstance(value, dict) and any(isinstance(one, EngineConfig) for one in value.values()):
            values[name] = {role: one.identity() for role, one in value.items()}
    return values


def key_of(made: Ingredients) -> str:
    """The key of a stage with these ingredients."""
    return digest(made)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], needs: Mapping[str, str]) -> str:
    """Why a stage whose ingredients were `before` must run again, in words."""
    if before.get("kind") != now["kind"]:
        return f"it was a {before.get('kind')} stage"
    if before.get("version") != now["version"]:
        return f"its code changed: version {before.get('version')} -> {now['version']}"
    reasons = []
    differences = list(_differences(before.get("config"), now["config"]))
    if differences:
        reasons.append("its config changed: " + _listed(differences))
    if before.get("seed") != now["seed"]:
        reasons.append(f"the seed changed: {before.get('seed')} -> {now['seed']}")
    if before.get("base") != now.get("base"):
        reasons.append("the base changed")
    if before.get("engine") != now.get("engine"):
        reasons.append("the engine changed: " + _listed(list(_differences(before.get("engine"), now.get("engine")))))
    old_files, new_files = before.get("files") or {}, now.get("files") or {}
    reasons += [f"{path} changed" for path in new_files if path in old_files and old_files[path] != new_files[path]]
    if reasons:
        return "; ".join(reasons)
    for what in ("inputs", "models"):
        old, new = before.get(what) or {}, now[what]
        roles = [role for role in {**old, **new} if old.get(role) != new.get(role)]
        if roles:
            return "; ".join(f"its input {needs.get(role, role)} changed" for role in roles)
    return "its ingredients changed"


def _differences(before: object, now: object, field: str = "") -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in {**before, **now}:
            inner = f"{field}.{name}" if field else str(name)
            yield from _differences(before.get(name), now.get(name), inner.removeprefix("values."))
    elif before != now:
        yield f"{field} {_short(before)} -> {_short(now)}"


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _listed(differences: list[str]) -> str:
    shown = ", ".join(differences[:3])
    return f"{shown} and {len(differences) - 3} more" if len(differences) > 3 else shown
