"""Sentences by a grammar."""

from __future__ import annotations

import random

import pytest

from teachable.synthesize.workflows.rules_grammar import expand

GRAMMAR = {
    "question": ("{name} has {n} {thing}s. {ask}", "{ask} Note: {name} has {n} {thing}s."),
    "name": ("Ann", "Bo", "Cy"),
    "thing": ("apple", "pear"),
    "ask": ("How many {thing}s has {name}?",),
}


def test_a_symbol_reads_the_same_wherever_it_stands() -> None:
    texts = set()
    for seed in range(200):
        text, chosen = expand(GRAMMAR, "question", {"n": 3}, random.Random(seed))
        assert text.count(chosen["name"]) == 2
        assert text.count(f"{chosen['thing']}s") == 2
        assert chosen["ask"] in text
        assert "{" not in text
        texts.add(text)
    assert len(texts) == 2 * 3 * 2  # every combination


def test_the_generator_decides() -> None:
    one, two = (expand(GRAMMAR, "question", {"n": 3}, random.Random(5)) for _ in range(2))
    assert one == two


def test_values_go_before_symbols_and_are_not_expanded() -> None:
    assert expand({"a": ("{b}",), "b": ("x",)}, "a", {"b": "{a}"}, random.Random(0))[0] == "{a}"


@pytest.mark.parametrize(
    ("grammar", "said"), [({"a": ("{b}",)}, "has no 'b'"), ({"a": ("{b}",), "b": ("{a}",)}, "leads back to itself")]
)
def test_a_grammar_that_does_not_end_is_refused(grammar: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        expand(grammar, "a", {}, random.Random(0))
