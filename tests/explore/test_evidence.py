"""When a gain is consistent, and what it is evidence for."""

from __future__ import annotations

import numpy as np
import pytest

from teachable.explore.evidence import differences, gain, normalised, settings_digest, settings_of
from teachable.stats import paired_difference
from teachable.train.tune_config import ScaleConfig, TrainingConfig

BASE = "b" * 64


def planted(mean: float, seed: int, n_questions: int = 60, n_seeds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a base, and of models that are better by `mean` on average."""
    rng = np.random.default_rng(seed)
    base = rng.binomial(3, 0.4, (n_questions, 1)) / 3
    tuned = rng.binomial(3, np.clip(0.4 + mean, 0, 1), (n_questions, n_seeds)) / 3
    return tuned, base


def test_a_gain_is_the_paired_interval_over_questions_and_seeds() -> None:
    tuned, base = planted(0.2, 0)
    found, expected = gain(tuned, base), paired_difference(tuned, base)
    assert (found.mean, found.low, found.high) == (expected.mean, expected.low, expected.high)
    assert (found.n_questions, found.n_seeds) == (60, 3)
    assert gain(base, base[:, 0]).n_seeds == 1


def test_the_trigger_hardly_ever_fires_on_nothing_and_fires_on_a_gain() -> None:
    """At 95% two-sided, one false trigger in forty is allowed; 200 searches that found nothing, 200 that gained."""
    false = sum(gain(*planted(0.0, seed)).consistent for seed in range(200))
    true = sum(gain(*planted(0.25, seed)).consistent for seed in range(200))
    assert false <= 200 * 0.025 + 3 * (200 * 0.025 * 0.975) ** 0.5
    assert true >= 190


def test_the_sentence_has_the_interval() -> None:
    found = gain(np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.zeros((4, 1)))
    assert found.sentence == (
        f"+75.0 points ({100 * found.low:+.1f} to {100 * found.high:+.1f}) on 4 questions with 2 seeds"
    )
    assert found.document()["low"] == found.low


def test_a_mix_is_its_shares() -> None:
    assert normalised({"a": 2, "b": 1, "c": 1, "d": 0}) == {"a": 0.5, "b": 0.25, "c": 0.25}
    for wrong in ({}, {"a": 0.0}, {"a": -1.0, "b": 2.0}):
        with pytest.raises(ValueError, match="is no mix"):
            normalised(wrong)


def test_the_digest_is_of_mix_settings_and_base_and_of_nothing_else() -> None:
    mix, plain = {"a": 3.0, "b": 1.0}, TrainingConfig()
    told = settings_digest(mix, plain, BASE)
    long_run = ScaleConfig(mix=mix, n_tokens=10**6, max_steps=5000, max_epochs=1, rows_at_once=4, patience=7)
    assert settings_digest({"b": 0.25, "a": 0.75}, long_run, BASE) == told
    assert settings_digest({"a": 1.0, "b": 1.0}, plain, BASE) != told
    assert settings_digest(mix, plain.model_copy(update={"learning_rate": 1e-3}), BASE) != told
    assert settings_digest(mix, plain, "c" * 64) != told


def test_what_changed_is_named() -> None:
    mix, plain = {"a": 3.0, "b": 1.0}, TrainingConfig()
    told = {"mix": normalised(mix), "training": settings_of(plain), "base": BASE}
    assert differences(told, mix, plain, BASE) == []
    changed = differences(told, {"a": 1.0, "c": 1.0}, plain.model_copy(update={"learning_rate": 1e-3}), "c" * 64)
    assert changed == [
        "mix.a 0.75 -> 0.5", "mix.b 0.25 -> 0", "mix.c 0 -> 0.5", "learning_rate 0.0004 -> 0.001", "the base model",
    ]  # fmt: skip
