"""What a judge's reply says: the sealed JSON object in it, held to a schema.

A reply may think, talk and quote around its verdict. Objects that do not bear the seal of the prompt are passed over:
they may have been copied from the candidate, which can't know the seal. Sealed ones must keep to the schema, and where
there are several they must say the same. Anything else is a fault, and a fault is no vote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from teachable.records import Completion
from teachable.verify.extract import spoken

LOWEST_SCORE, HIGHEST_SCORE = 1, 10
# Objects that are looked at in a reply, from its end: a bound on the work that a reply of braces can make.
MAX_OBJECTS = 64
_START = re.compile(r'\{\s*"')
# A backslash that JSON knows, with what follows; or one that it does not know, as in "\frac" written for LaTeX.
_BACKSLASH = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\')


class SealedReply(BaseModel):
    """What every verdict of a judge has. Fields beyond the schema are passed over; types must be exact."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    seal: str
    reason: str


class PointReply(SealedReply):
    """Is the candidate right? null is "I can't tell"."""

    correct: bool | None


class GradeReply(SealedReply):
    """Which of the three grades does a short factual answer get? null is "I can't tell"."""

    grade: Literal["correct", "incorrect", "not attempted"] | None


class PairReply(SealedReply):
    """Which is better? null is "I can't tell"."""

    better: Literal["A", "B", "tie"] | None


class ScoreReply(SealedReply):
    """How good is the candidate, from 1 to 10 in each respect? null is "I can't tell"."""

    accuracy: float | None = Field(ge=LOWEST_SCORE, le=HIGHEST_SCORE)
    style: float | None = Field(ge=LOWEST_SCORE, le=HIGHEST_SCORE)
    detail: float | None = Field(ge=LOWEST_SCORE, le=HIGHEST_SCORE)


Reply = TypeVar("Reply", bound=SealedReply)


@dataclass(frozen=True)
class Read(Generic[Reply]):
    """A reply as read: `said` is None where there is a fault, and then `fault` says which."""

    said: Reply | None
    fault: str = ""


def read_reply(completion: Completion, seal: str, schema: type[Reply]) -> Read[Reply]:
    """The one verdict of a judge's completion; linear in its length. Raises nothing for what it says."""
    if completion.finish_reason == "length":
        return Read(None, "cut off at the token limit")
    sealed = [found for found in _objects(spoken(completion.text)) if found.get("seal") == seal]
    if not sealed:
        return Read(None, "no sealed verdict")
    said: list[Reply] = []
    for found in sealed:
        try:
            said.append(schema.model_validate(found))
        except ValidationError:
            return Read(None, "a verdict that breaks the schema")
    verdicts = {json.dumps(reply.model_dump(exclude={"reason"})) for reply in said}
    return Read(said[-1]) if len(verdicts) == 1 else Read(None, "verdicts that contradict each other")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects among the last ones that begin in `text`, in order."""
    text = _BACKSLASH.sub(lambda found: found[0] if len(found[0]) > 1 else r"\\", text)
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_without_repeats)
    end = 0
    for start in [found.start() for found in _START.finditer(text)][-MAX_OBJECTS:]:
        if start < end:
            continue
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        yield found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ; JSON that gives a key twice could say two things at once.

    Raises:
        ValueError: a key comes twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice")
    return found
