"""Pivotal token search on the quickstart's tiny model, against ground truth, beside bisection, in one run.

    .venv/bin/python benchmarks/pivot_quickstart.py [--out FOLDER] [--problems 20] [--searches 1] [--json FILE]

The problems: four questions of each built-in family whose success probability lies from 0.2 to 0.8 (by 200 attempts
that nothing else uses). The search gates and samples for itself, and is charged for that; its own gate is left open,
since the problems were chosen already. Bisection at n = 10 and 64 a prefix works on the very solutions that the search
took, and is charged one completion for each. What every token of these solutions really does comes from 2,000 samples a
prefix (`pivot_truth.py`), made after the search where they are not there yet.

The truth has an error of its own: `sd` a token, 0.015 at most. Tokens whose true change lies within two of these
of the gap are ambiguous: on neither side of it for sure. Figures are given with all tokens and without the ambiguous.

FOLDER keeps a ledger: a run that was killed goes on where it was, and a second run samples nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pivot_bisection import Bisection
from pivot_scores import Marked, Reported, cell, figures, rounded
from pivot_truth import GAP, GATE_SEED, MAX_TOKENS, Problem, Truth, base_engine, choose_problems, make_truths
from teachable import verify
from teachable.engines.ledgered import Ledgered
from teachable.pivot import PivotConfig, SearchResult, search
from teachable.records import Completion, Engine, Message, Request
from teachable.store.ledger import Ledger

N_BISECTION = (10, 64)
N_SDS = 2.0


class Counted:
    """An engine that counts what it is asked for, whoever pays."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.completions = 0
        self.tokens = 0
        self._engine = engine

    async def sample(self, request: Request) -> list[Completion]:
        """The other engine's samples."""
        found = await self._engine.sample(request)
        self.completions += len(found)
        self.tokens += sum(one.n_tokens for one in found)
        return found

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """The other engine's token ids."""
        return self._engine.encode(prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The other engine's text."""
        return self._engine.decode(token_ids)


def ambiguous(truth: Truth) -> set[int]:
    """Positions whose true change is too close to the gap to say on which side it lies."""
    return {one.position for one in truth.tokens if abs(abs(one.delta) - GAP) < N_SDS * one.sd}


def marked(truth: Truth, reported: Sequence[Reported], *, sure: bool) -> Marked:
    """A solution with its truth; with `sure`, ambiguous tokens are in neither."""
    out = ambiguous(truth) if sure else set()
    return Marked(
        {one.position: one.delta for one in truth.tokens if one.position not in out},
        tuple(one for one in reported if one.position not in out),
    )


def scored(
    name: str, truths: Sequence[Truth], reports: Sequence[Sequence[Reported]], completions: int, tokens: int
) -> list[dict[str, Any]]:
    """A method's figures, with all tokens and without the ambiguous ones."""
    rows = []
    for sure in (False, True):
        ones = [marked(truth, reported, sure=sure) for truth, reported in zip(truths, reports, strict=True)]
        found = figures(ones, gap=GAP, completions=completions, tokens=tokens)
        rows.append({"method": name, "without_ambiguous": sure, **found})
    return rows


async def bisect_all(
    engine: Engine, solutions: Sequence[tuple[Problem, Truth]], n: int, seed: int
) -> tuple[list[list[Reported]], int, int]:
    """Bisection of every solution: what it reports, and its completions and tokens."""

    async def one(problem: Problem, truth: Truth) -> tuple[list[Reported], int, int]:
        done = await Bisection(
            engine, verify.get(problem.prompt.verifier), problem.prompt, problem.prompt_ids, truth.token_ids,
            correct=truth.correct, n=n, gap=GAP, max_tokens=MAX_TOKENS, seed=seed,
        ).run()  # fmt: skip
        found = [Reported(x.position, x.delta) for x in done.found]
        return found, done.completions + 1, done.tokens + len(truth.token_ids)

    done = await asyncio.gather(*(one(*pair) for pair in solutions))
    return [found for found, _, _ in done], sum(n for _, n, _ in done), sum(n for _, _, n in done)


def reports_of(result: SearchResult) -> list[list[Reported]]:
    """What the search reports, a list for each solution that it searched."""
    found: dict[tuple[str, tuple[int, ...]], list[Reported]] = {}
    for one in result.pivots:
        key = (one.prompt_id, tuple(one.solution_token_ids))
        found.setdefault(key, []).append(Reported(one.position, one.delta, one.delta_low, one.delta_high))
    return [found.get((one.prompt_id, tuple(one.token_ids)), []) for one in result.solutions]


async def run(given: argparse.Namespace) -> dict[str, Any]:
    """Search, truth, bisection."""
    given.out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with Ledger(given.out / "ledger.sqlite") as ledger:
        base = base_engine()
        stages = {name: Ledgered(base, ledger, stage=name) for name in ("truth", "search", "bisection")}
        problems = {one.prompt.id: one for one in await choose_problems(stages["truth"], given.problems)}
        config = PivotConfig(gap=GAP, low=0.0, high=1.0, max_tokens=MAX_TOKENS)
        counted, reports, taken = Counted(stages["search"]), [], []
        for place in range(given.searches):
            prompts = [one.prompt for one in problems.values()]
            result = await search(prompts, engine=counted, config=config, seed=GATE_SEED + place)
            reports += reports_of(result)
            taken += [
                (problems[one.prompt_id], tuple(one.token_ids), tuple(one.probabilities)) for one in result.solutions
            ]
            print(f"search: {len(result.pivots)} pivotal tokens in {len(result.solutions)} solutions, "
                  f"{result.completions} completions", flush=True)  # fmt: skip
            for one in result.gates:
                if one.outcome != "searched":
                    print(f"{one.prompt_id}: {one.outcome}, {one.reason}", flush=True)
        known = await make_truths(given.out, stages["truth"], taken)
        solutions = [(problem, known[problem.prompt.id, token_ids]) for problem, token_ids, _ in taken]
        truths = [truth for _, truth in solutions]
        rows += scored("search", truths, reports, counted.completions, counted.tokens)
        for n in N_BISECTION:
            found, completions, tokens = await bisect_all(stages["bisection"], solutions, n, seed=n)
            rows += scored(f"bisection, n = {n}", truths, found, completions, tokens)
    return {"engine": base.name, "config": config.model_dump(), "problems": facts_of(problems.values()), "rows": rows,
            "truths": [asdict(one) for one in truths]}  # fmt: skip


def facts_of(problems: Any) -> list[dict[str, Any]]:
    """The problems by name."""
    return [{"id": one.prompt.id, "family": one.prompt.domain, "p_success": one.p_success} for one in problems]


def table(record: Mapping[str, Any]) -> str:
    """The figures as Markdown, and what the truth is worth."""
    lines = [
        "| method | of | precision | recall | 0.25 | completions | of found | tokens | coverage | optimism | pivotal |",
        "|" + " --- |" * 11,
    ]
    for row in record["rows"]:
        which = "sure" if row["without_ambiguous"] else "all"
        optimism = "" if row["optimism"] is None else f"{row['optimism']:+.3f}"
        lines.append(
            f"| {row['method']} | {which} | {cell(row['precision'])} | {cell(row['recall'])} |"
            f" {cell(row['recall_25'])} | {row['completions_a_true']:.0f} | {row['completions_a_hit']:.0f} |"
            f" {row['tokens_a_true']:,.0f} | {cell(row['coverage'])} | {optimism} |"
            f" {row['n_true']} in {row['n_solutions']} |"
        )
    tokens = [one for truth in record["truths"] for one in truth["tokens"]]
    n_all = sum(len(truth["token_ids"]) for truth in record["truths"])
    near = sum(abs(abs(one["delta"]) - GAP) < N_SDS * one["sd"] for one in tokens)
    worst = max((one["sd"] for one in tokens), default=0.0)
    paid = sum(truth["completions"] for truth in record["truths"])
    lines.append(
        f"\nTruth: {n_all} tokens, of which the bound rules out {n_all - len(tokens)}; {near} of the others ambiguous; "
        f"standard error at most {worst:.4f}; {paid:,} completions."
    )
    return "\n".join(lines)


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-pivot"))
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--searches", type=int, default=1, help="searches of every problem, each with its own seed")
    parser.add_argument("--json", type=Path, help="keep the figures and the truth")
    given = parser.parse_args()
    record = asyncio.run(run(given))
    print(f"\n{table(record)}")
    if given.json:
        given.json.write_text(json.dumps(rounded(record)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
