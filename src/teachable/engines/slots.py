"""A key/value cache of slots, one a row, and the decode attention that reads it.

Rows of different lengths decode together: each row writes its next key and value at its own position and
attends to what lies before it. Rows leave as they finish and others take their slots, so no step is spent on a
finished row. Unlike a left-padded batch, a row's numbers do not depend on how long its neighbours are.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "teachable_slots"
GROWTH = 64  # cache positions are added in blocks of this many


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values: [rows, kv heads, positions, head dim]."""

    is_sliding = False
    keys: Any  # tensors once the first prompt is in
    values: Any

    def __init__(self) -> None:
        super().__init__()
        self.rows: torch.Tensor | None = None
        self.at: torch.Tensor | None = None
        self.width = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.is_initialized = True

    def reserve(self, n_rows: int, width: int, like: torch.Tensor) -> None:
        """Make room for `n_rows` rows of `width` positions; what is there stays."""
        old: torch.Tensor | None = self.keys
        if old is not None and old.shape[0] >= n_rows and old.shape[2] >= width:
            return
        rows = max(n_rows, old.shape[0] if old is not None else 0)
        positions = max(width, old.shape[2] if old is not None else 0)
        positions = -(-positions // GROWTH) * GROWTH
        shape = (rows, like.shape[1], positions, like.shape[3])
        keys, values = like.new_zeros(shape), like.new_zeros(shape)
        if old is not None:
            keys[: old.shape[0], :, : old.shape[2]] = old
            values[: old.shape[0], :, : old.shape[2]] = self.values
        self.keys, self.values = keys, values
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one new position a row ([B, H, 1, D]) and return the rows' keys and values up to `width`."""
        n = key_states.shape[0]
        self.keys[self.rows, :, self.at] = key_states[:, :, 0]
        self.values[self.rows, :, self.at] = value_states[:, :, 0]
        return self.keys[:n, :, : self.width], self.values[:n, :, : self.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.width, 0

    def get_seq_length(self) -> int:
        return self.width - 1

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """Slots for a whole model."""

    def __init__(self, n_layers: int) -> None:
        super().__init__(layers=[SlotLayer() for _ in range(n_layers)])

    def aim(self, rows: torch.Tensor, at: torch.Tensor, width: int) -> None:
        """Say where the next step writes: row indices [B], positions [B], and the width that it reads."""
        for layer in self.layers:
            layer.rows, layer.at, layer.width = rows, at, width

    def fill(self, rows: torch.Tensor, source: Cache, source_rows: torch.Tensor, width: int, n_rows: int) -> None:
        """Copy prompts' keys and values from a prefill's cache into slots; one prompt may fill many."""
        for mine, theirs in zip(self.layers, source.layers, strict=True):
            mine.reserve(n_rows, width, theirs.keys)
            mine.keys[rows, :, : theirs.keys.shape[2]] = theirs.keys[source_rows]
            mine.values[rows, :, : theirs.values.shape[2]] = theirs.values[source_rows]

    def grow(self, n_rows: int, width: int) -> None:
        """Make sure that `width` positions are there."""
        for layer in self.layers:
            layer.reserve(n_rows, width, layer.keys)

    def move(self, source: torch.Tensor, target: torch.Tensor, width: int) -> None:
        """Copy slots `source` over slots `target`."""
        for layer in self.layers:
            layer.keys[target, :, :width] = layer.keys[source, :, :width]
            layer.values[target, :, :width] = layer.values[source, :, :width]


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
    """Decode attention of one query a row: [B, H, 1, D] against [B, Hkv, L, D]; additive mask [B, 1, 1, L].

    Query heads that share a key head are folded into the rows of one matrix product, so that keys are neither
    copied nor read once a head. Longer queries (prefill) go to the library's own attention.
    """
    n_rows, n_heads, n_queries, width = query.shape
    if n_queries != 1 or attention_mask is None:
        sdpa = ALL_ATTENTION_FUNCTIONS["sdpa"]
        out: tuple[torch.Tensor, None] = sdpa(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
        return out
    n_kv = key.shape[1]
    folded = query.reshape(n_rows, n_kv, n_heads // n_kv, width)
    scores = torch.matmul(folded, key.transpose(2, 3)) * (scaling if scaling is not None else width**-0.5)
    scores += attention_mask
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(value.dtype)
    mixed = torch.matmul(weights, value)
    return mixed.reshape(n_rows, 1, n_heads, width), None


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, slot_attention)
