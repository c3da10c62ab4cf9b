"""A prompt that begins like an earlier one is read from where they differ, to the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from teachable.engines.attention import install
from teachable.engines.blocks import BLOCK, Layer
from teachable.engines.prefill import PromptReader
from teachable.engines.prefixes import PrefixStore, block_keys

TEXT = [(11 * i + i * i) % 200 + 4 for i in range(400)]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    assert install(model)
    return model


class Counted:
    """A model that counts the positions it reads."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.n_positions = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *, input_ids: torch.Tensor, **how: Any) -> Any:
        self.n_positions += input_ids.numel()
        return self._model(input_ids=input_ids, **how)


@torch.inference_mode()
def read(reader: PromptReader, prompts: Sequence[Sequence[int]]) -> list[list[Layer]]:
    """Each prompt's own keys and values, all but those of its last token."""
    found: dict[int, list[Layer]] = {}
    for some, layers in reader.read(prompts, [block_keys(ids) for ids in prompts]):
        for row, i in enumerate(some):
            n = len(prompts[i]) - 1
            found[i] = [(keys[row, :, :n], values[row, :, :n]) for keys, values in layers]
    return [found[i] for i in range(len(prompts))]


def same(one: list[Layer], other: list[Layer]) -> bool:
    return all(torch.equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def test_block_keys_stand_for_all_tokens_up_to_the_block() -> None:
    assert len(block_keys(TEXT[:32])) == 0  # the last token is not read
    assert len(block_keys(TEXT[:33])) == 1
    assert block_keys(TEXT[:100]) == block_keys(TEXT[:97]) == block_keys(TEXT[:300])[:3]
    other = [*TEXT[:5], 3, *TEXT[6:100]]
    assert not set(block_keys(other)) & set(block_keys(TEXT[:100]))


def test_what_is_kept_is_not_read_again(model: Any) -> None:
    counted = Counted(model)
    reader = PromptReader(counted, 1024, by_blocks=True, prefix_bytes=1 << 30)
    read(reader, [TEXT[:300]])
    assert counted.n_positions == 320
    for length in (299, 150, 257, 400):
        before = counted.n_positions
        again = read(reader, [TEXT[:length]])
        assert counted.n_positions - before == (4 * BLOCK if length == 400 else BLOCK)
        fresh = read(PromptReader(model, 1024, by_blocks=True, prefix_bytes=0), [TEXT[:length]])
        assert same(again[0], fresh[0])


def test_of_prompts_that_come_together_the_longest_is_read_first(model: Any) -> None:
    """Twenty prompts of 205 to 300 tokens: the longest whole, each other one's last block."""
    counted = Counted(model)
    reader = PromptReader(counted, 1024, by_blocks=True, prefix_bytes=1 << 30)
    prompts = [TEXT[: 205 + 5 * i] for i in range(20)]
    found = read(reader, prompts)
    assert counted.n_positions == 320 + 19 * BLOCK
    fresh = read(PromptReader(model, 1024, by_blocks=True, prefix_bytes=0), prompts)
    assert all(same(a, b) for a, b in zip(found, fresh, strict=True))


def test_too_small_a_store_costs_time_and_nothing_else(model: Any) -> None:
    reader = PromptReader(model, 1024, by_blocks=True, prefix_bytes=100_000)
    fresh = PromptReader(model, 1024, by_blocks=True, prefix_bytes=0)
    for shift in range(12):
        prompts = [[*TEXT[shift : 60 + 20 * i], *TEXT[:shift]] for i in range(12)]
        assert all(same(a, b) for a, b in zip(read(reader, prompts), read(fresh, prompts), strict=True))


def test_reading_equals_the_models_own(model: Any) -> None:
    from transformers import AutoModelForCausalLM, DynamicCache

    own = AutoModelForCausalLM.from_pretrained(model.config._name_or_path).eval()
    cache = DynamicCache()
    own(input_ids=torch.tensor([TEXT[:299]]), past_key_values=cache)
    [found] = read(PromptReader(model, 1024, by_blocks=True, prefix_bytes=0), [TEXT[:300]])
    for (keys, values), layer in zip(found, cache.layers, strict=True):
        torch.testing.assert_close(keys, layer.keys[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(values, layer.values[0], rtol=1e-4, atol=1e-4)


def test_the_store_keeps_what_was_used_last() -> None:
    layer = (torch.zeros(1, 1, 64, 4), torch.zeros(1, 1, 64, 4))  # 2048 bytes
    store = PrefixStore(3 * 2048)
    prompts = [block_keys([i, *TEXT[:70]]) for i in range(4)]
    for keys in prompts[:3]:
        store.add([keys], [layer])
    store.gather([prompts[0]], 2)
    store.add([prompts[3]], [layer])
    store.trim()
    assert [store.n_known(keys) for keys in prompts] == [2, 0, 2, 2]


def test_blocks_outlive_their_first_reading_if_they_were_read_again() -> None:
    layer = (torch.zeros(1, 1, 64, 4), torch.zeros(1, 1, 64, 4))
    store = PrefixStore(2048)
    keys, longer = block_keys(TEXT[:40]), block_keys(TEXT[:70])
    store.add([keys], [layer])
    store.add([longer], [layer])
    store.trim()
    assert store.n_known(longer) == 2
