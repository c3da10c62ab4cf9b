"""How many programs a second the verifier `code` decides, against the same programs run as bare processes.

    python benchmarks/code_throughput.py [--programs 100] [--threads N] [--unsafe-no-sandbox]

Three kinds of trivial program, all right, each with a text of its own so that nothing can be remembered:

- `stdin`: one program, one case of standard input and output: one sandbox.
- `tests`: a function and a `check(candidate)` as in HumanEval, the same tests for all: two sandboxes. Whether the tests
  can fail is asked once.
- `own tests`: the same, with tests of its own for each: a third sandbox proves that those can fail.

`bare` runs `exec(program + tests)` in a plain interpreter on as many threads: what no check could be faster than that
trusts nothing else. The bar is 20 programs a second on 2 cores, for each kind.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from teachable.records import Prompt
from teachable.verify.programs import Code

BAR = 20.0

PROGRAM = '''
from typing import List

def running_maximum(numbers: List[int]) -> List[int]:
    """Solution {number}."""
    found: List[int] = []
    for number in numbers:
        found.append(max(found[-1], number) if found else number)
    return found
'''
TESTS = """
METADATA = {{"number": {number}}}

def check(candidate):
    assert candidate([]) == []
    assert candidate([1, 2, 3, 4]) == [1, 2, 3, 4]
    assert candidate([4, 3, 2, 1]) == [4, 4, 4, 4]
    assert candidate([3, 2, 3, 100, {number}]) == [3, 3, 3, 100, max(100, {number})]
    assert candidate(list(range({number} + 1)))[-1] == {number}

check(running_maximum)
"""
READS = "n = int(input())\nprint(n * n)  # {number}\n"


def asked(kind: str, number: int) -> tuple[str, Prompt]:
    """The attempt and the prompt of one program."""
    if kind == "stdin":
        cases = [{"stdin": f"{number}\n", "stdout": f"{number * number}\n"}]
        return READS.format(number=number), Prompt(str(number), "", (), meta={"tests": cases})
    tests = TESTS.format(number=number if kind == "own tests" else 7)
    return f"```python\n{PROGRAM.format(number=number)}\n```", Prompt(str(number), "", (), tests)


def verified(code: Code, kind: str, number: int) -> bool:
    """Whether one program was found right, as it is."""
    return code.verdict(*asked(kind, number)).correct is True


def bare(kind: str, number: int) -> bool:
    """The same program in a plain interpreter, which is believed."""
    text, stdin = PROGRAM.format(number=number) + TESTS.format(number=number), b""
    if kind == "stdin":
        text, stdin = READS.format(number=number), f"{number}\n".encode()
    done = subprocess.run([sys.executable, "-I", "-S", "-c", text], input=stdin, capture_output=True, check=False)
    return done.returncode == 0


def rate(work: Callable[[int], bool], n_programs: int, n_threads: int) -> float:
    """Programs a second; every one must be found right."""
    with ThreadPoolExecutor(n_threads) as pool:
        assert work(10_000)  # what is started once
        begun = time.perf_counter()
        assert all(pool.map(work, range(n_programs)))
        return n_programs / (time.perf_counter() - begun)


def main() -> None:
    """Measure, print, and end with status 1 below the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) + 1)
    parser.add_argument("--unsafe-no-sandbox", action="store_true")
    given = parser.parse_args()
    code = Code(unsafe_no_sandbox=given.unsafe_no_sandbox)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} cores, {given.threads} threads, {given.programs} programs of each kind")
    slowest = float("inf")
    for kind in ("stdin", "tests", "own tests"):
        ours = rate(lambda number, kind=kind: verified(code, kind, number), given.programs, given.threads)  # type: ignore[misc]
        theirs = rate(lambda number, kind=kind: bare(kind, number), given.programs, given.threads)  # type: ignore[misc]
        slowest = min(slowest, ours)
        print(f"{kind:10}  {ours:6.1f} programs/s   bare {theirs:6.1f}/s   {theirs / ours:4.1f} times its time")
    raise SystemExit(slowest < BAR)


if __name__ == "__main__":
    main()
