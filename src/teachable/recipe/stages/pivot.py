"""Search the model's own solutions for pivotal tokens, and make preference pairs from what is found."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from teachable.engines.ledgered import Ledgered
from teachable.pivot import PivotConfig, SearchResult, search
from teachable.pivot.preferences import PivotalPairs, preferences
from teachable.probe.keys import Key, with_key
from teachable.recipe.probed import ATTEMPTS, ESTIMATES, probing_of, sampling_of
from teachable.recipe.sampling import asking, finish, place_of
from teachable.recipe.spec import StageContext, StageOutcome
from teachable.records import Attempt, Estimate, Progress, Prompt
from teachable.store.files import plain, read_json, read_records, write_json, write_rows

_IDS = pa.list_(pa.int32())
_FLOATS = pa.list_(pa.float64())
_ALTERNATIVE = pa.struct(
    [
        ("token_id", pa.int32()),
        ("token", pa.string()),
        ("probability", pa.float64()),
        ("n_samples", pa.int64()),
        ("successes", pa.int64()),
    ]
)
SCHEMAS = {
    "pivots": pa.schema(
        [
            ("prompt_id", pa.string()),
            ("position", pa.int64()),
            ("token_id", pa.int32()),
            ("token", pa.string()),
            *((name, pa.float64()) for name in ("p_before", "p_after", "delta", "delta_low", "delta_high")),
            ("n_samples", pa.int64()),
            ("solution_token_ids", _IDS),
            ("probability", pa.float64()),
            ("alternatives", pa.list_(_ALTERNATIVE)),
        ]
    ),
    "solutions": pa.schema(
        [
            ("prompt_id", pa.string()),
            ("prompt_token_ids", _IDS),
            ("token_ids", _IDS),
            ("tokens", pa.list_(pa.string())),
            ("text", pa.string()),
            ("correct", pa.bool_()),
            *((name, _FLOATS) for name in ("probabilities", "values", "value_sds")),
            ("n_samples", pa.int64()),
            ("note", pa.string()),
        ]
    ),
    "gates": pa.schema(
        [
            *((name, pa.string()) for name in ("prompt_id", "outcome", "reason")),
            ("n", pa.int64()),
            ("successes", pa.int64()),
            ("p_success", pa.float64()),
        ]
    ),
    "preferences": pa.schema(
        [
            *((name, pa.string()) for name in ("prompt", "chosen", "rejected")),
            *((name, _IDS) for name in ("prompt_token_ids", "chosen_token_ids", "rejected_token_ids")),
            ("prompt_id", pa.string()),
            ("kind", pa.string()),
            ("delta", pa.float64()),
            ("position", pa.int64()),
            *((f"{side}_probability", pa.float64()) for side in ("chosen", "rejected")),
            *((f"{side}_p_success", pa.float64()) for side in ("chosen", "rejected")),
            ("n_samples", pa.int64()),
        ]
    ),
}


@dataclass(frozen=True)
class _Known:
    """The prompts as the verifier is to see them, and what probing knows of them; None where there was no probing."""

    prompts: Sequence[Prompt]
    estimates: dict[str, Estimate] | None = None
    attempts: Sequence[Attempt] = ()


def run(ctx: StageContext) -> StageOutcome:
    """Write pivotal tokens, searched solutions, what became of each prompt, preference pairs, and their counts.

    Raises:
        Stopped: a limit was reached, or the user interrupted. What was found until then is written.
        TeachableError: the engine gives no token ids or no log-probabilities, or what else the search says.
    """
    config = ctx.config_as(PivotConfig)
    base: dict[str, Any] = read_json(ctx.inputs["base"] / "stats.json") if "base" in ctx.inputs else {}
    begun = time.perf_counter()
    place = place_of(ctx, int(base.get("n_params", 0)))
    limits = place.limits()
    # A path that this run made is relative to its folder; joining leaves an absolute one as it is.
    with asking(place, ctx.run / base["path"] if base else "", limits=limits) as engine:
        known = _known(ctx, config, engine.name)

        def told(progress: Progress) -> None:
            dollars = engine.spent.cost_usd
            note = f"{progress.note}, ${dollars:,.2f}" if dollars else progress.note
            ctx.on_progress(replace(progress, note=note.lstrip(", ")))

        found = finish(
            lambda: search(
                known.prompts,
                engine=engine,
                config=config,
                estimates=known.estimates,
                attempts=known.attempts,
                seed=ctx.seed,
                on_progress=told,
                say=ctx.say,
            ),
            engine,
            limits=limits,
            on_interrupt=ctx.on_interrupt,
        )
        pairs = preferences(found.pivots, found.solutions, decode=engine.decode, config=config)
    return _write(ctx, found, pairs, engine, time.perf_counter() - begun)


def _known(ctx: StageContext, config: PivotConfig, engine: str) -> _Known:
    """What probing knows of the prompts; its attempts only where they are samples such as this stage draws."""
    prompts = read_records(ctx.inputs["prompts"] / "prompts.parquet", Prompt)
    if "estimates" not in ctx.inputs:
        return _Known(prompts)
    folder = ctx.inputs["estimates"]
    estimates = {one.prompt_id: one for one in read_records(folder / ESTIMATES, Estimate)}
    n_without = sum(prompt.id not in estimates for prompt in prompts)
    if n_without:
        ctx.say(f"{n_without:,} of {len(prompts):,} prompts have no estimate and are sampled to get one")
    keys = {one.prompt_id: Key(one.key, one.key_source) for one in estimates.values() if one.key is not None}
    prompts = [with_key(prompt, keys[prompt.id]) if prompt.id in keys else prompt for prompt in prompts]
    if not (folder / ATTEMPTS).is_file():
        return _Known(prompts, estimates)
    drawn, wanted = probing_of(folder), sampling_of(config)
    if drawn != wanted:
        how = ", ".join(name for name in wanted if (drawn or wanted)[name] != wanted[name]) or "nobody knows how"
        ctx.say(f"probing's attempts are not used as samples, since they were drawn otherwise ({how})")
        return _Known(prompts, estimates)
    attempts = [one for one in read_records(folder / ATTEMPTS, Attempt) if one.engine == engine]
    if not attempts:
        ctx.say("probing's attempts are not used as samples: they are another engine's")
    return _Known(prompts, estimates, attempts)


def _write(
    ctx: StageContext, found: SearchResult, pairs: PivotalPairs, engine: Ledgered, seconds: float
) -> StageOutcome:
    """Write what was found, also where the search was stopped, and raise what stopped it."""
    spent = engine.spent
    sampled = spent.tokens_out - spent.reused_tokens_out
    stats_path = ctx.folder / "stats.json"
    stats_path.unlink(missing_ok=True)  # it tells of the tables beside it, or of none
    tables = {
        "pivots": found.pivots,
        "solutions": found.solutions,
        "gates": found.gates,
        "preferences": pairs.pairs,
    }
    for name, rows in tables.items():
        write_rows(ctx.folder / f"{name}.parquet", [plain(row) for row in rows], SCHEMAS[name])
    outcomes = Counter(one.outcome for one in found.gates)
    stats = {
        "complete": found.stopped is None,
        "completions": found.completions,
        "tokens": found.tokens,
        "prompt_tokens": found.prompt_tokens,
        "cost_usd": round(spent.cost_usd, 6),
        "n_prompts": len(found.gates),
        "n_searched": outcomes["searched"],
        "outcomes": dict(sorted(outcomes.items())),
        "n_solutions": len(found.solutions),
        "n_pivots": len(found.pivots),
        "n_pairs": len(pairs.pairs),
        "pairs_left_out": dict(pairs.left_out),
        "n_undecided": found.n_undecided,
        "failed_requests": found.n_failed,
        "notes": list(found.notes),
        "seconds": round(seconds, 3),
        "tokens_per_s": round(sampled / seconds, 1) if seconds > 0 else 0.0,
    }
    write_json(stats_path, stats)
    if pairs.left_out:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in pairs.left_out.items())
        n_without = sum(pairs.left_out.values())
        ctx.say(f"{n_without:,} of {len(found.pivots):,} pivotal tokens gave no pair: {reasons}")
    if found.stopped is not None:
        raise found.stopped
    note = f"{len(found.pivots)} pivotal tokens in {len(found.solutions)} solutions; {len(pairs.pairs)} pairs"
    return StageOutcome(
        note=note,
        prompts=len(found.gates),
        completions=spent.completions,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        tokens_spent=sampled,
        cost_usd=spent.cost_usd,
    )
