"""The verifier `lm_eval` needs a prompt and nothing else: no data set, no network."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from teachable.errors import TeachableError
from teachable.records import Prompt, from_row, to_row
from teachable.verify import get, verdict_of
from teachable.verify.harness.scoring import fraction
from teachable.verify.harness.verifier import MAX_RESPONSE_CHARS

pytest.importorskip("lm_eval")


def asked(task: str, file: str, doc: dict[str, Any], main: str, metric: str, **more: Any) -> Prompt:
    needs = {"task": task, "file": file, "doc": doc, "filter": main, "metric": metric, **more}
    prompt = Prompt(id="1", domain=task, messages=(), verifier="lm_eval", meta={"lm_eval": needs})
    return from_row(Prompt, to_row(prompt))  # as the evaluation reads it from a file


GSM8K = asked(
    "gsm8k",
    "gsm8k/gsm8k.yaml",
    {"question": "What is 5 + 7?", "answer": "5 + 7 = 12\n#### 12"},
    "flexible-extract",
    "exact_match",
)
DROP = asked(
    "drop",
    "drop/default.yaml",
    {
        "passage": "Red won 21 to 14.",
        "question": "Who won?",
        "answer": {"number": "", "spans": ["Red"]},
        "answers": [["Red"], ["the Red team"]],
    },
    "none",
    "f1",
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the network was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def verdict(response: str, prompt: Prompt) -> Any:
    verifier = get("lm_eval")
    verifier.ready()  # type: ignore[attr-defined]
    return asyncio.run(verdict_of(verifier, response, prompt))


def test_right_and_wrong() -> None:
    right = verdict("5 + 7 = 12, so it is 12.", GSM8K)
    assert (right.correct, right.frac_passed, right.answer) == (True, 1.0, "12.")
    assert "exact_match 1 after flexible-extract" in right.reason
    assert "exact_match 0 after strict-match" in right.reason
    wrong = verdict("I say 13", GSM8K)
    assert (wrong.correct, wrong.frac_passed, wrong.answer) == (False, 0.0, "13")
    assert verdict("no idea", GSM8K).answer is None  # the filter's "[invalid]"


def test_a_partial_score_is_no_success() -> None:
    found = verdict("Red team", DROP)
    assert found.correct is True and found.frac_passed == 1.0  # articles do not count
    found = verdict("the Red players", DROP)
    assert found.correct is False
    assert found.frac_passed == pytest.approx(0.67)
    assert "em 0" in found.reason


def test_it_can_be_asked_from_several_threads() -> None:
    verifier = get("lm_eval")
    responses = [f"it is {number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: verifier.verdict(text, GSM8K).correct, responses))  # type: ignore[attr-defined]
    assert found == [number == 12 for number in range(24)]


@pytest.mark.parametrize(
    "response", ["", "\ud800 12", "\x00", "12" * 5000, "[" * 3000, "#### " * 500, "{{ question }}"]
)
def test_strange_text_raises_nothing(response: str) -> None:
    for prompt in (GSM8K, DROP):
        assert verdict(response, prompt).correct in (True, False, None)


def test_could_not_tell() -> None:
    assert verdict("12", Prompt(id="1", domain="", messages=())).correct is None
    assert verdict("1" * (MAX_RESPONSE_CHARS + 1), GSM8K).correct is None
    broken = asked("drop", "drop/default.yaml", {**DROP.meta["lm_eval"]["doc"], "answers": None}, "none", "f1")
    found = verdict("12", broken)
    assert found.correct is None and "can't score this: TypeError" in found.reason


def test_a_task_that_is_gone_is_the_users_to_mend() -> None:
    gone = asked("gone", "gone/gone.yaml", {"question": "?"}, "none", "exact_match")
    with pytest.raises(TeachableError, match=r"gone\.yaml: lm-evaluation-harness can't read this task"):
        verdict("12", gone)


def test_only_numbers_between_0_and_1_are_scores() -> None:
    assert [fraction(value) for value in (True, 0, 0.5, 1)] == [1.0, 0.0, 0.5, 1.0]
    assert [fraction(value) for value in (None, "1", [True], (1, 2), 17, -0.1, float("nan"))] == [None] * 7
