"""What is wrong with a model is said in one sentence with a mend."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from teachable.engines.local import TransformersEngine
from teachable.errors import TeachableError

CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def folder(tiny_model: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(tiny_model, copy)
    return copy


def edit_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def sentence(folder: Path | str, **how: Any) -> str:
    with pytest.raises(TeachableError) as caught:
        TransformersEngine(folder, dtype="float32", **how)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


def test_code_of_its_own_is_run_only_when_asked(folder: Path) -> None:
    edit_config(
        folder, model_type="own", auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    )
    (folder / "own.py").write_text(CODE + f"\nopen({str(folder / 'ran')!r}, 'w').close()\n")
    assert "Set engine.trust_remote_code=true if you trust it" in sentence(folder)
    assert not (folder / "ran").exists()
    engine = TransformersEngine(folder, dtype="float32", trust_remote_code=True)
    assert type(engine.model).__name__ == "OwnModel"
    assert (folder / "ran").exists()


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "has no weights in safetensors files. Copy the model.safetensors files too." in sentence(folder)


def test_weights_that_could_run_code_are_not_read(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "only in another format. Convert them to safetensors." in sentence(folder)


def test_weights_cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "the weights can't be read" in sentence(folder)


def test_some_weights_missing(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "1 of the model's weights are missing from its files, such as model.layers.1.mlp.up_proj" in sentence(folder)


def test_an_unknown_architecture(folder: Path) -> None:
    edit_config(folder, model_type="nobody_knows_it", architectures=["NobodyForCausalLM"])
    assert "nobody_knows_it" in sentence(folder)


def test_broken_settings(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    assert "the model can't be loaded" in sentence(folder)


def test_no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert "the tokenizer" in sentence(folder)


def test_no_such_folder(tmp_path: Path) -> None:
    assert "the model can't be loaded" in sentence(tmp_path / "absent")


def test_a_model_with_attention_of_its_own_kind_is_refused(folder: Path) -> None:
    """Bloom's attention wants to know distances, which our masks do not tell."""
    from transformers import BloomConfig, BloomForCausalLM

    BloomForCausalLM(BloomConfig(vocab_size=260, hidden_size=32, n_layer=2, n_head=4)).save_pretrained(folder)
    assert "models of the kind bloom: their attention is special" in sentence(folder)


def test_auto_takes_the_checkpoints_own_numbers(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    assert TransformersEngine(folder).name.endswith(":bfloat16")
