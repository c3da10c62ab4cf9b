"""The base's sizes are found in its folder, in the hub's cache or among the published ones, and never guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from teachable.recipe.base_shape import base_shape
from teachable.train.config import PretrainConfig
from teachable.train.shapes import PUBLISHED

CONFIG = {
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
    "max_position_embeddings": 32768,
}


def test_the_embedded_base_has_the_shape_that_pretraining_gives_it() -> None:
    config = PretrainConfig(hidden_size=64, n_layers=3)
    shape, source = base_shape("embedded", config)
    assert shape is not None and (shape.hidden, shape.n_layers, shape.tied) == (64, 3, True)
    assert source == "the settings of pretrain"
    assert base_shape("embedded")[0] != shape


def test_a_folders_own_config_counts(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    shape, source = base_shape(str(tmp_path))
    assert shape is not None and (shape.n_params, shape.context) == (494_032_768, 32768)
    assert source == str(tmp_path / "config.json")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"model_type": "gpt2"}))
    assert base_shape(str(tmp_path)) == (None, f"{source} is of a kind of model that is not known here")


@pytest.mark.parametrize("where", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_what_the_hub_has_left_here_comes_before_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(where, str(tmp_path))
    below = {"HF_HUB_CACHE": ".", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}[where]
    folder = tmp_path / below / "models--microsoft--phi-4"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    assert base_shape("microsoft/phi-4") == (PUBLISHED["microsoft/phi-4"], "the published shape of microsoft/phi-4")
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "config.json").write_text(json.dumps(CONFIG))
    shape, source = base_shape("microsoft/phi-4")
    assert shape is not None and shape.n_params == 494_032_768
    assert source == "the config.json of microsoft/phi-4 in the hub's cache"


def test_of_another_model_nothing_is_known() -> None:
    assert base_shape("nobody/nothing") == (
        None,
        "nobody/nothing is neither in the hub's cache nor among the shapes that are known here",
    )
