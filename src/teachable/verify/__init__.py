"""Is it right? The verifiers, and the few functions that every caller of a verifier needs.

A verifier says yes, no or "could not tell" (`Verdict.correct` is True, False or None). `judge` is the one way
to call a verifier: an exception that a verifier raises becomes "could not tell" there, never a wrong answer,
so that a fault of ours is never held against the model. `prove_on_gold` runs a verifier on rows whose answer
is known, before any compute is spent on it.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from teachable.errors import TeachableError
from teachable.records import Prompt, Verdict, Verifier
from teachable.verify.exact import Exact, as_number, canonical, extract_answer
from teachable.verify.gym import Gym

__all__ = [
    "Exact",
    "GoldFault",
    "Gym",
    "Verdict",
    "Verifier",
    "canonical",
    "check",
    "extract_answer",
    "get",
    "judge",
    "names",
    "near_miss",
    "prove_on_gold",
]

_VERIFIERS: dict[str, Verifier] = {verifier.name: verifier for verifier in (Exact(), Gym())}
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class GoldFault:
    """A row on which a verifier is not to be trusted: what was tried on it, and what the verifier said."""

    prompt_id: str
    tried: str
    reason: str


def names() -> tuple[str, ...]:
    """The names that `get` knows, in alphabetical order."""
    return tuple(sorted(_VERIFIERS))


def get(name: str) -> Verifier:
    """The verifier of that name.

    Raises:
        TeachableError: no verifier has that name; the message gives the nearest one.
    """
    if name in _VERIFIERS:
        return _VERIFIERS[name]
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.0)
    raise TeachableError(
        f"there is no verifier called '{name}'",
        mend=f"The nearest name is '{near[0]}'; all names: {', '.join(names())}" if near else "",
    )


async def judge(verifier: Verifier, attempt: str, prompt: Prompt) -> Verdict:
    """The verifier's verdict; a verifier that raises could not tell, and its error is the reason.

    Raises:
        TeachableError: passed through, as it is a mistake that the user must mend, not a verdict.
    """
    try:
        return await verifier.verify(attempt, prompt)
    except TeachableError:
        raise
    except Exception as error:  # whatever went wrong in a verifier says nothing about the attempt
        return Verdict(None, None, f"the verifier '{verifier.name}' failed: {type(error).__name__}: {error}")


def check(attempt: str, answer: str | None, verifier: str | Verifier = "exact") -> Verdict:
    """Does this attempt give that answer? The synchronous way in, for scripts and notebooks.

    Raises:
        TeachableError: no verifier has that name.
    """
    chosen = get(verifier) if isinstance(verifier, str) else verifier
    prompt = Prompt(id="", domain="", messages=(), answer=answer, verifier=chosen.name)
    return _wait_for(judge(chosen, attempt, prompt))


def near_miss(gold: str) -> tuple[str, str]:
    """A wrong answer that lies close to a right one, and its name.

    A number gets another last digit; any other answer gets one more letter, which stays a different answer
    under the normalisation of `exact`.
    """
    number = as_number(gold.strip())
    if number is not None:
        return number[:-1] + str((int(number[-1]) + 1) % 10), "the last digit changed"
    return f"{gold}q", "one letter more"


def prove_on_gold(prompts: Iterable[Prompt], verifier: Verifier | None = None) -> list[GoldFault]:
    """The rows on which a verifier fails to accept the row's own answer, or accepts a near-miss or no answer.

    Args:
        prompts: the rows; those without a reference answer are passed over, as there is nothing to prove.
        verifier: the verifier to try on all rows, or None for the one that each row names.

    Returns:
        One fault a row at most, in the order of the rows; an empty list means that the verifier is proven.

    Raises:
        TeachableError: a row names a verifier that does not exist, or that refuses this kind of row.
    """
    return _wait_for(_prove(list(prompts), verifier))


async def _prove(prompts: list[Prompt], verifier: Verifier | None) -> list[GoldFault]:
    faults: list[GoldFault] = []
    for prompt in prompts:
        if prompt.answer is None:
            continue
        chosen = verifier or get(prompt.verifier)
        wrong, name = near_miss(prompt.answer)
        trials = [
            ("its own answer", f"Answer: {prompt.answer}", True),
            (f"a near-miss ({name})", f"Answer: {wrong}", False),
            ("no answer", "Answer:", False),
        ]
        for tried, text, right in trials:
            verdict = await judge(chosen, text, prompt)
            if verdict.correct is not right:
                faults.append(GoldFault(prompt.id, tried, verdict.reason))
                break
    return faults


def _wait_for(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run a coroutine to its end from synchronous code, also where an event loop runs already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
