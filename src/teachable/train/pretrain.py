"""Pretrain the embedded base model, once per machine: the cache is keyed by the recipe of the model.

The weights are a function of the config alone (and of the installed torch's arithmetic): the corpus, its order
and the initial weights are drawn from `config.seed`.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from teachable.chat import training_tokens
from teachable.records import OnProgress, Progress
from teachable.store.digest import digest, model_digest
from teachable.store.files import read_json, write_json
from teachable.train.batches import bucketed_steps
from teachable.train.config import PretrainConfig
from teachable.train.corpus import conversations
from teachable.train.embedded import build_model, build_tokenizer, save_model
from teachable.train.loop import CurvePoint, Optimisation, TokenSequence, train

CORPUS_VERSION = 2  # raise when the corpus, the tokenizer or the loop would give other weights than before
PARTS = 2  # of every batch, on as many threads: 1.6 times the tokens a second on two cores
DONE = "pretrain.json"


@dataclass(frozen=True)
class PretrainResult:
    """The embedded model: where it is, what it is, and how it was read into being."""

    path: Path
    digest: str
    n_params: int
    n_tokens: int
    cached: bool
    seconds: float
    curve: tuple[dict[str, Any], ...]


def model_folder(config: PretrainConfig, cache_dir: Path) -> Path:
    """Where the model of that config is kept on this machine."""
    key = digest([CORPUS_VERSION, config.model_dump(mode="json")])
    return cache_dir / "models" / f"embedded-{key[:16]}"


def pretrain(
    config: PretrainConfig, cache_dir: Path, *, n_threads: int = 1, on_progress: OnProgress | None = None
) -> PretrainResult:
    """The embedded model of that config, trained now if this machine has not trained it before."""
    folder = model_folder(config, cache_dir)
    cached = (folder / DONE).exists()
    if not cached:
        _train_into(folder, config, n_threads, on_progress)
    facts = read_json(folder / DONE)
    return PretrainResult(
        path=folder,
        digest=model_digest(folder),
        n_params=facts["n_params"],
        n_tokens=facts["n_tokens"],
        cached=cached,
        seconds=facts["seconds"],
        curve=tuple(facts["curve"]),
    )


def _train_into(folder: Path, config: PretrainConfig, n_threads: int, on_progress: OnProgress | None) -> None:
    torch.set_num_threads(n_threads)
    started = time.monotonic()
    tokenizer = build_tokenizer(config)
    sequences = _corpus(config, tokenizer, on_progress)
    lengths = [len(s.ids) for s in sequences]
    steps: list[list[int]] = []
    for epoch in range(config.n_epochs):
        steps += bucketed_steps(lengths, config.tokens_per_step, random.Random(f"order {config.seed} {epoch}"))
    model = build_model(config, tokenizer)

    def report(point: CurvePoint) -> None:
        if on_progress:
            on_progress(Progress(point.tokens, config.n_tokens, "tokens", point.tokens, f"loss {point.loss:.3f}"))

    how = Optimisation(config.learning_rate, "cosine", config.warmup_frac, 0.01, 1.0, (0.9, 0.98), config.muon_rate)
    checkpoint = folder.with_name(folder.name + ".checkpoint.pt")
    curve = train(
        model,
        sequences,
        steps,
        how,
        pad_id=tokenizer.pad_token_id,
        checkpoint=checkpoint,
        on_step=report,
        n_parts=PARTS,
    )
    facts = {
        "config": config.model_dump(mode="json"),
        "n_params": model.num_parameters(),
        "n_tokens": curve[-1].tokens,
        "seconds": round(time.monotonic() - started, 1),
        "curve": [asdict(p) for p in thin(curve)],
    }
    _keep(model, tokenizer, facts, folder)
    checkpoint.unlink(missing_ok=True)


def _corpus(config: PretrainConfig, tokenizer: Any, on_progress: OnProgress | None) -> list[TokenSequence]:
    """Texts of `n_tokens / n_epochs` tokens, the loss on the answers."""
    sequences: list[TokenSequence] = []
    n_tokens = 0
    for conversation in conversations(config):
        ids, mask = training_tokens(tokenizer, conversation)
        sequences.append(TokenSequence(tuple(ids), tuple(mask)))
        n_tokens += len(ids)
        if on_progress and len(sequences) % 2000 == 0:
            on_progress(Progress(0, config.n_tokens, "tokens", note=f"writing the corpus: {n_tokens:,} tokens"))
        if n_tokens * config.n_epochs >= config.n_tokens:
            break
    return sequences


def _keep(model: Any, tokenizer: Any, facts: dict[str, Any], folder: Path) -> None:
    """Put the model into the cache as a whole. Where two runs trained it at once, the first one stays."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    save_model(model, tokenizer, unfinished)
    write_json(unfinished / DONE, facts)
    try:
        unfinished.rename(folder)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not (folder / DONE).exists():
            raise


def thin(curve: list[Any], n: int = 120) -> list[Any]:
    """About `n` points of a curve, the first and the last among them."""
    if len(curve) <= n:
        return list(curve)
    return [curve[round(i * (len(curve) - 1) / (n - 1))] for i in range(n)]
