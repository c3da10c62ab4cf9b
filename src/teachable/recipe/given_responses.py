"""Read responses that are there already: JSONL or Parquet, one response a row, or all of a prompt's in one row.

A row names its prompt by `prompt_id`, or holds it (`prompt`, `messages`, and whatever else a file of prompts may have:
reference answer, verifier, id). Its responses are the text in `response` (also read as `text`, `completion`,
`attempt`) and the list in `responses`, whose items are texts or objects with a `response` and an `engine`. Who answered
stands in `engine` or `model`, for a list also in a list of the same length. Files of our own are read as they are:
`responses.parquet` of an earlier judging, `attempts.parquet` of a probe.

A row without text and one whose prompt is not among the given ones are counted, and end nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.prefer.found import GIVEN, Response, whole
from teachable.records import Prompt
from teachable.store.files import ROW_FORMATS, read_rows, require_file
from teachable.tasks.columns import cell, is_empty, recognise
from teachable.tasks.load import read_prompts
from teachable.tasks.values import scalar

PROMPT_ID = "prompt_id"
ONE = ("response", "text", "completion", "attempt")
MANY = "responses"
ENGINE = ("engine", "model")
_IDS = (PROMPT_ID, "id")
# What a prompt is told by: rows in which these cells are the same ask the same.
_TELLING = ("id", "messages", "prompt", "context", "answer")


@dataclass(frozen=True)
class GivenResponses:
    """The prompts, and the responses to each by its id.

    `columns` says which column was read as what. `n_without_text` counts rows and items of lists that hold no text,
    `n_without_prompt` rows whose prompt is not among those that were named.
    """

    prompts: tuple[Prompt, ...]
    responses: Mapping[str, tuple[Response, ...]]
    columns: Mapping[str, str]
    n_without_text: int = 0
    n_without_prompt: int = 0


def read_responses(
    path: Path, prompts: Sequence[Prompt] | None = None, columns: Mapping[str, str] | None = None
) -> GivenResponses:
    """The responses of a file.

    Args:
        path: the file.
        prompts: what was answered; None where the file itself holds the prompts.
        columns: field of a prompt -> column, where the file holds them.

    Raises:
        TeachableError: no such file, a folder, an empty one, a broken line; no column of responses, of prompts, or of
            their ids; or no row belongs to any prompt.
    """
    path = Path(path)
    require_file(path, ROW_FORMATS)
    if path.suffix not in ROW_FORMATS:
        mend = "Write it as one of these, a response or a list of responses a row"
        raise TeachableError(f"responses are read from {' or '.join(ROW_FORMATS)} files", where=str(path), mend=mend)
    rows = read_rows(path)
    there = dict.fromkeys(name for row in rows for name in row)
    read_as = {
        field: next(name for name in names if name in there)
        for field, names in (("responses", (MANY,)), ("response", ONE), ("engine", ENGINE))
        if any(name in there for name in names)
    }
    if "responses" not in read_as and "response" not in read_as:
        raise TeachableError(
            f"no column holds the responses: it has {', '.join(sorted(there)) or 'no rows'}",
            where=str(path),
            mend=f"Name it `response` (one a row) or `{MANY}` (a list)",
        )
    if prompts is None:
        own, of_row, mapping = _own_prompts(path, rows, {**_id_column(rows, there), **(columns or {})})
    else:
        own, of_row, mapping = tuple(prompts), *_named_prompts(path, rows, prompts, there)
    found = _collected(rows, of_row, read_as)
    return GivenResponses(own, found.responses, {**mapping, **read_as}, found.n_without_text, found.n_without_prompt)


def _id_column(rows: Sequence[Mapping[str, Any]], there: Mapping[str, None]) -> dict[str, str]:
    """Which column has the prompts' ids, where that is not what a file of prompts would have it be.

    An `id` that no two rows share, in a file of one response a row, is the response's and not the prompt's.
    """
    if PROMPT_ID in there:
        return {"id": PROMPT_ID}
    ids = [str(row.get("id")) for row in rows]
    return {"id": ""} if MANY not in there and "id" in there and len(set(ids)) == len(ids) else {}


def _own_prompts(
    path: Path, rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, str]
) -> tuple[tuple[Prompt, ...], list[str | None], Mapping[str, str]]:
    """The prompts that the file itself holds, and the id of each row's."""
    file = read_prompts(path, columns=chosen)
    mapping = recognise(rows, path, chosen)
    told = [json.dumps([cell(row, mapping.get(name)) for name in _TELLING], default=str) for row in rows]
    # A prompt's lineage names the first row that holds it: "row 12".
    first = {told[int(prompt.lineage[0].params.split()[-1]) - 1]: prompt.id for prompt in file.prompts}
    by_id = {prompt.id for prompt in file.prompts}
    of_row: list[str | None] = []
    for row, key in zip(rows, told, strict=True):
        named = scalar(cell(row, mapping.get("id")), "id", str(path))
        of_row.append(named if named in by_id else first.get(key))
    return file.prompts, of_row, {name: column for name, column in file.mapping.items() if name != "response"}


def _named_prompts(
    path: Path, rows: Sequence[Mapping[str, Any]], prompts: Sequence[Prompt], there: Mapping[str, None]
) -> tuple[list[str | None], Mapping[str, str]]:
    """The id of each row's prompt among those given, None where it is not among them."""
    column = next((name for name in _IDS if name in there), None)
    if column is None:
        raise TeachableError(
            "no column says which prompt a response answers",
            where=str(path),
            mend=f"Name it `{PROMPT_ID}`, with the prompts' ids, or leave PROMPTS out where the file holds the prompts",
        )
    known = {prompt.id for prompt in prompts}
    named = [scalar(row.get(column), column, str(path)) for row in rows]
    of_row = [one if one in known else None for one in named]
    if not any(of_row):
        raise TeachableError(
            f"no row's {column} is the id of a prompt",
            where=str(path),
            mend="Name the file of the prompts that were answered",
        )
    return of_row, {"id": column}


@dataclass(frozen=True)
class _Collected:
    responses: Mapping[str, tuple[Response, ...]]
    n_without_text: int
    n_without_prompt: int


def _collected(
    rows: Sequence[Mapping[str, Any]], of_row: Sequence[str | None], read_as: Mapping[str, str]
) -> _Collected:
    """The responses by prompt, numbered for each engine in their order."""
    found: dict[str, list[Response]] = {}
    numbers: Counter[tuple[str, str]] = Counter()
    n_without_text = n_without_prompt = 0
    for row, prompt_id in zip(rows, of_row, strict=True):
        if prompt_id is None:
            n_without_prompt += 1
            continue
        for text, engine in _items(row, read_as):
            if not isinstance(text, str):
                n_without_text += 1
                continue
            sample = numbers[prompt_id, engine]
            numbers[prompt_id, engine] += 1
            reason = row.get("finish_reason")
            found.setdefault(prompt_id, []).append(
                Response(
                    prompt_id=prompt_id,
                    engine=engine,
                    sample=sample,
                    text=whole(text),
                    finish_reason=reason if isinstance(reason, str) and reason else "stop",
                )
            )
    return _Collected({name: tuple(ones) for name, ones in found.items()}, n_without_text, n_without_prompt)


def _items(row: Mapping[str, Any], read_as: Mapping[str, str]) -> Iterator[tuple[Any, str]]:
    """Every response of a row, as it stands there, and who gave it."""
    by = row.get(read_as.get("engine", ""))
    listed = row.get(read_as.get("responses", ""))
    if isinstance(listed, list):
        each = by if isinstance(by, list) and len(by) == len(listed) else [by] * len(listed)
        for item, engine in zip(listed, each, strict=True):
            inner = item if isinstance(item, Mapping) else {}
            text = next((inner[name] for name in (*ONE, "content") if name in inner), item)
            yield text, _engine(next((inner[name] for name in ENGINE if inner.get(name)), engine))
        return
    yield row.get(read_as.get("response", "")), _engine(by)


def _engine(value: Any) -> str:
    return GIVEN if is_empty(value) or not isinstance(value, str) else value.strip()
