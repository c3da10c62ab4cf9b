"""A model that is sampled from between two steps of its training, and goes on as if it had not been."""

from __future__ import annotations

import asyncio
import copy
import random
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from teachable.engines.live import engine_around, unwrapped
from teachable.engines.local import TransformersEngine
from teachable.records import Request

PROMPTS = ("one and one", "a longer prompt, of more than one block of tokens, which are bytes here", "three")


def loaded(folder: Path, **config: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", **config)
    return model.train(), AutoTokenizer.from_pretrained(folder)


def adapted(model: Any) -> Any:
    from peft import LoraConfig, get_peft_model

    found = get_peft_model(model, LoraConfig(r=4, lora_dropout=0.2, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return found.train()


def sampled(engine: TransformersEngine) -> list[tuple[int, ...]]:
    async def asked() -> list[tuple[int, ...]]:
        requests = [Request(prompt, n=3, max_tokens=12, temperature=1.0, seed=5) for prompt in PROMPTS]
        found = await asyncio.gather(*(engine.sample(request) for request in requests))
        return [tuple(one.token_ids) for completions in found for one in completions]

    return asyncio.run(asked())


def step(model: Any, optimizer: torch.optim.Optimizer) -> float:
    ids = torch.arange(24).reshape(2, 12) % 97
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss)


def trained(model: Any, tokenizer: Any, *, sample: bool) -> tuple[list[float], list[torch.Tensor]]:
    torch.manual_seed(7)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(3):
        losses.append(step(model, optimizer))
        if sample:
            with engine_around(model, tokenizer) as engine:
                sampled(engine)
    return losses, [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_goes_on_to_the_bit(tiny_model: Path, adapters: bool, checkpointing: bool) -> None:
    runs = []
    for sample in (False, True):
        model, tokenizer = loaded(tiny_model, attention_dropout=0.1)  # so that a draw too many would show
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            model.enable_input_require_grads()
        model = adapted(model) if adapters else model
        runs.append(trained(model, tokenizer, sample=sample))
    (losses, weights), (losses_beside, weights_beside) = runs
    assert len(set(losses)) == 3
    assert losses == losses_beside
    assert all(torch.equal(one, other) for one, other in zip(weights, weights_beside, strict=True))


def state_of(model: Any) -> dict[str, Any]:
    bare = unwrapped(model)
    return {
        "modes": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "use_cache": bare.config.use_cache,
        "attention": bare.config._attn_implementation,
        "forward": vars(bare).get("forward"),
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "random": (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),
        "grads": [None if p.grad is None else p.grad.tolist() for p in model.parameters()],
    }


@pytest.mark.parametrize("adapters", [False, True])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("fails", [False, True])
def test_everything_of_the_model_is_as_it_was(tiny_model: Path, adapters: bool, attention: str, fails: bool) -> None:
    model, tokenizer = loaded(tiny_model, attn_implementation=attention)
    model = adapted(model) if adapters else model
    bare = unwrapped(model)
    bare.config.use_cache = False
    bare.model.layers[1].eval()  # a part that is not trained
    next(iter(bare.parameters())).requires_grad_(False)

    def others_forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a trainer's forward is not for sampling")

    own_forward = bare.forward
    bare.forward = types.MethodType(others_forward, bare)
    before = state_of(model)
    try:
        with engine_around(model, tokenizer) as engine:
            assert not bare.training
            assert len(sampled(engine)) == 9
            if fails:
                raise RuntimeError("a verifier failed")
    except RuntimeError:
        assert fails
    assert state_of(model) == before
    bare.forward = own_forward


def test_it_samples_what_the_saved_model_samples(tiny_model: Path) -> None:
    model, tokenizer = loaded(tiny_model, attention_dropout=0.3)
    with engine_around(model, tokenizer) as engine:
        live = sampled(engine)
    assert live == sampled(TransformersEngine(tiny_model, dtype="float32"))
    assert len(set(live)) > 3


def test_adapters_are_sampled_through_as_if_they_were_merged(tiny_model: Path) -> None:
    model, tokenizer = loaded(tiny_model)
    with engine_around(model, tokenizer) as engine:
        without = sampled(engine)
    wrapped = adapted(model)
    with engine_around(wrapped, tokenizer) as engine:
        through = sampled(engine)
    merged = copy.deepcopy(wrapped).merge_and_unload()
    with engine_around(merged, tokenizer) as engine:
        assert sampled(engine) == through
    assert through != without
