"""The scheme that pivotal token search is measured against: bisection with a fixed number of samples a prefix.

As the Phi-4 report tells it (section 3.3) and its public implementation does it: a solution's success probability is
estimated at its beginning; where the estimates at the two ends of a stretch differ by the gap or more, the stretch is
halved at its middle token and both halves are looked at; a stretch of one token that still differs is pivotal. Each
estimate is the share of right ones among `n` completions of that prefix, drawn for it alone. No correction, no second
look: the first difference that is large enough is believed.

Two things are given to it for nothing: an estimate that was made is used by every stretch that ends there, and the
end of a finished solution is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from teachable import verify
from teachable.records import Engine, Prompt, Request, Verifier
from teachable.rollouts import request_seed


@dataclass(frozen=True)
class Found:
    """A token that bisection takes for pivotal, and the estimates that made it."""

    position: int
    p_before: float
    p_after: float

    @property
    def delta(self) -> float:
        return self.p_after - self.p_before


@dataclass(frozen=True)
class Bisected:
    """What one solution's bisection found, in order, and what it sampled."""

    found: tuple[Found, ...]
    completions: int
    tokens: int


class Bisection:
    """One solution under bisection.

    Args:
        engine, verifier: who continues prefixes, and who decides.
        prompt: the question; `prompt_ids` are its tokens.
        solution: the solution's tokens.
        correct: whether it is right.
        n: completions a prefix.
        gap: least difference.
        max_tokens: longest solution, in tokens.
        seed: of the sampling.
    """

    def __init__(
        self,
        engine: Engine,
        verifier: Verifier,
        prompt: Prompt,
        prompt_ids: Sequence[int],
        solution: Sequence[int],
        *,
        correct: bool,
        n: int,
        gap: float,
        max_tokens: int,
        seed: int,
    ) -> None:
        self._engine = engine
        self._verifier = verifier
        self._prompt = prompt
        self._prompt_ids = tuple(prompt_ids)
        self._solution = tuple(solution)
        self._n = n
        self._gap = gap
        self._max_tokens = max_tokens
        self._seed = seed
        self._known = {len(self._solution): float(correct)}
        self.completions = 0
        self.tokens = 0

    async def run(self) -> Bisected:
        """Bisect the whole solution."""
        found: list[Found] = []
        await self._search(0, len(self._solution), found)
        return Bisected(tuple(found), self.completions, self.tokens)

    async def _search(self, first: int, last: int, found: list[Found]) -> None:
        """Look at the stretch of tokens first to last - 1."""
        before, after = await self._estimate(first), await self._estimate(last)
        if abs(after - before) < self._gap - 1e-9:
            return
        if last - first == 1:
            found.append(Found(first, before, after))
            return
        middle = (first + last) // 2
        await self._search(first, middle, found)
        await self._search(middle, last, found)

    async def _estimate(self, position: int) -> float:
        """The share of right ones among n completions of the prefix of so many tokens; "could not tell" is left out."""
        if position not in self._known:
            prefix = self._solution[:position]
            request = Request(
                (*self._prompt_ids, *prefix),
                n=self._n,
                max_tokens=self._max_tokens - position,
                seed=request_seed(self._seed, f"{self._prompt.id} {position}"),
            )
            completions = await self._engine.sample(request)
            self.completions += len(completions)
            self.tokens += sum(one.n_tokens for one in completions)
            texts = [self._engine.decode([*prefix, *one.token_ids]) for one in completions]
            verdicts = await asyncio.gather(*(verify.verdict_of(self._verifier, one, self._prompt) for one in texts))
            decided = [one.correct for one in verdicts if one.correct is not None]
            self._known[position] = sum(decided) / len(decided) if decided else 0.0
        return self._known[position]
