"""The selection: a decision for every prompt, the pool of those that are in, and every arm's sets of examples.

A prompt is in the pool if it is teachable, surely enough, has a response to train on, is no near-duplicate of another
such prompt, and gets one of the places (`places.py`, `quotas.py`). The arm `teachable` draws from that pool; the other
arms draw from their zones (`random` and `full` from all prompts), which have no quotas and no size. `arms.py` says how.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teachable.errors import TeachableError
from teachable.records import ZONES, Attempt, Estimate, Example, Messages, Prompt, Solution
from teachable.select.arms import arm_row, fill, refuse_small_pool, share_of, too_small
from teachable.select.config import SelectConfig
from teachable.select.places import Places, by_preference, give_places
from teachable.select.pool import NEAR_DUPLICATE, Decision, bar, distinct, examples, may_join, responses

POOL = "teachable"  # the arm that draws from the pool
RANDOM = "random"
Sets = dict[tuple[str, int], tuple[Example, ...]]


@dataclass(frozen=True)
class Selection:
    """What was selected.

    `decisions` has a row a prompt, in the order of the prompts; `sets` the examples by (arm, seed); `pool` one
    example a prompt that is in, the surest first; `stats` the counts.
    """

    decisions: tuple[dict[str, Any], ...]
    sets: Sets
    stats: dict[str, Any]
    pool: tuple[Example, ...] = ()


def select(
    prompts: Sequence[Prompt],
    solutions: Iterable[Solution],
    estimates: Iterable[Estimate],
    attempts: Iterable[Attempt],
    config: SelectConfig,
    count_tokens: Callable[[Messages], int],
    seed: int = 0,
) -> Selection:
    """Choose the pool, and what each arm trains on.

    Args:
        prompts: the whole pool; ids must differ.
        solutions: worked solutions that were proved right.
        estimates: what probing learnt; a prompt without one is in no zone, and in no arm but random and full.
        attempts: the model's own attempts, for prompts without a solution.
        config: size, quotas, arms, budget, seeds, rules.
        count_tokens: training tokens of an example's messages.
        seed: of the shuffling; the pool does not depend on it.

    Raises:
        TeachableError: two prompts share an id, a quota names a domain or a level that there is not, or an arm can't
            fill the budget within `max_epochs` rounds and may not be left out.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    if len(by_id) < len(prompts):
        twice = next(i for i, n in Counter(p.id for p in prompts).items() if n > 1)
        raise TeachableError(f"two prompts have the id '{twice}'", mend="Give every prompt an id of its own")
    estimate_of = {e.prompt_id: e for e in estimates if e.prompt_id in by_id}
    made = examples(prompts, responses(prompts, solutions, attempts, config), estimate_of, config, count_tokens)
    kept_as: dict[str, dict[str, str]] = {}
    alike: dict[frozenset[str], dict[str, str]] = {}  # random and full have the same members
    for name in {*config.arms, POOL}:
        members = frozenset(row for row in made if may_join(name, estimate_of.get(row), config))
        if members not in alike:
            alike[members] = distinct(members, by_id, config.near_duplicate_threshold)
        kept_as[name] = alike[members]
    candidates = by_preference([row for row, kept in kept_as[POOL].items() if row == kept], estimate_of)
    places = give_places([by_id[row] for row in candidates], prompts, config)
    pool = tuple(made[row] for row in places.taken)
    pools = {name: [made[row] for row, kept in found.items() if row == kept] for name, found in kept_as.items()}
    pools |= {POOL: list(pool)}
    left_out = _left_out(pools, config)
    sets, arm_rows = _sets({arm: pools[arm] for arm in config.arms if arm not in left_out}, pool, config, seed)
    chosen = [
        (p, _decision(estimate_of.get(p.id), p.id in made, kept_as[POOL].get(p.id), p.id, places, config))
        for p in prompts
    ]
    stats = {
        "budget_tokens": config.budget_tokens,
        "seeds": list(config.seed_list),
        "arms": arm_rows,
        "pool": {zone: sum(e.zone == zone for e in estimate_of.values()) for zone in ZONES},
        "dropped": _dropped(decision for _, decision in chosen),
        "selected": _selected(pool, config),
        "quotas": list(places.quotas),
        "random_prompts": config.random_prompts,
        "left_out": [{"arm": arm, "reason": why} for arm, why in left_out.items()],
    }
    return Selection(_rows(chosen, estimate_of, made, sets), sets, stats, pool)


def _left_out(pools: Mapping[str, Sequence[Example]], config: SelectConfig) -> dict[str, str]:
    """The arms that are left out, and why each is; empty where none may be.

    Raises:
        TeachableError: an arm that may not be left out can't fill the budget.
    """
    found: dict[str, str] = {}
    for arm in config.arms:
        if arm == POOL or not config.leave_out_small:
            refuse_small_pool(arm, pools[arm], config)
        elif why := too_small(arm, pools[arm], config):
            found[arm] = why
    return found


def _sets(
    pools: Mapping[str, Sequence[Example]], teachable: Sequence[Example], config: SelectConfig, seed: int
) -> tuple[Sets, list[dict[str, Any]]]:
    """Every arm's examples by (arm, seed), and a row of counts each."""
    sets: Sets = {}
    rows = []
    n_teachable = sum(example.n_tokens for example in teachable)
    for arm, pool in pools.items():
        for arm_seed in config.seed_list:
            drawn = pool
            if arm == RANDOM and config.random_prompts == "as_teachable" and n_teachable:
                drawn = share_of(pool, n_teachable, f"{seed}\x1fpool of {arm}\x1f{arm_seed}")
            sets[arm, arm_seed] = fill(drawn, config.budget_tokens, f"{seed}\x1f{arm}\x1f{arm_seed}")
            rows.append(arm_row(arm, arm_seed, sets[arm, arm_seed], drawn))
    return sets, rows


def _decision(
    estimate: Estimate | None,
    has_example: bool,
    kept_as: str | None,
    prompt_id: str,
    places: Places,
    config: SelectConfig,
) -> Decision:
    """Whether a prompt is in, and why; `kept_as` is its representative among near-duplicates, if it is a candidate."""
    barred = bar(estimate, has_example, config)
    if barred is not None:
        return barred
    if kept_as is not None and kept_as != prompt_id:
        return Decision("out", f"{NEAR_DUPLICATE} of {kept_as}", NEAR_DUPLICATE)
    if prompt_id in places.refused:
        return places.refused[prompt_id]
    return Decision("in", estimate.reason if estimate else "", "in")


def _rows(
    chosen: Sequence[tuple[Prompt, Decision]],
    estimates: Mapping[str, Estimate],
    made: Mapping[str, Example],
    sets: Sets,
) -> tuple[dict[str, Any], ...]:
    """The rows of `decisions`; `confidence` is the posterior probability of the zone."""
    holders: defaultdict[str, list[str]] = defaultdict(list)
    for (arm, arm_seed), found in sets.items():
        for row in dict.fromkeys(example.prompt_id for example in found):
            holders[row].append(f"{arm}-{arm_seed}")
    return tuple(
        {
            "prompt_id": prompt.id,
            "domain": prompt.domain,
            "level": prompt.level,
            "zone": estimates[prompt.id].zone if prompt.id in estimates else "",
            "decision": decision.decision,
            "reason": decision.reason,
            "n_tokens": made[prompt.id].n_tokens if prompt.id in made else 0,
            "arms": holders[prompt.id],
            "confidence": estimates[prompt.id].zone_mass if prompt.id in estimates else 0.0,
        }
        for prompt, decision in chosen
    )


def _dropped(decisions: Iterable[Decision]) -> list[dict[str, Any]]:
    """How often each kind of reason kept a prompt out, the most frequent first."""
    counts = Counter(decision.kind for decision in decisions if decision.decision == "out")
    return [{"reason": kind, "count": n} for kind, n in sorted(counts.items(), key=lambda x: (-x[1], x[0]))]


def _selected(pool: Sequence[Example], config: SelectConfig) -> dict[str, Any]:
    """The pool's numbers; `missing` is how far it falls short of the size that was asked for."""
    missing = 0 if config.size is None else config.size - len(pool)
    return {"size": config.size, "n": len(pool), "missing": missing, "n_tokens": sum(e.n_tokens for e in pool)}
