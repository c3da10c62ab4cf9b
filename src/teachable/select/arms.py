"""The arms of the comparison: example sets with the same number of training tokens, drawn from each arm's pool.

An arm's pool is shuffled by (seed, arm, arm's seed, round) and taken in that order until the budget is met; a pool
that is used up is shuffled anew and gone through again. The order is that of a hash of the prompt's id, so it
depends on no order of the inputs, and a prompt that joins or leaves the pool does not move the others.

The arms `random` and `full` have one pool: every prompt with a response. With `random_prompts: as_teachable` a set of
`random` is drawn from a share of it, so that what differs from `teachable` is the choice, and not that there is more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from teachable.errors import TeachableError
from teachable.records import Example
from teachable.select.config import SelectConfig


def too_small(arm: str, pool: Sequence[Example], config: SelectConfig) -> str:
    """Why `max_epochs` rounds of the pool do not hold the budget; empty where they do."""
    available = sum(example.n_tokens for example in pool)
    if available * config.max_epochs >= config.budget_tokens:
        return ""
    return (
        f"the arm '{arm}' has {available:,} training tokens in {len(pool):,} prompts, which makes "
        f"{available * config.max_epochs:,} in {config.max_epochs} rounds, short of the budget of "
        f"{config.budget_tokens:,}"
    )


def refuse_small_pool(arm: str, pool: Sequence[Example], config: SelectConfig) -> None:
    """Raise unless `max_epochs` rounds of the pool hold the budget.

    Raises:
        TeachableError: they do not.
    """
    if why := too_small(arm, pool, config):
        raise TeachableError(
            why,
            where="select",
            mend="Lower budget_tokens, raise max_epochs, bring more prompts, or leave this arm out of arms",
        )


def share_of(pool: Sequence[Example], n_tokens: int, key: str) -> list[Example]:
    """Different examples of the pool that hold about `n_tokens`, in their shuffled order; the whole pool if it is less.

    As near as `fill` comes: within half an example.
    """
    if sum(example.n_tokens for example in pool) <= n_tokens:
        return list(pool)
    return list(fill(pool, n_tokens, key))


def fill(pool: Sequence[Example], budget_tokens: int, key: str) -> tuple[Example, ...]:
    """Examples in shuffled rounds until the budget is met.

    The total ends as near to the budget as the order allows: the example that would pass it comes in only if
    that leaves the total nearer than stopping short. So it is off by at most half an example.
    """
    chosen: list[Example] = []
    total, turn = 0, 0
    while True:
        for example in _shuffled(pool, f"{key}\x1f{turn}"):
            after = total + example.n_tokens
            if after >= budget_tokens:
                if after - budget_tokens < budget_tokens - total or not chosen:
                    chosen.append(example)
                return tuple(chosen)
            chosen.append(example)
            total = after
        turn += 1


def _shuffled(pool: Sequence[Example], key: str) -> list[Example]:
    """The pool in the order of the hashes of (key, prompt id)."""
    return sorted(pool, key=lambda example: hashlib.sha256(f"{key}\x1f{example.prompt_id}".encode()).digest())


def arm_row(arm: str, arm_seed: int, chosen: Sequence[Example], pool: Sequence[Example]) -> dict[str, Any]:
    """The counts of one set; `n_epochs` is its tokens as a multiple of those of the `n_pool` prompts it draws from."""
    n_tokens = sum(example.n_tokens for example in chosen)
    return {
        "arm": arm,
        "seed": arm_seed,
        "n_examples": len(chosen),
        "n_tokens": n_tokens,
        "n_unique": len({example.prompt_id for example in chosen}),
        "n_pool": len(pool),
        "n_epochs": round(n_tokens / sum(example.n_tokens for example in pool), 3),
    }
