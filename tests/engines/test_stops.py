"""Stop strings are found at the token that completes them, by reading little."""

from __future__ import annotations

import random

import pytest

from teachable.engines.stops import StopWatch, cut

PIECES = ["a", "b", "ab", " ", "", "\n", "stop", "st", "op", "é", "\n\n", "a long piece of text with a stop in it"]
STOPS = ["stop", "\n\n", "ab a", "éé", "absent"]


def text_of(tokens: list[int]) -> str:
    return "".join(PIECES[t] for t in tokens)


def bytes_of(tokens: list[int]) -> str:
    return bytes(tokens).decode("utf-8", errors="replace")


@pytest.mark.parametrize("seed", range(200))
def test_it_stops_where_reading_everything_would(seed: int) -> None:
    rng = random.Random(seed)
    tokens = [rng.choice(range(len(PIECES) - rng.choice([0, 1, 6]))) for _ in range(400)]
    stops = rng.sample(STOPS, rng.randint(1, 3))
    watch = StopWatch(stops, text_of)
    for n in range(1, len(tokens) + 1):
        expected = any(stop in text_of(tokens[:n]) for stop in stops)
        assert watch.stopped(tokens[:n]) is expected
        if expected:
            break


def test_characters_of_many_tokens_are_seen() -> None:
    text = "x" * 300 + "日本" + "y" * 10 + "本日"
    tokens = list(text.encode())
    watch = StopWatch(["本日"], bytes_of)
    stopped = [n for n in range(1, len(tokens) + 1) if watch.stopped(tokens[:n])]
    assert stopped == [len(tokens)]


def test_only_a_tail_is_read() -> None:
    read = 0

    def decode(tokens: list[int]) -> str:
        nonlocal read
        read += len(tokens)
        return text_of(tokens)

    watch = StopWatch(["absent"], decode)
    tokens = [0] * 2000
    for n in range(1, 2001):
        assert not watch.stopped(tokens[:n])
    assert read < 100 * 2000  # reading everything would be 2,001,000


def test_tokens_without_text_hide_nothing() -> None:
    tokens = [6, *[4] * 500]  # "stop", then nothing
    watch = StopWatch(["stop"], text_of)
    assert watch.stopped(tokens[:1])
    watch = StopWatch(["stab"], text_of)
    tokens = [7, *[4] * 500, 2]  # "st", 500 tokens of nothing, "ab"
    assert [n for n in range(1, 503) if watch.stopped(tokens[:n])] == [502]


def test_a_tail_that_decodes_otherwise_stops_nothing() -> None:
    """A tokenizer that drops the space where decoding begins: the whole text decides."""

    def decode(tokens: list[int]) -> str:
        return text_of(tokens).removeprefix(" ")

    watch = StopWatch(["\na"], decode)
    assert not any(watch.stopped([0] * 200 + [5, 3, 0][: n - 200]) for n in range(200, 204))


def test_no_stop_strings_and_empty_ones_never_stop() -> None:
    assert not StopWatch([], text_of).stopped([0, 1])
    assert not StopWatch([""], text_of).stopped([0, 1])


def test_the_first_of_several_cuts() -> None:
    assert cut("one two three", ["three", "two", ""]) == 4
    assert cut("one two", ["absent"]) == 7
