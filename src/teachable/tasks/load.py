"""Read a user's own prompts: JSONL or Parquet, under the column names that public sets use.

Every complaint names the file, the line or row, and the mend. Nothing is guessed silently: the columns that were
recognised, and what was made of their values, are part of the result (`columns.py` and `values.py` hold the rules).
A reference answer may be missing, for some rows or for all: probing has other keys, and a response that came with such
a prompt can't be verified and is not trained on.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.overlap.guard import CONTENT_KEY
from teachable.overlap.near import joined, near_duplicate_groups
from teachable.overlap.split import split_groups
from teachable.records import Lineage, Message, Prompt, Solution, content_id
from teachable.store.files import ROW_FORMATS as FORMATS
from teachable.store.files import read_rows, require_file
from teachable.tasks.build import TaskSet
from teachable.tasks.columns import FOR_VERIFIERS, WORKED, cell, is_empty, recognise
from teachable.tasks.config import TasksConfig
from teachable.tasks.values import (
    AS_IT_STANDS,
    AS_TESTS,
    as_response,
    chat,
    levels,
    n_rows,
    read_answer,
    scalar,
    without_gaps,
)
from teachable.verify import get, verdict_of

DEFAULT_DOMAIN = "all"
REPEATED = "an earlier row says the same"
# Several times the longest context of any model; a longer "prompt" is a file that slipped into a cell.
MAX_PROMPT_CHARS = 1_000_000
DEFAULT_VERIFIER = "math"

_CSV = (
    'Convert it: python -c "from pyarrow import csv, parquet; parquet.write_table(csv.read_csv({name!r}, '
    'parse_options=csv.ParseOptions(delimiter={delimiter!r}, newlines_in_values=True)), {parquet!r})"'
)
_MENDS = {
    ".csv": _CSV,
    ".tsv": _CSV,
    ".json": "If it is an array, convert it: jq -c '.[]' {name} > {stem}.jsonl; if a line holds one object, "
    "call it {stem}.jsonl",
    ".gz": "Unpack it",
    ".zst": "Unpack it",
    ".zip": "Unpack it",
}


@dataclass(frozen=True)
class PromptFile:
    """A file's prompts, the worked responses that came with them by prompt id, and which column was read as what.

    `mapping` is field -> column, and in brackets what was made of the values: "answer (after ####)". `n_repeated`
    counts rows that say again what an earlier row said; they are left out, and only their responses are kept.
    """

    prompts: tuple[Prompt, ...]
    responses: Mapping[str, tuple[str, ...]]
    mapping: Mapping[str, str]
    n_repeated: int = 0


@dataclass(frozen=True)
class _Row:
    """One row, read: the prompt, its response (empty without one), and the form its answer was given in."""

    prompt: Prompt
    response: str
    response_from: str
    answer_form: str


def read_prompts(path: Path, *, source: str = "", columns: Mapping[str, str] | None = None) -> PromptFile:
    """The prompts of a JSONL or Parquet file.

    Args:
        path: the file.
        source: what the prompts' lineage calls it; its name where this is empty.
        columns: field -> column, in the place of what would be recognised; an empty column stands for none.

    Raises:
        TeachableError: no such file, a folder, one of another kind, an empty one, a broken line, a column that there
            is not, no prompt in a row or one of over `MAX_PROMPT_CHARS` characters, a value that is no text, an
            unknown verifier, or two different rows with one id.
    """
    path = Path(path)
    _refuse_other_kinds(path)
    rows = read_rows(path)
    if not rows:
        raise TeachableError("the file holds no prompts", where=str(path), mend="Write one JSON object a line")
    mapping = recognise(rows, path, columns)
    level_of, level_note = levels([cell(row, mapping.get("level")) for row in rows])
    prompts: dict[str, Prompt] = {}
    responses: defaultdict[str, dict[str, None]] = defaultdict(dict)
    first_seen: dict[str, int] = {}
    forms: Counter[str] = Counter()
    response_from: dict[str, None] = {}
    for number, (row, level) in enumerate(zip(rows, level_of, strict=True), start=1):
        where = f"{path}, row {number}"
        read = _read(row, mapping, level, where, source or path.name)
        prompt = prompts.setdefault(read.prompt.id, read.prompt)
        if replace(prompt, lineage=()) != replace(read.prompt, lineage=()):
            raise TeachableError(
                f"the id {prompt.id!r} was used by row {first_seen[prompt.id]} for another prompt",
                where=where,
                mend="Give every prompt an id of its own, or leave ids out",
            )
        first_seen.setdefault(prompt.id, number)
        forms[read.answer_form] += 1
        if read.response:
            responses[prompt.id][read.response] = None
            response_from[read.response_from] = None
    said = _said(mapping, level_note, forms, list(response_from))
    unique = tuple(prompts.values())
    return PromptFile(unique, {name: tuple(found) for name, found in responses.items()}, said, len(rows) - len(unique))


def _refuse_other_kinds(path: Path) -> None:
    require_file(path, FORMATS)
    if path.suffix not in FORMATS:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        mend = _MENDS.get(path.suffix.lower(), "Write it as one of these")
        raise TeachableError(
            f"prompts are read from {' or '.join(FORMATS)} files",
            where=str(path),
            mend=mend.format(name=path.name, stem=path.stem, parquet=f"{path.stem}.parquet", delimiter=delimiter),
        )


def _said(mapping: Mapping[str, str], level_note: str, forms: Counter[str], response_from: list[str]) -> dict[str, str]:
    """The mapping with what was made of the values in brackets."""
    said = dict(mapping)
    if "answer" in said:
        total = sum(forms.values())
        named = [(form, n) for form, n in forms.most_common() if form]
        plain = [form for form, _ in named] == [AS_IT_STANDS]
        notes = [] if plain else [form if n == total else f"{form} in {n_rows(n)}" for form, n in named]
        notes += [f"none in {n_rows(forms[''])}"] if forms[""] else []
        said["answer"] += f" ({', '.join(notes)})" if notes else ""
    if "level" in said and level_note:
        said["level"] += f" ({level_note})"
    if response_from:
        said["response"] = ", else ".join(sorted(response_from, key=lambda place: place != mapping.get("response")))
    return said


def _read(row: Mapping[str, Any], mapping: Mapping[str, str], level: int, where: str, source: str) -> _Row:
    def value(name: str) -> Any:
        return cell(row, mapping.get(name))

    _require_text(row, where)
    messages, last_turn = _messages(value("messages"), value("prompt"), value("context"), where)
    answer, form, worked = read_answer(
        value("answer"), worked=mapping.get("answer", "").lower().rpartition(".")[2] in WORKED, where=where
    )
    needs = {name: without_gaps(found) for name in FOR_VERIFIERS if not is_empty(found := value(name))}
    meta = _meta(value("meta"), needs, where)
    implied = "code" if "tests" in needs else "choice" if "choices" in needs else DEFAULT_VERIFIER
    verifier = scalar(value("verifier"), "verifier", where) or implied
    if verifier == "code" and "tests" in needs:
        tests = meta.pop("tests")
        answer, form = tests if isinstance(tests, str) else json.dumps(tests, ensure_ascii=False), AS_TESTS
    try:
        get(verifier, where)
    except TeachableError as error:
        mend = f"{error.mend}; or take none with --map verifier="
        raise TeachableError(error.what, where=where, mend=mend) from error
    given = scalar(value("id"), "id", where)
    prompt = Prompt(
        id=given or (content_id(messages) if answer is None else content_id(messages, answer)),
        domain=scalar(value("domain"), "domain", where) or DEFAULT_DOMAIN,
        messages=messages,
        answer=answer,
        verifier=verifier,
        level=level,
        meta=meta,
        lineage=(Lineage(parent=source, transform="read", params=where.rpartition(", ")[2]),),
    )
    places = (
        (value("response"), mapping.get("response", "")),
        (worked, f"{mapping.get('answer')} (the whole text)"),
        (last_turn, f"{mapping.get('messages') or mapping.get('prompt')} (the last turn)"),
    )
    response, place = next(((t, place) for t, place in places if isinstance(t, str) and t.strip()), ("", ""))
    return _Row(prompt, as_response(response), place, form)


def _require_text(row: Mapping[str, Any], where: str) -> None:
    r"""Refuse half a character ("\ud800" in JSON), which no file of ours and no tokenizer could take."""
    try:
        json.dumps(row, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise TeachableError(
            f"this row holds half a character, {error.object[error.start : error.end]!a}",
            where=where,
            mend="Mend its text, or drop the row",
        ) from error


def _meta(value: Any, needs: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a verifier may need beyond the answer; our own files carry it as JSON text. `needs` has columns for it."""
    mend = "Mend it, or leave it out with --map meta="
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except ValueError as error:
            raise TeachableError(f"`meta` is no JSON object ({error})", where=where, mend=mend) from error
    if value is not None and not isinstance(value, Mapping):
        raise TeachableError("`meta` is no JSON object", where=where, mend=mend)
    meta = {**(value or {}), **needs}
    try:
        json.dumps(meta, sort_keys=True)
    except (TypeError, ValueError) as error:  # a Parquet file's dates and bytes
        raise TeachableError(f"`meta` has no JSON form ({error})", where=where, mend=mend) from error
    return meta


def _messages(turns: Any, text: Any, context: Any, where: str) -> tuple[tuple[Message, ...], str | None]:
    """The prompt's messages, and the assistant's answer to them where the row's chat ends with one.

    A prompt that is a list is a chat too. The context, if any, follows the text after an empty line.
    """
    if isinstance(turns, str) and turns.strip():
        mend = "Write a list of turns, or read it as text with --map prompt=COLUMN"
        raise TeachableError("`messages` is text", where=where, mend=mend)
    turns = turns if isinstance(turns, list) and turns else text if isinstance(text, list) else None
    answer = None
    if turns:
        messages, answer = chat(turns, where)
    else:
        if not isinstance(text, str | None) and text != [] and text == text:
            mend = "Write it as text, or take another column with --map prompt=COLUMN"
            raise TeachableError(f"the prompt is a {type(text).__name__}", where=where, mend=mend)
        beside = scalar(context, "context", where)
        plain = text if isinstance(text, str) else ""
        messages = (Message(role="user", content=f"{plain}\n\n{beside}" if plain.strip() and beside else plain),)
    if not messages[-1]["content"].strip():
        raise TeachableError("this row has no prompt", where=where, mend="Fill it in, or drop the row")
    n_chars = sum(len(message["content"]) for message in messages)
    if n_chars > MAX_PROMPT_CHARS:
        raise TeachableError(
            f"this prompt has {n_chars:,} characters, more than {MAX_PROMPT_CHARS:,}",
            where=where,
            mend="Shorten it, or drop the row",
        )
    return messages, answer


async def load_tasks(path: Path, config: TasksConfig) -> tuple[TaskSet, Mapping[str, str]]:
    """Pool, held-out set and verified responses of a user's file, and the column mapping.

    Near-duplicates (Jaccard similarity of `config.near_duplicate` or more) are on one side of the split; with a
    `heldout_frac` of 0 there is no split, and the whole file is the pool. Where `n_pool` or `n_heldout` cuts a side, a
    hash of each prompt's content decides, not its place in the file. Of several responses to a prompt the shortest
    that its verifier accepts becomes the solution.

    Raises:
        TeachableError: see `read_prompts`; or one side of the split would be empty.
    """
    file = read_prompts(path, columns=config.columns)
    pool, heldout = _split(file.prompts, config)
    if not pool or (config.heldout_frac > 0 and not heldout):
        raise TeachableError(
            f"{len(file.prompts)} prompts leave {len(pool)} in the pool and {len(heldout)} held out",
            where=str(path),
            mend="Add prompts, or change heldout_frac",
        )
    pool, heldout = _cut(pool, config.n_pool), _cut(heldout, config.n_heldout)
    solutions: list[Solution] = []
    rejected: Counter[str] = Counter()
    for prompt in pool:
        for text in sorted(file.responses.get(prompt.id, ()), key=lambda text: (len(text), text)):
            verdict = await verdict_of(get(prompt.verifier), text, prompt)
            if verdict.correct:
                solutions.append(Solution(prompt.id, text, "organic", verdict.reason))
                break
            rejected[verdict.reason] += 1
    if file.n_repeated:
        rejected[REPEATED] += file.n_repeated
    return TaskSet(pool, heldout, tuple(solutions), tuple(sorted(rejected.items()))), file.mapping


def _split(prompts: Sequence[Prompt], config: TasksConfig) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """The pool and the held-out prompts, each in the order of the file."""
    if config.heldout_frac == 0:
        return tuple(prompts), ()
    near = near_duplicate_groups(
        [p.text for p in prompts], threshold=config.near_duplicate, domains=[p.domain for p in prompts]
    )
    # Procedural questions of one content are one question, whatever their phrasing.
    groups = joined(near, [str(p.meta.get(CONTENT_KEY) or "") for p in prompts])
    shares = {"pool": 1.0 - config.heldout_frac, "heldout": config.heldout_frac}
    ids = [content_id(p.messages) for p in prompts]
    sides = split_groups(ids, groups, shares)
    pool, heldout = (
        tuple(p for p, one in zip(prompts, ids, strict=True) if sides[one] == side) for side in ("pool", "heldout")
    )
    return pool, heldout


def _cut(prompts: tuple[Prompt, ...], n: int | None) -> tuple[Prompt, ...]:
    """At most n of the prompts, in their order: those whose content hashes lowest."""
    if n is None or len(prompts) <= n:
        return prompts

    def rank(prompt: Prompt) -> tuple[str, str]:
        content = content_id(prompt.messages, prompt.answer)
        return hashlib.sha256(f"cut\x1f{content}".encode()).hexdigest(), prompt.id

    kept = {prompt.id for prompt in sorted(prompts, key=rank)[:n]}
    return tuple(prompt for prompt in prompts if prompt.id in kept)
