"""An engine for a moment around a model that is being trained, which afterwards is exactly as it was.

Sampling and training want different things of a model: no dropout, a cache, attention that knows our slots, and the
model's own `forward` in the place of the one that a trainer has put over it. All of that is lent and given back. The
weights are read where they are, adapters included: merging adapters and taking them out again would leave other weights
behind, by rounding, than there were.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from teachable.engines.attention import ATTENTION, LIBRARY
from teachable.engines.local import PREFIX_BYTES, TransformersEngine

NAME = "live"  # weights that no digest names, so no ledger may keep what they answer


@contextmanager
def engine_around(
    model: Any, tokenizer: Any, *, batch_rows: int = 1024, prefix_bytes: int = PREFIX_BYTES
) -> Iterator[TransformersEngine]:
    """An engine for the block, around a model with a trainer's wrappers, adapters and training mode.

    In the block nothing else may use the model. Afterwards each module's mode, `forward`, and the attention are what
    they were; weights, gradients, `requires_grad` and torch's random state were never touched. On a CUDA device with
    bfloat16, float32 weights are computed with in bfloat16, as they are trained.

    Args:
        model: a causal language model of transformers, also inside PEFT's or a data-parallel wrapper. It must be whole
            on one device.

    Raises:
        TeachableError: the model has layers that are no full attention.
    """
    bare = unwrapped(model)
    training = [(module, module.training) for module in bare.modules()]
    forward, attention = vars(bare).pop("forward", None), bare.config._attn_implementation
    try:
        bare.eval()
        if attention not in (LIBRARY, ATTENTION):
            bare.config._attn_implementation = LIBRARY  # attention for packed rows knows no cache like ours
        with _precision(bare):
            yield TransformersEngine.around(
                bare, tokenizer, name=NAME, batch_rows=batch_rows, prefix_bytes=prefix_bytes
            )
    finally:
        bare.config._attn_implementation = attention
        if forward is not None:
            bare.forward = forward
        for module, mode in training:
            module.training = mode
        if bare.device.type == "cuda":
            torch.cuda.empty_cache()  # what sampling has held is training's again


def unwrapped(model: Any) -> Any:
    """The causal language model inside PEFT's and data-parallel wrappers; adapters stay in its layers."""
    while True:
        if isinstance(model, torch.nn.parallel.DistributedDataParallel):
            model = model.module
        elif hasattr(model, "get_base_model"):  # PEFT's
            model = model.get_base_model()
        else:
            return model


def _precision(model: Any) -> Any:
    """What the block computes in."""
    if model.device.type == "cuda" and model.dtype == torch.float32 and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()
