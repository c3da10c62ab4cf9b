"""What changed between the settings of two runs: the resolved recipe, the code, the models and the packages.

A field is marked where it can't change a result: how engines are reached, what the machine does, the report, and the
recipe's name. The keys of stages say the rest: two stages of one key have the same outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from teachable.engines.config import REACH
from teachable.recipe.differences.folders import ComparedRun

_UNSET = object()


def settings_difference(first: ComparedRun, second: ComparedRun) -> dict[str, Any]:
    """The recipe field by field, and what else two runs' outputs depend on.

    Returns:
        `fields`: `{field, baseline, other, only, changes_results}` for every field that differs; `only` names the side
        that has it ("baseline", "other"), "" where both have. `versions`: stages whose code differs. `models`: stages
        that made or found another model. `files`: files that stages read whose contents differ. `packages`: versions
        that differ. `same_stages`: stages with the same key. `known`: whether both recipes are there.
    """
    both = [stage for stage in first.entries if stage in second.entries]
    return {
        "known": bool(first.recipe) and bool(second.recipe),
        "fields": _fields(first, second) if first.recipe and second.recipe else [],
        "same_stages": [stage for stage in both if first.entries[stage].key == second.entries[stage].key],
        "versions": _pairs(both, {s: (first.entries[s].version, second.entries[s].version) for s in both}),
        "models": _pairs(both, {s: (first.entries[s].model_digest, second.entries[s].model_digest) for s in both}),
        "files": _files(first, second, both),
        "packages": _packages(first.packages(), second.packages()),
    }


def _fields(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """Every field that differs, in the order of the recipes; a stage that one side lacks is one field."""
    values, others = dict(_flat(first.recipe)), dict(_flat(second.recipe))
    stages = [{field.split(".")[1] for field in side if field.startswith("stages.")} for side in (values, others)]
    found: dict[str, dict[str, Any]] = {}
    for field in [*values, *others]:
        parts = field.split(".")
        stage = parts[1] if parts[0] == "stages" and len(parts) > 1 else ""
        if stage and (stage in stages[0]) != (stage in stages[1]):
            side = "baseline" if stage in stages[0] else "other"
            found[f"stages.{stage}"] = _field(f"stages.{stage}", None, None, only=side)
        elif values.get(field, _UNSET) != others.get(field, _UNSET):
            only = "baseline" if field not in others else "other" if field not in values else ""
            found[field] = _field(field, values.get(field), others.get(field), only=only)
    return list(found.values())


def _field(field: str, value: Any, other: Any, *, only: str) -> dict[str, Any]:
    return {
        "field": field,
        "baseline": value,
        "other": other,
        "only": only,
        "changes_results": _changes_results(field),
    }


def _changes_results(field: str) -> bool:
    parts = field.split(".")
    if field == "name" or parts[0] == "resources" or parts[:2] == ["stages", "report"]:
        return False
    return len(parts) == 1 or parts[-1] not in REACH


def _flat(value: Any, field: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a document as dotted names; lists are values, but those of mappings (engines) have fields too."""
    if isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        value = {str(number): one for number, one in enumerate(value)}
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{field}.{name}" if field else str(name))
    elif field:
        yield field, value


def _pairs(stages: list[str], values: Mapping[str, tuple[Any, Any]]) -> list[dict[str, Any]]:
    """The stages whose two values differ."""
    return [
        {"stage": stage, "baseline": values[stage][0], "other": values[stage][1]}
        for stage in stages
        if values[stage][0] != values[stage][1]
    ]


def _files(first: ComparedRun, second: ComparedRun, both: list[str]) -> list[dict[str, Any]]:
    """Files of the same name that a stage read in both runs, and whose contents differ."""
    found = []
    for stage in both:
        one, other = (run.entries[stage].ingredients.get("files") or {} for run in (first, second))
        found += [{"stage": stage, "file": file} for file in one if file in other and one[file] != other[file]]
    return found


def _packages(first: Mapping[str, str], second: Mapping[str, str]) -> list[dict[str, Any]]:
    """Versions that differ, of what both runs have noted."""
    return [
        {"package": name, "baseline": first[name], "other": second[name]}
        for name in sorted(first.keys() & second.keys())
        if first[name] != second[name]
    ]
