"""The typed recipe: what is made (it enters keys) and with what resources (which never do)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from teachable.engines.config import EngineConfig

EMBEDDED = "embedded"


class Resources(BaseModel):
    """With what the work is done. Nothing here changes a result by more than rounding, so nothing here enters a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one")
    workers: int = Field(2, ge=1, description="small models at once, or threads of a large one")
    batch_rows: int = Field(384, ge=1, description="sequences sampled at once")
    cache_dir: Path | None = Field(None, description="where models are kept; null: the user cache folder")
    processes: int = Field(
        1, ge=1, description="processes of one training, a device each; several are started by accelerate launch"
    )
    accelerate: Path | None = Field(
        None, description="a config file of accelerate for training: FSDP, DeepSpeed, several machines; null: none"
    )
    device_tflops: float | None = Field(
        None, gt=0, description="most that a device computes, in TFLOP/s, for plans; null: 989, an H100's in bf16"
    )

    @property
    def launches(self) -> bool:
        """Whether a training is started by `accelerate launch` in processes of its own."""
        return self.processes > 1 or self.accelerate is not None

    def cache_path(self) -> Path:
        """The folder of what is kept between runs: `cache_dir`, $TEACHABLE_CACHE or the user cache folder."""
        if self.cache_dir is not None:
            return self.cache_dir
        if given := os.environ.get("TEACHABLE_CACHE"):
            return Path(given)
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "teachable"


class Stage(BaseModel):
    """One stage of a recipe: what it does (`kind`, `config`) and which stages fill its roles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    needs: Mapping[str, str]
    config: SerializeAsAny[BaseModel]


class Recipe(BaseModel):
    """A whole recipe, its stages in an order in which each comes after what it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    seed: int
    base: str
    engine: EngineConfig
    resources: Resources
    stages: tuple[Stage, ...]

    @property
    def sampled_model(self) -> str:
        """What is sampled from: the base, or the model that an engine elsewhere serves."""
        return self.base if self.engine.is_local else f"{self.engine.model}@{self.engine.base_url}"

    def stage(self, name: str) -> Stage:
        """The stage of that name.

        Raises:
            KeyError: there is none.
        """
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def document(self) -> dict[str, Any]:
        """The recipe as a document that `load_recipe` reads back to an equal recipe: every field, no default."""
        head = self.model_dump(mode="json", exclude={"stages"})
        stages = {
            stage.name: {"kind": stage.kind, "needs": dict(stage.needs), **stage.config.model_dump(mode="json")}
            for stage in self.stages
        }
        return {**head, "stages": stages}
