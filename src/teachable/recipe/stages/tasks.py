"""Make the pool and the held-out questions: of procedural families or of a user's file, and of benchmarks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Prompt
from teachable.store.files import write_json, write_records
from teachable.tasks.benchmarks import Benchmark, load_benchmark
from teachable.tasks.build import TaskSet, build_tasks, drop_unprovable
from teachable.tasks.config import BUILT_IN, NO_SOURCE, TasksConfig
from teachable.tasks.heldout import with_benchmarks
from teachable.tasks.load import load_tasks
from teachable.verify import prove_on_gold


def run(ctx: StageContext) -> StageOutcome:
    """Write prompts, heldout, solutions and their counts."""
    config = ctx.config_as(TasksConfig)
    # The benchmarks first: they are decided by their names, and nothing of the pool may overlap them.
    benchmarks = [load_benchmark(task, seed=ctx.seed, limit=config.limit) for task in config.benchmarks]
    tasks, columns = _of_source(ctx, config)
    tasks = with_benchmarks(drop_unprovable(tasks), benchmarks)
    write_records(ctx.folder / "prompts.parquet", tasks.pool)
    write_records(ctx.folder / "heldout.parquet", tasks.heldout)
    write_records(ctx.folder / "solutions.parquet", tasks.solutions)
    stats = _stats(tasks) | {
        "source": config.source,
        "columns": columns,
        "benchmarks": [_described(ctx, benchmark) for benchmark in benchmarks],
    }
    write_json(ctx.folder / "stats.json", stats)
    note = f"{len(tasks.pool)} prompts in the pool, {len(tasks.heldout)} held out, {len(tasks.solutions)} solutions"
    if benchmarks:
        note += "; benchmarks: " + ", ".join(f"{one.name} ({len(one.prompts)})" for one in benchmarks)
    if columns:
        note += "; columns: " + ", ".join(f"{field} <- {column}" for field, column in columns.items())
    return StageOutcome(note=note, prompts=len(tasks.pool) + len(tasks.heldout))


def _of_source(ctx: StageContext, config: TasksConfig) -> tuple[TaskSet, dict[str, str]]:
    """The pool, the held-out questions and the solutions of the source, and which column was read as what."""
    if config.source == NO_SOURCE:
        return TaskSet((), (), (), ()), {}
    if config.source == BUILT_IN:
        return asyncio.run(build_tasks(config, ctx.seed, ctx.on_progress)), {}
    tasks, mapping = asyncio.run(load_tasks(Path(config.source), config))
    return tasks, dict(mapping)


def _described(ctx: StageContext, benchmark: Benchmark) -> dict[str, Any]:
    """What determines the benchmark's score, and on how many of its questions the verifier is not to be trusted.

    Such questions are kept: without them a score would not be the benchmark's.
    """
    faults = prove_on_gold(benchmark.prompts)
    if faults:
        first = faults[0]
        ctx.say(
            f"{benchmark.name}: the verifier is wrong on {len(faults)} of {len(benchmark.prompts)} reference answers, "
            f"as on {first.prompt_id} ({first.tried}: {first.reason}); these questions are kept"
        )
    reasons = Counter(f"{fault.tried}: {fault.reason}" for fault in faults)
    unproved = [{"reason": reason, "count": count} for reason, count in sorted(reasons.items())]
    return {"name": benchmark.name, **benchmark.facts, "n_questions": len(benchmark.prompts), "unproved": unproved}


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
