"""Which other prompt a prompt is composed with: one of the seeds near it, the same in every run.

Seeds are read as a stream, so a partner comes from the same stretch of it. Within a stretch the choice is by rendezvous
hashing: each pair has a digest, and a seed's partner is the one with which its digest is the lowest, of those of its
domain if there are any. So it depends on nothing but what the seeds are, and one that joins a stretch changes the
partners of few others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from teachable.records import content_id
from teachable.synthesize.checks.rubric import folded
from teachable.synthesize.items import Seed

STRETCH = 64  # seeds among which partners are chosen
PARTNER = "partner"  # of a seed's `meta`: {"id": ..., "text": ...}


def with_partners(seeds: Iterable[Seed]) -> Iterator[Seed]:
    """The seeds in their order, each prompt with its partner in `meta["partner"]` where it has none yet.

    A prompt that is alone in its stretch, or among copies of itself, stays without.
    """
    stream = iter(seeds)
    while stretch := list(islice(stream, STRETCH)):
        yield from (_paired(seed, stretch) for seed in stretch)


def _paired(seed: Seed, stretch: Sequence[Seed]) -> Seed:
    if seed.kind != "prompt" or PARTNER in seed.meta:
        return seed
    own = folded(seed.text)
    others = [other for other in stretch if other.kind == "prompt" and folded(other.text) != own]
    near = [other for other in others if _domain(other) == _domain(seed)] or others
    if not near:
        return seed
    chosen = min(near, key=lambda other: (content_id(seed.id, other.id), other.id))
    return replace(seed, meta={**seed.meta, PARTNER: {"id": chosen.id, "text": chosen.text}})


def _domain(seed: Seed) -> str:
    return seed.prompt.domain if seed.prompt is not None else ""
