"""Do pivotal pairs teach more than ordinary ones? DPO on both, with as many pairs and as many completions to find them.

    python benchmarks/pivot_dpo.py --out FOLDER [--workers 1] [--json FILE]

The base is the quickstart's. Its questions are cut in three before anything is looked at: prompts to find pairs with
(`N_PROMPTS` a seed, no two seeds share one), questions to choose settings on, and held-out questions, which come from
the side of the content space that nothing is ever trained on. Which families and levels are asked is decided by pass
rates of further prompts (`SCOUTED` a level), never by a held-out question.

A seed is a draw of prompts, of completions and an order of training. In each:

- `pivotal`: a search for pivotal tokens on the seed's prompts, with the defaults of `teachable pivot`. It gives the
  number of pairs and the budget: every completion that was asked for counts, the gate's and the fruitless ones too.
- `ordinary`: the same prompts are asked the same number of completions, in equal shares. A pair is a whole right
  answer against a whole wrong one to the same prompt, of prompts within the same bounds of the pass rate; as many
  pairs as `pivotal` has, over as many prompts as possible.
- `ordinary, all`: the pairs that this budget affords, every completion used at most once; each pair trained on once.

The first two have the same base, prompts, completions, pairs, optimiser steps and order of training, and the same
sweep of learning rate and beta, on a seed of its own and judged on the validation questions; `ordinary, all` has the
settings of `ordinary`. What differs, besides the pairs: a pivotal pair has one token of loss a side, a whole one all
tokens of an answer; and a completion of the search goes on from a prefix, so it is shorter: in tokens, `ordinary` was
given more.

Every held-out question is answered `N_SAMPLES` times at temperature 1 and once greedily, intervals are over questions
and seeds, and differences are paired by both. What is finished is kept in FOLDER, and a second run goes on from there.
The last run is in `RESULTS.md` beside this file. What it does not show: other bases. All seeds share one, so the
intervals hold for the method on this base.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teachable.engines.local import TransformersEngine
from teachable.evaluate import EvaluateConfig, score_model
from teachable.evaluate.tables import value
from teachable.pivot import PivotConfig, search
from teachable.pivot.preferences import preferences
from teachable.recipe.config import Resources
from teachable.recipe.workers import side_by_side
from teachable.records import Attempt, Prompt
from teachable.rollouts import Ask, Sampling, answer
from teachable.stats import Interval, mean_interval, paired_difference, power_note, smallest_detectable
from teachable.store.files import read_json, read_records, read_rows, write_json, write_records, write_rows
from teachable.tasks.build import build_tasks
from teachable.tasks.config import TasksConfig
from teachable.train.config import DpoConfig, PretrainConfig
from teachable.train.dpo import dpo
from teachable.train.preferences import preferences_from
from teachable.train.pretrain import pretrain

SEEDS = (1, 2, 3, 4, 5)
SWEEP_SEED = 0
LEARNING_RATES = (1e-4, 3e-4, 1e-3)
BETAS = (0.1, 0.5)
QUESTIONS_SEED = 2024
SCOUTED, SCOUT_SAMPLES = 40, 16  # questions a level, and samples of each
LEAST_INSIDE, LEAST_QUESTIONS = 0.3, 100  # share of a level's prompts within the bounds, and how many it must have
N_PROMPTS, N_VALIDATION = 150, 400
N_SAMPLES = 8
ROUNDS, PAIRS_PER_STEP = 4, 8
PIVOT = PivotConfig(max_tokens=128)
EVALUATE = EvaluateConfig(n_samples=N_SAMPLES, max_tokens=128)
PIVOTAL, ORDINARY, ALL, BASE = "pivotal", "ordinary", "ordinary, all", "base"
COMPARED = ((PIVOTAL, ORDINARY), (PIVOTAL, BASE), (ORDINARY, BASE), (PIVOTAL, ALL), (ALL, BASE))
METRICS = ("pass@1", "greedy")


@dataclass(frozen=True)
class Job:
    """One model to tune, and to ask the questions of one split."""

    folder: Path
    split: str
    arm: str
    seed: int
    learning_rate: float = 0.0
    beta: float = 0.0

    @property
    def name(self) -> str:
        """Of its model and its record."""
        if self.arm == BASE:
            return f"{self.split}-base"
        arm = self.arm.replace(", ", "-")
        return f"{self.split}-{arm}-{self.seed}-{self.learning_rate:g}-{self.beta:g}"

    @property
    def record(self) -> Path:
        """Where its result goes."""
        return self.folder / "results" / f"{self.name}.json"


def base_path() -> Path:
    """The quickstart's base, from the cache or pretrained now."""
    return pretrain(PretrainConfig(), Resources().cache_path()).path


def engine_of(model: Path) -> TransformersEngine:
    """The model, ready to be sampled from."""
    return TransformersEngine(model, dtype="float32", device="cpu", batch_rows=384)


def sample(prompts: Sequence[Prompt], counts: Sequence[int], engine: Any, seed: int) -> dict[str, list[Attempt]]:
    """Verified attempts by prompt id, `counts` of each prompt."""
    found: dict[str, list[Attempt]] = {}
    asks = [Ask(prompt, n) for prompt, n in zip(prompts, counts, strict=True) if n]

    def keep(place: int, attempts: list[Attempt]) -> None:
        found[asks[place].prompt.id] = attempts

    how = Sampling(PIVOT.max_tokens, PIVOT.temperature)
    asyncio.run(answer(asks, engine=engine, sampling=how, seed=seed, on_answer=keep))
    return {prompt.id: found.get(prompt.id, []) for prompt in prompts}


def pass_rate(attempts: Sequence[Attempt]) -> float:
    """Share of right answers among those that a verifier could tell; 0 where there are none."""
    decided = [one.correct for one in attempts if one.correct is not None]
    return sum(decided) / len(decided) if decided else 0.0


def inside(attempts: Sequence[Attempt]) -> bool:
    """Whether the pass rate is one that is searched."""
    return PIVOT.low <= pass_rate(attempts) <= PIVOT.high


# ---- questions ----


def prepare_questions(folder: Path) -> None:
    """Draw questions, choose levels by the pass rates of some of the pool, and deal the others out to the splits."""
    if (folder / "questions.json").exists():
        return
    tasks = asyncio.run(build_tasks(TasksConfig(n_pool=10_000, n_heldout=2_500), seed=QUESTIONS_SEED))
    by_level: defaultdict[tuple[str, int], list[Prompt]] = defaultdict(list)
    for prompt in tasks.pool:
        by_level[prompt.domain, prompt.level].append(prompt)
    scouts = [prompt for level in by_level.values() for prompt in level[:SCOUTED]]
    found = sample(scouts, [SCOUT_SAMPLES] * len(scouts), engine_of(base_path()), QUESTIONS_SEED)
    levels, chosen = [], set()
    for (domain, level), prompts in sorted(by_level.items()):
        asked = [found[prompt.id] for prompt in prompts[:SCOUTED]]
        share = sum(map(inside, asked)) / len(asked)
        rate = sum(map(pass_rate, asked)) / len(asked)
        used = share >= LEAST_INSIDE and len(prompts) >= LEAST_QUESTIONS
        levels.append([domain, level, len(prompts), round(rate, 3), round(share, 3), used])
        chosen |= {(domain, level)} if used else set()
    pool = [prompt for key in sorted(chosen) for prompt in by_level[key][SCOUTED:]]
    random.Random(f"deal {QUESTIONS_SEED}").shuffle(pool)
    needed = N_VALIDATION + N_PROMPTS * (1 + len(SEEDS))
    if len(pool) < needed:
        raise SystemExit(f"{needed} questions are needed and there are {len(pool)}")
    write_records(folder / "validation.parquet", pool[:N_VALIDATION])
    for place, seed in enumerate((SWEEP_SEED, *SEEDS)):
        start = N_VALIDATION + place * N_PROMPTS
        write_records(folder / f"prompts-{seed}.parquet", pool[start : start + N_PROMPTS])
    heldout = [prompt for prompt in tasks.heldout if (prompt.domain, prompt.level) in chosen]
    write_records(folder / "heldout.parquet", heldout)
    columns = ("domain", "level", "n_questions", "pass_rate", "frac_inside", "used")
    rows = [dict(zip(columns, row, strict=True)) for row in levels]
    write_json(folder / "questions.json", {"levels": rows, "n_heldout": len(heldout), "n_validation": N_VALIDATION})
    print("levels used:", ", ".join(f"{domain} {level}" for domain, level in sorted(chosen)), flush=True)


# ---- pairs ----


def find_pairs(job: tuple[Path, int]) -> None:
    """Both arms' pairs of a seed: the search says how many pairs and completions there are."""
    folder, seed = job
    home = folder / f"pairs-{seed}"
    if (home / "budget.json").exists():
        return
    one_thread()
    prompts = read_records(folder / f"prompts-{seed}.parquet", Prompt)
    engine = engine_of(base_path())
    started = time.monotonic()
    result = asyncio.run(search(prompts, engine=engine, config=PIVOT, seed=seed))
    seconds = time.monotonic() - started
    made = preferences(result.pivots, result.solutions, decode=engine.decode, config=PIVOT)
    pivotal = [dict(pair) for pair in made.pairs]
    each, rest = divmod(result.completions, len(prompts))
    found = sample(prompts, [each + (place < rest) for place in range(len(prompts))], engine, seed)
    whole = list(whole_pairs(prompts, found, engine, seed))
    n = min(len(pivotal), len(whole))
    random.Random(f"pairs {seed}").shuffle(pivotal)
    for arm, rows in ((PIVOTAL, pivotal[:n]), (ORDINARY, whole[:n]), (ALL, whole)):
        write_rows(home / f"{arm.replace(', ', '-')}.parquet", rows)
    attempts = [attempt for some in found.values() for attempt in some]
    budget = {
        "seed": seed,
        "n_pairs": n,
        "n_pivots": len(result.pivots),
        "n_pivotal_pairs": len(pivotal),
        "pairs_left_out": dict(made.left_out),
        "n_all_pairs": len(whole),
        "n_prompts": {
            PIVOTAL: len({row["prompt_id"] for row in pivotal[:n]}),
            ORDINARY: len({row["prompt_id"] for row in whole[:n]}),
            ALL: len({row["prompt_id"] for row in whole}),
        },
        "gates": dict(Counter(gate.outcome for gate in result.gates)),
        "completions": {PIVOTAL: result.completions, ORDINARY: len(attempts)},
        "tokens": {PIVOTAL: result.tokens, ORDINARY: sum(attempt.n_tokens for attempt in attempts)},
        "first_position": sum(row["position"] == 0 for row in pivotal[:n]) / max(1, n),
        "search_seconds": round(seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(home / "budget.json", budget)
    print(f"seed {seed}: {budget}", flush=True)


def whole_pairs(
    prompts: Sequence[Prompt], found: Mapping[str, Sequence[Attempt]], engine: Any, seed: int
) -> Iterator[dict[str, Any]]:
    """Pairs of a right answer and a wrong one: one of each prompt, then a second one of each that has it, and so on.

    An answer is in one pair at most, and a pair that is word for word an earlier one of its prompt is passed over.
    """
    rng = random.Random(f"whole {seed}")
    queues: list[list[dict[str, Any]]] = []
    for prompt in prompts:
        if not inside(found[prompt.id]):
            continue
        right = [attempt.token_ids for attempt in found[prompt.id] if attempt.correct is True]
        wrong = [attempt.token_ids for attempt in found[prompt.id] if attempt.correct is False]
        rng.shuffle(right)
        rng.shuffle(wrong)
        ids = engine.encode(list(prompt.messages))
        pairs = dict.fromkeys(zip(right, wrong, strict=False))
        queues.append([_row(prompt.id, ids, good, bad, engine) for good, bad in pairs])
    rng.shuffle(queues)
    for round_ in itertools.zip_longest(*queues):
        yield from (row for row in round_ if row is not None)


def _row(prompt_id: str, ids: list[int], good: Sequence[int], bad: Sequence[int], engine: Any) -> dict[str, Any]:
    return {
        "prompt": engine.decode(ids),
        "chosen": engine.decode(list(good)),
        "rejected": engine.decode(list(bad)),
        "prompt_token_ids": ids,
        "chosen_token_ids": list(good),
        "rejected_token_ids": list(bad),
        "prompt_id": prompt_id,
        "kind": "whole",
    }


# ---- models ----


def one_thread() -> None:
    """Small models run on one thread, and without a progress bar a model."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()


def tune_and_score(job: Job) -> None:
    """Tune one model on one arm's pairs and ask it the split's questions; what is there already is kept."""
    if job.record.exists():
        return
    one_thread()
    facts: dict[str, Any] = {}
    model = base_path()
    if job.arm != BASE:
        rows = read_rows(job.folder / f"pairs-{job.seed}" / f"{job.arm.replace(', ', '-')}.parquet")
        config = DpoConfig(
            learning_rate=job.learning_rate,
            beta=job.beta,
            n_epochs=1 if job.arm == ALL else ROUNDS,
            pairs_per_step=PAIRS_PER_STEP,
        )
        out = job.folder / "models" / job.name
        result = dpo(model, preferences_from(rows), config, seed=job.seed, out=out, device="cpu")
        model = result.path
        last = result.curve[-1]
        facts = {
            "n_pairs": result.n_pairs,
            "n_steps": result.n_steps,
            "n_response_tokens": result.n_response_tokens,
            "reward_accuracy": last.reward_accuracy,
            "reward_margin": last.reward_margin,
            "seconds": round(result.seconds, 1),
        }
    questions = read_records(job.folder / f"{job.split}.parquet", Prompt)
    asked = score_model(job.name, job.arm, job.seed, questions, engine=engine_of(model), config=EVALUATE)
    scores = asyncio.run(asked).rows
    write_json(job.record, {**{k: v for k, v in asdict(job).items() if k != "folder"}, **facts, "scores": scores})


def sweep_jobs(folder: Path) -> list[Job]:
    """The same trials for both arms, and the base."""
    grid = itertools.product((PIVOTAL, ORDINARY), LEARNING_RATES, BETAS)
    return [Job(folder, "validation", BASE, 0), *(Job(folder, "validation", a, SWEEP_SEED, r, b) for a, r, b in grid)]


def final_jobs(folder: Path) -> list[Job]:
    """The models of all seeds, with the settings that the sweep found."""
    chosen = choose(folder)
    arms = ((PIVOTAL, PIVOTAL), (ORDINARY, ORDINARY), (ALL, ORDINARY))
    jobs = [Job(folder, "heldout", arm, seed, *chosen[like]) for seed in SEEDS for arm, like in arms]
    return [Job(folder, "heldout", BASE, 0), *jobs]


def choose(folder: Path) -> dict[str, tuple[float, float]]:
    """Learning rate and beta of each arm: the best pass@1 on the validation questions."""
    best: dict[str, tuple[float, Job]] = {}
    for job in sweep_jobs(folder):
        mean = float(np.nanmean(table([job], "pass@1")))
        if job.arm not in best or mean > best[job.arm][0]:
            best[job.arm] = (mean, job)
    return {arm: (job.learning_rate, job.beta) for arm, (_, job) in best.items() if arm != BASE}


# ---- results ----


def table(jobs: Sequence[Job], metric: str) -> NDArray[np.float64]:
    """Scores [questions, models] of records on the same questions."""
    columns = [{row["prompt_id"]: value(row, metric) for row in read_json(job.record)["scores"]} for job in jobs]
    return np.array([[column[question] for column in columns] for question in sorted(columns[0])])


def percent(found: Interval, *, signed: bool = False) -> str:
    """A mean and its interval in percent (or points)."""
    sign = "+" if signed else ""
    return f"{100 * found.mean:{sign}.1f} [{100 * found.low:{sign}.1f}, {100 * found.high:{sign}.1f}]"


def means_of(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What an arm's models were trained on, and how long their answers are in tokens (the greedy ones included)."""
    of_training = ("n_pairs", "n_steps", "n_response_tokens")
    means = {name: float(np.mean([record[name] for record in records])) for name in of_training if name in records[0]}
    n_answers = EVALUATE.n_samples + EVALUATE.greedy
    lengths = [row["n_tokens"] / n_answers for record in records for row in record["scores"]]
    return {**means, "tokens_an_answer": round(float(np.mean(lengths)), 1)}


def _found(found: Interval) -> dict[str, float]:
    return {name: round(number, 5) for name, number in asdict(found).items()}


def tabulate(folder: Path) -> dict[str, Any]:
    """Everything side by side, printed and returned."""
    sweep, chosen = [], choose(folder)
    print("\nsweep on the validation questions, pass@1 and greedy in percent (learning rate, beta)")
    for job in sweep_jobs(folder):
        means = {metric: round(float(np.nanmean(table([job], metric))), 4) for metric in METRICS}
        settings = (job.learning_rate, job.beta)
        mark = "  <- chosen" if chosen.get(job.arm) == settings else ""
        figures = "  ".join(f"{100 * mean:.1f}" for mean in means.values())
        print(f"  {job.arm:<9} {settings[0]:g} {settings[1]:g}: {figures}{mark}")
        sweep.append({"arm": job.arm, "learning_rate": settings[0], "beta": settings[1], **means})
    jobs = final_jobs(folder)
    of_arm = {arm: [job for job in jobs if job.arm == arm] for arm in (BASE, ORDINARY, PIVOTAL, ALL)}
    records = [read_json(job.record) for job in jobs]
    facts = [{k: v for k, v in record.items() if k != "scores"} for record in records]
    budgets = [read_json(folder / f"pairs-{seed}" / "budget.json") for seed in (SWEEP_SEED, *SEEDS)]
    arms: dict[str, Any] = {arm: means_of([r for r in records if r["arm"] == arm]) for arm in of_arm}
    print("\nmeans over seeds")
    for arm, means in arms.items():
        print(f"  {arm:<14}", ", ".join(f"{name} {mean:g}" for name, mean in means.items()))
    compared: list[dict[str, Any]] = []
    for metric in METRICS:
        tables = {arm: table(some, metric) for arm, some in of_arm.items()}
        print(f"\n{metric} on {len(tables[BASE])} held-out questions, percent [95% interval]")
        for arm, scores in tables.items():
            found = mean_interval(scores)
            by_seed = [round(float(mean), 4) for mean in np.nanmean(scores, axis=0)]
            print(f"  {arm:<14} {percent(found)}  by seed {', '.join(f'{100 * mean:.1f}' for mean in by_seed)}")
            arms[arm][metric] = {**_found(found), "by_seed": by_seed}
        for first, second in COMPARED:
            found = paired_difference(tables[first], tables[second])
            print(f"  {first} - {second}: {percent(found, signed=True)}. {power_note(found.se, found.df)}")
            least = round(smallest_detectable(found.se, found.df), 5)
            compared.append({"metric": metric, "arm": first, "baseline": second, **_found(found), "detectable": least})
    return {
        "questions": read_json(folder / "questions.json"),
        "budgets": budgets,
        "sweep": sweep,
        "chosen": chosen,
        "arms": arms,
        "comparisons": compared,
        "models": facts,
    }


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder: Path = given.out.resolve()
    started = time.monotonic()

    def done(job: Any, nothing: None) -> None:
        name = job.name if isinstance(job, Job) else f"pairs of seed {job[1]}"
        print(f"{time.monotonic() - started:.0f} s: {name}", flush=True)

    one_thread()
    prepare_questions(folder)
    side_by_side(find_pairs, [(folder, seed) for seed in (SWEEP_SEED, *SEEDS)], given.workers, done)
    for make in (sweep_jobs, final_jobs):
        side_by_side(tune_and_score, make(folder), given.workers, done)
    result = {**tabulate(folder), "processor_seconds": round(time.process_time())}
    if given.json:
        write_json(given.json, result)


if __name__ == "__main__":
    main()
