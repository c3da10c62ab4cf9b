"""The scripted engine keeps the protocol's promises and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from teachable.engines.scripted import ScriptedEngine, scripted_from_file
from teachable.errors import TeachableError
from teachable.records import Completion, Engine, Message, Request

ASK = Request(prompt=[Message(role="user", content="hello")], n=4, seed=3)


def noise(text: str, index: int, generator: random.Random) -> str:
    return f"{text} {index} {generator.random()}"


def sample(engine: ScriptedEngine, request: Request) -> list[Completion]:
    return asyncio.run(engine.sample(request))


def test_it_is_an_engine() -> None:
    engine = ScriptedEngine(noise)
    assert isinstance(engine, Engine)
    assert engine.decode(engine.encode("größer")) == "größer"
    text = engine.decode(engine.encode([Message(role="user", content="hello")]))
    assert text == "user: hello\nassistant: "


def test_sample_i_depends_on_the_request_alone() -> None:
    engine = ScriptedEngine(noise)
    four = sample(engine, ASK)
    assert sample(engine, ASK) == four
    assert sample(engine, Request(prompt=ASK.prompt, n=2, seed=3)) == four[:2]
    assert len({c.text for c in four}) == 4
    assert sample(engine, Request(prompt=ASK.prompt, n=4, seed=4)) != four


def test_samples_may_be_asked_for_from_any_first_one_on() -> None:
    engine = ScriptedEngine(noise)
    four = sample(engine, ASK)
    assert [c.text for c in sample(engine, replace(ASK, first=2, n=2))] == [c.text for c in four[2:]]
    assert sample(engine, replace(ASK, n=0)) == []


@pytest.mark.parametrize("first", [0, 3])
def test_the_first_sample_that_is_asked_for_carries_the_prompts_tokens(first: int) -> None:
    engine = ScriptedEngine(noise)
    for prompt in ("größer", tuple(b"hello"), ASK.prompt):
        n_in = len(prompt) if isinstance(prompt, tuple) else len(engine.encode(prompt))  # type: ignore[arg-type]
        samples = sample(engine, replace(ASK, prompt=prompt, first=first, n=3))
        assert [c.n_prompt_tokens for c in samples] == [n_in, 0, 0]
        assert [c.n_tokens for c in samples] == [len(c.text.encode()) for c in samples]


def test_greedy_has_one_answer_whatever_the_seed() -> None:
    engine = ScriptedEngine(noise)
    texts = {c.text for s in (1, 2) for c in sample(engine, Request(ASK.prompt, n=2, temperature=0.0, seed=s))}
    assert len(texts) == 1


def test_text_and_token_prompts_are_the_same_question() -> None:
    engine = ScriptedEngine({"hello": "yes"})
    for asked in ("hello", tuple(b"hello"), ASK.prompt):
        assert [c.text for c in sample(engine, Request(asked))] == ["yes"]
    assert sample(engine, Request("unknown"))[0].text == ""


def test_stop_and_max_tokens_hold() -> None:
    engine = ScriptedEngine({"a": "one\ntwo", "b": "ääää"})
    one = Completion("one", tuple(b"one"), None, "stop", n_tokens=3, n_prompt_tokens=1)
    assert sample(engine, Request("a", stop=("\n",))) == [one]
    cut = sample(engine, Request("b", max_tokens=4))[0]
    assert (cut.text, len(cut.token_ids), cut.finish_reason) == ("ää", 4, "length")


def test_it_truncates_and_talks_garbage_as_told() -> None:
    truncated = sample(ScriptedEngine({"hello": "abcdef"}, frac_truncated=1.0), ASK)
    assert {(c.text, c.finish_reason) for c in truncated} == {("abc", "length")}
    assert all(c.text != "abcdef" for c in sample(ScriptedEngine({"hello": "abcdef"}, frac_garbage=1.0), ASK))


def table_at(path: Path, table: object) -> Path:
    path.write_text(json.dumps(table), encoding="utf-8")
    return path


def test_a_file_answers(tmp_path: Path) -> None:
    table = {"2+2?": "4", "größer?": ["ja", "nein"], "7*8?": {"56": 3, "54": 1.0, "never": 0}}
    engine = scripted_from_file(table_at(tmp_path / "table.json", table))
    assert {c.text for c in sample(engine, Request("2+2?", n=9))} == {"4"}
    assert {c.text for c in sample(engine, Request("größer?", n=50))} == {"ja", "nein"}
    drawn = Counter(c.text for c in sample(engine, Request("7*8?", n=2000)))
    assert drawn.keys() == {"56", "54"}
    assert 0.7 < drawn["56"] / 2000 < 0.8
    assert sample(engine, Request("unknown"))[0].text == ""


def test_an_engine_is_named_by_its_table(tmp_path: Path) -> None:
    """By the content, not by the place: a ledger must not answer from another table, and must from a moved one."""
    one = table_at(tmp_path / "one.json", {"2+2?": "4"})
    moved = table_at(tmp_path / "moved.json", {"2+2?": "4"})
    other = table_at(tmp_path / "other.json", {"2+2?": "5"})
    names = [scripted_from_file(path).name for path in (one, moved, other)]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("scripted:")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "a table of answers is a JSON object, not a list"),
        ('"4"', "not text"),
        ("null", "not null"),
        ('{"a": "1", "2+2?": 4}', "the answer to '2\\+2\\?' is a number"),
        ('{"a": true}', "the answer to 'a' is true or false"),
        ('{"a": []}', "the answer to 'a' is an empty list"),
        ('{"a": ["1", 2]}', "the answer to 'a' is a list of more than text"),
        ('{"a": {}}', "the answer to 'a' has no weight above 0"),
        ('{"a": {"1": 0}}', "the answer to 'a' has no weight above 0"),
        ('{"a": {"1": -1, "2": 2}}', "has a weight that is no number from 0 up"),
        ('{"a": {"1": true}}', "has a weight that is no number from 0 up"),
        ('{"a": {"1": NaN}}', "has a weight that is no number from 0 up"),
        ('{"' + "long " * 40 + '": 4}', "the answer to 'long long .*\\.\\.\\.' is a number"),
        ("{", "this is no JSON"),
        ("", "this is no JSON"),
    ],
)
def test_a_table_of_another_shape_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TeachableError, match=sentence) as caught:
        scripted_from_file(path)
    assert str(path) in caught.value.sentence()


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_missing_table_is_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(TeachableError, match=r"this table of answers is missing. Write a JSON object such as"):
        scripted_from_file(tmp_path / name)
