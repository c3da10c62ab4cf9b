"""Intervals of the evaluation against planted truth: do 95% intervals cover 95% of the time, and do tests stay honest?

    .venv/bin/python benchmarks/eval_intervals.py [--rounds 4000] [--json FILE]

Pass rates are drawn from known mixtures, answers from the pass rates, and every simulated evaluation goes through
the project's own `mean_interval` and `paired_difference` with the defaults that `summarise` gives them (the "t"
intervals); that `summarise` itself states the same figures from score rows is checked first.

What an interval claims: it is for the mean over the *population* that the questions were drawn from (and, with
several trained models an arm, over the population of trainings), not for the fixed set of questions. Tables of one
model give the coverage of the fixed set beside it: it is higher, since the draw of the questions then adds nothing.

Worlds are mixtures of logit-normal pass rates, so that every true mean is an integral in one dimension: a trained
model's logit is the question's, plus a shift of the model, plus a deviation of this model on this question.

Paired tests compare two models, sampled independently, whose true means are equal in four ways:

- identical: the same pass rate on every question.
- scattered: each model deviates from the question's logit by a normal error of its own.
- lopsided: one model is far better on 5% of the questions, and a little worse on the others.
- seeds: three trained models against three others, or against one base model, equal over all trainings.

`moved` plants a true difference, for coverage. `power` plants the one that the power note names, which is to be found
80% of the time. Two tests stand beside the paired t test: McNemar's exact test and its mid-p version on the tables with
one sample (which are what greedy answers and majority votes give), and `paired_difference` with the bootstrap, on
fewer rounds since each resamples its table 1,000 times (60,000 questions in all a cell).

The methods were chosen on other worlds than these (mixtures of beta-distributed and constant pass rates); nothing in
them is fitted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teachable.evaluate import EvaluateConfig, summarise
from teachable.stats import Interval, mcnemar_exact, mean_interval, paired_difference, smallest_detectable

Floats = NDArray[np.float64]
Measure = Callable[..., dict[str, Any]]

N_QUESTIONS, N_SAMPLES = (50, 200, 1000), (1, 4, 16)
GOAL = (0.93, 0.97)  # of coverage; so false positives from 3% to 7%
ALPHA, POWER = 0.05, 0.8
SCATTER = 1.0  # a model's deviation from a question's logit, standard deviation
MODEL_SHIFT = 0.2  # a trained model's shift on all questions, in logits, standard deviation
NULLS = ("identical", "scattered", "lopsided", "seeds, 3 with 3", "seeds, 3 with 1")  # pairs of equal means
GAIN, SHARE_GAINED = 3.0, 0.05  # of the lopsided pair
TESTS = ("mcnemar", "mcnemar_mid_p", "bootstrap")  # tests beside the paired t test
N_BOOTSTRAP = 1000  # draws
BLOCK = 2_000_000  # scores drawn at a time
JOBS = 1  # processes; the results are the same with any number, since every cell has its own random numbers
_Z = np.linspace(-9.0, 9.0, 2001)
_WEIGHT = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


# ---- what is planted ----


@dataclass(frozen=True)
class World:
    """A population of questions: parts of (share, centre, spread) of the logit of the pass rate."""

    name: str
    what: str
    parts: tuple[tuple[float, float, float], ...]

    def mean(self, shift: float = 0.0, spread: float = 0.0) -> float:
        """The true mean pass rate, logits moved by `shift` and by a normal error of `spread`."""
        return sum(
            share * float(_WEIGHT @ expit(centre + shift + math.hypot(own, spread) * _Z))
            for share, centre, own in self.parts
        )

    def logits(self, generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Logits of questions drawn from the population."""
        share, centre, own = np.array(self.parts).T
        part = np.searchsorted(np.cumsum(share)[:-1], generator.random(shape), side="right")
        return np.asarray(centre[part] + own[part] * generator.standard_normal(shape))


WORLDS = (
    World("two ends", "45% near 0, 30% between, 25% near 1", ((0.45, -4.5, 1.2), (0.3, 0.0, 1.0), (0.25, 4.5, 1.2))),
    World("broad", "one broad hump", ((1.0, 0.0, 2.0),)),
    World("easy", "85% near 1, 15% between", ((0.85, 4.5, 1.2), (0.15, 0.5, 1.0))),
    World("hard", "92% near 0, 8% somewhat above", ((0.92, -7.0, 1.0), (0.08, -1.5, 1.2))),
    World("even", "every pass rate 0.5", ((1.0, 0.0, 0.0),)),
)


def expit(logits: Floats) -> Floats:
    """Pass rates of logits."""
    return 1.0 / (1.0 + np.exp(-logits))


def solve(mean_at: Callable[[float], float], target: float) -> float:
    """The shift at which a rising function takes this value, by bisection within 30 logits."""
    low, high = -30.0, 30.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_at(middle) < target else (low, middle)
    return (low + high) / 2


@dataclass(frozen=True)
class Cell:
    """One simulated evaluation's shape; `kind` is how the second model differs, "" where there is none."""

    world: World
    n_questions: int
    n_samples: int
    n_models: int = 1
    shift: float = MODEL_SHIFT
    kind: str = ""
    delta: float = 0.0  # true difference, second minus first model, where the kind plants one

    def generator(self, seed: int) -> np.random.Generator:
        """Its own random numbers: a cell's figures do not depend on which others were run."""
        name = f"{self.world.name} {self.n_questions} {self.n_samples} {self.n_models} {self.shift} {self.kind}"
        return np.random.default_rng([seed, zlib.crc32(name.encode())])

    @property
    def truth(self) -> float:
        """What the interval is to cover: a mean, or a difference, first minus second."""
        if self.kind:
            return 0.0 - self.delta
        return self.world.mean(0.0, 0.0 if self.n_models == 1 else math.hypot(SCATTER, self.shift))


def rates_of(cell: Cell, generator: np.random.Generator, rounds: int) -> tuple[Floats, ...]:
    """Pass rates of one arm, or of two: [rounds, questions, models] each."""
    world = cell.world
    x = world.logits(generator, (rounds, cell.n_questions, 1))
    own = math.hypot(SCATTER, cell.shift)

    def trained(n_models: int, offset: float = 0.0) -> Floats:
        shifts = cell.shift * generator.standard_normal((rounds, 1, n_models))
        return expit(x + offset + shifts + SCATTER * generator.standard_normal((*x.shape[:2], n_models)))

    def scattered(offset: float = 0.0) -> Floats:
        return expit(x + offset + SCATTER * generator.standard_normal(x.shape))

    if cell.kind == "":
        return (expit(x),) if cell.n_models == 1 else (trained(cell.n_models),)
    if cell.kind == "identical":
        return expit(x), expit(x)
    if cell.kind in ("scattered", "moved", "power"):
        base = world.mean(0.0, SCATTER)
        offset = solve(lambda d: world.mean(d, SCATTER), base + cell.delta) if cell.delta else 0.0
        return scattered(), scattered(offset)
    if cell.kind == "lopsided":
        gained = world.mean(GAIN)
        offset = solve(lambda d: SHARE_GAINED * gained + (1 - SHARE_GAINED) * world.mean(d), world.mean())
        return expit(x), expit(x + np.where(generator.random(x.shape) < SHARE_GAINED, GAIN, offset))
    if cell.kind == "seeds, 3 with 3":
        return trained(3), trained(3)
    if cell.kind == "seeds, 3 with 1":
        return trained(3, solve(lambda d: world.mean(d, own), world.mean())), expit(x)
    raise ValueError(f"there is no kind of pair called {cell.kind}")


def evaluations(cell: Cell, rounds: int, seed: int) -> Iterator[tuple[tuple[Floats, ...], float]]:
    """Simulated evaluations: scores [questions, models] of each arm, and the first arm's mean on these questions."""
    generator = cell.generator(seed)
    at_once = max(1, BLOCK // (cell.n_questions * 3))
    for start in range(0, rounds, at_once):
        rates = rates_of(cell, generator, min(at_once, rounds - start))
        scores = [generator.binomial(cell.n_samples, rate) / cell.n_samples for rate in rates]
        for i, fixed in enumerate(rates[0].mean(axis=(1, 2))):
            yield tuple(score[i] for score in scores), float(fixed)


# ---- what is measured ----


def interval_of(scores: Sequence[Floats]) -> Interval:
    """The project's interval of one arm's mean, or of two arms' difference, with its defaults."""
    return mean_interval(scores[0]) if len(scores) == 1 else paired_difference(scores[0], scores[1])


def try_cell(cell: Cell, rounds: int, seed: int) -> dict[str, Any]:
    """Coverage, on which side the misses lie, width, and rejections."""
    truth = cell.truth
    kept: list[tuple[float, ...]] = []
    for scores, fixed in evaluations(cell, rounds, seed):
        found = interval_of(scores)
        kept.append((found.low, found.high, fixed, found.p_value, found.se, found.df))
    low, high, fixed_R, p_value, se, df = np.array(kept).T
    covered = (low <= truth) & (truth <= high)
    record: dict[str, Any] = {
        "world": cell.world.name,
        "n_questions": cell.n_questions,
        "n_samples": cell.n_samples,
        "n_models": cell.n_models,
        "kind": cell.kind,
        "truth": truth,
        "rounds": rounds,
        "coverage": float(covered.mean()),
        "coverage_se": error_of(float(covered.mean()), rounds),
        "too_high": float((truth < low).mean()),
        "too_low": float((truth > high).mean()),
        "width": float((high - low).mean()),
        "no_width": float((high == low).mean()),
    }
    if cell.kind:
        record["rejected"] = float((p_value < ALPHA).mean())
        record["rejected_se"] = error_of(record["rejected"], rounds)
        record["note"] = float(np.median([smallest_detectable(*pair) for pair in zip(se[:500], df[:500], strict=True)]))
    else:
        record["shift"] = cell.shift if cell.n_models > 1 else 0.0
        if cell.n_models == 1:
            record["fixed_coverage"] = float(((low <= fixed_R) & (fixed_R <= high)).mean())
    return record


def try_tests(cell: Cell, rounds: int, seed: int) -> dict[str, Any]:
    """How often each of `TESTS` rejects; fewer rounds for the bootstrap, the fewer the more questions."""
    n_bootstrap_rounds = min(rounds, 60_000 // cell.n_questions)
    rejected: dict[str, list[bool]] = {name: [] for name in TESTS}
    for i, ((first, second), _) in enumerate(evaluations(cell, rounds, seed)):
        rejected["mcnemar"].append(mcnemar_exact(first, second) < ALPHA)
        rejected["mcnemar_mid_p"].append(mcnemar_exact(first, second, mid_p=True) < ALPHA)
        if i < n_bootstrap_rounds:
            found = paired_difference(first, second, method="bootstrap", n_bootstrap=N_BOOTSTRAP, seed=i)
            rejected["bootstrap"].append(found.p_value < ALPHA)
    record: dict[str, Any] = {"world": cell.world.name, "n_questions": cell.n_questions, "kind": cell.kind}
    for name, found_R in rejected.items():
        record[name] = float(np.mean(found_R))
        record[f"{name}_se"] = error_of(record[name], len(found_R))
    return record


def error_of(share: float, rounds: int) -> float:
    """Monte Carlo standard error of a share, from (share R + 1) / (R + 2) so that it is never 0."""
    inside = (share * rounds + 1) / (rounds + 2)
    return math.sqrt(inside * (1 - inside) / rounds)


def detectable(cell: Cell, seed: int, pilot: int = 200) -> Cell:
    """The cell with the true difference at which the power note names that very difference, downward if it is easy."""
    sign = -1.0 if cell.world.mean(0.0, SCATTER) > 0.5 else 1.0
    delta = 0.05
    for step in range(6):
        tried = Cell(cell.world, cell.n_questions, cell.n_samples, kind="power", delta=sign * delta)
        errors = [interval_of(scores).se for scores, _ in evaluations(tried, pilot, seed + 1 + step)]
        delta = min(0.4, smallest_detectable(math.sqrt(float(np.square(errors).mean())), cell.n_questions - 1.0))
    return Cell(cell.world, cell.n_questions, cell.n_samples, kind="power", delta=sign * delta)


def try_power(cell: Cell, rounds: int, seed: int) -> dict[str, Any]:
    """`try_cell` where the difference is planted that the power note names."""
    planted = detectable(cell, seed)
    return {**try_cell(planted, rounds, seed), "delta": abs(planted.delta)}


def room_difference(seed: int) -> float:
    """The largest difference between `summarise`'s figures from score rows and the intervals of the tables."""
    worst = 0.0
    cell = Cell(WORLDS[0], 50, 4, n_models=3, kind="seeds, 3 with 3")
    for tables, _ in evaluations(cell, 5, seed):
        rows = [
            {"arm": arm, "seed": s, "task": "heldout", "prompt_id": f"{q:04}", "domain": "planted", "level": 1, "n": 4,
             "n_undecided": 0, "n_correct": round(4 * table[q, s]), "greedy": None, "majority": None, "score": None,
             "n_tokens": 1, "n_prompt_tokens": 1, "cost_usd": 0.0}
            for arm, table in zip(("teachable", "random"), tables, strict=True)
            for q in range(50) for s in range(3)
        ]  # fmt: skip
        stated = summarise(rows, EvaluateConfig(greedy=False))
        difference = next(c for c in stated["comparisons"] if c["metric"] == "pass@1")
        pairs = [(difference, interval_of(tables))]
        means = {arm["arm"]: arm["metrics"]["pass@1"] for arm in stated["arms"]}
        pairs += [(means["teachable"], mean_interval(tables[0])), (means["random"], mean_interval(tables[1]))]
        worst = max(worst, *(abs(one[end] - getattr(found, end)) for one, found in pairs for end in ("low", "high")))
    return worst


# ---- tables ----


def outside(record: dict[str, Any], key: str = "coverage") -> bool:
    """Is the coverage outside the goal, or the share of false positives outside its mirror image?"""
    share = record[key] if key == "coverage" else 1.0 - record[key]
    return key in ("coverage", "rejected", *TESTS) and not GOAL[0] <= share <= GOAL[1]


def percent(share: float, bold: bool = False) -> str:
    """A share in percent, bold where it is to be noticed."""
    return f"**{100 * share:.1f}**" if bold else f"{100 * share:.1f}"


def coverage_table(records: Sequence[dict[str, Any]], keys: Sequence[str], title: str) -> None:
    """Worlds and numbers of questions down, samples across; coverage outside the goal is bold."""
    print(f"\n{title}\n")
    sizes = sorted({record["n_samples"] for record in records})
    print("| world | questions | " + " | ".join(f"{key}, {k} samples" for key in keys for k in sizes) + " |")
    print("| --- " * (2 + len(keys) * len(sizes)) + "|")
    at = {(r["world"], r["n_questions"], r["n_samples"]): r for r in records}
    for world, n in dict.fromkeys((r["world"], r["n_questions"]) for r in records):
        row = [at[world, n, k] for k in sizes]
        cells = [percent(record[key], outside(record, key)) for key in keys for record in row]
        print(f"| {world} | {n} | " + " | ".join(cells) + " |", flush=True)


def measure(cells: Sequence[Cell], rounds: int, seed: int, what: Measure | None = None) -> list[dict[str, Any]]:
    """`try_cell` (or another measurement) on every cell, on several processors where `JOBS` says so."""
    task = partial(what or try_cell, rounds=rounds, seed=seed)
    if JOBS == 1:
        return [task(cell) for cell in cells]
    with ProcessPoolExecutor(JOBS) as pool:
        return list(pool.map(task, cells))


def grid(kind: str = "", n_models: int = 1, delta: float = 0.0) -> list[Cell]:
    """All worlds, numbers of questions and numbers of samples; a planted difference goes towards 0.5."""
    return [
        Cell(w, n, k, n_models, kind=kind, delta=math.copysign(delta, 0.5 - w.mean()) if delta else 0.0)
        for w in WORLDS for n in N_QUESTIONS for k in N_SAMPLES
    ]  # fmt: skip


def verdict_on(records: Sequence[dict[str, Any]], key: str) -> list[str]:
    """Every cell that is outside the goal, in words."""
    lines = []
    for r in records:
        share = r[key] if key == "coverage" else 1.0 - r[key]
        unclear = min(abs(share - end) for end in GOAL) <= 2 * r[f"{key}_se"]
        name = "one model" if r["n_models"] == 1 else f"{r['n_models']} trained models (shift {r.get('shift')})"
        if outside(r, key):
            lines.append(
                f"{r['kind'] or name}, {r['world']}, {r['n_questions']} questions, "
                f"{r['n_samples']} samples: {percent(r[key])} +- {percent(r[f'{key}_se'])}"
                + (" (within 2 errors of the goal)" if unclear else "")
            )
    return lines


def rounded(value: Any) -> Any:
    """The same with numbers of five significant digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def run(rounds: int, seed: int) -> dict[str, Any]:
    """All tables; prints them as they come."""
    same = room_difference(seed)
    print(f"`summarise` and the tables' intervals differ by at most {same:.1e}.")
    for world in WORLDS:
        print(f"World {world.name}: {world.what}; true mean {world.mean():.4f}.")
    found: dict[str, Any] = {"rounds": rounds, "seed": seed, "room_difference": same}
    found["worlds"] = {world.name: {"what": world.what, "mean": world.mean()} for world in WORLDS}

    found["one_model"] = measure(grid(), rounds, seed)
    coverage_table(found["one_model"], ("coverage", "fixed_coverage"), "One model")
    coverage_table(found["one_model"], ("too_high", "too_low"), "One model: interval all above the truth; all below it")
    coverage_table(found["one_model"], ("width",), "One model: mean width of the interval, in points")
    found["three_models"] = measure(grid(n_models=3), rounds // 2, seed)
    coverage_table(found["three_models"], ("coverage", "width"), "Three trained models an arm: coverage; mean width")
    shifts = [Cell(WORLDS[0], n, 4, m, shift) for m in (3, 5) for shift in (0.0, 0.2, 0.6) for n in N_QUESTIONS]
    found["shifts"] = measure(shifts, rounds // 2, seed)
    print("\nTrained models that differ in strength; two ends, 4 samples\n")
    print("| models | shift | questions | coverage | width |\n" + "| --- " * 5 + "|")
    for r in found["shifts"]:
        cells = [percent(r[key], outside(r, key)) for key in ("coverage", "width")]
        print(f"| {r['n_models']} | {r['shift']} | {r['n_questions']} | " + " | ".join(cells) + " |")
    for kind in NULLS:
        found[kind] = measure(grid(kind), rounds // 2, seed)
        coverage_table(found[kind], ("rejected",), f"Equal means, {kind}: false positives (nominal 5)")
    one_sample = [Cell(w, n, 1, kind=kind) for kind in NULLS[:3] for w in WORLDS for n in N_QUESTIONS]
    found["tests"] = measure(one_sample, rounds // 2, seed, try_tests)
    print("\nOther paired tests, one sample: false positives (nominal 5)\n")
    print("| models | world | questions | " + " | ".join(TESTS) + " |\n" + "| --- " * (3 + len(TESTS)) + "|")
    for r in found["tests"]:
        cells = [percent(r[key], outside(r, key)) for key in TESTS]
        print(f"| {r['kind']} | {r['world']} | {r['n_questions']} | " + " | ".join(cells) + " |")
    found["moved"] = measure(grid("moved", delta=0.02), rounds // 2, seed)
    coverage_table(found["moved"], ("coverage", "width", "no_width"), "A true difference of 2 points")
    found["power"] = measure([Cell(w, n, 4) for w in WORLDS for n in N_QUESTIONS], rounds // 2, seed, try_power)
    print(f"\nPower where the note's own difference is planted (to be {POWER:.0%}); 4 samples\n")
    print("| world | questions | planted, points | median note, points | found |\n" + "| --- " * 5 + "|")
    for r in found["power"]:
        cells = [percent(r[key]) for key in ("delta", "note", "rejected")]
        print(f"| {r['world']} | {r['n_questions']} | " + " | ".join(cells) + " |")
    measured = [r for key in ("one_model", "three_models", "shifts", "moved") for r in found[key]]
    found["outside"] = verdict_on(measured, "coverage")
    null = [r for kind in NULLS for r in found[kind]]
    found["null_outside"] = verdict_on(null, "rejected")
    for name, lines, cells in (("Coverage", "outside", measured), ("False positives", "null_outside", null)):
        print(f"\n{name}: {len(found[lines])} of {len(cells)} cells outside the goal.")
        print("".join(f"- {line}\n" for line in found[lines]))
    return found


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4000, help="simulated evaluations a cell; past the first, half")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    global JOBS
    JOBS = args.jobs
    found = run(args.rounds, args.seed)
    used = os.times()
    found["processor_seconds"] = used.user + used.system + used.children_user + used.children_system
    print(f"{found['processor_seconds']:.0f} s of processor time.")
    if args.json:
        args.json.write_text(json.dumps(rounded(found)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
