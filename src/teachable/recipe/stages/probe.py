"""Ask a model every prompt of the pool, as often as that tells something, and estimate how often it is right."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from teachable.engines.ledgered import Ledgered
from teachable.probe import ProbeConfig, ProbeResult, always_the_same, probe, probe_stats
from teachable.recipe.sampling import asking, finish, place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import ZONES, Progress, Prompt
from teachable.store.files import read_json, read_records, write_json, write_records


def run(ctx: StageContext) -> StageOutcome:
    """Write attempts, estimates, the teacher's answers if there is one, and their counts.

    Raises:
        Stopped: a limit was reached, or the user interrupted. The estimates so far are written then.
    """
    config = ctx.config_as(ProbeConfig)
    prompts = read_records(ctx.inputs["prompts"] / "prompts.parquet", Prompt)
    base: dict[str, Any] = read_json(ctx.inputs["base"] / "stats.json") if "base" in ctx.inputs else {}
    begun = time.perf_counter()
    place = place_of(ctx, int(base.get("n_params", 0)))
    limits = place.limits()
    with ExitStack() as stack:
        engine = stack.enter_context(asking(place, str(base.get("path", "")), limits=limits))
        engines = [engine]
        if config.teacher is not None:
            engines.append(stack.enter_context(asking(place, engine=config.teacher, limits=limits)))

        def told(progress: Progress) -> None:
            dollars = sum(one.spent.cost_usd for one in engines)
            note = f"{progress.note}, ${dollars:,.2f}" if dollars else progress.note
            ctx.on_progress(replace(progress, note=note.lstrip(", ")))

        found = finish(
            lambda: probe(
                prompts,
                engine=engine,
                teacher=engines[1] if len(engines) > 1 else None,
                config=config,
                seed=ctx.seed,
                on_progress=told,
            ),
            *engines,
            limits=limits,
            on_interrupt=ctx.on_interrupt,
        )
    return _write(ctx, found, engines, time.perf_counter() - begun)


def _write(ctx: StageContext, found: ProbeResult, engines: list[Ledgered], seconds: float) -> StageOutcome:
    """Write what was found, also where the probe was stopped, and raise what stopped it."""
    spent = [engine.spent for engine in engines]
    sampled = sum(one.tokens_out - one.reused_tokens_out for one in spent)
    cost_usd = sum(one.cost_usd for one in spent)
    write_records(ctx.folder / "attempts.parquet", found.attempts)
    write_records(ctx.folder / "estimates.parquet", found.estimates)
    if found.teacher_attempts:
        write_records(ctx.folder / "teacher.parquet", found.teacher_attempts)
    stats = probe_stats(found.estimates) | {
        "complete": found.stopped is None,
        "completions": found.completions,
        "failed_requests": sum(one.failed for one in spent),
        "tokens": found.tokens,
        "cost_usd": round(cost_usd, 6),
        "priors": list(found.priors),
        "seconds": round(seconds, 3),
        "tokens_per_s": round(sampled / seconds, 1),
    }
    write_json(ctx.folder / "stats.json", stats)
    if found.stopped is not None:
        raise found.stopped
    note = ", ".join(f"{stats['zones'][zone]} {zone}" for zone in ZONES)
    note += f"; {stats['samples_per_prompt']:g} samples a prompt"
    if ctx.config_as(ProbeConfig).temperature > 0 and always_the_same(found.attempts):
        note += "; EVERY PROMPT GOT ONE ANSWER EACH TIME: the engine seems to decode greedily, so zones mean nothing"
    return StageOutcome(
        note=note,
        prompts=len(found.estimates),
        completions=found.completions,
        tokens_in=sum(one.tokens_in for one in spent),
        tokens_out=sum(one.tokens_out for one in spent),
        tokens_spent=sampled,
        cost_usd=cost_usd,
    )
