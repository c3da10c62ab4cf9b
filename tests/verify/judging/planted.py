"""Judges whose truth is planted: they read the message that a real judge would get, and err as often as they are told.

What a judge is shown is taken out of its message by the seals alone, so a fence that a candidate could break would
break here too.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Sequence

from teachable.engines.scripted import ScriptedEngine
from teachable.records import Completion, Message, Prompt, Request
from teachable.verify.judging import Comparison, Judge

_BEGIN = re.compile(r"^----- ([0-9a-f]{12}) begin (.+) -----$", re.MULTILINE)

Script = Callable[[str, int, random.Random], str]


def question(text: str = "What is 2 + 3?", answer: str | None = "5", prompt_id: str = "p") -> Prompt:
    return Prompt(prompt_id, "sums", (Message(role="user", content=text),), answer, verifier="judge")


def seal_in(message: str) -> str:
    """The seal of a message to the judge."""
    found = _BEGIN.search(message)
    assert found is not None
    return found[1]


def shown_in(message: str) -> dict[str, str]:
    """The fenced texts of a message by their labels; fails unless each fence stands exactly once."""
    seal = seal_in(message)
    parts = {}
    for label in [found[2] for found in _BEGIN.finditer(message) if found[1] == seal]:
        head, begin, rest = message.partition(f"----- {seal} begin {label} -----\n")
        text, end, tail = rest.partition(f"\n----- {seal} end {label} -----")
        assert begin and end and begin not in head + rest and end not in tail
        parts[label] = text
    assert message.count(f"----- {seal} ") == 2 * len(parts)
    return parts


def sealed(message: str, **fields: object) -> str:
    """A verdict as the judge is asked to give it."""
    return json.dumps({"seal": seal_in(message), "reason": "because", **fields})


def votes_of(*verdicts: object) -> Script:
    """A judge whose vote number i is `verdicts[i]`; text is the whole reply, anything else is sealed as `correct`."""

    def reply(message: str, index: int, luck: random.Random) -> str:
        verdict = verdicts[index]
        return verdict if isinstance(verdict, str) else "I looked at it.\n" + sealed(message, correct=verdict)

    return reply


class Recording(ScriptedEngine):
    """A scripted engine that keeps its requests."""

    def __init__(self, script: Script, **faults: float) -> None:
        super().__init__(script, **faults)
        self.requests: list[Request] = []

    @property
    def messages(self) -> list[str]:
        """The text of each request, in order."""
        return [self._text_of(request.prompt) for request in self.requests]

    async def sample(self, request: Request) -> list[Completion]:
        self.requests.append(request)
        return await super().sample(request)


class Fixed:
    """An engine that gives the same completions, or raises the same error, whatever it is asked."""

    name = "fixed"

    def __init__(self, completions: Sequence[Completion] = (), error: BaseException | None = None) -> None:
        self._completions, self._error = list(completions), error

    async def sample(self, request: Request) -> list[Completion]:
        if self._error is not None:
            raise self._error
        return self._completions

    def encode(self, prompt: str | list[Message]) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: list[int]) -> str:
        raise NotImplementedError


def points(sensitivity: float, specificity: float) -> Script:
    """A pointwise judge of candidates that say RIGHT or WRONG, with those rates of getting each right."""

    def reply(message: str, index: int, luck: random.Random) -> str:
        right = "RIGHT" in shown_in(message)["candidate's answer"]
        hit = luck.random() < (sensitivity if right else specificity)
        return sealed(message, correct=right if hit else not right)

    return reply


def prefers(accuracy: float, bias: float) -> Script:
    """A pairwise judge: with probability `bias` it names the first place, else the RIGHT one with `accuracy`."""

    def reply(message: str, index: int, luck: random.Random) -> str:
        if luck.random() < bias:
            return sealed(message, better="A")
        better, other = ("A", "B") if "RIGHT" in shown_in(message)["answer A"] else ("B", "A")
        return sealed(message, better=better if luck.random() < accuracy else other)

    return reply


def names(forward: Sequence[object], backward: Sequence[object], first: str = "one") -> Script:
    """A pairwise judge with these replies an order; text beyond A, B and tie is the whole reply."""

    def reply(message: str, index: int, luck: random.Random) -> str:
        said = (forward if shown_in(message)["answer A"] == first else backward)[index]
        return said if isinstance(said, str) and len(said) > 3 else sealed(message, better=said)

    return reply


async def _compare_all(judge: Judge, pairs: Sequence[tuple[str, str, Prompt]]) -> list[Comparison]:
    return list(await asyncio.gather(*(judge.compare(*pair) for pair in pairs)))


def compare_all(judge: Judge, pairs: Sequence[tuple[str, str, Prompt]]) -> list[Comparison]:
    """Every comparison, all asked at once."""
    return asyncio.run(_compare_all(judge, pairs))


def verify_all(judge: Judge, attempts: Sequence[tuple[str, Prompt]]) -> list[bool | None]:
    """What the judge says of every attempt, all asked at once."""

    async def work() -> list[bool | None]:
        verdicts = await asyncio.gather(*(judge.verify(*attempt) for attempt in attempts))
        return [verdict.correct for verdict in verdicts]

    return asyncio.run(work())
