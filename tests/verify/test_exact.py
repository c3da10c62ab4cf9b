"""The extraction of an answer, and when two answers are equal."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.records import Prompt
from teachable.verify import Exact, canonical, check, extract_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 6", "6"),
        ("2 + 4 is 6.\nANSWER : 6", "6"),
        ("Answer: 5\nNo, wait.\nAnswer: 6", "6"),
        ("**Answer:** 6", "6"),
        ("**Answer: 6**", "6"),
        ("Answer:\n\n  6\nThat was easy.", "6"),
        ("Answer: 6\nI hope this helps!", "6"),
        ("so it must be\n6\n\n", "6"),
        ("<think>Answer: 5</think>\nAnswer: 6", "6"),
        ("Answer: 6\n<think>or is it\nAnswer: 5</think>", "6"),
        ("it opened in the prompt, Answer: 5</think>Answer: 6", "6"),
    ],
)
def test_the_last_answer_outside_thought_counts(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize("text", ["", "  \n ", "Answer:", "Answer:   \n", "<think>Answer: 6", "<think>6</think>"])
def test_nothing_said_is_no_answer(text: str) -> None:
    assert extract_answer(text) is None
    verdict = check(text, "6")
    assert (verdict.correct, verdict.answer, verdict.reason) == (False, None, "no answer found")


def test_an_answer_of_several_lines() -> None:
    assert check("Answer:\n1 2\n3 4\nDone.", "1 2\n3 4").correct is True
    assert check("Answer:\n1 2\n3 5\nDone.", "1 2\n3 4").correct is False


@pytest.mark.parametrize(
    ("given_answer", "reference"),
    [
        ("06", "6"),
        ("1,000", "1000"),
        ("1000.00", "1,000"),
        ("-0", "0"),
        (".50", "0.5"),
        ("\N{MINUS SIGN}3", "-3"),
        ("Paris.", "paris"),
        ("  the   cat ", "The cat"),
        ('"cat"', "cat"),
        ("cat, dog", "CAT,  dog".replace("  ", " ")),
        ("9" * 5000, "0" + "9" * 5000),
    ],
)
def test_equal_answers(given_answer: str, reference: str) -> None:
    assert check(f"Answer: {given_answer}", reference).correct is True


@pytest.mark.parametrize(
    ("given_answer", "reference"),
    [("6", "60"), ("1,00", "100"), ("-6", "6"), ("0.5", "5"), ("cat dog", "dog cat"), ("1.2.3", "1.23"), ("?", "!")],
)
def test_different_answers(given_answer: str, reference: str) -> None:
    verdict = check(f"Answer: {given_answer}", reference)
    assert verdict.correct is False
    assert verdict.reason == "differs from the reference answer"


def test_without_a_reference_it_could_not_tell() -> None:
    verdict = asyncio.run(Exact().verify("Answer: 6", Prompt(id="p", domain="d", messages=())))
    assert (verdict.correct, verdict.answer) == (None, "6")


@given(st.integers(), st.integers())
@settings(deadline=None)
def test_integers_are_equal_exactly_when_they_are(a: int, b: int) -> None:
    assert (canonical(f"{a:,}") == canonical(f"{b}.0")) == (a == b)


@given(st.text())
@settings(deadline=None)
def test_canonical_is_its_own_canonical_form(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)
