"""Records are frozen, have ids that never change, and come back from a row as they went."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teachable.engines.scripted import ScriptedEngine
from teachable.records import (
    ZONES,
    Attempt,
    Completion,
    Engine,
    Estimate,
    Example,
    Lineage,
    Message,
    Progress,
    Prompt,
    Record,
    Request,
    Solution,
    Verdict,
    Verifier,
    Zone,
    content_id,
    from_row,
    to_row,
)
from teachable.store.files import read_records, write_records
from teachable.verify import Exact

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
COUNT = st.integers(0, 2**31 - 1)
NUMBER = st.floats(0, 1e6)
MESSAGES = st.lists(st.builds(Message, role=TEXT, content=TEXT), max_size=3).map(tuple)
META = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | COUNT | TEXT | st.floats(-1e6, 1e6),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
        max_leaves=4,
    ),
    max_size=3,
)
LINEAGE = st.lists(st.builds(Lineage, parent=TEXT, transform=TEXT, params=TEXT), max_size=2).map(tuple)
RECORDS: dict[type[Any], st.SearchStrategy[Any]] = {
    Prompt: st.builds(
        Prompt,
        id=TEXT,
        domain=TEXT,
        messages=MESSAGES,
        answer=st.none() | TEXT,
        answer_source=st.sampled_from(["organic", "program", "teacher", "majority"]),
        verifier=TEXT,
        level=COUNT,
        meta=META,
        lineage=LINEAGE,
    ),
    Solution: st.builds(Solution, prompt_id=TEXT, text=TEXT, source=TEXT, reason=TEXT),
    Attempt: st.builds(
        Attempt,
        prompt_id=TEXT,
        sample=COUNT,
        engine=TEXT,
        seed=st.integers(0, 2**63 - 1),
        text=TEXT,
        token_ids=st.lists(COUNT, max_size=4).map(tuple),
        finish_reason=st.sampled_from(["stop", "length", "error"]),
        correct=st.none() | st.booleans(),
        answer=st.none() | TEXT,
        reason=TEXT,
    ),
    Estimate: st.builds(
        Estimate,
        prompt_id=TEXT,
        domain=TEXT,
        level=COUNT,
        n=COUNT,
        successes=COUNT,
        n_undecided=COUNT,
        posterior_a=NUMBER,
        posterior_b=NUMBER,
        agreement=NUMBER,
        plurality=st.none() | TEXT,
        zone=st.sampled_from(ZONES),
        reason=TEXT,
    ),
    Example: st.builds(
        Example, prompt_id=TEXT, messages=MESSAGES, domain=TEXT, level=COUNT, zone=TEXT, why=TEXT, n_tokens=COUNT
    ),
}
ASK = Message(role="user", content="What is 1 + 1?")
PROMPT = Prompt("p", "sums", (ASK,), "2")
ATTEMPT = Attempt("p", 3, "engine", 7, "Answer: 2", (1, 2), "stop", True, "2", "equals the reference answer")
ESTIMATE = Estimate("p", "sums", 1, 8, 3, 0, 3.5, 5.5, 0.4, "2", "teachable", "between")
EXAMPLE = Example("p", (ASK, Message(role="assistant", content="Answer: 2")), "sums", 1, "teachable", "edge", 9)
SOLUTION = Solution("p", "Answer: 2", "organic", "equals the reference answer")
ALL: tuple[Record, ...] = (PROMPT, SOLUTION, ATTEMPT, ESTIMATE, EXAMPLE)


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_record_comes_back_from_its_row_also_through_json(kind: type[Any], data: st.DataObject) -> None:
    record = data.draw(RECORDS[kind])
    row = to_row(record)
    assert list(row) == [f.name for f in fields(kind)]
    assert from_row(kind, row) == record
    assert from_row(kind, json.loads(json.dumps(row))) == record


@pytest.mark.parametrize("kind", RECORDS)
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_records_come_back_from_files(kind: type[Any], tmp_path: Path, data: st.DataObject) -> None:
    records = data.draw(st.lists(RECORDS[kind], min_size=1, max_size=3))
    for suffix in (".jsonl", ".parquet"):
        write_records(tmp_path / f"rows{suffix}", records)
        assert read_records(tmp_path / f"rows{suffix}", kind) == records


@pytest.mark.parametrize("record", ALL, ids=lambda record: type(record).__name__)
def test_a_row_is_flat(record: Record) -> None:
    """Numbers, text, None, lists of these, and messages: what a table can hold."""
    for name, value in to_row(record).items():
        items = value if isinstance(value, list) else [value]
        assert all(
            item is None or isinstance(item, str | int | float) or name in ("messages", "lineage") for item in items
        )
        assert not isinstance(value, tuple)


def test_free_form_values_travel_as_json_text() -> None:
    row = to_row(replace(PROMPT, meta={"b": [1, None], "a": {"ä": 0.5}}))
    assert row["meta"] == '{"a": {"ä": 0.5}, "b": [1, null]}'
    assert to_row(PROMPT)["meta"] == "{}"


def test_columns_that_a_record_does_not_have_are_passed_over_and_defaults_filled_in() -> None:
    row = {"id": "p", "domain": "sums", "messages": [ASK], "answer": "2", "note": "mine", "meta": None, "lineage": None}
    assert from_row(Prompt, row) == PROMPT


def test_a_row_that_lacks_a_field_names_it() -> None:
    row = to_row(SOLUTION)
    del row["text"], row["reason"]
    with pytest.raises(KeyError, match="a Solution row lacks text, reason"):
        from_row(Solution, row)


def test_ids_never_change() -> None:
    """Golden: tables that were written long ago are joined by these."""
    assert content_id("gcd", "größer?") == "0225a6820f2e734c"
    assert content_id({"b": 1, "a": [1.5, None]}) == content_id({"a": [1.5, None], "b": 1}) == "78b813b45cafdddd"
    assert ATTEMPT.id == content_id("p", "engine", 7, 3) == "e7c1fdbee9282d98"
    assert EXAMPLE.id == content_id(list(EXAMPLE.messages)) == "f72d7ffb01d94edd"


def test_an_id_is_of_the_content_that_identifies() -> None:
    assert replace(ATTEMPT, text="other", correct=None).id == ATTEMPT.id
    others = [replace(ATTEMPT, sample=4), replace(ATTEMPT, seed=8), replace(ATTEMPT, engine="e")]
    assert len({attempt.id for attempt in (ATTEMPT, *others)}) == 4
    assert replace(EXAMPLE, why="another reason", zone="mastered").id == EXAMPLE.id
    assert replace(EXAMPLE, messages=(ASK,)).id != EXAMPLE.id
    assert content_id("a", "b") != content_id("ab") != content_id(["a", "b"])


@pytest.mark.parametrize(
    "record",
    [
        *ALL,
        Lineage("p", "rewrite", "{}"),
        Request("a"),
        Completion("a", (1,), None, "stop"),
        Verdict(None, None, "no"),
        Progress(1, 2, "prompts"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_records_are_frozen(record: Any) -> None:
    for f in fields(record):
        with pytest.raises(FrozenInstanceError):
            setattr(record, f.name, getattr(record, f.name))
    assert replace(record) == record
    assert asdict(record) == asdict(replace(record))


def test_the_text_of_a_prompt_is_the_last_question() -> None:
    turns = (Message(role="user", content="first"), Message(role="assistant", content="yes"), ASK)
    assert replace(PROMPT, messages=(Message(role="system", content="be short"), *turns)).text == ASK["content"]
    assert replace(PROMPT, messages=(*turns, Message(role="assistant", content="2"))).text == ASK["content"]
    assert replace(PROMPT, messages=()).text == ""


def test_the_pass_rate_is_the_posterior_mean() -> None:
    assert ESTIMATE.pass_rate == pytest.approx(3.5 / 9)


def test_zones_are_those_of_the_type() -> None:
    assert get_args(Zone) == ZONES


def test_protocols_ask_for_members_and_no_base_class() -> None:
    assert isinstance(ScriptedEngine({}), Engine)
    assert isinstance(Exact(), Verifier)
    assert not isinstance(Exact(), Engine)
    assert Engine not in ScriptedEngine.__mro__
