"""The recipe that `teachable init` writes: every field with its default and what it means.

It is made from the config classes themselves, so that it can't tell of fields that are no more.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from teachable.engines.config import EngineConfig
from teachable.recipe.config import Resources
from teachable.recipe.spec import Kinds, StageSpec

_HEAD = """\
# What is to be done, from prompts to a report. `teachable plan {file}` says what it would cost,
# `teachable run {file}` does it. Every field but `name` and `stages` may be left out, and has
# its default then. Some values here are small, for ten prompts: raise budget_tokens and tokens_per_step with
# the number of yours (the packaged quickstart has 60000 and 512 for 2,000 prompts).

name: {name}    # of the recipe; the results go to runs/NAME
seed: 0    # of every draw that no stage has a seed of its own for
base: embedded    # what is taught: embedded (a tiny model, pretrained here), a model folder, or a hub id org/name
"""
_COLUMN, _WIDTH = 40, 110


def starter_recipe(kinds: Kinds, values: Mapping[str, Mapping[str, Any]], *, name: str, file: str) -> str:
    """The recipe's text.

    Args:
        kinds: the stages to write, in this order.
        values: stage -> field -> a value that is not the default.
        name: of the recipe.
        file: the recipe's file name, for the commands in its head.
    """
    lines = [*_HEAD.format(name=name, file=file).splitlines(), ""]
    lines += ["# Who answers.", "engine:", *_fields(EngineConfig, {}, "  "), ""]
    lines += ["# With what the work is done. Nothing here changes a result by more than rounding.", "resources:"]
    lines += [*_fields(Resources, {}, "  "), ""]
    lines.append("# Each stage uses what earlier ones made; one that is left out here runs with its defaults.")
    lines.append("stages:")
    for spec in kinds.values():
        lines += ["", f"  # {_first_line(spec)}", f"  {spec.kind}:"]
        lines += _fields(spec.config, values.get(spec.kind, {}), "    ")
    return "\n".join(part for line in lines for part in _aligned(line)) + "\n"


def _first_line(spec: StageSpec) -> str:
    return (spec.config.__doc__ or spec.kind).strip().splitlines()[0]


def _fields(config: type[BaseModel], values: Mapping[str, Any], indent: str) -> list[str]:
    defaults = config.model_validate({}).model_dump(mode="json")
    return [
        f"{indent}{name}: {_written(values.get(name, defaults[name]))}    # {info.description}"
        for name, info in config.model_fields.items()
    ]


def _written(value: object) -> str:
    """A value as YAML on one line. JSON is YAML, and plain words need no quotes."""
    if isinstance(value, str) and value.replace("_", "").replace(".", "").isalnum():
        return value
    if isinstance(value, list):
        return f"[{', '.join(_written(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _aligned(line: str) -> list[str]:
    """The line with its comment in a column of its own, or above it where it does not fit there."""
    field, separator, comment = line.partition("    # ")
    if not separator or not field.strip():
        return [line]
    beside = f"{field:<{_COLUMN}}# {comment}"
    if len(beside) <= _WIDTH:
        return [beside]
    start = field[: len(field) - len(field.lstrip())] + "# "
    return [*textwrap.wrap(comment, _WIDTH, initial_indent=start, subsequent_indent=start), field]
