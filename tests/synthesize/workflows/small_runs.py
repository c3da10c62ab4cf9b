"""A workflow on a few seeds, in this process: engines that are functions, and what came of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.records import Completion, Message, Prompt, Request, from_row
from teachable.store.files import read_rows
from teachable.synthesize.config import GatesConfig, SynthesizeConfig
from teachable.synthesize.gates import Gates
from teachable.synthesize.graph import Workflow
from teachable.synthesize.items import Seed
from teachable.synthesize.make import synthesize

Answer = Callable[[list[Message], int], str]


class Told:
    """An engine that is a function of (messages, number of the sample); a text that ends with "…" is cut off.

    `asked` are its requests; where the function raises, the request fails.
    """

    def __init__(self, answer: Answer, name: str = "told") -> None:
        self.name, self._answer = name, answer
        self.asked: list[Request] = []

    async def sample(self, request: Request) -> list[Completion]:
        self.asked.append(request)
        assert not isinstance(request.prompt, str)
        texts = [self._answer(list(request.prompt), request.first + place) for place in range(request.n)]  # type: ignore[arg-type]
        return [Completion(text, (), None, "length" if text.endswith("…") else "stop") for text in texts]

    def encode(self, prompt: str | list[Message]) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: list[int]) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Ran:
    """The counts of a run, and the rows of its files."""

    stats: Mapping[str, Any]
    prompts: list[Prompt]
    examples: list[dict[str, Any]]
    rejects: list[dict[str, Any]]

    @property
    def dropped(self) -> Counter[tuple[str, str]]:
        """(step, reason) -> how many."""
        return Counter((row["step"], row["reason"]) for row in self.rejects)

    def row(self, step: str) -> Mapping[str, Any]:
        """A row of the yield table."""
        return next(row for row in self.stats["steps"] if row["step"] == step)


def run(
    workflow: Workflow,
    seeds: Sequence[Seed],
    folder: Path,
    engines: Mapping[str, Any] | Answer,
    *,
    retries: int = 0,
    gates: GatesConfig | None = None,
    writing: Mapping[str, Any] | None = None,
    **options: Any,
) -> Ran:
    """Carry seeds through a workflow, and read its files."""
    config = SynthesizeConfig.model_validate(
        {"workflow": workflow.name, "options": options, "writing": {"retries": retries, **(writing or {})}}
    )
    given = {role: Told(one, role or "told") if callable(one) else one for role, one in _roles(engines).items()}
    done = asyncio.run(
        synthesize(workflow, seeds, folder, config=config, engines=given, gates=Gates(gates or GatesConfig()))
    )
    assert done.stopped is None
    names = ("prompts.parquet", "examples.jsonl", "rejects.jsonl")
    prompts, examples, rejects = (read_rows(folder / name) if (folder / name).stat().st_size else [] for name in names)
    return Ran(done.stats, [from_row(Prompt, row) for row in prompts], examples, rejects)


def _roles(engines: Mapping[str, Any] | Answer) -> Mapping[str, Any]:
    return {"": engines} if callable(engines) else engines
