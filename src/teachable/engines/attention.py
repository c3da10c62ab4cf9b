"""Our attention in transformers' registry: a cache of ours hands out keys that know how they are attended to.

Whatever else the model does (a plain forward pass, `generate`) goes to the library's own attention and mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

ATTENTION = "teachable"
LIBRARY = "sdpa"
# A mask of four dimensions is passed on by the library as it is; without one, it would make its own for nothing.
NO_MASK = torch.zeros((1, 1, 1, 1))

Attend = Callable[[torch.Tensor, float], torch.Tensor]  # query [B, H, T, D] and scale -> [B, T, H, D]


def with_attention(keys: torch.Tensor, attend: Attend) -> torch.Tensor:
    """The keys as a cache returns them to the model, with how they are attended to."""
    seen = keys.view_as(keys)
    seen.teachable_attend = attend  # type: ignore[attr-defined]
    return seen


def install(model: Any) -> bool:
    """Let the model attend in the way of the keys that it gets.

    Returns:
        Whether it does; a model with attention code of its own is left as it is.
    """
    ours = model.config._attn_implementation in (LIBRARY, ATTENTION) and bool(model._supports_attention_backend)
    if ours:
        model.config._attn_implementation = ATTENTION
    return ours


def uninstall(model: Any) -> None:
    """Let the model attend in the library's way again."""
    model.config._attn_implementation = LIBRARY


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    attend: Attend | None = getattr(key, "teachable_attend", None)
    if attend is not None:
        return attend(query, scaling if scaling is not None else query.shape[-1] ** -0.5), None
    library = ALL_ATTENTION_FUNCTIONS[LIBRARY]
    out: tuple[torch.Tensor, None] = library(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
    )
    return out


ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, ALL_MASK_ATTENTION_FUNCTIONS[LIBRARY])
