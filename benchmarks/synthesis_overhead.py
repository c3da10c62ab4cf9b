"""What synthesis costs beside the engine: items a second and memory, with an engine that answers at once.

    python benchmarks/synthesis_overhead.py [--items 10000] [--many 40000] [--rounds 3] [--distilabel PYTHON]
        [--profile] [--json FILE]

A graph of three steps that each ask the engine (`synthesis_overhead_graph.py`): 10,000 passages make 30,000 requests,
10,000 prompts and 10,000 examples. Our side runs three ways:

- as a user gets it: the ledger on the disk before the engine, every gate, all files written;
- without the ledger;
- without ledger and gates: nothing but steps, templates, reading of replies and files.

With `--distilabel`, the Python of an environment that has distilabel runs the same graph on the same seeds with the
same replies (`synthesis_overhead_distilabel.py`): three tasks with an LLM that answers at once, validated by the same
pydantic models, its own cache as it comes; with the batch that is its default, and with one that makes it fast here.
It has no gates, and its cache, which keeps whole batches, is what its users have for our ledger.

Every measurement is a process of its own, and the sides take turns. Seconds are of the wall clock from the first item
to the last file, imports left out; processor seconds, of the process and all that it started, stand beside them,
because other work on the machine does not change these. Starting costs a fixed time, so the rate between the small and
the large run is given too. Memory is the largest proportional set size of the whole process tree, sampled twenty times
a second: pages that processes share count once.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from synthesis_overhead_graph import PROMPTS, SYSTEM, passages, reply
from teachable.engines.ledgered import Ledgered
from teachable.engines.limits import Limits, finishing
from teachable.records import Completion, Document, Engine, Message, Request
from teachable.store.ledger import Ledger
from teachable.synthesize import Ask, GatesConfig, Item, Output, SynthesizeConfig, Workflow, user
from teachable.synthesize.gates import Gates, Refusal
from teachable.synthesize.items import Made, seed_of_document
from teachable.synthesize.make import synthesize

HERE = Path(__file__).parent
OTHER = HERE / "synthesis_overhead_distilabel.py"
OURS = ("as a user gets it", "without the ledger", "without ledger and gates")
DISTILABEL = {"distilabel, batches of 2,000": 2000, "distilabel, batches of 50": 50}  # the second is its default
LARGE = (OURS[0], "distilabel, batches of 2,000")  # ways that also do the large run
SAMPLES_PER_S = 20  # of memory
GOAL = 1000.0  # items a second


# ---- our side ----


class Exercise(BaseModel):
    """What the first step's reply must be."""

    model_config = ConfigDict(frozen=True)

    question: str
    answer: str


class Check(BaseModel):
    """What the last step's reply must be."""

    model_config = ConfigDict(frozen=True)

    right: bool
    reason: str


class AtOnce:
    """An engine that answers at once."""

    name = "at-once"

    async def sample(self, request: Request) -> list[Completion]:
        """n times the same reply."""
        prompt = request.prompt
        assert not isinstance(prompt, str)
        last = prompt[-1]
        assert not isinstance(last, int)
        text = reply(last["content"])
        return [Completion(text, (), None, "stop", n_tokens=len(text) // 4, n_prompt_tokens=100)] * request.n

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """There is no tokenizer."""
        raise NotImplementedError

    def decode(self, token_ids: list[int]) -> str:
        """There is no tokenizer."""
        raise NotImplementedError


class NoGates(Gates):
    """Gates that let everything pass, at once."""

    async def alone(self, made: Made) -> Refusal | None:
        """Nothing against it."""
        return None

    def together(self, batch: Sequence[Made]) -> list[Refusal | None]:
        """Nothing against any of them."""
        return [None] * len(batch)


def _output(item: Item, options: Any) -> Output:
    exercise = item["question"]
    return Output(user(exercise.question), "agreement", answer=exercise.answer, response=item["solve"])


WORKFLOW = Workflow(
    name="overhead",
    summary="a passage, an exercise on it, its solution, and whether that is right",
    takes=("text",),
    steps=(
        Ask("question", Exercise),
        Ask("solve", str, values=lambda item, options: {"exercise": item["question"]}),
        Ask("check", Check, values=lambda item, options: {"exercise": item["question"]}),
    ),
    output=_output,
)


def write_templates(folder: Path) -> None:
    """The graph's prompts as our templates: what comes from seeds and replies is shown between sealed lines."""
    shown = {
        "passage": "shown('passage', text)",
        "question": "shown('exercise', exercise.question)",
        "solution": "shown('solution', solve)",
    }
    (folder / WORKFLOW.name).mkdir(parents=True)
    for step, prompt in PROMPTS.items():
        for name, call in shown.items():
            prompt = prompt.replace("{{ " + name + " }}", "{{ " + call + " }}")
        (folder / WORKFLOW.name / f"{step}.jinja").write_text(f"{SYSTEM}\n===\n{prompt}\n", encoding="utf-8")


def run_ours(way: str, n_items: int, folder: Path) -> dict[str, Any]:
    """One run; seconds, items, and what the files hold."""
    write_templates(folder / "templates")
    config = SynthesizeConfig(workflow=WORKFLOW.name, templates=folder / "templates")
    gates = (NoGates if way == OURS[2] else Gates)(config.gates if way != OURS[2] else GatesConfig())
    seeds = (seed_of_document(Document(name, text, "a benchmark")) for name, text in passages(n_items))
    limits = Limits()

    async def work(engine: Engine) -> Mapping[str, Any]:
        made = synthesize(
            WORKFLOW, seeds, folder / "out", config=config, engines={"": engine}, gates=gates, n_seeds=n_items
        )
        return (await finishing(made, limits, lambda n: None)).stats

    begun, used = time.perf_counter(), processor_s()
    if way == OURS[0]:
        with Ledger(folder / "ledger.sqlite") as ledger:
            stats = asyncio.run(work(Ledgered(AtOnce(), ledger, stage="synthesize", limits=limits)))
    else:
        stats = asyncio.run(work(AtOnce()))
    seconds, processor = time.perf_counter() - begun, processor_s() - used
    rejected = {row["step"]: row["dropped"] for row in stats["steps"] if row["dropped"]}
    return {"seconds": seconds, "processor_s": processor, "n_out": stats["n_examples"], "rejected": rejected}


def processor_s() -> float:
    """Processor seconds of this process and of those that it waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def one(way: str, n_items: int, profile: Path | None) -> dict[str, Any]:
    """One run of ours in this process."""
    with tempfile.TemporaryDirectory() as folder:
        if profile is None:
            return run_ours(way, n_items, Path(folder))
        profiler = cProfile.Profile()
        result = profiler.runcall(run_ours, way, n_items, Path(folder))
    with profile.open("w", encoding="utf-8") as stream:
        stats = pstats.Stats(profiler, stream=stream)
        stats.sort_stats("tottime").print_stats(45)
        stats.sort_stats("cumulative").print_stats(60)
    return result


# ---- measuring ----


class Memory:
    """The largest proportional set size of a process and all that it starts, for the block; MiB."""

    def __init__(self, pid: int) -> None:
        self._pid, self._end = pid, threading.Event()
        self.peak_mib = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(1 / SAMPLES_PER_S):
            self.peak_mib = max(self.peak_mib, sum(map(_pss_mib, _tree(self._pid))))


def _tree(pid: int) -> list[int]:
    """A process and all its descendants that are there now."""
    found, waiting = [], [pid]
    while waiting:
        one_pid = waiting.pop()
        found.append(one_pid)
        for children in Path(f"/proc/{one_pid}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:  # the thread has ended meanwhile
                continue
    return found


def _pss_mib(pid: int) -> float:
    """Proportional set size of a process; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def measure(way: str, n_items: int, python: str) -> dict[str, Any]:
    """One run in a process of its own.

    Raises:
        RuntimeError: it failed, or lost items.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        if way in DISTILABEL:
            command = [python, str(OTHER), "--batch", str(DISTILABEL[way])]
        else:
            command = [sys.executable, str(Path(__file__)), "--one", way]
        command += ["--items", str(n_items), "--json", str(found)]
        begun = time.perf_counter()
        with (Path(folder) / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=_environment(folder))
            with Memory(process.pid) as memory:
                code = process.wait()
        if code:
            raise RuntimeError(f"{way} failed:\n{(Path(folder) / 'log').read_text()[-3000:]}")
        result: dict[str, Any] = json.loads(found.read_text())
    if result["n_out"] != n_items:
        raise RuntimeError(f"{way} made {result['n_out']} examples of {n_items}: {result.get('rejected')}")
    whole = time.perf_counter() - begun
    return {"way": way, "n_items": n_items, **result, "whole_s": whole, "peak_mib": memory.peak_mib}


def _environment(folder: str) -> dict[str, str]:
    """Nothing goes to the network, and caches go to the folder."""
    own = {"HOME": folder, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **own}


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All measurements; the ways take turns, round by round."""
    ways = [*OURS, *(DISTILABEL if args.distilabel else [])]
    rows = []
    for number in range(args.rounds):
        for way in ways:
            sizes = [args.items, args.many] if number == 0 and args.many and way in LARGE else [args.items]
            for n_items in sizes:
                rows.append(measure(way, n_items, args.distilabel))
                print(line(rows[-1]), flush=True)
    summary = [summed(way, rows, args.items, args.many) for way in ways]
    table(summary, args)
    return {"items": args.items, "many": args.many, "rows": rows, "summary": summary}


def line(row: Mapping[str, Any]) -> str:
    """A measurement in a line."""
    rate = row["n_items"] / row["seconds"]
    return (
        f"{row['way']:<29} {row['n_items']:>7,} items {row['seconds']:7.2f} s {rate:8,.0f} items/s, "
        f"{row['processor_s']:7.2f} s of processor, peak {row['peak_mib']:6.0f} MiB"
    )


def summed(way: str, rows: Sequence[Mapping[str, Any]], n_items: int, n_many: int) -> dict[str, Any]:
    """Medians over the rounds, and what the large run says."""
    own = [row for row in rows if row["way"] == way and row["n_items"] == n_items]
    large = [row for row in rows if row["way"] == way and row["n_items"] == n_many]
    seconds = statistics.median(row["seconds"] for row in own)
    processor = statistics.median(row["processor_s"] for row in own)
    found = {
        "way": way,
        "items_per_s": n_items / seconds,
        "items_per_processor_s": n_items / processor,
        "peak_mib": statistics.median(row["peak_mib"] for row in own),
        "between_items_per_s": None,
        "many_peak_mib": None,
    }
    if large:
        # Both of the same round, one after the other: what starting costs falls out.
        found["between_items_per_s"] = (n_many - n_items) / (large[0]["seconds"] - own[0]["seconds"])
        found["many_peak_mib"] = large[0]["peak_mib"]
    return found


def table(summary: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> None:
    """Print the medians."""
    many = f"{args.many:,}"
    heads = [
        "way",
        "items/s",
        "items/s of processor",
        f"items/s from {args.items:,} to {many}",
        "peak MiB",
        f"at {many}",
    ]
    print("\n| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for row in summary:
        numbers = (row[key] for key in [*list(row)[1:3], "between_items_per_s", "peak_mib", "many_peak_mib"])
        print(f"| {row['way']} | " + " | ".join("" if n is None else f"{n:,.0f}" for n in numbers) + " |")
    first = summary[0]["items_per_s"]
    print(f"\nGoal {GOAL:,.0f} items/s as a user gets it: {'reached' if first >= GOAL else 'missed'} ({first:,.0f}).")


def main() -> None:
    """Run one way in this process (`--one`), or all in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=40_000, help="items of the large run; 0: none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--distilabel", default="", metavar="PYTHON", help="of an environment that has distilabel")
    parser.add_argument("--one", choices=OURS, help="run this way alone, in this process")
    parser.add_argument("--profile", type=Path, help="with --one: where to write a profile")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = one(args.one, args.items, args.profile) if args.one else run(args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    elif args.one:
        print(found)


if __name__ == "__main__":
    main()
