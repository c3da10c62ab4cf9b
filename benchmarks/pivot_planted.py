"""Pivotal token search against planted truth: precision, recall, and what they cost, beside bisection.

    .venv/bin/python benchmarks/pivot_planted.py [--sequences 300] [--first 0] [--workers 2] [--json FILE] [--svg FILE]
        [--families main robust cancelling null] [--quick] [--set NAME=VALUE ...] [--keep FOLDER]

Every sequence is a world of `pivot_trees.py`, an engine whose success probability from every prefix is known
exactly. The search samples its own solutions; truth is computed on every solution that it searched. Bisection (at n =
10 and 64 a prefix, `pivot_bisection.py`) gets the same solutions, and one completion is counted for each; the gate's
samples it is not charged for. The families are run with the default settings, then with others for the curve of cost
against recall (`--quick` leaves these out). `--set` changes the settings of every search. `--keep` keeps every line
that is finished, and knows nothing of the search's code: give a changed search an empty folder. Seconds are of
processor time.

- precision: share of the reported tokens whose true change is at least the gap (0.2); "0.15": at least 0.15.
- recall: share of the tokens whose true change is at least the gap that are reported; "0.25": of those with 0.25 or
  more.
- completions, tokens: all that was sampled, the gate and the prompts that it left out included, for each token of a
  searched solution whose true change is at least the gap; "of found": for each of those that were found.
- coverage: share of the reported intervals that hold the true change. Optimism: reported change less true change.
- false alarms (`null`, where nothing reaches half the gap): share of the solutions in which anything is reported.

Seeds of worlds: 0 to 299 for the result; whoever tunes uses others.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pivot_bisection import Bisection
from pivot_plot import Point, curves_svg
from pivot_scores import Marked, Reported, cell, figures, rounded
from pivot_worlds import FAMILIES, SaysRight, Worlds
from teachable.pivot import PivotConfig, search
from teachable.recipe.workers import side_by_side

GAP = 0.2
SWEEP: tuple[dict[str, float], ...] = (  # beside the defaults: what a completion must promise, or a hard limit
    {"price": 0.02},
    {"price": 0.008},
    {"price": 0.0015},
    {"max_samples": 100},
)
N_BISECTION = (10, 64)
N_BISECTION_CURVE = (32,)
CURVES = ("main", "robust")
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Job:
    """One line of the table: a method on the worlds `first` to `first + n - 1` of a family."""

    family: str
    name: str
    first: int
    n: int
    settings: dict[str, Any] = field(default_factory=dict)
    n_bisection: int = 0  # 0: the search
    solutions: tuple[tuple[int, tuple[int, ...]], ...] = ()  # for bisection: (world, tokens)
    keep: Path | None = None

    @property
    def record(self) -> Path | None:
        """Where its figures are kept."""
        told = json.dumps([self.first, self.n, self.settings, self.solutions])
        name = f"{self.family}, {self.name}".replace(" ", "-")
        return self.keep and self.keep / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:8]}.json"


def marked_solution(engine: Worlds, seed: int, tokens: Sequence[int], reported: Sequence[Reported]) -> Marked:
    """A solution with its exact changes."""
    values, _, kinds, *_ = engine.world(seed).path(tokens)
    truth = {place: values[place + 1] - values[place] for place in range(len(tokens))}
    return Marked(truth, tuple(reported), dict(enumerate(kinds)))


def run_job(job: Job) -> dict[str, Any]:
    """The figures of one line, read where they are kept already."""
    if job.record and job.record.exists():
        kept: dict[str, Any] = json.loads(job.record.read_text(encoding="utf-8"))
        return kept
    begun = time.process_time()
    found = asyncio.run(_bisect(job) if job.n_bisection else _search(job))
    told = {key: value for key, value in asdict(job).items() if key not in ("solutions", "keep")}
    row = {**told, **found, "seconds": time.process_time() - begun}
    if job.record:
        job.record.parent.mkdir(parents=True, exist_ok=True)
        job.record.write_text(json.dumps(row), encoding="utf-8")
    return row


async def _search(job: Job) -> dict[str, Any]:
    engine = Worlds(job.family)
    prompts = {engine.prompt(seed).id: seed for seed in range(job.first, job.first + job.n)}
    config = PivotConfig(**{"gap": GAP, "max_tokens": FAMILIES[job.family].n_tokens, **job.settings})
    asked = [engine.prompt(seed) for seed in prompts.values()]
    result = await search(asked, engine=engine, verifier=SaysRight(), config=config, seed=job.first)
    if (result.completions, result.tokens) != (engine.completions, engine.tokens):
        raise AssertionError(f"{result.completions} completions are said, {engine.completions} were sampled")
    reports: dict[tuple[str, tuple[int, ...]], list[Reported]] = {}
    for pivot in result.pivots:
        one = Reported(pivot.position, pivot.delta, pivot.delta_low, pivot.delta_high)
        reports.setdefault((pivot.prompt_id, tuple(pivot.solution_token_ids)), []).append(one)
    marked, solutions = [], []
    for done in result.solutions:
        tokens = tuple(done.token_ids)
        solutions.append((prompts[done.prompt_id], tokens))
        marked.append(marked_solution(engine, *solutions[-1], reports.pop((done.prompt_id, tokens), [])))
    if reports:
        raise AssertionError(f"{len(reports)} solutions have pivotal tokens and were not searched")
    scored = figures(marked, gap=config.gap, completions=engine.completions, tokens=engine.tokens)
    return {**scored, "solutions": solutions, "n_sequences": job.n}


async def _bisect(job: Job) -> dict[str, Any]:
    engine, marked = Worlds(job.family), []
    completions = len(job.solutions)
    tokens = sum(len(solution) for _, solution in job.solutions)
    for seed, solution in job.solutions:
        prompt = engine.prompt(seed)
        correct = (await SaysRight().verify(engine.decode(list(solution)), prompt)).correct is True
        done = await Bisection(
            engine, SaysRight(), prompt, engine.encode(list(prompt.messages)), solution, correct=correct,
            n=job.n_bisection, gap=GAP, max_tokens=FAMILIES[job.family].n_tokens, seed=job.first,
        ).run()  # fmt: skip
        completions, tokens = completions + done.completions, tokens + done.tokens
        marked.append(marked_solution(engine, seed, solution, [Reported(x.position, x.delta) for x in done.found]))
        engine.forget()
    return {**figures(marked, gap=GAP, completions=completions, tokens=tokens), "n_sequences": job.n}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The lines as Markdown."""
    lines = [
        "| family | method | precision | 0.15 | recall | 0.25 | completions | of found | tokens | coverage | optimism |"
        " true a solution | solutions | false alarms | seconds |",
        "|" + " --- |" * 15,
    ]
    for row in rows:
        null = row["n_true"] == 0
        cost = "" if null else f"{row['completions_a_true']:.0f}"
        each = "" if null else f"{row['completions_a_hit']:.0f}"
        tokens = "" if null else f"{row['tokens_a_true']:,.0f}"
        optimism = "" if row["optimism"] is None else f"{row['optimism']:+.3f}"
        lines.append(
            f"| {row['family']} | {row['name']} | {cell(row['precision'])} | {cell(row['precision_15'])} |"
            f" {cell(row['recall'])} | {cell(row['recall_25'])} | {cost} | {each} | {tokens} |"
            f" {cell(row['coverage'])} | {optimism} | {row['true_a_solution']:.2f} |"
            f" {row['n_solutions']} of {row['n_sequences']} |"
            f" {cell(row['any_reported']) if null else ''} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)


def by_kind(rows: Sequence[dict[str, Any]]) -> str:
    """What kinds of places the pivotal tokens stood at, and how many of each were found."""
    lines = ["| family | method | found of true, by kind of place |", "| --- | --- | --- |"]
    for row in rows:
        said = ", ".join(f"{kind} {hit} of {n}" for kind, (hit, n) in row["recall_by_kind"].items())
        lines.append(f"| {row['family']} | {row['name']} | {said} |")
    return "\n".join(lines)


def svg_of(rows: Sequence[dict[str, Any]]) -> str:
    """The curves of the families that have them; recall and precision are those that a family is held to."""
    panels: dict[str, dict[str, list[Point]]] = {}
    for row in rows:
        if row["family"] in CURVES and row["recall"] is not None:
            robust = row["family"] == "robust"
            share = row["recall_25" if robust else "recall"][0]
            precision = (row["precision_15" if robust else "precision"] or [0.0])[0]
            name = "bisection" if row["n_bisection"] else "search"
            lines = panels.setdefault(row["family"], {"search": [], "bisection": []})
            lines[name].append(Point(row["completions_a_true"], share, row["name"], precision >= 0.95))
    return curves_svg(panels)


def run_all(given: argparse.Namespace, changed: dict[str, Any]) -> list[dict[str, Any]]:
    """Searches first, then bisection on the solutions that the default search took."""

    def said(job: Job, row: dict[str, Any]) -> None:
        share = row["recall"] and row["recall"][0]
        print(f"{job.family} {job.name}: recall {share}, {row['completions_a_true']:.0f} a true", flush=True)

    def jobs(family: str, names: dict[str, dict[str, Any]], **more: Any) -> list[Job]:
        shared = {"first": given.first, "n": given.sequences, "keep": given.keep, **more}
        return [Job(family, name, settings=settings, **shared) for name, settings in names.items()]

    searches = [job for family in given.families for job in jobs(family, {"search": changed})]
    if not given.quick:
        swept = {"search, " + ", ".join(f"{k} {v:g}" for k, v in one.items()): {**changed, **one} for one in SWEEP}
        searches += [job for family in given.families if family in CURVES for job in jobs(family, swept)]
    rows = side_by_side(run_job, searches, given.workers, said)
    baselines = []
    for row in rows:
        if row["name"] == "search":
            curve = N_BISECTION_CURVE if row["family"] in CURVES and not given.quick else ()
            for n in sorted((*N_BISECTION, *curve)):
                taken = tuple((seed, tuple(tokens)) for seed, tokens in row["solutions"])
                baselines += jobs(row["family"], {f"bisection, n = {n}": {}}, n_bisection=n, solutions=taken)
    rows += side_by_side(run_job, baselines, given.workers, said)
    order = {family: place for place, family in enumerate(given.families)}
    return sorted(
        ({key: value for key, value in row.items() if key != "solutions"} for row in rows),
        key=lambda row: (order[row["family"]], row["n_bisection"] > 0, row["name"] != "search"),
    )


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="number of the first world")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--quick", action="store_true", help="without the curves")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of every search")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder of finished lines; a second run goes on from there")
    parser.add_argument("--json", type=Path, help=f"keep the figures, as in {RESULTS.name}/pivot_planted.json")
    parser.add_argument("--svg", type=Path, help="draw the curves")
    given = parser.parse_args()
    changed = {name: yaml.safe_load(value) for name, value in (one.split("=", 1) for one in given.set)}
    rows = run_all(given, changed)
    print(f"\n{table(rows)}\n\n{by_kind(rows)}")
    if given.json:
        record = {"first": given.first, "sequences": given.sequences, "gap": GAP, "set": changed, "rows": rows}
        given.json.write_text(json.dumps(rounded(record)) + "\n", encoding="utf-8")
    if given.svg:
        given.svg.write_text(svg_of(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
