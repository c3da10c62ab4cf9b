"""What is made of seeds, and what may pass, as typed settings. Everything here changes the result and enters keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from teachable.engines.config import EngineConfig, engine_from


def _settings(value: Any) -> Any:
    """The settings that a command line's ENGINE stands for; anything but text as it is."""
    return engine_from(value) if isinstance(value, str) else value


Engine = Annotated[EngineConfig, BeforeValidator(_settings)]


class WritingConfig(BaseModel):
    """How engines are asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(0.7, ge=0, description="of what is written")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus; 1 is off")
    max_tokens: int = Field(2048, ge=1, description="longest reply, in tokens")
    retries: int = Field(2, ge=0, description="how often a malformed reply is sent back with what is wrong with it")


class GatesConfig(BaseModel):
    """What every output has to pass, whatever workflow made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field(
        "", description="ISO 639-1 code that outputs are to be in, such as en; empty: no output is dropped for it"
    )
    min_chars: int = Field(10, ge=1, description="shortest prompt, in characters")
    max_chars: int = Field(20_000, ge=1, description="longest prompt, in characters")
    max_response_chars: int = Field(100_000, ge=1, description="longest response, in characters")
    near_duplicate: float = Field(
        0.8,
        gt=0,
        le=1,
        description="similarity from which an output repeats one that was accepted before; 1: equal only",
    )
    leaks: bool = Field(True, description="drop prompts off which the answer can be read")
    allow_overlap: bool = Field(False, description="keep what overlaps held-out questions")


class SynthesizeConfig(BaseModel):
    """A workflow, its options, who writes, and what may pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workflow: str = Field(description="a built-in workflow, or the name of one in `file`")
    file: Path | None = Field(None, description="a Python file of your own that defines the workflow under that name")
    options: dict[str, Any] = Field(default_factory=dict, description="the workflow's own settings")
    writing: WritingConfig = Field(default_factory=lambda: WritingConfig.model_validate({}))
    gates: GatesConfig = Field(default_factory=lambda: GatesConfig.model_validate({}))
    engines: dict[str, Engine] = Field(
        default_factory=dict, description="role: engine, for roles that the recipe's own engine does not fill"
    )
    rules: bool = Field(False, description="a program writes instead of an engine; for workflows that have rules")
    templates: Path | None = Field(
        None, description="a folder of templates that go before the packaged ones; --export-templates writes it"
    )
    limit: int | None = Field(None, ge=1, description="most seeds that are worked on; null: all")
    chat: Literal["messages", "chatml", "base"] = Field(
        "messages",
        description="messages alone; or a column `text` beside them, in ChatML or in the base's own template",
    )


class DocumentsConfig(BaseModel):
    """Documents of the user's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path | None = Field(
        None, description="a folder of documents, one document, or JSONL or Parquet with `text`"
    )
    max_words: int = Field(400, ge=20, description="longest passage that a document is cut into, in words")
    min_words: int = Field(20, ge=1, description="shortest passage, in words; shorter ones are left out, and counted")
    limit: int | None = Field(None, ge=1, description="most passages; null: all")
