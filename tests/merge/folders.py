"""Model folders for the tests: toy ones of a few arrays, written without torch, and real Llamas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from teachable.merge.tensors import INDEX, SINGLE, Stored, aligned, encode, read, spans, write_shard

CONFIG = {"model_type": "toy", "architectures": ["ToyForCausalLM"], "vocab_size": 8, "hidden_size": 4}
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
Arrays = Mapping[str, np.ndarray]


def write_model(
    folder: Path,
    arrays: Arrays,
    *,
    dtype: str = "F32",
    shards: int = 1,
    config: Mapping[str, Any] = CONFIG,
    tokenizer: Mapping[str, Any] | None = None,
) -> Path:
    """A folder with these arrays, in so many files, in the given type (integers stay what they are)."""
    folder.mkdir(parents=True)
    names = list(arrays)
    files = [SINGLE] if shards == 1 else [f"model-{i:05d}-of-{shards:05d}.safetensors" for i in range(1, shards + 1)]
    places = {}
    for i, file in enumerate(files):
        mine = names[i * len(names) // shards : (i + 1) * len(names) // shards]
        stored = aligned(_stored(name, arrays[name], dtype) for name in mine)
        write_shard(folder / file, stored, ([_raw(arrays[one.name], one.dtype)] for one in stored))
        places |= dict.fromkeys(mine, file)
    if shards > 1:
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "config.json").write_text(json.dumps(dict(config)))
    tokens = {"version": "1.0", "padding": None, "model": {"vocab": {"a": 0, "b": 1}}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer or tokens))
    return folder


def _stored(name: str, array: np.ndarray, dtype: str) -> Stored:
    return Stored(name, "I64" if array.dtype.kind == "i" else dtype, array.shape, Path(), 0)


def _raw(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.ravel() if dtype == "I64" else encode(array.astype(np.float32).ravel(), dtype)


def read_model(tensors: Mapping[str, Stored]) -> dict[str, np.ndarray]:
    """All tensors in float32, flattened."""
    empty = np.zeros(0, dtype=np.float32)
    return {name: np.concatenate([empty, *(read(t, *span) for span in spans(t.size))]) for name, t in tensors.items()}


def random_arrays(seed: int, *, base: Arrays | None = None, scale: float = 1.0) -> dict[str, np.ndarray]:
    """A small model's tensors: an embedding, two layers, a norm; with `base`, that plus random changes."""
    shapes = {"model.embed_tokens.weight": (8, 4), "model.norm.weight": (4,)}
    shapes |= {f"model.layers.{i}.{part}.weight": (4, 5) for i in range(2) for part in ("mlp", "attention")}
    rng = np.random.default_rng(seed)
    drawn = {name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}
    return drawn if base is None else {name: base[name] + drawn[name] for name in shapes}


def real_models(folder: Path) -> Path:
    """`base`, and `math`, `code` and `text` that differ from it by small random changes: Llamas with a tokenizer."""
    import torch
    from tests.engines.conftest import tiny_tokenizer

    from teachable.train.config import PretrainConfig
    from teachable.train.embedded import build_model, save_model

    tokenizer = tiny_tokenizer()
    config = PretrainConfig(hidden_size=32, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=64, seed=3)
    model = build_model(config, tokenizer)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    for place, name in enumerate(("base", "math", "code", "text")):
        model.load_state_dict(start)
        torch.manual_seed(place)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.01 * place * torch.randn_like(parameter))
        save_model(model, tokenizer, folder / name)
    return folder
