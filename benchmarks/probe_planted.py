"""Probing against planted pass rates: how many samples does it take to name the zones, and is the promise kept?

    .venv/bin/python benchmarks/probe_planted.py [--seeds 20] [--prompts 4000] [--json FILE]

Pass rates are drawn from a mixture of three Beta distributions; an engine answers with them, and `probe` has to name
the zones. All settings are tried on the same prompts of a seed. No probe is told the mixture: priors are learnt, but
for Jeffreys'. `ceiling` rows are the best that any rule can reach which knows the mixture (`planted_ceiling.py`).

- zone accuracy: share of prompts whose zone is the planted one; F1 is of `teachable` against the other zones.
- wrong among decided: share of wrong zones among prompts that stopped as `decided`; the promise is at most delta.
- wrong among early: among all that stopped before `max_samples`, whatever the reason.
- rounds: how often the engine is waited for.

Levels: the component that a pass rate was drawn from, or a noisy one: fifths of the logit of the pass rate plus a
normal error of `NOISE`. "Cut off" raises `Stopped` in the engine, which the probe did not see coming; "fixed 5" and
"fixed 10" are what round-robin would have got for as much.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planted_ceiling import BETAS, N_LEVELS, NOISE, SHARES, ceiling, kinds_of_level
from teachable.errors import Stopped
from teachable.probe import ProbeConfig, probe
from teachable.records import Completion, Estimate, Message, Prompt, Request, Verdict

LOW, HIGH, DELTA, MAX_SAMPLES = 0.1, 0.9, 0.1, 64
BAR = 0.937
COLUMNS = ("samples", "accuracy", "f1", "wrong_decided", "wrong_early", "rounds", "seconds")


@dataclass(frozen=True)
class Case:
    """One row of the table: settings, the difficulty column, and after how many samples a prompt it is cut off."""

    name: str
    config: ProbeConfig
    column: str = "none"
    cut: float | None = None


@dataclass(frozen=True)
class Pool:
    """Planted prompts: pass rates [P], and their levels [P] by difficulty column."""

    rates: NDArray[np.float64]
    levels: dict[str, NDArray[np.int64]]


def settings(**changes: Any) -> ProbeConfig:
    """The benchmark's thresholds, and what a row changes."""
    return ProbeConfig(**{"low": LOW, "high": HIGH, "delta": DELTA, "max_samples": MAX_SAMPLES, **changes})


CASES = (
    Case("fixed 32, Jeffreys' prior", settings(n_samples=32, prior="fixed")),
    Case("fixed 32", settings(n_samples=32)),
    Case("plain rule (price 0)", settings(price=0.0)),
    Case("defaults", settings()),
    Case("budget 15, price 0.0005", settings(samples_per_prompt=15, price=5e-4)),
    Case("budget 15, price 0.0005, at most 128", settings(samples_per_prompt=15, price=5e-4, max_samples=128)),
    Case("budget 10", settings(samples_per_prompt=10)),
    Case("level = component, defaults", settings(), "component"),
    Case("level = component, budget 10", settings(samples_per_prompt=10), "component"),
    Case("noisy level, defaults", settings(), "noisy"),
    Case("noisy level, budget 10", settings(samples_per_prompt=10), "noisy"),
    Case("noisy level, budget 10, at most 128", settings(samples_per_prompt=10, max_samples=128), "noisy"),
    Case("cut off after 5", settings(), cut=5),
    Case("fixed 5", settings(n_samples=5)),
    Case("cut off after 10", settings(), cut=10),
    Case("fixed 10", settings(n_samples=10)),
)
# Column, samples a prompt, and most samples of a prompt.
CEILINGS = (
    ("none", 15, 64),
    ("none", 15, 128),
    ("none", 10, 64),
    ("component", 10, 64),
    ("noisy", 10, 64),
    ("noisy", 10, 128),
)


class Planted:
    """Sample i of a request is right with the planted pass rate of its prompt, and depends on the request alone."""

    name = "planted"

    def __init__(self, rates: NDArray[np.float64], seed: int, most: float) -> None:
        self.n_rounds = 0
        self._rates = rates
        self._seed = seed
        self._left = most
        self._n_waiting = 0

    async def sample(self, request: Request) -> list[Completion]:
        last = request.prompt[-1]
        assert isinstance(last, dict)
        place = int(last["content"])
        self._left -= request.n
        if self._left < 0:
            await asyncio.sleep(0.05)  # `Stopped` promises that nothing is in flight any more
            raise Stopped("the benchmark's limit is reached")
        self.n_rounds += self._n_waiting == 0
        self._n_waiting += 1
        await asyncio.sleep(0)  # so that all requests of a round are here before the first is answered
        self._n_waiting -= 1
        draw = random.Random(f"{self._seed} {place} {request.seed} {request.first}")
        texts = ("right" if draw.random() < self._rates[place] else "wrong" for _ in range(request.n))
        return [Completion(text, (1,), None, "stop") for text in texts]

    def encode(self, prompt: str | list[Message]) -> list[int]:
        raise NotImplementedError

    def decode(self, token_ids: list[int]) -> str:
        raise NotImplementedError


class Said:
    """Right if the attempt says so."""

    name = "said"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        return Verdict(attempt == "right", attempt, "it says so")


def draw_pool(seed: int, n_prompts: int) -> Pool:
    """Pass rates and levels of one seed."""
    draw = np.random.default_rng(seed)
    component = draw.choice(len(SHARES), n_prompts, p=SHARES)
    a, b = np.array(BETAS).T
    rates = draw.beta(a[component], b[component])
    inside = np.clip(rates, 1e-12, 1 - 1e-12)
    seen = np.log(inside / (1 - inside)) + draw.normal(0.0, NOISE, n_prompts)
    cuts = np.quantile(seen, np.arange(1, N_LEVELS) / N_LEVELS)
    levels = {"none": np.zeros(n_prompts, int), "component": component + 1, "noisy": np.searchsorted(cuts, seen) + 1}
    return Pool(rates, levels)


def zones_of(rates: NDArray[np.float64]) -> NDArray[np.str_]:
    """The planted zones."""
    return np.where(rates < LOW, "beyond", np.where(rates > HIGH, "mastered", "teachable"))


def share(wrong: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """The share of wrong ones among these, NaN where there are none."""
    return float(wrong[among].mean()) if among.any() else float("nan")


def try_case(case: Case, pool: Pool, seed: int) -> dict[str, float]:
    """One probe of one pool: the figures of `COLUMNS`, and how many prompts were decided."""
    n = len(pool.rates)
    levels = pool.levels[case.column]
    prompts = [
        Prompt(f"{i}", "planted", (Message(role="user", content=f"{i}"),), level=int(levels[i])) for i in range(n)
    ]
    engine = Planted(pool.rates, seed, float("inf") if case.cut is None else case.cut * n)
    begun = time.perf_counter()
    found = asyncio.run(probe(prompts, engine=engine, verifier=Said(), config=case.config))
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "rounds": engine.n_rounds, **figures(found.estimates, pool, case.config.max_samples)}


def figures(estimates: Sequence[Estimate], pool: Pool, most: int) -> dict[str, float]:
    """How the estimates compare with what was planted; a prompt without an attempt has no zone, and counts as wrong."""
    truth, zones = zones_of(pool.rates), np.array([one.zone for one in estimates])
    n = np.array([one.n for one in estimates])
    decided = np.array([one.stopped == "decided" for one in estimates])
    wrong = zones != truth
    hits = ((zones == "teachable") & (truth == "teachable")).sum()
    return {
        "samples": float(n.mean()),
        "accuracy": float(1 - wrong.mean()),
        "f1": float(2 * hits / ((zones == "teachable").sum() + (truth == "teachable").sum())),
        "wrong_decided": share(wrong, decided),
        "wrong_early": share(wrong, (n < most) & (n > 0)),
        "n_decided": float(decided.sum()),
        "n_wrong_decided": float(wrong[decided].sum()),
    }


def summary(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Means and standard errors over seeds, and the worst seeds for the promise."""
    found: dict[str, Any] = {}
    for name in COLUMNS:
        values = np.array([run[name] for run in runs])
        values = values[~np.isnan(values)]
        se = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
        found[name] = (float(values.mean()), se) if len(values) else (float("nan"), 0.0)
    for name in ("decided", "early"):
        found[f"worst_{name}"] = max((run[f"wrong_{name}"] for run in runs), default=float("nan"))
    return found


def table_row(name: str, found: dict[str, Any]) -> str:
    """One line of the table."""

    def cell(column: str, digits: int) -> str:
        mean, se = found[column]
        return "" if np.isnan(mean) else f"{mean:.{digits}f} ± {se:.{digits}f}"

    def worst(name: str) -> str:
        return "" if np.isnan(found[name]) else f"{found[name]:.4f}"

    return (
        f"| {name} | {cell('samples', 2)} | {cell('accuracy', 4)} | {cell('f1', 4)} | {cell('wrong_decided', 4)} | "
        f"{worst('worst_decided')} | {cell('wrong_early', 4)} | {worst('worst_early')} | {found['rounds'][0]:.0f} | "
        f"{found['seconds'][0]:.1f} |"
    )


def small_pools(size: int, n_pools: int, price: float | None) -> dict[str, float]:
    """The promise where the prior is learnt from few prompts: wrong zones among all decided prompts of many pools."""
    case = Case("", settings(price=price))
    runs = [try_case(case, draw_pool(1000 + i, size), i) for i in range(n_pools)]
    decided, wrong = (np.array([run[name] for run in runs]) for name in ("n_decided", "n_wrong_decided"))
    rate = float(wrong.sum() / decided.sum())
    # Prompts of a pool share a prior, so pools are the unit: the error of a ratio of sums.
    se = float(np.sqrt(((wrong - rate * decided) ** 2).sum() * n_pools / (n_pools - 1)) / decided.sum())
    samples = float(np.mean([run["samples"] for run in runs]))
    return {"size": size, "n_pools": n_pools, "samples": samples, "wrong_decided": rate, "se": se,
            "n_decided": float(decided.sum()), "f1": float(np.mean([run["f1"] for run in runs]))}  # fmt: skip


def rounded(value: Any) -> Any:
    """The same with numbers of five decimals, and without NaN."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items() if one == one}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    pools = [draw_pool(seed, args.prompts) for seed in range(args.seeds)]
    print("| | samples/prompt | zone accuracy | F1 | wrong/decided | worst | wrong/early | worst | rounds | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    cases: dict[str, Any] = {}
    for case in CASES:
        runs = [try_case(case, pool, seed) for seed, pool in enumerate(pools)]
        cases[case.name] = {**summary(runs), "runs": runs}
        print(table_row(case.name, cases[case.name]), flush=True)
    ceilings = []
    kinds = kinds_of_level(LOW, HIGH)
    for column, samples, most in CEILINGS:
        accuracy, f1 = ceiling(*kinds[column], most, LOW, HIGH).at(samples)
        ceilings.append({"column": column, "samples": samples, "at_most": most, "accuracy": accuracy, "f1": f1})
        print(f"| ceiling, level {column}, at most {most} | {samples} | {accuracy:.4f} | {f1:.4f} | | | | | | |")
    small = [small_pools(*how, price) for how in ((60, 200), (300, 60)) for price in (None, 0.0)]
    print("\n| prompts | pools | price | samples/prompt | F1 | wrong/decided |\n| --- | --- | --- | --- | --- | --- |")
    for one, price in zip(small, ("default", "0") * 2, strict=True):
        print(f"| {one['size']} | {one['n_pools']} | {price} | {one['samples']:.1f} | {one['f1']:.3f} | "
              f"{one['wrong_decided']:.4f} ± {one['se']:.4f} |")  # fmt: skip
    print(f"\nThe bar: F1 of {BAR} at 15 samples, and at 10 with a difficulty column; wrong/decided at most {DELTA}.")
    if args.json:
        record = {"seeds": args.seeds, "prompts": args.prompts, "cases": cases, "ceilings": ceilings, "small": small}
        args.json.write_text(json.dumps(rounded(record)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
