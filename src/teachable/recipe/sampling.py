"""The models of a stage that computes: on how many threads, how many at once, and with the ledger before them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from teachable.engines.config import EngineConfig
from teachable.engines.ledgered import Ledgered
from teachable.engines.local import TransformersEngine
from teachable.recipe.config import Resources
from teachable.recipe.spec import StageContext
from teachable.store.ledger import Ledger
from teachable.train.config import SMALL_PARAMS


@dataclass(frozen=True)
class Place:
    """Where a model computes: what a worker process needs to know, and nothing that a result depends on."""

    engine: EngineConfig
    resources: Resources
    stage: str
    ledger: Path
    n_params: int

    @property
    def on_cpu(self) -> bool:
        """No GPU was asked for, or there is none."""
        device = self.resources.device
        return device == "cpu" or (device == "auto" and not torch.cuda.is_available())

    @property
    def n_at_once(self) -> int:
        """How many models run side by side: only small ones on a CPU do."""
        return self.resources.workers if self.on_cpu and self.n_params < SMALL_PARAMS else 1

    def set_threads(self) -> None:
        """One thread for a small model, which keeps its numbers the same whatever runs beside it; else all of them."""
        torch.set_num_threads(1 if self.n_params < SMALL_PARAMS else self.resources.workers)


def place_of(ctx: StageContext, n_params: int) -> Place:
    """The place of a stage's models."""
    return Place(ctx.engine, ctx.resources, ctx.name, ctx.ledger_path, n_params)


@contextmanager
def asking(place: Place, model: Path) -> Iterator[Ledgered]:
    """An engine over `model` for the block; whatever it answers is in the ledger before the stage sees it."""
    place.set_threads()
    resources = place.resources
    engine = TransformersEngine(
        model, device=resources.device, dtype=place.engine.dtype, batch_rows=resources.batch_rows
    )
    with Ledger(place.ledger) as ledger:
        yield Ledgered(engine, ledger, stage=place.stage)
