"""The selection: every prompt gets a decision, every arm and seed the same number of training tokens.

An arm's pool is shuffled by (seed, arm, arm's seed, round) and taken in that order until the budget is met; a pool
that is used up is shuffled anew and gone through again. The order is that of a hash of the prompt's id, so it
depends on no order of the inputs, and a prompt that joins or leaves the pool does not move the others.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from teachable.errors import TeachableError
from teachable.records import ZONES, Attempt, Estimate, Example, Messages, Prompt, Solution
from teachable.select.config import SelectConfig
from teachable.select.pool import decide, distinct, examples, responses


@dataclass(frozen=True)
class Selection:
    """Decisions (a row a prompt, in the order of the prompts), the sets by (arm, seed), and the counts."""

    decisions: tuple[dict[str, Any], ...]
    sets: dict[tuple[str, int], tuple[Example, ...]]
    stats: dict[str, Any]


def select(
    prompts: Sequence[Prompt],
    solutions: Iterable[Solution],
    estimates: Iterable[Estimate],
    attempts: Iterable[Attempt],
    config: SelectConfig,
    count_tokens: Callable[[Messages], int],
    seed: int = 0,
) -> Selection:
    """Choose what each arm trains on.

    Args:
        prompts: the whole pool; ids must differ.
        solutions: worked solutions that were proved right.
        estimates: what probing learnt; a prompt without one is in no zone, and in no arm but random.
        attempts: the model's own attempts, for prompts without a solution.
        config: arms, budget, seeds, rules.
        count_tokens: training tokens of an example's messages.
        seed: of the shuffling.

    Raises:
        TeachableError: two prompts share an id, or an arm can't fill the budget within `max_epochs` rounds.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    if len(by_id) < len(prompts):
        twice = next(i for i, n in Counter(p.id for p in prompts).items() if n > 1)
        raise TeachableError(f"two prompts have the id '{twice}'", mend="Give every prompt an id of its own")
    estimate_of = {e.prompt_id: e for e in estimates}
    made = examples(prompts, responses(prompts, solutions, attempts, config), estimate_of, count_tokens)
    kept_as: dict[str, dict[str, str]] = {}
    for name in {*config.arms, "teachable"}:
        members = [row for row in made if name == "random" or made[row].zone == name]
        kept_as[name] = distinct(members, by_id, config.near_duplicate_threshold)
    sets: dict[tuple[str, int], tuple[Example, ...]] = {}
    arm_rows: list[dict[str, Any]] = []
    for arm in config.arms:
        pool = [made[row] for row, kept in kept_as[arm].items() if row == kept]
        _refuse_small_pool(arm, pool, config)
        for arm_seed in config.seed_list:
            chosen = _fill(pool, config.budget_tokens, f"{seed}\x1f{arm}\x1f{arm_seed}")
            sets[arm, arm_seed] = chosen
            arm_rows.append(_arm_row(arm, arm_seed, chosen, pool))
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for (arm_name, arm_seed), chosen in sets.items():
        for row in dict.fromkeys(example.prompt_id for example in chosen):
            holders[row].append(f"{arm_name}-{arm_seed}")
    dropped: Counter[str] = Counter()
    decisions = []
    for prompt in prompts:
        estimate = estimate_of.get(prompt.id)
        choice = decide(estimate, prompt.id in made, kept_as["teachable"].get(prompt.id), prompt.id)
        if choice.decision == "out":
            dropped[choice.kind] += 1
        decisions.append(
            {
                "prompt_id": prompt.id,
                "domain": prompt.domain,
                "level": prompt.level,
                "zone": estimate.zone if estimate else "",
                "decision": choice.decision,
                "reason": choice.reason,
                "n_tokens": made[prompt.id].n_tokens if prompt.id in made else 0,
                "arms": holders[prompt.id],
            }
        )
    zones = Counter(estimate_of[p.id].zone for p in prompts if p.id in estimate_of)
    stats = {
        "budget_tokens": config.budget_tokens,
        "seeds": list(config.seed_list),
        "arms": arm_rows,
        "pool": {zone: zones[zone] for zone in ZONES},
        "dropped": [{"reason": kind, "count": n} for kind, n in sorted(dropped.items(), key=lambda x: (-x[1], x[0]))],
    }
    return Selection(tuple(decisions), sets, stats)


def _refuse_small_pool(arm: str, pool: Sequence[Example], config: SelectConfig) -> None:
    """Raise unless `max_epochs` rounds of the pool hold the budget."""
    available = sum(example.n_tokens for example in pool)
    if available * config.max_epochs >= config.budget_tokens:
        return
    raise TeachableError(
        f"the arm '{arm}' has {available:,} training tokens in {len(pool):,} prompts, which makes "
        f"{available * config.max_epochs:,} in {config.max_epochs} rounds, short of the budget of "
        f"{config.budget_tokens:,}",
        where="select",
        mend="Lower budget_tokens, raise max_epochs, bring more prompts, or leave this arm out of arms",
    )


def _fill(pool: Sequence[Example], budget_tokens: int, key: str) -> tuple[Example, ...]:
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


def _arm_row(arm: str, arm_seed: int, chosen: Sequence[Example], pool: Sequence[Example]) -> dict[str, Any]:
    """The counts of one set; `n_epochs` is its tokens as a multiple of its pool's."""
    n_tokens = sum(example.n_tokens for example in chosen)
    return {
        "arm": arm,
        "seed": arm_seed,
        "n_examples": len(chosen),
        "n_tokens": n_tokens,
        "n_unique": len({example.prompt_id for example in chosen}),
        "n_epochs": round(n_tokens / sum(example.n_tokens for example in pool), 3),
    }
