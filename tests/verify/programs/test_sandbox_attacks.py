"""Attacks on the sandbox: each is run as a plain process first, where it succeeds, and then inside, where it fails.

A program prints GOT when it has what it wants; whatever stops it raises, and the frame around it prints REFUSED. So an
attack that died of something else counts as neither.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.verify.programs.sandbox import Bounds, Job, Sandbox, find_sandbox

try:
    SANDBOX: Sandbox | None = find_sandbox()
    WHY_NOT = ""
except TeachableError as error:
    SANDBOX, WHY_NOT = None, str(error)
pytestmark = pytest.mark.skipif(SANDBOX is None, reason=f"NO SANDBOX: attacks were not tried. {WHY_NOT}")

TOKEN = "token-7f3a9c"
IS_ROOT = os.geteuid() == 0
BOUNDS = Bounds(cpu_s=5, wall_s=10, memory_mib=128, n_processes=16, file_mib=4, output_kib=64, disk_mib=16)
FRAME = """
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def refuse_unless(done):
    if not done:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
try:
{body}
except Exception as error:
    print("REFUSED", type(error).__name__, error)
"""


@dataclass(frozen=True)
class World:
    """What is there to be attacked, outside."""

    folder: Path  # may be written by everybody
    names: dict[str, str]  # placeholder -> Python literal
    victim: subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A home with a secret, a ledger, listening sockets, and a process with a key in its environment."""
    folder = tmp_path_factory.mktemp("world")
    for path in (folder, *folder.parents[:3]):
        if path.stat().st_uid == os.geteuid() and path != Path("/tmp"):
            path.chmod(0o777)  # nothing but the sandbox shall stand before it
    (folder / "secret").write_text(TOKEN)
    (folder / "secret").chmod(0o666)
    with sqlite3.connect(folder / "ledger.sqlite") as ledger:
        ledger.execute("create table completions (text)")
        ledger.execute("insert into completions values (?)", (TOKEN,))
    ledger.close()
    servers = [_listen(socket.AF_INET, ("127.0.0.1", 0)), _listen(socket.AF_UNIX, str(folder / "socket"))]
    servers.append(_listen(socket.AF_UNIX, f"\0teachable-{os.getpid()}"))
    has_v6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") and bool(Path("/proc/net/if_inet6").read_text())
    servers += [_listen(socket.AF_INET6, ("::1", 0))] if has_v6 else []
    (folder / "socket").chmod(0o777)
    command = [sys.executable, "-c", "import time; time.sleep(600)", TOKEN]
    with subprocess.Popen(command, env={"API_KEY": TOKEN}) as victim:
        names = {
            "SECRET": str(folder / "secret"),
            "FOLDER": str(folder),
            "LEDGER": str(folder / "ledger.sqlite"),
            "PORT_6": servers[3].getsockname()[1] if has_v6 else 0,
            "PORT": servers[0].getsockname()[1],
            "UNIX": str(folder / "socket"),
            "ABSTRACT": f"\0teachable-{os.getpid()}",
            "VICTIM": victim.pid,
            "TOKEN": TOKEN,
        }
        yield World(folder, {name: repr(value) for name, value in names.items()}, victim)
        victim.kill()
    for server in servers:
        server.close()


def _listen(family: int, address: object) -> socket.socket:
    server = socket.socket(family, socket.SOCK_STREAM)
    server.bind(address)
    server.listen(50)
    return server


def program(body: str, world: World) -> str:
    """The attack in its frame, with the names of the world in it."""
    for name, value in world.names.items():
        body = body.replace(f"${name}", value)
    return FRAME.format(body="\n".join(f"    {line}" for line in body.strip().splitlines()))


def outside(text: str, folder: Path) -> str:
    """What the program prints as a plain process of ours."""
    (folder / "cwd").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", text],
        cwd=folder / "cwd",
        capture_output=True,
        timeout=60,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def python(text: str, bounds: Bounds = BOUNDS) -> Job:
    return Job(("python", "-I", "-S", "-c", text), bounds=bounds)


def assert_unharmed() -> None:
    """The next program runs as if nothing had been."""
    text = "import os; print(os.listdir('.'), len([p for p in os.listdir('/proc') if p.isdigit()]))"
    ran = SANDBOX.run(python(text))
    assert (ran.ended, ran.stdout) == ("exit", b"[] 2\n"), ran


# What succeeds for every user outside.
READING = {
    "a secret in a home": "print('GOT', open($SECRET).read())",
    "a folder of ours": "print('GOT', os.listdir($FOLDER))",
    "the ledger": """
import sqlite3
ledger = sqlite3.connect('file:' + $LEDGER + '?mode=ro', uri=True)
print('GOT', ledger.execute('select text from completions').fetchone())""",
    "another process's environment": "print('GOT', open(f'/proc/{$VICTIM}/environ').read())",
    "another process's command line": """
found = [p for p in os.listdir('/proc') if p.isdigit() and p != str(os.getpid())
         and $TOKEN in open(f'/proc/{p}/cmdline').read()]
print('GOT', found[0])""",
    "the root folder of a process": """
seen = [p for p in os.listdir('/proc') if p.isdigit() and os.path.exists(f'/proc/{p}/root' + $SECRET)]
print('GOT', seen[0])""",
    "the working folder of a process": """
seen = []
for p in filter(str.isdigit, os.listdir('/proc')):
    try:
        seen += [p] if os.readlink(f'/proc/{p}/cwd') not in ('/tmp/work', '/') else []
    except OSError:
        pass
print('GOT', seen[0])""",
    "the machine's processes": "print('GOT', [p for p in os.listdir('/proc') if p.isdigit()][5])",
    "the machine's name": "refuse_unless(os.uname().nodename != 'sandbox'); print('GOT')",
    "other folders of the machine": """
print('GOT', [n for n in ('/home', '/root', '/var', '/run', '/mnt') if os.path.isdir(n) and os.listdir(n)][1])""",
    "the system's users": "refuse_unless(open('/etc/passwd').read().count(':') > 25); print('GOT')",
    "the network's interfaces": "print('GOT', os.listdir('/sys/class/net'))",
}  # fmt: skip
WRITING = {
    "a file outside": "open($FOLDER + '/planted', 'w').write('x'); print('GOT')",
    "the secret": "open($SECRET, 'a').close(); print('GOT')",
    "a hard link": "os.link($SECRET, $FOLDER + '/linked-' + str(os.getpid())); print('GOT')",
    "a rename": "os.mkdir($FOLDER + '/d' + str(os.getpid())); print('GOT')",
    "the temporary folder of the machine": """
open('/tmp/teachable-planted', 'w').close()
refuse_unless(os.path.exists($SECRET))
os.unlink('/tmp/teachable-planted'); print('GOT')""",
}
CONNECTING = {
    "loopback": "socket.create_connection(('127.0.0.1', $PORT), 3); print('GOT')",
    "loopback by IPv6": "socket.create_connection(('::1', $PORT_6), 3); print('GOT')",
    "a socket with a path": "socket.socket(socket.AF_UNIX).connect($UNIX); print('GOT')",
    "a socket without a path": "socket.socket(socket.AF_UNIX).connect($ABSTRACT); print('GOT')",
    "a datagram": """
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9)); print('GOT')""",
    "a netlink socket": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); print('GOT')",
}
REACHING = {
    "a signal to a process": "os.kill($VICTIM, 0); print('GOT')",
    "tracing": "refuse_unless(libc.ptrace(0, 0, 0, 0) == 0); print('GOT')",
    "another process's memory": """
class Part(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('size', ctypes.c_size_t)]
word, copy = ctypes.create_string_buffer(b'secret'), ctypes.create_string_buffer(6)
here, there = Part(ctypes.addressof(copy), 6), Part(ctypes.addressof(word), 6)
refuse_unless(libc.process_vm_readv(os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0) == 6)
print('GOT', copy.value)""",
    "a namespace of its own": "refuse_unless(libc.unshare(0x10000000) == 0); print('GOT')",
    "a namespace's descriptor": """
entered = libc.setns(os.open('/proc/self/ns/user', os.O_RDONLY), 0) == 0
refuse_unless(entered or ctypes.get_errno() == 22)  # 22: into one's own there is no way, but one may try
print('GOT')""",
    "memory without an owner": "os.memfd_create('x'); print('GOT')",
    "shared memory of System V": "refuse_unless(libc.shmget(0, 4096, 0o1600) >= 0); print('GOT')",
    "shared memory that nobody holds": "import mmap; mmap.mmap(-1, 4096); print('GOT')",
    "gaining rights by exec": "refuse_unless('NoNewPrivs:\\t0' in open('/proc/self/status').read()); print('GOT')",
    "a filter-free life": "refuse_unless('Seccomp:\\t0' in open('/proc/self/status').read()); print('GOT')",
    "another personality": "refuse_unless(libc.personality(0x0040000) >= 0); print('GOT')",
    "a zero device": "open('/dev/zero').close(); print('GOT')",
}  # fmt: skip
# What needs root outside, so that it is shown there only as root.
AS_ROOT = {
    "/etc/shadow": "print('GOT', open('/etc/shadow').read())",
    "a file in /usr": "os.close(os.open('/usr', os.O_TMPFILE | os.O_WRONLY)); print('GOT')",
    "a file in the interpreter": "os.close(os.open(sys.base_prefix, os.O_TMPFILE | os.O_WRONLY)); print('GOT')",
    "a device node": "os.mknod('node', 0o20666, os.makedev(1, 5)); os.unlink('node'); print('GOT')",
    "chroot": "os.chroot('.'); print('GOT')",
    "a mount": """
os.makedirs('at', exist_ok=True)
refuse_unless(libc.mount(b'none', b'at', b'tmpfs', 0, None) == 0)
libc.umount2(b'at', 2); print('GOT')""",
    "unmounting": "refuse_unless(libc.umount2(b'at', 0) == 0 or ctypes.get_errno() == 22); print('GOT')",
    "the kernel's settings": "os.close(os.open('/proc/sys/kernel/hostname', os.O_WRONLY)); print('GOT')",
    "what the kernel runs for a core": "os.close(os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY)); print('GOT')",
    "another process's files": """
for pid in ($VICTIM, 1):
    refuse_unless(not os.path.isdir(f'/proc/{pid}') or os.listdir(f'/proc/{pid}/root/'))
    if os.path.isdir(f'/proc/{pid}'):
        break
print('GOT', pid)""",
    "another process's memory by file": """
for pid in ($VICTIM, 1):
    if os.path.isdir(f'/proc/{pid}'):
        os.close(os.open(f'/proc/{pid}/mem', os.O_RDWR))
        break
print('GOT', pid)""",
    "another user": "os.setuid(12345); print('GOT')",
    "the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, time.time()); print('GOT')",
    "the machine's log": "refuse_unless(libc.klogctl(10, None, 0) > 0); print('GOT')",
}


@pytest.mark.parametrize(
    ("body", "needs_root"),
    [
        pytest.param(body, kind is AS_ROOT, id=name)
        for kind in (READING, WRITING, CONNECTING, REACHING, AS_ROOT)
        for name, body in kind.items()
    ],
)
def test_attack(body: str, needs_root: bool, world: World) -> None:
    text = program(body, world)
    if "$PORT_6" in body and world.names["PORT_6"] == "0":
        pytest.skip("this machine has no IPv6")
    if IS_ROOT or not needs_root:
        said = outside(text, world.folder)
        assert "GOT" in said, said
    ran = SANDBOX.run(python(text))
    assert ran.stdout.startswith(b"REFUSED") and b"GOT" not in ran.stdout, ran
    assert TOKEN.encode() not in ran.stdout + ran.stderr, ran
    assert world.victim.poll() is None


def test_the_world_is_as_it_was(world: World) -> None:
    assert (world.folder / "secret").read_text() == TOKEN
    assert not Path("/tmp/teachable-planted").exists()
    assert_unharmed()


def test_the_environment_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", TOKEN)
    text = "import os; print(dict(os.environ))"
    assert TOKEN in subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    ran = SANDBOX.run(python(text))
    assert ran.ended == "exit" and TOKEN.encode() not in ran.stdout
    seen = eval(ran.stdout)
    assert seen["HOME"] == "/tmp" and seen["PYTHONHASHSEED"] == "0" and seen["OMP_NUM_THREADS"] == "1"
    assert all(TOKEN not in value for value in seen.values()) and len(seen) <= 10


def test_no_name_is_resolved_and_no_world_reached() -> None:
    text = (
        "import socket\nfor address in ('192.0.2.1', 'example.com'):\n"
        "    try: socket.create_connection((address, 80), 2); print('GOT')\n    except OSError as e: print('REFUSED')"
    )
    ran = SANDBOX.run(python(text))
    assert ran.stdout.split() == [b"REFUSED", b"REFUSED"], ran


def test_only_the_descriptors_of_the_job_are_inside(world: World) -> None:
    """Descriptors of ours, even inheritable ones, stay with us; those of the job arrive under their number."""
    text = (
        "import os; paths = [f'/proc/self/fd/{n}' for n in os.listdir('/proc/self/fd')]\n"
        "print(sorted(os.readlink(path) for path in paths if os.path.lexists(path)))"
    )
    with (world.folder / "secret").open() as secret, sqlite3.connect(world.folder / "ledger.sqlite"):
        os.set_inheritable(secret.fileno(), True)
        plain = subprocess.run(
            [sys.executable, "-c", text], close_fds=False, capture_output=True, text=True, check=True
        )
        assert "/secret" in plain.stdout
        ran = SANDBOX.run(python(text))
        assert [name[:5] for name in eval(ran.stdout)] == ["/dev/", "pipe:", "pipe:"], ran
        ours, theirs = socket.socketpair()
        with ours, theirs:
            echo = "import socket\ns = socket.socket(fileno=7); s.sendall(s.recv(9)[::-1])"
            running = SANDBOX.start(Job(("python", "-I", "-S", "-c", echo), fds={7: theirs.fileno()}, bounds=BOUNDS))
            theirs.close()
            ours.sendall(b"abc")
            ours.settimeout(10)
            assert ours.recv(9) == b"cba"
            assert ours.recv(9) == b"", "nobody holds the other end when the program has ended"
            assert running.wait().exit_code == 0


@pytest.mark.parametrize("kind", ["link", "link to a folder", "pipe", "folder", "device", "not there"])
def test_only_regular_files_of_the_folder_are_brought_back(kind: str, world: World) -> None:
    body = {
        "link": f"os.symlink({world.names['SECRET']}, 'd/out')",
        "link to a folder": f"os.rmdir('d'); os.symlink({str(world.folder)!r}, 'd'); os.symlink('/usr/bin', 'e')",
        "pipe": "os.mkfifo('d/out')",
        "folder": "os.mkdir('d/out')",
        "device": "os.symlink('/dev/urandom', 'd/out')",
        "not there": "pass",
    }[kind]
    (world.folder / "out").write_text(TOKEN)
    link = world.folder / f"link-{os.getpid()}"
    link.symlink_to(world.folder / "secret")
    assert link.read_text() == TOKEN, "a reader that follows links has the secret"
    link.unlink()
    text = f"import os\nos.mkdir('d'); open('fine', 'w').write('fine')\n{body}"
    started = time.monotonic()
    ran = SANDBOX.run(python(text), keep=["fine", "d/out", "d/secret", "e/env"])
    assert dict(ran.files) == {"fine": b"fine"}, ran
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", ".", "a//b", "x\0y", "y" * 300])
def test_names_that_lead_out_are_refused(name: str) -> None:
    with pytest.raises(TeachableError, match="name"):
        Job(("true",), files={name: b""})
    with pytest.raises(TeachableError, match="name"):
        SANDBOX.run(Job(("true",)), keep=[name])


def test_nothing_is_typed_into_our_terminal() -> None:
    """TIOCSTI and TIOCSCTTY, on a terminal that the job even gets as a descriptor."""
    ours, theirs = os.openpty()
    text = (
        "import fcntl\nfor number, word in ((0x540E, 1), (0x5412, b'x'), (0x541C, b'\\x02')):\n"
        "    try: fcntl.ioctl(9, number, word); print('done', hex(number))\n"
        "    except OSError as e: print('REFUSED', e.errno)"
    )
    job = Job(("python", "-I", "-S", "-c", text), fds={9: theirs}, bounds=BOUNDS)
    ran = SANDBOX.run(job)
    os.set_blocking(ours, False)
    assert ran.stdout.splitlines()[1:] == [b"REFUSED 1", b"REFUSED 1"], ran
    with pytest.raises(BlockingIOError):
        os.read(ours, 10)
    os.close(ours)
    os.close(theirs)


def test_a_setuid_program_gains_nothing() -> None:
    ran = SANDBOX.run(Job(("/bin/sh", "-c", "su -c id 2>&1; mount -t tmpfs none /tmp 2>&1; id -u"), bounds=BOUNDS))
    assert b"uid=0" not in ran.stdout and ran.stdout.endswith(b"1000\n"), ran


def test_killing_everybody_kills_only_itself(world: World) -> None:
    text = (
        "import os, signal\nfor pid in (1, os.getppid(), -1):\n"
        "    try: os.kill(pid, signal.SIGKILL)\n    except OSError as e: print(e)"
    )
    ran = SANDBOX.run(python(text))
    assert ran.ended in ("exit", "signal"), ran
    assert world.victim.poll() is None
    assert_unharmed()


def test_nothing_can_be_written_but_the_private_folder() -> None:
    """Every mount that takes writes is bounded: the folder's, and devices that keep nothing."""
    text = (
        "lines = [line.split() for line in open('/proc/self/mountinfo')]\n"
        "print([(words[4], words[-3]) for words in lines if words[5].startswith('rw')])"
    )
    ran = SANDBOX.run(python(text))
    kinds = {(path, "device" if path.startswith("/dev/") else kind) for path, kind in eval(ran.stdout)}
    assert kinds == {
        ("/tmp", "tmpfs"),
        ("/proc", "proc"),
        *((f"/dev/{name}", "device") for name in ("null", "random", "urandom")),
    }
    hidden = "import os\ntry: os.chmod('/proc/1', 0o777); print('GOT')\nexcept OSError as e: print(e.errno)"
    assert SANDBOX.run(python(hidden)).stdout == b"30\n"


def test_the_machine_is_not_seen_by_a_job_that_may_see_packages(world: World) -> None:
    text = program("print('GOT', open($SECRET).read())", world)
    ran = SANDBOX.run(Job(("python", "-I", "-c", text), site_packages=True, bounds=BOUNDS))
    assert ran.stdout.startswith(b"REFUSED")
