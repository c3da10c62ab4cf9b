"""A searched solution, token by token: texts that can be shown anywhere, and what each token does to success.

What a model wrote is data. A token's text may be half a character, a line break, an escape sequence that would drive a
terminal, or a mark that makes text run backwards; `visible` turns each of these into something that is seen and does
nothing. The terminal (`teachable pivot --show`) and the report show the same texts and the same numbers, from here.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from teachable.errors import TeachableError

Row = Mapping[str, Any]
Facts = dict[str, Any]

# Columns of solutions.parquet and pivots.parquet that are shown; others may be there.
SOLUTION_COLUMNS = (
    "prompt_id",
    "token_ids",
    "tokens",
    "text",
    "correct",
    "probabilities",
    "values",
    "value_sds",
    "n_samples",
    "note",
)
PIVOT_COLUMNS = (
    "prompt_id",
    "position",
    "token_id",
    "token",
    "p_before",
    "p_after",
    "delta",
    "delta_low",
    "delta_high",
    "n_samples",
    "solution_token_ids",
    "probability",
    "alternatives",
)
LEVELS = (0.02, 0.08, 0.2)  # sizes of an effect from which a token is coloured faintly, clearly, strongly
BAND_SDS = 1.96  # half of the value curve's 95% band, in posterior standard deviations
NEWLINE, TAB, SPACE = "\u21b5", "\u21e5", "\u2423"
# Control, format, surrogate, private, unassigned; separators of lines and paragraphs; spaces that are no plain space.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})


def visible(text: str, token_id: int | None = None, *, flat: bool = False) -> str:
    """A text in which every character is seen and none is obeyed.

    A line break is drawn, and still breaks the line unless `flat`; other control characters become their pictures
    (U+2400 and up), whatever else has no shape its code point. `flat` draws spaces too, for a token that stands alone.

    Args:
        token_id: the token whose text it is, which is named where it has no text at all.
    """
    if not text:
        return "" if token_id is None else f"\u27e8token {token_id}\u27e9"
    shown = "".join(_character(one, flat=flat) for one in text)
    # A mark that would be drawn upon the character before the token gets a place of its own.
    return f"\u25cc{shown}" if unicodedata.category(text[0]).startswith("M") else shown


def _character(one: str, *, flat: bool) -> str:
    if one == "\n":
        return NEWLINE if flat else f"{NEWLINE}\n"
    if one == "\t":
        return TAB
    if one == " ":
        return SPACE if flat else one
    if one < " ":
        return chr(0x2400 + ord(one))
    if one == "\x7f":
        return "\u2421"
    return f"\u27e8U+{ord(one):04X}\u27e9" if unicodedata.category(one) in _UNSEEN else one


def strength(effect: float | None) -> int:
    """How strongly a change of the success probability is coloured: 0 (not at all) to 3."""
    return 0 if effect is None else sum(abs(effect) >= least for least in LEVELS)


def effects(solution: Facts) -> list[float | None]:
    """What each token does: the measured change where it is pivotal, else the step of the value curve."""
    measured = {pivot["position"]: pivot["delta"] for pivot in solution["pivots"]}
    return [measured.get(place, token["effect"]) for place, token in enumerate(solution["tokens"])]


def solution_key(prompt_id: str, token_ids: Iterable[int]) -> tuple[str, tuple[int, ...]]:
    """What joins a solution with its pivots: a prompt may have several solutions."""
    return prompt_id, tuple(token_ids)


def solution_facts(row: Row, pivots: Iterable[Row], where: str) -> Facts:
    """One solution with its tokens, value curve and pivots, as the report and `--json` hold it.

    For T tokens, `tokens` has T entries, whose `effect` is the step of the value curve (`values`, T + 1) at them.

    Args:
        row: of solutions.parquet.
        pivots: the rows of pivots.parquet that are about this solution.
        where: the file, for the sentence.

    Raises:
        TeachableError: the lengths of the row's lists do not fit each other.
    """
    ids, values = list(row["token_ids"]), [_number(value) for value in row["values"]]
    sds = [_number(value) for value in row["value_sds"]]
    lists: Sequence[Sequence[Any]] = (row["tokens"], row["probabilities"], values[1:], sds[1:])
    if any(len(one) != len(ids) for one in lists):
        raise TeachableError(
            f"the lists of a solution of {visible(row['prompt_id'])} differ in length",
            where=where,
            mend="Run the search again",
        )
    steps = [None if a is None or b is None else b - a for a, b in pairwise(values)]
    tokens = [
        {"token_id": token_id, "token": token, "probability": _number(probability), "effect": step}
        for token_id, token, probability, step in zip(ids, row["tokens"], row["probabilities"], steps, strict=True)
    ]
    return {
        "prompt_id": row["prompt_id"],
        "correct": bool(row["correct"]),
        "text": row["text"],
        "note": row.get("note") or "",
        "n_samples": row["n_samples"],
        "tokens": tokens,
        "values": values,
        "value_sds": sds,
        "pivots": sorted((_pivot(one) for one in pivots), key=lambda one: int(one["position"])),
    }


def _pivot(row: Row) -> Facts:
    kept = {name: row.get(name) for name in PIVOT_COLUMNS if name not in ("prompt_id", "solution_token_ids")}
    others = [
        {**one, "p_success": one["successes"] / one["n_samples"] if one["n_samples"] else None}
        for one in row.get("alternatives") or ()
    ]
    return {**kept, "alternatives": sorted(others, key=lambda one: -one["probability"])}


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def weight(pivots: Iterable[Row]) -> float:
    """How telling a solution is: the sum of its measured changes, whatever their sign."""
    return sum(abs(float(one["delta"])) for one in pivots)
