"""Recipe documents: YAML whose every field knows where it was written, layered and overridden.

PyYAML forgets lines and lets a repeated key silently win; both would cost the user an evening. The parse here
refuses repeated keys and keeps, for every dotted field, the place to name in an error.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from teachable.errors import TeachableError

# The place of a field that an argument of the command set; `--...` is that of a named option.
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Source:
    """A document and the places of its fields: dotted field -> "file:line" or the override that set it."""

    document: dict[str, Any]
    places: dict[str, str]
    name: str

    def where(self, *field: str | int) -> str:
        """The place of a field, or of the nearest field around it, with its dotted name."""
        dotted = ".".join(str(part) for part in field)
        for length in range(len(field), 0, -1):
            place = self.places.get(".".join(str(part) for part in field[:length]))
            if place is not None:
                return f"{place}: {dotted}"
        return f"{self.name}: {dotted}" if dotted else self.name


def read_source(path: Path) -> Source:
    """The recipe document at `path`.

    Raises:
        TeachableError: the file is missing, is no YAML, is no mapping, or repeats a key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TeachableError(
            "there is no such recipe", where=str(path), mend="`teachable init DIR` writes one"
        ) from error
    except IsADirectoryError as error:
        raise TeachableError("this is a folder, not a recipe", where=str(path), mend="Name its recipe.yaml") from error
    except (UnicodeDecodeError, PermissionError) as error:
        raise TeachableError(f"this recipe can't be read ({error})", where=str(path)) from error
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        places: dict[str, str] = {}
        if node is not None:
            _walk(node, (), str(path), places)
        document = loader.construct_document(node) if node is not None else {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        line = f":{mark.line + 1}" if mark is not None else ""
        raise TeachableError(f"this is no YAML ({problem})", where=f"{path}{line}") from error
    finally:
        loader.dispose()
    if not isinstance(document, dict):
        raise TeachableError(
            f"a recipe is a mapping of fields, not a {type(document).__name__}",
            where=str(path),
            mend="See `teachable init`",
        )
    return Source(document, places, str(path))


def _walk(node: yaml.Node, field: tuple[str, ...], file: str, places: dict[str, str]) -> None:
    """Note the line of every field below a node, and refuse keys that are written twice."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            places[".".join([*field, str(index)])] = f"{file}:{item.start_mark.line + 1}"
            _walk(item, (*field, str(index)), file, places)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        dotted = ".".join([*field, name])
        if name in seen and name != "<<":
            raise TeachableError(
                f"{dotted!r} is written twice (first on line {seen[name]})",
                where=f"{file}:{line}",
                mend="Keep one of them",
            )
        seen[name] = line
        places[dotted] = f"{file}:{line}"
        _walk(value, (*field, name), file, places)


def layered(below: Source, above: Source) -> Source:
    """One document over another: mappings are merged, everything else is replaced."""
    return Source(_merged(below.document, above.document), {**below.places, **above.places}, below.name)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def overridden(source: Source, overrides: Sequence[str], stages: Collection[str]) -> Source:
    """A document with `a.b=c` overrides applied; values are YAML.

    A field that starts with one of `stages` may leave `stages.` out: `probe.n_samples=16`.

    Raises:
        TeachableError: an override has no `=`, its value is no YAML, or it goes through something that is no mapping.
    """
    result = source
    for override in overrides:
        dotted, equals, text = override.partition("=")
        parts = [part.strip() for part in dotted.split(".")]
        where = f"--set {override}"
        if not equals or not all(parts):
            raise TeachableError("an override is written field=value", where=where, mend="For instance select.seeds=5")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise TeachableError("the value is no YAML", where=where, mend="Quote it") from error
        if parts[0] in stages:
            parts = ["stages", *parts]
        layer: Any = value
        place = result.document
        for part in parts[:-1]:
            inner = place.get(part)
            if inner is not None and not isinstance(inner, dict):
                raise TeachableError(f"{part!r} holds a value, not further fields", where=where)
            place = inner or {}
        for part in reversed(parts):
            layer = {part: layer}
        result = layered(result, Source(layer, {".".join(parts): where}, where))
    return result
