"""Read a file of answers to be verified: JSONL or Parquet, one attempt a row.

The attempt is looked for under its own name alone, because a wrong guess there would be a wrong verdict in every row;
the other fields are found under the names that public sets use. Everything else in a row is carried through. What a
single row lacks makes that row undecidable (`AnswerRow.fault`) and ends nothing; what is wrong with the whole file, or
names a verifier that there is not, is a sentence.

Which verifier decides a row: the one that its `verifier` names, else `code` where the row has tests, else `choice`
where it has choices and nobody but `math` was asked for, else the one that was asked for. A reference that is a worked
text gives its answer after `####` or in its last box (`tasks.values`), but for `code`, `gym` and those that
ask a judge, which take the reference as it stands.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.records import Message, Prompt, content_id
from teachable.store.files import ROW_FORMATS as FORMATS
from teachable.store.files import read_rows, require_file
from teachable.tasks.columns import COLUMNS as PROMPT_COLUMNS
from teachable.tasks.columns import FOR_VERIFIERS, WORKED, cell
from teachable.tasks.values import chat, read_answer, scalar, without_gaps
from teachable.verify import get

# "output" and "solution" are left out: where attempts are verified, they are often the attempt, or a program.
_ANSWERS = tuple(name for name in PROMPT_COLUMNS["answer"] if name not in ("output", "solution"))
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "attempt": ("attempt",),
    "answer": _ANSWERS,
    "verifier": ("verifier",),
    **FOR_VERIFIERS,
    "messages": PROMPT_COLUMNS["messages"],
    "prompt": tuple(name for name in PROMPT_COLUMNS["prompt"] if name != "input"),
    "id": PROMPT_COLUMNS["id"],
    "label": ("label",),
    "meta": ("meta",),
}
FIELDS = tuple(COLUMNS)
_LIKELY = ("response", "completion", "prediction", "generation", "model_answer", "output", "text")
_READS_THE_QUESTION = ("judge", "graded", "duel", "choice")
_TAKES_IT_AS_IT_STANDS = ("code", "judge", "graded", "duel", "gym")
_SHOWN = 30
NO_ATTEMPT = "there is no attempt in this row"


@dataclass(frozen=True)
class AnswerRow:
    """One attempt and what decides it.

    `columns` are the row as it was read. `fault` says why no verifier can be asked; empty where one can.
    `label` is the cell that says whether a person found it right.
    """

    number: int
    id: str
    attempt: str
    prompt: Prompt
    columns: Mapping[str, Any]
    fault: str = ""
    label: Any = None

    @property
    def verifier(self) -> str:
        """The name of the verifier that decides it."""
        return self.prompt.verifier


@dataclass(frozen=True)
class AnswerFile:
    """A file's rows in their order, and which column was read as which field (`mapping`: field -> column).

    `n_mended` counts rows with half a character (a lone surrogate) in them, which was replaced by U+FFFD.
    """

    path: Path
    rows: tuple[AnswerRow, ...]
    mapping: Mapping[str, str]
    n_mended: int = 0


def read_answers(path: Path, *, verifier: str, columns: Mapping[str, str] | None = None) -> AnswerFile:
    """The attempts of a JSONL or Parquet file.

    Args:
        path: the file.
        verifier: who decides rows that name nobody and have no tests.
        columns: field -> column, in the place of what would be recognised; an empty column stands for none.

    Raises:
        TeachableError: no such file, a folder, one of another kind, an empty one, a broken line, no column of
            attempts, a field or column that there is not, or an unknown verifier.
    """
    path = Path(path)
    _refuse_other_kinds(path)
    rows = read_rows(path)
    if not rows:
        raise TeachableError("the file holds no answers", where=str(path), mend="Write one JSON object a line")
    mapping = _recognise(rows, path, columns or {})
    read: list[AnswerRow] = []
    n_mended = 0
    for number, row in enumerate(rows, start=1):
        whole, mended = _whole(row)
        n_mended += mended
        read.append(_read(_Cells(whole, mapping), number, f"{path}, row {number}", verifier))
    return AnswerFile(path, tuple(read), mapping, n_mended)


def _refuse_other_kinds(path: Path) -> None:
    require_file(path, FORMATS)
    if path.suffix not in FORMATS:
        raise TeachableError(
            f"answers are read from {' or '.join(FORMATS)} files",
            where=str(path),
            mend="Write it as one of these; in JSONL, every line holds one object with an attempt and an answer",
        )


# ---- which column is which field ----


def _recognise(rows: Sequence[Mapping[str, Any]], path: Path, chosen: Mapping[str, str]) -> dict[str, str]:
    """Field -> column, for the fields that the file has; `chosen` goes before what would be recognised."""
    there = dict.fromkeys(column for row in rows for column in _paths(row))
    top = sorted(dict.fromkeys(str(name) for row in rows for name in row))
    shown = ", ".join(top[:_SHOWN]) + (f" and {len(top) - _SHOWN} more" if len(top) > _SHOWN else "")
    for name, column in chosen.items():
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.5)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            fields = ", ".join(FIELDS)
            raise TeachableError(f"there is no field {name!r}{hint}", where="--map", mend=f"The fields are {fields}")
        if column and column not in there:
            raise TeachableError(
                f"there is no column {column!r} for the field {name!r}: it has {shown}",
                where=str(path),
                mend=f"Name one of them, as in --map {name}=COLUMN, or none with --map {name}=",
            )
    found = {name: column for name, column in chosen.items() if column}
    by_name = {_plain(column): column for column in reversed(there)}
    for name, names in COLUMNS.items():
        if name in chosen:
            continue
        candidates = (one if one in there else by_name.get(one, "") for one in names)
        best = next((column for column in candidates if column and column not in found.values()), None)
        if best is not None:
            found[name] = best
    if "attempt" not in found:
        likely = next((by_name[name] for name in _LIKELY if name in by_name), "COLUMN")
        raise TeachableError(
            f"there is no column `attempt`: it has {shown}",
            where=str(path),
            mend=f"Name the column that holds the attempts, as in --map attempt={likely}",
        )
    return {name: found[name] for name in FIELDS if name in found}


def _paths(row: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in row.items():
        yield f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _paths(value, f"{above}{name}.")


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


# ---- one row ----


@dataclass(frozen=True)
class _Cells:
    """A row by field."""

    row: Mapping[str, Any]
    mapping: Mapping[str, str]

    def get(self, name: str) -> Any:
        value = cell(self.row, self.mapping.get(name))
        return None if value is None or _is_nan(value) or (isinstance(value, str) and not value.strip()) else value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _read(cells: _Cells, number: int, where: str, default: str) -> AnswerRow:
    tests, faults = cells.get("tests"), []
    named = cells.get("verifier")
    implied = "choice" if default == "math" and cells.get("choices") is not None else default
    name = str(named).strip() if named is not None else "code" if tests is not None else implied
    get(name, where)
    raw = cell(cells.row, cells.mapping.get("attempt"))
    attempt = raw if isinstance(raw, str) else ""
    if not isinstance(raw, str):
        attempt, fault = _as_text(raw, "attempt")
        faults.append(fault or ("" if attempt else NO_ATTEMPT))
    answer, fault = _answer(cells, name)
    faults.append(fault)
    messages, fault = _question(cells)
    faults.append(fault if name in _READS_THE_QUESTION else "")
    meta, fault = _meta(cells)
    faults.append(fault)
    given, _ = _as_text(cells.get("id"), "id")
    prompt = Prompt(
        id=given or content_id(messages, answer, meta),
        domain="",
        messages=messages,
        answer=answer,
        verifier=name,
        meta=meta,
    )
    row_id = given or content_id(attempt, messages, answer, name, meta)
    fault = next((one for one in faults if one), "")
    return AnswerRow(number, row_id, attempt, prompt, cells.row, fault, cells.get("label"))


def _as_text(value: Any, name: str) -> tuple[str, str]:
    """A cell as text, and what is wrong with it."""
    try:
        return scalar(value, name, "") or "", ""
    except TeachableError as error:
        return "", error.what


def _answer(cells: _Cells, verifier: str) -> tuple[str | None, str]:
    """The reference, and what is wrong with it. Lists and objects are a reference for `code` alone."""
    value = cells.get("answer")
    if verifier in _TAKES_IT_AS_IT_STANDS:
        if isinstance(value, list | Mapping):
            return json.dumps(without_gaps(value), ensure_ascii=False, default=str), ""
        text, fault = _as_text(value, "answer")
        return text or None, fault
    column = cells.mapping.get("answer", "").lower().rpartition(".")[2]
    try:
        return read_answer(value, worked=column in WORKED, where="")[0], ""
    except TeachableError as error:
        return None, error.what


def _question(cells: _Cells) -> tuple[tuple[Message, ...], str]:
    """The messages before the attempt, and what is wrong with them; none is nothing wrong."""
    turns, text = cells.get("messages"), cells.get("prompt")
    turns = turns if isinstance(turns, list) and turns else text if isinstance(text, list) else None
    try:
        if turns:
            return chat(turns, "")[0], ""
        plain = scalar(text, "prompt", "")
    except TeachableError as error:
        return (), error.what
    return ((Message(role="user", content=plain),) if plain else ()), ""


def _meta(cells: _Cells) -> tuple[dict[str, Any], str]:
    """What the verifier needs beyond the answer, and what is wrong with it."""
    value = cells.get("meta")
    fault = ""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            value, fault = None, f"`meta` is no JSON ({error})"
    if value is not None and not isinstance(value, Mapping):
        value, fault = None, "`meta` is no JSON object"
    meta = dict(value or {})
    for name in FOR_VERIFIERS:
        if (found := cells.get(name)) is not None:
            meta[name] = without_gaps(found)
    return meta, fault


def _whole(row: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    r"""The row with half characters ("\ud800" in JSON), which no file can hold, replaced; and whether it had any."""
    try:
        json.dumps(row, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        mended: dict[str, Any] = _mended(row)
        return mended, True
    return row, False


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return [_mended(item) for item in value] if isinstance(value, list) else value
