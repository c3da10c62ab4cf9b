"""What is thrown at the workers: bombs stay within time and memory, and no text is run."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.verify.maths.processes import (
    FAMILY,
    FOLDER,
    descendants,
    needs_proc,
    pss_mib,
    run_script,
)

from teachable.verify.maths.workers import N_WORKERS, Reply, compare


@pytest.fixture(scope="module", autouse=True)
def started() -> None:
    """The zygote's start is nobody's time."""
    assert compare("x + 1", "1 + x").equal is True


BOMBS = [
    ("9^{9^{9}}", "5"),
    ("9**9**9", "5"),
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
    limit_s, slack_s, peak_mib, over = 1.0, 1.0, 0.0, threading.Event()
    ours_mib = 64  # a process that does nothing but verify; this one has been running other tests

    def timed(pair: tuple[str, str]) -> tuple[float, Reply]:
        started = time.monotonic()
        reply = compare(*pair, limit_s=limit_s)
        return time.monotonic() - started, reply

    def watch() -> None:
        nonlocal peak_mib
        while not over.wait(0.05):
            peak_mib = max(peak_mib, pss_mib(descendants(os.getpid())) + ours_mib)

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
spec = importlib.util.spec_from_file_location("worker_algebra", {str(FOLDER / "worker_algebra.py")!r})
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
        done = run_script('compare("x + 1", "1 + x")\n' + FAMILY + _LOOK)
    finally:
        del os.environ["TEACHABLE_TEST_SECRET"]
    assert done.stdout.splitlines() == ["/dev/null", "/dev/null", "False", "0", "0", "32", "5"]


_LOOK = r"""
import re
zygote, worker = family()
limits = pathlib.Path(f"/proc/{worker}/limits").read_text()
print(os.readlink(f"/proc/{worker}/fd/1"))
print(os.readlink(f"/proc/{worker}/fd/2"))
print("SECRET" in pathlib.Path(f"/proc/{worker}/environ").read_text())
for name in ("file size", "processes", "open files"):
    print(re.search(rf"Max {name}\s+(\d+)", limits)[1])
print(os.getpriority(os.PRIO_PROCESS, int(worker)) - os.getpriority(os.PRIO_PROCESS, 0))
"""


@needs_proc
def test_a_worker_writes_nothing_and_starts_nothing(tmp_path: Path) -> None:
    """What a library of the worker would meet if it ran a text after all; each works before the fences are up."""
    (tmp_path / "old").write_text("old")
    trials = [
        f"open({str(tmp_path / 'new')!r}, 'w').write('x')",
        f"open({str(tmp_path / 'old')!r}, 'a').write('x')",
        f"os.open({str(tmp_path / 'new')!r}, os.O_CREAT | os.O_WRONLY)",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        f"os.symlink('/', {str(tmp_path / 'link')!r})",
        "os.system('true') and 1 / 0",
        "subprocess.run(['true'], check=True)",
        "os.fork() or os._exit(0)",
        "socket.socket().connect(('127.0.0.1', 9))",
        "os.kill(os.getppid(), 0)",
    ]
    script = f"""
import importlib.util, os, socket, subprocess
spec = importlib.util.spec_from_file_location("worker", {str(FOLDER / "worker.py")!r})
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
if os.fork() == 0:
    worker._confine(os.getppid(), 28)
    for trial in {trials!r}:
        try:
            exec(trial)
        except OSError as error:  # PermissionError among it
            print("refused", flush=True)
        else:
            print("DONE", trial, flush=True)
    os._exit(0)
os.wait()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    if not _has_landlock():  # then a file may be made, though nothing can be written into it
        trials = [trial for trial in trials if str(tmp_path) not in trial]
    assert done.stdout.count("refused") >= len(trials), done.stdout
    assert (tmp_path / "old").read_text() == "old"


def _has_landlock() -> bool:
    """Whether the kernel has Landlock: asked for its version, it answers with one."""
    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1)) > 0
