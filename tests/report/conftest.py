"""A small run folder that looks like a real one, made through the real record types and the real store."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.report.browsers import browser, page  # noqa: F401 (fixtures)
from tests.report.evaluations import evaluation, stand_beside
from tests.report.searches import search_and_tune

from teachable.records import Attempt, Estimate, Prompt, Solution, Zone, content_id, to_row
from teachable.store.files import write_json, write_rows, write_text

DOMAINS = {"chain_sum": 0.75, "count_letters": 0.5, "number_sorting": 0.42, "spell_backward": 0.6, "leg_counting": 0.2}
LEVELS = (1, 2, 3)
ARMS = {"teachable": 0.09, "random": 0.07, "mastered": 0.08, "beyond": 0.045}
SEEDS = (0, 1, 2)
N_ATTEMPTS, N_SAMPLES = 8, 4
HOSTILE = '</pre></script><script>document.title="pwned"</script><img src=x onerror="document.title=1"> \x00\u202e&amp;'

RECIPE = """\
name: quickstart
seed: 0
base: embedded
engine: {kind: transformers, dtype: float32}
resources: {device: auto, workers: 2, batch_rows: 384, cache_dir: /home/somebody/.cache/teachable}
stages:
  tasks: {n_pool: 450, n_heldout: 150}
  pretrain: {n_tokens: 4000000}
  probe: {n_samples: 8, temperature: 1.0}
  select: {budget_tokens: 60000, seeds: [0, 1, 2]}
  sft: {learning_rate: 0.0004}
  evaluate: {n_samples: 4}
  report: {}
"""


def _prompt(domain: str, level: int, i: int, rng: random.Random) -> Prompt:
    numbers = [rng.randint(10, 10 ** (level + 1)) for _ in range(level + 2)]
    text = f"{domain.replace('_', ' ').capitalize()} (no. {i}): what comes of {', '.join(map(str, numbers))}?"
    return Prompt(
        id=content_id(domain, text),
        domain=domain,
        messages=({"role": "user", "content": text},),
        answer=str(sum(numbers)),
        answer_source="program",
        verifier="exact",
        level=level,
    )


def _zone(successes: int, agreement: float) -> Zone:
    if successes == N_ATTEMPTS:
        return "mastered"
    if successes == 0:
        return "ambiguous" if agreement > 0.6 else "beyond"
    return "teachable"


def _make_run(run: Path, seed: int = 0, gain: float = 1.0, n_pool: int = 450, n_heldout: int = 150) -> Path:
    """Write the folder; `gain` scales what every arm learns (0: no difference, below 0: worse)."""
    rng = random.Random(seed)
    skill = {(d, lv): max(0.02, s - 0.25 * (lv - 1)) for d, s in DOMAINS.items() for lv in LEVELS}
    kinds = sorted(skill)
    prompts = [_prompt(*kinds[i % len(kinds)], i, rng) for i in range(n_pool)]
    held = [_prompt(*kinds[i % len(kinds)], 10_000 + i, rng) for i in range(n_heldout)]
    solutions = [Solution(p.id, f"Step by step.\nThe answer is {p.answer}", "teacher", "verified") for p in prompts]
    write_rows(run / "tasks/prompts.parquet", [to_row(p) for p in prompts])
    write_rows(run / "tasks/heldout.parquet", [to_row(p) for p in held])
    write_rows(run / "tasks/solutions.parquet", [to_row(s) for s in solutions])
    write_json(
        run / "tasks/stats.json",
        {
            "n_pool": len(prompts),
            "n_heldout": len(held),
            "n_solutions": len(solutions),
            "domains": {},
            "rejected": [{"reason": "near-duplicate of a held-out question", "count": 17}],
        },
    )
    _write_pretrain(run)
    estimates = _write_probe(run, prompts, skill, rng)
    _write_select(run, prompts, estimates, rng)
    _write_sft(run, rng)
    _write_evaluate(run, held, skill, gain, rng)
    write_text(run / "run.yaml", RECIPE)
    seconds = {"tasks": 4.2, "pretrain": 131.0, "probe": 48.5, "select": 1.3, "sft": 164.0, "evaluate": 75.8}
    write_json(
        run / "manifest.json",
        {
            "recipe": "quickstart",
            "format": 1,
            "stages": {
                s: {
                    "kind": s,
                    "key": content_id(s) * 4,
                    "status": "done",
                    "version": 1,
                    "seconds": t,
                    "prompts": len(prompts) if s == "probe" else 0,
                    "completions": len(prompts) * 8 if s == "probe" else 0,
                    "tokens_in": 51_200 if s == "probe" else 0,
                    "tokens_out": int(t * 2900),
                    "cost_usd": 0.0,
                    "outputs": {f"{s}/stats.json": {"bytes": 1200, "sha256": "0" * 64}},
                    "note": "",
                }
                for s, t in seconds.items()
            },
        },
    )
    return run


def _write_pretrain(run: Path) -> None:
    curve = [{"step": i, "tokens": i * 16_000, "loss": 5.5 * np.exp(-i / 30) + 0.9, "lr": 3e-3} for i in range(250)]
    write_json(
        run / "pretrain/stats.json",
        {
            "path": "/home/somebody/.cache/teachable/base",
            "digest": "ab" * 32,
            "n_params": 331_000,
            "n_tokens": 4_000_000,
            "cached": False,
            "curve": curve,
            "seconds": 131.0,
        },
    )


def _write_probe(run: Path, prompts: list[Prompt], skill: dict[Any, float], rng: random.Random) -> list[Estimate]:
    attempts, estimates = [], []
    for p in prompts:
        rate = min(1.0, max(0.0, rng.gauss(skill[p.domain, p.level], 0.3)))
        rate = 0.0 if rate < 0.08 else 1.0 if rate > 0.93 else rate
        right = [rng.random() < rate for _ in range(N_ATTEMPTS)]
        for k, ok in enumerate(right):
            answer = p.answer if ok else str(rng.randint(1, 999))
            text = HOSTILE if k == N_ATTEMPTS - 1 else f"First I add the parts.\nThen I check.\nThe answer is {answer}"
            attempts.append(
                Attempt(
                    p.id,
                    k,
                    "local",
                    7,
                    text,
                    tuple(range(12)),
                    "stop" if ok or k % 3 else "length",
                    ok,
                    answer,
                    "equal" if ok else f"expected {p.answer}",
                )
            )
        agreement = rng.random() if not any(right) else 0.5
        zone = _zone(sum(right), agreement)
        estimates.append(
            Estimate(
                p.id,
                p.domain,
                p.level,
                N_ATTEMPTS,
                sum(right),
                0,
                1 + sum(right),
                1 + N_ATTEMPTS - sum(right),
                agreement,
                p.answer,
                zone,
                f"{sum(right)} of {N_ATTEMPTS} right",
            )
        )
    write_rows(run / "probe/attempts.parquet", [to_row(a) for a in attempts])
    write_rows(run / "probe/estimates.parquet", [to_row(e) for e in estimates])
    write_json(
        run / "probe/stats.json",
        {
            "n_prompts": len(prompts),
            "n_attempts": N_ATTEMPTS * len(prompts),
            "samples_per_prompt": float(N_ATTEMPTS),
            "n_undecided": 0,
            "n_suspect": 0,
            "zones": Counter(e.zone for e in estimates),
            "completions": len(attempts),
            "tokens": 12 * len(attempts),
        },
    )
    return estimates


def _write_select(run: Path, prompts: list[Prompt], estimates: list[Estimate], rng: random.Random) -> None:
    by_id = {p.id: p for p in prompts}
    sets: dict[str, list[dict[str, Any]]] = {f"{arm}-{s}": [] for arm in ARMS for s in SEEDS}
    rows = []
    for e in estimates:
        n_tokens = rng.randint(40, 90) if rng.random() < 0.97 else 0
        names = [
            name
            for name in sets
            if n_tokens and rng.random() < 0.6 and (name.startswith("random") or name.startswith(e.zone))
        ]
        why = f"the base model got {e.successes} of {e.n} right"
        for name in names:
            sets[name].append(
                {
                    "messages": [
                        *by_id[e.prompt_id].messages,
                        {"role": "assistant", "content": f"Step by step.\nSo {e.plurality}"},
                    ],
                    "prompt_id": e.prompt_id,
                    "domain": e.domain,
                    "level": e.level,
                    "zone": e.zone,
                    "why": why,
                    "n_tokens": n_tokens,
                }
            )
        inside = e.zone == "teachable" and n_tokens > 0
        rows.append(
            {
                "prompt_id": e.prompt_id,
                "domain": e.domain,
                "level": e.level,
                "zone": e.zone,
                "decision": "in" if inside else "out",
                "reason": f"In: {why}." if inside else f"Out: {why}, which is {e.zone}.",
                "n_tokens": n_tokens,
                "arms": names,
            }
        )
    write_rows(run / "select/decisions.parquet", rows)
    for name, examples in sets.items():
        write_rows(run / f"select/examples/{name}.jsonl", examples)
    write_json(
        run / "select/stats.json",
        {
            "budget_tokens": 60_000,
            "seeds": list(SEEDS),
            "pool": Counter(e.zone for e in estimates),
            "dropped": [{"reason": "no verified response", "count": 11}],
            "arms": [
                {
                    "arm": a,
                    "seed": s,
                    "n_examples": 900,
                    "n_tokens": 60_000,
                    "n_unique": len(sets[f"{a}-{s}"]),
                    "n_epochs": 3.2,
                }
                for a in ARMS
                for s in SEEDS
            ],
        },
    )


def _write_sft(run: Path, rng: random.Random) -> None:
    curves, runs = [], []
    for i, arm in enumerate(ARMS):
        for s in SEEDS:
            losses = [0.35 + 0.1 * i + 0.9 * np.exp(-k / 25) + rng.gauss(0, 0.03) for k in range(112)]
            curves += [
                {"arm": arm, "seed": s, "step": k, "tokens": (k + 1) * 1024, "loss": v, "lr": 4e-4}
                for k, v in enumerate(losses)
            ]
            runs.append(
                {
                    "arm": arm,
                    "seed": s,
                    "path": f"models/sft-{arm}-{s}",
                    "digest": "cd" * 32,
                    "n_examples": 900,
                    "n_steps": 112,
                    "n_tokens": 112 * 1024,
                    "n_response_tokens": 60_000,
                    "final_loss": losses[-1],
                    "seconds": 13.0 + i,
                }
            )
    write_rows(run / "sft/curves.parquet", curves)
    write_rows(run / "sft/runs.parquet", runs)
    write_json(
        run / "sft/stats.json",
        {
            "arms": list(ARMS),
            "seeds": list(SEEDS),
            "n_steps": 112,
            "tokens_per_step": 1024,
            "backend": "loop",
            "seconds": 164.0,
        },
    )


def _boot(values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    means = values[rng.integers(0, len(values), (400, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def _write_evaluate(run: Path, held: list[Prompt], skill: dict[Any, float], gain: float, rng: random.Random) -> None:
    models = [("base", "base", 0)] + [(f"{a}-{s}", a, s) for a in ARMS for s in SEEDS]
    ease = {p.id: min(0.97, max(0.01, rng.gauss(skill[p.domain, p.level] - 0.2, 0.25))) for p in held}
    rows: list[dict[str, Any]] = []
    for model, arm, s in models:
        for p in held:
            rate = min(0.98, ease[p.id] + gain * ARMS.get(arm, 0.0) * (1.6 if p.level < 3 else 0.4))
            n_correct = sum(rng.random() < rate for _ in range(N_SAMPLES))
            rows.append(
                {
                    "model": model,
                    "arm": arm,
                    "seed": s,
                    "prompt_id": p.id,
                    "domain": p.domain,
                    "level": p.level,
                    "n": N_SAMPLES,
                    "n_correct": n_correct,
                    "n_undecided": 0,
                    "greedy": rng.random() < rate * 1.1,
                    "majority": n_correct >= 2,
                    "n_tokens": 60,
                }
            )
    write_rows(run / "evaluate/scores.parquet", rows)
    g = np.random.default_rng(0)

    def per_question(arm: str, metric: str, **only: Any) -> np.ndarray:
        mine = [r for r in rows if r["arm"] == arm and all(r[k] == v for k, v in only.items())]
        by: dict[str, list[float]] = {}
        for r in mine:
            value = {"pass@1": r["n_correct"] / r["n"], "greedy": r["greedy"], "maj@k": r["majority"]}[metric]
            by.setdefault(r["prompt_id"], []).append(float(value))
        return np.array([np.mean(by[q]) for q in sorted(by)])

    metrics, names = ("pass@1", "greedy", "maj@k"), ["base", *ARMS]
    domains = [
        {"arm": a, "domain": d, "level": lv, "metric": "pass@1", "n_questions": len(v), **_boot(v, g)}
        for a in names
        for d in DOMAINS
        for lv in (0, *LEVELS)
        for v in [per_question(a, "pass@1", domain=d, **({"level": lv} if lv else {}))]
    ]
    comparisons: list[dict[str, Any]] = []
    for baseline in ("random", "base"):
        for a in ARMS:
            for m in metrics:
                if a == baseline:
                    continue
                b = _boot(per_question(a, m) - per_question(baseline, m), g)
                comparisons.append(
                    {
                        "arm": a,
                        "baseline": baseline,
                        "metric": m,
                        "diff": b["mean"],
                        "low": b["low"],
                        "high": b["high"],
                        "p_value": 0.0004 if b["low"] > 0 else 0.21,
                    }
                )
    main = next(c for c in comparisons if (c["arm"], c["baseline"], c["metric"]) == ("teachable", "random", "pass@1"))
    outcome = "better" if main["low"] > 0 else "worse" if main["high"] < 0 else "no difference"
    write_json(
        run / "evaluate/stats.json",
        {
            "n_questions": len(held),
            "n_samples": N_SAMPLES,
            "temperature": 1.0,
            "undecided_rate": 0.0,
            "arms": [
                {
                    "arm": a,
                    "n_seeds": 1 if a == "base" else len(SEEDS),
                    "metrics": {m: _boot(per_question(a, m), g) for m in metrics},
                }
                for a in names
            ],
            "domains": domains,
            "comparisons": comparisons,
            "verdict": {
                "sentence": "At the same training budget, teaching at the edge "
                f"{'beat' if outcome == 'better' else 'did not beat'} teaching at random: "
                f"{100 * main['diff']:+.1f} points of pass@1.",
                "outcome": outcome,
                "metric": "pass@1",
                "diff": main["diff"],
                "low": main["low"],
                "high": main["high"],
            },
        },
    )


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """The maker itself, for runs with other seeds or gains."""
    return _make_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that tests may read but not write."""
    return _make_run(tmp_path_factory.mktemp("runs") / "quickstart")


@pytest.fixture(scope="session")
def searched_run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a search, judged pairs and two trainings on pairs; one of the solutions is hostile."""
    return search_and_tune(Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("pivots") / "quickstart")))


@pytest.fixture(scope="session")
def compared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation of three models on three tasks; one of the answers is hostile."""
    return evaluation(tmp_path_factory.mktemp("compared") / "evaluate")


@pytest.fixture(scope="session")
def beside_run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe's run whose evaluation has a benchmark, a larger model beside the arms, and all that is written now."""
    return stand_beside(Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("beside") / "quickstart")))


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A finished run of the test's own."""
    return Path(shutil.copytree(finished_run, tmp_path / "quickstart"))
