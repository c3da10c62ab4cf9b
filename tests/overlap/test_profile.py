"""Profiles of wording: bounds, symmetry, and planted likeness."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.overlap.profile import Likeness, halves, likeness, profile

WORDS = ["sum", "of", "letters", "how", "many", "apples", "12", "7", "+", "are", "left"]
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=8)


def parts(found: Likeness) -> tuple[float, float]:
    assert found.cosine is not None and found.shared is not None
    return found.cosine, found.shared


@given(texts, texts, st.integers(1, 3))
def test_likeness_is_symmetric_and_bounded(first: list[str], second: list[str], n_words: int) -> None:
    one, two = profile(first, n_words), profile(second, n_words)
    assert sum(one.values()) == pytest.approx(1.0) if one else not any(first)
    found = likeness(one, two)
    if not one or not two:
        assert found == Likeness(None, None)
        return
    assert parts(likeness(two, one)) == pytest.approx(parts(found))
    assert all(0.0 <= value <= 1.0 for value in parts(found))
    assert parts(likeness(one, one)) == pytest.approx((1.0, 1.0))
    assert (0.0 in parts(found)) == (not one.keys() & two.keys())


@given(texts, st.randoms(), st.integers(1, 4))
def test_order_and_repeats_of_the_whole_change_nothing(found: list[str], rng: random.Random, n: int) -> None:
    shuffled = found * n
    rng.shuffle(shuffled)
    assert profile(shuffled) == pytest.approx(profile(found))


@given(texts, texts)
def test_a_mixture_is_as_like_as_its_share(first: list[str], second: list[str]) -> None:
    """A set that is made of one's texts and others shares at least that part of the runs with it."""
    one, mixed = profile(first), profile(first + second)
    if one:
        share = _n_runs(first) / _n_runs(first + second)
        assert parts(likeness(one, mixed))[1] >= share - 1e-9


def _n_runs(texts: list[str]) -> int:
    return sum(max(1, len(text.split()) - 1) for text in texts if text)


def test_an_example_by_hand() -> None:
    one, two = profile(["a b c", "a b"]), profile(["a b", "b d"])
    assert one == pytest.approx({"a b": 2 / 3, "b c": 1 / 3}) and two == {"a b": 0.5, "b d": 0.5}
    cosine, shared = parts(likeness(one, two))
    assert shared == 0.5 and cosine == pytest.approx((1 / 3) / ((5 / 9) ** 0.5 * 0.5**0.5))


def test_other_numbers_are_the_same_wording() -> None:
    asked = [
        [f"What is {rng.randint(1, 99)} + {rng.randint(1, 99)}?" for _ in range(20)] for rng in map(random.Random, "ab")
    ]
    assert parts(likeness(*map(profile, asked))) == pytest.approx((1.0, 1.0))
    spelt = profile(["Spell this word backward: apple", "Spell this word backward: house"])
    assert parts(likeness(profile(asked[0]), spelt)) == (0.0, 0.0)


def test_halves_of_one_domain_are_alike_as_far_as_it_repeats_itself() -> None:
    template = [f"Count the letter {letter} in the word" for letter in "eeaaooii"]
    assert parts(halves(template))[1] > 0.6
    assert parts(halves([f"word{i} other{i}" for i in range(8)])) == (0.0, 0.0)
    assert halves(["alone"]) == Likeness(None, None)


def test_a_run_has_a_word() -> None:
    assert profile(["", "  "]) == {} and profile(["one"], 3) == {"one": 1.0}
    with pytest.raises(ValueError, match="a run of 0 words is none"):
        profile(["a"], 0)
