"""Models that disagree are told apart, each disagreement in one sentence; what is no disagreement passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.merge.folders import CONFIG, random_arrays, write_model

from teachable.errors import TeachableError
from teachable.merge.parents import agree, open_parent, shared_tensors

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
TIED = {**CONFIG, "tie_word_embeddings": True}


def shared(*folders: Path) -> list[str]:
    """The names of the tensors that these models share, after all checks."""
    parents = [open_parent(folder) for folder in folders]
    agree(parents)
    return [tensor.name for tensor in shared_tensors(parents)]


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two models that agree."""
    base, config = random_arrays(0), {**CONFIG, "rope_theta": 10, "attention_dropout": 0.0}
    one = write_model(tmp_path / "one", base, config=config)
    return one, write_model(tmp_path / "two", random_arrays(1, base=base), shards=2, config=config)


def in_json(name: str, **fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        found = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(found | fields))

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def test_models_of_one_kind_agree(two: tuple[Path, Path]) -> None:
    assert shared(*two) == list(random_arrays(0))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            in_json("config.json", model_type="llama"),
            r"two: the models differ in model_type of config\.json: llama here",
        ),
        (in_json("config.json", vocab_size=9), r"two: the models differ in vocab_size of config\.json: 9 here, 8 in "),
        (in_json("config.json", hidden_size=5), r"the models differ in hidden_size of config\.json: 5 here, 4 in "),
        (
            in_json("config.json", rope_parameters={"rope_theta": 5}),
            r"differ in rope_theta of config\.json: 5 here, 10 ",
        ),
        (in_json("tokenizer.json", model={"vocab": {"b": 0}}), r"two: its tokenizer\.json differs from that of \S+one"),
        (removed("tokenizer.json"), r"two: it has no tokenizer\.json, and \S+one has one\. Copy the tokenizer's files"),
        (in_json("config.json", quantization_config={"bits": 4}), r"two: the weights are quantised, and quantised "),
        (removed("config.json"), r"two: this folder holds no config\.json, so no model\."),
        (lambda folder: (folder / "config.json").write_text("[]"), r"this is no model's config\."),
    ],
)
def test_a_disagreement_is_one_sentence(two: tuple[Path, Path], change: Callable[[Path], None], sentence: str) -> None:
    change(two[1])
    with pytest.raises(TeachableError, match=sentence) as caught:
        shared(*two)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        in_json("config.json", transformers_version="9", torch_dtype="bfloat16", pad_token_id=7, use_cache=False),
        in_json("config.json", attention_dropout=0.1, head_dim=2, rope_theta=None, rope_parameters={"rope_theta": 10}),
        in_json("tokenizer.json", padding={"length": 3}, truncation={"max_length": 8}),
        in_json("tokenizer_config.json", model_max_length=77),
    ],
)
def test_what_training_changes_beside_the_weights_is_no_disagreement(two: tuple[Path, Path], change) -> None:
    change(two[1])
    assert len(shared(*two)) == len(random_arrays(0))


def test_shapes_and_missing_tensors_are_named(tmp_path: Path) -> None:
    arrays = random_arrays(0)
    one = write_model(tmp_path / "one", arrays)
    wide = write_model(tmp_path / "wide", {**arrays, EMBEDDING: np.zeros((9, 4), np.float32)})
    with pytest.raises(
        TeachableError, match=rf"wide: the tensor {EMBEDDING} has the shape \[9, 4\] here and \[8, 4\] "
    ):
        shared(one, wide)
    fewer = write_model(tmp_path / "fewer", {name: a for name, a in arrays.items() if name != EMBEDDING})
    for order in ((one, fewer), (fewer, one)):
        with pytest.raises(TeachableError, match=rf"fewer: the tensor {EMBEDDING} is missing, and \S+one has it"):
            shared(*order)


def test_integers_must_be_equal(tmp_path: Path) -> None:
    def model(name: str, number: int) -> Path:
        return write_model(tmp_path / name, {**random_arrays(0), "positions": np.array([0, number])})

    assert "positions" in shared(model("one", 1), model("same", 1))
    with pytest.raises(TeachableError, match=r"other: the tensor positions holds integers that differ from those of "):
        shared(tmp_path / "one", model("other", 2))


def test_a_tied_head_is_left_out_however_it_is_stored(tmp_path: Path) -> None:
    arrays = random_arrays(0)
    tied = write_model(tmp_path / "tied", arrays, config=TIED)
    stored = write_model(tmp_path / "stored", {**arrays, HEAD: arrays[EMBEDDING]}, config=TIED)
    assert shared(tied, stored) == shared(stored, tied) == shared(stored, stored) == list(arrays)
    untied = write_model(tmp_path / "untied", {**arrays, HEAD: -arrays[EMBEDDING]}, config=TIED)
    assert HEAD in shared(untied, untied)  # whatever its config says, this head is another one
    with pytest.raises(TeachableError, match=rf"tied: the tensor {HEAD} is missing, and \S+untied has it"):
        shared(tied, untied)
    silent = write_model(tmp_path / "silent", {**arrays, HEAD: arrays[EMBEDDING]})
    assert shared(tied, silent) == list(arrays)
    assert HEAD in shared(silent, silent)  # nothing says that the merged model would be tied
    with pytest.raises(TeachableError, match=rf"tied: the tensor {HEAD} is missing, and \S+silent has it"):
        shared(silent, tied)


def test_what_can_be_worked_out_may_be_missing(tmp_path: Path) -> None:
    angles = {"model.layers.0.rotary_emb.inv_freq": np.ones(2, np.float32)}
    old = write_model(tmp_path / "old", {**random_arrays(0), **angles})
    new = write_model(tmp_path / "new", random_arrays(1))
    assert shared(old, new) == shared(new, old) == list(random_arrays(0))


def test_chat_templates(two: tuple[Path, Path], tmp_path: Path) -> None:
    """A base without one takes the models'; two that differ are refused, wherever they are kept."""
    three = write_model(tmp_path / "three", random_arrays(2))
    parents = [open_parent(folder) for folder in (*two, three)]
    assert agree(parents) == two[0]
    in_json("tokenizer_config.json", chat_template="hello")(two[1])
    (three / "chat_template.jinja").write_text("hello")
    assert agree(parents) == two[1]
    (three / "chat_template.jinja").write_text("good bye")
    with pytest.raises(TeachableError, match=r"three: its chat template differs from that of \S+two\. Give all models"):
        agree(parents)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(TeachableError, match=r"holds a LoRA adapter, not a whole model\. Merge .*merge_and_unload\(\)"):
        open_parent(adapter)
    with pytest.raises(TeachableError, match=r"nowhere: there is no such folder\. Name model folders; "):
        open_parent(tmp_path / "nowhere")
    with pytest.raises(TeachableError, match=r"adapter_config\.json: this is a file\. "):
        open_parent(adapter / "adapter_config.json")
