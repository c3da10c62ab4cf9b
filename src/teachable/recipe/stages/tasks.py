"""Make the pool and the held-out questions, of procedural families or of a user's file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Prompt
from teachable.store.files import write_json, write_records
from teachable.tasks.build import TaskSet, build_tasks, drop_unprovable
from teachable.tasks.config import BUILT_IN, TasksConfig
from teachable.tasks.load import load_tasks


def run(ctx: StageContext) -> StageOutcome:
    """Write prompts, heldout, solutions and their counts."""
    config = ctx.config_as(TasksConfig)
    columns: dict[str, str] = {}
    if config.source == BUILT_IN:
        tasks = asyncio.run(build_tasks(config, ctx.seed, ctx.on_progress))
    else:
        tasks, mapping = asyncio.run(load_tasks(Path(config.source), config))
        columns = dict(mapping)
    tasks = drop_unprovable(tasks)
    write_records(ctx.folder / "prompts.parquet", tasks.pool)
    write_records(ctx.folder / "heldout.parquet", tasks.heldout)
    write_records(ctx.folder / "solutions.parquet", tasks.solutions)
    write_json(ctx.folder / "stats.json", {**_stats(tasks), "source": config.source, "columns": columns})
    note = f"{len(tasks.pool)} prompts in the pool, {len(tasks.heldout)} held out, {len(tasks.solutions)} solutions"
    if columns:
        note += "; columns: " + ", ".join(f"{field} <- {column}" for field, column in columns.items())
    return StageOutcome(note=note, prompts=len(tasks.pool) + len(tasks.heldout))


def _stats(tasks: TaskSet) -> dict[str, Any]:
    sides = {"pool": tasks.pool, "heldout": tasks.heldout}
    domains = sorted({prompt.domain for side in sides.values() for prompt in side})
    return {
        "n_pool": len(tasks.pool),
        "n_heldout": len(tasks.heldout),
        "n_solutions": len(tasks.solutions),
        "domains": {
            domain: {
                **{name: sum(prompt.domain == domain for prompt in side) for name, side in sides.items()},
                "levels": _levels([p for side in sides.values() for p in side if p.domain == domain]),
            }
            for domain in domains
        },
        "rejected": [{"reason": reason, "count": count} for reason, count in tasks.rejected],
    }


def _levels(prompts: Sequence[Prompt]) -> dict[str, int]:
    levels = [prompt.level for prompt in prompts]
    return {str(level): levels.count(level) for level in sorted(set(levels))}
