"""Keys and values of prompts that were read lately, found by their tokens, so that a prompt that begins like one of
them is read only from where it differs.

What is kept is the reader's own result, whole blocks of a prompt and nothing copied. The oldest results go when more
than `max_bytes` are kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from teachable.engines.blocks import BLOCK, Layer


def block_keys(prompt_ids: Sequence[int]) -> list[bytes]:
    """One key a whole block of the prompt's tokens, made from that block and all before it.

    The last token is left out: it is the row's first decoding step.
    """
    ids = np.asarray(prompt_ids, dtype=np.int64)
    running = hashlib.blake2b(digest_size=16)
    keys = []
    for first in range(0, (len(ids) - 1) // BLOCK * BLOCK, BLOCK):
        running.update(ids[first : first + BLOCK].tobytes())
        keys.append(running.digest())
    return keys


@dataclass
class Read:
    """Prompts that were read together: keys and values a layer, [prompts, kv heads, positions, head dim]."""

    layers: list[Layer]
    keys: list[bytes] = field(default_factory=list)

    @property
    def n_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for layer in self.layers for tensor in layer)


class PrefixStore:
    """Whole blocks of prompts, by the tokens up to their end.

    Args:
        max_bytes: of keys and values that are kept; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._places: dict[bytes, tuple[Read, int]] = {}  # block key -> what was read, row in it
        self._reads: OrderedDict[int, Read] = OrderedDict()  # least lately used first

    def n_known(self, keys: Sequence[bytes]) -> int:
        """How many of a prompt's blocks, from the first on, are here."""
        return next((i for i, key in enumerate(keys) if key not in self._places), len(keys))

    def gather(self, prompts: Sequence[Sequence[bytes]], n_blocks: int) -> list[Layer]:
        """The first `n_blocks` blocks of each prompt: [prompts, kv heads, n_blocks * BLOCK, head dim] a layer."""
        places = [self._places[keys[n_blocks - 1]] for keys in prompts]
        for read, _ in places:
            self._reads.move_to_end(id(read))
        width = n_blocks * BLOCK
        return [
            (
                torch.stack([read.layers[i][0][row, :, :width] for read, row in places]),
                torch.stack([read.layers[i][1][row, :, :width] for read, row in places]),
            )
            for i in range(len(places[0][0].layers))
        ]

    def add(self, prompts: Sequence[Sequence[bytes]], layers: list[Layer]) -> None:
        """Keep what was read of these prompts, unless there is no whole block in it."""
        read = Read(layers)
        for row, keys in enumerate(prompts):
            read.keys += keys
            self._places.update((key, (read, row)) for key in keys)
        if not read.keys:
            return
        self._reads[id(read)] = read
        self._n_bytes += read.n_bytes

    def trim(self) -> None:
        """Let the least lately used go until what is kept fits."""
        while self._n_bytes > self._max_bytes:
            _, oldest = self._reads.popitem(last=False)
            self._n_bytes -= oldest.n_bytes
            for key in oldest.keys:
                if key in self._places and self._places[key][0] is oldest:  # a later reading may have the block too
                    del self._places[key]
