"""How models are merged, as typed settings. Everything here changes the result and enters the merge's key."""

from __future__ import annotations

import math
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from teachable.errors import TeachableError

Method = Literal["linear", "slerp", "task_arithmetic", "ties", "dare", "dare_ties"]
METHODS: tuple[str, ...] = get_args(Method)
NEED_BASE = frozenset({"task_arithmetic", "ties", "dare", "dare_ties"})  # methods that work on differences from a base
SPARSE = frozenset({"ties", "dare", "dare_ties"})  # methods that leave numbers out
RANDOM = frozenset({"dare", "dare_ties"})
ABSOLUTE = frozenset({"task_arithmetic", "dare"})  # methods that multiply by their weights; the others share them out
DEFAULT_DENSITY = {"ties": 0.2, "dare": 0.5, "dare_ties": 0.5}  # of TIES: the paper's; of DARE: the mildest in use


class MergeConfig(BaseModel):
    """The method and its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field(description="how the models' numbers become one model's")
    weights: tuple[float, ...] | None = Field(
        None,
        description="one a model; linear, slerp, ties and dare_ties take their shares of the sum, task_arithmetic and "
        "dare multiply by them; null: all 1",
    )
    scale: float = Field(1.0, description="what the whole change from the base is multiplied by; only with a base")
    density: float = Field(
        1.0, gt=0, le=1, description="share of each delta's numbers that stays (ties: the largest; dare: at random)"
    )
    seed: int = Field(0, ge=0, description="of dare's choice of numbers")

    @model_validator(mode="before")
    @classmethod
    def _own_density(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("density") is None:
            values = {**values, "density": DEFAULT_DENSITY.get(str(values.get("method")), 1.0)}
        return values

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.method not in SPARSE and self.density != 1:
            raise ValueError(f"density is for {', '.join(sorted(SPARSE))}, and {self.method} leaves nothing out")
        if not math.isfinite(self.scale) or any(not math.isfinite(weight) for weight in self.weights or ()):
            raise ValueError("weights and scale must be finite")
        if self.method not in NEED_BASE and self.scale != 1:
            raise ValueError(f"scale multiplies a change from a base, and {self.method} knows none")
        if self.weights is not None and self.method not in ABSOLUTE:
            if any(weight < 0 for weight in self.weights):
                raise ValueError(f"the weights of {self.method} can't be negative")
            if not sum(self.weights) > 0:
                raise ValueError(f"one of the weights of {self.method} must be above 0")
        return self

    def weights_for(self, n_models: int) -> tuple[float, ...]:
        """One weight a model; of all methods but task_arithmetic and dare they add up to 1.

        Raises:
            TeachableError: there are more or fewer weights than models, or slerp has not two models.
        """
        if self.method == "slerp" and n_models != 2:
            raise TeachableError(
                f"slerp merges two models, and {n_models} {'is' if n_models == 1 else 'are'} named",
                where="merge",
                mend="Name two, or choose linear, which takes any number",
            )
        given = (1.0,) * n_models if self.weights is None else self.weights
        if len(given) != n_models:
            raise TeachableError(
                f"{len(given)} {'weight is' if len(given) == 1 else 'weights are'} given for {n_models} models",
                where="merge: weights",
                mend="Give one a model, in the models' order",
            )
        return given if self.method in ABSOLUTE else tuple(weight / math.fsum(given) for weight in given)

    def deciding(self, n_models: int) -> dict[str, Any]:
        """What decides the result, as JSON: a field that the method does not look at is left out."""
        found: dict[str, Any] = {"method": self.method, "weights": list(self.weights_for(n_models))}
        if self.method in NEED_BASE:
            found["scale"] = self.scale
        if self.method in SPARSE:
            found["density"] = self.density
        if self.method in RANDOM:
            found["seed"] = self.seed
        return found


def merge_config(**settings: Any) -> MergeConfig:
    """The settings, checked.

    Raises:
        TeachableError: the method is unknown, or a field does not fit.
    """
    if settings.get("method") not in METHODS:
        raise TeachableError(
            f"there is no method {settings.get('method')!r}", where="merge", mend=f"Choose one of {', '.join(METHODS)}"
        )
    try:
        return MergeConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise TeachableError(what, where=f"merge: {field}" if field else "merge", mend="Correct it") from error
