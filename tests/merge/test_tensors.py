"""Safetensors in pieces: the library reads what we write, we read what it writes, and a broken file is one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import load_file, save_file
from tests.merge.folders import random_arrays, write_model

from teachable.errors import TeachableError
from teachable.merge.tensors import INDEX, Stored, decode, encode, open_weights, plan_shards, read

TORCH = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
ARRAYS = hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-60000, 60000, width=32))


@given(ARRAYS, st.sampled_from(sorted(TORCH)))
def test_rounding_is_torchs_to_the_bit(numbers: np.ndarray, dtype: str) -> None:
    theirs = torch.from_numpy(numbers.copy()).to(TORCH[dtype])
    ours = decode(encode(numbers, dtype), dtype)
    assert ours.dtype == np.float32
    assert np.array_equal(ours.view(np.uint32), theirs.to(torch.float32).numpy().view(np.uint32))


@given(hnp.arrays(np.uint32, 50, elements=st.integers(0, 2**32 - 1)))
def test_bfloat16_rounds_every_pattern_of_bits_as_torch_does(bits: np.ndarray) -> None:
    numbers = bits.view(np.float32)
    theirs = torch.from_numpy(numbers.copy()).to(torch.bfloat16)
    if not bool(torch.isfinite(theirs).all()):
        with pytest.raises(OverflowError):
            encode(numbers, "BF16")
    else:
        ours = encode(numbers, "BF16")
        assert np.array_equal(ours.view(np.int16), theirs.view(torch.int16).numpy())


@pytest.mark.parametrize(("number", "dtype"), [(7e4, "F16"), (3.4e38, "BF16"), (np.nan, "F32"), (-np.inf, "BF16")])
def test_what_no_longer_fits_is_refused(number: float, dtype: str) -> None:
    with pytest.raises(OverflowError):
        encode(np.array([1.0, number], dtype=np.float32), dtype)


@pytest.mark.parametrize("dtype", sorted(TORCH))
def test_the_library_reads_what_is_written(tmp_path: Path, dtype: str) -> None:
    arrays = random_arrays(0) | {"empty": np.zeros((0, 3), np.float32), "place": np.arange(3), "ü": np.float32([2])}
    folder = write_model(tmp_path / "model", arrays, dtype=dtype, shards=3)
    found = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        wanted = torch.from_numpy(array)
        assert torch.equal(found[name], wanted if name == "place" else wanted.to(TORCH[dtype])), name


def test_what_the_library_wrote_is_read(tmp_path: Path) -> None:
    tensors = {f"{dtype}.{i}": torch.randn(3, 5).to(TORCH[dtype]) for dtype in TORCH for i in range(2)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = open_weights(tmp_path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].shape == (3, 5)
        assert np.array_equal(read(found[name], 0, 15), tensor.to(torch.float32).numpy().ravel()), name
        assert np.array_equal(read(found[name], 4, 9), tensor.to(torch.float32).numpy().ravel()[4:9]), name


@given(st.lists(st.integers(0, 30), max_size=20), st.integers(1, 40))
def test_shards_keep_the_order_and_the_limit(sizes: list[int], limit: int) -> None:
    tensors = [Stored(str(i), "F32", (size,), Path(), 0) for i, size in enumerate(sizes)]
    shards = plan_shards(tensors, limit)
    assert [tensor for shard in shards for tensor in shard] == tensors
    assert all(shard and (len(shard) == 1 or sum(t.n_bytes for t in shard) <= limit) for shard in shards)


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def _junk(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0not a header at all")


def _short(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 8)


def _eight_bits(folder: Path) -> None:
    save_file({"x": torch.zeros(2).to(torch.float8_e4m3fn)}, folder / "model.safetensors")


def _two(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    (folder / "two.safetensors").write_bytes((folder / "one.safetensors").read_bytes())


def _lost(folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": "other.safetensors"}}))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_cut, r"model\.safetensors: this is no safetensors file that can be read \(the tensor \S+ is cut short\)\."),
        (_junk, r"model\.safetensors: this is no safetensors file that can be read \("),
        (_short, r"can be read \(its header is longer than the file\)\. Copy the model again\.$"),
        (_eight_bits, r"the tensor x is stored as F8_E4M3, which can't be merged\. Save the model in bfloat16, "),
        (_two, r"this folder holds 2 safetensors files and no model\.safetensors\.index\.json\. Save the model with "),
        (_lost, r"1 of 2 weight files are missing, such as other\.safetensors\. Copy the model again\.$"),
        (lambda folder: (folder / "model.safetensors").unlink(), r"holds no weights in safetensors files\. Save "),
    ],
)
def test_a_broken_folder_is_one_sentence(tmp_path: Path, spoil, sentence: str) -> None:
    folder = write_model(tmp_path / "model", random_arrays(0))
    spoil(folder)
    with pytest.raises(TeachableError, match=sentence):
        open_weights(folder)


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", random_arrays(0), shards=2)
    first, second = sorted(folder.glob("*.safetensors"))
    second.write_bytes(first.read_bytes())
    with pytest.raises(TeachableError, match=r"is in two files \(model-00001-of-00002.safetensors and model-00002"):
        open_weights(folder)
