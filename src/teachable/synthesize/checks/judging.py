"""Judges of a step: asked for their opinion through the engine of their role, whose failure is no opinion.

A judge of `verify.judging` takes a failed request for a vote that was not cast. Here it leaves the item undecided, so
that asking again may help.
"""

from __future__ import annotations

from typing import Any

from teachable.records import Completion, Engine, Message, Prompt, Request, Verdict
from teachable.synthesize.asking import StepContext
from teachable.synthesize.items import Failed, Trace
from teachable.synthesize.templates import Rendered
from teachable.verify import Judge
from teachable.verify.judging import Duel, Graded


class Watched:
    """An engine that remembers that it failed."""

    def __init__(self, inner: Engine) -> None:
        self._inner, self.name = inner, inner.name
        self.failure: Exception | None = None

    async def sample(self, request: Request) -> list[Completion]:
        """What the engine brings; its failure is kept, and raised."""
        try:
            return await self._inner.sample(request)
        except Exception as error:
            self.failure = error
            raise

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """As the engine does."""
        return self._inner.encode(prompt)

    def decode(self, token_ids: list[int]) -> str:
        """As the engine does."""
        return self._inner.decode(token_ids)


Kind = type[Judge] | type[Graded] | type[Duel]
PANELS: dict[str, Kind] = {kind.name: kind for kind in (Judge, Graded, Duel)}


class Bench:
    """The judges of one step, on the engine of its role.

    Args:
        votes: replies to each question.
        rubric: how to judge, as text; "" for the packaged one.
    """

    def __init__(self, ctx: StepContext, votes: int, *, rubric: str = "", role: str = "judge") -> None:
        self._ctx = ctx
        self._engine = Watched(ctx.engine(role))
        writing = ctx.tools.writing
        self._settings: dict[str, Any] = {
            "engine": self._engine,
            "rubric": rubric,
            "votes": votes,
            "max_tokens": writing.max_tokens,
            "temperature": writing.temperature,
            "seed": ctx.tools.seed,
        }
        self._n_votes = votes

    def panel(self, name: str = Judge.name) -> Judge | Graded | Duel:
        """The verifier of that name that asks the engine."""
        return PANELS[name](**self._settings)

    @property
    def judge(self) -> Judge:
        """The judge."""
        return Judge(**self._settings)

    def asked(self, n: int, rubric: Rendered | None = None) -> None:
        """Note that n questions were put, and which template the rubric is of.

        Raises:
            Failed: the engine failed on one of them.
        """
        if self._engine.failure is not None:
            self._ctx.tools.counted(self._ctx.step).failed += 1
            error = self._engine.failure
            raise Failed(f"{self._ctx.step}: the engine failed ({type(error).__name__}: {error})")
        name, version = (rubric.template, rubric.version) if rubric is not None else ("", "")
        self._ctx.traces.append(Trace(self._ctx.step, name, version, self._engine.name, n * self._n_votes))


async def judged(ctx: StepContext, attempt: str, prompt: Prompt, *, rubric: str, votes: int) -> Verdict:
    """What the engine in the role `judge` says of an attempt, by the majority of its votes.

    Args:
        rubric: how to judge, as text.
        votes: replies; at temperature 0, where all would be the same, one.

    Raises:
        Failed: the engine failed.
        TeachableError: the engine's own.
    """
    bench = Bench(ctx, votes if ctx.tools.writing.temperature > 0 else 1, rubric=rubric)
    verdict = await bench.judge.verify(attempt, prompt)
    bench.asked(1)
    return verdict
