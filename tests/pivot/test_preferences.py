"""Pairs from pivotal tokens: which alternative, which side, what is left out and why, and texts of real tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.engines.conftest import tiny_tokenizer

from teachable.pivot import Alternative, Pivot, PivotConfig, Searched
from teachable.pivot.preferences import (
    IMPROBABLE,
    INVISIBLE,
    MIN_SAMPLES,
    ONE_SIDED,
    REPEATED,
    UNSEEN,
    added_text,
    is_visible,
    others_mean,
    posterior,
    preferences,
)

PROMPT = (7, 8, 9)
SOLUTION = (65, 66, 67, 68)
CONFIG = PivotConfig()


def letters(token_ids: list[int]) -> str:
    """A tokenizer of single characters; ids below 10 are special tokens, which leave no text."""
    return "".join(chr(one) for one in token_ids if one >= 10)


def pivot(*alternatives: Alternative, delta: float = 0.4, **changes: Any) -> Pivot:
    usual = Pivot(
        "p", 2, 67, "C", 0.5, 0.5 + delta, delta, delta - 0.1, delta + 0.1, 80, SOLUTION, 0.3, alternatives
    )  # fmt: skip
    return replace(usual, **changes)


def other(token: str, n: int, successes: int, probability: float = 0.2) -> Alternative:
    return Alternative(ord(token), token, probability, n, successes)


def solution(prompt_id: str = "p", token_ids: tuple[int, ...] = SOLUTION) -> Searched:
    n = len(token_ids)
    return Searched(
        prompt_id, PROMPT, token_ids, ("?",) * n, "", True, (0.5,) * n, (0.5,) * (n + 1), (0.1,) * (n + 1), 9
    )  # fmt: skip


def pairs_of(*pivots: Pivot, decode: Callable[[list[int]], str] = letters, config: PivotConfig = CONFIG):
    return preferences(pivots, [solution()], decode=decode, config=config)


def test_a_token_that_helps_is_chosen_over_the_alternative_that_fails() -> None:
    found = pairs_of(pivot(other("x", 40, 4), delta=0.4))
    [pair] = found.pairs
    assert (pair.prompt, pair.chosen, pair.rejected, pair.kind) == ("AB", "C", "x", "pivotal")
    assert pair.prompt_token_ids == (7, 8, 9, 65, 66)
    assert (pair.chosen_token_ids, pair.rejected_token_ids) == ((67,), (120,))
    assert (pair.position, pair.prompt_id, pair.n_samples) == (2, "p", 40)
    assert (pair.chosen_probability, pair.rejected_probability) == (0.3, 0.2)
    assert pair.chosen_p_success == pytest.approx(0.9)
    others = (0.5 - 0.3 * 0.9) / 0.7
    assert pair.rejected_p_success == pytest.approx((4 + 2 * others) / 42)
    assert pair.delta == pair.chosen_p_success - pair.rejected_p_success
    assert found.left_out == {}


def test_a_token_that_hurts_is_rejected() -> None:
    [pair] = pairs_of(pivot(other("x", 40, 36), delta=-0.4)).pairs
    assert (pair.chosen, pair.rejected) == ("x", "C")
    assert (pair.chosen_probability, pair.rejected_probability) == (0.2, 0.3)
    assert pair.delta > 0.4


def test_the_most_reliable_difference_wins_not_the_largest() -> None:
    few, many, near = other("f", 3, 0), other("m", 60, 12), other("n", 60, 27)
    [pair] = pairs_of(pivot(few, many, near)).pairs
    assert pair.rejected == "m"
    assert posterior(0, 3, 0.33)[0] < posterior(12, 60, 0.33)[0]  # the one with few samples looks worse
    [pair] = pairs_of(pivot(few, near)).pairs
    assert pair.rejected == "n"
    same = [other("y", 20, 4, 0.2), other("z", 20, 4, 0.3)]
    assert pairs_of(pivot(*same)).pairs[0].rejected == pairs_of(pivot(*same[::-1])).pairs[0].rejected == "z"


def test_an_alternative_without_evidence_stands_where_the_others_stand() -> None:
    assert others_mean(pivot(delta=0.4)) == pytest.approx(0.23 / 0.7)
    assert others_mean(pivot(delta=-0.4)) == pytest.approx((0.5 - 0.3 * 0.1) / 0.7)
    # Estimates may be at odds with each other; a probability stays one.
    assert others_mean(pivot(delta=0.5, probability=0.8)) == 0.0
    assert others_mean(pivot(probability=1.0)) == 0.5
    assert posterior(0, 0, 0.3) == pytest.approx((0.3, (0.3 * 0.7 / 3) ** 0.5))
    assert posterior(1000, 1000, 0.3)[0] > 0.998


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (pivot(), UNSEEN),
        (pivot(other("x", MIN_SAMPLES - 1, 0)), UNSEEN),
        (pivot(Alternative(67, "C", 0.3, 50, 0)), UNSEEN),  # the token itself is no alternative
        (pivot(other("x", 50, 27)), ONE_SIDED),
        (pivot(other("x", 50, 40)), ONE_SIDED),
        (pivot(other("x", 50, 10), delta=-0.4), ONE_SIDED),
        (pivot(other("x", 3, 2), delta=0.25), ONE_SIDED),  # not surely, with as few samples
        (pivot(other("x", 50, 10, 0.049)), IMPROBABLE),
        (pivot(other("x", 50, 10), probability=0.049), IMPROBABLE),
        (pivot(other("\n", 50, 10)), INVISIBLE),
        (pivot(Alternative(8, "", 0.2, 50, 10)), INVISIBLE),  # an end token leaves no text
        (pivot(other("x", 50, 10), token_id=32, solution_token_ids=(65, 66, 32, 68)), INVISIBLE),
    ],
)
def test_what_gives_no_pair_is_counted_by_its_reason(found: Pivot, reason: str) -> None:
    where = [solution(), solution(token_ids=(65, 66, 32, 68))]
    got = preferences([found], where, decode=letters, config=CONFIG)
    assert (got.pairs, got.left_out) == ((), {reason: 1})


def test_a_usable_alternative_behind_unusable_ones_is_found() -> None:
    bad = [other("i", 90, 1, 0.01), other("\t", 90, 1), other("u", 4, 0), other("s", 90, 80)]
    assert pairs_of(pivot(*bad, other("x", 20, 5))).pairs[0].rejected == "x"


def test_the_limit_of_probability_is_the_configs() -> None:
    found = pivot(other("x", 50, 10, 0.01))
    assert pairs_of(found, config=PivotConfig(min_probability=0.01)).pairs[0].rejected_probability == 0.01
    assert pairs_of(found, config=PivotConfig(min_probability=0.02)).left_out == {IMPROBABLE: 1}


def test_two_solutions_with_one_beginning_give_a_pair_once() -> None:
    first, longer = pivot(other("x", 40, 4)), (*SOLUTION[:3], 70, 71)
    second = replace(first, solution_token_ids=longer)
    got = preferences([first, second], [solution(), solution(token_ids=longer)], decode=letters, config=CONFIG)
    assert (len(got.pairs), got.left_out) == (1, {REPEATED: 1})


def test_a_solution_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        preferences([pivot(other("x", 40, 4), prompt_id="q")], [solution()], decode=letters, config=CONFIG)


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("a", True), (" a", True), ("\n1", True), ("é", True), ("\u0301", True), ("😀", True), ("²", True),
        ("", False), (" ", False), ("\n\t", False), ("\u00a0", False), ("\u200b", False), ("\ufeff", False),
        ("\x00", False), ("\x1b", False), ("\u00ad", False), ("\u202e", False), ("\u3164", False), ("\u2800", False),
        ("\ufffd", False), ("a\ufffd", False), ("\ue000", False),
    ],
)  # fmt: skip
def test_what_can_be_seen(text: str, visible: bool) -> None:
    assert is_visible(text) is visible


# ---- real tokenizers ----


@pytest.fixture(scope="module")
def byte_level() -> Any:
    """Every byte is a token, so that all but ASCII is made of parts of characters."""
    return tiny_tokenizer()


def decoder(tokenizer: Any) -> Callable[[list[int]], str]:
    return lambda ids: tokenizer.decode(ids, skip_special_tokens=True)


def encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def test_prefix_and_token_are_the_text_again_and_ids_come_back(byte_level: Any) -> None:
    decode, text = decoder(byte_level), "x = 1 + 2é3 😀 end"
    ids = tuple(encode(byte_level, text))
    prompt = tuple(encode(byte_level, "<|user|>\n2é?"))
    plus, minus = text.index("+"), encode(byte_level, "-")[0]
    found = pivot(Alternative(minus, "-", 0.2, 40, 4), token_id=ids[plus], position=plus, solution_token_ids=ids)
    where = replace(solution(token_ids=ids), prompt_token_ids=prompt)
    [pair] = preferences([found], [where], decode=decode, config=CONFIG).pairs
    assert (pair.chosen, pair.rejected) == ("+", "-")
    assert pair.prompt == decode([*prompt, *ids[:plus]]) and pair.prompt.endswith("2é?x = 1 ")
    assert pair.prompt + pair.chosen == decode([*pair.prompt_token_ids, *pair.chosen_token_ids])
    assert pair.prompt_token_ids == (*prompt, *ids[:plus])


@pytest.mark.parametrize("character", ["é", "€", "😀"])
def test_parts_of_a_character_give_no_pair_and_whole_ones_do(byte_level: Any, character: str) -> None:
    decode = decoder(byte_level)
    ids = tuple(encode(byte_level, f"a{character}b"))
    parts = len(character.encode())
    assert len(ids) == parts + 2
    for position in range(1, parts + 1):  # each byte of the character as the pivotal token, a letter against it
        letter = Alternative(encode(byte_level, "z")[0], "z", 0.2, 40, 4)
        found = pivot(letter, token_id=ids[position], position=position, solution_token_ids=ids)
        got = preferences([found], [solution(token_ids=ids)], decode=decode, config=CONFIG)
        assert (got.pairs, got.left_out) == ((), {INVISIBLE: 1})
    # The other way round: a letter is pivotal, the first byte of the character stands against it.
    half = Alternative(ids[1], "\ufffd", 0.2, 40, 4)
    found = pivot(half, token_id=ids[-1], position=parts + 1, solution_token_ids=ids)
    assert preferences([found], [solution(token_ids=ids)], decode=decode, config=CONFIG).left_out == {INVISIBLE: 1}


def test_a_tokenizer_that_merges_gives_whole_characters(tokenizer: Any) -> None:
    """The embedded model's own: tokens of several characters, decoded within their prefix."""
    decode = decoder(tokenizer)
    ids = encode(tokenizer, "12 + 30 = 42\nAnswer: 42")
    prefix, texts = [], []
    for token_id in ids:
        texts.append(added_text(decode, prefix, token_id))
        prefix.append(token_id)
    assert "".join(texts) == decode(ids) and len(ids) < len(decode(ids))


def test_a_space_that_decoding_alone_would_drop_is_kept() -> None:
    """Tokenizers of SentencePiece's kind write a space as a mark, and drop it where decoding begins."""
    words = {1: "\u2581The", 2: "\u2581cat", 3: "\u2581dog"}
    decode = lambda ids: "".join(words[one] for one in ids).replace("\u2581", " ").removeprefix(" ")  # noqa: E731
    assert (decode([2]), added_text(decode, [1], 2)) == ("cat", " cat")
    found = pivot(
        Alternative(3, "dog", 0.2, 40, 4), token_id=2, position=1, solution_token_ids=(1, 2), delta=0.4
    )  # fmt: skip
    where = replace(solution(token_ids=(1, 2)), prompt_token_ids=(1,))
    [pair] = preferences([found], [where], decode=decode, config=CONFIG).pairs
    assert (pair.prompt, pair.chosen, pair.rejected) == ("The The", " cat", " dog")
