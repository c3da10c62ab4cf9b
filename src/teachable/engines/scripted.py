"""The engine `scripted`: answers from a function or a table, for tests and for benchmarks with a planted truth.

A table may come from a JSON file (`scripted_from_file`). The engine keeps every promise of the `Engine` protocol
(sample i of a request depends on the request alone, `stop` and `max_tokens` hold, temperature 0 gives one answer) and
can be told to misbehave. Its tokens are UTF-8 bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from teachable.errors import TeachableError
from teachable.records import Completion, Message, PromptInput, Request
from teachable.store.digest import file_digest
from teachable.store.files import read_json

_MEND = 'Write a JSON object such as {"2+2?": "4", "3*3?": ["9", "6"], "7*8?": {"56": 0.8, "54": 0.2}}'
_KINDS = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false", type(None): "null"}

Answer: TypeAlias = Callable[[str, int, random.Random], str]
Table: TypeAlias = Mapping[str, str | Sequence[str] | Mapping[str, float]]


class ScriptedFailure(RuntimeError):
    """The failure that a scripted engine was told to have."""


class ScriptedEngine:
    """An engine that answers by script.

    Args:
        answer: a function (text of the last user message, sample index, generator) -> response, or a table
            from that text to one response or to several, which are drawn from at random: a sequence evenly, a
            mapping from responses to weights by those. A text that a table lacks gets an empty response.
        name: the engine's name in attempts.
        frac_failing: share of requests that raise `ScriptedFailure`, in [0, 1].
        frac_stalling: share of requests that first wait for `stall_s` seconds, in [0, 1].
        frac_truncated: share of samples cut in the middle with finish reason "length", in [0, 1].
        frac_garbage: share of samples that are random characters, in [0, 1].
        stall_s: how long a stalling request waits, in seconds.
    """

    def __init__(
        self,
        answer: Answer | Table,
        *,
        name: str = "scripted",
        frac_failing: float = 0.0,
        frac_stalling: float = 0.0,
        frac_truncated: float = 0.0,
        frac_garbage: float = 0.0,
        stall_s: float = 0.01,
    ) -> None:
        self.name = name
        self._answer = answer
        self._frac_failing = frac_failing
        self._frac_stalling = frac_stalling
        self._frac_truncated = frac_truncated
        self._frac_garbage = frac_garbage
        self._stall_s = stall_s

    async def sample(self, request: Request) -> list[Completion]:
        """The scripted samples of a request, of which the first one asked for carries the prompt's tokens.

        Raises:
            ScriptedFailure: this request is among those that were told to fail.
        """
        text = self._text_of(request.prompt)
        luck = _generator(request.seed, text)
        if luck.random() < self._frac_failing:
            raise ScriptedFailure("told to fail")
        if luck.random() < self._frac_stalling:
            await asyncio.sleep(self._stall_s)
        await asyncio.sleep(0)  # a real engine gives others their turn, and callers must live with that
        samples = [self._one(text, index, request) for index in range(request.first, request.first + request.n)]
        n_prompt_tokens = self._n_prompt_tokens(request.prompt)
        samples[:1] = [replace(one, n_prompt_tokens=n_prompt_tokens) for one in samples[:1]]
        return samples

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """The prompt's UTF-8 bytes; messages become "role: content" lines and an opening for the answer."""
        if isinstance(prompt, str):
            return list(prompt.encode())
        lines = [f"{message['role']}: {message['content']}\n" for message in prompt]
        return list(("".join(lines) + "assistant: ").encode())

    def decode(self, token_ids: list[int]) -> str:
        """The text of UTF-8 bytes; bytes that are no text become replacement characters."""
        return bytes(token_ids).decode(errors="replace")

    def _text_of(self, prompt: PromptInput) -> str:
        if isinstance(prompt, str):
            return prompt
        messages = [part for part in prompt if not isinstance(part, int)]
        if not messages:
            return self.decode([part for part in prompt if isinstance(part, int)])
        return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")

    def _n_prompt_tokens(self, prompt: PromptInput) -> int:
        if isinstance(prompt, str):
            return len(self.encode(prompt))
        messages = [part for part in prompt if not isinstance(part, int)]
        return len(self.encode(messages)) if messages else len(prompt)

    def _one(self, text: str, index: int, request: Request) -> Completion:
        greedy = request.temperature == 0
        at = 0 if greedy else index
        generator = _generator("greedy" if greedy else request.seed, text, at)
        response = self._respond(text, at, generator)
        finish_reason = "stop"
        if generator.random() < self._frac_garbage:
            response = "".join(chr(generator.randrange(0x20, 0x2FF)) for _ in range(24))
        for mark in request.stop:
            response = response.split(mark, 1)[0]
        if generator.random() < self._frac_truncated:
            response, finish_reason = response[: len(response) // 2], "length"
        token_ids = list(response.encode())
        if len(token_ids) > request.max_tokens:
            token_ids, finish_reason = token_ids[: request.max_tokens], "length"
            response = self.decode(token_ids)
        return Completion(response, tuple(token_ids), None, finish_reason)

    def _respond(self, text: str, index: int, generator: random.Random) -> str:
        if callable(self._answer):
            return self._answer(text, index, generator)
        found = self._answer.get(text, "")
        if isinstance(found, str):
            return found
        if isinstance(found, Mapping):
            return generator.choices(list(found), list(found.values()))[0]
        return generator.choice(list(found)) if found else ""


def scripted_from_file(path: Path) -> ScriptedEngine:
    """An engine that answers from a JSON file, and whose name has the file's digest.

    The file holds one object, from the text of a prompt to its answer, to a list of answers that are equally likely,
    or to an object from answers to weights: `{"2+2?": "4", "3*3?": ["9", "6"], "7*8?": {"56": 0.8, "54": 0.2}}`.

    Raises:
        TeachableError: the file is missing, is no JSON, or has another shape; with the prompt that is at fault.
    """
    path = Path(path)
    if not path.is_file():
        raise TeachableError("this table of answers is missing", where=str(path), mend=_MEND)
    table = read_json(path)
    if not isinstance(table, dict):
        raise TeachableError(
            f"a table of answers is a JSON object, not {_KINDS[type(table)]}", where=str(path), mend=_MEND
        )
    for prompt, answers in table.items():
        fault = _fault_of(answers)
        if fault:
            shown = prompt if len(prompt) <= 60 else f"{prompt[:57]}..."
            raise TeachableError(f"the answer to {shown!r} {fault}", where=str(path), mend=_MEND)
    return ScriptedEngine(table, name=f"scripted:{file_digest(path)[:16]}")


def _fault_of(answers: object) -> str:
    """What is wrong with one entry of a table; empty if nothing is."""
    if isinstance(answers, str):
        return ""
    if isinstance(answers, list):
        if not answers:
            return "is an empty list"
        return "" if all(isinstance(answer, str) for answer in answers) else "is a list of more than text"
    if isinstance(answers, dict):
        weights = [weight for weight in answers.values() if type(weight) in (int, float)]
        if len(weights) < len(answers) or not all(0 <= weight < math.inf for weight in weights):
            return "has a weight that is no number from 0 up"
        return "" if sum(weights) > 0 else "has no weight above 0"
    return f"is {_KINDS[type(answers)]}"


def _generator(*parts: object) -> random.Random:
    """A generator seeded by its parts, the same in every process (`hash` of a string is not)."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode(errors="surrogatepass")).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))
