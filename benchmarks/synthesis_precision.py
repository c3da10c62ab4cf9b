"""Synthesis against planted truth: of what a 75%-right teacher is believed, how much is right, and how much remains?

    .venv/bin/python benchmarks/synthesis_precision.py [--questions 2000] [--k 8] [--json FILE]

A scripted teacher is right on each question with a known probability. The workflows `answers` and `verifiable` run on
it through `teachable.synthesize.make.synthesize`, with all their gates, as a user gets them with default options; what
they accept is compared with the truth that no part of them sees. Beside them stand the same workflows with one sample
(`single`: `answers` takes the first sample's answer, `verifiable` the answer that the writer states) and a vote without
a bar (`plurality`).

The teachers are right with 0.75 on average over the questions:

- steady: with 0.75 on every question;
- mixed, scattered, split: with Beta(6, 2), Beta(3, 1) and Beta(0.75, 0.25) over the questions. On the last, one
  question in eight or so is one that the teacher all but always gets wrong.

A wrong answer is, by the name of the rival: `one` and the same for every sample of a question, the writer's too, and
blind guesses too (the worst case); `few`: of five, the first half the time; `many`: one of forty.

`strict` is the same vote with `min_margin=0.75`, 7 of 8 against one rival: the bar for teachers whose pass rates differ
from question to question.

`calculated` is what the worst case comes to by calculation, precision and yield, without `verifiable`'s controls,
which drop some of the wrong answers by themselves; `unanimous` is the precision where all samples have to agree. In the
worst case no vote tells a question that is usually wrong from one that is usually right: with any number of samples
precision tends to the share of questions with a pass rate above 1/2. Where unanimity stays below 98%, no bar at this k
reaches it, and the last column says so.

Half of the organic answers of the second table are wrong, each in its question's own first way, which is also what the
teacher says when it is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np

from teachable.engines.scripted import ScriptedEngine
from teachable.records import Completion, Prompt, Request
from teachable.stats import wilson_interval
from teachable.store.files import read_rows
from teachable.synthesize import GatesConfig, SynthesizeConfig, Workflow, user
from teachable.synthesize.checks.voting import LEAD, PRECISION
from teachable.synthesize.gates import Gates
from teachable.synthesize.items import Seed, seed_of_prompt
from teachable.synthesize.make import synthesize
from teachable.synthesize.workflows import answers, verifiable

TEACHERS: dict[str, tuple[float, float] | None] = {
    "steady": None,
    "mixed": (6.0, 2.0),
    "scattered": (3.0, 1.0),
    "split": (0.75, 0.25),
}
RIVALS = ("one", "few", "many")
P_RIGHT = 0.75
WORKFLOWS: dict[str, Workflow] = {"answers": answers.WORKFLOW, "verifiable": verifiable.WORKFLOW}
STRICT = 0.75  # of margin
NO_BAR = {"min_agreement": 0.0, "min_margin": 0.01}
WAYS = {"voted": "voted", "strict": "strict", "plurality": "plurality, no bar", "single": "single sample"}
_NUMBER = re.compile(r"case (\d+)")


# ---- what is planted ----


@dataclass(frozen=True)
class World:
    """A teacher and its wrong answers; `frac_cut` of its samples end too early."""

    teacher: str
    rival: str
    frac_cut: float = 0.0
    organic_wrong: float | None = None
    seed: int = 0

    def rate(self, number: int) -> float:
        """How often the teacher is right on a question."""
        shape = TEACHERS[self.teacher]
        if shape is None:
            return P_RIGHT
        return random.Random(f"{self.seed} rate {number}").betavariate(*shape)

    def wrong(self, number: int, luck: random.Random) -> int:
        """A wrong answer to a question."""
        first = 3 + number % 7
        steps = {"one": 1, "few": 1 if luck.random() < 0.5 else luck.randint(2, 5), "many": luck.randint(1, 40)}
        return truth(number) + first * steps[self.rival]

    def said(self, number: int, luck: random.Random) -> int:
        """What the teacher takes for the answer."""
        return truth(number) if luck.random() < self.rate(number) else self.wrong(number, luck)


def leg(number: int) -> int:
    """The leg of the planted triangle."""
    return 1009 + 7 * number


def truth(number: int) -> int:
    """The base of the planted triangle: what every question asks for."""
    return 500 + (number * 7919) % 500


def question(number: int) -> str:
    """The question, from its number alone."""
    one, whole = leg(number), 2 * leg(number) + truth(number)
    return f"In triangle ABC, AB = {one} and the perimeter is {whole}. {HYPOTHESIS}. How long is BC?"


HYPOTHESIS = "The angles at B and C are equal"


def number_of(text: str) -> int:
    """The question's number, from its text or its seed's."""
    named = _NUMBER.search(text)
    if named:
        return int(named[1])
    found = re.search(r"AB = (\d+)", text)
    assert found, text
    return (int(found[1]) - 1009) // 7


def seeds(world: World, workflow: str, n: int) -> list[Seed]:
    """Questions for `answers`, theorems for `verifiable`."""
    made = []
    for number in range(n):
        luck = random.Random(f"{world.seed} organic {number}")
        text, organic = question(number), None
        if world.organic_wrong is not None:
            wrong = luck.random() < world.organic_wrong
            organic = str(truth(number) + (3 + number % 7) * wrong)
        if workflow == "verifiable":
            text, organic = f"Prove that a triangle with two equal angles is isosceles (case {number}).", None
        made.append(seed_of_prompt(Prompt(f"q{number}", "geometry", user(text), organic, verifier="math")))
    return made


class Teacher(ScriptedEngine):
    """A scripted engine that answers what it was asked first, also where a malformed reply has been sent back."""

    async def sample(self, request: Request) -> list[Completion]:
        """The samples for the messages up to the first of the user."""
        messages = [part for part in request.prompt if isinstance(part, dict)]
        end = next(place for place, message in enumerate(messages) if message["role"] == "user")
        return await super().sample(replace(request, prompt=messages[: end + 1]))


def teacher(world: World) -> Teacher:
    """The teacher: writer and solver, each reply by itself."""

    def reply(text: str, index: int, luck: random.Random) -> str:
        number = number_of(text)
        if "case" in text:
            stated = world.said(number, luck)
            variant = {
                "conclusion": "the triangle is isosceles",
                "hypothesis": HYPOTHESIS,
                "question": question(number),
                "answer_type": "number",
                "answer": str(stated),
                "otherwise": str(stated + 1),
            }
            return json.dumps(variant)
        if HYPOTHESIS not in text and "isosceles" not in text:  # blind: as good as any other guess
            return f"Answer: {world.wrong(number, luck) if luck.random() < 0.5 else luck.randint(1, 999)}"
        return f"The triangle is isosceles.\nAnswer: {world.said(number, luck)}"

    return Teacher(reply, frac_truncated=world.frac_cut)


# ---- what is measured ----


def accepted(world: World, workflow: str, n: int, **options: Any) -> list[dict[str, Any]]:
    """The rows of the prompts that a workflow accepts, with the gates' defaults."""
    config = SynthesizeConfig.model_validate({"workflow": workflow, "options": options})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = synthesize(
            WORKFLOWS[workflow],
            seeds(world, workflow, n),
            folder,
            config=config,
            engines={"": teacher(world)},
            gates=Gates(GatesConfig.model_validate({})),
            seed=world.seed,
        )
        asyncio.run(made)
        return [dict(row) for row in read_rows(folder / "prompts.parquet")]


def counted(rows: Sequence[dict[str, Any]], n: int) -> dict[str, Any]:
    """Precision with its Wilson interval, and the share of the questions that remain."""
    n_right = 0
    for row in rows:
        text = [message["content"] for message in row["messages"]][-1]
        n_right += row["answer"] == str(truth(number_of(text)))
    low, high = wilson_interval(n_right, len(rows)) if rows else (0.0, 1.0)
    return {
        "n": n,
        "n_accepted": len(rows),
        "n_right": n_right,
        "precision": n_right / len(rows) if rows else None,
        "low": low,
        "high": high,
        "yield": len(rows) / n,
    }


def single(world: World, workflow: str, n: int) -> dict[str, Any]:
    """The same with one sample: the first answer of `answers`, the answer that `verifiable`'s writer states."""
    alone = {"k": 1, **NO_BAR}
    if workflow == "answers":
        return counted(accepted(world, workflow, n, **alone), n)
    rows = []
    for number in range(n):
        said = world.said(number, random.Random(f"{world.seed} stated {number}"))
        rows.append({"messages": [{"content": question(number)}], "answer": str(said)})
    return counted(rows, n)


def ceiling(world: World, k: int, lead: int = LEAD, stated: bool = False) -> tuple[float, float]:
    """Precision and yield of the worst case, by calculation.

    Args:
        lead: votes by which the first answer has to lead.
        stated: a further answer, of the writer, has to be the same.
    """
    shape = TEACHERS[world.teacher]
    rates, weights = _grid(shape)
    p_none = world.frac_cut ** (1 + SynthesizeConfig(workflow="").writing.retries)  # others are drawn in their place
    right = wrong = 0.0
    for n_right in range(k + 1):
        for n_wrong in range(k + 1 - n_right):
            n_cut = k - n_right - n_wrong
            ways = comb(k, n_right) * comb(k - n_right, n_wrong)
            chance = ways * p_none**n_cut * ((1 - p_none) * rates) ** n_right * ((1 - p_none) * (1 - rates)) ** n_wrong
            if max(n_right, n_wrong) < k / 2:
                continue
            if n_right - n_wrong >= lead:
                right += float((weights * chance * (rates if stated else 1)).sum())
            if n_wrong - n_right >= lead:
                wrong += float((weights * chance * ((1 - rates) if stated else 1)).sum())
    return right / (right + wrong), right + wrong


def _grid(shape: tuple[float, float] | None) -> tuple[Any, Any]:
    """Pass rates and their weights: quantiles of the teacher's distribution."""
    if shape is None:
        return np.array([P_RIGHT]), np.array([1.0])
    rates = np.random.default_rng(0).beta(*shape, size=400_000)
    return rates, np.full(rates.size, 1 / rates.size)


# ---- what is printed ----


def worlds(seed: int) -> Iterator[World]:
    """All teachers with all rivals, and one whose samples are cut off now and then."""
    for name in TEACHERS:
        for rival in RIVALS:
            yield World(name, rival, seed=seed)
    yield World("steady", "one", frac_cut=0.2, seed=seed)


def measure(world: World, workflow: str, n: int, k: int) -> dict[str, Any]:
    """A row of the first table."""
    stated = workflow == "verifiable"
    row: dict[str, Any] = {"workflow": workflow, "teacher": world.teacher, "rival": world.rival, "cut": world.frac_cut}
    row["voted"] = counted(accepted(world, workflow, n, k=k), n)
    row["strict"] = counted(accepted(world, workflow, n, k=k, min_margin=STRICT), n)
    row["plurality"] = counted(accepted(world, workflow, n, k=k, **NO_BAR), n)
    row["single"] = single(world, workflow, n)
    if world.rival == "one":
        row["ceiling"] = ceiling(world, k, stated=stated)
        row["unanimous"] = ceiling(world, k, k, stated)[0]
    return row


def shown(found: dict[str, Any]) -> str:
    """Precision with its interval and yield, in percent."""
    if found["precision"] is None:
        return "nothing"
    return f"{_p(found['precision'])} [{_p(found['low'])}, {_p(found['high'])}], {_p(found['yield'])}"


def _p(share: float) -> str:
    return f"{100 * share:.1f}"


def printed(rows: Sequence[dict[str, Any]]) -> None:
    """The first table."""
    print("\nPrecision of the accepted [95% interval], yield; percent\n")
    heads = ("workflow", "teacher", "rival", *WAYS.values(), "calculated", "unanimous", "98%")
    print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for row in rows:
        name = row["teacher"] + (f", {_p(row['cut'])}% cut off" if row["cut"] else "")
        calculated = "{}, {}".format(*map(_p, row["ceiling"])) if "ceiling" in row else ""
        unanimous = _p(row["unanimous"]) if "unanimous" in row else ""
        cells = [row["workflow"], name, row["rival"], *(shown(row[way]) for way in WAYS)]
        print("| " + " | ".join([*cells, calculated, unanimous, goal(row)]) + " |", flush=True)


def goal(row: dict[str, Any]) -> str:
    """Which bar reaches 98%."""
    for way, said in (("voted", "yes"), ("strict", "strict")):
        if row[way]["precision"] is not None and row[way]["precision"] >= PRECISION:
            return said
    return "unanimous" if row.get("unanimous", 0.0) >= PRECISION else "out of reach"


def organic(n: int, seed: int) -> list[dict[str, Any]]:
    """`answers` on prompts with organic answers, half of them wrong: what becomes of the wrong ones."""
    rows = []
    for rival in RIVALS:
        world = World("steady", rival, organic_wrong=0.5, seed=seed)
        found = accepted(world, "answers", n)
        outcomes: dict[str, list[dict[str, Any]]] = {}
        for row in found:
            outcomes.setdefault(json.loads(row["meta"])["outcome"], []).append(row)
        split = {name: counted(outcomes.get(name, []), n) for name in ("agrees", "replaced")}
        rows.append({"rival": rival, "all": counted(found, n), **split})
    return rows


def run(n: int, k: int, seed: int) -> dict[str, Any]:
    """All tables; prints them."""
    start = time.perf_counter()
    rows = [measure(world, workflow, n, k) for workflow in WORKFLOWS for world in worlds(seed)]
    printed(rows)
    found = {"n": n, "k": k, "seed": seed, "rows": rows, "organic": organic(n, seed)}
    print("\n`answers` where half of the organic answers are wrong (steady): precision [interval], share of all\n")
    print("| rival | all | kept organic | replaced |\n" + "| --- " * 4 + "|")
    for row in found["organic"]:
        print(f"| {row['rival']} | " + " | ".join(shown(row[part]) for part in ("all", "agrees", "replaced")) + " |")
    found["by_k"] = {str(number): ceiling(World("steady", "one"), number) for number in (4, 6, 8, 12, 16, 32)}
    print("\nThe default bar on the steady teacher, one rival, by calculation: precision, yield\n")
    print("| k | precision | yield |\n" + "| --- " * 3 + "|")
    for number, (precision, share) in found["by_k"].items():
        print(f"| {number} | {_p(precision)} | {_p(share)} |")
    found["seconds"] = time.perf_counter() - start
    print(f"\n{n} questions a row, k = {k}; {found['seconds']:.0f} s.")
    return found


def main() -> None:
    """Run all and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2000, help="a row")
    parser.add_argument("--k", type=int, default=8, help="samples that vote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = run(args.questions, args.k, args.seed)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
