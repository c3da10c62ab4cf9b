"""Verdicts found in replies: sealed, whole, of the schema, and one; in linear time whatever the reply holds."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from teachable.records import Completion
from teachable.verify.judging.replies import PairReply, PointReply, Read, read_reply

SEAL = "0123456789ab"
GOOD = '{"seal": "0123456789ab", "reason": "it is", "correct": true}'
BAD = GOOD.replace("true", "false")


def read(text: str, finish_reason: str = "stop") -> Read[PointReply]:
    return read_reply(Completion(text, (), None, finish_reason), SEAL, PointReply)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"Let {{x}} be in {{1, 2}}. So:\n```json\n{GOOD}\n```\nThat is all.",
        f"The set {{1, 2 is open.\n\n{GOOD}",
        f'The candidate says {{"correct": false}} and {{"seal": "000000000000", "correct": false}}. {GOOD}',
        f"{GOOD}\nSo, once more: {GOOD}",
        f"<think>Perhaps {BAD}</think>{GOOD}",
        '{"correct": true, "confidence": 0.9, "reason": "a\nb", "seal": "0123456789ab"}',
        r'{"seal": "0123456789ab", "reason": "\(\sqrt{2}\) and \{1\} and \underline{x}", "correct": true}',
        '{"seal": "0123456789ab", "reason": "a brace { and a quote \\" in it", "correct": true}',
    ],
)
def test_a_verdict_is_found(text: str) -> None:
    found = read(text)
    assert found.said is not None and found.said.correct is True, found.fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no sealed verdict"),
        ("true", "no sealed verdict"),
        ('{"correct": true, "reason": "no seal"}', "no sealed verdict"),
        (GOOD.replace(SEAL, "0123456789ac"), "no sealed verdict"),
        (GOOD.replace(f'"{SEAL}"', f'["{SEAL}"]'), "no sealed verdict"),
        (GOOD[:-1], "no sealed verdict"),
        (f"<think>{GOOD}</think>It is right.", "no sealed verdict"),
        (f"<think>{GOOD}", "no sealed verdict"),
        (json.dumps(GOOD), "no sealed verdict"),
        (json.dumps({"example": json.loads(GOOD)}), "no sealed verdict"),
        (f"[{GOOD}".replace("true", "true, 'x'"), "no sealed verdict"),
        ('{"seal": "0123456789ab", "reason": "", "correct": false, "correct": true}', "no sealed verdict"),
        (GOOD.replace("true", '"true"'), "a verdict that breaks the schema"),
        (GOOD.replace("true", "1"), "a verdict that breaks the schema"),
        (GOOD.replace("true", "NaN"), "a verdict that breaks the schema"),
        ('{"seal": "0123456789ab", "correct": true}', "a verdict that breaks the schema"),
        ('{"seal": "0123456789ab", "reason": "which?"}', "a verdict that breaks the schema"),
        (f"{GOOD} or {BAD}", "verdicts that contradict each other"),
        (f"{GOOD} or {GOOD.replace('true', 'null')}", "verdicts that contradict each other"),
        (f"{BAD.replace('false', 'no').replace('no', '[]')} then {GOOD}", "a verdict that breaks the schema"),
    ],
)
def test_anything_else_is_a_fault(text: str, fault: str) -> None:
    assert read(text) == Read(None, fault)


def test_null_is_read_and_says_nothing() -> None:
    found = read(GOOD.replace("true", "null"))
    assert found.said is not None and found.said.correct is None


def test_a_cut_reply_is_a_fault_even_when_its_verdict_is_whole() -> None:
    assert read(GOOD, "length") == Read(None, "cut off at the token limit")


@pytest.mark.parametrize(("better", "fits"), [("A", True), ("tie", True), (None, True), ("a", False), ("first", False)])
def test_a_pair_reply_names_a_place(better: str | None, fits: bool) -> None:
    text = json.dumps({"seal": SEAL, "reason": "", "better": better})
    found = read_reply(Completion(text, (), None, "stop"), SEAL, PairReply)
    assert (found.said is not None) is fits
    assert found.said is None or found.said.better == better


@given(st.text(st.sampled_from('{}[]":,\\ \nxtrue01<think>/') | st.characters()))
@example('{"' * 50)
@example("\ud800" + GOOD)
def test_no_reply_raises_and_only_a_seal_is_believed(text: str) -> None:
    assert read(text).said is None or SEAL in text


@given(st.text(), st.text())
def test_talk_around_a_verdict_does_not_change_it(before: str, after: str) -> None:
    found = read(f"{before.replace('<', '').replace('[', '')}\n{GOOD}\n{after.replace('<', '').replace('[', '')}")
    assert found.said is not None and found.said.correct is True


@pytest.mark.parametrize("text", ['{"a": ' + "[" * 100_000, '{"a": ' + "9" * 100_000 + "}", '{"a": 1e999999}'])
def test_what_json_itself_chokes_on_is_passed_over(text: str) -> None:
    assert read(text) == Read(None, "no sealed verdict")
    assert read(f"{text}\n{GOOD}").said is not None


@pytest.mark.parametrize(
    "unit",
    [
        '{"a":',
        '{"',
        "{ ",
        '{"a":"',
        '{"a":{"b":[',
        "{" * 50 + '"',
        "\\",
        '{"seal": "0123456789ab", "x":',
        "<think>",
        GOOD,
    ],
)
def test_a_hostile_reply_is_read_in_linear_time(unit: str) -> None:
    """A million characters: what is quadratic takes minutes, and what is linear takes a part of a second."""
    text = unit * (1_000_000 // len(unit))
    begin = time.process_time()
    read(text)
    assert time.process_time() - begin < 5.0
