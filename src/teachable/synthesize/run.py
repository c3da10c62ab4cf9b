"""Carry seeds through a workflow: all pending steps of all items are asked together, results come out in order.

Each seed is a coroutine that goes from step to step by itself; the engine batches whatever is pending. Results are
handed on in the order of the seeds, whatever was ready first, because a gate that looks at everything accepted so far
must not depend on who answered quickly. No more seeds than `WINDOW` are between their first step and that hand-over,
so memory does not grow with their number.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from teachable.errors import Stopped
from teachable.synthesize.asking import StepContext, Tools, together
from teachable.synthesize.gates import Gates, Refusal
from teachable.synthesize.graph import Ask, Step, Workflow
from teachable.synthesize.items import Drop, Failed, Item, Made, Many, Output, Seed, made_of

WINDOW = 1024
COLLECT_AFTER = 100_000  # new objects
OUTPUT = "output"  # the step that makes outputs of an item


@dataclass(frozen=True)
class Dropped:
    """An item that went no further: where, why, and what it was wrong with."""

    item: Item
    step: str
    reason: str
    detail: str = ""
    text: str = ""
    review: Any = None


@dataclass
class Result:
    """What became of one seed: its outputs, what was dropped on the way, and what an engine failed on.

    `made` are the outputs as records, each with what the gates that look at one alone say of it.
    """

    seed: Seed
    outputs: list[tuple[Item, Output]] = field(default_factory=list)
    made: list[tuple[Made, Refusal | None]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def take(self, part: Result) -> None:
        """Add what became of one of several items that a step made."""
        self.outputs += part.outputs
        self.dropped += part.dropped
        self.failed += part.failed


async def carry(
    workflow: Workflow,
    seeds: Iterable[Seed],
    *,
    tools: Tools,
    gates: Gates,
    settings: str,
    on_result: Callable[[Result], None],
) -> Stopped | None:
    """Have every seed worked on, and each result handed over in the order of the seeds.

    Args:
        gates: asked about each output alone.
        settings: digest of the settings, for the outputs' lineage.

    Returns:
        None, or why not all were worked on; every seed that was finished has been handed over then.

    Raises:
        TeachableError: the user's mistake; what else was in flight is given up.
    """
    return await _Carrying(workflow, tools, gates, settings, on_result).all(seeds)


class _Carrying:
    def __init__(
        self, workflow: Workflow, tools: Tools, gates: Gates, settings: str, on_result: Callable[[Result], None]
    ) -> None:
        self._workflow, self._tools, self._on_result = workflow, tools, on_result
        self._gates, self._settings = gates, settings
        self._done: dict[int, Result] = {}
        self._next = 0
        self._moved = asyncio.Condition()
        self._stopped: Stopped | None = None

    async def all(self, seeds: Iterable[Seed]) -> Stopped | None:
        pending = enumerate(seeds)
        try:
            with _rare_collections():
                async with asyncio.TaskGroup() as group:
                    for _ in range(WINDOW):
                        first = next(pending, None)
                        if first is None:
                            break
                        group.create_task(self._serve(first, pending))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        for index in sorted(self._done):  # behind one that was not finished
            self._on_result(self._done[index])
        return self._stopped

    async def _serve(self, first: tuple[int, Seed], pending: Iterator[tuple[int, Seed]]) -> None:
        """Work on one seed after the other, never too far ahead of the first that is unfinished."""
        one: tuple[int, Seed] | None = first
        while one is not None and self._stopped is None:
            index, seed = one
            try:
                result = await self._seed(seed)
            except Stopped as error:
                self._stopped = self._stopped or error
                async with self._moved:
                    self._moved.notify_all()
                return
            await self._hand_over(index, result)
            one = next(pending, None)

    async def _hand_over(self, index: int, result: Result) -> None:
        async with self._moved:
            self._done[index] = result
            while self._next in self._done:
                self._on_result(self._done.pop(self._next))
                self._next += 1
            self._moved.notify_all()
            # Whoever runs ahead waits, or what is ready would pile up behind one slow seed.
            await self._moved.wait_for(lambda: index < self._next + WINDOW or self._stopped is not None)

    async def _seed(self, seed: Seed) -> Result:
        result = await self._steps(Item(id=seed.id, seed=seed), list(self._workflow.steps), Result(seed))
        for item, output in result.outputs:
            made = made_of(item, output, self._workflow.name, self._settings)
            refusal = await self._gates.alone(made)
            result.made.append((made, refusal))
        return result

    async def _steps(self, item: Item, steps: Sequence[Step], result: Result) -> Result:
        """Take an item through the steps that are left, in waves of those that wait for nobody."""
        while steps:
            ready = [step for step in steps if all(one in item.values for one in self._workflow.after(step))]
            steps = [step for step in steps if step not in ready]
            found = await together([self._step(item, step) for step in ready])
            items = [item]
            for step, outcome in zip(ready, found, strict=True):
                if isinstance(outcome, Dropped):
                    result.dropped.append(outcome)
                    return result
                if isinstance(outcome, str):
                    result.failed.append(outcome)
                    return result
                items = [child for one in items for child in _grown(one, step.name, *outcome)]
            if len(items) != 1 or items[0].id != item.id:
                parts = await together([self._steps(child, steps, Result(result.seed)) for child in items])
                for part in parts:
                    result.take(part)
                return result
            item = items[0]
        self._output(item, result)
        return result

    async def _step(self, item: Item, step: Step) -> tuple[Any, StepContext] | Dropped | str:
        """A step's output with its context, or why there is none."""
        counts = self._tools.counted(step.name)
        counts.entered += 1
        context = StepContext(item, step.name, self._workflow.name, self._tools)
        try:
            value = await self._value(item, step, context)
        except Drop as drop:
            counts.dropped[drop.reason] += 1
            return Dropped(item, step.name, drop.reason, drop.detail, drop.text, drop.review)
        except Failed as failure:
            return str(failure)
        if isinstance(value, Many) and not value.values:
            counts.dropped["made nothing"] += 1
            return Dropped(item, step.name, "made nothing")
        counts.left += len(value.values) if isinstance(value, Many) else 1
        return value, context

    async def _value(self, item: Item, step: Step, context: StepContext) -> Any:
        if step.when is not None and not step.when(item, self._tools.options):
            return None
        if not isinstance(step, Ask):
            return await step.function(item, context)
        values = dict(step.values(item, self._tools.options)) if step.values is not None else {}
        value = await context.ask(step.template or step.name, step.output, {**item.values, **values}, role=step.role)
        return Many(tuple(getattr(value, step.each))) if step.each else value

    def _output(self, item: Item, result: Result) -> None:
        counts = self._tools.counted(OUTPUT)
        counts.entered += 1
        try:
            made = self._workflow.output(item, self._tools.options)
        except Drop as drop:
            counts.dropped[drop.reason] += 1
            result.dropped.append(Dropped(item, OUTPUT, drop.reason, drop.detail, drop.text, drop.review))
            return
        outputs = [made] if isinstance(made, Output) else list(made)
        counts.left += len(outputs)
        result.outputs += [(item, output) for output in outputs]


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for garbage more rarely in the block: each look walks through all that is in flight."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], COLLECT_AFTER), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _grown(item: Item, step: str, value: Any, context: StepContext) -> list[Item]:
    """The item with a step's output, or the several items that the step has made of it."""
    traces, scores = tuple(context.traces), context.scores
    if not isinstance(value, Many):
        return [item.got(step, value, traces, scores)]
    return [item.child(step, place).got(step, one, traces, scores) for place, one in enumerate(value.values)]
