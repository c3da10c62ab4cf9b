"""Do domains add up? Eight domains tuned one by one and joined in six ways, on the quickstart's tiny model.

    python benchmarks/additivity.py --out FOLDER [--workers 2] [--part high|low|short|pairs] [--only-table]

Each domain (`additivity_domains.py`) has 400 worked examples, 30 questions that steer its training and 40 that judge.
One model a domain and seed is tuned from the base; then the domains are added up to 2, 4 and 8:

- `data`: the base trained anew on the union of the sets; `sequential`: the last model trained on, on the new ones (the
  first two begin together, so at 2 domains these two are one); `one_by_one`: the first, then the second;
- `sum`, `half`, `mean`: all deltas added to the base, with the weight 1, 1/2 or 1/n, which needs no training.

All through the stages `tune` and `add`, in three settings: `high`, 1e-3 and at most 200 steps a domain; `low`, 3e-4 and
400 steps, which gains as much by smaller steps; `short`, 3e-4 and 100 steps, whose changes are small. Then all 28 pairs
of domains (`additivity_pairs.py`): merged, and at one seed trained jointly, and what their models lose is held against
what `teachable merge --predict` says of them beforehand.

What departs from the product: nothing is selected. All questions of the pool that have a worked solution are trained
on, since the question is whether gains add up and not which questions bring them (the five families that the base has
never seen are nearly all beyond it). Work is kept in FOLDER as it comes, a run folder a setting, and a second run goes
on from there; `--part` does one part, so that several processes can share the work. The last run is in `RESULTS.md`
beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from additivity_domains import DOMAINS, HELDOUT_FRAC, NEAR_DUPLICATE, write_prompts
from additivity_pairs import carry_out, interference
from additivity_plot import plot
from teachable.chat import training_tokens
from teachable.cli.wiring import runner_for
from teachable.recipe.kinds import STAGE_KINDS
from teachable.recipe.load import recipe_from
from teachable.recipe.run import run_recipe
from teachable.recipe.source import Source
from teachable.recipe.spec import Forecast, Permissions, Runner, StageContext, StageOutcome
from teachable.recipe.workers import side_by_side
from teachable.records import Estimate, Example, Message, Progress, Prompt, Solution
from teachable.store.files import read_json, read_records, write_json, write_records
from teachable.store.manifest import RunFolder, StageEntry

WAYS: Mapping[str, Mapping[str, Any]] = {
    "sum": {"way": "weights", "weight": 1.0},
    "half": {"way": "weights", "weight": 0.5},
    "mean": {"way": "weights", "method": "linear"},
    "sequential": {"way": "sequential"},
    "data": {"way": "data"},
    "one_by_one": {"way": "sequential", "sizes": [1, 2]},
}
RATES: Mapping[str, float] = {"high": 1e-3, "low": 3e-4, "short": 3e-4}
RESULTS = Path(__file__).parent / "results"
PROMPTS = "prompts.jsonl"
MAX_TOKENS = 48  # the longest solution has 40


@dataclass(frozen=True)
class Sizes:
    """How much is done; seeds and steps are those of each setting."""

    domains: tuple[str, ...] = DOMAINS
    sizes: tuple[int, ...] = (2, 4, 8)
    seeds: Mapping[str, int] = field(default_factory=lambda: {"high": 3, "low": 1, "short": 3})
    n_pool: int = 400
    n_heldout: int = 70
    n_dev: int = 30
    n_samples: int = 3
    max_steps: Mapping[str, int] = field(default_factory=lambda: {"high": 200, "low": 400, "short": 100})
    n_evaluations: int = 5  # along each training at most
    probe_samples: int = 4
    pretrain: Mapping[str, Any] = field(default_factory=dict)

    def document(self, prompts: Path, rate: str) -> dict[str, Any]:
        """The recipe of a setting. Jobs run one after the other: the parts run side by side."""
        stages: dict[str, Any] = {
            "tasks": {"source": str(prompts), "heldout_frac": HELDOUT_FRAC, "near_duplicate": NEAR_DUPLICATE},
            "pretrain": dict(self.pretrain),
            "probe": {"n_samples": self.probe_samples, "max_tokens": MAX_TOKENS},
            "select": {"arms": []},
            "tune": {
                "domains": list(self.domains),
                "seeds": self.seeds[rate],
                "learning_rate": RATES[rate],
                "max_steps": self.max_steps[rate],
                "eval_every": self.max_steps[rate] // self.n_evaluations,
                "dev_frac": self.n_dev / self.n_heldout,
                "n_samples": self.n_samples,
                "max_tokens": MAX_TOKENS,
            },
        }
        for way, settings in WAYS.items():
            stages[way] = {"kind": "add", "sizes": list(self.sizes), **settings}
        resources = {"workers": 1, "device": "cpu"}
        return {"name": f"additivity-{rate}", "seed": 0, "base": "embedded", "resources": resources, "stages": stages}


# For tests: nothing is learnt in two steps, but everything is gone through.
FAST = Sizes(
    domains=("basic_arithmetic", "complex_arithmetic", "syllogism"),
    sizes=(2, 3),
    seeds={"high": 2, "low": 1, "short": 1},
    n_pool=24,
    n_heldout=8,
    n_dev=3,
    n_samples=1,
    max_steps={"high": 2, "low": 2, "short": 1},
    n_evaluations=1,
    probe_samples=1,
    pretrain={"n_tokens": 20_000, "hidden_size": 32, "n_layers": 1, "n_heads": 2, "intermediate_size": 64},
)


def whole_pool(ctx: StageContext) -> StageOutcome:
    """In the place of the stage `select`: every question of the pool that has a worked solution."""
    prompts = read_records(ctx.inputs["prompts"] / "prompts.parquet", Prompt)
    solutions = {s.prompt_id: s for s in read_records(ctx.inputs["prompts"] / "solutions.parquet", Solution)}
    zones = {e.prompt_id: e.zone for e in read_records(ctx.inputs["estimates"] / "estimates.parquet", Estimate)}
    tokenizer = AutoTokenizer.from_pretrained(read_json(ctx.inputs["base"] / "stats.json")["path"])
    examples = []
    for prompt in prompts:
        if prompt.id in solutions:
            said = Message(role="assistant", content=solutions[prompt.id].text)
            messages = (*prompt.messages, said)
            n_tokens = len(training_tokens(tokenizer, messages)[0])
            zone, why = zones.get(prompt.id, ""), "all that have a worked solution"
            examples.append(Example(prompt.id, messages, prompt.domain, prompt.level, zone, why, n_tokens))
    write_records(ctx.folder / "examples.jsonl", examples)
    write_json(ctx.folder / "stats.json", {"n_examples": len(examples)})
    return StageOutcome(note=f"all {len(examples)} worked questions of the pool", prompts=len(prompts))


def runner(kind: str) -> Runner:
    """The product's own stages, but for the selection."""
    return whole_pool if kind == "select" else runner_for(kind)


class Lines:
    """Tells a run's stages as lines on stderr."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _tell(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {self.name} {text}", file=sys.stderr, flush=True)

    def cached(self, stage: str, entry: StageEntry) -> None:
        """Nothing is told of what is there."""

    def started(self, stage: str, reason: str, forecast: Forecast, seconds: float) -> None:
        self._tell(f"{stage} ...")

    def progressed(self, stage: str, progress: Progress) -> None:
        """Stages are short."""

    def finished(self, stage: str, entry: StageEntry) -> None:
        self._tell(f"{stage}: {entry.seconds:.0f} s; {entry.note}")

    def interrupted(self, stage: str, n_in_flight: int) -> None:
        self._tell(f"{stage}: interrupted")

    def said(self, stage: str, sentence: str) -> None:
        self._tell(f"{stage}: {sentence}")


def run(folder: Path, sizes: Sizes, rate: str) -> None:
    """Do what is missing of a setting's recipe, in a run folder of its own."""
    source = Source(sizes.document(folder / PROMPTS, rate), {}, "additivity")
    recipe = recipe_from(source, kinds=STAGE_KINDS, folder=folder)
    allowed = Permissions(allow_regression=True)
    run_recipe(recipe, RunFolder(folder / rate), STAGE_KINDS, runner, Lines(rate), permissions=allowed)


def part(job: tuple[Path, Sizes, str]) -> None:
    """One part of the work, in a process of its own."""
    run(*job)


# ---- what came of it ----


def tables(folder: Path) -> dict[str, Any]:
    """The separate gains, the forgetting matrices and the additivity scores of every setting and way that is there."""
    found: dict[str, Any] = {}
    for rate, value in RATES.items():
        run_folder = folder / rate
        manifest = read_json(run_folder / "manifest.json")["stages"] if run_folder.is_dir() else {}
        if "tune" not in manifest:
            continue
        tuned = read_json(run_folder / "tune" / "stats.json")
        ways = {  # an addition that is not complete yet has the tables of what is
            way: {name: read_json(run_folder / way / "stats.json")[name] for name in _OF_WAY}
            | {"seconds_of_stage": manifest.get(way, {}).get("seconds")}
            for way in WAYS
            if (run_folder / way / "stats.json").is_file()
        }
        found[rate] = {
            "learning_rate": value,
            "max_steps": tuned["settings"]["max_steps"],
            "seeds": tuned["seeds"],
            "gains": tuned["gains"],
            "ended": [{name: value for name, value in one.items() if name != "sentence"} for one in tuned["ended"]],
            "tokens": tuned["tokens"],
            "seconds_of_stage": manifest["tune"]["seconds"],
            "ways": ways,
        }
    return found


_OF_WAY = ("matrix", "additivity", "regressions", "tokens")


def show(found: Mapping[str, Any]) -> None:
    """Print every table."""
    for name, rate in found.items():
        n_seeds = len(rate["seeds"])
        how = f"rate {rate['learning_rate']:g}, {rate['max_steps']} steps a domain, {n_seeds} seed{'s' * (n_seeds > 1)}"
        print(f"\n{name}: {how}; percent right [95% interval]")
        print(f"{'domain':<26}{'base':>6}  each domain's own model: gain in points")
        for one in rate["gains"]:
            print(f"{one['domain']:<26}{_pc(one['base']):>6}  {_pc(one['tuned']):>5} {_change(one, '', 'gain')}")
        for way, told in rate["ways"].items():
            _show_matrix(way, told["matrix"])
        print(f"\n{'way':<12}{'n':>3}  {'mean of the added':>18}  {'gain kept of own gains':<26}of all separate gains")
        for way, told in rate["ways"].items():
            for one in told["additivity"]:
                if one["domain"] is None:
                    mean = mean_of_added(told["matrix"], one["n_domains"])
                    own, whole = _ratio(one, "own_"), _ratio(one, "")
                    print(f"{way:<12}{one['n_domains']:>3}  {_pc(mean):>18}  {own:<26}{whole}")


def mean_of_added(matrix: Sequence[Mapping[str, Any]], n_domains: int) -> float | None:
    """The mean score of the domains that were added so far, after an addition."""
    scores = [cell["mean"] for cell in matrix if cell["n_domains"] == n_domains and cell["added"]]
    return sum(scores) / len(scores) if scores and None not in scores else None


def _show_matrix(way: str, matrix: Sequence[Mapping[str, Any]]) -> None:
    sizes = sorted({cell["n_domains"] for cell in matrix if cell["n_domains"]})
    heads = "".join(f"{f'{n} domains':>22}" for n in sizes)
    print(f"\n{way:<26}{'base':>6}{heads}    (not added yet); ! fell since it was added")
    for domain in dict.fromkeys(cell["domain"] for cell in matrix):
        cells = {cell["n_domains"]: cell for cell in matrix if cell["domain"] == domain}
        texts = [_cell(cells[n]) for n in sizes]
        print(f"{domain:<26}{_pc(cells[0]['mean']):>6}{''.join(f'{text:>22}' for text in texts)}")


def _cell(cell: Mapping[str, Any]) -> str:
    text = f"{_pc(cell['mean'])} [{_pc(cell['low'])}, {_pc(cell['high'])}]"
    return f"{text}{'!' if cell['regression'] else ' '}" if cell["added"] else f"({text})"


def _pc(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}"


def _change(row: Mapping[str, Any], prefix: str, mean: str) -> str:
    if row[mean] is None:
        return "-"
    return f"{100 * row[mean]:+.0f} [{100 * row[f'{prefix}low']:+.0f}, {100 * row[f'{prefix}high']:+.0f}]"


def _ratio(row: Mapping[str, Any], prefix: str) -> str:
    if row[f"{prefix}ratio"] is None:
        return str(row[f"{prefix}reason"])
    return f"{row[f'{prefix}ratio']:.2f} [{row[f'{prefix}low']:.2f}, {row[f'{prefix}high']:.2f}]"


def show_interference(found: Mapping[str, Any]) -> None:
    """Print what the pairs lost, and which signal said so before."""
    for rate, told in found.items():
        print(f"\n{rate}: pairs, points lost a domain against the two separate models")
        names = list(told["seen"])
        print(f"{'pair':<48}" + "".join(f"{name:>12}" for name in names))
        for pair in sorted(told["seen"][names[0]], key=lambda pair: -told["seen"][names[0]][pair]):
            print(f"{pair:<48}" + "".join(f"{_points(told['seen'][name].get(pair)):>12}" for name in names))
        print(f"\n{'rank correlation with the loss':<34}" + "".join(f"{name:>32}" for name in names))
        for signal, by_way in told["correlations"].items():
            print(f"{signal:<34}" + "".join(f"{_rho(by_way[name]):>32}" for name in names))


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _rho(row: Mapping[str, Any]) -> str:
    if row["rho"] is None:
        return "-"
    interval = "" if row["low"] is None else f" [{row['low']:+.2f}, {row['high']:+.2f}]"
    return f"{row['rho']:+.2f}{interval} p={row['p_value']:.3f}"


def report(folder: Path, sizes: Sizes, results: Path) -> dict[str, Any]:
    """Print all tables, and write them and the plot into `results`."""
    found = tables(folder)
    show(found)
    pairs = interference(folder, list(found))
    show_interference(pairs)
    told = ("n_pool", "n_heldout", "n_dev", "max_steps", "n_evaluations", "n_samples")
    whole = {"sizes": {name: getattr(sizes, name) for name in told}, "rates": found, "pairs": pairs}
    results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(whole), separators=(",", ":")).replace('},{"', '},\n{"')
    (results / "additivity.json").write_text(text + "\n", encoding="utf-8")
    (results / "additivity.svg").write_text(plot(whole), encoding="utf-8")
    return whole


def _rounded(found: Any) -> Any:
    """Numbers to four places: a file that can be read and compared."""
    if isinstance(found, Mapping):
        return {name: _rounded(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_rounded(value) for value in found]
    return float(f"{found:.4g}") if isinstance(found, float) else found


def main() -> None:
    """Run what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--fast", action="store_true", help="go through everything in little time; the numbers mean nothing"
    )
    parser.add_argument("--part", choices=(*RATES, "pairs"), help="only this part, and no tables")
    parser.add_argument("--only-table", action="store_true", help="print what is there already")
    given = parser.parse_args()
    folder, sizes = given.out.resolve(), FAST if given.fast else Sizes()
    if not given.only_table:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / PROMPTS).is_file():
            write_prompts(folder / PROMPTS, sizes.n_pool, sizes.n_heldout, seed=5, domains=sizes.domains)
        rates = [rate for rate in RATES if given.part in (None, rate)]
        side_by_side(part, [(folder, sizes, rate) for rate in rates], given.workers, lambda job, done: None)
        if given.part in (None, "pairs"):
            carry_out(folder, list(RATES), given.workers)
    if given.part is None:
        report(folder, sizes, folder / "results" if given.fast else RESULTS)


if __name__ == "__main__":
    main()
