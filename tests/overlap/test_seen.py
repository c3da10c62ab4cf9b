"""The index of texts seen: every repeat is found, none is made up, and numbers keep two exercises apart."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.overlap import seen as seen_module
from teachable.overlap.near import jaccard, normalise, shingles
from teachable.overlap.seen import Repeat, Seen


def words(generator: random.Random, n: int) -> str:
    """N made-up words, hardly ever the same twice."""
    return " ".join("".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=5)) for _ in range(n))


def first_repeats(texts: list[str], threshold: float) -> list[bool]:
    """What brute force says of texts without numbers, each against those kept before it."""
    kept: list[tuple[str, frozenset[str]]] = []
    repeats = []
    for text in texts:
        plain, mine = normalise(text), shingles(text)
        repeats.append(
            any(
                plain == other or (min(len(mine), len(theirs)) >= 8 and jaccard(mine, theirs) >= threshold)
                for other, theirs in kept
            )
        )
        if not repeats[-1]:
            kept.append((plain, mine))
    return repeats


def taken(texts: list[str], threshold: float) -> list[bool]:
    seen = Seen(threshold)
    return [seen.take(str(place), text) is not None for place, text in enumerate(texts)]


@pytest.mark.parametrize("n_recent", [500, 100_000])
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.95, 1.0])
def test_it_says_what_brute_force_says(threshold: float, n_recent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough texts for every path: few, recent, sorted, counted anew."""
    monkeypatch.setattr(seen_module, "_RECENT", n_recent)
    generator = random.Random(3)
    texts = [words(generator, 12) for _ in range(150)]
    for _ in range(450):
        edited = generator.choice(texts).split()
        for _ in range(generator.randrange(0, 5)):
            edited[generator.randrange(len(edited))] = words(generator, 1)
        texts.append(" ".join(edited))
    found = taken(texts, threshold)
    assert found == first_repeats(texts, threshold)
    assert 10 < sum(found) < 450


def test_texts_of_one_template_are_compared_by_what_they_are() -> None:
    """The rarest 5-grams are told anew as texts come in, and no pair is missed for it."""
    generator = random.Random(4)
    head = "Read this story with care and say in a word of your own what becomes of the people in it: "
    texts = [head + words(generator, 6) for _ in range(400)]
    texts += [text[:-3] for text in texts[::7]]
    assert taken(texts, 0.8) == first_repeats(texts, 0.8)


@given(st.lists(st.text(alphabet="abcd ", max_size=40), max_size=25), st.floats(0.3, 1.0))
@settings(max_examples=60, deadline=None)
def test_it_says_what_brute_force_says_of_any_texts(texts: list[str], threshold: float) -> None:
    assert taken(texts, threshold) == first_repeats(texts, threshold)


def test_two_exercises_that_differ_in_a_number_only_are_two() -> None:
    text = "A farmer has {} sheep in the meadow behind the barn and buys {} more of them at the market in the town."
    seen = Seen()
    assert seen.take("a", text.format(12, 5)) is None
    assert seen.take("b", text.format(13, 5)) is None
    assert seen.take("c", text.format(12, 5).replace("meadow", "Meadow ")) == Repeat("a", "equal")
    found = seen.take("d", text.format("twelve", 5).replace("town.", "town!"))
    assert found is not None and (found.id, found.how) == ("a", "near-duplicate")
    assert 0.8 <= found.similarity < 1.0
    assert len(seen) == 2


def test_a_sum_is_one_number() -> None:
    text = "Work out the value of the following expression, step by step, and give a whole number: {}"
    seen = Seen()
    assert seen.take("a", text.format("3 + 4 * 5")) is None
    assert seen.take("b", text.format("3 * 4 + 5")) is None
    assert seen.take("c", text.format("3+4*5")) is not None


def test_two_content_keys_decide_alone() -> None:
    seen = Seen()
    text = "What becomes of the word when every letter of it is moved one place forward in the alphabet?"
    other = "Each letter goes to its successor. Which word comes out?"
    assert seen.take("a", text, key="shift") is None
    assert seen.take("b", other, key="shift") == Repeat("a", "same content")
    assert seen.take("c", text, key="another") is None
    assert seen.take("d", text) == Repeat("a", "equal")
    found = seen.take("e", text + "!")
    assert found is not None and (found.id, found.how) == ("a", "near-duplicate")


def test_a_key_is_compared_with_texts_that_have_none() -> None:
    seen = Seen()
    text = "What becomes of the word when every letter of it is moved one place forward in the alphabet?"
    assert seen.take("a", text) is None
    assert seen.take("b", text, key="shift") == Repeat("a", "equal")
    found = seen.take("c", f"Now: {text}", key="shift")
    assert found is not None and found.how == "near-duplicate"


def test_allowed_texts_may_be_repeated_and_no_others() -> None:
    seen = Seen()
    text = "What becomes of the word when every letter of it is moved one place forward in the alphabet?"
    seen.add("seed", text)
    assert seen.repeats(text + "!") is not None
    assert seen.take("a", text + "!", allowed=(text.upper(),)) is None
    again = seen.take("b", text + "!!", allowed=(text,))
    assert again is not None and again.id == "a"
    assert seen.take("c", text, allowed=(text,)) is not None  # near "a"


def test_short_texts_repeat_equals_only() -> None:
    seen = Seen(0.3)
    assert [seen.take(text, text) is not None for text in ("x + y", "x + z", " X +  y", "", " ")] == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_pairs_are_compared_without_being_seen() -> None:
    seen = Seen()
    text = "How many letters are there in the longest word of this question, and which word is it?"
    assert seen.similarity(text, text.upper()) == 1.0
    assert (seen.similarity(text, f"{text}!") or 0) > 0.9
    assert seen.similarity(text, f"{text} 3") is None
    assert seen.similarity(text, "Another question altogether, with words of its own in it.") is None
    assert len(seen) == 0


def test_any_text_is_taken() -> None:
    seen = Seen()
    for text in ("\ud800" * 20, "\x00" * 20, "\U0010ffff" * 20, "é" * 4, "日本語の文章です。" * 3):
        assert seen.take("a", text) is None
        assert seen.take("b", text) is not None


def test_a_threshold_out_of_range_is_refused() -> None:
    with pytest.raises(TeachableError, match=r"not at 1\.5"):
        Seen(1.5)


@pytest.mark.parametrize("make", [lambda g: words(g, 50), lambda g: f"{words(g, 49)} {g.randrange(10**6)}"])
def test_thousands_of_texts_take_little_time_and_memory(make: Callable[[random.Random], str]) -> None:
    """Four seconds for 2,000 texts of 300 characters is far more than they take; so is 16 kB for one."""
    generator = random.Random(0)
    texts = [make(generator) for _ in range(2000)]
    seen = Seen()
    begin = time.process_time()
    assert not any(seen.take(str(place), text) for place, text in enumerate(texts))
    assert time.process_time() - begin < 4.0
    tracemalloc.start()
    held = Seen()
    for place, text in enumerate(texts):
        held.add(str(place), text)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(texts) < 16_000
