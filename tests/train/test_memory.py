"""The memory that is counted is the memory that trainings take, tensor by tensor and as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.engines.conftest import tiny_tokenizer
from tests.train import memory_of

from teachable.train.embedded import save_model
from teachable.train.memory import Layout, memory_needed, train_flops
from teachable.train.shapes import PUBLISHED, ModelShape, shape_from

PHI4 = PUBLISHED["microsoft/phi-4"]


def llama(hidden: int, intermediate: int, n_layers: int, vocab: int = 300) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=n_layers,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=False,
        )
    )


def shape_of(model: Any) -> ModelShape:
    shape = shape_from(model.config.to_dict())
    assert shape is not None
    return shape


def saved_bytes(model: Any, rows: int, length: int, bf16: bool) -> int:
    """What autograd keeps of a forward pass beside the weights, each tensor's memory once."""
    import torch

    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}
    kept = []

    def keep(tensor: Any) -> Any:
        kept.append(tensor)  # so that no other tensor takes its place
        if tensor.untyped_storage().data_ptr() not in weights:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    ids = torch.randint(0, 300, (rows, length))
    mask = torch.ones_like(ids)
    mask[0, -3:] = 0 if rows > 1 else 1
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=bf16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        model.train()(input_ids=ids, attention_mask=mask, use_cache=False)
    return sum(sizes.values())


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("lora", [0, 8])
@pytest.mark.parametrize(("rows", "length"), [(4, 96), (1, 256)])
def test_a_layers_activations_are_what_autograd_keeps_of_it(rows: int, length: int, lora: int, bf16: bool) -> None:
    """A layer is what a model of three has more than a model of two; autocast keeps a copy of its matrices too."""
    from peft import LoraConfig, get_peft_model

    models = [llama(192, 512, n) for n in (2, 3)]
    shapes = [shape_of(model) for model in models]
    if lora:
        models = [get_peft_model(model, LoraConfig(r=lora, target_modules="all-linear")) for model in models]
    kept = [saved_bytes(model, rows, length, bf16) for model in models]
    layout = Layout(rows, length, lora_r=lora, bf16=bf16)
    counted = [memory_needed(shape, layout).activations for shape in shapes]
    copies = 2 * shapes[0].layer_matrices if bf16 else 0
    assert counted[1] - counted[0] == pytest.approx(kept[1] - kept[0] - copies, rel=0.08 if lora and bf16 else 0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what memory a process has")
@pytest.mark.parametrize(
    ("sizes", "rows", "length", "checkpointing"),
    [((384, 1024, 10), 2, 96, False), ((192, 512, 8), 8, 256, False), ((192, 512, 8), 8, 256, True)],
)
def test_a_real_training_takes_what_is_counted(
    tmp_path: Path, sizes: tuple[int, int, int], rows: int, length: int, checkpointing: bool
) -> None:
    """Weights with gradients and moments, activations, and logits are the most of it in turn; within a fifth."""
    tokenizer = tiny_tokenizer()
    big = llama(*sizes)
    save_model(big, tokenizer, tmp_path / "big")
    save_model(llama(24, 32, 1), tokenizer, tmp_path / "small")
    command = [sys.executable, memory_of.__file__, str(tmp_path), str(rows), str(length), str(checkpointing)]
    given_back = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}  # glibc would keep what is freed
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | given_back, check=False)
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout.splitlines()[-1])["bytes"]
    layout = Layout(rows, length, checkpointing=checkpointing, bf16=False)
    assert memory_needed(shape_of(big), layout).total == pytest.approx(measured, rel=0.2)


def test_what_is_divided_among_devices() -> None:
    alone = memory_needed(PHI4, Layout(1, 32768, checkpointing=True))
    assert alone.weights + alone.gradients + alone.moments == 18 * PHI4.n_params
    parallel = memory_needed(PHI4, Layout(1, 32768, n_processes=32, checkpointing=True))
    assert parallel.gradients == 2 * alone.gradients and parallel.moments == alone.moments
    divided = memory_needed(PHI4, Layout(1, 32768, n_processes=32, sharded=True, checkpointing=True))
    assert divided.moments == round(alone.moments / 32)
    assert divided.total < 80e9 < parallel.total


def test_what_needs_less() -> None:
    plain = Layout(8, 1024)
    full = memory_needed(PHI4, plain)
    assert memory_needed(PHI4, replace(plain, checkpointing=True)).activations < full.activations / 10
    adapters = memory_needed(PHI4, replace(plain, lora_r=16))
    assert adapters.gradients + adapters.moments < 0.01 * (full.gradients + full.moments)
    assert adapters.weights >= full.weights
    parts = memory_needed(PHI4, replace(plain, rows=2, accumulated=True))
    assert parts.activations < full.activations / 3
    assert parts.total - parts.weights - parts.moments == parts.gradients + parts.activations + parts.head


def test_arithmetic_is_six_operations_a_weight_and_token_and_the_attention() -> None:
    short = train_flops(PHI4, 1e9, 1)
    assert short == pytest.approx(6 * PHI4.multiplied * 1e9, rel=1e-3)
    assert train_flops(PHI4, 1e9, 1, lora=True) == pytest.approx(short * 2 / 3, rel=1e-3)
    assert train_flops(PHI4, 1e9, 1, checkpointing=True) == pytest.approx(short * 4 / 3, rel=1e-3)
    # Of 40 layers, each of a length's tokens reads half of them twice, 5,120 wide, at 2 operations; 3 passes.
    attention = train_flops(PHI4, 1e9, 4096) - train_flops(PHI4, 1e9, 0)
    assert attention == pytest.approx(3 * 40 * (4096 / 2) * 2 * 5120 * 2 * 1e9)
