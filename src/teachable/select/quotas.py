"""Who is taken when there are more candidates than places: quotas of domains and levels, and a size.

A quota is what its domain (or level) gets, as far as it has candidates, and never more. Domains without a quota share
what is left of the size. If a quota can't be filled, the places go to domains without one; if every domain has a quota
there is nobody to give them to, and the pool is smaller than its size.

Within these bounds the surest candidates are taken, in the order in which they come. Where both domains and levels
have quotas, taking the surest first could fill a level with prompts of one domain that another domain needs; so after
each pass over the candidates, places are exchanged along augmenting paths (Ford and Fulkerson 1956: candidates are
units of flow from their domain to their level) until no exchange lets in one candidate more. Domains' quotas are
filled first, then levels', then the rest; an augmenting path never takes back a place that a domain or a level has.
Thus the number of places filled under quotas of domains is the greatest possible, also where that of levels suffers.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", str, int)
Node = Hashable
Cell = tuple[Node, Node]
OTHERS = None  # the node of all domains, or levels, without a quota
MANY = 2**62  # no bound


def counts(wanted: Mapping[K, int | float] | str, size: int | None, available: Mapping[K, int]) -> dict[K, int]:
    """Quotas as numbers of prompts.

    Shares are rounded by largest remainders, so that shares which add up to 1 fill the size.

    Args:
        wanted: name -> a number of prompts (int) or a share of `size` (float); or "equal".
        size: places in all; needed for shares and for "equal".
        available: candidates of each name.
    """
    if isinstance(wanted, str):
        return _even(size or 0, available)
    found = {name: one for name, one in wanted.items() if isinstance(one, int)}
    exact = {name: one * (size or 0) for name, one in wanted.items() if isinstance(one, float)}
    floors = {name: math.floor(one + 1e-9) for name, one in exact.items()}
    left = round(math.fsum(exact.values())) - sum(floors.values())
    for name in sorted(exact, key=lambda name: (floors[name] - exact[name], str(name)))[: max(0, left)]:
        floors[name] += 1
    return {name: {**found, **floors}[name] for name in wanted}


def _even(size: int, available: Mapping[K, int]) -> dict[K, int]:
    """The size shared as evenly as the names allow: who has fewer gives all, and the others share the rest."""
    found: dict[K, int] = {}
    left = size
    ordered = sorted((name for name in available), key=lambda name: (available[name], str(name)))
    for place, name in enumerate(ordered):
        found[name] = min(available[name], left // (len(ordered) - place))
        left -= found[name]
    return found


@dataclass(frozen=True)
class Allotment:
    """Which candidates are in (one flag each, in their order), and the names and numbers of what was full."""

    taken: tuple[bool, ...]
    full_domains: frozenset[Node]
    full_levels: frozenset[Node]


def allot(
    candidates: Sequence[tuple[str, int]],
    *,
    domains: Mapping[str, int],
    levels: Mapping[int, int],
    size: int | None,
) -> Allotment:
    """Take candidates, the first ones by preference, within the quotas and the size.

    Every candidate that is left out is of a full domain, of a full level, or came when the size was reached.

    Args:
        candidates: (domain, level) of each, the most wanted first.
        domains: the quotas of the domains that have one, in prompts.
        levels: likewise of the levels.
        size: places in all; None is no bound.
    """
    cells = [(d if d in domains else OTHERS, lv if lv in levels else OTHERS) for d, lv in candidates]
    table = _Table(Counter(cells), domains, levels, MANY if size is None else size)
    seen: Counter[Cell] = Counter()
    within = []  # each candidate's place among those of its cell: a cell's first `taken` ones are in
    for cell in cells:
        within.append(seen[cell])
        seen[cell] += 1
    named_domains, named_levels = frozenset(domains), frozenset(levels)
    any_domain, any_level = named_domains | {OTHERS}, named_levels | {OTHERS}
    for sources, sinks in (
        (named_domains, named_levels),
        (named_domains, any_level),
        (any_domain, named_levels),
        (any_domain, any_level),
    ):
        for cell, place in zip(cells, within, strict=True):
            if cell[0] in sources and cell[1] in sinks and place == table.taken[cell]:
                table.take(cell)
        while table.augment(sources, sinks):
            pass
    return Allotment(
        tuple(place < table.taken[cell] for cell, place in zip(cells, within, strict=True)),
        frozenset(name for name in domains if table.domain_room[name] == 0),
        frozenset(name for name in levels if table.level_room[name] == 0),
    )


class _Table:
    """How many candidates of each cell (domain, level) are taken, and the room that is left."""

    def __init__(
        self, available: Mapping[Cell, int], domains: Mapping[str, int], levels: Mapping[int, int], size: int
    ) -> None:
        self.available = available
        self.taken: Counter[Cell] = Counter()
        self.domain_room: dict[Node, int] = {OTHERS: MANY, **{name: n for name, n in domains.items()}}
        self.level_room: dict[Node, int] = {OTHERS: MANY, **{name: n for name, n in levels.items()}}
        self.room = size
        # Sorted, so that exchanges depend on no order of the input.
        self._levels_of: dict[Node, list[Node]] = {}
        self._domains_of: dict[Node, list[Node]] = {}
        for domain, level in sorted(available, key=lambda cell: (str(cell[0]), str(cell[1]))):
            self._levels_of.setdefault(domain, []).append(level)
            self._domains_of.setdefault(level, []).append(domain)

    def take(self, cell: Cell) -> None:
        """Take one more candidate of a cell, if there is room."""
        domain, level = cell
        if min(self.room, self.domain_room[domain], self.level_room[level]) > 0:
            self._move(((domain, level),), 1)

    def augment(self, sources: Collection[Node], sinks: Collection[Node]) -> bool:
        """Let in candidates by an exchange; False if none lets in one more.

        The shortest path from a domain of `sources` with room to a level of `sinks` with room, by turns to a level
        of which the domain has candidates left, and back to a domain that could give up one at that level.
        """
        if self.room == 0:
            return False
        starts = [d for d in self._levels_of if d in sources and self.domain_room[d] > 0]
        came_from: dict[tuple[str, Node], Node] = {("domain", d): None for d in starts}
        queue = deque(("domain", d) for d in starts)
        while queue:
            kind, node = queue.popleft()
            if kind == "level":
                if node in sinks and self.level_room[node] > 0:
                    self._exchange(self._path(node, came_from, set(starts)))
                    return True
                ahead = [("domain", d) for d in self._domains_of[node] if self.taken[d, node] > 0]
            else:
                ahead = [("level", v) for v in self._levels_of[node] if self.taken[node, v] < self.available[node, v]]
            for step in ahead:
                if step not in came_from:
                    came_from[step] = node
                    queue.append(step)
        return False

    def _path(self, level: Node, came_from: Mapping[tuple[str, Node], Node], starts: set[Node]) -> tuple[Cell, ...]:
        """The cells of the path, from its start: one to take from, one to give back, and so on."""
        cells: list[Cell] = []
        while True:
            domain = came_from["level", level]
            cells.append((domain, level))
            if domain in starts:
                return tuple(reversed(cells))
            level = came_from["domain", domain]
            cells.append((domain, level))

    def _exchange(self, path: tuple[Cell, ...]) -> None:
        left = [self.available[cell] - self.taken[cell] for cell in path[::2]]
        given = [self.taken[cell] for cell in path[1::2]]
        rooms = [self.room, self.domain_room[path[0][0]], self.level_room[path[-1][1]]]
        self._move(path, min(left + given + rooms))

    def _move(self, path: tuple[Cell, ...], n: int) -> None:
        for place, cell in enumerate(path):
            self.taken[cell] += -n if place % 2 else n
        self.room -= n
        self.domain_room[path[0][0]] -= n
        self.level_room[path[-1][1]] -= n
