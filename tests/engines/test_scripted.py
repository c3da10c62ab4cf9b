"""The scripted engine keeps the protocol's promises and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import random

from teachable.engines.scripted import ScriptedEngine
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
    assert sample(engine, Request("a", stop=("\n",)))[0] == Completion("one", tuple(b"one"), None, "stop")
    cut = sample(engine, Request("b", max_tokens=4))[0]
    assert (cut.text, len(cut.token_ids), cut.finish_reason) == ("ää", 4, "length")


def test_it_truncates_and_talks_garbage_as_told() -> None:
    truncated = sample(ScriptedEngine({"hello": "abcdef"}, frac_truncated=1.0), ASK)
    assert {(c.text, c.finish_reason) for c in truncated} == {("abc", "length")}
    assert all(c.text != "abcdef" for c in sample(ScriptedEngine({"hello": "abcdef"}, frac_garbage=1.0), ASK))
