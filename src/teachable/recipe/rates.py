"""How fast this machine did each kind of stage, kept in the user cache so that plans can speak of minutes.

A rate belongs to a stage kind and a base: a 7 B model samples at another pace than the embedded one. New
measurements are averaged with the old, since machines have busy days.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from teachable.recipe.base import read_known, remember
from teachable.recipe.spec import Forecast, StageSpec

RateSource = Literal["measured", "default"]

# Less than this many tokens, or seconds, says more about starting up than about the rate.
_LEAST_TOKENS, _LEAST_SECONDS = 2000, 1.0


@dataclass(frozen=True)
class Rates:
    """The rates kept in `cache`: tokens/s where a stage's duration grows with tokens, seconds where it doesn't."""

    cache: Path

    @property
    def path(self) -> Path:
        return self.cache / "rates.json"

    def seconds(self, spec: StageSpec, base: str, forecast: Forecast) -> tuple[float, RateSource]:
        """How long a stage will take, and whether that rests on a measurement or on a stated default."""
        known = read_known(self.path).get(_name(spec, base))
        measured = float(known) if isinstance(known, int | float) and known > 0 else None
        if not spec.tokens_per_s:
            return (measured, "measured") if measured is not None else (forecast.seconds, "default")
        if not forecast.tokens:
            return forecast.seconds, "default"
        if measured is None and forecast.work_s:
            return forecast.seconds + forecast.work_s, "default"
        rate = measured if measured is not None else spec.tokens_per_s
        return forecast.seconds + forecast.tokens / rate, "measured" if measured is not None else "default"

    def measured(self, spec: StageSpec, base: str, tokens: int, seconds: float) -> None:
        """Remember how a stage did; too short a one teaches nothing."""
        if spec.tokens_per_s and (tokens < _LEAST_TOKENS or seconds < _LEAST_SECONDS):
            return
        value = tokens / seconds if spec.tokens_per_s else seconds
        known = read_known(self.path)
        before = known.get(_name(spec, base))
        if isinstance(before, int | float) and before > 0:
            value = (before + value) / 2
        remember(self.path, {**known, _name(spec, base): round(value, 4)})


def _name(spec: StageSpec, base: str) -> str:
    return f"{spec.kind}@{base}"
