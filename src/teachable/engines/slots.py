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
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "teachable_slots"
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


class Pool:
    """Slots of one width; those of `seats` are in use, in that order."""

    def __init__(self, width: int, like: Sequence[Layer]) -> None:
        self.width = width
        self.seats = np.zeros(0, dtype=np.int64)
        self.layers = [_empty(0, width, layer) for layer in like]
        self._positions = torch.arange(width, device=like[0][0].device)

    def masks(self, at: torch.Tensor) -> torch.Tensor:
        """Additive masks of queries at these positions, [B, width]: what lies beyond is not there yet."""
        dtype = self.layers[0][0].dtype
        masks = torch.zeros((len(at), self.width), dtype=dtype, device=at.device)
        return masks.masked_fill_(self._positions > at[:, None], torch.finfo(dtype).min)

    def reserve(self, n_slots: int) -> None:
        """Make room; what is in use stays. A pool that has become much too large gives room back."""
        room = self.layers[0][0].shape[0]
        if n_slots <= room and (room <= 4 * n_slots or room <= 2 * ROOM):
            return
        n_new = -(-(n_slots + n_slots // 4) // ROOM) * ROOM
        kept = len(self.seats)
        for i, old in enumerate(self.layers):
            new = _empty(n_new, self.width, old)
            for mine, theirs in zip(new, old, strict=True):
                mine[:kept] = theirs[:kept]
            self.layers[i] = new

    def extend(self, seats: np.ndarray, source: Sequence[Layer], source_rows: torch.Tensor) -> None:
        """Put rows into slots behind those in use: row i is a copy of `source_rows[i]` of `source`."""
        first, last = len(self.seats), len(self.seats) + len(seats)
        self.reserve(last)
        for mine, theirs in zip(self.layers, source, strict=True):
            for to, of in zip(mine, theirs, strict=True):
                n = min(self.width, of.shape[2])
                to[first:last, :, :n] = of[source_rows, :, :n]
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


class Part(NamedTuple):
    """The rows of a step that lie in one pool: rows `first` to `last` - 1, which write at their positions `at`."""

    pool: Pool
    first: int
    last: int
    slots: torch.Tensor
    at: torch.Tensor
    mask: torch.Tensor  # additive, [rows, 1, 1, width]


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
            The keys and values of the first pool's rows, which are all rows if there is one pool; the keys carry this
            layer along for `slot_attention`.
        """
        for part in self._slots.parts:
            keys, values = part.pool.layers[self.index]
            keys[part.slots, :, part.at] = key_states[part.first : part.last, :, 0]
            values[part.slots, :, part.at] = value_states[part.first : part.last, :, 0]
        keys, values = self._slots.parts[0].pool.layers[self.index]
        n = self._slots.parts[0].last
        seen = keys[:n]
        seen.slot_layer = self  # type: ignore[attr-defined]
        return seen, values[:n]

    def attend(self, query: torch.Tensor) -> torch.Tensor:
        """Attention of one query a row, [B, H, 1, D] -> [B, 1, H, D]; the query is scaled already.

        Query heads that share a key head are folded into the rows of one matrix product, so that keys are neither
        copied nor read once a head.
        """
        n_rows, n_heads, _, width = query.shape
        mixed = []
        for part in self._slots.parts:
            keys, values = part.pool.layers[self.index]
            n, n_kv = part.last - part.first, keys.shape[1]
            folded = query[part.first : part.last].reshape(n, n_kv, n_heads // n_kv, width)
            scores = torch.matmul(folded, keys[:n].transpose(2, 3))
            scores += part.mask
            weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype)
            mixed.append(torch.matmul(weights, values[:n]))
        out = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
        return out.reshape(n_rows, 1, n_heads, out.shape[-1])

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
            index = torch.from_numpy(source_rows[chosen]).to(source[0][0].device)
            self._pool(int(width), source).extend(seats[chosen], source, index)

    def settle(self, gone: np.ndarray, n_positions: np.ndarray) -> None:
        """Take rows out, and move those that have outgrown their slots.

        Args:
            gone: by seat: it leaves.
            n_positions: by seat: positions that it needs for its next step.
        """
        for pool in sorted(self._pools.values(), key=lambda pool: -pool.width):
            leaving = gone[pool.seats]
            growing = ~leaving & (n_positions[pool.seats] > pool.width)
            if growing.any():
                slots = np.flatnonzero(growing if self._by_width else ~leaving)
                target = self._pool(slot_width(pool.width + 1), pool.layers)
                target.extend(pool.seats[slots], pool.layers, torch.from_numpy(slots).to(pool.layers[0][0].device))
                growing[slots] = True
            if leaving.any() or growing.any():
                pool.remove(leaving | growing)
            if not len(pool.seats):
                del self._pools[pool.width]

    def aim(self, at: np.ndarray, n_dummies: int) -> None:
        """Prepare a step in which each row, in the order of `seats`, writes at its position `at`.

        The last `n_dummies` rows are nobody's: they write into slots that are not in use.
        """
        self.parts = []
        first = 0
        for i, pool in enumerate(self._pools.values()):
            extra = n_dummies if i == len(self._pools) - 1 else 0
            last = first + len(pool.seats) + extra
            if extra:
                pool.reserve(last - first)
            device = pool.layers[0][0].device
            positions = torch.from_numpy(at[first:last]).to(device)
            mask = pool.masks(positions)[:, None, None, :]
            self.parts.append(Part(pool, first, last, torch.arange(last - first, device=device), positions, mask))
            first = last

    def clear(self) -> None:
        """Forget every row."""
        self._pools.clear()

    def _pool(self, width: int, like: Sequence[Layer]) -> Pool:
        if width not in self._pools:
            self._pools[width] = Pool(width, like)
            self._pools = dict(sorted(self._pools.items()))
        return self._pools[width]

    def _widen(self, width: int) -> None:
        """Move all rows into one pool of this width."""
        for narrow in [pool for pool in self._pools.values() if pool.width < width]:
            slots = torch.arange(len(narrow.seats), device=narrow.layers[0][0].device)
            self._pool(width, narrow.layers).extend(narrow.seats, narrow.layers, slots)
            del self._pools[narrow.width]


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of a decoding step over slots, registered with transformers under `ATTENTION`.

    Args:
        query: [B, H, 1, D]
        key: what `SlotLayer.update` returned; it knows the slots.

    Returns:
        [B, 1, H, D]
    """
    layer: SlotLayer = key.slot_layer  # type: ignore[attr-defined]
    return layer.attend(query * (scaling if scaling is not None else query.shape[-1] ** -0.5)), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, slot_attention)
