"""Over eight hundred hostile answers against the verifier of mathematics: time, memory, and what is left behind.

    python benchmarks/verify_hostile.py [--limit-s 5] [--threads 8] [--family NAME ...] [--workers-only] [--out FILE]

Each pair of `hostile_answers.py` goes through `teachable.verify.check`, from so many threads at once and with that time
limit, in a process that this one starts and watches. Printed: how many were right, wrong and undecided; the longest
wall time of a call against the limit; the peak of real memory of the process and all below it (proportional set size,
which counts a shared page once); what outlived the process, and what files a text made. The exit status is 1 if a call
took longer than the limit and 20%, if the memory passed 512 MiB, if the verdict was "yes" where the sides differ, if a
call raised, or if anything was left behind.

`--workers-only` leaves out extraction and the fast path and gives the raw texts to the computer algebra workers, to see
that these hold by themselves.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from hostile_answers import Case, cases
from process_tree import below, pss_kib
from teachable.verify import check
from teachable.verify.maths import Math
from teachable.verify.maths.workers import compare

MAX_MIB = 512
SLACK = 1.2
Decide = Callable[[Case], tuple[bool | None, str]]


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    family: str
    attempt: str
    answer: str
    equal: bool | None
    reason: str
    wall_s: float
    fault: str  # what was wrong with it; "" if nothing


def through_check(limit_s: float) -> Decide:
    """The way that every user's answer goes."""
    verifier = Math(limit_s=limit_s)

    def decide(case: Case) -> tuple[bool | None, str]:
        verdict = check(case.attempt, case.answer, verifier)
        return verdict.correct, verdict.reason

    return decide


def through_workers(limit_s: float) -> Decide:
    """The workers alone, with nothing before them."""

    def decide(case: Case) -> tuple[bool | None, str]:
        inner = re.fullmatch(r"So the answer is \\boxed\{(.*)\}\.|\\boxed\{(.*)\}", case.attempt, re.DOTALL)
        attempt = (inner[1] or inner[2] or "") if inner else case.attempt
        reply = compare(case.answer, attempt, limit_s)
        return reply.equal, reply.reason

    return decide


def run(chosen: Sequence[Case], decide: Decide, limit_s: float, n_threads: int) -> list[Outcome]:
    """Every case, from so many threads at once; the start of the workers is not part of a call's time."""
    compare("x + 1", "1 + x")

    def one(case: Case) -> Outcome:
        started = time.monotonic()
        fault = ""
        try:
            equal, reason = decide(case)
        except Exception as error:  # a verifier may not raise, whatever the texts say
            equal, reason = None, ""
            fault = f"raised {type(error).__name__}: {error}"[:200]
        wall_s = time.monotonic() - started
        if equal is True and not case.same:
            fault = "called equal"
        if wall_s > limit_s * SLACK:
            fault = f"took {wall_s:.2f} s"
        return Outcome(case.family, case.attempt, case.answer, equal, reason, wall_s, fault)

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(one, chosen))


def watch(process: subprocess.Popen[bytes]) -> tuple[float, list[str]]:
    """Wait for a process: the peak of its memory with all below it in MiB, and the processes that outlive it."""
    peak_mib, seen = 0.0, set[int]()
    while process.poll() is None:
        pids = {process.pid, *below(process.pid)}
        seen |= pids
        peak_mib = max(peak_mib, sum(map(pss_kib, pids)) / 1024)
        time.sleep(0.05)
    time.sleep(1.0)  # what the end of the process ends needs its moment
    return peak_mib, [f"process {pid}" for pid in sorted(seen) if pss_kib(pid)]


def report(outcomes: Sequence[Outcome], limit_s: float, peak_mib: float, left: list[str]) -> bool:
    """Print the figures and everything that was wrong; whether nothing was."""
    verdicts = Counter(_word(outcome.equal) for outcome in outcomes)
    walls = sorted(outcome.wall_s for outcome in outcomes)
    slowest = max(outcomes, key=lambda outcome: outcome.wall_s)
    print(f"{len(outcomes)} cases: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items())))
    print(f"wall: median {walls[len(walls) // 2] * 1e3:.1f} ms, 95% {walls[int(0.95 * len(walls))] * 1e3:.1f} ms")
    print(f"      worst {walls[-1]:.3f} s = {walls[-1] / limit_s:.2f} of the limit ({_shown(slowest)})")
    print(f"memory: {peak_mib:.0f} MiB at most, all processes together")
    for name in sorted({outcome.family for outcome in outcomes}):
        those = [outcome for outcome in outcomes if outcome.family == name]
        counts = Counter(_word(outcome.equal) for outcome in those)
        told = ", ".join(f"{counts[word]:3} {word}" for word in ("no", "undecided", "yes"))
        print(f"  {name:14}{len(those):4} cases: {told}; worst {max(outcome.wall_s for outcome in those):.3f} s")
    faults = [f"{outcome.fault}: {_shown(outcome)} ({outcome.reason})" for outcome in outcomes if outcome.fault]
    faults += [f"left behind: {what}" for what in left]
    faults += [f"{peak_mib:.0f} MiB is over {MAX_MIB}"] if peak_mib > MAX_MIB else []
    print("\n".join(faults) or "nothing wrong")
    return not faults


def _word(equal: bool | None) -> str:
    return "undecided" if equal is None else "yes" if equal else "no"


def _shown(outcome: Outcome) -> str:
    return f"{outcome.family}: {outcome.attempt[:60]!r} against {outcome.answer[:40]!r}"


def main() -> int:
    """Parse, run in a process of its own, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--limit-s", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--family", action="append", help="only this family; may be given several times")
    parser.add_argument("--workers-only", action="store_true")
    parser.add_argument("--out", type=Path, help="write every outcome there, as JSON lines")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)  # the watched process, which writes there
    options = parser.parse_args()
    if options.inside:
        chosen = [case for case in cases() if not options.family or case.family in options.family]
        decide = (through_workers if options.workers_only else through_check)(options.limit_s)
        outcomes = run(chosen, decide, options.limit_s, options.threads)
        options.inside.write_text("".join(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        out, empty = options.out or Path(folder, "outcomes.jsonl"), Path(folder, "empty")
        empty.mkdir()  # the working folder of the watched process: what a text makes by a relative name is found there
        command = [sys.executable, __file__, *sys.argv[1:], "--inside", str(out.absolute())]
        started = time.monotonic()
        process = subprocess.Popen(command, cwd=empty)
        peak_mib, left = watch(process)
        print(f"{time.monotonic() - started:.1f} s with {options.threads} threads, limit {options.limit_s:g} s")
        if process.returncode:
            return 1
        left += [f"file {path.name}" for path in empty.iterdir()]
        outcomes = [Outcome(**json.loads(line)) for line in out.read_text().splitlines()]
    return 0 if report(outcomes, options.limit_s, peak_mib, left) else 1


if __name__ == "__main__":
    sys.exit(main())
