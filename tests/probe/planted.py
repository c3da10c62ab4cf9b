"""Prompts with planted pass rates, an engine that has them, and a verifier that reads its answers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

import numpy as np

from teachable.errors import EXIT_LIMIT_REACHED, Stopped
from teachable.probe import ProbeConfig, ProbeResult, probe
from teachable.records import Completion, Engine, Message, Prompt, Request, Verdict


def prompt(name: str, answer: str | None = "right", domain: str = "d", level: int = 0) -> Prompt:
    return Prompt(name, domain, (Message(role="user", content=name),), answer, level=level)


def mixture(n: int, seed: int) -> dict[str, float]:
    """Pass rates by name: 45% nearly never right, 30% in between, 25% nearly always."""
    draw = np.random.default_rng(seed)
    kind = draw.choice(3, n, p=[0.45, 0.30, 0.25])
    a, b = np.array([0.4, 1.5, 25.0])[kind], np.array([25.0, 1.5, 0.4])[kind]
    return {f"q{i}": float(rate) for i, rate in enumerate(draw.beta(a, b))}


class Planted:
    """Sample i of a request is right with the pass rate of its prompt, and depends on the request alone.

    Args:
        rates: pass rates by the text of the prompt; -1 is a prompt on which every request fails.
        shuffle: answers arrive in an order that this number decides; None for the order in which they were asked.
        stop_after: completions after which the engine raises `Stopped`.
    """

    name = "planted"

    def __init__(
        self, rates: Mapping[str, float], *, shuffle: int | None = None, stop_after: int | None = None
    ) -> None:
        self.n_given = 0
        self.n_of: dict[str, int] = dict.fromkeys(rates, 0)
        self._rates = rates
        self._delays = None if shuffle is None else random.Random(shuffle)
        self._stop_after = stop_after
        self._n_begun = 0

    async def sample(self, request: Request) -> list[Completion]:
        last = request.prompt[-1]
        assert isinstance(last, dict)
        text = last["content"]
        self._n_begun += request.n
        if self._stop_after is not None and self._n_begun > self._stop_after:
            raise Stopped("the limit is reached", exit_code=EXIT_LIMIT_REACHED)
        if self._rates[text] < 0:
            raise RuntimeError("told to fail")
        if self._delays is not None:
            await asyncio.sleep(0.002 * self._delays.random())
        self.n_given += request.n
        self.n_of[text] += request.n
        return [self._one(text, request.seed, i) for i in range(request.first, request.first + request.n)]

    def _one(self, text: str, seed: int, sample: int) -> Completion:
        right = random.Random(f"{text} {seed} {sample}").random() < self._rates[text]
        return Completion("right" if right else "wrong", (1, 2), None, "stop")

    def encode(self, prompt: str | list[Message]) -> list[int]:
        return [0]

    def decode(self, token_ids: list[int]) -> str:
        return ""


class Said:
    """Right if the attempt says so; undecided for a prompt whose name is among `blind`."""

    name = "said"

    def __init__(self, blind: Sequence[str] = ()) -> None:
        self._blind = set(blind)

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        if prompt.id in self._blind:
            return Verdict(None, None, "nobody can tell")
        return Verdict(attempt == "right", attempt, "it says so")


def run(
    prompts: Sequence[Prompt],
    engine: Engine,
    config: ProbeConfig | None = None,
    seed: int = 0,
    blind: Sequence[str] = (),
) -> ProbeResult:
    return asyncio.run(probe(prompts, engine=engine, verifier=Said(blind), config=config, seed=seed))


def zone_of(rate: float) -> str:
    return "beyond" if rate < 0.1 else "mastered" if rate > 0.9 else "teachable"
