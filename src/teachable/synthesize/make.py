"""From seeds to verified examples: seeds go through a workflow, its outputs through the gates, and into files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.errors import Stopped
from teachable.records import Engine, OnProgress, Progress, Verifier
from teachable.store.digest import digest
from teachable.synthesize.asking import StepCounts, Tools
from teachable.synthesize.config import SynthesizeConfig
from teachable.synthesize.gates import GATES, Gates
from teachable.synthesize.graph import Workflow, options_of
from teachable.synthesize.items import Made, Seed
from teachable.synthesize.run import OUTPUT, Result, carry
from teachable.synthesize.tables import Writer
from teachable.synthesize.templates import Templates

BATCH = 256  # outputs that the gates look at together


@dataclass(frozen=True)
class Synthesized:
    """What came of it: counts for `stats.json`, and why not all seeds were worked on."""

    stats: Mapping[str, Any]
    stopped: Stopped | None


async def synthesize(
    workflow: Workflow,
    seeds: Iterable[Seed],
    folder: Path,
    *,
    config: SynthesizeConfig,
    engines: Mapping[str, Engine],
    gates: Gates,
    n_seeds: int = 0,
    seed: int = 0,
    verifiers: Mapping[str, Verifier] | None = None,
    text_of: Any = None,
    on_progress: OnProgress | None = None,
    tokens: Callable[[], int] = lambda: 0,
) -> Synthesized:
    """Have the seeds worked on, and write prompts, examples, rejects and the review list into a folder.

    Args:
        workflow: with its steps by rule where `config.rules` says so.
        seeds: in any number; they are read as they are worked on.
        engines: role -> engine; "" is the usual one.
        n_seeds: how many there are, for progress.
        seed: with an item's id it fixes what is asked.
        text_of: a chat as text, for a column of the examples.
        tokens: tokens sampled so far, for progress.

    Returns:
        the counts: the yield table (`steps`, a row a step and a gate), and what the files hold.

    Raises:
        TeachableError: the user's mistake.
    """
    options = options_of(workflow, config.options)
    tools = Tools(engines, Templates(config.templates), config.writing, options, seed, verifiers or {})
    for step in workflow.steps:
        tools.counted(step.name)
    with Writer(folder, text_of) as writer:
        sink = _Sink(writer, gates, n_seeds, on_progress, tokens)
        settings = digest([workflow.name, config.model_dump(mode="json", exclude={"engines"}), seed])[:16]
        stopped = await carry(workflow, seeds, tools=tools, gates=gates, settings=settings, on_result=sink.take)
        sink.flush()
    return Synthesized(_stats(workflow, tools, gates, sink, writer), stopped)


class _Sink:
    """Results in the order of the seeds, through the gates that look at several, into the files."""

    def __init__(
        self,
        writer: Writer,
        gates: Gates,
        n_seeds: int,
        on_progress: OnProgress | None,
        tokens: Callable[[], int],
    ) -> None:
        self._writer, self._gates, self._n_seeds = writer, gates, n_seeds
        self._on_progress, self._tokens = on_progress, tokens
        self._batch: list[Made] = []
        self.n_done = self.n_failed = self.n_accepted = 0
        self.failures: list[str] = []

    def take(self, result: Result) -> None:
        for dropped in result.dropped:
            self._writer.drop(dropped)
        for made, refusal in result.made:
            if refusal is not None:
                self._writer.refuse(made, refusal)
            else:
                self._batch.append(made)
        self.n_done += 1
        self.n_failed += len(result.failed)
        self.failures += result.failed[: max(0, 3 - len(self.failures))]
        if len(self._batch) >= BATCH:
            self.flush()
        if self._on_progress is not None:
            note = f"{self.n_accepted + len(self._batch):,} made"
            total = max(self._n_seeds, self.n_done)
            self._on_progress(Progress(self.n_done, total, "seeds", self._tokens(), note))

    def flush(self) -> None:
        """Have what waits pass the gates."""
        batch, self._batch = self._batch, []
        for made, refusal in zip(batch, self._gates.together(batch), strict=True):
            if refusal is not None:
                self._writer.refuse(made, refusal)
            else:
                self._writer.accept(made)
                self.n_accepted += 1


def _stats(workflow: Workflow, tools: Tools, gates: Gates, sink: _Sink, writer: Writer) -> dict[str, Any]:
    names = [*(step.name for step in workflow.steps), OUTPUT]
    rows = [_row(name, "step", tools.counted(name)) for name in names]
    rows += [_row(name, "gate", gates.counts[name]) for name in GATES]
    return {
        "workflow": workflow.name,
        "n_seeds": sink.n_done,
        "n_outputs": writer.n_prompts,
        "n_examples": writer.n_examples,
        "n_rejects": writer.n_rejects,
        "n_review": writer.n_review,
        "failed_items": sink.n_failed,
        "failures": sink.failures,
        "votes": sum(one.votes for one in tools.counts.values()),
        "unanimous_votes": sum(one.unanimous for one in tools.counts.values()),
        "steps": rows,
        "n_pool": writer.n_prompts,
    }


def _row(name: str, kind: str, counts: StepCounts) -> dict[str, Any]:
    """A row of the yield table."""
    return {
        "step": name,
        "kind": kind,
        "in": counts.entered,
        "out": counts.left,
        "retried": dict(sorted(counts.retried.items())),
        "unusable": dict(sorted(counts.unusable.items())),
        "dropped": dict(counts.dropped.most_common()),
        "failed": counts.failed,
    }
