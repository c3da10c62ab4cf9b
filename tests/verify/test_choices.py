"""Multiple choice: what counts as choosing an option, and what does not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.records import Prompt, Verdict
from teachable.verify.choices import Choice
from teachable.verify.choosing import chosen

CITIES = ["London", "Paris", "Paris, Texas", "a dog"]


def check(attempt: str, reference: str | None, choices: Any = CITIES, question: str = "") -> Verdict:
    meta = {"choices": choices} if choices else {}
    prompt = Prompt("p", "d", ({"role": "user", "content": question},), reference, verifier="choice", meta=meta)
    return asyncio.run(Choice().verify(attempt, prompt))


RIGHT = [
    *("B", "b", "B.", "B)", "(B)", "(b)", "[B]", "{B}", "'B'", "B!", "**B**", "`B`", "( B )", "B:", "B, not A"),
    *("option b", "Option B", "option (B)", "choice (b)", "Choice B", "letter B", "Answer: option 2", "alternative B"),
    *("the second", "the second option", "2nd", "second one", "The answer is the 2nd option", "Answer: the second."),
    *("Paris", "paris.", "So the capital is Paris.", "Answer: the Paris", "Answer: Paris (B)", '"Paris"'),
    *("B) Paris", "B. Paris", "B: Paris", "B - Paris", "(B) Paris", "B)Paris", "Answer: **B. Paris**", "**(B) Paris**"),
    *("Answer: B", "The answer is B.", "The answer is (B).", "Final answer: B", "My answer is b) Paris", "It's B"),
    *(r"\boxed{B}", r"\boxed{\text{(B)}}", r"$\boxed{\textbf{(B)}}$", r"\boxed{B. Paris}", r"\boxed{\text{Paris}}"),
    *(r"The answer is \textbf{(B)}", "<answer>B</answer>", "<think>A</think>B", "### Answer\n(B)", "#### B"),
    *("The answer is B because A is wrong", "Answer: B, since A is wrong", "The answer is B.\nA is wrong."),
    *("B is correct.", "Option B is the correct answer.", "(B) is right", "I think B", "I choose option B."),
    *("The correct option is (B).", "The correct option is B.\nHope that helps!", "Choice: B\nBye", "I pick B.\nBye"),
    *("B\n\nExplanation: C is in Texas, and A is on the Thames.", "B) Paris\nThe others are wrong, as A is British."),
    *(
        "The answer is B, which is in France",
        "The first letter is A, so the answer is B",
        "Answer: B. The city is Paris",
    ),
    "Answer: The capital of France is Paris, which is smaller than London",
]
WRONG = [
    *(
        "A",
        "C",
        "D",
        "the third",
        "last one",
        "London",
        "(C)",
        "Paris, Texas",
        "Answer: C. Paris, Texas",
        "a dog",
        "A dog",
    ),
    *(
        "A or B",
        "B or C",
        "B or A",
        "A and C",
        "both A and B",
        "either B or C",
        "B, C",
        "B/C",
        "B & C",
        "B; C",
        "B C",
        "B? C?",
    ),
    *("B and D", "A, B, C, D", "A B C D", "(A)(B)(C)(D)", "ABCD", "AB", r"\boxed{A,B}", r"\boxed{BC}", "[A, B]"),
    *(
        "B) Paris or C) Paris, Texas",
        "A. London B. Paris",
        "London or Paris",
        "Paris and London",
        "(B) London",
        "B) London",
    ),
    *("B or", "Answer: B or maybe C", "Answer: B (or C)", "The answer is B. Or it could be C.", "Answer: B\nor C"),
    *(
        r"\boxed{B} or \boxed{C}",
        r"\boxed{B} \boxed{C}",
        r"\boxed{B}, \boxed{A}",
        "<answer>B</answer><answer>C</answer>",
    ),
    *(
        "all of the above",
        "none of the above",
        "both of them",
        "any of A, B, C",
        "neither B nor C",
        "not B",
        "not Paris",
    ),
    *("E", "(E)", "Bq", "(B)q", "Parisq", "I don't know", "", "Answer:", r"\boxed{}", "<think>B</think>", "<think>B"),
    *(
        "B or the first",
        "the first or second",
        "the second and the third",
        "Answer: Paris or so",
        "A lot of them",
        "First, a look",
    ),
    "C\n\nExplanation: it could not be B.",
]


@pytest.mark.parametrize("attempt", RIGHT)
def test_the_option_is_chosen_in_many_ways(attempt: str) -> None:
    for reference in ("B", "(b)", "second", "the second option", "Paris", "B. Paris"):
        verdict = check(attempt, reference)
        assert (verdict.correct, verdict.answer, verdict.reason) == (True, "B", "chooses B"), reference


@pytest.mark.parametrize("attempt", WRONG)
def test_another_option_or_two_or_none_is_wrong(attempt: str) -> None:
    verdict = check(attempt, "B")
    assert verdict.correct is False
    assert verdict.reason


@pytest.mark.parametrize(
    ("attempt", "reason"),
    [
        ("A", "chooses A instead of B"),
        ("B or C", "chooses several options: B or C"),
        ("B or", "chooses several options: B or another"),
        ("(B) London", "chooses several options: A or B"),
        (r"\boxed{B} \boxed{C}", "gives several different answers"),
        ("E", "there is no option E"),
        ("Rome", "names none of the options"),
        ("", "no answer found"),
        (r"\boxed{B", "the answer box is never closed"),
    ],
)
def test_a_wrong_answer_says_why(attempt: str, reason: str) -> None:
    assert check(attempt, "B").reason == reason


@pytest.mark.parametrize(
    ("attempt", "reference", "choices", "right"),
    [
        # Articles and pronouns are words, unless nothing else is there.
        ("a dog", "A", ["cat", "dog"], False),
        ("a dog", "B", ["cat", "dog"], True),
        ("A dog barked", "A", ["cat", "dog"], False),
        ("a", "A", CITIES, True),
        ("a.", "A", CITIES, True),
        ("(a)", "A", CITIES, True),
        ("option a", "A", CITIES, True),
        ("option a is right", "A", CITIES, True),
        ("A is the answer", "A", CITIES, True),
        ("A London", "A", CITIES, True),
        ("I", "I", list("qrstuvwxy"), True),
        ("I think so", "I", list("qrstuvwxy"), False),
        ("I think B", "B", list("qrstuvwxy"), True),
        # Texts that hold other texts.
        ("3.5", "A", ["3", "3.5"], False),
        ("3.5", "B", ["3", "3.5"], True),
        ("-3", "A", ["3", "-3"], False),
        ("Vitamin C", "C", ["Vitamin A", "Vitamin B", "Vitamin C"], True),
        ("Vitamin C", "A", ["Vitamin A", "Vitamin B", "Vitamin C"], False),
        ("A. Vitamin C", "A", ["Vitamin C", "Vitamin B", "Vitamin A"], True),
        ("C. elegans", "A", ["C. elegans", "E. coli"], True),
        ("x", "A", ["x", "X"], True),
        ("X", "A", ["x", "X"], False),
        ("Answer: $\\frac12$", "A", ["$\\frac{1}{2}$", "2"], True),
        (r"\boxed{\dfrac{1}{2}}", "A", [r"$\frac{1}{2}$", "2"], True),
        # A label comes before a text.
        ("A", "A", ["O", "A", "B", "AB"], True),
        ("A", "B", ["O", "A", "B", "AB"], False),
        ("O", "A", ["O", "A", "B", "AB"], True),
        # Options that a refusal looks like.
        ("all of the above", "C", ["x", "y", "All of the above"], True),
        ("C", "all of the above", ["x", "y", "All of the above"], True),
        ("both A and B", "C", ["x", "y", "Both A and B"], True),
        ("C) Both A and B", "C", ["x", "y", "Both A and B"], True),
        ("none of the above", "D", ["1", "2", "3", "None of the above"], True),
        ("true or false", "A", ["true or false", "maybe"], True),
        ("A) true or false", "A", ["true or false", "maybe"], True),
        ("not prime", "B", ["prime", "not prime"], True),
        ("not prime", "A", ["prime", "not prime"], False),
        ("any of 1, 2", "B", ["1", "any of 1, 2"], True),
        ("any of 1, 2", "A", ["1", "2"], False),
        # Numbers: labels where the options are numbered, texts where they are not.
        ("2", "2", {"1": "x", "2": "y"}, True),
        ("(2)", "2", {"1": "x", "2": "y"}, True),
        ("option 2", "y", {"1": "x", "2": "y"}, True),
        ("2 or 1", "2", {"1": "x", "2": "y"}, False),
        ("2+2=4", "B", ["3", "4", "5"], True),
        ("5", "B", ["3", "4", "5"], False),
        ("2", "B", ["3", "2", "1"], True),
        ("B) 42", "B", ["3", "4"], False),
        ("B. Parisq", "B", CITIES, False),
    ],
)
def test_labels_and_texts_that_could_be_taken_for_each_other(
    attempt: str, reference: str, choices: Any, right: bool
) -> None:
    assert check(attempt, reference, choices).correct is right


def test_the_options_are_read_out_of_the_question() -> None:
    question = "What is the capital of France?\nA. London\nB. Paris\nC. Rome"
    assert check("Paris", "B", None, question).correct is True
    assert check("B", "Paris", None, question).correct is True
    assert check("Rome", "B", None, question).correct is False


@pytest.mark.parametrize(
    ("attempt", "reference", "right"),
    [
        ("B", "B", True),
        ("(b)", "B", True),
        ("B) Paris", "B", True),
        ("B", "(B) Paris", True),
        ("Paris", "(B) Paris", True),
        ("(B) Rome", "(B) Paris", False),
        ("C", "B", False),
        ("B or C", "B", False),
        ("Bq", "B", False),
        ("Paris", "Paris", True),
        ("Rome", "Paris", False),
        ("Paris", "B", None),
        ("B", "Paris", None),
        ("a dog", "A", None),
        ("C. elegans", "C. elegans", True),
        ("C. difficile", "C. elegans", False),
        ("x = 6", "x = 5", False),
        ("C++", "C++", True),
    ],
)
def test_without_options_letters_and_texts_stay_apart(attempt: str, reference: str, right: bool | None) -> None:
    assert check(attempt, reference, None).correct is right


@pytest.mark.parametrize("reference", [None, "", "E", "Rome", "A or B"])
def test_without_a_usable_reference_it_could_not_tell(reference: str | None) -> None:
    assert check("B", reference).correct is None


@given(st.integers(0, 25), st.integers(0, 25))
@settings(max_examples=200, deadline=None)
def test_each_letter_is_itself_and_no_other(given_index: int, wanted_index: int) -> None:
    choices = [f"thing {index}" for index in range(26)]
    given_label, wanted_label = chr(65 + given_index), chr(65 + wanted_index)
    for form in ("{}", "({})", "{}.", "option {}", "Answer: {}", r"\boxed{{{}}}"):
        for label in (given_label, given_label.lower()):
            assert check(form.format(label), wanted_label, choices).correct is (given_index == wanted_index)
    assert check(f"thing {given_index}", wanted_label, choices).correct is (given_index == wanted_index)
    if given_index != wanted_index:
        for form in ("{} or {}", "{} and {}", "({}) or ({})", "{}, {}", "{}/{}", "Answer: {} or maybe {}"):
            assert check(form.format(given_label, wanted_label), wanted_label, choices).correct is False


@given(st.text(), st.sampled_from([{}, {"A": "x", "B": "a or b"}, {"1": "", "2": "$5$"}]))
@settings(max_examples=300, deadline=None)
def test_any_answer_is_read(answer: str, options: dict[str, str]) -> None:
    pick = chosen(answer, options)
    assert (pick.label is None) == bool(pick.reason)
    assert pick.label is None or not options or pick.label in options


def test_hostile_answers_are_read_quickly() -> None:
    start = time.process_time()
    for piece in (
        "A ",
        "A or ",
        "(A",
        " ",
        "the ",
        "option ",
        "first ",
        "not ",
        ",",
        "London ",
        r"\text{",
        "I choose ",
        "A, ",
    ):
        check(piece * 30_000, "B")
    assert time.process_time() - start < 5
