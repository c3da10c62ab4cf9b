"""What a search proves: the gain of the winner, and whether it is sure enough to spend a long run on it.

The winner was chosen because it looked best, so the scores that chose it flatter it. Its gain is therefore measured
again: trained anew with seeds that no round used, asked questions that chose nothing. The gain is *consistent* when
its interval, over questions and seeds (`stats.paired_difference`), lies wholly above zero. That is the trigger.

What it does not prove: that the gain grows, or even lasts, on more tokens than were tried. The gain over the plain
settings stands beside it, because a search that found nothing still has a winner.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from teachable.stats import paired_difference
from teachable.store.digest import digest
from teachable.train.tune_config import TrainingConfig

CONFIDENCE = 0.95
# What a search does not settle: how long to train is what a long run changes, and the last two change only memory.
OPEN_SETTINGS = frozenset({"max_steps", "max_epochs", "rows_at_once", "gradient_checkpointing"})
_DIGITS = 6  # of a share; a recipe is written and read back as text


@dataclass(frozen=True)
class Gain:
    """A mean difference of scores and its interval, over `n_questions` questions and `n_seeds` seeds."""

    mean: float
    low: float
    high: float
    n_questions: int
    n_seeds: int

    @property
    def consistent(self) -> bool:
        """The interval lies above zero: the trigger."""
        return self.low > 0

    @property
    def sentence(self) -> str:
        """The gain and what it rests on, in words."""
        if math.isnan(self.mean):
            return "nothing was asked"
        points = f"{100 * self.mean:+.1f} points ({100 * self.low:+.1f} to {100 * self.high:+.1f})"
        seeds = "1 seed" if self.n_seeds == 1 else f"{self.n_seeds} seeds"
        return f"{points} on {self.n_questions:,} questions with {seeds}"

    def document(self) -> dict[str, Any]:
        """The gain as JSON has it."""
        return {
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "confidence": CONFIDENCE,
            "n_questions": self.n_questions,
            "n_seeds": self.n_seeds,
        }


def gain(tuned_QS: ArrayLike, other_QS: ArrayLike, confidence: float = CONFIDENCE) -> Gain:
    """How much better one model scores than another on the same questions.

    Args:
        tuned_QS, other_QS: scores in [0, 1], a row a question, a column a seed. Seeds are paired by column; a model
            with one column is compared with every seed of the other.

    Raises:
        ValueError: the tables do not fit each other.
    """
    found = paired_difference(tuned_QS, other_QS, confidence=confidence)
    n_seeds = max(1 if np.ndim(table) < 2 else np.shape(table)[1] for table in (tuned_QS, other_QS))
    return Gain(found.mean, found.low, found.high, found.n, n_seeds)


def normalised(mix: Mapping[str, float]) -> dict[str, float]:
    """The shares of a mix as they are compared: without those of 0, adding up to 1, rounded.

    Raises:
        ValueError: a share is negative, or none is above 0.
    """
    total = math.fsum(mix.values())
    if any(share < 0 for share in mix.values()) or not total > 0:
        raise ValueError(f"{dict(mix)} is no mix")
    return {name: round(share / total, _DIGITS) for name, share in mix.items() if share > 0}


def settings_of(training: TrainingConfig) -> dict[str, Any]:
    """The settings of training that evidence is about."""
    fields = TrainingConfig.model_fields.keys() - OPEN_SETTINGS
    return {name: value for name, value in sorted(training.model_dump(mode="json").items()) if name in fields}


def settings_digest(mix: Mapping[str, float], training: TrainingConfig, base: str) -> str:
    """What a search's evidence is evidence for: 64 hexadecimal digits.

    Args:
        mix: domain: share.
        training: or a config with more fields, which do not count.
        base: the digest of the base model.
    """
    return digest({"mix": normalised(mix), "training": settings_of(training), "base": base})


def differences(told: Mapping[str, Any], mix: Mapping[str, float], training: TrainingConfig, base: str) -> list[str]:
    """In what settings differ from those that the evidence `told` is about, in words; empty where they are the same.

    A digest alone could not say what was changed.
    """
    found = []
    before, now = told.get("mix") or {}, normalised(mix)
    for name in sorted({*before, *now}):
        if before.get(name, 0.0) != now.get(name, 0.0):
            found.append(f"mix.{name} {before.get(name, 0.0):g} -> {now.get(name, 0.0):g}")
    old = told.get("training") or {}
    found += [
        f"{name} {old.get(name)} -> {value}" for name, value in settings_of(training).items() if old.get(name) != value
    ]
    if told.get("base") != base:
        found.append("the base model")
    return found
