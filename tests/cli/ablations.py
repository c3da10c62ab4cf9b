"""A tiny ablation whose outcome is known: what `teachable` is taught is what the held-out questions ask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from teachable.records import Attempt, Estimate, Zone
from teachable.store.files import write_records
from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model

N_EACH = 14  # prompts of a zone
ZONES: tuple[Zone, ...] = ("teachable", "beyond")
RIGHT, WRONG = "7", "4"
BUDGET = 2000
ABLATE = {"learning_rate": 3e-2, "tokens_per_step": 100, "n_points": 3, "n_samples": 2, "max_tokens": 4}


def write(folder: Path, tokenizer: Any, small_config: PretrainConfig, **more: Any) -> Path:
    """A base, prompts and estimates of them, and a recipe over these with no arms of its own."""
    save_model(build_model(small_config, tokenizer), tokenizer, folder / "model")
    names = [(f"{zone}-{i}", zone) for zone in ZONES for i in range(N_EACH)]
    taught = [
        {
            "id": name,
            "prompt": f"{zone} {i}: how many?",
            "answer": said,
            "response": said,
            "domain": zone,
            "verifier": "exact",
        }
        for i, (name, zone) in enumerate(names)
        if (said := RIGHT if zone == "teachable" else WRONG)
    ]
    asked = [
        {"id": f"asked-{i}", "prompt": f"and {i * i}, how many then?", "answer": RIGHT, "verifier": "exact"}
        for i in range(12)
    ]
    for file, rows in (("prompts", taught), ("exam", asked)):
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts: dict[str, int] = {"teachable": 4, "beyond": 0}
    estimates = [
        Estimate(name, zone, 1, 8, counts[zone], 0, counts[zone] + 0.5, 8.5 - counts[zone], 0.5, "", zone, "planted")
        for name, zone in names
    ]
    write_records(folder / "estimates.parquet", estimates)
    tried = [Attempt(name, 0, "e", 0, "no", (1,), "stop", False, "no", "") for name, _ in names]
    write_records(folder / "attempts.parquet", tried)
    document = {
        "name": "mine",
        "base": "model",
        "resources": {"device": "cpu", "workers": 1},
        "stages": {
            "tasks": {"source": "prompts.jsonl", "heldout_frac": 0, "benchmarks": ["exam.jsonl"]},
            "probe": {"kind": "estimates", "source": "estimates.parquet", "attempts": "attempts.parquet"},
            "select": {"arms": ["random"], "seeds": 1, "budget_tokens": BUDGET, "near_duplicate_threshold": None,
                       "max_epochs": 20},
            "ablate": ABLATE,
        } | more,
    }  # fmt: skip
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
