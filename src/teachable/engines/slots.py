"""A key/value cache of slots, one a row, and the attention that reads it.

Rows of different lengths decode together. Each lies in a slot of a pool whose width is a step of its own length, and
is copied into a slot of the next width when it has outgrown it; so no row is read much wider than it is, and no row's
numbers depend on how long its neighbours are. Rows leave as they finish and others take their slots.

A model whose attention does not go through transformers' registry keeps its own: then all rows lie in one pool as wide
as the longest, and are read under a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from teachable.engines.attention import NO_MASK, with_attention

# Prompts are read in blocks of this many positions, and no slot is narrower. Attention rounds by the width that it
# reads; every width is a function of the row's own length, never of its neighbours'.
BLOCK = 32
ROOM = 32  # slots are added to a pool at least this many at a time

Layer = tuple[torch.Tensor, torch.Tensor]  # keys and values: [rows, kv heads, positions, head dim]


def slot_width(n_positions: int) -> int:
    """The width of the slots that rows of so many positions lie in: BLOCK times 1, 1.5, 2, 3, 4, 6, 8, ..."""
    width = BLOCK
    while width < n_positions:
        width = width * 3 // 2 if width & (width - 1) == 0 else width * 4 // 3
    return width


class Part(NamedTuple):
    """The rows of a step that lie in one pool: rows `first` to `last` - 1, in its slots from 0 on."""

    pool: Pool
    first: int
    last: int
    places: torch.Tensor  # where they write: [rows * kv heads], in the pool's positions counted through
    mask: torch.Tensor  # what they see: additive, [rows * kv heads, 1, width]


class Pool:
    """Slots of one width; those of `seats` are in use, in that order."""

    def __init__(self, width: int, like: Sequence[Layer]) -> None:
        self.width = width
        self.seats = np.zeros(0, dtype=np.int64)
        self.layers = [_empty(0, width, layer) for layer in like]
        keys = like[0][0]
        self._positions = torch.arange(width, device=keys.device)
        self._seen = keys.new_zeros(())
        self._unseen = keys.new_full((), torch.finfo(keys.dtype).min)

    @property
    def room(self) -> int:
        """Slots that there are, in use or not."""
        return self.layers[0][0].shape[0]

    def aim(self, at: np.ndarray, first: int) -> Part:
        """Rows in slots 0, 1, ... write at positions `at`, and see what is not behind them; `first` is their first."""
        keys = self.layers[0][0]
        n_kv = keys.shape[1]
        lanes = np.arange(len(at) * n_kv)
        at_lane = np.repeat(at, n_kv)
        places = torch.from_numpy(lanes * self.width + at_lane).to(keys.device)
        behind = self._positions > torch.from_numpy(at_lane).to(keys.device)[:, None, None]
        return Part(self, first, first + len(at), places, torch.where(behind, self._unseen, self._seen))

    def reserve(self, n_slots: int) -> None:
        """Make room; what is in use stays. A pool that has become much too large gives room back."""
        if n_slots <= self.room and (self.room <= 4 * n_slots or self.room <= 2 * ROOM):
            return
        n_new = -(-(n_slots + n_slots // 4) // ROOM) * ROOM
        kept = len(self.seats)
        for i, old in enumerate(self.layers):
            new = _empty(n_new, self.width, old)
            for mine, theirs in zip(new, old, strict=True):
                mine[:kept] = theirs[:kept]
            self.layers[i] = new

    def extend(self, seats: np.ndarray, source: Sequence[Layer], source_rows: np.ndarray) -> None:
        """Put rows into slots behind those in use: row i is a copy of `source_rows[i]` of `source`."""
        first, last = len(self.seats), len(self.seats) + len(seats)
        self.reserve(last)
        rows = torch.from_numpy(source_rows).to(source[0][0].device)
        for mine, theirs in zip(self.layers, source, strict=True):
            for to, of in zip(mine, theirs, strict=True):
                n = min(self.width, of.shape[2])
                to[first:last, :, :n] = of[rows, :, :n]
        self.seats = np.concatenate([self.seats, seats])

    def remove(self, gone: np.ndarray) -> None:
        """Free the slots where the mask `gone` [in use] is set; rows from the end move into the holes."""
        n_stay = int(len(gone) - gone.sum())
        holes, movers = np.flatnonzero(gone[:n_stay]), n_stay + np.flatnonzero(~gone[n_stay:])
        if len(holes):
            to, of = (torch.from_numpy(index).to(self.layers[0][0].device) for index in (holes, movers))
            for layer in self.layers:
                for tensor in layer:
                    tensor[to] = tensor[of]
            self.seats[holes] = self.seats[movers]
        self.seats = self.seats[:n_stay]


def _empty(n_slots: int, width: int, like: Layer) -> Layer:
    """Room for keys and values. Zeros, since what is masked is still multiplied (by nothing), and must be finite."""
    keys, values = (t.new_zeros((n_slots, t.shape[1], width, t.shape[3])) for t in like)
    return keys, values


class SlotLayer(CacheLayerMixin):
    """What one layer of the model sees of the slots."""

    is_sliding = False

    def __init__(self, slots: Slots, index: int) -> None:
        super().__init__()
        self._slots = slots
        self.index = index
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing: pools are made when the first prompt is in."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one new position a row ([B, H, 1, D]).

        Returns:
            The keys and values of the first pool's rows, which are all rows if there is one pool.
        """
        for part in self._slots.parts:
            for tensor, new in zip(part.pool.layers[self.index], (key_states, value_states), strict=True):
                width = tensor.shape[-1]
                tensor.view(-1, width).index_copy_(0, part.places, new[part.first : part.last].reshape(-1, width))
        keys, values = self._slots.parts[0].pool.layers[self.index]
        n = self._slots.parts[0].last
        return with_attention(keys[:n], self.attend), values[:n]

    def attend(self, query: torch.Tensor, scale: float) -> torch.Tensor:
        """Attention of one query a row, [B, H, 1, D] -> [B, 1, H, D].

        Query heads that share a key head are folded into the rows of one matrix product, so that keys are neither
        copied nor read once a head.
        """
        n_rows, n_heads, _, width = query.shape
        mixed = []
        for part in self._slots.parts:
            keys, values = part.pool.layers[self.index]
            n_kv = keys.shape[1]
            n_lanes = (part.last - part.first) * n_kv
            folded = query[part.first : part.last].reshape(n_lanes, n_heads // n_kv, width)
            keys, values = (t.view(-1, part.pool.width, t.shape[-1])[:n_lanes] for t in (keys, values))
            scores = torch.baddbmm(part.mask, folded, keys.transpose(1, 2), alpha=scale)
            weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
            mixed.append(torch.bmm(weights, values))
        out = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        return out.view(n_rows, 1, n_heads, out.shape[-1])

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._slots.width, 0

    def get_seq_length(self) -> int:
        return self._slots.width - 1

    def get_max_length(self) -> int:
        return -1


class Slots:
    """All pools of a model, and its cache for the step to come.

    Args:
        n_layers: of the model.
        by_width: rows may lie in pools of several widths.
    """

    def __init__(self, n_layers: int, *, by_width: bool) -> None:
        self.cache = Cache(layers=[SlotLayer(self, i) for i in range(n_layers)])
        self.parts: list[Part] = []
        self._pools: dict[int, Pool] = {}
        self._by_width = by_width

    @property
    def width(self) -> int:
        """The widest pool's."""
        return max(self._pools)

    def seats(self) -> np.ndarray:
        """The seats of all rows in the order in which they decode."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *[pool.seats for pool in self._pools.values()]])

    def admit(
        self, seats: np.ndarray, n_positions: np.ndarray, source: Sequence[Layer], source_rows: np.ndarray
    ) -> None:
        """Put new rows into slots.

        Args:
            seats: whose they are.
            n_positions: [rows] that each needs for its next step.
            source: keys and values of their prompts.
            source_rows: row i's prompt in `source`; one prompt may serve many rows.
        """
        widths = np.array([slot_width(int(n)) for n in n_positions])
        if not self._by_width:
            widths[:] = max([*widths, *self._pools])
            self._widen(int(widths[0]))
        for width in np.unique(widths):
            chosen = np.flatnonzero(widths == width)
            self._pool(int(width), source).extend(seats[chosen], source, source_rows[chosen])

    def grow(self, n_positions: np.ndarray) -> None:
        """Move rows that have outgrown their slots; `n_positions`, by seat, are what each needs for its next step."""
        for pool in sorted(self._pools.values(), key=lambda pool: -pool.width):
            growing = n_positions[pool.seats] > pool.width
            if growing.any():
                if not self._by_width:
                    growing[:] = True
                rows = np.flatnonzero(growing)
                self._pool(slot_width(pool.width + 1), pool.layers).extend(pool.seats[rows], pool.layers, rows)
                self._remove(pool, growing)

    def remove(self, seats: np.ndarray) -> None:
        """Take the rows of these seats out."""
        for pool in list(self._pools.values()):
            leaving = np.isin(pool.seats, seats)
            if leaving.any():
                self._remove(pool, leaving)

    def _remove(self, pool: Pool, gone: np.ndarray) -> None:
        pool.remove(gone)
        if not len(pool.seats):
            del self._pools[pool.width]

    def aim(self, at: np.ndarray, n_dummies: int) -> None:
        """Prepare a step in which each row, in the order of `seats`, writes at its position `at`.

        The last `n_dummies` rows are nobody's: they write into slots that are not in use.
        """
        self.parts = []
        first = 0
        for i, pool in enumerate(self._pools.values()):
            n = len(pool.seats)
            if i == len(self._pools) - 1 and n_dummies:
                n += n_dummies
                pool.reserve(n)
            self.parts.append(pool.aim(at[first : first + n], first))
            first += n

    def mask(self) -> torch.Tensor:
        """The mask of the next step for a model that keeps its own attention, additive, [rows, 1, 1, width]."""
        if self._by_width:
            return NO_MASK
        [part] = self.parts
        return part.mask.view(part.last, -1, 1, part.pool.width)[:, :1]

    def _pool(self, width: int, like: Sequence[Layer]) -> Pool:
        if width not in self._pools:
            self._pools[width] = Pool(width, like)
            self._pools = dict(sorted(self._pools.items()))
        return self._pools[width]

    def _widen(self, width: int) -> None:
        """Move all rows into one pool of this width."""
        for narrow in [pool for pool in self._pools.values() if pool.width < width]:
            self._pool(width, narrow.layers).extend(narrow.seats, narrow.layers, np.arange(len(narrow.seats)))
            del self._pools[narrow.width]
