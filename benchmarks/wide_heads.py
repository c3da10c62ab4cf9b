"""The same model with wider attention heads, for servers that only know certain widths.

vLLM's attention on a CPU takes heads of 32, 64, 80, 96, 112, 128, 160, 192, 224, 256 or 512 numbers; the quickstart's
base has heads of 24. `widen_heads` writes a Llama folder whose heads are filled up with zeros to a width that is
taken. It is the same function of its input, up to rounding:

- Rotary position embedding turns the pair (i, i + d/2) of a head of width d by position * theta^(-2i/d). In a head of
  width D the base theta^(D/d) gives pair i the same angle, so the halves of a head move to the starts of the halves of
  the wider one. The added pairs hold zeros in queries, keys and values, whatever their angle.
- Scores are divided by sqrt(D) instead of sqrt(d), so the query weights are multiplied by sqrt(D/d).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from teachable.train.embedded import save_model


def fill_heads(weight: torch.Tensor, width: int, wide: int, *, rotary: bool) -> torch.Tensor:
    """Rows of (n_heads * width, n_in) moved into (n_heads * wide, n_in); the rows between them are zero."""
    heads_N_W_I = weight.view(-1, width, weight.shape[1])
    filled_N_D_I = weight.new_zeros(heads_N_W_I.shape[0], wide, weight.shape[1])
    if rotary:
        half = width // 2
        filled_N_D_I[:, :half] = heads_N_W_I[:, :half]
        filled_N_D_I[:, wide // 2 : wide // 2 + half] = heads_N_W_I[:, half:]
    else:
        filled_N_D_I[:, :width] = heads_N_W_I
    return filled_N_D_I.reshape(-1, weight.shape[1])


def wide_state(state: dict[str, torch.Tensor], width: int, wide: int) -> dict[str, torch.Tensor]:
    """A Llama's weights with heads of `wide` numbers instead of `width`."""
    found: dict[str, torch.Tensor] = {}
    for name, weight in state.items():
        if name.endswith("q_proj.weight"):
            weight = fill_heads(weight, width, wide, rotary=True) * (wide / width) ** 0.5
        elif name.endswith("k_proj.weight"):
            weight = fill_heads(weight, width, wide, rotary=True)
        elif name.endswith("v_proj.weight"):
            weight = fill_heads(weight, width, wide, rotary=False)
        elif name.endswith("o_proj.weight"):
            weight = fill_heads(weight.T, width, wide, rotary=False).T.contiguous()
        found[name] = weight
    return found


def widen_heads(source: Path, target: Path, wide: int) -> float:
    """Write the Llama of `source` with heads of `wide` numbers to `target`.

    Returns the largest difference between the logits of both on one sequence of 64 tokens.

    Raises:
        ValueError: the model has other rotary embeddings than the plain ones, biases, or wider heads.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, use_safetensors=True).eval()
    config = model.config
    width, rope = config.head_dim, config.rope_parameters
    if config.model_type != "llama" or config.attention_bias or rope["rope_type"] != "default" or width > wide:
        raise ValueError(f"{source}: only a plain Llama with heads of at most {wide} numbers can be widened")
    changed = config.to_dict() | {
        "head_dim": wide,
        "rope_parameters": {"rope_type": "default", "rope_theta": rope["rope_theta"] ** (wide / width)},
    }
    other: Any = LlamaForCausalLM(LlamaConfig(**changed)).eval()
    other.load_state_dict(wide_state(model.state_dict(), width, wide))
    with torch.no_grad():
        ids_1_T = torch.arange(64)[None] % config.vocab_size
        difference = (model(ids_1_T).logits - other(ids_1_T).logits).abs().max().item()
    save_model(other, AutoTokenizer.from_pretrained(source), target)
    return float(difference)
