"""A model's sizes from its config alone are those of the model that transformers makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from teachable.train.shapes import PUBLISHED, ModelShape, published_shape, shape_from

SIZES = {
    "vocab_size": 300,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


def config_of(kind: str, **fields: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(kind, **(SIZES | fields))


def counted(config: Any) -> int:
    """The weights of a model that holds no numbers, each tensor once."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return int(AutoModelForCausalLM.from_config(config).num_parameters())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("llama", {}),
        ("mistral", {}),
        ("phi3", {}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 16}),
        ("llama", {"head_dim": 8}),
    ],
)
def test_the_count_is_that_of_the_model(kind: str, fields: dict[str, Any], tied: bool) -> None:
    config = config_of(kind, tie_word_embeddings=tied, **fields)
    shape = shape_from(config.to_dict())
    assert shape is not None
    assert shape.n_params == counted(config)
    assert shape.context == config.max_position_embeddings


def test_adapters_are_as_many_as_peft_makes() -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = config_of("llama")
    with torch.device("meta"):
        settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(AutoModelForCausalLM.from_config(config), settings)
    shape = shape_from(config.to_dict())
    assert shape is not None
    assert shape.lora_params(4) == model.num_parameters(only_trainable=True)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("microsoft/phi-4", 14_659_507_200),
        ("Qwen/Qwen2.5-0.5B", 494_032_768),
        ("Qwen/Qwen2.5-1.5B", 1_543_714_304),
        ("Qwen/Qwen2.5-7B", 7_615_616_512),
        ("Qwen/Qwen2.5-14B", 14_770_033_664),
        ("Qwen/Qwen2.5-32B", 32_763_876_352),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("meta-llama/Llama-3.2-1B", 1_235_814_400),
        ("meta-llama/Llama-3.1-8B", 8_030_261_248),
    ],
)
def test_published_shapes_have_the_stated_number_of_weights(name: str, stated: int) -> None:
    assert PUBLISHED[name].n_params == stated
    assert published_shape(f"{name}-Instruct") == PUBLISHED[name]


def test_of_other_kinds_of_models_nothing_is_said() -> None:
    assert shape_from({"model_type": "gpt2", **SIZES}) is None
    assert shape_from({"model_type": "llama"}) is None
    assert shape_from({"model_type": "llama", **SIZES, "mlp_bias": True}) is None
    assert shape_from({}) is None
    assert published_shape("nobody/nothing") is None


def test_what_tokens_are_multiplied_with_leaves_out_the_embedding_alone() -> None:
    shape = ModelShape(8, 16, 2, 2, 1, 4, 100, tied=False)
    vectors = 2 * 2 * 8 + 8  # norms
    assert shape.multiplied == shape.n_params - 100 * 8 - vectors
