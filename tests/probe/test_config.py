"""Settings of a probe: what is refused, and what the defaults come to."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from teachable.probe import ProbeConfig


def test_thresholds_must_leave_room() -> None:
    with pytest.raises(ValidationError, match=r"low \(0\.9\) must be below high \(0\.5\)"):
        ProbeConfig(low=0.9, high=0.5)
    with pytest.raises(ValidationError, match=r"low \(0\.5\) must be below high \(0\.5\)"):
        ProbeConfig(low=0.5, high=0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": 0.0},
        {"high": 1.0},
        {"delta": 0.5},
        {"delta": 0.0},
        {"max_samples": 0},
        {"max_samples": 257},
        {"n_samples": 0},
        {"price": -0.1},
        {"samples_per_prompt": 0},
        {"prior": "guessed"},
        {"prior_a": 0},
        {"agreement_samples": 1},
        {"teacher_samples": 0},
        {"threshold": 0.1},
    ],
)
def test_values_out_of_range_and_unknown_fields_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as found:
        ProbeConfig.model_validate(wrong)
    assert next(iter(wrong)) in str(found.value)


def test_the_price_follows_delta_unless_it_is_given() -> None:
    assert ProbeConfig().sample_price == pytest.approx(0.002)
    assert ProbeConfig(delta=0.05).sample_price == pytest.approx(0.001)
    assert ProbeConfig(price=0.0).sample_price == 0.0


def test_the_most_attempts_are_the_fixed_number_where_there_is_one() -> None:
    assert ProbeConfig(max_samples=20).most_samples == 20
    assert ProbeConfig(max_samples=20, n_samples=100).most_samples == 100
