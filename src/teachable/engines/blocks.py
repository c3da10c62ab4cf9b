"""What the caches share: how wide they are, and what a query sees of them.

Attention rounds by the width that it reads, on a CPU at least. So every width is a function of a row's own length, and
never of its neighbours'.
"""

from __future__ import annotations

import numpy as np
import torch

# Prompts are read in blocks of this many positions, and nothing is narrower.
BLOCK = 32

Layer = tuple[torch.Tensor, torch.Tensor]  # keys and values: [rows, kv heads, positions, head dim]


def slot_width(n_positions: int) -> int:
    """The width of what holds so many positions: BLOCK times 1, 1.5, 2, 3, 4, 6, 8, ..."""
    width = BLOCK
    while width < n_positions:
        width = width * 3 // 2 if width & (width - 1) == 0 else width * 4 // 3
    return width


def empty(n_rows: int, width: int, like: Layer) -> Layer:
    """Room for keys and values. Zeros, since what is masked is still multiplied (by nothing), and must be finite."""
    keys, values = (t.new_zeros((n_rows, t.shape[1], width, t.shape[3])) for t in like)
    return keys, values


def visible(ends: np.ndarray, width: int, like: torch.Tensor) -> torch.Tensor:
    """The additive mask of queries that see the positions up to and with `ends`: [len(ends), 1, width]."""
    unseen = torch.arange(width, device=like.device) > torch.from_numpy(ends).to(like.device)[:, None, None]
    return torch.where(unseen, like.new_full((), torch.finfo(like.dtype).min), like.new_zeros(()))
