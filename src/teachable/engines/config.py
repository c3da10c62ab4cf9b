"""Who answers, as typed settings that change the result."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EngineConfig(BaseModel):
    """The engine that samples from the base model and from the trained ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transformers"] = Field("transformers", description="transformers: a local or hub model, in process")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "float32", description="the numbers it computes with; auto is the checkpoint's own"
    )
