"""Reads prompts: their keys and values, each prompt once however many samples are asked of it.

Prompts are padded to whole blocks and read together with those of the same number of blocks. Within a layer, each
block of queries attends to what lies before its end by a call of its own, whose shapes depend on the block's place
alone: a block's keys and values are then the same, to the last bit, whether the blocks before it were read along with
it or taken from the store of prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from teachable.engines.attention import NO_MASK, with_attention
from teachable.engines.blocks import BLOCK, Layer
from teachable.engines.prefixes import PrefixStore

MAX_POSITIONS = 8192  # read in one pass of the model: what it computes on the way must fit into memory


class PromptReader:
    """Reads prompts with one model.

    Args:
        model: the model.
        context: positions that it has.
        by_blocks: its attention goes through transformers' registry, so that it may be read block by block.
        prefix_bytes: how many bytes of keys and values to keep for prompts that begin alike; 0 keeps none.
    """

    def __init__(self, model: Any, context: int, *, by_blocks: bool, prefix_bytes: int) -> None:
        self._model = model
        self._context = context
        self._by_blocks = by_blocks
        self._store = PrefixStore(prefix_bytes) if by_blocks and prefix_bytes else None
        self._n_layers: int = model.config.num_hidden_layers

    def read(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[Sequence[bytes]]
    ) -> Iterator[tuple[list[int], list[Layer]]]:
        """Read all but each prompt's last token, which is its rows' first decoding step.

        Args:
            prompts: token ids.
            keys: each one's `block_keys`.

        Yields:
            Which of the prompts, all of the same number of blocks, and their keys and values a layer: [prompts, kv
            heads, positions, head dim]. What lies behind a prompt's own positions means nothing.
        """
        if self._store is None:
            yield from self._read_alike(prompts, range(len(prompts)), keys)
            return
        first, later = self._take_turns(keys)
        for some in (first, later):
            yield from self._read_alike(prompts, some, keys)
        self._store.trim()  # not before, since what was counted on must stay until it is read

    def _take_turns(self, keys: Sequence[Sequence[bytes]]) -> tuple[list[int], list[int]]:
        """Split prompts so that of those that begin alike the longest is read first, and the others reuse it."""
        assert self._store is not None
        claimed: set[bytes] = set()
        first, later = [], []
        for i in sorted(range(len(keys)), key=lambda i: -len(keys[i])):
            unknown = keys[i][self._store.n_known(keys[i]) :]
            if unknown and unknown[0] in claimed:
                later.append(i)
            else:
                claimed.update(unknown)
                first.append(i)
        return first, later

    def _read_alike(
        self, prompts: Sequence[Sequence[int]], some: Sequence[int], keys: Sequence[Sequence[bytes]]
    ) -> Iterator[tuple[list[int], list[Layer]]]:
        """Read `some` of the prompts, together where as many blocks are known and as many are not."""
        groups: dict[tuple[int, int], list[int]] = {}
        for i in some:
            n_known = self._store.n_known(keys[i]) if self._store else 0
            groups.setdefault((n_known, -(-len(prompts[i]) // BLOCK)), []).append(i)
        for (n_known, n_blocks), group in sorted(groups.items()):
            n_at_once = max(1, MAX_POSITIONS // ((n_blocks - n_known) * BLOCK))
            for at in range(0, len(group), n_at_once):
                chosen = group[at : at + n_at_once]
                yield chosen, self._pass([prompts[i] for i in chosen], [keys[i] for i in chosen], n_known, n_blocks)

    def _pass(
        self, prompts: Sequence[Sequence[int]], keys: Sequence[Sequence[bytes]], n_known: int, n_blocks: int
    ) -> list[Layer]:
        """One pass of the model over blocks `n_known` to `n_blocks` of these prompts."""
        first, last = n_known * BLOCK, min(n_blocks * BLOCK, self._context)
        ids_B_T = torch.zeros((len(prompts), last - first), dtype=torch.long)
        for row, ids in enumerate(prompts):
            ids_B_T[row, : len(ids) - first] = torch.tensor(ids[first:])
        device = self._model.device
        how: dict[str, Any] = {"past_key_values": DynamicCache()}
        if self._by_blocks:
            known = self._store.gather(keys, n_known) if self._store and n_known else [None] * self._n_layers
            how = {
                "past_key_values": Cache(layers=[PromptLayer(layer) for layer in known]),
                "position_ids": torch.arange(first, last, device=device).expand(len(prompts), -1),
                "attention_mask": NO_MASK.to(device),
            }
        self._model(input_ids=ids_B_T.to(device), use_cache=True, logits_to_keep=1, **how)
        cache: Cache = how["past_key_values"]
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        if self._store:
            self._store.add(keys, layers)
        return layers


class PromptLayer(CacheLayerMixin):
    """One layer's keys and values of prompts under way: what was known, and then what is read."""

    is_sliding = False
    keys: Any
    values: Any

    def __init__(self, known: Layer | None) -> None:
        super().__init__()
        if known is not None:
            self.keys, self.values = known
            self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append what was read ([B, H, T, D]); everything up to its end comes back."""
        if self.is_initialized:
            key_states = torch.cat([self.keys, key_states], dim=2)
            value_states = torch.cat([self.values, value_states], dim=2)
        self.keys, self.values, self.is_initialized = key_states, value_states, True
        return with_attention(key_states, partial(attend_causally, key_states, value_states)), value_states

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return int(self.keys.shape[2]) if self.is_initialized else 0

    def get_max_length(self) -> int:
        return -1


def attend_causally(key: torch.Tensor, value: torch.Tensor, query: torch.Tensor, scale: float) -> torch.Tensor:
    """Causal attention of the last T of L positions: [B, H, T, D] against [B, Hkv, L, D] -> [B, T, H, D].

    A block of queries at a time on a CPU, where its shapes make the rounding. Elsewhere all at once.
    """
    n_queries, width = query.shape[2], key.shape[2]
    step = BLOCK if query.device.type == "cpu" else n_queries
    mixed = []
    for first in range(0, n_queries, step):
        some = query[:, :, first : first + step]
        end = width - n_queries + first + some.shape[2]
        mask = _causal(some.shape[2], end, query.device)
        mixed.append(
            F.scaled_dot_product_attention(
                some, key[:, :, :end], value[:, :, :end], attn_mask=mask, scale=scale, enable_gqa=True
            )
        )
    return torch.cat(mixed, dim=2).transpose(1, 2).contiguous()


@lru_cache(maxsize=256)
def _causal(n_queries: int, width: int, device: torch.device) -> torch.Tensor:
    """The mask of the last queries of `width` positions, [queries, width]: each sees what is not after it."""
    with torch.inference_mode(False):
        return torch.ones((n_queries, width), dtype=torch.bool, device=device).tril(width - n_queries)
