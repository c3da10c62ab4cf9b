"""The options of a question: given beside it, or read out of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.records import Prompt
from teachable.verify.options import LABELS, options_in, options_of


def prompt(question: str = "", choices: Any = None) -> Prompt:
    return Prompt("p", "d", ({"role": "user", "content": question},), "A", meta={"choices": choices} if choices else {})


@pytest.mark.parametrize(
    "choices",
    [
        ["London", "Paris"],
        ("London", "Paris"),
        {"A": "London", "B": "Paris"},
        {"(a)": "London", "b.": "Paris"},
        {"label": ["A", "B"], "text": ["London", "Paris"]},
        ["A. London", "B) Paris"],
    ],
)
def test_options_that_stand_beside_the_question(choices: Any) -> None:
    assert options_of(prompt("A. Rome\nB. Oslo", choices)) == {"A": "London", "B": "Paris"}


@pytest.mark.parametrize("choices", [5, "AB", {}, [], None, {"label": 1, "text": 2}])
def test_what_is_no_list_of_options(choices: Any) -> None:
    assert options_of(prompt("Which is it?", choices)) in ({}, {"LABEL": "1", "TEXT": "2"})


@pytest.mark.parametrize(
    "question",
    [
        "Which?\nA. x\nB. y\nC. z",
        "Which?\n(A) x\n(B) y\n(C) z\n\nAnswer with a letter.",
        "Which?\nA) x\nB) y\nC) z",
        "Which?\na) x\nb) y\nc) z",
        "Which?\nA: x\nB: y\nC: z",
        "Which?\n  - A. x\n  - B. y\n  - C. z",
        "Which?\n**A.** x\n**B.** y\n**C.** z",
        "Which? (A) x (B) y (C) z",
        "Which? A) x B) y C) z",
        "Which? A. x, B. y, C. z",
        r"Which? $\textbf{(A)}\ x \qquad\textbf{(B)}\ y \qquad\textbf{(C)}\ z$",
        "A. This is a heading\n\nWhich?\nA. x\nB. y\nC. z",
        "For example:\nA. no\nB. no\nNow yours:\nA. x\nB. y\nC. z",
    ],
)
def test_options_that_the_question_lists(question: str) -> None:
    assert options_of(prompt(question)) == {"A": "x", "B": "y", "C": "z"}


def test_numbered_options() -> None:
    assert options_in("Which?\n1. x\n2) y") == {"1": "x", "2": "y"}


@pytest.mark.parametrize(
    "question", ["", "What is 2 + 3?", "A. only one", "Vitamin A. is it B?", "B. x\nC. y", "A. x\nC. y"]
)
def test_a_question_without_options(question: str) -> None:
    assert options_in(question) == {}


@given(st.lists(st.text("abcdefg ", min_size=1, max_size=8).map(str.strip).filter(bool), min_size=2, max_size=26))
@settings(max_examples=100, deadline=None)
def test_up_to_26_options_come_back(texts: list[str]) -> None:
    wanted = dict(zip(LABELS, texts, strict=False))
    for form in ("{}. {}", "({}) {}", "{}) {}"):
        question = "Which one?\n" + "\n".join(form.format(label, text) for label, text in wanted.items())
        assert options_in(question) == wanted


@given(st.text(alphabet="AB12().:\n $\\*-x"))
@settings(deadline=None)
def test_any_question_is_read(question: str) -> None:
    found = options_in(question)
    assert not found or len(found) > 1
