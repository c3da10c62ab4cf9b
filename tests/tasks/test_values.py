"""Cells in the forms of public sets: final answers, levels, chats."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.errors import TeachableError
from teachable.tasks.values import (
    AFTER_HASHES,
    AS_IT_STANDS,
    IN_BOX,
    MAX_LEVELS,
    as_response,
    chat,
    final_answer,
    levels,
    read_answer,
)
from teachable.verify import check

SUM = "Ann has 48 clips and sells half, 48/2 = <<48/2=24>>24.\nTogether 72.\n#### 72"
FRACTION = r"We have $x = \frac{1}{2}$ so $y = \boxed{\frac{3}{4}}$."


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SUM, ("72", AFTER_HASHES)),
        ("#### 1,000\n\n", ("1,000", AFTER_HASHES)),
        ("so it is 5 #### 5", ("5", AFTER_HASHES)),
        ("#### A heading\nand then text", None),
        ("##### five", None),
        ("####", None),
        (FRACTION, (r"\frac{3}{4}", IN_BOX)),
        (r"\boxed{1}, then \boxed{ 2 }", ("2", IN_BOX)),
        (r"\fbox{7}", ("7", IN_BOX)),
        (r"it is $\boxed 9$.", ("9", IN_BOX)),
        (r"\boxed{\left\{ x : x > 0 \right\}}", (r"\left\{ x : x > 0 \right\}", IN_BOX)),
        ("\\boxed{a\n  b}", ("a b", IN_BOX)),
        (r"\boxed{\boxed{5}}", ("5", IN_BOX)),
        (r"\boxed{1} and \boxed{2", None),
        (r"\boxed{}", None),
        (r"\boxed", None),
        (r"\boxedness is 3", None),
        ("72", None),
        ("", None),
    ],
)
def test_the_final_answer_of_a_worked_text(text: str, found: tuple[str, str] | None) -> None:
    assert final_answer(text) == found


@given(st.recursive(st.sampled_from(["x", "1", " + ", r"\frac"]), lambda inner: inner.map("{{{}}}".format)))
@settings(max_examples=50, deadline=None)
def test_braces_are_balanced_however_deep(content: str) -> None:
    found = final_answer(rf"text \boxed{{a{content}}} and {{more}}")
    assert found == (" ".join(f"a{content}".split()), IN_BOX)


@pytest.mark.parametrize(
    ("value", "worked", "read"),
    [
        ("2", False, ("2", AS_IT_STANDS, None)),
        (2, False, ("2", AS_IT_STANDS, None)),
        (0, False, ("0", AS_IT_STANDS, None)),
        (0.5, False, ("0.5", AS_IT_STANDS, None)),
        (Decimal("1.50"), False, ("1.50", AS_IT_STANDS, None)),
        (["42"], False, ("42", AS_IT_STANDS, None)),
        (None, False, (None, "", None)),
        (float("nan"), False, (None, "", None)),
        (" ", True, (None, "", None)),
        (SUM, False, ("72", AFTER_HASHES, SUM)),
        (FRACTION, True, (r"\frac{3}{4}", IN_BOX, FRACTION)),
        (FRACTION, False, (r"\frac{3}{4}", IN_BOX, FRACTION)),
        (r"$\boxed{5}$", False, ("5", IN_BOX, None)),
        ("line 1\nline 2", False, ("line 1\nline 2", AS_IT_STANDS, None)),
        ("line 1\nline 2", True, (None, "", "line 1\nline 2")),
        ("a" * 101, True, (None, "", "a" * 101)),
        ("a" * 101, False, ("a" * 101, AS_IT_STANDS, None)),
        ("Paris", True, ("Paris", AS_IT_STANDS, None)),
    ],
)
def test_answers_in_all_their_forms(value: Any, worked: bool, read: tuple[str | None, str, str | None]) -> None:
    assert read_answer(value, worked=worked, where="f, row 1") == read


@pytest.mark.parametrize("value", [["1", "2"], {"a": 1}, b"1"])
def test_an_answer_that_is_no_text_is_one_sentence(value: Any) -> None:
    with pytest.raises(
        TeachableError, match=r"f, row 1: the answer is a (list|dict|bytes)\. Write it as text, or take"
    ):
        read_answer(value, worked=False, where="f, row 1")


@pytest.mark.parametrize(
    ("text", "answer"),
    [(SUM, "72"), (FRACTION, r"\frac{3}{4}"), ("so it is 5 #### 5", "5"), (r"\boxed{6}", "6"), ("#### 7", "7")],
)
def test_a_response_ends_as_verifiers_read_it(text: str, answer: str) -> None:
    said = as_response(text)
    assert said.endswith(f"Answer: {answer}") and "####" not in said
    assert check(said, answer).correct is True
    assert check(said, f"{answer}7").correct is False
    assert as_response(said) == said


@pytest.mark.parametrize("text", ["no mark at all", "thinking\nAnswer: 6", "it is \\boxed{6}\nAnswer: 6"])
def test_a_response_that_needs_no_line_stays(text: str) -> None:
    assert as_response(text) == text


@pytest.mark.parametrize(
    ("values", "found", "note"),
    [
        ([3, 1, 2], [3, 1, 2], ""),
        ([0, None, 700], [0, 0, 700], ""),
        (["Level 5", "level 1", "Level ?", None], [5, 1, 0, 0], "not understood in 1 row"),
        (["3", "Grade-4", " 2 "], [3, 4, 2], ""),
        ([1.0, float("nan"), 2.0], [1, 0, 2], ""),
        (["easy", "Medium", "very_hard", "?"], [2, 3, 5, 0], "not understood in 1 row"),
        ([0.1, 0.9], [1, 2], "ranked into 2 levels"),
        ([0.5, 0.5, 0.5], [1, 1, 1], "ranked into 1 level"),
        ([i / 10 for i in range(10)], [1, 1, 2, 2, 3, 3, 4, 4, 5, 5], "ranked into 5 levels"),
        ([-1, 0, 1], [1, 2, 3], "ranked into 3 levels"),
        ([10**30, 5, "1e3"], [2, 1, 0], "ranked into 2 levels, not understood in 1 row"),
        ([True, [1], {"a": 1}, "nan", 10**400], [0, 0, 0, 0, 0], "not understood in 5 rows"),
        ([], [], ""),
    ],
)
def test_levels(values: list[Any], found: list[int], note: str) -> None:
    assert levels(values) == (found, note)


@given(st.lists(st.floats(0, 10, allow_nan=False) | st.none(), max_size=60), st.randoms())
@settings(max_examples=60, deadline=None)
def test_ranked_levels_keep_the_order_and_depend_on_no_order(values: list[float | None], rng: random.Random) -> None:
    found, note = levels([0.5, *values])
    pairs = list(zip([0.5, *values], found, strict=True))
    assert all(level == 0 for value, level in pairs if value is None)
    known = sorted((value, level) for value, level in pairs if value is not None)
    assert [level for _, level in known] == sorted(level for _, level in known)
    assert len(dict(known)) == len(set(known))  # equal values are on one level
    assert {level for _, level in known} == set(range(1, known[-1][1] + 1))
    assert known[-1][1] <= MAX_LEVELS and note
    shuffled = list(pairs)
    rng.shuffle(shuffled)
    assert levels([value for value, _ in shuffled])[0] == [level for _, level in shuffled]


def test_share_gpt_turns_get_the_roles_of_chat_templates() -> None:
    turns = [
        {"from": "system", "value": "Be short."},
        {"from": "human", "value": "1 + 1?"},
        {"from": "gpt", "value": "2"},
        {"from": "human", "value": "And 1 + 2?", "weight": None},
    ]
    messages, answer = chat(turns, "f, row 1")
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert answer is None
    assert chat([*turns, {"from": "gpt", "value": "3"}], "f, row 1") == (messages, "3")
    assert chat([{"role": "User", "content": "Hm?"}], "f, row 1")[0] == ({"role": "user", "content": "Hm?"},)
