"""What `teachable verify` writes and counts: a row of verdict for each row of the file, and what they add up to.

The table holds nothing that tells of time, so that the same rows and flags give the same bytes; seconds are in the
counts. A share is of the decided rows, with Wilson's interval, which takes the rows for independent: several attempts
at one question are not, and then the true interval is wider.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teachable.recipe.answers import AnswerFile, AnswerRow
from teachable.records import Verdict
from teachable.stats import wilson_interval
from teachable.store.files import plain, write_rows

if TYPE_CHECKING:
    import pyarrow as pa

N_REASONS = 20
N_SLOWEST = 10
_OURS = ("id", "verifier", "correct", "extracted", "reason", "frac_passed", "expected", "expected_by")


@dataclass(frozen=True)
class Judged:
    """A row with its verdict: by which verifier, in how many seconds, and whether an earlier run had reached it.

    `expected` is what a judge's verdict is compared with, and `expected_by` who said so: `label` or a verifier's name,
    empty where nobody did. `done` is False where the work was stopped before this row's turn.
    """

    row: AnswerRow
    verifier: str
    verdict: Verdict
    seconds: float = 0.0
    reused: bool = False
    expected: bool | None = None
    expected_by: str = ""
    done: bool = True


def write_verdicts(path: Path, file: AnswerFile, judged: Sequence[Judged], *, calibrated: bool) -> None:
    """Write the input's columns with the verdicts beside them, in the order of the file.

    A column of the input that bears the name of one of ours is kept as `given_NAME`. A column that no type of Parquet
    holds (numbers beside texts) is written as text: texts as they are, everything else as JSON.
    """
    import pyarrow as pa

    carried = _carried(file)
    types = _source_types(file.path)
    ours = {"id": pa.string()}
    verdict_types = {
        "verifier": pa.string(),
        "correct": pa.bool_(),
        "extracted": pa.string(),
        "reason": pa.string(),
        "frac_passed": pa.float64(),
    }
    if calibrated:
        verdict_types |= {"expected": pa.bool_(), "expected_by": pa.string()}
    rows: list[dict[str, Any]] = [{"id": one.row.id} for one in judged]
    schema = list(ours.items())
    for column, name in carried.items():
        values = [one.row.columns.get(column) for one in judged]
        values, kind = _typed(values, types.get(column))
        schema.append((name, kind))
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    for row, one in zip(rows, judged, strict=True):
        verdict = one.verdict
        row |= {"verifier": one.verifier, "correct": verdict.correct, "extracted": verdict.answer}
        row |= {"reason": verdict.reason, "frac_passed": verdict.frac_passed}
        if calibrated:
            row |= {"expected": one.expected, "expected_by": one.expected_by or None}
    write_rows(path, rows, pa.schema([*schema, *verdict_types.items()]))


def _carried(file: AnswerFile) -> dict[str, str]:
    """Column of the input -> its name in the output."""
    columns = dict.fromkeys(name for row in file.rows for name in row.columns)
    said_anew = {file.mapping.get("id"), file.mapping.get("verifier")}
    carried: dict[str, str] = {}
    for column in columns:
        if column in said_anew and column in ("id", "verifier"):
            continue
        name = f"given_{column}" if column in _OURS else column
        while name != column and (name in columns or name in carried.values()):
            name = f"given_{name}"
        carried[column] = name
    return carried


def _source_types(path: Path) -> Mapping[str, pa.DataType]:
    import pyarrow.parquet as pq

    if path.suffix != ".parquet":
        return {}
    return {column.name: column.type for column in pq.read_schema(path)}


def _typed(values: list[Any], kind: pa.DataType | None) -> tuple[list[Any], pa.DataType]:
    """The values and a type that holds them all: the given one, an inferred one, else text."""
    import pyarrow as pa

    for tried in (kind, None):
        try:
            return values, pa.array(values, type=tried).type
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            continue
    return [_as_text(value) for value in values], pa.string()


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


# ---- counts ----


def verdict_stats(judged: Sequence[Judged]) -> dict[str, Any]:
    """The counts over all rows, those of each verifier, the most frequent reasons and the slowest rows."""
    names = dict.fromkeys(one.verifier for one in judged)
    reasons = Counter((one.verdict.correct, one.verdict.reason) for one in judged)
    slowest = sorted((one for one in judged if one.seconds > 0), key=lambda one: (-one.seconds, one.row.number))
    return {
        **_counts(judged),
        "verifiers": {name: _counts([one for one in judged if one.verifier == name]) for name in names},
        "reasons": [
            {"correct": correct, "reason": reason, "rows": n} for (correct, reason), n in reasons.most_common(N_REASONS)
        ],
        "slowest": [
            {"row": one.row.number, "id": one.row.id, "verifier": one.verifier, "seconds": round(one.seconds, 3)}
            for one in slowest[:N_SLOWEST]
        ],
    }


def _counts(judged: Sequence[Judged]) -> dict[str, Any]:
    """How many were right, wrong and undecided, and the shares; a share of nothing is None."""
    right = sum(one.verdict.correct is True for one in judged)
    wrong = sum(one.verdict.correct is False for one in judged)
    decided, rows = right + wrong, len(judged)
    low, high = wilson_interval(right, decided)
    shares = [one.verdict.frac_passed for one in judged if one.verdict.frac_passed is not None]
    return {
        "rows": rows,
        "right": right,
        "wrong": wrong,
        "undecided": rows - decided,
        "accuracy": right / decided if decided else None,
        "accuracy_low": low if decided else None,
        "accuracy_high": high if decided else None,
        "frac_undecided": (rows - decided) / rows if rows else None,
        "mean_frac_passed": sum(shares) / len(shares) if shares else None,
        "seconds": round(sum(one.seconds for one in judged), 3),
    }


# ---- labels ----

_TRUE = {"true", "yes", "right", "correct", "pass", "passed", "1", "1.0"}
_FALSE = {"false", "no", "wrong", "incorrect", "fail", "failed", "0", "0.0"}


def label_of(value: Any) -> bool | None:
    """What a label says, or None where there is none.

    Raises:
        ValueError: it is neither; the message says what a label is.
    """
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        return None
    text = str(plain(value)).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f"the label is {str(value)[:40]!r}")
