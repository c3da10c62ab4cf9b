"""The sandbox's bounds: each attack is small enough to succeed as a plain process, and too large for the bounds inside.

After each, nothing is left: no process, no file, and the next run is unharmed.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.verify.programs import sandbox as module
from teachable.verify.programs.sandbox import Bounds, Job, Ran, Sandbox, find_sandbox
from teachable.verify.programs.sandboxes import profile, seccomp

try:
    SANDBOX: Sandbox | None = find_sandbox()
    WHY_NOT = ""
except TeachableError as error:
    SANDBOX, WHY_NOT = None, str(error)
needs_sandbox = pytest.mark.skipif(SANDBOX is None, reason=f"NO SANDBOX: bounds were not tried. {WHY_NOT}")

BOUNDS = Bounds(cpu_s=0.6, wall_s=6, memory_mib=96, n_processes=16, file_mib=4, output_kib=64, disk_mib=16)
MANY = "many processes that each hold a little"
BOMBS = {
    # name: (program, how it may end inside)
    "fork bomb": ("""
import os, time
for n in range(40):
    if os.fork() == 0:
        time.sleep(0.5); os._exit(0)
print("GOT")""", {"processes", "exit"}),
    "thread bomb": ("""
import threading, time
for n in range(40):
    threading.Thread(target=time.sleep, args=(0.5,)).start()
print("GOT")""", {"processes", "exit"}),
    "memory of one process": ("x = b'x' * (200 << 20)\nprint('GOT')", {"exit"}),
    "memory by map": ("""
import mmap
m = mmap.mmap(-1, 200 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
print('GOT')""", {"exit"}),
    MANY: ("""
import os, time
for n in range(4):
    if os.fork() == 0:
        x = b'x' * (50 << 20); time.sleep(1); os._exit(0)
time.sleep(1)
print("GOT")""", {"memory"}),
    "one big file": ("open('f', 'wb').write(b'x' * (20 << 20))\nprint('GOT')", {"exit"}),
    "a sparse file": ("open('s', 'wb').truncate(1 << 33)\nprint('GOT')", {"exit"}),
    "many files": ("for n in range(8): open(f'g{n}', 'wb').write(b'x' * (3 << 20))\nprint('GOT')", {"exit"}),
    "many files in /dev/shm": ("""
for n in range(8):
    open(f'/dev/shm/teachable-{n}', 'wb').write(b'x' * (3 << 20))
print('GOT')""", {"exit"}),
    "empty files without end": ("for n in range(25000): open(f'e{n}', 'w').close()\nprint('GOT')", {"output"}),
    "flood of output": ("""
import sys
for n in range(300):
    sys.stdout.write('x' * 1024)
sys.stdout.flush(); sys.stderr.write('GOT')""", {"output"}),
    "flood of errors": ("""
import sys
for n in range(300):
    sys.stderr.write('x' * 1024)
print('GOT')""", {"output"}),
    "burning a CPU": ("import time\nwhile time.process_time() < 1.0: pass\nprint('GOT')", {"cpu"}),
    "burning by many": ("""
import os, time
for n in range(5):
    pid = os.fork()
    if pid == 0:
        while time.process_time() < 0.2: pass
        os._exit(0)
    os.waitpid(pid, 0)
print("GOT")""", {"cpu"}),
    "deaf to signals": ("""
import signal, time
for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGXCPU, signal.SIGALRM):
    signal.signal(n, signal.SIG_IGN)
time.sleep(1)
print("GOT")""", {"wall"}),
    "sleeping": ("import time; time.sleep(1)\nprint('GOT')", {"wall"}),
}  # fmt: skip


def python(text: str, bounds: Bounds = BOUNDS, **more: object) -> Job:
    return Job(("python", "-I", "-S", "-c", text), bounds=bounds, **more)


def left_over() -> list[str]:
    """Processes of sandboxes of this process that are still there: those below its keepers, and orphans of them."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                words = (path / "cmdline").read_text().split("\0")
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if words[0].endswith("bwrap") and parent in (1, os.getpid()):
                found.append(" ".join(words))
    return found


@needs_sandbox
@pytest.mark.parametrize("name", BOMBS)
def test_bomb(name: str, tmp_path: Path) -> None:
    text, ends = BOMBS[name]
    plain = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    for path in Path("/dev/shm").glob("teachable-[0-7]"):
        path.unlink()
    assert "GOT" in plain.stdout + plain.stderr
    bounds = Bounds(**{**vars(BOUNDS), "wall_s": 0.5 if "wall" in ends else 30})
    started = time.monotonic()
    ran = SANDBOX.run(python(text, bounds))
    assert ran.ended in ends and b"GOT" not in ran.stdout + ran.stderr, ran
    assert ran.ended != "exit" or ran.exit_code != 0
    assert (ran.exit_code is None) == (ran.ended != "exit")
    assert len(ran.stdout) <= 64 << 10 and len(ran.stderr) <= 64 << 10
    assert time.monotonic() - started < bounds.wall_s + 5
    assert_unharmed()


def assert_unharmed() -> None:
    ran = SANDBOX.run(python("import os; print(os.listdir('.'), os.listdir('/tmp/shm'))"))
    assert (ran.ended, ran.stdout) == ("exit", b"[] []\n"), ran


@needs_sandbox
def test_a_daemon_ends_with_its_run(tmp_path: Path) -> None:
    """A double fork with a session of its own outlives a plain process, and not a run."""
    text = """
import os, socket, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        held = socket.socket(fileno=int(sys.argv[1]))
        held.send(b"here")
        time.sleep(20)
    os._exit(0)
"""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            subprocess.run(
                [sys.executable, "-c", text, str(theirs.fileno())], pass_fds=[theirs.fileno()], check=True, timeout=20
            )
        assert ours.recv(9) == b"here"
        ours.settimeout(0.5)
        with pytest.raises(TimeoutError):
            ours.recv(9)  # somebody still holds the other end
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            job = Job(
                ("python", "-I", "-S", "-c", text + "time.sleep(0.3)", "5"), fds={5: theirs.fileno()}, bounds=BOUNDS
            )
            assert SANDBOX.run(job).exit_code == 0
        ours.settimeout(0.5)
        assert ours.recv(9) == b"here"
        assert ours.recv(9) == b""  # nobody does


PARENT = """
import sys, time
from teachable.verify.programs.sandbox import Bounds, Job, find_sandbox
sandbox = find_sandbox(unsafe_no_sandbox=sys.argv[2] == "none")
job = Job(("python", "-I", "-S", "-c", "import time; time.sleep(60)"), fds={4: int(sys.argv[1])})
running = [sandbox.start(job) for n in range(4)]
time.sleep(float(sys.argv[3]))
print("ready", sandbox.start(Job(("true",))).wait().ended if float(sys.argv[3]) else "", flush=True)
time.sleep(60)
"""


@needs_sandbox
@pytest.mark.parametrize(("kind", "delay"), [("bubblewrap", "0.4"), ("bubblewrap", "0"), ("none", "0.4")])
def test_nothing_survives_a_killed_parent(kind: str, delay: str) -> None:
    """After SIGKILL of the process that started them, also while they are being started, no run lives on."""
    read, write = os.pipe()
    command = [sys.executable, "-c", PARENT, str(write), kind, delay]
    with subprocess.Popen(command, pass_fds=[write], stdout=subprocess.PIPE) as parent:
        os.close(write)
        assert parent.stdout is not None and parent.stdout.readline().startswith(b"ready")
        parent.kill()
    ended = threading.Thread(target=os.read, args=(read, 1), daemon=True)
    ended.start()
    ended.join(10)  # the pipe ends when the last process that has it is gone
    assert not ended.is_alive()
    os.close(read)
    deadline = time.monotonic() + 5
    while left_over() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_over() == []


@needs_sandbox
def test_a_killed_keeper_costs_its_runs_and_no_other() -> None:
    sandbox = module.Bubblewrap(module.Keeper(profile.bubblewrap()))
    running = sandbox.start(python("import time; time.sleep(5)"))
    time.sleep(0.2)
    sandbox.keeper._process.kill()
    assert running.wait().ended == "killed"
    assert sandbox.run(python("print(1)")).stdout == b"1\n"


@needs_sandbox
def test_a_run_is_killed_on_demand_and_outlives_the_thread_that_started_it() -> None:
    box = []
    thread = threading.Thread(
        target=lambda: box.append(SANDBOX.start(python("import time; time.sleep(0.5); print('fine')")))
    )
    thread.start()
    thread.join()
    assert box[0].wait().stdout == b"fine\n"
    assert box[0].wait() is box[0].wait()
    running = SANDBOX.start(python("print('begun', flush=True)\nimport time; time.sleep(5)"))
    waiting = ThreadPoolExecutor(1).submit(running.wait)
    time.sleep(0.3)
    running.kill()
    ran = waiting.result(2)
    assert (ran.ended, ran.exit_code, ran.stdout) == ("killed", None, b"begun\n")
    running.kill()


@needs_sandbox
def test_eight_threads_get_their_own_answers() -> None:
    text = "import os; x = open('name').read(); open('out', 'w').write(x * 2); print(x, len(os.listdir('.')))"

    def one(n: int) -> Ran:
        return SANDBOX.run(python(text, files={"name": str(n).encode()}), keep=["out"])

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(40)))
    assert [ran.stdout for ran in found] == [f"{n} 2\n".encode() for n in range(40)]
    assert [ran.files["out"] for ran in found] == [f"{n}{n}".encode() for n in range(40)]


@needs_sandbox
def test_a_run_is_cheap() -> None:
    """On two idle cores it is about 80 programs a second, which `benchmarks/code_throughput.py` measures."""
    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: SANDBOX.run(python("print(1)")), range(40)))
    assert {ran.stdout for ran in found} == {b"1\n"}
    assert 40 / (time.monotonic() - started) >= 5  # beside other tests


@needs_sandbox
def test_files_input_and_output_pass_unchanged() -> None:
    text = (
        "import sys; a = open('a/b/c.txt', 'rb').read()\n"
        "sys.stdout.buffer.write(sys.stdin.buffer.read() + a); sys.stderr.write('e')"
    )
    ran = SANDBOX.run(python(text, files={"a/b/c.txt": b"\xff\x00"}, stdin=b"\xfe" * 5000))
    assert (ran.stdout, ran.stderr, ran.exit_code) == (b"\xfe" * 5000 + b"\xff\x00", b"e", 0)
    unread = SANDBOX.run(python("print(1)", stdin=b"x" * (32 << 20)))
    assert unread.stdout == b"1\n"
    again = SANDBOX.run(
        python("print(len(open('/dev/stdin').read()), open('/dev/stdout', 'w').write(''))", stdin=b"xyz")
    )
    assert again.stdout == b"3 0\n", again


@needs_sandbox
def test_how_a_program_ends_is_told() -> None:
    def ended(*argv: str) -> tuple[str, int | None]:
        ran = SANDBOX.run(Job(argv, bounds=BOUNDS))
        return ran.ended, ran.exit_code

    assert ended("true") == ("exit", 0)
    assert ended("sh", "-c", "exit 7") == ("exit", 7)
    assert ended("sh", "-c", "kill -SEGV $$") == ("signal", -signal.SIGSEGV)
    assert ended("no-such-program") == ("exit", 127)
    too_much = SANDBOX.run(Job(("true",), files={"x": b"x" * (20 << 20)}, bounds=BOUNDS))
    assert too_much.ended == "killed" and b"could not be run" in too_much.stderr


@needs_sandbox
def test_packages_are_shown_on_request() -> None:
    text = "import numpy, sys; print(int(numpy.ones(3).sum()), sys.prefix != sys.base_prefix)\nimport teachable"
    bounds = Bounds(memory_mib=512)
    with_them = SANDBOX.run(Job(("python", "-I", "-c", text), site_packages=True, bounds=bounds))
    assert with_them.stdout == b"3 True\n" and b"No module named 'teachable'" in with_them.stderr, with_them
    without = SANDBOX.run(Job(("python", "-I", "-c", text), bounds=bounds))
    assert b"True" not in without.stdout and without.exit_code == 1
    shown = "import os, sys; print(os.path.exists(sys.argv[1]))"
    packages = sysconfig.get_path("purelib")
    for site_packages in (True, False):
        ran = SANDBOX.run(Job(("python", "-I", "-c", shown, packages), site_packages=site_packages, bounds=bounds))
        assert ran.stdout == f"{site_packages}\n".encode()


@needs_sandbox
def test_other_languages_run_from_what_was_compiled() -> None:
    ran = SANDBOX.run(Job(("sh", "-c", "printf '#!/bin/sh\\necho hi' > main; sync"), bounds=BOUNDS), keep=["main"])
    assert SANDBOX.run(Job(("./main",), files=ran.files, bounds=BOUNDS)).stdout == b"hi\n"


def test_without_a_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither where bubblewrap is missing nor where it fails; the errors say what to do."""
    module._bubblewrap.cache_clear()
    try:
        monkeypatch.setattr(profile.shutil, "which", lambda name, path=None: None)
        with pytest.raises(TeachableError, match=r"apt-get install bubblewrap.*--unsafe-no-sandbox"):
            find_sandbox()
        broken = tmp_path / "bwrap"
        script = "#!/bin/sh\necho bwrap: setting up uid map: Permission denied >&2\nexit 1\n"
        # By another process: a file that a thread of ours might hand to a child while it is written can't be executed.
        subprocess.run(["sh", "-c", 'cat > "$0"', str(broken)], input=script.encode(), check=True)
        broken.chmod(0o755)
        for path in (tmp_path, *tmp_path.parents):
            if not path.stat().st_mode & 0o001:  # root runs programs as somebody else, who has to get there
                path.chmod(0o755)
        monkeypatch.setattr(profile.shutil, "which", lambda name, path=None: str(broken))
        with pytest.raises(TeachableError, match=r"uid map: Permission denied.*sysctl.*docker run"):
            find_sandbox()
        monkeypatch.setattr(profile.platform, "machine", lambda: "riscv64")
        with pytest.raises(TeachableError, match="riscv64"):
            find_sandbox()
    finally:
        module._bubblewrap.cache_clear()


def test_a_plain_process_on_request(tmp_path: Path) -> None:
    sandbox = find_sandbox(unsafe_no_sandbox=True)
    assert sandbox.name == "none"
    text = "import os; print(sorted(os.environ)); open('out', 'w').write(open('in').read()); print(os.getcwd())"
    ran = sandbox.run(python(text, files={"in": b"x"}), keep=["out"])
    assert ran.ended == "exit" and ran.files == {"out": b"x"}
    assert not Path(ran.stdout.splitlines()[-1].decode()).exists(), "its folder is removed"
    assert sandbox.run(python("import time; time.sleep(9)", Bounds(wall_s=0.3))).ended == "wall"
    assert sandbox.run(python("while True: print('x' * 1000)")).ended == "output"
    assert b"MemoryError" in sandbox.run(python("x = b'x' * (1 << 30)")).stderr
    assert sandbox.run(Job(("no-such-program",))).exit_code == 127


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_a_sound_program(machine: str) -> None:
    """Every jump stays inside, and every path ends in a verdict: run here on calls as the kernel would."""
    steps = seccomp.program(machine)
    table = seccomp.MACHINES[machine]

    def verdict(number: int, *arguments: int, token: int = table.token) -> int:
        return _interpret(steps, number, token, arguments)

    assert verdict(table.refused["ptrace"]) == 0x00050001
    assert verdict(table.absent["clone3"]) == 0x00050026
    assert verdict(table.clone, 0x10000011) == 0x00050001 and verdict(table.clone, 17) == 0x7FFF0000
    assert verdict(table.clone, 0x3D0F00) == 0x7FFF0000, "a thread"
    assert verdict(table.socket, 2) == 0x00050001 and verdict(table.socket, 1) == 0x7FFF0000
    assert verdict(table.ioctl, 0, 0x5412) == 0x00050001 and verdict(table.ioctl, 0, 0x5401) == 0x7FFF0000
    assert verdict(table.ioctl, 0, (1 << 32) | 0x5412) == 0x00050001, "the kernel reads the low half only"
    assert verdict(table.mmap, 0, 0, 0, 0x21) == 0x00050001 and verdict(table.mmap, 0, 0, 0, 0x22) == 0x7FFF0000
    assert verdict(table.mmap, 0, 0, 0, 0x23) == 0x00050001 and verdict(table.mmap, 0, 0, 0, 0x01) == 0x7FFF0000
    assert verdict(1, token=1) == 0x80000000 and verdict(0x40000001) == 0x80000000
    named = {*table.refused.values(), *table.absent.values()}
    assert len(named) == len(table.refused) + len(table.absent)
    special = {table.clone, table.socket, table.socketpair, table.ioctl, table.mmap}
    assert all(
        (verdict(number, 1) == 0x7FFF0000) != (number in named) for number in range(500) if number not in special
    )


def _interpret(steps: bytes, number: int, token: int, arguments: tuple[int, ...]) -> int:
    """Classic BPF, as far as the filter uses it."""
    data = struct.pack("<IIQ6Q", number, token, 0, *arguments, *[0] * (6 - len(arguments)))
    at = held = 0
    while True:
        code, if_true, if_false, operand = struct.unpack_from("<HBBI", steps, 8 * at)
        at += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            (held,) = struct.unpack_from("<I", data, operand)
        else:
            holds = {0x15: held == operand, 0x35: held >= operand, 0x45: bool(held & operand)}[code]
            at += if_true if holds else if_false
