"""The workers that run math-verify: whoever calls them gets a verdict."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.verify.maths.processes import (
    SPINS,
    run_script,
)

from teachable.errors import TeachableError
from teachable.verify.maths.workers import N_WORKERS, Reply, compare, compare_async


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    """The zygote's start is nobody's time."""
    assert compare("x + 1", "1 + x").equal is True


def test_from_eight_threads_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        pairs = [(f"(x+{i})^2", f"x^2 + {2 * i}x + {i * i + i % 2}") for i in range(64)]
        replies = list(pool.map(lambda pair: compare(*pair), pairs))
    assert [reply.equal for reply in replies] == [i % 2 == 0 for i in range(64)]


def test_inside_an_event_loop() -> None:
    async def both() -> tuple[Reply, Reply]:
        return compare("a + b", "b + a"), await compare_async("a + b", "b + 2a")

    first, second = asyncio.run(both())
    assert first.equal is True and second.equal is False


def test_waiting_does_not_block_the_loop() -> None:
    async def beats() -> tuple[int, Reply]:
        work = asyncio.create_task(compare_async(*SPINS, limit_s=0.5))
        n_beats = 0
        while not work.done():
            await asyncio.sleep(0.01)
            n_beats += 1
        return n_beats, await work

    n_beats, reply = asyncio.run(beats())
    assert reply.equal is None and n_beats > 10


def test_a_cancelled_wait_harms_nobody() -> None:
    async def cancel() -> Reply:
        tasks = [asyncio.create_task(compare_async(*SPINS, limit_s=0.4)) for _ in range(3 * N_WORKERS)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return await compare_async("u + 1", "1 + u")

    started = time.monotonic()
    assert asyncio.run(cancel()).equal is True
    assert time.monotonic() - started < 10.0  # those that waited for a worker were not begun


def test_two_thousand_honest_pairs_at_once_are_all_decided() -> None:
    async def ask() -> list[Reply]:
        pairs = [(f"x + {i}", f"{i} + x") if i % 2 else (f"x + {i}", f"x + {i + 1}") for i in range(2000)]
        return list(await asyncio.gather(*(compare_async(*pair, limit_s=2.0) for pair in pairs)))

    assert [reply.equal for reply in asyncio.run(ask())] == [bool(i % 2) for i in range(2000)]


def test_from_a_forked_child() -> None:
    """A child of `os.fork` gets workers of its own, here while another thread compares as it is forked."""
    done = run_script(
        """
assert compare("x + 1", "1 + x").equal is True
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads about: the very thing that is tested
threading.Thread(target=compare, args=SPINS, kwargs=dict(limit_s=1.5)).start()
time.sleep(0.3)
pid = os.fork()
if pid == 0:
    os._exit(0 if compare("y + 1", "1 + y").equal is True else 1)
assert os.waitpid(pid, 0)[1] == 0
print(compare("z + 1", "1 + z").equal)
"""
    )
    assert done.stdout == "True\n"


def test_from_children_of_multiprocessing(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(
        """
import multiprocessing, sys
from teachable.verify.maths.workers import compare
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            replies = pool.starmap(compare, [("x + 2", "2 + x"), ("x + 3", "x")])
        assert [reply.equal for reply in replies] == [True, False]
    print("fine")
"""
    )
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_what_cannot_be_read_is_not_wrong() -> None:
    assert compare("x + 1", r"\frac{x") == Reply(None, "the computer algebra system could not read the attempt")
    assert compare(r"\frac{x", "x + 1") == Reply(None, "the computer algebra system could not read the reference")


def test_a_pair_is_computed_once() -> None:
    pair = (r"\int_0^1 x^3 dx", r"\frac{1}{4}")
    assert compare(*pair).equal is True
    started = time.monotonic()
    assert all(compare(*pair).equal for _ in range(1000))
    assert time.monotonic() - started < 2.0


def test_a_verdict_that_time_made_is_not_remembered() -> None:
    pair = (r"\int_0^1 (x^5 + x^4) dx", r"\frac{11}{30}")
    assert compare(*pair, limit_s=0.001).equal is None
    assert compare(*pair).equal is True


def test_the_parents_path_and_its_faults(tmp_path: Path) -> None:
    """A worker imports what this process would; where that fails, the user hears why."""
    (tmp_path / "math_verify.py").write_text("raise RuntimeError('planted')")
    done = run_script(
        """
from teachable.errors import TeachableError
try:
    compare("x", "x")
except TeachableError as error:
    print(error)
""",
        before=f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n",
    )
    assert "can't be started: RuntimeError: planted" in done.stdout


@pytest.mark.parametrize("limit_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_must_be_a_time(limit_s: float) -> None:
    with pytest.raises(TeachableError, match="no time to compare"):
        compare("x", "x", limit_s)
