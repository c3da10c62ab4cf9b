"""How a typed reply has to look, in words that a small model can follow: an example of the object, not its schema.

Each value is described where it stands, in angle brackets. A model that hands the form back unfilled is found out by
those descriptions (`unfilled`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

HEAD = "Reply with one JSON object of this form, and nothing else. In place of each <...> stands a value of yours.\n"
NOTE = '\nIn JSON a backslash is written twice (\\\\frac), a quotation mark inside a text as \\", a line break as \\n.'
_KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "null": "null"}
_KINDS |= {"object": "object", "array": "list"}
_DEEP = 8  # levels of objects in objects that a form shows

Schema = Mapping[str, Any]


def form_of(output: type[BaseModel] | type[str]) -> str:
    """How a reply of that type has to look, in words for a model; "" for `str`."""
    if output is str:
        return ""
    assert issubclass(output, BaseModel)
    return _form(output)


@lru_cache(maxsize=256)
def _form(output: type[BaseModel]) -> str:
    schema = _schema(output)
    shape = _shape(schema, schema, "", 0)
    return HEAD + shape + (NOTE if "<text" in shape else "")


@lru_cache(maxsize=256)
def _schema(output: type[BaseModel]) -> Schema:
    return output.model_json_schema()


def kind_at(output: type[BaseModel], place: Sequence[int | str]) -> str:
    """What stands at a place of a typed reply, such as "text" or "a list"; "" where that can't be said."""
    root = _schema(output)
    schema: Schema = root
    for part in place:
        schema = _plain(root, schema)
        found = schema.get("items") if isinstance(part, int) else (schema.get("properties") or {}).get(part)
        if not isinstance(found, Mapping):
            return ""
        schema = found
    schema = _plain(root, schema)
    kind = {"object": "an object", "array": "a list"}.get(str(schema.get("type")), "")
    return kind or _kind(root, schema).replace("whole number", "a whole number", 1)


@lru_cache(maxsize=256)
def _descriptions(output: type[BaseModel]) -> frozenset[str]:
    """What stands in angle brackets in the form, and what does after the kind, where it is a phrase."""
    whole = [_bare(found) for found in re.findall(r"<(.*)>", _form(output))[1:]]
    told = [one.partition(": ")[2] for one in whole]
    return frozenset([*whole, *(one for one in told if " " in one)])


def unfilled(output: type[BaseModel], value: Any) -> str:
    """The name of a field whose value is what the form says of it; "" where there is none."""
    descriptions = _descriptions(output)
    return next((name for name, text in texts_of(value) if _bare(text) in descriptions), "")


def _bare(text: str) -> str:
    return " ".join(text.strip(" \t\n<>.").lower().split())


def texts_of(value: Any) -> Iterator[tuple[str, str]]:
    """The texts of an object, each with the name of its field."""
    waiting = [("", value)]
    while waiting:
        name, one = waiting.pop()
        if isinstance(one, str):
            yield name, one
        elif isinstance(one, dict):
            waiting += list(one.items())
        elif isinstance(one, list):
            waiting += [(name, inner) for inner in one]


def _plain(root: Schema, schema: Schema) -> Schema:
    """The schema behind a reference; what is said beside the reference goes before."""
    while "$ref" in schema or ("allOf" in schema and len(schema["allOf"]) == 1):
        beside = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
        target = root["$defs"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema["allOf"][0]
        schema = {**target, **beside}
    return schema


def _shape(root: Schema, schema: Schema, indent: str, level: int) -> str:
    """A value's form, its lines after the first indented."""
    schema = _plain(root, schema)
    inner = indent + "  "
    if schema.get("type") == "object" and schema.get("properties") and level < _DEEP:
        lines = [
            f"{inner}{json.dumps(name)}: {_shape(root, field, inner, level + 1)}{_may_lack(schema, name)}"
            for name, field in schema["properties"].items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping) and level < _DEEP:
        note = _note(_how_many(schema), schema)
        return f"[{note}\n{inner}{_shape(root, schema['items'], inner, level + 1)}\n{indent}]"
    return f"<{_note(_kind(root, schema), schema)}>"


def _may_lack(schema: Schema, name: str) -> str:
    return "" if name in schema.get("required", ()) else " (may be left out)"


def _note(kind: str, schema: Schema) -> str:
    """A kind with the field's own description."""
    described = " ".join(str(schema.get("description", "")).split()).rstrip(".")
    return ": ".join(part for part in (kind, described) if part)


def _kind(root: Schema, schema: Schema) -> str:
    if "const" in schema:
        return f"always {json.dumps(schema['const'], ensure_ascii=False)}"
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    if "anyOf" in schema:
        kinds = [_kind(root, _plain(root, one)) for one in schema["anyOf"]]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    return _KINDS.get(str(schema.get("type")), "value") + _bounds(schema)


def _bounds(schema: Schema) -> str:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    bounds = [
        "" if low is None else f"from {low:g}" if high is not None else f"from {low:g} up",
        "" if above is None else f"above {above:g}",
        "" if high is None else f"to {high:g}" if low is not None else f"up to {high:g}",
        "" if below is None else f"below {below:g}",
        f"of at most {schema['maxLength']:,} characters" if "maxLength" in schema else "",
    ]
    return "".join(f" {bound}" for bound in bounds if bound)


def _how_many(schema: Schema) -> str:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    if high is not None:
        return f" {low} entries like this" if low == high else f" {low} to {high} entries like this"
    return f" at least {low} entr{'y' if low == 1 else 'ies'} like this" if low else " any number of entries like this"
