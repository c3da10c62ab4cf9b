"""What a search for pivotal tokens leaves, made through the real record types and the real store."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from teachable.pivot import Alternative, Gated, Pivot, Searched
from teachable.store.files import read_rows, write_json, write_rows, write_text

ATTACK = '</pre></script><script>document.title="pwned"</script><img src=x onerror="document.title=1">'
WORDS = (
    "First", " I", " add", " the", " tens", ":", " 40", " +", " 30", " =", " 70", ".", "\n", "Then", " the", " ones",
    ":", " 7", " +", " 8", " =", " 15", ".", "\n\n", "So", " the", " sum", " is", " 85", ".",
)  # fmt: skip


def searched(
    prompt_id: str,
    tokens: Sequence[str],
    values: Sequence[float],
    *,
    probabilities: Sequence[float] | None = None,
    **others: Any,
) -> Searched:
    """A searched solution; T tokens, T + 1 values."""
    return Searched(
        prompt_id=prompt_id,
        prompt_token_ids=(1, 2, 3),
        token_ids=tuple(range(100, 100 + len(tokens))),
        tokens=tuple(tokens),
        text="".join(tokens),
        correct=others.pop("correct", values[-1] > 0.5),
        probabilities=tuple(probabilities or [0.6] * len(tokens)),
        values=tuple(values),
        value_sds=others.pop("value_sds", tuple([0.05] * len(values))),
        n_samples=others.pop("n_samples", 96),
        **others,
    )


def pivot(solution: Searched, position: int, **others: Any) -> Pivot:
    """The pivotal token at a place of a solution, with measured numbers near those of the curve."""
    before, after = solution.values[position], solution.values[position + 1]
    delta = others.pop("delta", after - before)
    return Pivot(
        prompt_id=solution.prompt_id,
        position=position,
        token_id=solution.token_ids[position],
        token=solution.tokens[position],
        p_before=before,
        p_after=before + delta,
        delta=delta,
        delta_low=delta - 0.11,
        delta_high=delta + 0.1,
        n_samples=74,
        solution_token_ids=solution.token_ids,
        probability=solution.probabilities[position],
        alternatives=others.pop(
            "alternatives", (Alternative(7, " 80", 0.31, 24, 3), Alternative(8, " seven", 0.09, 0, 0))
        ),
    )


def rising_and_falling(
    prompt_id: str, seed: int, n_tokens: int = 30, n_pivots: int = 2
) -> tuple[Searched, list[Pivot]]:
    """A solution with a few pivotal tokens of either sign, minor forks, and many tokens that do nothing."""
    rng = random.Random(seed)
    tokens = [WORDS[i % len(WORDS)] for i in range(n_tokens)]
    forks = set(rng.sample(range(2, n_tokens - 1), n_pivots))
    values, probabilities = [rng.uniform(0.4, 0.6)], []
    for place in range(n_tokens):
        sign = 1 if values[-1] < 0.5 else -1
        step = sign * rng.uniform(0.25, 0.45) if place in forks else rng.choice([0.0, 0.0, 0.0, rng.gauss(0, 0.03)])
        values.append(min(0.97, max(0.03, values[-1] + step)))
        probabilities.append(0.5 if place in forks else 0.7 if step else 0.99)
    sds = tuple(rng.uniform(0.02, 0.08) for _ in values)
    found = searched(prompt_id, tokens, values, probabilities=probabilities, value_sds=sds)
    return found, [pivot(found, place) for place in sorted(forks)]


def write_search(
    folder: Path,
    solutions: Sequence[Searched],
    pivots: Sequence[Pivot],
    gates: Sequence[Gated] = (),
    *,
    left_out: Mapping[str, int] | None = None,
) -> Path:
    """The files of a search: a pair for every alternative that was tried."""
    write_rows(folder / "solutions.parquet", [dict(one) for one in solutions])
    write_rows(
        folder / "pivots.parquet",
        [{**dict(one), "alternatives": [dict(other) for other in one.alternatives]} for one in pivots],
    )
    write_rows(folder / "gates.parquet", [dict(one) for one in gates])
    pairs = [
        {"prompt": "the prefix", "chosen": one.token, "rejected": other.token, "prompt_id": one.prompt_id}
        for one in pivots
        for other in one.alternatives
        if other.n_samples
    ]
    write_rows(folder / "preferences.parquet", pairs)
    stats = {
        "completions": 4321,
        "tokens": 98_765,
        "prompt_tokens": 12_000,
        "n_prompts": len(gates),
        "n_searched": len(solutions),
        "outcomes": Counter(one.outcome for one in gates),
        "n_pivots": len(pivots),
        "n_pairs": len(pairs),
        "pairs_left_out": dict(left_out or {}),
        "cost_usd": 0.0,
        "failed_requests": 2,
        "n_undecided": 5,
        "seconds": 33.0,
        "complete": True,
    }
    write_json(folder / "stats.json", stats)
    return folder


def add_search(run: Path, prompt_ids: Sequence[str], n_searched: int = 12, stage: str = "pivot") -> Path:
    """A pivot stage in a run folder: solutions of the first prompts, gates for all, and its manifest entry."""
    solutions: list[Searched] = []
    pivots: list[Pivot] = []
    for number, prompt_id in enumerate(prompt_ids[:n_searched]):
        one, found = rising_and_falling(prompt_id, number, n_tokens=30 + 5 * number, n_pivots=number % 4)
        solutions.append(one)
        pivots += found
    gates = [
        Gated(one, "searched", "searched", 12, 6, 0.5)
        if place < n_searched
        else Gated(one, ("outside", "undecided", "empty")[place % 3], "12 of 12 right, above 0.8", 12, 12, 1.0)
        for place, one in enumerate(prompt_ids)
    ]
    folder = write_search(run / stage, solutions, pivots, gates, left_out={"improbable": 4, "invisible": 1})
    list_stage(run, stage, "pivot", seconds=33.0, completions=4321, tokens_out=98_765)
    return folder


def list_stage(run: Path, stage: str, kind: str, **entry: Any) -> None:
    """Put a finished stage into the run's manifest, if it has one."""
    path = run / "manifest.json"
    manifest = json.loads(path.read_text()) if path.is_file() else {"recipe": "made", "format": 1, "stages": {}}
    manifest["stages"][stage] = {"kind": kind, "key": f"{stage}0" * 6, "status": "done", "version": 1, **entry}
    write_json(path, manifest)


def add_tuning(run: Path, stage: str = "dpo", kind: str = "dpo", seeds: tuple[int, ...] = (0, 1)) -> None:
    """What training on pairs leaves."""
    rows = [
        {
            "arm": stage,
            "seed": seed,
            "step": step,
            "tokens": 100 * step,
            "loss": 0.69 - 0.01 * step + 0.02 * seed,
            "reward_margin": 0.05 * step,
            "reward_accuracy": 0.5 + 0.02 * step,
        }
        for seed in seeds
        for step in range(1, 21)
    ]
    runs = [
        {"arm": stage, "seed": seed, "n_pairs": 64, "n_too_long": 1, "n_steps": 20, "pairs_per_step": 16,
         "n_tokens": 2000, "n_response_tokens": 640, "final_loss": 0.5, "seconds": 7.0}
        for seed in seeds
    ]  # fmt: skip
    write_rows(run / stage / "curves.parquet", rows)
    write_rows(run / stage / "runs.parquet", runs)
    list_stage(run, stage, kind, seconds=14.0)


def add_judging(run: Path) -> None:
    """What judging leaves."""
    rows = [{"prompt_id": f"p{i}", "margin": 1.0 + i} for i in range(4)]
    write_rows(run / "judge_pairs/preferences.parquet", rows)
    stats = {
        "mode": "pointwise",
        "n_prompts": 9,
        "n_responses": 18,
        "n_pairs": 4,
        "pairs_left_out": {"the margin is too small": 5},
        "responses_left_out": {"it was cut off at max_tokens": 2},
        "engines": {"small": {"responses": 9, "mean_score": 4.25, "chosen": 1, "rejected": 3}},
        "judging": {"questions": 18, "undecided": 1, "frac_inconsistent": 0.125},
    }
    write_json(run / "judge_pairs/stats.json", stats)
    list_stage(run, "judge_pairs", "judge_pairs", seconds=3.0)


def search_and_tune(made: Path) -> Path:
    """Add a search, judged pairs and two trainings on pairs to a run; one of the solutions is hostile."""
    ids = [row["id"] for row in read_rows(made / "tasks/prompts.parquet")]
    folder = add_search(made, ids[:40])
    rows = read_rows(folder / "solutions.parquet")
    rows[3]["tokens"][:3] = [ATTACK, "\x1b[31m", "/".join(["", "home", "some"])]
    rows[3]["tokens"][3] = "body/secret"
    write_rows(folder / "solutions.parquet", rows)
    recipe = (made / "run.yaml").read_text()
    write_text(made / "run.yaml", recipe.replace("  sft:", "  pivot: {gap: 0.2, confidence: 0.95}\n  sft:"))
    add_tuning(made)
    add_tuning(made, "later", "judge_dpo", seeds=(0,))
    add_judging(made)
    return made
