"""Optimiser steps a second: the plain loop against TRL's `SFTTrainer`, on the embedded model and the same batches.

    python benchmarks/sft_backends.py [--steps 60] [--tokens-per-step 1024] [--rounds 3]

On one thread, as the quickstart tunes its models, and in seconds of processor time: other work on the machine then
hardly counts. The two take turns, `rounds` times; the best round of each counts, because what is left of other work's
influence only ever slows a round down. A rate is taken between the ends of the first and the last step, so what
either does before its first step stands apart, and so does the import of TRL. The last line says how far the losses
were from each other.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from teachable.chat import training_tokens
from teachable.train.batches import plan_steps
from teachable.train.config import PretrainConfig
from teachable.train.corpus import conversations
from teachable.train.embedded import build_model, build_tokenizer
from teachable.train.loop import CurvePoint, Optimisation, TokenSequence, train
from teachable.train.trl_backend import train_with_trl

HOW = Optimisation(learning_rate=4e-4, schedule="constant", warmup_frac=0.05, weight_decay=0.0, max_grad_norm=1.0)


@dataclass(frozen=True)
class Round:
    """One training run: processor seconds up to the end of the first step, and steps a second after it."""

    first_step_s: float
    steps_per_s: float
    losses: tuple[float, ...]


def read(config: PretrainConfig, tokenizer: Any, n_tokens: int) -> list[TokenSequence]:
    """Conversations of the corpus, about `n_tokens` tokens in all."""
    found: list[TokenSequence] = []
    total = 0
    for conversation in conversations(config):
        ids, mask = training_tokens(tokenizer, conversation)
        found.append(TokenSequence(tuple(ids), tuple(mask)))
        total += len(ids)
        if total >= n_tokens:
            break
    return found


def measure(backend: Callable[..., list[CurvePoint]], model: Any, data: list[TokenSequence], n_steps: int) -> Round:
    """Train `model` with one backend, by the clock."""
    ends: list[float] = []
    steps = plan_steps([len(s.ids) for s in data], n_steps)
    started = time.process_time()
    curve = backend(model, data, steps, HOW, pad_id=0, on_step=lambda point: ends.append(time.process_time()))
    rate = (len(ends) - 1) / (ends[-1] - ends[0])
    return Round(ends[0] - started, rate, tuple(point.loss for point in curve))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Steps a second of the two training backends.")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--tokens-per-step", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)

    from transformers import AutoModelForCausalLM  # noqa: F401  (both backends need it: its import is not TRL's)

    started = time.process_time()
    from trl import SFTConfig, SFTTrainer  # noqa: F401

    import_s = time.process_time() - started
    config = PretrainConfig()
    tokenizer = build_tokenizer(config)
    data = read(config, tokenizer, asked.steps * asked.tokens_per_step)
    per_step = sum(len(s.ids) for s in data) / asked.steps
    backends = {"plain loop": train, "TRL SFTTrainer": train_with_trl}
    rounds: dict[str, list[Round]] = {name: [] for name in backends}
    for _, (name, backend) in itertools.product(range(asked.rounds), backends.items()):
        rounds[name].append(measure(backend, build_model(config, tokenizer), data, asked.steps))

    n_params = build_model(config, tokenizer).num_parameters()
    print(f"{n_params:,} parameters; {asked.steps} steps of {per_step:.0f} tokens; one thread, processor time")
    print(f"{'backend':<16}{'steps/s':>9}{'tokens/s':>10}{'first step after':>18}")
    best = {name: max(of, key=lambda r: r.steps_per_s) for name, of in rounds.items()}
    for name, r in best.items():
        print(f"{name:<16}{r.steps_per_s:>9.2f}{r.steps_per_s * per_step:>10,.0f}{r.first_step_s:>16.2f} s")
    loop, trl = best.values()
    share = trl.steps_per_s / loop.steps_per_s
    print(f"TRL runs at {share:.2f} of the loop's steps a second; its import took {import_s:.1f} s")
    apart = max(abs(a - b) for a, b in zip(loop.losses, trl.losses, strict=True))
    print(f"a step's losses differ by at most {apart:.1e} nats (from {loop.losses[0]:.2f} to {loop.losses[-1]:.2f})")


if __name__ == "__main__":
    main()
