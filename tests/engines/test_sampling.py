"""The draw: random numbers of each sample's own, and a distribution that is what the rules say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from teachable.engines.sampling import Rules, draw, stream_keys, uniforms
from teachable.records import Request


def rules(n: int, **how: float) -> Rules:
    values = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0} | how
    return Rules(**{name: np.full(n, value) for name, value in values.items()})


def test_the_stream_is_splitmix64() -> None:
    """The first outputs of the reference implementation for the seed 1234567, shifted to 53 bits."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    found = uniforms(np.full(3, 1234567, dtype=np.uint64), np.arange(3))
    assert found.tolist() == [(n >> 11) * 2.0**-53 for n in expected]


def test_uniforms_are_uniform_within_and_across_streams() -> None:
    keys = stream_keys(Request("", n=2000, seed=3), [5, 6])
    across, within = uniforms(keys, np.zeros(2000, np.int64)), uniforms(np.repeat(keys[:1], 2000), np.arange(2000))
    for numbers in (across, within):
        assert abs(numbers.mean() - 0.5) < 4 / np.sqrt(12 * 2000)
        assert abs((numbers < 0.1).mean() - 0.1) < 4 * np.sqrt(0.09 / 2000)
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 4 / np.sqrt(2000)


def test_a_sample_has_its_key_whoever_else_is_asked_for() -> None:
    eight = stream_keys(Request("", n=8, seed=3), [5, 6])
    assert len(set(eight.tolist())) == 8
    assert stream_keys(Request("", n=2, first=5, seed=3), [5, 6]).tolist() == eight[5:7].tolist()
    assert stream_keys(Request("", n=8, seed=4), [5, 6]).tolist() != eight.tolist()
    assert stream_keys(Request("", n=8, seed=3), [5, 66]).tolist() != eight.tolist()


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    n = 20_000
    logits = torch.tensor([0.1, 0.5, 0.0, 0.15, 0.25]).log().expand(n, 5)
    tokens, logprobs = draw(logits, rules(n), np.random.default_rng(0).random(n))
    shares = np.bincount(tokens, minlength=5) / n
    np.testing.assert_allclose(shares, [0.1, 0.5, 0.0, 0.15, 0.25], atol=4 * 0.5 / np.sqrt(n))
    np.testing.assert_allclose(np.exp(logprobs), np.array([0.1, 0.5, 0.0, 0.15, 0.25])[tokens], rtol=1e-5)


@pytest.mark.parametrize("edge", [0.0, 1 - 2.0**-53])
def test_impossible_tokens_are_not_drawn_at_the_edges(edge: float) -> None:
    logits = torch.full((1, 1000), -torch.inf)
    logits[0, 400:500] = 0.0
    tokens, logprobs = draw(logits, rules(1), np.array([edge]))
    assert tokens[0] == (400 if edge == 0 else 499)
    assert np.isfinite(logprobs[0])


def test_filters_work_on_what_the_one_before_left() -> None:
    """Of 0.4, 0.3, 0.2, 0.1: top-k 3 leaves 4/9, 3/9, 2/9, of which top-p 0.7 needs two (alone it needs two of 0.7)."""
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log().expand(1000, 4)
    u = np.random.default_rng(1).random(1000)
    kept = {
        (): {0, 1, 2, 3},
        (("top_k", 3),): {0, 1, 2},
        (("top_p", 0.75),): {0, 1, 2},
        (("top_k", 3), ("top_p", 0.75)): {0, 1},
        (("min_p", 0.6),): {0, 1},
        (("top_p", 0.01),): {0},
        (("temperature", 0.5), ("min_p", 0.6)): {0},
    }
    for how, tokens in kept.items():
        assert set(draw(logits, rules(1000, **dict(how)), u)[0].tolist()) == tokens, how
    _, logprobs = draw(logits, rules(1000, top_k=2), u)
    assert sorted({round(float(np.exp(x)), 4) for x in logprobs}) == [0.4286, 0.5714]


def test_ties_with_the_kth_stay() -> None:
    logits = torch.zeros(500, 6)
    assert len(set(draw(logits, rules(500, top_k=1), np.random.default_rng(2).random(500))[0].tolist())) == 6


def test_a_greedy_row_takes_the_likeliest_among_others_that_draw() -> None:
    logits = torch.randn(50, 30, generator=torch.Generator().manual_seed(0))
    mixed = rules(50)
    mixed.temperature[::2] = 0.0
    mixed.top_k[1::4] = 1
    tokens, logprobs = draw(logits, mixed, np.random.default_rng(3).random(50))
    assert tokens[::2].tolist() == logits.argmax(-1)[::2].tolist()
    assert tokens[1::4].tolist() == logits.argmax(-1)[1::4].tolist()
    assert logprobs[1::4].tolist() == [0.0] * len(logprobs[1::4])
    np.testing.assert_allclose(logprobs[::2], logits.log_softmax(-1).amax(-1)[::2], rtol=1e-5)
