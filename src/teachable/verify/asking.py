"""Asking a verifier: safely, synchronously, and on rows whose answer is known before any compute is spent on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from teachable.errors import TeachableError
from teachable.records import Prompt, Verdict, Verifier
from teachable.verify.registry import get
from teachable.verify.strings import as_number

_Result = TypeVar("_Result")
OWN_ANSWER = "its own answer"


@dataclass(frozen=True)
class GoldFault:
    """A row on which a verifier is not to be trusted: what was tried on it, and what the verifier said."""

    prompt_id: str
    tried: str
    reason: str


@runtime_checkable
class Prepared(Protocol):
    """A verifier that needs more than a prompt, and can say so before anything is paid for.

    `ready` raises a TeachableError that says what is missing and how to get it.
    """

    name: str

    def ready(self) -> None: ...


@runtime_checkable
class Blocking(Protocol):
    """A verifier that also decides without an event loop, which spares `check` the cost of making one."""

    name: str

    def verdict(self, attempt: str, prompt: Prompt) -> Verdict: ...


async def verdict_of(verifier: Verifier, attempt: str, prompt: Prompt) -> Verdict:
    """The verifier's verdict; a verifier that raises could not tell, and its error is the reason.

    Raises:
        TeachableError: passed through, as it is a mistake that the user must mend, not a verdict.
    """
    try:
        return await verifier.verify(attempt, prompt)
    except Exception as error:
        return _could_not_tell(verifier, error)


def _could_not_tell(verifier: Verifier, error: Exception) -> Verdict:
    """Whatever went wrong in a verifier says nothing about the attempt; a mistake of the user's is raised again."""
    if isinstance(error, TeachableError):
        raise error
    return Verdict(None, None, f"the verifier '{verifier.name}' failed: {type(error).__name__}: {error}")


def check(attempt: str, answer: str | Sequence[Mapping[str, Any]] | None, verifier: str | Verifier = "math") -> Verdict:
    """Does this attempt give that answer? The synchronous way in, for scripts and notebooks; from any thread.

    Args:
        attempt: a whole response, or the bare answer.
        answer: the reference answer; for `code` the tests: Python source, or `{"stdin": ..., "stdout": ...}` cases.
        verifier: a verifier's name, or the verifier itself.

    Raises:
        TeachableError: no verifier has that name, or it lacks what it needs (a sandbox, an engine).
    """
    chosen = get(verifier) if isinstance(verifier, str) else verifier
    text = answer if answer is None or isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    prompt = Prompt(id="", domain="", messages=(), answer=text, verifier=chosen.name)
    if isinstance(chosen, Blocking):
        try:
            return chosen.verdict(attempt, prompt)
        except Exception as error:
            return _could_not_tell(chosen, error)
    return _wait_for(verdict_of(chosen, attempt, prompt))


def near_miss(gold: str) -> tuple[str, str]:
    """A wrong answer that lies close to a right one, and its name.

    Where there is a digit the last one changes; any other answer gets one more letter, which stays a different answer
    also with case and punctuation folded.
    """
    text = as_number(gold.strip()) or gold
    place = next((place for place in range(len(text) - 1, -1, -1) if text[place] in "0123456789"), None)
    if place is None:
        return f"{gold}q", "one letter more"
    return f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}", "the last digit changed"


def prove_on_gold(prompts: Iterable[Prompt], verifier: Verifier | None = None) -> list[GoldFault]:
    """The rows on which a verifier fails to accept the row's own answer, or accepts a near-miss or no answer.

    Args:
        prompts: the rows; those without a reference answer are passed over, as there is nothing to prove, and so are
            those whose verifier says `answer_is_gold = False`: their answer is no attempt (tests, a rubric).
        verifier: the verifier to try on all rows, or None for the one that each row names.

    Returns:
        One fault a row at most, in the order of the rows; an empty list means that the verifier is proven.

    Raises:
        TeachableError: a row names a verifier that does not exist, or that refuses this kind of row.
    """
    return _wait_for(_prove(list(prompts), verifier))


async def gold_fault(verifier: Verifier, prompt: Prompt) -> GoldFault | None:
    """What a verifier gets wrong of a prompt's own answer as an attempt, a near-miss, and no answer; None of nothing.

    None also where there is nothing to try: no reference answer, or one that is no attempt (tests, a rubric).

    Raises:
        TeachableError: the verifier refuses this kind of row.
    """
    if prompt.answer is None or not getattr(verifier, "answer_is_gold", True):
        return None
    wrong, name = near_miss(prompt.answer)
    for tried, text, right in (
        (OWN_ANSWER, f"Answer: {prompt.answer}", True),
        (f"a near-miss ({name})", f"Answer: {wrong}", False),
        ("no answer", "Answer:", False),
    ):
        verdict = await verdict_of(verifier, text, prompt)
        if verdict.correct is not right:
            return GoldFault(prompt.id, tried, verdict.reason)
    return None


async def _prove(prompts: list[Prompt], verifier: Verifier | None) -> list[GoldFault]:
    found = [await gold_fault(verifier or get(prompt.verifier), prompt) for prompt in prompts]
    return [fault for fault in found if fault is not None]


def _wait_for(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine to its end from synchronous code, also where an event loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
