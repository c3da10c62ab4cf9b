"""Settings of engines: what a command line's ENGINE stands for, what enters a key, what is refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from teachable.engines.config import REACH, EngineConfig, engine_from
from teachable.engines.make import make_engine
from teachable.errors import TeachableError
from teachable.records import Request


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("transformers", {"kind": "transformers", "model": ""}),
        ("transformers:org/name", {"kind": "transformers", "model": "org/name"}),
        ("./models/mine", {"kind": "transformers", "model": "./models/mine"}),
        (
            "openai:llama3:8b@http://localhost:11434/v1",
            {"kind": "openai", "model": "llama3:8b", "base_url": "http://localhost:11434/v1"},
        ),
        ("openai:a@b@https://x/v1", {"kind": "openai", "model": "a@b", "base_url": "https://x/v1"}),
        ("scripted:t.json", {"kind": "scripted", "model": "t.json"}),
    ],
)
def test_what_an_engine_option_stands_for(text: str, settings: dict[str, str]) -> None:
    assert engine_from(text) == settings


@pytest.mark.parametrize("text", ["", "gpt", "openai:m", "openai:@http://x/v1", "openai:m@x/v1", "scripted", "vllm:m"])
def test_what_is_no_engine_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"Write|write"):
        engine_from(text)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"kind": "openai", "model": "m"}, "needs a base_url"),
        ({"kind": "openai", "base_url": "http://x/v1"}, "needs the model's name"),
        ({"kind": "openai", "model": "m", "base_url": "http://u:p@x/v1"}, "no password"),
        ({"kind": "openai", "model": "m", "base_url": "http://x/v1", "tokenizer": "t"}, "api: completions"),
        ({"kind": "scripted"}, "needs `model`"),
        ({"kind": "vllm"}, "transformers"),
        ({"usd_per_million_in": -1}, "greater than or equal to 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        EngineConfig.model_validate(settings)


def test_how_an_engine_is_reached_is_no_part_of_its_identity() -> None:
    plain = EngineConfig(kind="openai", model="m", base_url="http://x/v1")
    changed = {name: {"api_key_env": "K", "timeout_s": 5.0}.get(name, 7) for name in REACH}
    assert plain.model_copy(update=changed).identity() == plain.identity()
    assert plain.model_copy(update={"api": "completions"}).identity() != plain.identity()


def test_a_table_is_made_into_an_engine(tmp_path: Path) -> None:
    table = tmp_path / "t.json"
    table.write_text(json.dumps({"q": "a"}))
    engine = make_engine(EngineConfig(kind="scripted", model=str(table)))
    assert asyncio.run(engine.sample(Request("q")))[0].text == "a"


def test_a_named_key_that_is_not_set_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    config = EngineConfig(kind="openai", model="m", base_url="http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY")
    with pytest.raises(TeachableError, match="NO_SUCH_KEY"):
        make_engine(config)
