"""A small run folder as `teachable tune` leaves it, made by hand: real tiny models and frozen sets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tests.engines.conftest import tiny_tokenizer

from teachable.chat import training_tokens
from teachable.recipe.frozen import frozen_path, set_hash
from teachable.records import Estimate, Example, Message, Zone
from teachable.store.files import write_json, write_records, write_rows
from teachable.store.manifest import RunFolder, StageEntry
from teachable.train.batches import plan_steps
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model
from teachable.train.loop import Optimisation, TokenSequence, train
from teachable.train.sft import load_trainable

DOMAINS = ("sums", "more sums", "spelling")  # the second has a name that is no file's
SEEDS = (3, 4)
WORDS = ("apple", "house", "river", "stone", "cloud", "table", "chair", "lemon", "bread", "glass", "plant", "horse")


def examples(domain: str, n: int = 24) -> list[Example]:
    """Sums and more sums are of one kind; spelling is of another."""
    rng = random.Random(domain)
    found = []
    for i in range(n):
        one, two = rng.randint(1, 9), rng.randint(1, 9)
        asked, answer = (f"What is {one} + {two}?", f"It is {one + two}.")
        if domain == "spelling":
            word = WORDS[i % len(WORDS)] + WORDS[rng.randrange(len(WORDS))]
            asked, answer = f"Spell the word {word}", "-".join(word)
        messages = Message(role="user", content=asked), Message(role="assistant", content=answer)
        found.append(Example(f"{domain} {i}", messages, domain, 1, "teachable", "planted", 10))
    return found


def estimate(domain: str, number: int, zone: Zone) -> Estimate:
    return Estimate(f"{domain} {number}", domain, 1, 8, 4, 0, 5.0, 5.0, 0.5, "5", zone, "planted")


def tuned_run(run: Path, domains: Sequence[str] = DOMAINS, *, probed: bool = True, finished: bool = True) -> Path:
    """Write the run: every model is the base after some steps on its domain's examples."""
    folder = RunFolder(run)
    with folder.locked("tune"):
        config = PretrainConfig(hidden_size=32, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=64, seed=3)
        base = build_model(config, tiny_tokenizer())
        save_model(base, tiny_tokenizer(), run / "models" / "base")
        write_json(run / "pretrain" / "stats.json", {"path": "models/base"})
        folder.complete("pretrain", StageEntry(kind="pretrain", key="a", version=1))
        if probed:
            zones: list[Zone] = ["teachable", "teachable", "teachable", "beyond"]
            rows = [estimate("sums", i, zone) for i, zone in enumerate(zones)] + [estimate("spelling", 9, "mastered")]
            write_records(run / "probe" / "estimates.parquet", rows)
            folder.complete("probe", StageEntry(kind="probe", key="b", version=1))
        rows_of_runs = [_tuned(run, domain, seed) for domain in domains for seed in SEEDS]
        write_rows(run / "tune" / "runs.parquet", rows_of_runs)
        write_json(run / "tune" / "stats.json", {"domains": list(domains), "seeds": list(SEEDS)})
        if finished:
            folder.complete("tune", StageEntry(kind="tune", key="c", version=1))
    return run


def _tuned(run: Path, domain: str, seed: int) -> dict[str, object]:
    taught = examples(domain)
    path = frozen_path(run, domain)
    write_records(path, taught)
    facts = {"domain": domain, "hash": set_hash(domain, taught), "n_examples": len(taught), "n_tokens": 240}
    write_json(path.with_suffix(".json"), facts)
    model, tokenizer = load_trainable(run / "models" / "base", "cpu")
    torch.manual_seed(seed)
    random.Random(seed).shuffle(taught)
    sequences = [TokenSequence(*map(tuple, training_tokens(tokenizer, one.messages))) for one in taught]
    steps = plan_steps([len(one.ids) for one in sequences], 6)
    train(model, sequences, steps, Optimisation(5e-3, "constant", 0.0, 0.0, 1.0), pad_id=tokenizer.pad_token_id)
    name = f"tune-{path.stem}-{seed}"
    save_model(model, tokenizer, run / "models" / name)
    return {"arm": domain, "seed": seed, "path": f"models/{name}"}
