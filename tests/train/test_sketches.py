"""Sketches of gradients: exact where they fit, right on average where they don't, linear, and the same every time."""

from __future__ import annotations

import math

import pytest
import torch

from teachable.train.sketches import Sketcher

SIZES = {"model.embed_tokens.weight": 40, "model.layers.0.a.weight": 900, "model.layers.1.a.weight": 1000, "norm": 7}


def gradients(seed: int, sizes: dict[str, int] = SIZES) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {name: torch.randn(size, generator=rng) for name, size in sizes.items()}


def sketched(found: dict[str, torch.Tensor], **settings: int) -> Sketcher:
    sketcher = Sketcher({name: tensor.numel() for name, tensor in found.items()}, **settings)
    for name, tensor in found.items():
        sketcher.add(name, tensor)
    return sketcher


def dot(one: Sketcher, two: Sketcher) -> float:
    return sum(float(one.kept[group] @ two.kept[group]) for group in one.kept)


def test_what_fits_is_kept_as_it_is() -> None:
    one, two = gradients(0), gradients(1)
    first, second = sketched(one), sketched(two)
    assert first.exact and list(first.kept) == ["embedding", "early layers", "middle layers", "rest"]
    assert [len(values) for values in first.kept.values()] == [40, 900, 1000, 7]
    assert dot(first, second) == pytest.approx(sum(float(one[name] @ two[name]) for name in one), rel=1e-5)
    assert torch.equal(first.sampled, torch.cat(list(one.values())))


def test_a_tensor_of_any_shape_and_type_is_added_up_over_batches() -> None:
    one, two = gradients(0), gradients(1)
    sketcher = Sketcher(SIZES, width=64)
    sketcher.add("model.layers.0.a.weight", one["model.layers.0.a.weight"].reshape(30, 30))
    sketcher.add("model.layers.0.a.weight", two["model.layers.0.a.weight"])
    both = Sketcher(SIZES, width=64)
    both.add("model.layers.0.a.weight", one["model.layers.0.a.weight"] + two["model.layers.0.a.weight"])
    assert torch.allclose(sketcher.kept["early layers"], both.kept["early layers"], atol=1e-5)
    both.clear()
    assert dot(both, both) == 0 and not both.sampled.any()
    both.add("norm", torch.ones(7, dtype=torch.bfloat16))
    assert both.kept["rest"].dtype == torch.float32 and both.kept["rest"].tolist() == [1.0] * 7


def test_inner_products_are_right_on_average_and_off_by_as_much_as_said() -> None:
    """Over 300 draws of signs and offsets, of vectors that are alike, and that repeat every `width` numbers."""
    width, n = 64, 1000
    rng = torch.Generator().manual_seed(0)
    pattern = torch.randn(width, generator=rng).repeat(n // width + 1)[:n]
    one = {"h.0.a": pattern + torch.randn(n, generator=rng)}
    two = {"h.0.a": pattern + torch.randn(n, generator=rng)}
    truth = float(one["h.0.a"] @ two["h.0.a"])
    scale = float(one["h.0.a"].norm() * two["h.0.a"].norm()) / math.sqrt(width)
    draws = [dot(sketched(one, width=width, seed=seed), sketched(two, width=width, seed=seed)) for seed in range(300)]
    errors = (torch.tensor(draws) - truth) / scale
    assert abs(float(errors.mean())) < 4 / math.sqrt(300)
    assert 0.5 < float(errors.std()) < 1.6


def test_it_is_the_same_every_time_and_a_large_tensor_is_cut_in_rows() -> None:
    found = gradients(2)
    one, two = (sketched(found, width=100, n_sampled=50) for _ in range(2))
    assert not one.exact and len(one.kept["middle layers"]) == 100 and len(one.kept["embedding"]) == 40
    assert all(torch.equal(one.kept[group], two.kept[group]) for group in one.kept)
    assert torch.equal(one.sampled, two.sampled) and 45 <= len(one.sampled) <= 55
    everything = torch.cat(list(found.values()))
    assert all(bool((value == everything).any()) for value in one.sampled)
