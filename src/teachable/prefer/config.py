"""How preference pairs are judged, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from teachable.engines.config import EngineConfig, engine_from


def _settings(value: Any) -> Any:
    """The settings that a command line's ENGINE stands for; anything but text as it is."""
    return engine_from(value) if isinstance(value, str) else value


Answering = Annotated[EngineConfig, BeforeValidator(_settings)]


class JudgePairsConfig(BaseModel):
    """Who answers each prompt, who judges the answers and how, and which pairs are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engines: tuple[Answering, ...] = Field(
        (), description="further engines that answer, each as settings or as text such as openai:MODEL@URL"
    )
    own: bool = Field(True, description="the recipe's own engine answers too")
    n_responses: int = Field(1, ge=1, le=64, description="responses of each engine to a prompt")
    temperature: float = Field(1.0, ge=0, description="of the responses")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the responses; 1 is off")
    top_k: int = Field(0, ge=0, description="sample from this many likeliest tokens; 0 is off")
    min_p: float = Field(0.0, ge=0, lt=1, description="leave out tokens below this share of the likeliest; 0 is off")
    max_tokens: int = Field(1024, ge=1, description="longest response, in tokens")
    stop: tuple[str, ...] = Field((), description="strings that end a response")
    unfinished: bool = Field(False, description="responses that were cut off at max_tokens take part too")
    judge: Answering | None = Field(None, description="the engine that judges; null: the recipe's own")
    mode: Literal["pointwise", "pairwise"] = Field(
        "pointwise",
        description="pointwise: scores from 1 to 10 for accuracy, style and detail; pairwise: two responses at a time, "
        "shown in both orders",
    )
    votes: int = Field(3, ge=1, description="replies of the judge to each question (pairwise: to each order)")
    rubric: str = Field("", description="how to judge, as text; empty: the packaged rubric of the mode")
    reference: bool = Field(True, description="the judge is shown the reference answer where there is one")
    judge_temperature: float = Field(0.7, ge=0, description="of the judge's replies; 0 needs votes: 1")
    judge_max_tokens: int = Field(2048, ge=1, description="longest reply of the judge, in tokens")
    max_chars: int = Field(20_000, ge=1, description="the longest response that is judged, in characters")
    accuracy_weight: float = Field(2.0, ge=0, description="pointwise: of accuracy in the score")
    style_weight: float = Field(1.0, ge=0, description="pointwise: of style in the score")
    detail_weight: float = Field(1.0, ge=0, description="pointwise: of detail in the score")
    min_margin: float | None = Field(
        None,
        ge=0,
        le=9,
        description="least difference of the scores of a pair (pointwise 0 to 9; pairwise 0 to 1, the share of "
        "comparisons won); null: 1 pointwise, 0 pairwise",
    )
    max_pairs: int | None = Field(
        1, ge=1, description="pairs a prompt at most, widest margin first; 1: best against worst; null: all"
    )
    verify: bool = Field(
        True, description="verify responses where there is a reference; no pair chooses a wrong one over a right one"
    )

    @property
    def margin(self) -> float:
        """The least difference of the scores of a pair, in the unit of the mode."""
        if self.min_margin is not None:
            return self.min_margin
        return 1.0 if self.mode == "pointwise" else 0.0

    @property
    def weights(self) -> tuple[float, float, float]:
        """The shares of accuracy, style and detail in a pointwise score; they add up to 1."""
        given = (self.accuracy_weight, self.style_weight, self.detail_weight)
        accuracy, style, detail = (weight / sum(given) for weight in given)
        return accuracy, style, detail

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if not self.accuracy_weight + self.style_weight + self.detail_weight > 0:
            raise ValueError("one of accuracy_weight, style_weight and detail_weight must be above 0")
        if self.mode == "pairwise" and self.margin > 1:
            raise ValueError(f"min_margin ({self.margin:g}) is above 1, the greatest difference of pairwise scores")
        if self.judge_temperature == 0 and self.votes > 1:
            raise ValueError(f"at judge_temperature 0 all {self.votes} votes are the same: raise it, or set votes to 1")
        if self.temperature == 0 and self.n_responses > 1:
            raise ValueError("at temperature 0 all responses of an engine are the same: set n_responses to 1")
        return self
