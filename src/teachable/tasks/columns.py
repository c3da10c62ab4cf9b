"""Which column of a user's file is which field of a prompt.

A field is looked for under the names that public sets use, in the order in which they stand here; capitals, spaces and
hyphens make no difference ("Problem Type" is `problem_type`). A column that holds nothing at all is the last choice,
and no column is taken for two fields. A dot leads into a nested column: `reward_model.ground_truth`. What is
recognised may be overridden field by field.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError

# What a verifier may need beyond the answer, and finds in a prompt's `meta`.
FOR_VERIFIERS: Mapping[str, tuple[str, ...]] = {
    "tests": ("tests", "test_cases", "unit_tests"),
    "command": ("command",),
    "compile": ("compile",),
    "file": ("file",),
    "entry_point": ("entry_point",),
    "module": ("module",),
    "choices": ("choices", "options"),
}
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "prompt_id", "uid", "uuid", "unique_id", "problem_id", "question_id"),
    "messages": ("messages", "conversations", "conversation"),
    "prompt": ("prompt", "question", "problem", "query", "instruction", "input"),
    "context": ("input", "context"),
    "answer": (
        "answer",
        "final_answer",
        "gold_answer",
        "gold",
        "ground_truth",
        "reference_answer",
        "expected_answer",
        "correct_answer",
        "target",
        "reward_model.ground_truth",
        "solution",
        "output",
    ),
    "response": ("response", "completion", "worked_solution", "generated_solution", "solution", "output"),
    "domain": ("domain", "category", "subject", "topic", "problem_type", "type"),
    "level": ("level", "difficulty"),
    "verifier": ("verifier",),
    "meta": ("meta",),
    **FOR_VERIFIERS,
}
FIELDS = tuple(COLUMNS)
# Columns that hold a worked text, of which the answer is only the end.
WORKED = frozenset({"solution", "output", "worked_solution", "generated_solution", "response", "completion"})
# Only an instruction is completed by what stands beside it; other prompts stand alone.
_NEEDS_CONTEXT = "instruction"
_SHOWN = 30


def check_fields(names: Sequence[str]) -> None:
    """Refuse a name that is no field of a prompt.

    Raises:
        ValueError: with the sentence.
    """
    for name in names:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"a prompt has no field {name!r}{hint}; its fields are {', '.join(FIELDS)}")


def cell(row: Mapping[str, Any], column: str | None) -> Any:
    """What a row has in a column, which may be a path into nested ones; None where it has no such column."""
    if column is None:
        return None
    if column in row:
        return row[column]
    value: Any = row
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def recognise(rows: Sequence[Mapping[str, Any]], path: Path, chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Field -> column, for the fields that the file has.

    Args:
        rows: at least one.
        path: the file, for the sentences.
        chosen: field -> column, in the place of what would be recognised; an empty column stands for none.

    Raises:
        TeachableError: no column holds the prompts, or `chosen` names a field or a column that there is not.
    """
    chosen = chosen or {}
    there: dict[str, bool] = {}  # column -> does any row hold something in it?
    for row in rows:
        for column, value in _columns(row):
            there[column] = there.get(column, False) or not is_empty(value)
    shown = _listed([column for column in there if "." not in column or not _inner(column, there)])
    _check_chosen(chosen, there, shown, path)
    found = {field: column for field, column in chosen.items() if column}
    by_name = {_plain(column): column for column in sorted(there, reverse=True)}
    for field, names in COLUMNS.items():
        if field in chosen or _is_settled(field, chosen, found):
            continue
        candidates = [name if name in there else by_name.get(name, "") for name in names]
        free = [column for column in candidates if column and column not in found.values()]
        best = next((column for column in free if there[column]), free[0] if free else None)
        if best is not None:
            found[field] = best
    if "prompt" not in found and "messages" not in found:
        raise TeachableError(
            f"no column holds the prompts: it has {shown}",
            where=str(path),
            mend="Say which one does, as in --map prompt=COLUMN, or name it prompt or messages",
        )
    return {field: found[field] for field in FIELDS if field in found}


def _check_chosen(chosen: Mapping[str, str], there: Mapping[str, bool], shown: str, path: Path) -> None:
    try:
        check_fields(list(chosen))
    except ValueError as error:
        mend = f"Write field=column with one of its columns: {shown}"
        raise TeachableError(str(error), where=str(path), mend=mend) from error
    for field, column in chosen.items():
        if column and column not in there:
            raise TeachableError(
                f"there is no column {column!r} for the field {field!r}: it has {shown}",
                where=str(path),
                mend=f"Name one of them, as in --map {field}=COLUMN, or none with --map {field}=",
            )


def _is_settled(field: str, chosen: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Does what was chosen, or recognised before, leave no column to look for?"""
    if field == "messages":
        return bool(chosen.get("prompt"))
    if field == "prompt":
        return bool(chosen.get("messages"))
    return field == "context" and ("prompt" in chosen or _plain(found.get("prompt", "")) != _NEEDS_CONTEXT)


def _columns(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every column of a row and what it holds, nested ones by their path."""
    for name, value in row.items():
        yield f"{above}{name}", value
        if isinstance(value, Mapping):
            yield from _columns(value, f"{above}{name}.")


def _inner(column: str, there: Mapping[str, bool]) -> bool:
    """Is this the path of a nested column, and not a column with a dot in its name?"""
    return any(column.startswith(f"{other}.") for other in there)


def is_empty(value: Any) -> bool:
    """Nothing at all: also a table's NaN, the one value that differs from itself."""
    return value is None or value != value or (isinstance(value, str) and not value.strip()) or value == []


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _listed(columns: Sequence[str]) -> str:
    ordered = sorted(columns)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more
