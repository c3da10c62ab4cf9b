"""Who answers, as typed settings.

Most of them change the result and enter the keys of the stages that sample; `REACH` names those that only say how
the engine is reached and paid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Fields that decide how the engine is reached, how fast, and what it costs: no result depends on them.
REACH = ("api_key_env", "concurrency", "timeout_s", "retries", "usd_per_million_in", "usd_per_million_out")


class EngineConfig(BaseModel):
    """The engine that samples from the base model and from the trained ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transformers", "openai", "scripted"] = Field(
        "transformers",
        description="transformers: a local or hub model, in process; openai: any OpenAI-compatible server; "
        "scripted: answers from a JSON table, without a model",
    )
    model: str = Field(
        "", description="openai: the model's name on the server; scripted: the table; transformers: empty for the base"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "float32", description="transformers: the numbers it computes with; auto is the checkpoint's own"
    )
    trust_remote_code: bool = Field(False, description="transformers: run Python code that comes with the model")
    base_url: str = Field("", description="openai: the server's address, such as http://localhost:8000/v1")
    api: Literal["chat", "completions"] = Field(
        "chat",
        description="openai: chat sends messages; completions sends text, or token ids where a tokenizer is named",
    )
    tokenizer: str = Field(
        "",
        description="openai with completions: folder or hub id of the model's tokenizer; prompts go as token ids then",
    )
    api_key_env: str = Field("", description="openai: the environment variable that holds the key; empty: no key")
    concurrency: int = Field(32, ge=1, description="openai: requests at once at most; fewer when the server is busy")
    timeout_s: float = Field(600.0, gt=0, description="openai: seconds until one request counts as lost")
    retries: int = Field(8, ge=0, description="openai: how often a failed request is sent again")
    usd_per_million_in: float = Field(0.0, ge=0, description="price of a million prompt tokens, in US dollars")
    usd_per_million_out: float = Field(0.0, ge=0, description="price of a million sampled tokens, in US dollars")

    @property
    def is_local(self) -> bool:
        """It computes in this process and needs a model's weights."""
        return self.kind == "transformers"

    def paths(self) -> list[Path]:
        """Files and folders that a result depends on through their contents."""
        named = [self.tokenizer, "" if self.kind == "openai" else self.model]
        return [Path(name) for name in named if Path(name).is_absolute()]

    def identity(self) -> dict[str, Any]:
        """The settings that a result depends on."""
        return self.model_dump(mode="json", exclude=set(REACH))

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> Self:
        if self.kind == "openai" and not self.base_url.startswith(("http://", "https://")):
            raise ValueError("an openai engine needs a base_url such as http://localhost:8000/v1")
        address = urlsplit(self.base_url)
        if "@" in address.netloc or address.query:
            raise ValueError("a base_url holds no password and no query: name the key's variable in api_key_env")
        if self.kind == "openai" and not self.model:
            raise ValueError("an openai engine needs the model's name on the server")
        if self.kind == "scripted" and not self.model:
            raise ValueError("a scripted engine needs `model`: a JSON file that maps prompts to answers")
        if self.tokenizer and (self.kind != "openai" or self.api != "completions"):
            raise ValueError("a tokenizer is for an openai engine with api: completions")
        return self


def engine_from(text: str) -> dict[str, Any]:
    """The settings that a command line's ENGINE stands for, to be laid over a recipe's.

    `transformers`, `transformers:MODEL`, a model folder (any text with a / or a folder that exists),
    `openai:MODEL@URL`, `scripted:TABLE.json`.

    Raises:
        ValueError: it is none of these; the message says what is wrong and what to write.
    """
    kind, colon, rest = text.partition(":")
    if kind == "transformers":
        return {"kind": kind, "model": rest}
    if kind == "openai":
        model, at, url = rest.partition("@http")
        url = f"http{url}"
        if not at or not model or not url.startswith(("http://", "https://")):
            raise ValueError(f"{text!r} is no openai engine. Write openai:MODEL@http://HOST:PORT/v1")
        return {"kind": kind, "model": model, "base_url": url}
    if kind == "scripted" and colon:
        return {"kind": kind, "model": rest}
    if kind == "vllm":
        raise ValueError(
            f"{text!r}: vLLM is used as a server. Start `vllm serve MODEL` and write openai:MODEL@http://localhost:8000/v1"
        )
    if text and ("/" in text or Path(text).is_dir()):
        return {"kind": "transformers", "model": text}
    raise ValueError(
        f"there is no engine {text!r}. Write transformers:MODEL, openai:MODEL@http://HOST:PORT/v1 "
        "or scripted:TABLE.json"
    )
