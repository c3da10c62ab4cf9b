"""Does a model, sampled through our cache, compute what it computes by itself? Asked of every model when it is loaded.

Models differ in what their attention adds to the textbook's (biases by distance, caps on scores, extra scores), and one
that does something that our cache does not know of would be sampled from wrongly, and silently.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from teachable.engines.prefill import PromptReader
from teachable.engines.slots import Slots

# Largest difference allowed, as a share of the logits' standard deviation: far above rounding in bfloat16, far below
# what a token more or less in sight makes.
TOLERANCE = 0.1
LENGTHS = (2, 7)


def decode(model: Any, slots: Slots, last_B: np.ndarray, at_B: np.ndarray) -> torch.Tensor:
    """Logits [B, V] after these tokens at these positions; `slots` has been aimed at them."""
    out = model(
        input_ids=torch.from_numpy(last_B[:, None]).to(model.device),
        position_ids=torch.from_numpy(at_B[:, None]).to(model.device),
        attention_mask=slots.mask(),
        past_key_values=slots.cache,
        use_cache=True,
    )
    logits: torch.Tensor = out.logits[:, -1]
    return logits


@torch.inference_mode()
def is_true(model: Any, context: int, *, ours: bool) -> bool:
    """Whether two short prompts of different lengths, decoded together, get the logits of plain forward passes."""
    n_vocab = model.get_input_embeddings().num_embeddings
    prompts = [[(7 * i + n) % n_vocab for i in range(n)] for n in LENGTHS]
    try:
        slots = Slots(model.config, len(prompts), ours=ours)
        seats, n_prompt = np.arange(len(prompts)), np.array(LENGTHS)
        reader = PromptReader(model, context, by_blocks=ours, prefix_bytes=0)
        for some, layers in reader.read(prompts, [[] for _ in prompts]):
            slots.admit(seats[some], n_prompt[some], [b""] * len(some), layers, np.arange(len(some)))
        slots.aim(n_prompt - 1, 0)
        order = slots.seats()
        found = decode(model, slots, np.array([prompts[i][-1] for i in order]), n_prompt[order] - 1)
        for i, logits in zip(order, found.float(), strict=True):
            own = model(input_ids=torch.tensor([prompts[i]], device=model.device)).logits[0, -1].float()
            if not bool((logits - own).abs().max() <= TOLERANCE * own.std()):
                return False
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):  # it takes no cache of ours
        return False
    return True
