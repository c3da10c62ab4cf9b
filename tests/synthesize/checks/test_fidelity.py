"""How much of a text is kept: chrF by its definition, and numbers, formulas and names."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teachable.synthesize.checks.fidelity import chrf, formulas_in, kept, names_in, numbers_in


def by_definition(candidate: str, reference: str, beta: float = 2.0) -> float:
    """chrF written down once more, from the paper: n from 1 to 6, white space left out."""
    a, b = "".join(candidate.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, 7):
        x, y = (Counter(t[i : i + n] for i in range(len(t) - n + 1)) for t in (a, b))
        if x and y:
            shared = (x & y).total()
            precisions.append(shared / x.total())
            recalls.append(shared / y.total())
    p, r = (sum(each) / len(each) if each else 0.0 for each in (precisions, recalls))
    return (1 + beta**2) * p * r / (beta**2 * p + r) if p + r else 0.0


def test_values_worked_out_by_hand() -> None:
    # "abc" in "abcd": precision 1 in all orders; recall 3/4, 2/3, 1/2, mean 23/36; F2 = 5 pr / (4 p + r).
    assert math.isclose(chrf("abc", "abcd"), 5 * (23 / 36) / (4 + 23 / 36))
    # "ab" against "ac": one of two letters, no pair.
    assert math.isclose(chrf("ab", "ac"), 0.25)
    assert chrf("same text", "same  text\n") == 1.0
    assert chrf("abcdefg", "hijklmnop") == 0.0
    assert chrf("", "b") == chrf("b", "") == chrf(" ", " ") == 0.0


@given(st.text("abc \n", max_size=30), st.text("abc \n", max_size=30))
def test_it_is_what_the_paper_defines(candidate: str, reference: str) -> None:
    found = chrf(candidate, reference)
    assert 0.0 <= found <= 1.0 + 1e-12 and math.isclose(found, by_definition(candidate, reference))


def test_it_is_what_sacrebleu_computes() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    texts = ["The cat sat on the mat.", "A cat was sitting on the mat!", "ab", "Die Katze saß.", "x"]
    for candidate in texts:
        for reference in texts:
            theirs = sacrebleu.sentence_chrf(candidate, [reference]).score / 100
            assert math.isclose(chrf(candidate, reference), theirs, abs_tol=1e-6)


def test_recall_counts_more_than_precision() -> None:
    reference = "The cat sat on the mat and slept."
    assert chrf(reference + " It snored.", reference) > chrf("The cat sat on the mat", reference)


def test_retellings_stand_out_from_other_texts() -> None:
    text = "Marie Curie won two Nobel Prizes, in physics in 1903 and in chemistry in 1911."
    again = "Marie Curie received two Nobel Prizes: physics in 1903, chemistry in 1911."
    other = "The river rises in the mountains and flows through three countries to the sea."
    assert chrf(again, text) > 0.6 > 0.3 > chrf(other, text)


@pytest.mark.parametrize(
    ("source", "candidate"),
    [
        ("It cost 1,000 dollars.", "Es kostete 1.000 Dollar."),
        ("It cost 1,000 dollars.", "Cela a coûté 1 000 dollars."),
        ("0.5 and 12,345.67", "0,5 und 12.345,67"),
        ("12 apples and 3 pears", "٣ و ١٢"),
        ("no numbers", "gar keine"),
        ("3.0 m", "3 m"),
        ("He has 5, 6, and 7.", "Er hat 5, 6 und 7."),
        ("1,000 or 1.5", "1,5 oder 1.000"),
    ],
)
def test_writings_of_one_number_are_one(source: str, candidate: str) -> None:
    assert kept(source, candidate).numbers.same and kept(candidate, source).numbers.same


@pytest.mark.parametrize(
    ("source", "candidate", "missing", "added"),
    [
        ("12 and 12", "12", ("12",), ()),
        ("12", "12 and 7", (), ("7",)),
        ("1.5", "15", ("1.5",), ("15",)),
        ("In 1903", "In 1930", ("1903",), ("1930",)),
        ("1,000", "100", ("1,000",), ("100",)),
        ("2.50", "2.05", ("2.50",), ("2.05",)),
    ],
)
def test_numbers_that_differ(source: str, candidate: str, missing: tuple[str, ...], added: tuple[str, ...]) -> None:
    found = kept(source, candidate).numbers
    assert (found.missing, found.added, found.same) == (missing, added, False)


def test_formulas_are_kept_to_the_letter() -> None:
    text = r"Solve $x^2 - 1 = 0$ and \(\frac{1}{2}\) with `f(x)`; it costs $5 or $7."
    assert formulas_in(text) == ["$x^2-1=0$", r"\(\frac{1}{2}\)", "`f(x)`"]
    assert kept(text, r"Löse $x^2-1=0$ und \(\frac{1}{2}\) mit `f(x)`; 5 oder 7 Dollar.").ok
    changed = kept(text, r"Löse $x^2+1=0$ und \(\frac{1}{2}\) mit `f(x)`; 5 oder 7 Dollar.")
    assert changed.formulas.missing == ("$x^2-1=0$",) and changed.formulas.added == ("$x^2+1=0$",)
    assert changed.why_not() == "the formula '$x^2-1=0$' is missing"


def test_names_are_capitals_inside_sentences() -> None:
    text = "Yesterday Ada Lovelace met Babbage's friend. They left on Monday. I saw NASA and iPhone users."
    assert names_in(text) == ["Ada", "Lovelace", "Babbage", "NASA", "iPhone"]
    assert names_in("THE ONLY ANSWER\nThe rest.") == []
    found = kept(text, "Gestern traf Ada Lovelace einen Freund Babbages. NASA, iPhone.")
    assert not found.names.missing
    lost = kept("We met Ada.", "Wir trafen Eva.")
    assert lost.names.missing == ("Ada",) and not lost.ok and lost.why_not() == "the name 'Ada' is missing"
    assert "Eva" in lost.names.added and lost.names.frac == 0.0


def test_numbers_are_found_in_ordinary_text() -> None:
    assert numbers_in("On 3 May 2020, 1,234 people; 3.14.") == ["3", "2020", "1,234", "3.14"]
    assert numbers_in("5, 600 and 7") == ["5", "600", "7"]


@given(st.text(max_size=80), st.text(max_size=80))
def test_nothing_raises_and_a_text_keeps_itself(text: str, other: str) -> None:
    assert kept(text, text).numbers.same and kept(text, text).formulas.same
    kept(text, other).why_not()
