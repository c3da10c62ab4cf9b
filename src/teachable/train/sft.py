"""Supervised fine-tuning of a base model on one arm's examples.

The loss is on the response only. Which examples make up which step is decided by token counts before any
backend is asked (`batches.plan_steps`), so every arm gets the same steps and the same tokens. Two backends give
the same losses: a plain loop for models under ten million parameters, where a general trainer costs a quarter more
a step and seconds of imports a process, and TRL's `SFTTrainer` for everything larger.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from teachable.chat import training_tokens
from teachable.errors import TeachableError
from teachable.records import Example
from teachable.store.digest import model_digest
from teachable.train.batches import plan_steps
from teachable.train.config import SMALL_PARAMS, SftConfig
from teachable.train.embedded import save_model
from teachable.train.loop import CurvePoint, Optimisation, TokenSequence, train
from teachable.train.trl_backend import checkpoint_folder, train_with_trl

OnModel = Callable[[Any, Any, CurvePoint], None]  # (model, tokenizer, the step that was just done)


@dataclass(frozen=True)
class SftResult:
    """A tuned model and how its loss fell."""

    path: Path
    digest: str
    backend: str
    n_examples: int
    n_steps: int
    n_tokens: int
    n_response_tokens: int
    seconds: float
    curve: tuple[CurvePoint, ...]


def load_trainable(base: str | Path, device: str) -> tuple[Any, Any]:
    """Model and tokenizer, from safetensors only.

    The weights that are trained are float32 everywhere: at a rate of 1e-5 most of AdamW's updates are lost between two
    bfloat16 numbers. Where a GPU has bfloat16, the TRL backend computes in it.
    """
    where = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    tokenizer: Any = AutoTokenizer.from_pretrained(str(base))
    model: Any = AutoModelForCausalLM.from_pretrained(str(base), dtype="float32", use_safetensors=True)
    return model.to(where), tokenizer


def sft(
    base: str | Path,
    examples: Sequence[Example],
    config: SftConfig,
    *,
    seed: int,
    out: Path,
    n_steps: int,
    device: str = "auto",
    checkpoint: Path | None = None,
    on_step: Callable[[CurvePoint], None] | None = None,
    look_after: Collection[int] = (),
    look: OnModel | None = None,
) -> SftResult:
    """Tune `base` on `examples`, in their order, in `n_steps` optimiser steps; save it to `out`.

    Args:
        seed: of dropout, where the model has any; the order of the data is the order of `examples`.
        checkpoint: where to keep what is needed to resume; None is off.
        look_after: numbers of steps done after which `look` is given the model.
        look: what it is given is the live model, with that step's update, which it must leave as it was; it may draw
            random numbers. A step that a resumed training had done before is not looked at again, so whoever looks
            keeps what it saw before it returns: the checkpoint that holds the step is written after that.

    Raises:
        TeachableError: no examples, fewer examples than steps, no chat template, a loss that is not finite.
    """
    started = time.monotonic()
    if len(examples) < n_steps:
        raise TeachableError(
            f"{len(examples)} examples cannot fill {n_steps} training steps",
            mend="Raise tokens_per_step, or select more examples",
        )
    torch.manual_seed(seed)
    model, tokenizer = load_trainable(base, device)
    tokenized = (training_tokens(tokenizer, e.messages) for e in examples)
    sequences = [TokenSequence(tuple(ids), tuple(mask)) for ids, mask in tokenized]
    steps = plan_steps([len(s.ids) for s in sequences], n_steps)
    how = Optimisation(
        learning_rate=config.learning_rate,
        schedule=config.schedule,
        warmup_frac=config.warmup_frac,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
    )
    backend = config.backend
    if backend == "auto":
        backend = "loop" if model.num_parameters() < SMALL_PARAMS else "trl"
    run = train if backend == "loop" else train_with_trl
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    def after(point: CurvePoint) -> None:
        if look is not None and point.step + 1 in look_after:
            with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
                look(model, tokenizer, point)
        if on_step is not None:
            on_step(point)

    curve = run(model, sequences, steps, how, pad_id=pad_id, checkpoint=checkpoint, on_step=after)
    save_model(model, tokenizer, out)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
        shutil.rmtree(checkpoint_folder(checkpoint), ignore_errors=True)
    return SftResult(
        path=out,
        digest=model_digest(out),
        backend=backend,
        n_examples=len(examples),
        n_steps=n_steps,
        n_tokens=sum(len(s.ids) for s in sequences),
        n_response_tokens=sum(sum(s.mask) for s in sequences),
        seconds=time.monotonic() - started,
        curve=tuple(curve),
    )
