"""Boxes and the marks around an answer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.verify.boxes import bare, boxes, closing, unwrapped

_GROUPS = st.recursive(
    st.sampled_from(["x", "1", r"\frac", r"\{", r"\}", "\\\\", " "]),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "{" + "".join(parts) + "}"),
    max_leaves=20,
)


@given(st.lists(_GROUPS, max_size=4).map("".join))
@settings(max_examples=300, deadline=None)
def test_braces_are_balanced_however_deep(content: str) -> None:
    text = rf"so \boxed{{a{content}}} and {{more}}"
    (box,) = boxes(text)
    assert box.content == f"a{content}"
    assert text[box.start : box.end] == rf"\boxed{{a{content}}}"
    assert closing(text, text.index("{")) == box.end - 1


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{1} \fbox{2} \boxed 3", ["1", "2", "3"]),
        (r"\boxed{a \boxed{b} c}", [r"a \boxed{b} c"]),
        (r"\boxed{a \boxed{b}", ["b"]),
        (r"\boxed{a} \boxed{b", ["a", None]),
        (r"\boxedness{3}", []),
        (r"an unboxed{3} one", []),
        ("{}}}{", []),
    ],
)
def test_the_outermost_boxes_in_order(text: str, contents: list[str | None]) -> None:
    assert [box.content for box in boxes(text)] == contents


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("$5$", "5"),
        ("$$5$$.", "5"),
        (r"\(5\)", "5"),
        (r"**$\frac{1}{2}$**", r"\frac{1}{2}"),
        ("`x`", "x"),
        ("$5", "$5"),
        ("$5$ and $6$", "$5$ and $6$"),
        ("**a** and **b**", "**a** and **b**"),
        ("6**", "6"),
        ("6.", "6"),
        ("(1, 2);", "(1, 2)"),
        ("5!", "5!"),
        ("0.33...", "0.33..."),
        ("A cat.", "A cat."),
        ("5 . .", "5 . ."),
        ("1.\n2.", "1.\n2."),
        ("$", "$"),
        ("", ""),
    ],
)
def test_marks_around_all_of_an_answer_go(text: str, plain: str) -> None:
    assert bare(text) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"\text{even}", "even"),
        (r"\textbf{(B)}", "(B)"),
        (r"\mathrm{\text{even}}", "even"),
        (r"\text{a} or \text{b}", r"\text{a} or \text{b}"),
        (r"5 \text{ cm}", r"5 \text{ cm}"),
        (r"\text{", r"\text{"),
        (r"\text{}", r"\text{}"),
    ],
)
def test_a_text_command_around_all_of_an_answer_goes(text: str, plain: str) -> None:
    assert unwrapped(text) == plain
