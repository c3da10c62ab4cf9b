"""A key/value cache of slots, one a row, and the attention that reads it.

Rows of different lengths decode together. Each lies in a slot of a pool whose width is a step of its own length, and
is copied into a slot of the next width when it has outgrown it; so no row is read much wider than it is, and no row's
numbers depend on how long its neighbours are. Rows leave as they finish and others take their slots. The whole blocks
of a long prompt are in a tile (`shared.py`), and its rows' slots begin behind them.

A model whose attention does not go through transformers' registry keeps its own: then all rows lie in one pool as wide
as the longest, with their whole prompts, and are read under a mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from teachable.engines.attention import NO_MASK, with_attention
from teachable.engines.blocks import BLOCK, Layer, empty, slot_width, visible
from teachable.engines.shared import Shared, merge, partial_attention

ROOM = 32  # slots are added to a pool at least this many at a time
# Prompts of more tokens than this go into tiles. For shorter ones the two parts of the attention cost more than they
# save.
SHARE_FROM = 96


class Part(NamedTuple):
    """The rows of a step that lie in one pool: rows `first` to `last` - 1, in its slots from 0 on."""

    pool: Pool
    first: int
    last: int
    places: torch.Tensor  # where they write: [rows * kv heads], in the pool's positions counted through
    mask: torch.Tensor  # what they see: additive, [rows * kv heads, 1, width]


class Pool:
    """Slots of one width; those of `seats` are in use, in that order.

    Args:
        width: positions a slot.
        behind: the slots hold what follows the shared part of a prompt.
        like: keys and values a layer of the same model.
    """

    def __init__(self, width: int, *, behind: bool, like: Sequence[Layer]) -> None:
        self.width = width
        self.behind = behind
        self.seats = np.zeros(0, dtype=np.int64)
        self.layers = [empty(0, width, layer) for layer in like]

    def aim(self, at: np.ndarray, first: int) -> Part:
        """Rows in slots 0, 1, ... write at positions `at`, and see what is not after them; `first` is their first."""
        keys = self.layers[0][0]
        at_lane = np.repeat(at, keys.shape[1])
        places = torch.from_numpy(np.arange(len(at_lane)) * self.width + at_lane).to(keys.device)
        return Part(self, first, first + len(at), places, visible(at_lane, self.width, keys))

    def reserve(self, n_slots: int) -> None:
        """Make room; what is in use stays. A pool that has become much too large gives room back."""
        room = self.layers[0][0].shape[0]
        if n_slots <= room and (room <= 4 * n_slots or room <= 2 * ROOM):
            return
        n_new = -(-(n_slots + n_slots // 4) // ROOM) * ROOM
        kept = len(self.seats)
        for i, old in enumerate(self.layers):
            new = empty(n_new, self.width, old)
            for mine, theirs in zip(new, old, strict=True):
                mine[:kept] = theirs[:kept]
            self.layers[i] = new

    def extend(self, seats: np.ndarray, source: Sequence[Layer], source_rows: np.ndarray, start: int = 0) -> None:
        """Put rows into slots behind those in use: row i is `source_rows[i]` of `source`, from position `start` on."""
        first, last = len(self.seats), len(self.seats) + len(seats)
        self.reserve(last)
        rows = torch.from_numpy(source_rows).to(source[0][0].device)
        for mine, theirs in zip(self.layers, source, strict=True):
            for to, of in zip(mine, theirs, strict=True):
                n = min(self.width, of.shape[2] - start)
                to[first:last, :, :n] = of[rows, :, start : start + n]
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

    def attend(self, layer: int, part: Part, query: torch.Tensor, scale: float) -> torch.Tensor:
        """Attention of a part's rows, [rows, kv heads, group, D]: [rows, kv heads, group, D], or [..., D + 1] where
        another part is to be merged with it.

        Query heads that share a key head are the rows of one matrix product, so that keys are neither copied nor read
        once a head.
        """
        n_lanes = len(part.places)
        keys, values = (t.view(-1, self.width, t.shape[-1])[:n_lanes] for t in self.layers[layer])
        folded = query.flatten(0, 1)
        if self.behind:
            mixed = partial_attention(folded, keys, values, part.mask, scale)
        else:
            scores = torch.baddbmm(part.mask, folded, keys.transpose(1, 2), alpha=scale)
            mixed = torch.bmm(torch.softmax(scores, dim=-1, dtype=torch.float32).to(values.dtype), values)
        return mixed.view(*query.shape[:3], -1)


class SlotLayer(CacheLayerMixin):
    """What one layer of the model sees of the slots."""

    is_sliding = False

    def __init__(self, slots: Slots, index: int) -> None:
        super().__init__()
        self._slots = slots
        self._index = index
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
            for tensor, new in zip(part.pool.layers[self._index], (key_states, value_states), strict=True):
                dim = tensor.shape[-1]
                tensor.view(-1, dim).index_copy_(0, part.places, new[part.first : part.last].reshape(-1, dim))
        first = self._slots.parts[0]
        keys, values = (tensor[: first.last] for tensor in first.pool.layers[self._index])
        return with_attention(keys, self.attend), values

    def attend(self, query: torch.Tensor, scale: float) -> torch.Tensor:
        """Attention of one query a row, [B, H, 1, D] -> [B, 1, H, D]."""
        n_rows, n_heads, _, dim = query.shape
        n_kv = self._slots.parts[0].pool.layers[self._index][0].shape[1]
        query = query.view(n_rows, n_kv, n_heads // n_kv, dim)
        alone: list[torch.Tensor] = []
        behind: list[torch.Tensor] = []
        for part in self._slots.parts:
            mixed = part.pool.attend(self._index, part, query[part.first : part.last], scale)
            (behind if part.pool.behind else alone).append(mixed)
        if behind:
            own = torch.cat(behind)
            shared = self._slots.shared.attend(self._index, query[n_rows - len(own) :], scale)
            alone.append(merge(own, shared).to(query.dtype))
        return torch.cat(alone).view(n_rows, 1, n_heads, -1)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._slots.width, 0

    def get_seq_length(self) -> int:
        return self._slots.width - 1

    def get_max_length(self) -> int:
        return -1


class Slots:
    """All pools of a model, and its cache for the step to come.

    Args:
        config: the model's.
        capacity: seats that there are.
        ours: the model attends as our keys say, so that rows may lie in several pools and behind tiles.
    """

    def __init__(self, config: Any, capacity: int, *, ours: bool) -> None:
        n_heads = config.num_attention_heads
        self.cache = Cache(layers=[SlotLayer(self, i) for i in range(config.num_hidden_layers)])
        self.parts: list[Part] = []
        self.shared = Shared(capacity, group=n_heads // (getattr(config, "num_key_value_heads", None) or n_heads))
        self._ours = ours
        self._pools: dict[tuple[bool, int], Pool] = {}  # by (behind, width), in this order
        self._start = np.zeros(capacity, dtype=np.int64)  # by seat: positions of its prompt that are in a tile

    @property
    def width(self) -> int:
        """The widest pool's."""
        return max(pool.width for pool in self._pools.values())

    def n_shared(self, n_prompt: int) -> int:
        """How many positions of a prompt of so many tokens go into a tile: whole blocks, and never the last token."""
        start = (n_prompt - 1) // BLOCK * BLOCK
        return start if self._ours and start >= SHARE_FROM else 0

    def seats(self) -> np.ndarray:
        """The seats of all rows in the order in which they decode."""
        return np.concatenate([np.zeros(0, dtype=np.int64), *[pool.seats for pool in self._pools.values()]])

    def admit(
        self, seats: np.ndarray, n_prompt: np.ndarray, keys: Sequence[bytes], source: Sequence[Layer], rows: np.ndarray
    ) -> None:
        """Put new rows into slots. Their prompts have the same number of blocks.

        Args:
            seats: whose they are.
            n_prompt: [rows] tokens of each one's prompt.
            keys: for each row, what its prompt's whole blocks are known by.
            source: keys and values of their prompts.
            rows: row i's prompt in `source`; one prompt may serve many rows.
        """
        start = self.n_shared(int(n_prompt.max()))
        self._start[seats] = start
        if start:
            self.shared.admit(seats, keys, source, rows, start)
        widths = np.array([slot_width(int(n)) for n in n_prompt - start])
        if not self._ours:
            widths[:] = max([*widths, *[pool.width for pool in self._pools.values()]])
            self._widen(int(widths[0]))
        for width in np.unique(widths):
            some = np.flatnonzero(widths == width)
            self._pool(start > 0, int(width), source).extend(seats[some], source, rows[some], start)

    def grow(self, length: np.ndarray) -> None:
        """Move rows that have outgrown their slots; `length`, by seat, are the positions that are filled."""
        for pool in sorted(self._pools.values(), key=lambda pool: -pool.width):
            growing = length[pool.seats] - self._start[pool.seats] >= pool.width
            if growing.any():
                if not self._ours:
                    growing[:] = True
                rows = np.flatnonzero(growing)
                wider = self._pool(pool.behind, slot_width(pool.width + 1), pool.layers)
                wider.extend(pool.seats[rows], pool.layers, rows)
                self._take_out(pool, growing)

    def remove(self, seats: np.ndarray) -> None:
        """Take the rows of these seats out."""
        self.shared.remove(seats)
        for pool in list(self._pools.values()):
            leaving = np.isin(pool.seats, seats)
            if leaving.any():
                self._take_out(pool, leaving)

    def aim(self, length: np.ndarray, n_dummies: int) -> None:
        """Prepare a step in which every row writes its next position; `length`, by seat, are those that are filled.

        `n_dummies` rows behind the others are nobody's: they write into slots that are not in use.
        """
        self.parts = []
        first = 0
        for pool in self._pools.values():
            at = length[pool.seats] - self._start[pool.seats]
            if pool is list(self._pools.values())[-1]:
                at = np.concatenate([at, np.zeros(n_dummies, dtype=np.int64)])
                pool.reserve(len(at))
            self.parts.append(pool.aim(at, first))
            first += len(at)
        behind = [pool.seats for pool in self._pools.values() if pool.behind]
        if behind:
            self.shared.aim(np.concatenate(behind), n_dummies)

    def mask(self) -> torch.Tensor:
        """The mask of the next step for a model that keeps its own attention, additive, [rows, 1, 1, width]."""
        if self._ours:
            return NO_MASK
        [part] = self.parts
        return part.mask.view(part.last, -1, 1, part.pool.width)[:, :1]

    def _pool(self, behind: bool, width: int, like: Sequence[Layer]) -> Pool:
        if (behind, width) not in self._pools:
            self._pools[behind, width] = Pool(width, behind=behind, like=like)
            self._pools = dict(sorted(self._pools.items()))
        return self._pools[behind, width]

    def _take_out(self, pool: Pool, gone: np.ndarray) -> None:
        pool.remove(gone)
        if not len(pool.seats):
            del self._pools[pool.behind, pool.width]

    def _widen(self, width: int) -> None:
        """Move all rows into one pool of this width."""
        for narrow in [pool for pool in self._pools.values() if pool.width < width]:
            wide = self._pool(False, width, narrow.layers)
            wide.extend(narrow.seats, narrow.layers, np.arange(len(narrow.seats)))
            del self._pools[False, narrow.width]
