"""Stages that trained by domains, planted in a run folder: numbers made by the evaluation's own functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tests.evaluate.planted_additions import chances, flat, rows_of, scores_of

from teachable.evaluate.additivity import additivity
from teachable.evaluate.matrix import Addition, forgetting_matrix
from teachable.store.files import read_json, write_json, write_rows

NAMES = ("chain_sum", "gcd", "<i>letters</i>")
GAINS = {"chain_sum": 0.3, "gcd": 0.25, "<i>letters</i>": 0.2}
LOST = "after adding gcd (2 domains), chain_sum fell from 61.0% when it was added to 20.0% (-41.0 points)"


def take_turns(run: Path) -> Path:
    """Plant the stages `tune`, `add_data`, `explore`, `scale` and `ablate` in a finished run."""
    manifest, stages = read_json(run / "manifest.json"), {}
    for name, kind in (
        ("tune", "tune"),
        ("add_data", "add"),
        ("explore", "explore"),
        ("scale", "scale"),
        ("ablate",) * 2,
    ):
        stages[name] = {**manifest["stages"]["sft"], "kind": kind, "outputs": {}, "requires": []}
    write_json(run / "manifest.json", {**manifest, "stages": {**manifest["stages"], **stages}})
    luck = np.random.default_rng(7)
    easy = flat(NAMES, 30, luck)
    rows = rows_of("base", {name: easy[name][:, None] for name in NAMES}, luck)
    for name in NAMES:
        tables = {one: chances(luck, easy[one], GAINS[one] if one == name else 0.0, 4) for one in NAMES}
        rows += rows_of(name, tables, luck)
    # The second addition gains its own domain and loses the first.
    gained: tuple[dict[str, float], ...] = ({"chain_sum": 0.3}, {"chain_sum": -0.15, "gcd": 0.2})
    for n, gains in enumerate(gained, start=1):
        tables = {one: chances(luck, easy[one], gains.get(one, 0.0), 4) for one in NAMES}
        rows += rows_of(f"add_data-{n}", tables, luck)
    scores = scores_of(rows)
    additions = [Addition(f"add_data-{n}", NAMES[:n], NAMES[n - 1 : n]) for n in (1, 2)]
    cells = [cell.row() for cell in forgetting_matrix(scores, additions, NAMES)]
    sums = [one.row() for one in additivity(scores, additions[1], {name: name for name in NAMES})]
    gains = [
        {"domain": name, "metric": "pass@1", "n_questions": 30, "n_seeds": 2, "base": 0.3, "tuned": 0.3 + gain,
         "gain": gain, "low": gain - 0.07, "high": gain + 0.05}
        for name, gain in GAINS.items()
    ]  # fmt: skip
    _tune(run / "tune", gains, NAMES)
    _tune(
        run / "scale",
        gains[:2],
        ("scale",),
        sentence="gain over the base: +9.9 points",
        mix={"gcd": 0.75, "chain_sum": 0.25},
    )
    lost = [{"stage": "add_data-2", "sentence": LOST}]
    write_json(
        run / "add_data" / "stats.json",
        {"way": "data", "settings": {"learning_rate": 3e-4, "method": "linear"}, "matrix": cells, "additivity": sums,
         "regressions": lost, "sentence": "2 domains at 30.0% (base 32.5%)"},
    )  # fmt: skip
    trial = {"round": 1, "score": 0.4, "low": 0.3, "high": 0.5, "over_plain": 0.02, "learning_rate": 1e-4, "place": 1}
    trials = [
        {**trial, "trial": 3, "mix_gcd": 0.8},
        {**trial, "trial": 0, "mix_gcd": 0.5, "over_plain": None, "place": 2},
    ]
    evidence = {"sentence": "Trial 3 won: +4.0 points (1.0 to 7.0) on 90 questions with 5 seeds."}
    write_json(
        run / "explore" / "stats.json",
        {
            "searched": ["learning_rate"],
            "domains": ["gcd"],
            "trials": trials,
            "evidence": evidence,
            "winner": {"trial": 3},
        },
    )
    write_json(run / "ablate" / "stats.json", {"verdict": {"sentence": "teachable ended at 23.1%"}})
    return run


def _tune(folder: Path, gains: list[dict[str, Any]], arms: tuple[str, ...], **more: Any) -> None:
    ended = [
        {"arm": arm, "seed": seed, "n_steps": 90, "best_step": 40 + 10 * seed, "stopped": "plateau", "dev_score": 0.5}
        for arm in arms
        for seed in (0, 1)
    ]
    frozen = {name: {"hash": "ab", "n_examples": 77, "n_tokens": 999} for name in arms}
    write_json(
        folder / "stats.json", {"gains": gains, "ended": ended, "frozen": frozen, "n_dev": 90, "n_test": 90, **more}
    )
    rows = [
        {"arm": arm, "seed": seed, "step": 25 * i, "tokens": 8000 * i, "score": 0.3 + 0.05 * i + 0.01 * seed}
        for arm in arms
        for seed in (0, 1)
        for i in range(4)
    ]
    write_rows(folder / "evaluations.parquet", rows)
