"""The beginnings of long prompts, kept once for all the rows that decode behind them.

Samples of one prompt, and prompts that begin alike, would each read the same keys and values at every step. Here a tile
holds them once for up to `LANES` rows, whose queries become the rows of one matrix product. What comes out is one part
of the attention; the other, over the row's own positions, is computed apart, and the two are merged by their
normalisers, which is exact (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).

Rounding depends on a tile's width, which is a function of the prompt's length, and not on how many lanes are in use, as
long as a product has `MIN_LANE_ROWS` rows at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from teachable.engines.blocks import Layer, empty, slot_width, visible

LANES = 16
# A product of fewer rows takes another path in the CPU's BLAS and rounds differently (measured for 1 to 64 rows).
MIN_LANE_ROWS = 4


def partial_attention(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention over some of the positions: queries [L, M, D] against [L, W, D], additive mask [L, 1, W].

    Returns:
        [L, M, D + 1] in float32: the attention over these positions alone, and the logarithm of its normaliser.
    """
    scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=scale)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32)
    # The largest weight is exp(largest score) over the normaliser: cheaper than a sum of exponentials once more.
    normaliser = scores.amax(-1, keepdim=True).float() - weights.amax(-1, keepdim=True).log()
    return torch.cat([torch.bmm(weights.to(values.dtype), values).float(), normaliser], dim=-1)


def merge(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The attention over two sets of positions, from what `partial_attention` gives for each, [..., D + 1]."""
    # Written out, since torch's sigmoid rounds the last few numbers of a tensor in another way than those before them.
    share = 1 / (1 + torch.exp(other[..., -1:] - one[..., -1:]))
    return torch.lerp(other[..., :-1], one[..., :-1], share)


class Tiles:
    """Tiles of one width: keys and values [tiles, kv heads, width, head dim] a layer."""

    def __init__(self, width: int, like: Sequence[Layer]) -> None:
        self.width = width
        self.layers = [empty(0, width, layer) for layer in like]
        self.keys: list[bytes] = []  # what each tile holds
        self.n_rows = np.zeros(0, dtype=np.int64)  # lanes in use
        self.n_positions = np.zeros(0, dtype=np.int64)
        self._newest: dict[bytes, int] = {}

    def find(self, key: bytes) -> int | None:
        """The newest tile of these tokens, if it has a free lane."""
        tile = self._newest.get(key)
        return tile if tile is not None and self.n_rows[tile] < LANES else None

    def add(self, key: bytes, source: Sequence[Layer], source_row: int, n_positions: int) -> int:
        """A new tile, filled with the first `n_positions` of one row of `source`."""
        tile = len(self.keys)
        if tile == self.layers[0][0].shape[0]:
            self.layers = [_longer(layer, max(2 * tile, 8)) for layer in self.layers]
        for mine, theirs in zip(self.layers, source, strict=True):
            for to, of in zip(mine, theirs, strict=True):
                to[tile, :, :n_positions] = of[source_row, :, :n_positions]
        self.keys.append(key)
        self._newest[key] = tile
        self.n_rows = np.append(self.n_rows, 0)
        self.n_positions = np.append(self.n_positions, n_positions)
        return tile

    def drop(self, tile: int) -> int:
        """Take a tile out; the last one takes its place, and its former index comes back."""
        last = len(self.keys) - 1
        if self._newest.get(self.keys[tile]) == tile:
            del self._newest[self.keys[tile]]
        if tile != last:
            for layer in self.layers:
                for tensor in layer:
                    tensor[tile] = tensor[last]
            self.keys[tile] = self.keys[last]
            for numbers in (self.n_rows, self.n_positions):
                numbers[tile] = numbers[last]
            if self._newest.get(self.keys[tile]) == last:
                self._newest[self.keys[tile]] = tile
        self.keys.pop()
        self.n_rows, self.n_positions = self.n_rows[:-1], self.n_positions[:-1]
        return last


def _longer(layer: Layer, n: int) -> Layer:
    new = empty(n, layer[0].shape[2], layer)
    for mine, theirs in zip(new, layer, strict=True):
        mine[: theirs.shape[0]] = theirs
    return new


class Aim(NamedTuple):
    """One step's work with the tiles of one width."""

    tiles: Tiles
    rows: torch.Tensor  # [tiles * lanes]: whose query is in each lane; any row's where a lane is empty
    mask: torch.Tensor  # additive, [tiles * kv heads, 1, width]


class Shared:
    """All tiles of a model.

    Args:
        capacity: seats that there are.
        group: query heads that share a key head.
    """

    def __init__(self, capacity: int, group: int) -> None:
        self._min_lanes = -(-MIN_LANE_ROWS // group)
        self._tiles: dict[int, Tiles] = {}
        self._width = np.zeros(capacity, dtype=np.int64)  # by seat: of its tile; 0 if it has none
        self._tile = np.zeros(capacity, dtype=np.int64)
        self._aims: list[Aim] = []
        self._lanes = torch.zeros(0, dtype=torch.long)

    def admit(
        self,
        seats: np.ndarray,
        keys: Sequence[bytes],
        source: Sequence[Layer],
        source_rows: np.ndarray,
        n_positions: int,
    ) -> None:
        """Put rows behind the first `n_positions` of their prompts, whose tokens the keys stand for."""
        width = slot_width(n_positions)
        if width not in self._tiles:
            self._tiles[width] = Tiles(width, source)
        tiles = self._tiles[width]
        self._width[seats] = width
        for seat, key, row in zip(seats, keys, source_rows, strict=True):
            tile = tiles.find(key)
            if tile is None:
                tile = tiles.add(key, source, int(row), n_positions)
            tiles.n_rows[tile] += 1
            self._tile[seat] = tile

    def remove(self, seats: np.ndarray) -> None:
        """Take rows out, and tiles that nobody reads any more."""
        for width, tiles in list(self._tiles.items()):
            mine = seats[self._width[seats] == width]
            if not len(mine):
                continue
            self._width[mine] = 0
            np.subtract.at(tiles.n_rows, self._tile[mine], 1)
            for tile in sorted({int(t) for t in self._tile[mine] if tiles.n_rows[t] == 0}, reverse=True):
                moved = tiles.drop(tile)
                self._tile[(self._width == width) & (self._tile == moved)] = tile
            if not tiles.keys:
                del self._tiles[width]

    def aim(self, seats: np.ndarray, n_dummies: int) -> None:
        """Prepare a step of these rows, and of `n_dummies` that are nobody's behind them."""
        self._aims = []
        lane_of_row = np.zeros(len(seats) + n_dummies, dtype=np.int64)
        n_before = 0
        for width, tiles in self._tiles.items():
            rows = np.flatnonzero(self._width[seats] == width)
            tile = self._tile[seats[rows]]
            n_lanes = max(int(tiles.n_rows.max()), self._min_lanes)
            order = np.argsort(tile, kind="stable")
            starts = np.cumsum(tiles.n_rows) - tiles.n_rows
            lanes = tile[order] * n_lanes + np.arange(len(rows)) - starts[tile[order]]
            row_of_lane = np.zeros(len(tiles.keys) * n_lanes, dtype=np.int64)
            row_of_lane[lanes] = rows[order]
            lane_of_row[rows[order]] = n_before + lanes
            n_before += len(row_of_lane)
            keys = tiles.layers[0][0]
            ends = np.repeat(tiles.n_positions - 1, keys.shape[1])
            self._aims.append(Aim(tiles, torch.from_numpy(row_of_lane).to(keys.device), visible(ends, width, keys)))
            device = keys.device
        self._lanes = torch.from_numpy(lane_of_row).to(device)

    def attend(self, layer: int, query: torch.Tensor, scale: float) -> torch.Tensor:
        """The part of the attention that lies in tiles: [B, Hkv, group, D] -> [B, Hkv, group, D + 1]."""
        _, n_kv, group, dim = query.shape
        found = []
        for tiles, rows, mask in self._aims:
            keys, values = tiles.layers[layer]
            n_tiles = len(tiles.keys)
            lanes = query.index_select(0, rows).view(n_tiles, -1, n_kv, group, dim).transpose(1, 2)
            keys, values = (t[:n_tiles].view(-1, tiles.width, t.shape[-1]) for t in (keys, values))
            part = partial_attention(lanes.reshape(n_tiles * n_kv, -1, dim), keys, values, mask, scale)
            part = part.view(n_tiles, n_kv, -1, group, part.shape[-1]).transpose(1, 2)
            found.append(part.reshape(-1, n_kv, group, part.shape[-1]))
        return (found[0] if len(found) == 1 else torch.cat(found)).index_select(0, self._lanes)
