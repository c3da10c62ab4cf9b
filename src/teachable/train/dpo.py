"""Direct preference optimisation (Rafailov et al. 2023): a base learns to prefer one continuation over another.

A pair may be two single tokens that follow a prefix of the model's own solution, as pivotal token search finds them:
then the loss is on that one token. Or it is two whole responses to a chat. Both are token ids before any training
library sees them (`preferences.py`), in steps of equally many pairs. TRL's `DPOTrainer` does the training, for models
of every size: unlike supervised fine-tuning (`sft.py`) there is no plain loop beside it, so even a small model's run
waits some seconds for TRL to be imported.

On a CPU and one thread the same seed gives the same bytes. What it does not protect against: with a large learning rate
DPO lowers the chosen continuation's own probability along with the rejected one's, as long as their margin grows; the
curve's `logp_chosen` shows it, and `sft_weight` holds against it.
"""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.errors import TeachableError
from teachable.store.digest import model_digest
from teachable.train.config import DpoConfig
from teachable.train.dpo_trainer import DpoPoint, PairPlan, precomputes, train_on_pairs
from teachable.train.embedded import save_model
from teachable.train.preferences import Preference, TokenPair, token_pairs
from teachable.train.sft import load_trainable
from teachable.train.trl_backend import checkpoint_folder


@dataclass(frozen=True)
class DpoResult:
    """A tuned model, and how its preferences moved.

    `n_pairs` were trained on; `n_too_long` were left out. `n_tokens` counts both sequences of each pair as often as it
    was used, `n_response_tokens` those of them that carry the loss. `precomputed` says whether the base was asked
    before training rather than during it. `n_params` are the model's.
    """

    path: Path
    digest: str
    n_pairs: int
    n_too_long: int
    n_steps: int
    pairs_per_step: int
    n_tokens: int
    n_response_tokens: int
    precomputed: bool
    n_params: int
    seconds: float
    curve: tuple[DpoPoint, ...]


def dpo(
    base: str | Path,
    pairs: Sequence[Preference],
    config: DpoConfig,
    *,
    seed: int,
    out: Path,
    device: str = "auto",
    checkpoint: Path | None = None,
    on_step: Callable[[DpoPoint], None] | None = None,
) -> DpoResult:
    """Tune `base` on `pairs` and save it to `out`, as a model folder like any other (adapters are merged).

    Args:
        pairs: see `preferences.preferences_from` for rows of TRL's columns.
        seed: of the order of the pairs, and of the adapters' first weights.
        checkpoint: where to keep what is needed to resume; None is off.

    Raises:
        TeachableError: no pairs, pairs of another model's tokens, all of them too long, no chat template, a loss that
            is not finite, or a library that is not installed.
    """
    started = time.monotonic()
    if not pairs:
        raise TeachableError("there are no preference pairs to train on")
    torch.manual_seed(seed)
    model, tokenizer = load_trainable(base, device)
    fitting, n_too_long = _fitting(token_pairs(tokenizer, pairs, _n_vocab(model)), _longest(model, config))
    steps = pair_steps(len(fitting), config, seed)
    plan = PairPlan(
        pairs=fitting,
        steps=steps,
        precompute=precomputes(config, len(fitting), sum(len(step) for step in steps)),
        pad_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id or 0,
        seed=seed,
    )
    reference = None if plan.precompute or config.lora.r else load_trainable(base, device)[0]
    model, curve = train_on_pairs(model, reference, plan, config, checkpoint=checkpoint, on_step=on_step)
    save_model(model, tokenizer, out)
    if checkpoint is not None:
        shutil.rmtree(checkpoint_folder(checkpoint), ignore_errors=True)
    return DpoResult(
        path=out,
        digest=model_digest(out),
        n_pairs=len(fitting),
        n_too_long=n_too_long,
        n_steps=len(steps),
        pairs_per_step=len(steps[0]),
        n_tokens=sum(fitting[i].n_tokens for step in steps for i in step),
        n_response_tokens=sum(fitting[i].n_response_tokens for step in steps for i in step),
        precomputed=plan.precompute,
        n_params=model.num_parameters(),
        seconds=time.monotonic() - started,
        curve=tuple(curve),
    )


def pair_steps(n_pairs: int, config: DpoConfig, seed: int) -> list[list[int]]:
    """Which pairs make up which step: round after round of all pairs, each in another random order.

    Every step has equally many pairs, `pairs_per_step` or all that there are. The last one is filled up from a further
    round, so that `n_epochs` rounds are whole.
    """
    size = min(config.pairs_per_step, n_pairs)
    n_steps = config.n_steps or math.ceil(config.n_epochs * n_pairs / size)
    draw = random.Random(seed)
    order: list[int] = []
    while len(order) < n_steps * size:
        order += draw.sample(range(n_pairs), n_pairs)
    return [order[at : at + size] for at in range(0, n_steps * size, size)]


def _fitting(pairs: Sequence[TokenPair], longest: int) -> tuple[list[TokenPair], int]:
    """The pairs that are no longer than `longest`, and how many are: cut short, a pair would lose its very end.

    Raises:
        TeachableError: none is left.
    """
    fitting = [pair for pair in pairs if pair.longest <= longest]
    if not fitting:
        shortest = min(pair.longest for pair in pairs)
        raise TeachableError(
            f"all {len(pairs):,} pairs are longer than {longest:,} tokens (the shortest has {shortest:,})",
            mend="Raise max_length, or take a base with a longer context",
        )
    return fitting, len(pairs) - len(fitting)


def _longest(model: Any, config: DpoConfig) -> int:
    """The longest sequence that is trained on, in tokens."""
    context = int(getattr(model.config.get_text_config(), "max_position_embeddings", 0) or 0)
    given = [limit for limit in (config.max_length, context) if limit]
    return min(given) if given else 2**62


def _n_vocab(model: Any) -> int:
    return int(model.get_input_embeddings().num_embeddings)
