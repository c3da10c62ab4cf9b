"""Contamination by runs of words."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.overlap.ngram import Overlap, contaminated, words

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


def test_a_run_of_thirteen_words_is_found() -> None:
    text = "before it: " + LONG.upper().replace(" ", ",  ") + " and after"
    assert contaminated(["nothing here", text], ["other words", LONG]) == [
        Overlap(1, 1, "one two three four five six seven eight nine ten eleven twelve thirteen")
    ]


def test_twelve_words_are_not_enough() -> None:
    text = "before " + " ".join(LONG.split()[:12]) + " after " + LONG.split()[13]
    assert contaminated([text], [LONG]) == []
    assert len(contaminated([text], [LONG], n_words=12)) == 1


def test_short_texts_are_matched_as_a_whole() -> None:
    assert contaminated(["What is 3 + 4?"], ["what is 3 + 4"]) == [Overlap(0, 0, "what is 3 + 4")]
    assert contaminated(["What is 3 + 4?"], ["what is 3 + 5", "what is 3 - 4"]) == []
    assert contaminated(["I was asked: what is 3 + 4, and knew."], ["What is 3 + 4?"])[0].shared == "what is 3 + 4"
    assert contaminated(["six seven eight nine ten"], [LONG])[0].reference == 0
    assert contaminated(["the seven"], [LONG]) == []
    assert contaminated(["", "!"], ["", "?"]) == []


def test_numbers_keep_their_points() -> None:
    assert words("It's 1,000.5 - 3!") == ("it", "s", "1,000.5", "-", "3")


def test_a_run_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="tells nothing"):
        contaminated(["a"], ["a"], n_words=0)


WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12)


@given(st.lists(WORDS, max_size=6), st.lists(WORDS, max_size=6), st.integers(1, 6))
@settings(deadline=None)
def test_it_finds_exactly_what_brute_force_finds(texts: list[list[str]], refs: list[list[str]], n: int) -> None:
    """A run of n (or the whole of the shorter one, from min(5, n) words on) stands in the other; or both are equal."""

    def inside(short: list[str], long: list[str]) -> bool:
        return any(long[i : i + len(short)] == short for i in range(len(long) - len(short) + 1))

    def clash(text: list[str], ref: list[str]) -> bool:
        if text == ref:
            return True
        if len(text) >= n and len(ref) >= n:
            return any(inside(text[i : i + n], ref) for i in range(len(text) - n + 1))
        short, long = sorted((text, ref), key=len)
        return len(short) >= min(5, n) and inside(short, long)

    found = contaminated([" ".join(t) for t in texts], [" ".join(r) for r in refs], n_words=n)
    assert [o.text for o in found] == [i for i, t in enumerate(texts) if any(clash(t, r) for r in refs)]
    assert all(clash(texts[o.text], refs[o.reference]) for o in found)
