"""Whatever enters, grows and leaves, every row finds its own keys and values, and attends to them as it should."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from teachable.engines.blocks import Layer, slot_width
from teachable.engines.prefixes import block_keys
from teachable.engines.shared import LANES, merge, partial_attention
from teachable.engines.slots import SHARE_FROM, Slots

N_LAYERS, N_HEADS, N_KV, DIM = 2, 4, 2, 8
CONFIG = SimpleNamespace(num_hidden_layers=N_LAYERS, num_attention_heads=N_HEADS, num_key_value_heads=N_KV)
CAPACITY = 60


def some(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def reference(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """[H, D] against [Hkv, T, D]."""
    keys, values = (t.repeat_interleave(N_HEADS // N_KV, 0) for t in (keys, values))
    weights = (torch.einsum("hd,htd->ht", query, keys) * 0.3).softmax(-1)
    return torch.einsum("ht,htd->hd", weights, values)


class Rehearsal:
    """Slots beside a plain list of what every row holds."""

    def __init__(self) -> None:
        self.slots = Slots(CONFIG, CAPACITY, ours=True)
        self.length = np.zeros(CAPACITY, dtype=np.int64)
        self.held: dict[int, list[Layer]] = {}  # by seat: keys and values a layer, [Hkv, T, D]

    def admit(self, prompts: list[list[int]], n_rows: list[int]) -> None:
        """Prompts of one number of blocks; equal beginnings get equal keys and values."""
        width = max(len(p) for p in prompts)
        layers = []
        for i in range(N_LAYERS):
            made = []
            for kind in range(2):
                table = torch.randn(300, N_KV, DIM, generator=torch.Generator().manual_seed(10 * i + kind))
                rows = [torch.cat([table[p], some(width - len(p), N_KV, DIM)]) for p in prompts]
                made.append(torch.stack(rows).transpose(1, 2))
            layers.append((made[0], made[1]))
        source = np.repeat(np.arange(len(prompts)), n_rows)
        free = [seat for seat in range(CAPACITY) if seat not in self.held]
        seats = np.array(free[: len(source)])
        n_prompt = np.array([len(prompts[i]) for i in source])
        keys = [block_keys(prompts[i]) for i in source]
        self.slots.admit(seats, n_prompt, [k[-1] if k else b"" for k in keys], layers, source)
        self.length[seats] = n_prompt - 1
        for seat, i in zip(seats.tolist(), source, strict=True):
            n = len(prompts[i]) - 1
            self.held[seat] = [(keys[i, :, :n].clone(), values[i, :, :n].clone()) for keys, values in layers]

    def step(self, n_dummies: int = 0) -> None:
        """Every row writes one position, and what it then attends to is compared."""
        order = self.slots.seats()
        assert sorted(order) == sorted(self.held)
        self.slots.aim(self.length, n_dummies)
        n = len(order) + n_dummies
        for i in range(N_LAYERS):
            new_keys, new_values, query = some(n, N_KV, 1, DIM), some(n, N_KV, 1, DIM), some(n, N_HEADS, 1, DIM)
            keys, _ = self.slots.cache.update(new_keys, new_values, i)
            found = keys.teachable_attend(query, 0.3)
            assert found.shape == (n, 1, N_HEADS, DIM)
            for row, seat in enumerate(order.tolist()):
                old_keys, old_values = self.held[seat][i]
                self.held[seat][i] = (
                    torch.cat([old_keys, new_keys[row]], 1),
                    torch.cat([old_values, new_values[row]], 1),
                )
                expected = reference(query[row, :, 0], *self.held[seat][i])
                torch.testing.assert_close(found[row, 0], expected, rtol=1e-4, atol=1e-5)
        self.length[order] += 1
        self.slots.grow(self.length)

    def remove(self, seats: list[int]) -> None:
        self.slots.remove(np.array(seats))
        for seat in seats:
            del self.held[seat]


@pytest.mark.parametrize("seed", range(4))
def test_rows_come_grow_and_go(seed: int) -> None:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    it = Rehearsal()
    stories = [[rng.randrange(300) for _ in range(260)] for _ in range(2)]
    for turn in range(70):
        if turn % 7 == 0:
            n_blocks = rng.choice([1, 2, 3, 4, 5, 8])
            prompts = [rng.choice(stories)[: 32 * n_blocks - rng.randrange(32)] for _ in range(rng.randint(1, 3))]
            n_rows = [rng.choice([1, 2, 5]) for _ in prompts]
            if len(it.held) + sum(n_rows) <= CAPACITY:
                it.admit(prompts, n_rows)
        it.step(n_dummies=rng.choice([0, 0, 3]))
        leaving = [seat for seat in it.held if rng.random() < 0.06]
        if leaving and len(leaving) < len(it.held):
            it.remove(leaving)


def test_the_beginning_of_a_long_prompt_is_kept_once() -> None:
    torch.manual_seed(0)
    it = Rehearsal()
    story = [i % 300 for i in range(200)]
    it.admit([story, story[:195]], [LANES - 2, 1])  # both have the same six blocks
    it.admit([[1, *story[:198]]], [1])
    [tiles] = it.slots.shared._tiles.values()
    assert tiles.n_rows.tolist() == [LANES - 1, 1]
    it.admit([story], [4])  # one lane is left in the first tile
    assert tiles.n_rows.tolist() == [LANES, 1, 3]
    it.step()
    it.remove([seat for seat in it.held if seat < LANES])  # the first tile and the second lose their last row
    assert tiles.n_rows.tolist() == [1, 3] or tiles.n_rows.tolist() == [3, 1] or tiles.n_rows.tolist() == [3]
    it.step()
    it.remove(list(it.held))
    assert not it.slots.shared._tiles
    assert not len(it.slots.seats())


def test_short_prompts_lie_in_their_slots_alone() -> None:
    it = Rehearsal()
    it.admit([[5] * SHARE_FROM], [2])
    assert not it.slots.shared._tiles
    it.step()


def test_parts_of_the_attention_merge_to_the_whole() -> None:
    torch.manual_seed(1)
    query, keys, values = some(3, 4, DIM), some(3, 50, DIM) * 3, some(3, 50, DIM)
    mask = torch.zeros(3, 1, 50)
    mask[0, :, 18:20] = mask[1, :, 40:] = torch.finfo(torch.float32).min
    whole = partial_attention(query, keys, values, mask, 0.5)[..., :-1]
    parts = [partial_attention(query, keys[:, s], values[:, s], mask[:, :, s], 0.5) for s in (slice(20), slice(20, 50))]
    torch.testing.assert_close(merge(*parts), whole, rtol=1e-5, atol=1e-6)
    # One part may outweigh the other by more than a float can tell.
    strong = parts[0].clone()
    strong[..., -1] += 500
    torch.testing.assert_close(merge(strong, parts[1]), parts[0][..., :-1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(merge(parts[1], strong), parts[0][..., :-1], rtol=1e-6, atol=1e-6)


def test_widths_are_steps_of_a_half() -> None:
    widths = sorted({slot_width(n) for n in range(1, 1000)})
    assert widths == [32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024]
    assert all(slot_width(n) >= n for n in range(1, 1000))
    assert all(slot_width(w) == w for w in widths)
