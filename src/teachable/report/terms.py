"""Settings and facts of any shape, as text that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from teachable.report.markup import NONE, Html, el, join


def said(value: Any) -> str:
    """A setting in one line: mappings as `name value` pairs, lists by commas, what is empty left out."""
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        kept = {name: one for name, one in value.items() if one not in (None, "", [], {}, False)}
        return ", ".join(f"{str(name).replace('_', ' ')} {said(one)}" for name, one in kept.items()) or NONE
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value)) or NONE
    return str(value)


def fields(values: Mapping[str, Any]) -> Html:
    """A list of names and what they are."""
    pairs = (el("div", el("dt", str(k).replace("_", " ")), el("dd", said(v))) for k, v in values.items())
    return el("dl", join(pairs), class_="environment")
