"""Tiny real parts: a Llama of some thousand parameters, and sequences to train it on."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.train.toy import PAD, VOCAB
from tests.train.tuning import base, little_garbage, run  # noqa: F401 (fixtures)

from teachable.train.loop import Optimisation, TokenSequence


@pytest.fixture
def tiny_llama() -> Callable[[], Any]:
    """Makes the same random Llama each time: 19 thousand parameters in float32, tied embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    def make() -> Any:
        torch.manual_seed(0)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCAB,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=1,
                max_position_embeddings=64,
                tie_word_embeddings=True,
                pad_token_id=PAD,
                eos_token_id=1,
                bos_token_id=None,
            )
        )

    return make


@pytest.fixture
def sequences() -> list[TokenSequence]:
    """24 random sequences of 6 to 30 tokens, the loss on the last part of each."""
    rng = random.Random(0)
    found = []
    for _ in range(24):
        n = rng.randint(6, 30)
        n_prompt = rng.randint(1, n - 2)
        ids = tuple(rng.randrange(2, VOCAB) for _ in range(n))
        found.append(TokenSequence(ids, tuple(i >= n_prompt for i in range(n))))
    return found


@pytest.fixture
def how() -> Optimisation:
    """Everything that can differ between two trainers is on: warm-up, decay, and a norm that really clips."""
    return Optimisation(
        learning_rate=5e-3,
        schedule="constant",
        warmup_frac=0.25,
        weight_decay=0.1,
        max_grad_norm=0.3,
        betas=(0.9, 0.98),
    )
