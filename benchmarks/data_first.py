"""Does teaching at the edge pay? Four arms at equal training tokens, on bases and pools that no choice has seen.

    python benchmarks/data_first.py --out FOLDER [--workers 2]

Five bases, each pretrained from a seed of its own; from each, a pool of 1,200 prompts in three compositions (the
edge being 10%, 30% or 60% of it, the rest mastered and beyond in the proportion in which that base has them); from
each pool, four arms at three budgets of training tokens, and `random` at twice the largest too. Every model answers
the same held-out questions, four times at temperature 1 and once greedily.

A seed is a base, a pool, a draw of examples and an order of training, all at once: intervals over seeds hold for the
method on a base like these, not for one lucky base. The settings are those of the packaged quickstart, which were
chosen on the base of seed 0; the bases here have seeds 1 to 5. Results are kept in FOLDER as they come, and a second
run goes on from there. The last run is in `RESULTS.md` beside this file.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from teachable.chat import training_tokens
from teachable.engines.local import TransformersEngine
from teachable.evaluate import EvaluateConfig, score_model, summarise
from teachable.probe import ProbeConfig, probe
from teachable.recipe.config import Resources
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import load_recipe
from teachable.recipe.packaged import packaged_recipe
from teachable.recipe.workers import side_by_side
from teachable.records import Estimate, Prompt, Solution
from teachable.select import SelectConfig, select
from teachable.store.files import read_json, read_records, write_json, write_records
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig
from teachable.train.config import PretrainConfig, SftConfig
from teachable.train.pretrain import pretrain
from teachable.train.sft import sft

SEEDS = (1, 2, 3, 4, 5)
EDGE_SHARES = (0.1, 0.3, 0.6)
BUDGETS = (15_000, 30_000, 60_000)
RANDOM_ALSO = (120_000,)
ARMS = ("teachable", "random", "mastered", "beyond")
N_DRAWN = 6_000  # questions probed a base, from which the pools are composed
N_POOL = 1_200
HELDOUT_SEED = 999


@dataclass(frozen=True)
class Job:
    """One model to tune and to ask."""

    folder: Path
    seed: int
    edge_share: float
    arm: str
    budget: int

    @property
    def record(self) -> Path:
        """Where its result goes."""
        share = round(self.edge_share * 100)
        return self.folder / "results" / f"{self.seed}-{share}-{self.arm}-{self.budget}.json"


def settings() -> dict[str, Any]:
    """The quickstart's settings, stage by stage, with the fixed probe that the recorded results rest on."""
    path, _ = packaged_recipe("quickstart", fast=False)
    fixed = ["probe.n_samples=8", "probe.prior=fixed"]
    return {stage.name: stage.config for stage in load_recipe(path, fixed, kinds=STAGE_KINDS).stages}


def prepare(job: tuple[Path, int]) -> None:
    """Pretrain a base, draw its questions and probe them; what is there already is kept."""
    folder, seed = job
    home = folder / f"base-{seed}"
    if (home / "done.json").exists():
        return
    import torch

    torch.set_num_threads(1)
    how = settings()
    started = time.monotonic()
    config: PretrainConfig = how["pretrain"].model_copy(update={"seed": seed})
    base = pretrain(config, Resources().cache_path())
    drawn = TasksConfig(n_pool=N_DRAWN, n_heldout=1)
    tasks = asyncio.run(build_tasks(drawn, seed=1000 + seed))
    heldout = asyncio.run(build_tasks(how["tasks"], seed=HELDOUT_SEED)).heldout
    engine = TransformersEngine(base.path, dtype="float32")
    config_probe: ProbeConfig = how["probe"]
    found = asyncio.run(probe(tasks.pool, engine=engine, config=config_probe, seed=seed))
    write_records(home / "prompts.parquet", tasks.pool)
    write_records(home / "solutions.parquet", tasks.solutions)
    write_records(home / "estimates.parquet", found.estimates)
    write_records(home / "heldout.parquet", heldout)
    rows = asyncio.run(score_model("base", "base", seed, heldout, engine=engine, config=how["evaluate"])).rows
    zones = Counter(e.zone for e in found.estimates)
    facts = {"path": str(base.path), "zones": dict(zones), "probed_tokens": found.tokens, "scores": rows}
    write_json(home / "done.json", {**facts, "seconds": round(time.monotonic() - started, 1)})
    print(f"base {seed}: {len(tasks.pool)} prompts probed, {dict(zones)}", flush=True)


def compose(estimates: Sequence[Estimate], edge_share: float, seed: int) -> set[str]:
    """The ids of a pool of `N_POOL` prompts, `edge_share` of them teachable, the others as they come."""
    edge = [e.prompt_id for e in estimates if e.zone == "teachable"]
    others = [e.prompt_id for e in estimates if e.zone != "teachable"]
    rng = random.Random(f"pool {seed}")
    rng.shuffle(edge)
    rng.shuffle(others)
    n_edge = round(edge_share * N_POOL)
    if n_edge > len(edge) or N_POOL - n_edge > len(others):
        raise SystemExit(f"base {seed} has {len(edge)} prompts at the edge and {len(others)} others: too few")
    return {*edge[:n_edge], *others[: N_POOL - n_edge]}


def train_and_score(job: Job) -> None:
    """Tune one model on one arm's examples and ask it the held-out questions."""
    import torch
    from transformers import AutoTokenizer
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
    how = settings()
    home = job.folder / f"base-{job.seed}"
    base = read_json(home / "done.json")["path"]
    estimates = read_records(home / "estimates.parquet", Estimate)
    ids = compose(estimates, job.edge_share, job.seed)
    prompts = [p for p in read_records(home / "prompts.parquet", Prompt) if p.id in ids]
    tokenizer = AutoTokenizer.from_pretrained(base)
    chosen = select(
        prompts,
        read_records(home / "solutions.parquet", Solution),
        [e for e in estimates if e.prompt_id in ids],
        [],
        SelectConfig(arms=(job.arm,), budget_tokens=job.budget, seeds=(job.seed,), max_epochs=10_000),  # type: ignore[arg-type]
        lambda messages: len(training_tokens(tokenizer, messages)[0]),
    )
    examples = chosen.sets[job.arm, job.seed]
    config: SftConfig = how["sft"]
    model = job.folder / "models" / job.record.stem
    result = sft(
        base, examples, config, seed=job.seed, out=model, n_steps=job.budget // config.tokens_per_step, device="cpu"
    )
    heldout = read_records(home / "heldout.parquet", Prompt)
    engine = TransformersEngine(model, dtype="float32")
    rows = asyncio.run(score_model(job.arm, job.arm, job.seed, heldout, engine=engine, config=how["evaluate"])).rows
    arm = chosen.stats["arms"][0]
    facts = {"n_tokens": result.n_tokens, "n_unique": arm["n_unique"], "n_epochs": arm["n_epochs"]}
    for file in model.iterdir():
        file.unlink()
    model.rmdir()
    write_json(job.record, {**{k: v for k, v in asdict(job).items() if k != "folder"}, **facts, "scores": rows})


def all_jobs(folder: Path) -> list[Job]:
    """Every model of the benchmark."""
    return [
        Job(folder, seed, share, arm, budget)
        for seed in SEEDS
        for share in EDGE_SHARES
        for arm in ARMS
        for budget in (*BUDGETS, *(RANDOM_ALSO if arm == "random" else ()))
    ]


def tokens_to_reach(curve: Mapping[int, float], target: float) -> float | None:
    """Where a curve of accuracy against tokens first reaches a target, straight lines on log tokens; None: never."""
    points = sorted(curve.items())
    if points[0][1] >= target:
        return float(points[0][0])
    for (t0, a0), (t1, a1) in itertools.pairwise(points):
        if a1 >= target:
            share = (target - a0) / (a1 - a0)
            return math.exp(math.log(t0) + share * (math.log(t1) - math.log(t0)))
    return None


def tabulate(folder: Path) -> dict[str, Any]:
    """All results side by side, printed and returned."""
    config: EvaluateConfig = settings()["evaluate"]
    base_rows = [row for seed in SEEDS for row in read_json(folder / f"base-{seed}" / "done.json")["scores"]]
    records = [read_json(job.record) for job in all_jobs(folder) if job.record.exists()]
    tables: list[dict[str, Any]] = []
    for share in EDGE_SHARES:
        print(f"\nedge {share:.0%} of the pool: pass@1 at temperature 1, percent [95% interval]; difference to random")
        curves: dict[str, dict[int, float]] = {arm: {} for arm in ARMS}
        for budget in (*BUDGETS, *RANDOM_ALSO):
            here = [r for r in records if r["edge_share"] == share and r["budget"] == budget]
            if not here:
                continue
            rows = base_rows + [row for r in here for row in r["scores"]]
            stats = summarise(rows, config, budget_tokens=budget)
            cells = []
            for arm in stats["arms"]:
                m = arm["metrics"]["pass@1"]
                curves.setdefault(arm["arm"], {})[budget] = m["mean"]
                text = f"{arm['arm']} {m['mean'] * 100:.1f} [{m['low'] * 100:.1f}, {m['high'] * 100:.1f}]"
                for c in stats["comparisons"]:
                    if (c["arm"], c["baseline"], c["metric"]) == (arm["arm"], "random", "pass@1"):
                        text += f" ({c['diff'] * 100:+.1f} [{c['low'] * 100:+.1f}, {c['high'] * 100:+.1f}])"
                cells.append(text)
            print(f"{budget:>8,} tokens: " + "; ".join(cells))
            epochs = {
                arm: round(sum(r["n_epochs"] for r in here if r["arm"] == arm) / len(SEEDS), 1)
                for arm in ARMS
                if any(r["arm"] == arm for r in here)
            }
            slim = {"arms": stats["arms"], "comparisons": stats["comparisons"], "epochs": epochs}
            tables.append({"edge_share": share, "budget": budget, **slim})
        for budget in BUDGETS:
            if budget not in curves["teachable"]:
                continue
            reached = tokens_to_reach(curves["random"], curves["teachable"][budget])
            most = max(curves["random"])
            text = f"more than {most / budget:.1f}x" if reached is None else f"{reached / budget:.2f}x"
            print(f"  what teachable reached with {budget:,} tokens, random reached with {text} as many")
            tables.append({"edge_share": share, "teachable_tokens": budget, "random_tokens": reached})
    return {"tables": tables}


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only-table", action="store_true", help="print what is there already")
    given = parser.parse_args()
    folder: Path = given.out.resolve()
    if not given.only_table:
        side_by_side(prepare, [(folder, seed) for seed in SEEDS], given.workers, lambda job, done: None)
        jobs = [job for job in all_jobs(folder) if not job.record.exists()]
        started = time.monotonic()
        n_done = 0

        def done(job: Job, nothing: None) -> None:
            nonlocal n_done
            n_done += 1
            print(f"{n_done}/{len(jobs)} {job.record.stem} {time.monotonic() - started:.0f} s", flush=True)

        side_by_side(train_and_score, jobs, given.workers, done)
    result = tabulate(folder)
    (folder / "data_first.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
