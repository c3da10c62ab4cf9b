"""The settings of judging: what they may be, and in which forms an engine may be named."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from teachable.engines.config import EngineConfig
from teachable.prefer import JudgePairsConfig


def test_every_field_has_a_default_and_a_description() -> None:
    assert JudgePairsConfig() == JudgePairsConfig.model_validate({})
    assert all(field.description for field in JudgePairsConfig.model_fields.values())


def test_engines_are_settings_or_text() -> None:
    text = "openai:tiny@http://localhost:1/v1"
    config = JudgePairsConfig.model_validate({"engines": [text, {"kind": "transformers", "model": "m"}], "judge": text})
    tiny = EngineConfig(kind="openai", model="tiny", base_url="http://localhost:1/v1")
    assert config.engines == (tiny, EngineConfig(model="m")) and config.judge == tiny
    assert JudgePairsConfig.model_validate(config.model_dump(mode="json")) == config


def test_weights_are_shares_and_the_margin_is_the_modes() -> None:
    config = JudgePairsConfig(accuracy_weight=3, style_weight=1, detail_weight=0)
    assert config.weights == (0.75, 0.25, 0.0) and config.margin == 1.0
    assert JudgePairsConfig(mode="pairwise").margin == 0.0
    assert JudgePairsConfig(mode="pairwise", min_margin=0.5).margin == 0.5


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"accuracy_weight": 0, "style_weight": 0, "detail_weight": 0}, "must be above 0"),
        ({"mode": "pairwise", "min_margin": 2}, "above 1, the greatest"),
        ({"judge_temperature": 0}, "all 3 votes are the same"),
        ({"temperature": 0, "n_responses": 2}, "set n_responses to 1"),
        ({"engines": ["vllm"]}, "vLLM is used as a server"),
        ({"mode": "listwise"}, "pointwise"),
        ({"n_response": 2}, "Extra inputs"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        JudgePairsConfig.model_validate(wrong)
