"""Read a user's own prompts: JSONL or Parquet, under the column names that public sets use.

Every complaint names the file, the line or row, and the mend. Nothing is guessed silently: the columns that
were recognised are part of the result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.overlap.near import near_duplicate_groups
from teachable.overlap.split import split_groups
from teachable.records import Lineage, Message, Prompt, Solution, content_id
from teachable.store.files import read_rows
from teachable.tasks.build import TaskSet
from teachable.tasks.config import TasksConfig
from teachable.verify import get, judge

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "prompt_id", "uid"),
    "messages": ("messages", "conversations"),
    "prompt": ("prompt", "question", "problem", "instruction", "input"),
    "answer": ("answer", "final_answer", "target", "solution", "output"),
    "response": ("response", "completion", "worked_solution"),
    "domain": ("domain", "category", "subject", "type"),
    "level": ("level", "difficulty"),
    "verifier": ("verifier",),
}
DEFAULT_DOMAIN = "all"
FORMATS = (".jsonl", ".parquet")
REPEATED = "an earlier row says the same"


@dataclass(frozen=True)
class PromptFile:
    """A file's prompts, the responses that came with them, and which column was read as what.

    `n_repeated` counts rows that say again what an earlier row said; they are left out.
    """

    prompts: tuple[Prompt, ...]
    responses: Mapping[str, str]
    mapping: Mapping[str, str]
    n_repeated: int = 0


def _mapping(rows: Sequence[Mapping[str, Any]], path: Path) -> dict[str, str]:
    present: set[str] = set().union(*(row.keys() for row in rows))
    found = {
        name: next(c for c in candidates if c in present)
        for name, candidates in COLUMNS.items()
        if any(c in present for c in candidates)
    }
    if "prompt" not in found and "messages" not in found:
        raise TeachableError(
            f"no column holds the prompts: it has {', '.join(sorted(present))}",
            where=str(path),
            mend=f"Name one of them {', '.join(COLUMNS['prompt'])} or messages",
        )
    if "answer" not in found:
        raise TeachableError(
            f"no column holds the reference answers: it has {', '.join(sorted(present))}",
            where=str(path),
            mend=f"Name one of them {' or '.join(COLUMNS['answer'])}",
        )
    return found


def read_prompts(path: Path, *, source: str = "") -> PromptFile:
    """The prompts of a JSONL or Parquet file.

    Raises:
        TeachableError: no such file, one of another kind, an empty one, a broken line, no prompt or answer in a
            row, an unknown verifier, or two different rows with one id.
    """
    if path.is_file() and path.suffix not in FORMATS:
        raise TeachableError(
            f"prompts are read from {' or '.join(FORMATS)} files", where=str(path), mend="Write it as one of these"
        )
    rows = read_rows(path)
    if not rows:
        raise TeachableError("the file holds no prompts", where=str(path), mend="Write one JSON object a line")
    mapping = _mapping(rows, path)
    prompts: dict[str, Prompt] = {}
    responses: dict[str, str] = {}
    first_seen: dict[str, int] = {}
    n_repeated = 0
    for number, row in enumerate(rows, start=1):
        where = f"{path}, row {number}"
        prompt = _prompt(row, mapping, where, source or path.name)
        earlier = prompts.setdefault(prompt.id, prompt)
        if replace(earlier, lineage=()) != replace(prompt, lineage=()):
            raise TeachableError(
                f"the id {prompt.id!r} was used by row {first_seen[prompt.id]} for another prompt",
                where=where,
                mend="Give every prompt an id of its own, or leave ids out",
            )
        n_repeated += earlier is not prompt
        first_seen.setdefault(prompt.id, number)
        response = row.get(mapping.get("response", ""))
        if isinstance(response, str) and response.strip():
            responses[prompt.id] = response
    return PromptFile(tuple(prompts.values()), responses, mapping, n_repeated)


def _prompt(row: Mapping[str, Any], mapping: Mapping[str, str], where: str, source: str) -> Prompt:
    def value(name: str) -> Any:
        return row.get(mapping[name]) if name in mapping else None

    _require_text(row, where)
    messages = _messages(value("messages"), value("prompt"), where)
    answer = value("answer")
    # A table's empty cell may come as a NaN, the one value that differs from itself.
    if answer is None or answer != answer or not str(answer).strip():
        raise TeachableError(
            "this prompt has no reference answer", where=where, mend="Add an `answer`, or drop the row"
        )
    if not isinstance(answer, str | int | float):
        raise TeachableError(f"the answer is a {type(answer).__name__}", where=where, mend="Write it as text")
    verifier = str(value("verifier") or "exact")
    try:
        get(verifier)
    except TeachableError as error:
        raise TeachableError(error.what, where=where, mend=error.mend) from error
    level = value("level")
    given = value("id")
    return Prompt(
        id=str(given) if given is not None else content_id(messages, str(answer)),
        domain=str(value("domain") or DEFAULT_DOMAIN),
        messages=messages,
        answer=str(answer),
        verifier=verifier,
        level=level if isinstance(level, int) else 0,
        meta=_meta(row.get("meta"), where),
        lineage=(Lineage(parent=source, transform="read", params=where.rpartition(", ")[2]),),
    )


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


def _meta(value: Any, where: str) -> Mapping[str, Any]:
    """What a verifier may need beyond the answer; our own files carry it as JSON text."""
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            raise TeachableError(
                f"`meta` is no JSON object ({error})", where=where, mend="Mend it, or leave it out"
            ) from error
    if value is not None and not isinstance(value, Mapping):
        raise TeachableError("`meta` is no JSON object", where=where, mend="Mend it, or leave it out")
    return dict(value or {})


def _messages(chat: Any, text: Any, where: str) -> tuple[Message, ...]:
    if isinstance(chat, list) and chat:
        turns: list[Message] = []
        for turn in chat:
            role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, Mapping) else (None, None)
            if not isinstance(role, str) or not isinstance(content, str):
                raise TeachableError(
                    "`messages` needs a role and a content in every turn", where=where, mend="Complete it"
                )
            turns.append(Message(role=role, content=content))
        if turns[-1]["role"] != "user":
            raise TeachableError(
                f"the last message is the {turns[-1]['role']}'s", where=where, mend="End `messages` with a user's turn"
            )
        if turns[-1]["content"].strip():
            return tuple(turns)
    elif isinstance(text, str) and text.strip():
        return (Message(role="user", content=text),)
    raise TeachableError("this row has no prompt", where=where, mend="Fill it in, or drop the row")


async def load_tasks(path: Path, config: TasksConfig) -> tuple[TaskSet, Mapping[str, str]]:
    """Pool, held-out set and verified responses of a user's file, and the column mapping.

    Near-duplicates (Jaccard similarity of `config.near_duplicate` or more) are on one side of the split.

    Raises:
        TeachableError: see `read_prompts`; or one side of the split would be empty.
    """
    file = read_prompts(path)
    groups = near_duplicate_groups(
        [p.text for p in file.prompts], threshold=config.near_duplicate, domains=[p.domain for p in file.prompts]
    )
    shares = {"pool": 1.0 - config.heldout_frac, "heldout": config.heldout_frac}
    sides = split_groups([content_id(p.messages) for p in file.prompts], groups, shares)
    pool = tuple(p for p in file.prompts if sides[content_id(p.messages)] == "pool")[: config.n_pool]
    heldout = tuple(p for p in file.prompts if sides[content_id(p.messages)] == "heldout")[: config.n_heldout]
    if not pool or not heldout:
        raise TeachableError(
            f"{len(file.prompts)} prompts leave {len(pool)} in the pool and {len(heldout)} held out",
            where=str(path),
            mend="Add prompts, or change heldout_frac",
        )
    solutions, rejected = [], []
    for prompt in pool:
        if prompt.id not in file.responses:
            continue
        verdict = await judge(get(prompt.verifier), file.responses[prompt.id], prompt)
        if verdict.correct:
            solutions.append(Solution(prompt.id, file.responses[prompt.id], "organic", verdict.reason))
        else:
            rejected.append(verdict.reason)
    rejected += [REPEATED] * file.n_repeated
    counts = {reason: rejected.count(reason) for reason in sorted(set(rejected))}
    return TaskSet(pool, heldout, tuple(solutions), tuple(counts.items())), file.mapping
