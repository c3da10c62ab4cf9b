"""The examples of a mix: so many training tokens, a share of them from each domain.

A domain's part is filled from its selected examples in shuffled rounds (`select.arms.fill`), so that a domain that has
less than its share is gone through again, and no example comes a second time before all have come once. The part ends
within half an example of its share.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from teachable.errors import TeachableError
from teachable.explore.evidence import normalised
from teachable.recipe.domains import Domain
from teachable.records import Example
from teachable.select.arms import fill


@dataclass(frozen=True)
class Mixed:
    """A training set. `n_tokens` and `n_epochs` are by domain; an epoch is a domain's examples once."""

    examples: tuple[Example, ...]
    n_tokens: Mapping[str, int]
    n_epochs: Mapping[str, float]


def selected_shares(domains: Sequence[Domain]) -> dict[str, float]:
    """Each domain's share of the training tokens that were selected."""
    tokens = {domain.name: _tokens(domain.examples) for domain in domains}
    return normalised(tokens)


def mixed(domains: Sequence[Domain], mix: Mapping[str, float], n_tokens: int, key: str) -> Mixed:
    """The training set of a mix, in an order that says nothing.

    Args:
        mix: domain: share; they need not add up to 1. Empty: as the domains were selected.
        n_tokens: training tokens, repeats included; 0: each example of the mix's domains once, whatever the shares.
        key: of the shuffling; the same key gives the same set.

    Raises:
        TeachableError: the mix names a domain that is not among these, or gives none of them a share; or shares are
            given that "each example once" can't keep.
    """
    shares = shares_of(domains, mix)
    if not n_tokens and mix and normalised(mix) != selected_shares([one for one in domains if one.name in shares]):
        raise TeachableError(
            "a mix other than the selection's needs to know of how many tokens",
            where="mix",
            mend="Set n_tokens, or leave the mix empty",
        )
    parts: dict[str, tuple[Example, ...]] = {}
    for domain in domains:
        if domain.name not in shares:
            continue
        budget = round(shares[domain.name] * n_tokens)
        least = min(example.n_tokens for example in domain.examples)
        if not n_tokens:
            parts[domain.name] = tuple(sorted(domain.examples, key=lambda example: (example.prompt_id, example.id)))
        elif 2 * budget >= least:  # else none is nearer to the share than one
            parts[domain.name] = fill(domain.examples, max(1, budget), f"{key}\x1f{domain.name}")
    if not parts:
        raise TeachableError(
            f"{n_tokens:,} training tokens are not one example of any domain", where="mix", mend="Train on more tokens"
        )
    examples = [example for part in parts.values() for example in part]
    random.Random(key).shuffle(examples)
    available = {domain.name: _tokens(domain.examples) for domain in domains}
    n_by_domain = {domain.name: _tokens(parts.get(domain.name, ())) for domain in domains}
    n_epochs = {name: round(n / available[name], 3) for name, n in n_by_domain.items()}
    return Mixed(tuple(examples), n_by_domain, n_epochs)


def shares_of(domains: Sequence[Domain], mix: Mapping[str, float]) -> dict[str, float]:
    """A mix as shares that add up to 1; an empty one is that of the selection.

    Raises:
        TeachableError: it names a domain that is not among these.
    """
    if not mix:
        return selected_shares(domains)
    names = [domain.name for domain in domains]
    for name in mix:
        if name not in names:
            raise TeachableError(
                f"the mix has a share for {name!r}, which is no domain here; there are {', '.join(sorted(names))}",
                where="mix",
            )
    return normalised(mix)


def _tokens(examples: Sequence[Example]) -> int:
    return sum(example.n_tokens for example in examples)
