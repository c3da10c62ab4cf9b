"""What a trial is: the settings of training with some of them searched, and a mix of domains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from teachable.train.tune_config import TrainingConfig

PLAIN = 0  # the trial that changes nothing


@dataclass(frozen=True)
class Trial:
    """One set of settings. `searched` are the values of the space, `mix` the shares of the domains."""

    number: int
    training: TrainingConfig
    searched: Mapping[str, Any]
    mix: Mapping[str, float]
