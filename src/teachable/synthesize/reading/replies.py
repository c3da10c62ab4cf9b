"""From a reply to a typed value, or to one sentence that says what is wrong with it.

The sentence is for the model that wrote the reply: it is sent back with it, so that the next reply may be right. What
is read is the outermost JSON objects of what the reply says (`json_objects`), whatever prose or Markdown stands around
them; thoughts are passed over, but a text inside an object may hold anything, tags of thoughts too. Exactly one of the
objects must be of the type. Two different ones that both are would be a choice, and nobody here can make it.

A number where a text is asked for is taken as it was written, since small models write `"answer": 42`. Everything else
is held to the type. A reply that hands back the form, or declines, whether in prose or in the object's texts, is none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from teachable.synthesize.reading.forms import form_of, kind_at, texts_of, unfilled
from teachable.synthesize.reading.json_objects import Found, literals, objects_in
from teachable.synthesize.reading.refusing import refuses
from teachable.verify import spoken

NO_JSON, WRONG_FIELDS, CUT_OFF, REFUSED, EMPTY = "no valid JSON", "wrong fields", "cut off", "refused", "empty"
SEVERAL = "several objects"
_MAX_FAULTS = 3  # that are told at once
_MARK = "\ufdd0"  # about the number of an object; no character, so no text is to hold it
_SHORT_CHARS = 10  # of a text that is no sentence
_NO_TEXT = {"", "n/a", "na", "none", "null", "-"}
# What pydantic says in the words of Python.
_WORDS = {
    "string_type": "it is no text",
    "string_too_short": "it needs at least {min_length} characters",
    "string_too_long": "it may have at most {max_length} characters",
    "too_short": "it needs at least {min_length} entries",
    "too_long": "it may have at most {max_length} entries",
    "tuple_type": "it is no list",
    "list_type": "it is no list",
    "model_type": "it is no object",
    "dict_type": "it is no object",
}
__all__ = [
    "CUT_OFF",
    "EMPTY",
    "NO_JSON",
    "REFUSED",
    "SEVERAL",
    "WRONG_FIELDS",
    "Fault",
    "form_of",
    "read",
    "refuses",
]


@dataclass(frozen=True)
class Fault:
    """What is wrong with a reply: a label that is counted, and a sentence for the model that wrote it."""

    label: str
    sentence: str


def read(text: str, output: type[BaseModel] | type[str], *, finish_reason: str, max_tokens: int) -> Any | Fault:
    """The reply as a value of the type `output`, or its fault. Raises nothing for what a reply says.

    Args:
        output: a pydantic model, read from JSON; or `str`, which takes what the reply says as it is, unless it is empty
            or declines.
        finish_reason, max_tokens: of the completion; what was cut off is a fault.
    """
    if finish_reason == "length":
        return Fault(CUT_OFF, f"Your reply was cut off at {max_tokens} tokens. Write a shorter one.")
    text = text.encode("utf-8", "replace").decode()
    spoken_text = spoken(text)
    said = spoken_text.strip()
    if output is str:
        if not said:
            return Fault(EMPTY, "Your reply was empty.")
        return Fault(REFUSED, "Your reply declined the task.") if refuses(said) else said
    assert issubclass(output, BaseModel)
    found = _said(text, spoken_text)
    if not found:
        return _without_object(said)
    return _typed(found, output)


def _without_object(said: str) -> Fault:
    if not said:
        return Fault(EMPTY, "Your reply was empty.")
    if refuses(said):
        return Fault(REFUSED, "Your reply declined the task, and holds no JSON object.")
    hint = " Names and texts of JSON stand in straight double quotation marks." if "{" in said else ""
    return Fault(NO_JSON, f"Your reply holds no JSON object.{hint}")


def _said(text: str, spoken_text: str) -> list[Found]:
    """The outermost objects of a reply that do not stand in its thoughts.

    An object that can be read stands where it begins: tags of thoughts in its texts are a part of them.
    """
    found = list(objects_in(text))
    if not found or spoken_text == text:
        return found
    marks = [f"{_MARK}{number}{_MARK}" for number in range(len(found))]
    outline, place = [], 0
    for one, mark in zip(found, marks, strict=True):
        outline += [text[place : one.begin], mark]
        place = one.end if one.value is not None else one.begin
    said = spoken("".join([*outline, text[place:]]))
    kept = [one for one, mark in zip(found, marks, strict=True) if mark in said]
    # An object that begins in a thought and never ends hides what comes behind the thought.
    return kept or list(objects_in(spoken_text))


def _typed(found: Sequence[Found], output: type[BaseModel]) -> Any | Fault:
    """The one value of the type, or what is wrong with the longest object."""
    values: list[Any] = []
    faults: list[tuple[int, Fault]] = []
    for one in found:
        value = _one(one, output)
        if isinstance(value, Fault):
            faults.append((one.end - one.begin, value))
        elif value not in values:
            values.append(value)
    if len(values) > 1:
        return Fault(SEVERAL, f"Your reply holds {len(values)} different objects of the form. Write one.")
    if values:
        return values[0]
    return max(faults, key=lambda fault: fault[0])[1]


def _one(found: Found, output: type[BaseModel]) -> Any | Fault:
    if found.value is None:
        return Fault(NO_JSON, f"Your reply is no valid JSON: {found.fault}.")
    try:
        value = _validated(found, output)
    except ValidationError as error:
        told = _told(error)
        sentences = [_sentence(fault, output) for fault in told[:_MAX_FAULTS]]
        more = [f"There are {len(told) - _MAX_FAULTS} more faults."] if len(told) > _MAX_FAULTS else []
        return Fault(WRONG_FIELDS, " ".join([*sentences, *more]))
    except (RecursionError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        return Fault(WRONG_FIELDS, f"Your reply can't be read as the form asks ({error}).")
    field = unfilled(output, found.value)
    if field:
        return Fault(WRONG_FIELDS, f"The field {field!r} repeats the form; write a value of your own.")
    if _declines(found.value):
        return Fault(REFUSED, "Your reply declined the task in its fields.")
    return value


def _told(error: ValidationError) -> list[ErrorDetails]:
    """The faults; not that of a list which is too short only because its entries have faults."""
    faults = error.errors(include_url=False)
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if not any(len(place) > len(fault["loc"]) and place[: len(fault["loc"])] == fault["loc"] for place in places)
    ]


def _validated(found: Found, output: type[BaseModel]) -> BaseModel:
    """The value of the type, numbers taken as text where a text is asked for.

    Raises:
        ValidationError: it is not of the type.
    """
    if output.model_config.get("strict"):  # JSON has no tuples, which strict types would ask for
        return output.model_validate_json(json.dumps(found.value))
    try:
        return output.model_validate(found.value)
    except ValidationError as error:
        numbers = [
            fault["loc"]
            for fault in error.errors(include_url=False)
            if fault["type"] == "string_type" and type(fault["input"]) in (int, float)
        ]
        if not numbers:
            raise
        written = literals(found.source)
        mended = _with(found.value, written, numbers)
        if mended is None:
            raise
        return output.model_validate(mended)


def _with(value: Any, written: Any, places: Sequence[tuple[int | str, ...]]) -> Any:
    """The value with what was written at some places; None where a place is none of its own (a union's branch)."""
    for place in places:
        holder, literal = value, written
        try:
            for part in place[:-1]:
                holder, literal = holder[part], literal[part]
            holder[place[-1]] = literal[place[-1]]
        except (LookupError, TypeError):
            return None
    return value


def _declines(value: Any) -> bool:
    """All that the texts of an object say is that it declines: several do, or one does and another says nothing.

    The one text of a reply may well be about declining.
    """
    texts = [text.strip() for _, text in texts_of(value)]
    telling = [text for text in texts if len(text) > _SHORT_CHARS]
    is_all = len(telling) > 1 or any(text.lower() in _NO_TEXT for text in texts)
    return bool(telling) and is_all and all(refuses(text) for text in telling)


def _sentence(fault: ErrorDetails, output: type[BaseModel]) -> str:
    """One fault: the field, what is wrong with it, and what is expected."""
    place = fault["loc"]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    kind = kind_at(output, place)
    expected = f"; it must be {kind}" if kind else ""
    if fault["type"] == "missing":
        return f"The field {name!r} is missing{expected}."
    if fault["type"] == "extra_forbidden":
        return f"There must be no field {name!r}."
    what = _WORDS.get(fault["type"], fault["msg"])
    bounds = {name: value for name, value in (fault.get("ctx") or {}).items() if isinstance(value, int)}
    what = what.format(**bounds) if fault["type"] in _WORDS and bounds else what
    what = what.removeprefix("Value error, ").removeprefix("Assertion failed, ").rstrip(".")
    given = repr(fault["input"])
    given = given if len(given) <= 60 else given[:57] + "..."
    field = f"The field {name!r}" if name else "The object"
    return f"{field}: {what[:1].lower() + what[1:]}; it is {given}{expected}."
