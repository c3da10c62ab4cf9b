"""Two domains that a tiny model learns in seconds: whatever is asked, `sevens` answers 7 and `nines` answers 9."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from teachable.records import Attempt, Estimate, Example, Message, Prompt
from teachable.store.digest import model_digest
from teachable.store.files import write_json, write_records
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model

WORDS = ("what", "which", "river", "hill", "old", "mill", "carries", "market", "stone", "boat", "near", "low")
ANSWERS = {"sevens": "7", "nines": "9"}
# Few steps of few short rows, asked often, for tests.
QUICK: dict[str, Any] = {
    "learning_rate": 2e-2,
    "warmup_steps": 2,
    "batch_size": 8,
    "max_steps": 24,
    "eval_every": 6,
    "patience": 2,
    "n_samples": 2,
    "max_tokens": 8,
}


def write_base(folder: Path, tokenizer: Any) -> Path:
    """A model of some thousand parameters with random weights."""
    config = PretrainConfig(
        hidden_size=32, n_layers=1, n_heads=2, n_kv_heads=1, intermediate_size=64, vocab_size=320, seed=1
    )
    save_model(build_model(config, tokenizer), tokenizer, folder)
    return folder


def text(domain: str, i: int) -> str:
    """Words that no other number and domain has in this order."""
    return " ".join(random.Random(f"{domain} {i}").choices(WORDS, k=10)) + "?"


def prompt(domain: str, i: int) -> Prompt:
    return Prompt(
        id=f"{domain}{i:03}",
        messages=(Message(role="user", content=text(domain, i)),),
        answer=ANSWERS.get(domain, "1"),
        answer_source="organic",
        verifier="math",
        meta={},
        domain=domain,
        level=i % 2,
    )


def example(domain: str, i: int) -> Example:
    one = prompt(domain, i)
    said = Message(role="assistant", content=ANSWERS.get(domain, "1"))
    return Example(one.id, (*one.messages, said), domain, one.level, "teachable", "it is", 20)


def write_inputs(
    run: Path, base: Path | None, *, n: int = 16, n_heldout: int = 12, domains: tuple[str, ...] = tuple(ANSWERS)
) -> dict[str, Path]:
    """The folders of the stages before `tune`, by role, and whatever is in them that it reads."""
    folders = {
        role: run / stage for role, stage in (("examples", "select"), ("prompts", "tasks"), ("base", "pretrain"))
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    write_records(folders["examples"] / "examples.jsonl", [example(name, i) for name in domains for i in range(n)])
    write_records(folders["prompts"] / "prompts.parquet", [prompt(name, i) for name in domains for i in range(n)])
    held = [prompt(name, 100 + i) for name in domains for i in range(n_heldout)]
    write_records(folders["prompts"] / "heldout.parquet", held)
    if base is not None:
        stats = {"path": str(base), "digest": model_digest(base), "n_params": 20_000}
        write_json(folders["base"] / "stats.json", stats)
    return folders


def write_prompts(path: Path, *, n: int = 24, domains: tuple[str, ...] = tuple(ANSWERS)) -> Path:
    """A user's file of prompts with worked responses."""
    rows = [
        {"id": one.id, "prompt": one.text, "answer": one.answer, "domain": name, "response": one.answer}
        for name in domains
        for one in (prompt(name, i) for i in range(n))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_estimates(path: Path, *, n: int = 24, domains: tuple[str, ...] = tuple(ANSWERS), left_out: int = 0) -> Path:
    """Estimates that call every prompt of that file teachable, but for the first `left_out` of each domain.

    The attempts that they rest on, of which there is one, are in attempts.parquet beside them.
    """
    attempt = Attempt("other", 0, "nobody", 0, "", (), "stop", False, None, "it is not")
    write_records(path.with_name("attempts.parquet"), [attempt])
    write_records(
        path,
        [
            Estimate(
                f"{name}{i:03}", name, 0, 8, 4, 0, 4.5, 4.5, 0.5, "1", "beyond" if i < left_out else "teachable", "so",
                zone_mass=0.99, p_teachable=0.99, stopped="decided", key=ANSWERS.get(name, "1"), key_source="organic",
            )
            for name in domains
            for i in range(n)
        ],
    )  # fmt: skip
    return path


def write_material(
    folder: Path, tokenizer: Any, tune: Mapping[str, Any], domains: tuple[str, ...] = tuple(ANSWERS)
) -> Path:
    """A base, prompts, estimates that call them teachable, and recipe.yaml of all of it; the recipe's path."""
    write_base(folder / "base", tokenizer)
    write_prompts(folder / "prompts.jsonl", domains=domains)
    write_estimates(folder / "estimates.parquet", domains=domains)
    document = {
        "name": "mine",
        "base": "base",
        "resources": {"workers": 1, "device": "cpu"},
        "stages": {
            "tasks": {"source": "prompts.jsonl", "heldout_frac": 0.4},
            "estimates": {"source": "estimates.parquet", "attempts": "attempts.parquet"},
            "select": {"arms": [], "responses": "solution", "needs": {"estimates": "estimates"}},
            "tune": dict(tune),
        },
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(document))
    return folder / "recipe.yaml"
