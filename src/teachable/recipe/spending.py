"""What several engines that share a gate have cost together: as they work, and when they are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from teachable.engines.ledgered import Ledgered
from teachable.recipe.spec import StageOutcome
from teachable.records import OnProgress, Progress
from teachable.store.manifest import StageEntry


def telling(on_progress: OnProgress, engines: Sequence[Ledgered]) -> OnProgress:
    """`on_progress`, told with the engines' tokens and dollars so far."""

    def told(progress: Progress) -> None:
        dollars = sum(one.spent.cost_usd for one in engines)
        tokens = sum(one.spent.tokens_out for one in engines)
        note = f"{progress.note}, ${dollars:,.2f}" if dollars else progress.note
        on_progress(replace(progress, tokens=tokens, note=note))

    return told


def spending(engines: Sequence[tuple[Ledgered, Sequence[str]]]) -> dict[str, Any]:
    """What all of it cost, in all and by engine.

    Args:
        engines: each with what it was asked for.
    """
    spent: list[dict[str, Any]] = [
        {
            "engine": one.name,
            "roles": list(roles),
            "completions": one.spent.completions,
            "prompt_tokens": one.spent.tokens_in,
            "tokens": one.spent.tokens_out,
            "cost_usd": round(one.spent.cost_usd, 6),
            "failed_requests": one.spent.failed,
        }
        for one, roles in engines
    ]
    totals = {name: sum(one[name] for one in spent) for name in ("completions", "prompt_tokens", "tokens")}
    return {
        **totals,
        "cost_usd": round(sum(one.spent.cost_usd for one, _ in engines), 6),
        "failed_requests": sum(one.spent.failed for one, _ in engines),
        "tokens_spent": sum(one.spent.tokens_out - one.spent.reused_tokens_out for one, _ in engines),
        "spending": spent,
    }


def entry_of(
    kind: str, key: str, version: int, made: Mapping[str, Any], stats: Mapping[str, Any], *, n: int, note: str
) -> StageEntry:
    """The manifest's entry of work whose `stats` hold `spending` and seconds.

    Args:
        made: what the key is the digest of.
        n: prompts, or seeds, that it was about.
    """
    return StageEntry(
        kind=kind,
        key=key,
        version=version,
        seconds=stats["seconds"],
        prompts=n,
        completions=stats["completions"],
        tokens_in=stats["prompt_tokens"],
        tokens_out=stats["tokens"],
        cost_usd=stats["cost_usd"],
        note=note,
        ingredients=made,
    )


def outcome_of(stats: Mapping[str, Any], *, n: int, note: str) -> StageOutcome:
    """What a stage reports whose `stats` hold `spending`."""
    return StageOutcome(
        note=note,
        prompts=n,
        completions=stats["completions"],
        tokens_in=stats["prompt_tokens"],
        tokens_out=stats["tokens"],
        tokens_spent=stats["tokens_spent"],
        cost_usd=stats["cost_usd"],
    )
