"""How models are evaluated, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from teachable.engines.config import EngineConfig, engine_from


def _settings(value: Any) -> Any:
    """The settings that a command line's ENGINE stands for; anything but text as it is."""
    return engine_from(value) if isinstance(value, str) else value


Asked = Annotated[EngineConfig, BeforeValidator(_settings)]


class EvaluateConfig(BaseModel):
    """Who answers each held-out question, how often and how, who judges where a judge decides, and the intervals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_samples: int = Field(
        4, ge=0, description="sampled answers to each question; also the k of maj@k and pass@k; 0: the greedy one alone"
    )
    temperature: float = Field(1.0, gt=0, description="of the sampled answers")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampled answers; 1 is off")
    greedy: bool = Field(True, description="one more answer to each question at temperature 0")
    max_tokens: int = Field(256, ge=1, description="longest answer, in tokens; a task may say otherwise")
    beside: tuple[Asked, ...] = Field(
        (),
        description="further models that answer the same questions, each as engine settings or as text such as "
        "openai:MODEL@URL",
    )
    labels: tuple[str, ...] = Field((), description="names of `beside`, in its order; empty: made from the models'")
    judge: Asked | None = Field(None, description="the engine that judges, for tasks that a judge decides")
    votes: int = Field(3, ge=1, description="replies of the judge to each answer, where a judge decides")
    judge_temperature: float = Field(0.7, ge=0, description="of the judge's replies; 0 needs votes: 1")
    judge_max_tokens: int = Field(2048, ge=1, description="longest reply of the judge, in tokens")
    interval: Literal["t", "bootstrap"] = Field(
        "t",
        description="95% intervals over questions and seeds. t: crossed variance components; bootstrap: questions and "
        "seeds resampled, which is too narrow where few seeds differ much",
    )
    n_bootstrap: int = Field(2000, ge=100, description="resamples, where interval is bootstrap")

    @property
    def named(self) -> dict[str, EngineConfig]:
        """The models of `beside` by label."""
        return dict(zip(self.labels or labels_of(self.beside), self.beside, strict=True))

    @property
    def n_answers(self) -> int:
        """Answers to each question, the greedy one with them."""
        return self.n_samples + self.greedy

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if not self.n_answers:
            raise ValueError("with n_samples 0 and no greedy answer nothing is asked")
        if self.judge_temperature == 0 and self.votes > 1:
            raise ValueError(f"at judge_temperature 0 all {self.votes} votes are the same: raise it, or set votes to 1")
        if self.labels and len(self.labels) != len(self.beside):
            raise ValueError(f"{len(self.labels)} labels can't name {len(self.beside)} models")
        twice = [label for label, n in Counter(self.labels).items() if n > 1 or not label.strip()]
        if twice:
            raise ValueError(f"the label {twice[0]!r} does not tell one model from the others")
        alike = [one for i, one in enumerate(self.beside) if one.identity() in [e.identity() for e in self.beside[:i]]]
        if alike:
            raise ValueError(f"the model {labels_of(alike)[0]} is named twice: name each once")
        return self


def labels_of(engines: tuple[EngineConfig, ...] | list[EngineConfig]) -> tuple[str, ...]:
    """A short label for each engine, unlike the others': the model's name, with where it is if that is needed."""
    labels = [_model_name(engine) for engine in engines]
    for longer in (_with_place, _with_settings):
        common = {label for label, n in Counter(labels).items() if n > 1}
        labels = [longer(engine) if label in common else label for label, engine in zip(labels, engines, strict=True)]
    found: list[str] = []
    for label in labels:
        candidates = [label, *(f"{label}.{number}" for number in range(2, len(labels) + 2))]
        found.append(next(one for one in candidates if one not in found))
    return tuple(found)


def _model_name(engine: EngineConfig) -> str:
    """The last part of a folder, a hub id or a served model's name; of a table its name without the ending."""
    path = Path(engine.model)
    return (path.stem if engine.kind == "scripted" else path.name) or engine.kind


def _with_place(engine: EngineConfig) -> str:
    """The name with what is around it: a folder's folder, or a server's address."""
    if engine.kind == "openai":
        return f"{_model_name(engine)}@{urlsplit(engine.base_url).netloc}"
    around = Path(engine.model).parent.name
    return f"{around}/{_model_name(engine)}" if around else _model_name(engine)


def _with_settings(engine: EngineConfig) -> str:
    """The name with the setting in which one model may differ from itself."""
    return f"{_with_place(engine)}:{engine.api if engine.kind == 'openai' else engine.dtype}"
