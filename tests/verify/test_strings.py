"""When two answers are equal as texts, with each of the flags."""

from __future__ import annotations

import asyncio
import math
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.records import Prompt, Verdict
from teachable.verify.strings import Exact, as_number, canonical


def check(attempt: str, reference: str | None, verifier: Exact | None = None) -> Verdict:
    return asyncio.run((verifier or Exact()).verify(attempt, Prompt("p", "d", (), reference)))


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
    [
        ("6", "60"),
        ("1,00", "100"),
        ("-6", "6"),
        ("0.5", "5"),
        ("cat dog", "dog cat"),
        ("1.2.3", "1.23"),
        ("?", "!"),
        ("10²", "102"),
    ],
)
def test_different_answers(given_answer: str, reference: str) -> None:
    verdict = check(f"Answer: {given_answer}", reference)
    assert verdict.correct is False
    assert verdict.reason == "differs from the reference answer"


def test_without_a_reference_it_could_not_tell() -> None:
    verdict = check("Answer: 6", None)
    assert (verdict.correct, verdict.answer) == (None, "6")


@given(st.integers(), st.integers())
@settings(deadline=None)
def test_integers_are_equal_exactly_when_they_are(a: int, b: int) -> None:
    assert (canonical(f"{a:,}") == canonical(f"{b}.0")) == (a == b)


@given(st.text())
@settings(deadline=None)
def test_canonical_is_its_own_canonical_form(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@given(st.text(), st.booleans(), st.booleans())
@settings(deadline=None)
def test_each_form_is_its_own_canonical_form(text: str, fold_case: bool, fold_articles: bool) -> None:
    once = canonical(text, fold_case=fold_case, fold_articles=fold_articles)
    assert canonical(once, fold_case=fold_case, fold_articles=fold_articles) == once


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        (r"\boxed{Paris}", "Paris"),
        (r"$\boxed{\text{Paris}}$", "Paris"),
        (r"\boxed{6} or so I thought; \boxed{06}", "6"),  # one answer, written twice
        ("<answer>Paris</answer>", r"\text{Paris}"),
        ("So\n#### 1,234", "1234"),
        ("Answer: heads or tails", "Heads or tails."),
        ("Answer: 6", r"$\boxed{6}$"),
        ("Answer: it is, since 5 is odd.\nDone.", "It is, since 5 is odd"),
        ("Answer: 6, not 5", "6, not 5"),
        ("Answer: 6, not 5", "6"),
    ],
)
def test_every_way_to_give_an_answer(text: str, reference: str) -> None:
    assert check(text, reference).correct is True


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r"\boxed{5} and \boxed{6}", "gives several different answers"),
        (r"\boxed{}", "the answer box is empty"),
        (r"\boxed{6", "the answer box is never closed"),
        ("Answer: any of 1, 2, 3, 4, 5, 6", "'any of 1..' is no single answer"),
        ("Answer: 6 or 7", "offers alternatives instead of one answer"),
        ("The answer is 6. Or it could be 7.", "offers alternatives instead of one answer"),
        ("", "no answer found"),
        ("Answer:", "no answer found"),
        ("<think>6</think>", "no answer found"),
        ("<think>Answer: 6", "no answer found"),
    ],
)
def test_what_is_no_commitment_is_wrong_with_its_reason(text: str, reason: str) -> None:
    verdict = check(text, "6")
    assert (verdict.correct, verdict.reason) == (False, reason)


def test_case_and_articles_are_flags() -> None:
    assert check("Answer: paris", "Paris").correct is True
    assert check("Answer: paris", "Paris", Exact(fold_case=False)).correct is False
    assert check("Answer: Straße", "STRASSE").correct is True
    assert check("Answer: the cat", "cat").correct is False
    assert check("Answer: The cat sat on a mat.", "cat sat on mat", Exact(fold_articles=True)).correct is True
    assert check("Answer: a", "the", Exact(fold_articles=True)).correct is False  # nothing but an article stays itself
    assert check("Answer: anthem", "them", Exact(fold_articles=True)).correct is False


@pytest.mark.parametrize(
    ("given_answer", "reference", "tolerance", "right"),
    [
        ("0.3", "0.2", 0.1, True),  # exact in decimal, where binary floats would miss
        ("0.31", "0.2", 0.1, False),
        ("-0.05", "0.05", 0.1, True),
        ("1,000.4", "1000", 0.5, True),
        ("5", "6", 0.0, False),
        ("five", "5", 10.0, False),
        ("9" * 6000, "9" * 5999 + "8", 1.0, True),
        ("9" * 6000, "9" * 5999 + "7", 1.0, False),
        ("1e999999", "0", 1e300, False),
    ],
)
def test_a_tolerance_is_absolute(given_answer: str, reference: str, tolerance: float, right: bool) -> None:
    assert check(f"Answer: {given_answer}", reference, Exact(tolerance=tolerance)).correct is right


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3), st.integers(0, 2000))
@settings(deadline=None)
def test_a_tolerance_is_kept_to_the_digit(a: Decimal, b: Decimal, thousandths: int) -> None:
    verdict = check(f"Answer: {a}", str(b), Exact(tolerance=thousandths / 1000))
    assert verdict.correct is (abs(a - b) <= Decimal(thousandths) / 1000)


@pytest.mark.parametrize("tolerance", [-0.1, math.nan, math.inf])
def test_a_tolerance_that_none_could_keep_is_refused(tolerance: float) -> None:
    with pytest.raises(TeachableError, match=r"Give a finite number from 0"):
        Exact(tolerance=tolerance)


@pytest.mark.parametrize("text", ["1,00", "1.2.3", "", ".", "-", "1e3", "٣", "0x10", "1 000"])
def test_what_is_no_plain_number(text: str) -> None:
    assert as_number(text) is None


def test_long_texts_are_compared_in_linear_time() -> None:
    start = time.process_time()
    for text in ("'.\"." * 25_000, "a " * 50_000, "9" * 100_000, "," * 100_000):
        check(f"Answer: {text}", text)
    assert time.process_time() - start < 2
