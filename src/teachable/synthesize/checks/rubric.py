"""A rubric, and a critique that goes through it point by point and has to quote what it speaks of.

A critic that praises or blames without looking is caught by what can be checked: it must speak of every criterion once,
and each finding must quote words that stand in the text, where the criterion is met or where it is not. Its word alone
proves nothing: whether what it quotes meets a criterion is for a verifier or a judge to say (`workflows/revise.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

# For worked answers of any kind. A criterion says what is to be true of the text.
CRITERIA = (
    "It answers what was asked, and all of it.",
    "Every statement in it and every step of a calculation is right.",
    "The steps that lead to the result stand in their order, and none that a reader needs is missing.",
    "It comes to one clear result at its end and takes nothing back.",
    "It holds nothing that the reader does not need: no repetition, no talk about itself.",
)
MIN_QUOTE_CHARS = 8  # a shorter quote stands in almost any text; a text that is shorter itself is quoted whole
_NO_FAULT = frozenset({"", "none", "no", "nothing", "n/a", "na", "-", "null"})

_QUOTES = {ord(sign): '"' for sign in "“”„‟«»"} | {ord(sign): "'" for sign in "‘’‚‛`´"}
_DASHES = {ord(sign): "-" for sign in "‐‑‒–—−"}
_FOLDED = _QUOTES | _DASHES
_ELLIPSIS = re.compile(r"\.{3,}|…|\[\.{3}\]|\[…\]")


class Finding(BaseModel):
    """What a critic says of one criterion."""

    model_config = ConfigDict(frozen=True)

    criterion: int = Field(ge=1, description="the number of the criterion")
    quote: str = Field(
        min_length=1,
        description="words of the answer, copied letter by letter: where it meets the criterion, or where it fails",
    )
    met: bool = Field(description="true if the answer meets the criterion, false if not")
    fault: str = Field("", description="if it does not: what is wrong there; otherwise empty")


class Critique(BaseModel):
    """A finding for each criterion."""

    model_config = ConfigDict(frozen=True)

    findings: tuple[Finding, ...] = Field(min_length=1, description="one entry for each criterion, in their order")

    @property
    def unmet(self) -> tuple[Finding, ...]:
        """The findings of criteria that are not met."""
        return tuple(one for one in self.findings if not one.met)

    @property
    def score(self) -> float:
        """The share of criteria that are met, in [0, 1]."""
        return sum(one.met for one in self.findings) / len(self.findings)


def unsound(critique: Critique, text: str, criteria: Sequence[str]) -> str:
    """What keeps a critique of a text from being one, as a sentence for the critic; "" where nothing does.

    The sentence holds nothing of the text or of the critique but numbers, so that it can stand in a prompt.
    """
    numbers = [one.criterion for one in critique.findings]
    if sorted(numbers) != list(range(1, len(criteria) + 1)):
        return f"There must be one finding for each of the criteria 1 to {len(criteria)}, and none twice."
    for one in critique.findings:
        if not stands_in(one.quote, text):
            return (
                f"The quote for criterion {one.criterion} does not stand in the answer. Copy at least "
                f"{MIN_QUOTE_CHARS} characters of it, letter by letter."
            )
        has_fault = one.fault.strip(" .").lower() not in _NO_FAULT
        if one.met and has_fault:
            return f"Criterion {one.criterion} can't be met and have a fault."
        if not one.met and not has_fault:
            return f"Criterion {one.criterion} is not met, but its fault is not said."
    return ""


def stands_in(quote: str, text: str, *, min_chars: int = MIN_QUOTE_CHARS) -> bool:
    """Whether the words of a quote stand in a text one after the other.

    White space, case, and the shape of quotation marks and dashes make no difference; neither do quotation marks or
    dots around the quote. A gap in it ("so x = 4 ... which is even") is allowed if the parts stand in that order.

    Args:
        min_chars: the fewest characters of a part; a shorter quote counts only where it is the whole text.
    """
    whole = folded(text)
    said = folded(quote).strip("\"' ")
    if said and said == whole.strip("\"' "):
        return True
    parts = [part for part in (one.strip("\"' ") for one in _ELLIPSIS.split(said)) if part]
    place = 0
    for part in parts:
        found = whole.find(part, place)
        if found < 0 or len(part) < min_chars:
            return False
        place = found + len(part)
    return bool(parts)


def folded(text: str) -> str:
    """The text in one case, on one line, with plain quotation marks and dashes."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_FOLDED).casefold().split())
