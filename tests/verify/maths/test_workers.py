"""The workers that run math-verify: whoever calls them, whatever is thrown at them, and whoever is killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.verify.maths import workers
from teachable.verify.maths.workers import N_WORKERS, Reply, compare, compare_async

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SPINS = (r"\sum_{k=1}^{10000000}\frac{1}{k^2+k+x}", "x")  # minutes, and no memory
PROLOGUE = """
import asyncio, os, signal, subprocess, sys, threading, time
from teachable.verify.maths.workers import compare, compare_async
SPINS = {spins!r}
"""


@pytest.fixture(scope="module", autouse=True)
def _started() -> None:
    """The zygote's start is nobody's time."""
    assert compare("x + 1", "1 + x").equal is True


def _descendants(root: int) -> set[int]:
    """The process ids below a process."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        children.setdefault(parent, []).append(int(folder.name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        new = children.get(waiting.pop(), [])
        found.update(new)
        waiting += new
    return found


def _processes(root: int) -> tuple[int, set[int]]:
    """The zygote below a process, and its workers."""
    zygotes = [pid for pid in _descendants(root) if _is_ours(pid) and not _is_ours(_parent(pid))]
    assert len(zygotes) == 1, zygotes
    return zygotes[0], _descendants(zygotes[0])


def _is_ours(pid: int) -> bool:
    try:
        return b"worker.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _lives(pid: int) -> bool:
    """Whether the process runs; one that is dead and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _until(holds: Callable[[], bool], patience_s: float = 10.0) -> bool:
    deadline = time.monotonic() + patience_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def _busy(root: int) -> set[int]:
    """The workers that compute now."""
    return {pid for pid in _processes(root)[1] if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][1] == "R"}


@pytest.fixture
def spinning() -> Iterator[list[Reply]]:
    """A thread of ours that waits for a pair which never ends; the list gets its reply."""
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(compare(*SPINS, limit_s=3)))
    thread.start()
    assert _until(lambda: len(_busy(os.getpid())) == 1)
    yield replies
    thread.join(15)


# Who calls.


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
    assert time.monotonic() - started < 2.0  # those that waited for a worker were not begun


def test_two_thousand_honest_pairs_at_once_are_all_decided() -> None:
    async def ask() -> list[Reply]:
        pairs = [(f"x + {i}", f"{i} + x") if i % 2 else (f"x + {i}", f"x + {i + 1}") for i in range(2000)]
        return list(await asyncio.gather(*(compare_async(*pair, limit_s=2.0) for pair in pairs)))

    assert [reply.equal for reply in asyncio.run(ask())] == [bool(i % 2) for i in range(2000)]


def _script(code: str, *, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program with `compare` at hand; its stderr must stay empty."""
    command = [sys.executable, "-W", "default", "-c", before + PROLOGUE.format(spins=SPINS) + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    return done


def test_from_a_forked_child() -> None:
    """A child of `os.fork` gets workers of its own, here while another thread compares as it is forked."""
    done = _script(
        """
assert compare("x + 1", "1 + x").equal is True
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
    assert compare("x + 1", "1 + x").equal is True
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            replies = pool.starmap(compare, [("x + 2", "2 + x"), ("x + 3", "x")])
        assert [reply.equal for reply in replies] == [True, False]
    print("fine")
"""
    )
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("fine\n", "")


# Who is killed.


@needs_proc
def test_a_worker_that_is_killed_costs_its_own_pair_only(spinning: list[Reply]) -> None:
    (victim,) = _busy(os.getpid())
    os.kill(victim, signal.SIGKILL)
    assert _until(lambda: bool(spinning))
    assert spinning[0].equal is None
    assert compare("k + 1", "1 + k").equal is True


@needs_proc
def test_idle_workers_that_are_killed_cost_nothing() -> None:
    for victim in _processes(os.getpid())[1]:
        os.kill(victim, signal.SIGKILL)
    assert compare("k + 2", "2 + k").equal is True


@needs_proc
def test_the_zygote_is_killed_while_idle() -> None:
    zygote, before = _processes(os.getpid())
    os.kill(zygote, signal.SIGKILL)
    assert compare("k + 3", "3 + k").equal is True
    assert _until(lambda: not any(map(_lives, before)))


@needs_proc
def test_the_zygote_is_killed_while_a_worker_computes(spinning: list[Reply]) -> None:
    zygote, before = _processes(os.getpid())
    os.kill(zygote, signal.SIGKILL)
    assert _until(lambda: bool(spinning))
    assert spinning[0].equal is None
    assert compare("k + 4", "4 + k").equal is True
    assert _until(lambda: not any(map(_lives, before)))


@needs_proc
def test_nothing_outlives_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", PROLOGUE.format(spins=SPINS) + "compare(*SPINS, limit_s=60)"]
    parent = subprocess.Popen(command)
    try:
        assert _until(lambda: bool(_descendants(parent.pid)), 20)
        assert _until(lambda: len(_busy(parent.pid)) == 1, 20)
        below = _descendants(parent.pid)
        assert len(below) == 2
    finally:
        parent.kill()
        parent.wait()
    assert _until(lambda: not any(map(_lives, below)), 5)


@needs_proc
def test_the_interpreter_ends_at_once_and_in_silence() -> None:
    """Idle; with a daemon thread that waits for a verdict; after a coroutine gave up waiting."""
    works = [
        'compare("x + 1", "1 + x")',
        "threading.Thread(target=compare, args=SPINS, kwargs=dict(limit_s=60), daemon=True).start(); time.sleep(4)",
        "asyncio.run(asyncio.wait_for(compare_async(*SPINS, limit_s=60), 4))",
    ]
    scripts = [f"try:\n    {work}\nexcept TimeoutError:\n    pass\n{_BELOW}print(zygote, *workers)" for work in works]
    started = time.monotonic()
    with ThreadPoolExecutor(len(scripts)) as pool:
        outcomes = list(pool.map(_script, scripts))
    assert time.monotonic() - started < 20
    for done in outcomes:
        pids = [int(pid) for pid in done.stdout.split()]
        assert done.returncode == 0 and len(pids) == 2 and not any(map(_lives, pids))


_BELOW = """
import pathlib
def below(pid):
    return " ".join(file.read_text() for file in pathlib.Path(f"/proc/{pid}/task").glob("*/children")).split()
(zygote,) = below(os.getpid())
workers = below(zygote)
"""


# What is thrown at them.

BOMBS = [
    ("9^{9^{9}}", "5"),
    ("9^{9^{9}}x", "9^{9^{9}}y"),
    (r"\gcd(9^{9^9},5)", "1"),
    (r"\prod_{k=1}^{99999999} k", "99999999!"),
    ("((((((((((3!)!)!)!)!)!)!)!)!)!)!", "7"),
    (r"\binom{10^9}{5 \cdot 10^8}", "1"),
    ("1e999999999", "5"),
    ("(" * 900 + "2" + ")" * 900, "3"),
    (r"\sqrt{" * 900 + "2" + "}" * 900, "3"),
    (
        r"\begin{vmatrix}"
        + r"\\".join("&".join(f"x_{{{12 * i + j}}}" for j in range(12)) for i in range(12))
        + r"\end{vmatrix}",
        "0",
    ),
    ("7" * 20_000 + "x", "x"),
    ("x^{300}-x^7=1", "x^{300}-x^8=1"),
    (r"\operatorname{zeros}(9999,9999)", r"\operatorname{ones}(9999,9999)"),
    (r"\lim_{x\to 0}\frac{\sin(\sin(\sin x))-x^{x^x}}{x^{55}}", "5"),
    ("a" * 10_000, "b"),
    ("\x00\ud800", "\udfff{}}"),
]


def test_bombs_stay_within_time_and_memory() -> None:
    limit_s, slack_s, peak_mib, over = 1.0, 0.25, 0.0, threading.Event()

    def timed(pair: tuple[str, str]) -> tuple[float, Reply]:
        started = time.monotonic()
        reply = compare(*pair, limit_s=limit_s)
        return time.monotonic() - started, reply

    def watch() -> None:
        nonlocal peak_mib
        while not over.wait(0.05):
            peak_mib = max(peak_mib, _pss_mib(_descendants(os.getpid()) | {os.getpid()}))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(N_WORKERS) as pool:
        outcomes = list(pool.map(timed, BOMBS))
    over.set()
    watcher.join()
    assert [pair[0][:30] for pair, (_, reply) in zip(BOMBS, outcomes, strict=True) if reply.equal is True] == []
    assert sum(reply.equal is None for _, reply in outcomes) >= 5
    assert max(seconds for seconds, _ in outcomes) < limit_s + slack_s
    assert peak_mib < 512


def _pss_mib(pids: set[int]) -> float:
    """What the processes hold of real memory, shared pages by their share; 0 where there is no /proc."""
    kib = 0
    for pid in pids:
        try:
            kib += int(re.findall(r"(?m)^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text())[0])
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    return kib / 1024


@needs_proc
def test_memory_is_bounded() -> None:
    """A worker that asks for more than its share is refused, and the next pair is served."""
    reply = compare(r"\gcd(9^{9^9},7)", "1", limit_s=20)
    assert reply == Reply(None, "comparing them took too much memory")
    assert compare("m + 1", "1 + m").equal is True


CODE = '__import__("os").system("touch {file}")'
DISGUISES = [
    CODE,
    f"${CODE}$",
    rf"\text{{{CODE}}}",
    rf"\operatorname{{{CODE}}}(1)",
    rf"\frac{{{CODE}}}{{2}}",
    f"1+{CODE}",
    f"x_{{{CODE}}}",
    f"f({CODE})",
    rf"\variable{{{CODE}}}",
    rf"\begin{{pmatrix}}{CODE}\end{{pmatrix}}",
    f"[{CODE}]",
    rf"\{{{CODE}\}}",
    f"(lambda: {CODE})()",
    "exec(\"import os; os.system('touch {file}')\")",
    "open('{file}', 'w')",
    "1 if [].append(open('{file}','w')) else 2",
    r"\gcd(open('{file}','w'),2)",
    "().__class__.__base__.__subclasses__()",
    "{{open('{file}','w')}}",
    r"\mathrm{{open('{file}','w')}} = 5",
    "5; open('{file}','w')",
    "５＋__import__('os').system('touch {file}')",
    "f''{open('{file}','w')}''",
    "S('open(1)') + Symbol(\"open('{file}','w')\")",
]


def test_no_text_is_run(tmp_path: Path) -> None:
    file = tmp_path / "touched"
    for disguise in DISGUISES:
        text = disguise.replace("{file}", str(file))
        assert compare(text, "5").equal is not True
        assert compare("5", text).equal is not True
        assert compare(text, f"{text} + 1").equal is not True
    assert not file.exists()


def test_no_text_reaches_the_compiler(tmp_path: Path) -> None:
    """The same without a worker's fences, in a process that says what it compiles."""
    script = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("worker_algebra", {str(Path(workers.__file__).with_name("worker_algebra.py"))!r})
algebra = sys.modules["worker_algebra"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(algebra)
algebra.warm_up()
def hook(event, arguments):
    if event == "compile" and str(arguments[1]).startswith("<") and b"monomial_" not in bytes(arguments[0]):
        print("compiles", arguments)
sys.addaudithook(hook)
for text in {[text.replace("{file}", str(tmp_path / "touched")) for text in DISGUISES]!r}:
    algebra.compare(text, "5")
    algebra.compare("5", text)
    algebra.compare(text, text + "+1")
eval("1 + 1")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("compiles") == 1, done.stdout  # the last line's, which shows that the hook works
    assert not (tmp_path / "touched").exists()


@needs_proc
def test_what_a_worker_may_do() -> None:
    """No output, no environment, no files, no processes; and it yields to others."""
    os.environ["TEACHABLE_TEST_SECRET"] = "secret"
    try:
        done = _script('compare("x + 1", "1 + x")\n' + _BELOW + _LOOK)
    finally:
        del os.environ["TEACHABLE_TEST_SECRET"]
    assert done.stdout.splitlines() == ["/dev/null", "/dev/null", "False", "0", "0", "32", "5"]


_LOOK = r"""
import re
(worker,) = workers
limits = pathlib.Path(f"/proc/{worker}/limits").read_text()
print(os.readlink(f"/proc/{worker}/fd/1"))
print(os.readlink(f"/proc/{worker}/fd/2"))
print("SECRET" in pathlib.Path(f"/proc/{worker}/environ").read_text())
for name in ("file size", "processes", "open files"):
    print(re.search(rf"Max {name}\s+(\d+)", limits)[1])
print(os.getpriority(os.PRIO_PROCESS, int(worker)) - os.getpriority(os.PRIO_PROCESS, 0))
"""


# The rest of the contract.


def test_what_cannot_be_read_is_not_wrong() -> None:
    assert compare("x + 1", r"\frac{x") == Reply(None, "the computer algebra system could not read the attempt")
    assert compare(r"\frac{x", "x + 1") == Reply(None, "the computer algebra system could not read the reference")


def test_a_pair_is_computed_once() -> None:
    pair = (r"\int_0^1 x^3 dx", r"\frac{1}{4}")
    assert compare(*pair).equal is True
    started = time.monotonic()
    assert all(compare(*pair).equal for _ in range(1000))
    assert time.monotonic() - started < 0.2


def test_a_verdict_that_time_made_is_not_remembered() -> None:
    pair = (r"\int_0^1 (x^5 + x^4) dx", r"\frac{11}{30}")
    assert compare(*pair, limit_s=0.001).equal is None
    assert compare(*pair).equal is True


def test_the_parents_path_and_its_faults(tmp_path: Path) -> None:
    """A worker imports what this process would; where that fails, the user hears why."""
    (tmp_path / "math_verify.py").write_text("raise RuntimeError('planted')")
    done = _script(
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
