"""A planted ablation in a run folder: what each arm gains is known, and the tables are those that the stage writes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from teachable.evaluate.ablation import Bootstrap, summarise_ablation
from teachable.store.files import write_json, write_rows
from teachable.train.tune_config import AblateConfig

STEPS = (20, 40, 60, 80, 100)
GAINS = {"teachable": 0.14, "random": 0.08, "full": 0.09, "mastered": 0.01, "beyond": 0.04}
TOKENS = 512


def planted_rows(
    gains: Mapping[str, float], *, n_questions: int = 60, n_seeds: int = 5, n_samples: int = 4, seed: int = 0
) -> list[dict[str, Any]]:
    """Scores of every question, arm, seed and step, and of the base, of questions of different difficulty."""
    rng = random.Random(seed)
    skill = {f"q{i:03}": rng.betavariate(0.5, 0.9) for i in range(n_questions)}

    def score(rate: float) -> float:
        return sum(rng.random() < min(1.0, max(0.0, rate)) for _ in range(n_samples)) / n_samples

    def rows(arm: str, at: int, step: int, gain: float) -> list[dict[str, Any]]:
        where = {"arm": arm, "seed": at, "step": step, "tokens": step * TOKENS + at * (step > 0)}
        return [{**where, "prompt_id": q, "score": score(rate + gain)} for q, rate in skill.items()]

    found = rows("base", 0, 0, 0.0)
    for arm, gain in gains.items():
        for at in range(n_seeds):
            luck = rng.gauss(0.0, 0.01)
            for step in STEPS:
                found += rows(arm, at, step, (gain + luck) * (step / STEPS[-1]) ** 0.6)
    return found


def points_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The means over questions, as points.parquet has them."""
    names = ("arm", "seed", "step", "tokens")
    scores: dict[tuple[Any, ...], list[float]] = {}
    for row in rows:
        scores.setdefault(tuple(row[name] for name in names), []).append(row["score"])
    return [{**dict(zip(names, at, strict=True)), "accuracy": sum(each) / len(each)} for at, each in scores.items()]


def plant(run: Path, gains: Mapping[str, float] = GAINS, *, n_seeds: int = 5, left_out: str = "") -> Path:
    """Write RUN/ablate as the stage does, of planted scores."""
    rows = planted_rows(gains, n_seeds=n_seeds)
    models = [(arm, seed) for arm in gains for seed in range(n_seeds)]
    runs = [
        {
            "arm": arm,
            "seed": seed,
            "digest": "ab" * 32,
            "n_examples": 900 + 10 * seed,
            "n_steps": STEPS[-1],
            "n_tokens": STEPS[-1] * TOKENS + seed,
            "n_response_tokens": 30_000,
            "backend": "loop",
            "final_loss": 0.3,
            "seconds": 12.0,
            "seconds_asking": 6.0,
        }
        for arm, seed in models
    ]
    drawn = {"n_unique": 700, "n_pool": 755, "n_epochs": 1.2}
    stats = summarise_ablation(rows, runs, [{"arm": arm, "seed": s, **drawn} for arm, s in models], Bootstrap(400))
    stats |= {
        "left_out": [{"arm": "beyond", "reason": left_out}] if left_out else [],
        "random_prompts": "as_teachable",
        "budget_tokens": STEPS[-1] * TOKENS,
        "metric": "pass@1",
        "settings": AblateConfig().model_dump(mode="json"),
        "n_runs": len(runs),
        "n_overlaps": 0,
        "base_model": "embedded",
        "run": run.name,
        "stage": "ablate",
        "seconds": 300.0,
        "seconds_asking": 150.0,
    }
    folder = run / "ablate"
    write_rows(folder / "questions.parquet", rows)
    write_rows(folder / "points.parquet", points_of(rows))
    write_rows(folder / "runs.parquet", runs)
    write_rows(folder / "comparisons.parquet", stats["comparisons"])
    write_json(folder / "stats.json", stats)
    return run
