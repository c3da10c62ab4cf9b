"""All trials of all rounds in one table: what each was, what it came to, and whether that is more than noise.

Intervals are over questions and seeds at 95%, each by itself. Twenty trials that change nothing may well show one whose
interval lies above the plain settings': the table says what to look at, the confirmation says what is so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teachable.explore.evidence import gain
from teachable.explore.halving import Placing
from teachable.explore.trial import PLAIN, Trial
from teachable.stats import Floats, mean_interval


@dataclass(frozen=True)
class Outcome:
    """What a trial came to in a round.

    `scores_QS` has a row a question and a column a seed, and is empty where a training failed, for which `failure` has
    the reason. `n_tokens` and `n_steps` are those of one training.
    """

    trial: Trial
    scores_QS: Floats
    n_tokens: int
    n_steps: int
    failure: str = ""

    @property
    def score(self) -> float:
        """The mean over questions and seeds; NaN where a training failed."""
        return math.nan if self.failure else float(np.mean(self.scores_QS))


def round_rows(
    number: int, outcomes: Sequence[Outcome], placings: Sequence[Placing], base_QS: Floats, domains: Sequence[str]
) -> list[dict[str, Any]]:
    """A row a trial of a round, in the order of the trials' numbers.

    Args:
        base_QS: the base model's scores of the same questions, one column.
        domains: of the mix, in the order of the columns.
    """
    plain = next((one for one in outcomes if one.trial.number == PLAIN and not one.failure), None)
    placed = {placing.trial: placing for placing in placings}
    rows = []
    for one in sorted(outcomes, key=lambda outcome: outcome.trial.number):
        placing = placed[one.trial.number]
        row: dict[str, Any] = {"trial": one.trial.number, "round": number, "tokens": one.n_tokens, "steps": one.n_steps}
        row |= {"seeds": 0 if one.failure else one.scores_QS.shape[1]}
        row |= _interval("", None if one.failure else mean_interval(one.scores_QS))
        row |= _interval("over_base", None if one.failure else gain(one.scores_QS, base_QS))
        compared = None if one.failure or plain is None or one is plain else gain(one.scores_QS, plain.scores_QS)
        row |= _interval("over_plain", compared)
        row |= {"better_than_plain": None if compared is None else compared.consistent}
        row |= {"place": placing.place, "promoted": placing.goes_on}
        row |= {"why": f"{placing.reason}: {one.failure}" if one.failure else placing.reason}
        row |= dict(one.trial.searched)
        row |= {f"mix_{domain}": one.trial.mix.get(domain, 0.0) for domain in domains}
        rows.append(row)
    return rows


def _interval(name: str, found: Any) -> dict[str, float | None]:
    """A mean and its interval as columns: score, low, high; or NAME, NAME_low, NAME_high."""
    columns = (name, f"{name}_low", f"{name}_high") if name else ("score", "low", "high")
    values = (None, None, None) if found is None else (found.mean, found.low, found.high)
    return dict(zip(columns, values, strict=True))


def storable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with every column of one type: where a setting's values are of several, all of them as JSON."""
    mixed = set()
    for name in {name for row in rows for name in row}:
        kinds = {type(row[name]) for row in rows if row.get(name) is not None}
        if len(kinds) > 1 and not kinds <= {int, float}:
            mixed.add(name)
    return [
        {name: json.dumps(value) if name in mixed and value is not None else value for name, value in row.items()}
        for row in rows
    ]


def cells(rows: Sequence[Mapping[str, Any]], searched: Sequence[str]) -> list[list[str]]:
    """The table for people: a head, and a line a trial and round, the best of a round first."""
    domains = [name.removeprefix("mix_") for name in rows[0] if name.startswith("mix_")]
    lines = [["round", "trial", "tokens", "score", "over base", "over plain", "goes on", *searched, "mix"]]
    for row in sorted(rows, key=lambda one: (one["round"], one["place"])):
        name = "plain" if row["trial"] == PLAIN else str(row["trial"])
        line = [str(row["round"]), name, f"{row['tokens']:,}"]
        if row["score"] is None:
            line += ["failed", "", ""]
        else:
            line += [_points(row, "score", "low", "high"), _signed(row, "over_base"), _signed(row, "over_plain")]
        line += ["yes" if row["promoted"] else ""]
        line += [_short(row[setting]) for setting in searched]
        lines.append([*line, " ".join(f"{domain} {100 * row[f'mix_{domain}']:.0f}%" for domain in domains)])
    return lines


def markdown(rows: Sequence[Mapping[str, Any]], searched: Sequence[str], sentences: Sequence[str]) -> str:
    """The table as a page, under the sentences that say what came of it."""
    head, *lines = cells(rows, searched)
    table = [_line(head), _line(["---"] * len(head)), *(_line(line) for line in lines)]
    reasons = [f"- round {row['round']}, trial {row['trial']}: {row['why']}" for row in rows if row["score"] is None]
    parts = ["# Trials", *sentences, "\n".join(table), *(["\n".join(reasons)] if reasons else []), _NOTE]
    return "\n\n".join(parts) + "\n"


_NOTE = (
    "Scores and gains are in points of 100, with 95% intervals over questions and seeds, on the questions that chose "
    "between the trials. `*` marks a trial that is better than the plain settings beyond its interval; no interval "
    "accounts for the number of trials."
)


def _line(line: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |"


def _points(row: Mapping[str, Any], *names: str) -> str:
    mean, low, high = (100 * row[name] for name in names)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _signed(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return ""
    mean, low, high = (100 * row[column] for column in (name, f"{name}_low", f"{name}_high"))
    star = "*" if name == "over_plain" and row["better_than_plain"] else ""
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]{star}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
