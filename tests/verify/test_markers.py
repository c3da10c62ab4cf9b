"""Words that mark an answer; the forms of whole responses are in test_extract.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teachable.verify.markers import Marked, answer_line, last_marked


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("Answer: 5\nThat is all.", Marked("5", "\nThat is all.", "marker")),
        ("Answer: 5. I am sure.", Marked("5", ". I am sure.\n", "marker")),
        ("The answer is 5 because 2 + 3 = 5.", Marked("5", " because 2 + 3 = 5.\n", "marker")),
        ("Answer:", Marked("", "\n", "marker")),
        ("Answer: 4\n#### 5", Marked("5", "", "hashes")),
        ("#### 5\nAnswer: 4", Marked("4", "\n", "marker")),
        ("#### Step 5\nwe add", None),
        ("The answer is clear.", None),
        ("no answer", None),
    ],
)
def test_the_last_marker_and_what_is_said_after_it(said: str, marked: Marked | None) -> None:
    assert last_marked(said, 1) == marked


def test_an_answer_takes_as_many_lines_as_are_asked_for() -> None:
    assert last_marked("Answer:\n1 2\n\n3 4\nDone.", 2) == Marked("1 2\n3 4", "Done.", "marker")
    assert answer_line("Answer:\n1 2\n\n3 4\nDone.", 2) == "1 2\n3 4"


@given(
    st.integers(-999, 999), st.sampled_from(["Answer: {}", "The final answer is {}.", "**Answer:** ${}$", "#### {}"])
)
@settings(deadline=None)
def test_a_number_comes_back(number: int, form: str) -> None:
    found = last_marked("We add.\n" + form.format(number), 1)
    assert found is not None and found.answer == str(number)
