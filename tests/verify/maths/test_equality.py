"""What counts as equal: each row of `pairs.tsv` is one convention, decided without math-verify, both ways round."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from teachable.verify.maths import equal
from teachable.verify.maths.equality import decide
from teachable.verify.maths.letters import labelled, letter_of

with Path(__file__).with_name("pairs.tsv").open(encoding="utf-8", newline="") as file:
    PAIRS = [
        (row["reference"], row["attempt"], row["verdict"] == "equal")
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]

# Beyond our own arithmetic: sums, integrals, limits and determinants.
FOR_ALGEBRA = [
    (r"\sum_{k=1}^{10} k", "55", True),
    (r"\sum_{i=1}^{5} i", "15", True),
    (r"\prod_{i=1}^5 i", "120", True),
    (r"\int_0^1 x dx", "1/2", True),
    (r"\lim_{x\to0}\frac{\sin x}{x}", "1", True),
    (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", "-2", True),
    (r"\int_0^1 x dx", "1/3", False),
]


def test_the_table_is_whole() -> None:
    assert len(PAIRS) > 600
    assert {wanted for _, _, wanted in PAIRS} == {True, False}


@pytest.mark.parametrize(("reference", "attempt", "wanted"), PAIRS)
def test_pairs(reference: str, attempt: str, wanted: bool) -> None:
    assert decide(reference, attempt).equal is wanted


@pytest.mark.parametrize(("reference", "attempt", "wanted"), PAIRS)
def test_pairs_the_other_way_round(reference: str, attempt: str, wanted: bool) -> None:
    if not any(letter_of(text) or labelled(text) for text in (reference, attempt)):
        assert decide(attempt, reference).equal is wanted


@pytest.mark.parametrize(("reference", "attempt", "wanted"), FOR_ALGEBRA)
def test_what_math_verify_decides(reference: str, attempt: str, wanted: bool) -> None:
    assert decide(reference, attempt).ask
    assert equal(reference, attempt)[0] is wanted


def test_the_order_of_names_in_a_solution_does_not_matter() -> None:
    assert decide("(1, 2)", "y = 2, x = 1").equal is True
    assert decide("(1, 2)", "y = 1, x = 2").equal is False


@pytest.mark.parametrize("junk", [r"\frac{}{}", "()", "^2", "x^", "{1,2", r"\left("])
def test_an_answer_that_means_nothing_is_never_right(junk: str) -> None:
    assert decide("5", junk).equal is not True
