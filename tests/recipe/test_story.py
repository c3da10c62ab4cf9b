"""What `explain` says of an estimate and its key."""

from __future__ import annotations

from typing import Any

import pytest

from teachable.recipe.story import story_text
from teachable.records import Estimate, Message, Prompt, to_row


def told(answer: str | None, **changes: Any) -> list[str]:
    """The lines on a prompt with an estimate that has these fields."""
    prompt = Prompt("abc0", "sums", (Message(role="user", content="1 + 1?"),), answer, level=1)
    usual = Estimate("abc0", "sums", 1, 12, 4, 0, 4.5, 8.5, 0.5, "2", "teachable", "the reason")
    return story_text(
        {
            "id": "abc0",
            "side": "pool",
            "prompt": to_row(prompt),
            "solution": None,
            "attempts": [],
            "estimate": {**to_row(usual), **changes},
            "decision": None,
            "scores": [],
        }
    ).splitlines()


def test_an_adaptive_estimate_tells_its_posterior_and_its_end() -> None:
    lines = told("2", p_beyond=0.016, p_teachable=0.984, stopped="decided", key="2", key_source="organic")
    assert "reference answer (organic): 2" in lines
    assert lines[-3:] == [
        "estimate: 4 of 12 right, pass rate about 0.35; beyond 0.02, teachable 0.98",
        "zone: teachable (the reason)",
        "sampling ended: decided",
    ]


@pytest.mark.parametrize(("source", "whose"), [("teacher", "the teacher's"), ("majority", "its own")])
def test_a_key_that_was_found_is_told_with_its_agreement(source: str, whose: str) -> None:
    lines = told(None, key="2", key_source=source, key_agreement=0.8)
    assert "no reference answer" in lines
    assert f"key (80% of {whose} answers): 2" in lines


def test_where_nothing_was_judged_no_pass_rate_is_claimed() -> None:
    lines = told(None, n=0, successes=0, n_undecided=8, key=None, key_source="majority", stopped="fixed")
    assert "estimate: no attempt was judged right or wrong, 8 were made" in lines
    assert not [line for line in lines if line.startswith("key (") or "pass rate" in line]


def test_an_estimate_of_an_older_run_is_told() -> None:
    lines = told("2")
    assert lines[-2:] == ["estimate: 4 of 12 right, pass rate about 0.35", "zone: teachable (the reason)"]
