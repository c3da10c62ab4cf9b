"""From questions to a benchmark: prompts with ids of their content, each once, and the facts that determine a score."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from teachable.errors import TeachableError
from teachable.records import AnswerSource, Lineage, Message, Prompt, content_id
from teachable.tasks.benchmarks.spec import ADAPTER, Benchmark

_NAMED = re.compile(r"\{([a-z_]+)\}")


@cache
def template(name: str) -> str:
    """A packaged prompt by its file's name without the ending; `{name}` stands for a field of the question."""
    file = resources.files("teachable.tasks.benchmarks").joinpath("templates", f"{name}.txt")
    return file.read_text(encoding="utf-8").rstrip("\n")


def filled(text: str, fields: Mapping[str, str]) -> str:
    """A template with its fields filled in; what a field holds is not looked at again.

    Raises:
        KeyError: the template names a field that there is not.
    """
    return _NAMED.sub(lambda found: fields[found[1]], text)


def make_prompt(
    benchmark: str,
    messages: Sequence[Message],
    answer: str | None,
    verifier: str,
    *,
    needs: Mapping[str, Any] | None = None,
    subject: str = "",
    level: int = 0,
    source: AnswerSource = "organic",
    lineage: Sequence[Lineage] = (),
) -> Prompt:
    """A benchmark's prompt, with an id of its content: the messages, the answer, and what the verifier needs.

    Args:
        benchmark: its name, which is the prompt's domain too.
        messages, answer, verifier, level, lineage: as in `Prompt`; `source` is where the answer is from.
        needs: what the verifier needs beyond the answer.
        subject: a division of the benchmark; empty where it has none.
    """
    needs = dict(needs or {})
    meta = needs | {"benchmark": benchmark} | ({"subject": subject} if subject else {})
    return Prompt(
        id=content_id(benchmark, messages, answer, needs),
        domain=benchmark,
        messages=tuple(messages),
        answer=answer,
        answer_source=source,
        verifier=verifier,
        level=level,
        meta=meta,
        lineage=tuple(lineage),
    )


def user_turn(text: str) -> tuple[Message, ...]:
    """A chat of one message, the user's."""
    return (Message(role="user", content=text),)


def require_limit(limit: int | None, where: str) -> None:
    """Refuse a limit that leaves no question.

    Raises:
        TeachableError: it is below 1.
    """
    if limit is not None and limit < 1:
        raise TeachableError(f"a limit of {limit} questions leaves none", where=where, mend="Give 1 or more, or none")


def make_benchmark(
    name: str,
    prompts: Sequence[Prompt],
    *,
    title: str,
    source: str,
    data: str,
    asked: str,
    metric: str,
    version: int,
    notes: str,
    n_rows: int,
    limit: int | None,
    left_out: Mapping[str, int] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Benchmark:
    """The benchmark of these prompts: each content once, and no more than `limit`, those whose ids are smallest.

    An id is a hash, so a limit takes the same questions whatever their order, and a smaller one some of a larger one's.
    `data_digest` is of all questions, before the limit.

    Args:
        name: of the benchmark.
        prompts: in the order of the data.
        title, source, data, metric, version, notes: see `Benchmark`.
        asked: the template's text.
        n_rows: rows that the data has.
        limit: most questions; None for all.
        left_out: reason -> rows that are no question, repeated ones aside.
        more: further facts.

    Raises:
        TeachableError: no question is left, or the limit is below 1.
    """
    require_limit(limit, name)
    unique = {prompt.id: prompt for prompt in reversed(prompts)}
    if not unique:
        why = "; ".join(f"{n} {reason}" for reason, n in (left_out or {}).items())
        raise TeachableError(
            f"none of the {n_rows} rows is a question of {name}{f': {why}' if why else ''}",
            where=data,
            mend="Name the data of its test split",
        )
    ordered = dict.fromkeys(prompt.id for prompt in prompts)
    kept = set(sorted(unique)[:limit])
    chosen = tuple(unique[key] for key in ordered if key in kept)
    left = dict(left_out or {})
    facts: dict[str, Any] = {
        "title": title,
        "source": source,
        "data": data,
        "data_digest": hashlib.sha256("\n".join(sorted(unique)).encode()).hexdigest(),
        "n_rows": n_rows,
        "n_repeated": n_rows - sum(left.values()) - len(unique),
        "left_out": left,
        "limit": limit,
        "n_questions": len(chosen),
        "template": asked,
        "verifier": ", ".join(sorted({prompt.verifier for prompt in chosen})),
        "adapter": ADAPTER,
        "version": version,
        "metric": metric,
        "notes": notes,
    }
    return Benchmark(name, chosen, facts | dict(more or {}))
