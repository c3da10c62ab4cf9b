"""The engine of a stage that samples: the recipe's engine over one model, with the run's ledger before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils import logging

from teachable.engines.ledgered import Ledgered
from teachable.engines.local import TransformersEngine
from teachable.recipe.spec import StageContext
from teachable.store.ledger import Ledger


@contextmanager
def asking(ctx: StageContext, model: Path) -> Iterator[Ledgered]:
    """An engine over `model` for the block; whatever it answers is in the ledger before the stage sees it."""
    logging.disable_progress_bar()  # one bar a run is enough, and it is the command line's
    engine = TransformersEngine(
        model, device=ctx.resources.device, dtype=ctx.engine.dtype, batch_rows=ctx.resources.batch_rows
    )
    with Ledger(ctx.ledger_path) as ledger:
        yield Ledgered(engine, ledger, stage=ctx.name)
