"""Who of the candidates gets a place in the pool, and, in words, why another did not and what could not be filled."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from teachable.errors import TeachableError
from teachable.records import Estimate, Prompt
from teachable.select.config import Quota, SelectConfig
from teachable.select.pool import Decision
from teachable.select.quotas import Allotment, K, allot, counts

Of = Literal["domain", "level"]
POOL_FULL = "the pool is full"
_SHOWN = 20


@dataclass(frozen=True)
class Places:
    """The ids that are in, the surest first; the decision on every candidate that is out; the counts of each quota."""

    taken: tuple[str, ...]
    refused: dict[str, Decision]
    quotas: tuple[dict[str, Any], ...]


def by_preference(ids: Iterable[str], estimates: Mapping[str, Estimate]) -> list[str]:
    """Ids in the order in which they get places: the most probably teachable first, ties by a hash of the id."""

    def rank(row: str) -> tuple[float, str]:
        return -estimates[row].zone_mass, hashlib.sha256(f"place\x1f{row}".encode()).hexdigest()

    return sorted(ids, key=rank)


def give_places(candidates: Sequence[Prompt], prompts: Iterable[Prompt], config: SelectConfig) -> Places:
    """Fill the pool.

    Args:
        candidates: the prompts that qualify, the most wanted first.
        prompts: the whole pool, whose domains and levels are the ones there are.
        config: size and quotas.

    Raises:
        TeachableError: a quota names a domain or a level of which there is no prompt.
    """
    prompts = list(prompts)
    _check_names("domain", config.domain_quota, {prompt.domain for prompt in prompts})
    _check_names("level", config.level_quota, {prompt.level for prompt in prompts})
    by_domain = Counter(prompt.domain for prompt in candidates)
    by_level = Counter(prompt.level for prompt in candidates)
    domains = counts(config.domain_quota, config.size, by_domain)
    levels = counts(config.level_quota, config.size, by_level)
    kinds = [(prompt.domain, prompt.level) for prompt in candidates]
    given = allot(kinds, domains=domains, levels=levels, size=config.size)
    pairs = list(zip(candidates, given.taken, strict=True))
    inside = [prompt for prompt, taken in pairs if taken]
    return Places(
        taken=tuple(prompt.id for prompt in inside),
        refused={p.id: _refusal(p, given, domains, levels, config) for p, taken in pairs if not taken},
        quotas=(
            *_filled("domain", domains, Counter(p.domain for p in inside), by_domain),
            *_filled("level", levels, Counter(p.level for p in inside), by_level),
        ),
    )


def _check_names(of: Of, wanted: Mapping[Any, Quota] | str, there: set[Any]) -> None:
    unknown = [] if isinstance(wanted, str) else [name for name in wanted if name not in there]
    if not unknown:
        return
    known = [str(name) for name in sorted(there)]
    near = difflib.get_close_matches(str(unknown[0]), known, n=1, cutoff=0.5)
    listed = ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")
    raise TeachableError(
        f"there is a quota for the {of} {str(unknown[0])!r}, of which there is no prompt"
        + (f" (did you mean {near[0]!r}?)" if near else ""),
        where=f"select.{of}_quota",
        mend=f"The {of}s are {listed}",
    )


def _refusal(
    prompt: Prompt, given: Allotment, domains: Mapping[str, int], levels: Mapping[int, int], config: SelectConfig
) -> Decision:
    """Why a prompt that qualifies got no place: its domain's quota before its level's, before the size."""
    if prompt.domain in given.full_domains:
        return _full("domain", prompt.domain, domains[prompt.domain], config.domain_quota)
    if prompt.level in given.full_levels:
        return _full("level", prompt.level, levels[prompt.level], config.level_quota)
    return Decision("out", f"the pool of {config.size:,} is full, with others that came before it", POOL_FULL)


def _full(of: Of, name: K, n: int, wanted: Mapping[K, Quota] | str) -> Decision:
    kind = f"the quota of its {of} is full"
    if isinstance(wanted, str):
        return Decision("out", f"the equal share of {of} {name} ({_prompts(n)}) is full", kind)
    quota = wanted[name]
    size = f"{100 * quota:.4g}%, {_prompts(n)}" if isinstance(quota, float) else _prompts(n)
    return Decision("out", f"the quota of {of} {name} ({size}) is full", kind)


def _filled(
    of: Of, wanted: Mapping[K, int], inside: Mapping[K, int], available: Mapping[K, int]
) -> list[dict[str, Any]]:
    """One row a quota: what was wanted, what was to be had, what is in, what is missing and why."""
    rows = []
    for name, n in wanted.items():
        missing = n - inside.get(name, 0)
        if not missing:
            why = ""
        elif available.get(name, 0) < n:
            why = f"only {_prompts(available.get(name, 0))} of {of} {name} can be taken"
        else:
            why = "the size or the other quotas leave no room for more"
        rows.append(
            {
                "of": of,
                "name": str(name),
                "quota": n,
                "n_available": available.get(name, 0),
                "n": inside.get(name, 0),
                "missing": missing,
                "why": why,
            }
        )
    return rows


def _prompts(n: int) -> str:
    return f"{n:,} prompt{'' if n == 1 else 's'}"
