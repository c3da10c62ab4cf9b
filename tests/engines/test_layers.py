"""Groups of layers, told from tensors' names."""

from __future__ import annotations

import pytest

from teachable.engines.layers import GROUPS, group_of


@pytest.mark.parametrize("style", ["model.layers.{}.mlp.weight", "transformer.h.{}.attn.weight", "blocks.{}.w"])
def test_layers_are_three_thirds(style: str) -> None:
    names = ["model.embed_tokens.weight", "lm_head.weight", "model.norm.weight", *(style.format(i) for i in range(12))]
    groups = group_of(names)
    assert [groups[name] for name in names[:3]] == ["embedding", "rest", "rest"]
    assert [groups[name] for name in names[3:]] == [group for group in GROUPS[1:4] for _ in range(4)]
