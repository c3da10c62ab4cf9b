"""The intervals of `add` against planted truth: false regressions, what a loss must be to be seen, and ratios of gains.

    .venv/bin/python benchmarks/add_intervals.py [--rounds 1500] [--json FILE]

**Regressions.** m domains of 40 questions are answered 4 times each, by S models before an addition and by S after it,
and nothing was lost. Seeds matter in one of five patterns: not at all; alike in all domains; by a shift that a model
has in all domains; much in one domain; much in a third of them. Told is how often some interval of
`simultaneous_intervals` lies wholly below 0 (nominal: 2.5%), and the last domain's median half width, beside that of
intervals made from each domain's own seeds.

**Ratios.** A joint model gains 0.3 on each of n domains, each domain's own model 0.35 and every other model 0.05, so
that the additivity score is 0.3 / (0.35 + 0.05 (n - 1)). The joint and the own models have luck of a known spread, by
seed. Told is how often `ratio_interval` (Fieller's) covers the score of one domain, how often it gives none, and the
same of percentiles of a bootstrap of questions and seeds.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teachable.evaluate.additivity import ratio_interval
from teachable.evaluate.simultaneous import simultaneous_intervals
from teachable.stats import mean_interval

Floats = NDArray[np.float64]

N_QUESTIONS, N_SAMPLES = 40, 4
LUCK, MUCH = 0.06, 0.12  # how far a seed moves a domain's score, standard deviation
PATTERNS = ("none", "alike", "shared", "one", "a third")
CELLS = ((2, 2), (2, 3), (4, 3), (7, 2), (7, 3), (7, 5))  # domains compared, seeds
JOINT, OWN, OTHER = 0.3, 0.35, 0.05
SPREADS = (0.0, 0.05, 0.15)
N_BOOTSTRAP = 1000


def differences(pattern: str, n_domains: int, n_seeds: int, luck: np.random.Generator) -> list[Floats]:
    """After less before of each domain, [questions, seeds], of a world in which nothing is lost on average."""
    shared = luck.normal(0.0, LUCK, (1, n_seeds)) * (pattern == "shared")
    matters = {"none": 0, "alike": n_domains, "shared": 0, "one": 1, "a third": max(2, n_domains // 3)}[pattern]
    size = LUCK if pattern == "alike" else MUCH
    tables = []
    for place in range(n_domains):
        easy = luck.uniform(0.3, 0.7, (N_QUESTIONS, 1))
        moved = shared + luck.normal(0.0, size, (1, n_seeds)) * (place < matters)
        after = luck.binomial(N_SAMPLES, np.clip(easy + moved, 0.0, 1.0))
        before = luck.binomial(N_SAMPLES, np.repeat(easy, n_seeds, axis=1))
        tables.append((after - before) / N_SAMPLES)
    return tables


def regressions(pattern: str, n_domains: int, n_seeds: int, rounds: int, seed: int) -> dict[str, Any]:
    """False alarms and half widths of one cell."""
    luck = np.random.default_rng([seed, n_domains, n_seeds, PATTERNS.index(pattern)])
    each = 1.0 - 0.05 / n_domains
    alarms, own_alarms, halves, own_halves = 0, 0, [], []
    for _ in range(rounds):
        tables = differences(pattern, n_domains, n_seeds, luck)
        found = simultaneous_intervals(tables)
        alone = [mean_interval(table, bounds=(-1.0, 1.0), confidence=each) for table in tables]
        alarms += any(high < 0.0 for _, _, high in found)
        own_alarms += any(one.high < 0.0 for one in alone)
        halves.append((found[-1][2] - found[-1][1]) / 2)
        own_halves.append((alone[-1].high - alone[-1].low) / 2)
    return {
        "pattern": pattern,
        "n_domains": n_domains,
        "n_seeds": n_seeds,
        "false_alarms": alarms / rounds,
        "own_false_alarms": own_alarms / rounds,
        "half_width": float(np.median(halves)),
        "own_half_width": float(np.median(own_halves)),
    }


def gains(n_domains: int, spread: float, luck: np.random.Generator, n_seeds: int = 3) -> tuple[Floats, Floats]:
    """The joint model's gains on a domain and the sum of the separate ones, [questions, seeds]."""
    easy = luck.uniform(0.1, 0.22, (N_QUESTIONS, 1))

    def answered(gain: float, size: float) -> Floats:
        moved = luck.uniform(-1.0, 1.0, (1, n_seeds)) * size * math.sqrt(3.0)
        return luck.binomial(N_SAMPLES, easy + gain + moved) / N_SAMPLES

    base = luck.binomial(N_SAMPLES, easy) / N_SAMPLES
    separate = [answered(OWN, spread), *(answered(OTHER, 0.0) for _ in range(n_domains - 1))]
    joint: Floats = answered(JOINT, spread) - base
    return joint, np.sum([table - base for table in separate], axis=0)


def percentiles(joint: Floats, separate: Floats, luck: np.random.Generator) -> tuple[float, float] | None:
    """The bootstrap's 95% interval of the ratio; None where that of the divisor holds 0."""
    n_questions, n_seeds = joint.shape
    questions = luck.multinomial(n_questions, np.full(n_questions, 1 / n_questions), N_BOOTSTRAP) / n_questions
    seeds = luck.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), N_BOOTSTRAP) / n_seeds
    above, below = (np.einsum("bq,qs,bs->b", questions, table, seeds) for table in (joint, separate))
    low, high = np.quantile(below, [0.025, 0.975])
    if low <= 0.0 <= high:
        return None
    with np.errstate(divide="ignore"):  # a resample may hold no gain at all
        low, high = np.quantile(above / below, [0.025, 0.975])
    return float(low), float(high)


def ratios(n_domains: int, spread: float, rounds: int, seed: int) -> dict[str, Any]:
    """Coverage of one cell."""
    luck = np.random.default_rng([seed, n_domains, round(1000 * spread)])
    truth = JOINT / (OWN + OTHER * (n_domains - 1))
    held: dict[str, list[bool]] = {"fieller": [], "bootstrap": []}
    for _ in range(rounds):
        joint, separate = gains(n_domains, spread, luck)
        found = ratio_interval([joint], [separate], most=float(n_domains))
        if found.low is not None and found.high is not None:
            held["fieller"].append(found.low <= truth <= found.high)
        if (ends := percentiles(joint, separate, luck)) is not None:
            held["bootstrap"].append(ends[0] <= truth <= ends[1])
    coverage = {f"{name}_coverage": sum(each) / len(each) for name, each in held.items()}
    none = {f"{name}_none": 1 - len(each) / rounds for name, each in held.items()}
    return {"n_domains": n_domains, "spread": spread, **coverage, **none}


def run(rounds: int, seed: int) -> dict[str, Any]:
    """Measure all and print the tables."""
    found: dict[str, Any] = {"rounds": rounds, "regressions": [], "ratios": []}
    print("| domains | seeds | pattern | false alarms | half width | own seeds: false alarms | half width |")
    print("| --- " * 7 + "|")
    for n_domains, n_seeds in CELLS:
        for pattern in PATTERNS:
            one = regressions(pattern, n_domains, n_seeds, rounds, seed)
            found["regressions"].append(one)
            cells = [f"{one['false_alarms']:.1%}", f"{one['half_width']:.3f}"]
            cells += [f"{one['own_false_alarms']:.1%}", f"{one['own_half_width']:.3f}"]
            print(f"| {n_domains} | {n_seeds} | {pattern} | " + " | ".join(cells) + " |", flush=True)
    print("\n| domains | luck of a seed | Fieller covers | none | bootstrap covers | none |\n" + "| --- " * 6 + "|")
    for n_domains in (2, 4):
        for spread in SPREADS:
            one = ratios(n_domains, spread, rounds // 2, seed)
            found["ratios"].append(one)
            cells = [
                f"{one[f'{name}_{what}']:.1%}" for name in ("fieller", "bootstrap") for what in ("coverage", "none")
            ]
            print(f"| {n_domains} | {spread} | " + " | ".join(cells) + " |", flush=True)
    return found


def main() -> None:
    """Run all and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1500, help="simulated additions a cell; of ratios half as many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = run(args.rounds, args.seed)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
