"""A real, tiny model with random weights, saved and loaded like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from teachable.train.config import PretrainConfig
from teachable.train.embedded import SPECIAL_TOKENS, build_model, chat_tokenizer, save_model


def tiny_tokenizer():
    """A byte-level tokenizer without merges: no corpus is needed."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIAL_TOKENS, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return chat_tokenizer(inner)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of two layers, grouped heads and random weights of a size that makes choices matter."""
    import torch

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = tiny_tokenizer()
    config = PretrainConfig(hidden_size=32, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=64, seed=3)
    model = build_model(config, tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(6.0)  # initial weights are so small that every token is equally likely
    save_model(model, tokenizer, folder)
    return folder
