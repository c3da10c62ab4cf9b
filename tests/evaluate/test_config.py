"""Which models are asked beside the run's own, and what they are called."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from teachable.evaluate import EvaluateConfig

URL = "http://127.0.0.1:1/v1"


def config(*models: Any, **fields: Any) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"beside": models, **fields})


@pytest.mark.parametrize(
    ("models", "labels"),
    [
        (["/m/base", "org/name-7b", f"openai:meta/large@{URL}", "scripted:t/table.json"],
         ["base", "name-7b", "large", "table"]),
        (["/a/final", "/b/final", "/c/other"], ["a/final", "b/final", "other"]),
        ([f"openai:x@{URL}", "openai:x@http://host:2/v1"], ["x@127.0.0.1:1", "x@host:2"]),
        (["/a/run/final", "/b/run/final"], ["run/final:float32", "run/final:float32.2"]),
        (["transformers:/m/x", {"model": "/m/x", "dtype": "bfloat16"}], ["m/x:float32", "m/x:bfloat16"]),
    ],
)  # fmt: skip
def test_labels_are_short_and_differ(models: list[Any], labels: list[str]) -> None:
    assert list(config(*models).named) == labels


def test_labels_may_be_given() -> None:
    assert list(config("/m/a", "/m/b", labels=["small", "large"]).named) == ["small", "large"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"beside": ["/m/a", "transformers:/m/a"]}, "the model a is named twice"),
        ({"beside": ["/m/a"], "labels": ["x", "y"]}, "2 labels can't name 1 models"),
        ({"beside": ["/m/a", "/m/b"], "labels": ["x", "x"]}, "the label 'x' does not tell one model from the others"),
        ({"beside": ["/m/a"], "labels": [" "]}, "the label ' ' does not tell"),
        ({"beside": ["vllm:x"]}, "vLLM is used as a server"),
        ({"n_samples": 0, "greedy": False}, "nothing is asked"),
        ({"judge_temperature": 0}, "all 3 votes are the same"),
    ],
)
def test_what_does_not_fit_is_said(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as error:
        EvaluateConfig.model_validate(fields)
    assert sentence in str(error.value)


def test_a_price_makes_no_other_model() -> None:
    engine = {"kind": "openai", "model": "x", "base_url": URL}
    with pytest.raises(ValidationError, match="named twice"):
        config(engine, {**engine, "usd_per_million_out": 3.0})
