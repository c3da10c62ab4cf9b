"""The keeper of sandboxed programs: a script of its own, run by `sandbox_client.py`; it imports nothing of ours.

It is a small process with one thread that forks one supervisor for each run. That is why it exists: a fork of the large
process that uses us would be slow and unsafe beside its threads, a watchdog in it would starve behind its interpreter
lock, and the signal that binds a child to its parent's life (PR_SET_PDEATHSIG) is bound to the parent's *thread*.

Who ends with whom: when the process that uses us is gone, by whatever means, the keeper ends (it watches it), then its
supervisors (PR_SET_PDEATHSIG, and the end of the run's socket), then bubblewrap, then the first process of the namespace
(bubblewrap's --die-with-parent), and with that, says the kernel, every process of the namespace and its mounts.

A supervisor
1. gives up root, if it has it, for a user id of no rights (`uid`);
2. starts bubblewrap, which builds the namespaces and waits (--block-fd) before it starts the program;
3. opens the private folder and /proc of the namespace through /proc/PID/root, writes the job's files, sets the limits;
4. lets the program go, collects what it writes, and looks every `_TICK_S` at what it uses;
5. kills the namespace, waits until it is empty, reads the files to bring back from the folder that it still holds open
   (no process is left that could exchange them), and sends the result.

Without bubblewrap ("none") 2 is a plain process in a folder that is removed afterwards, and only its process group is
killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import math
import mmap
import os
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

_TICK_S = 0.01  # between two looks at what a program uses
_SLOW_TICK_S = 0.02  # the same after the first second
_SPARE_PROCESSES = 16  # that RLIMIT_NPROC allows beyond the bound, so that passing the bound is seen
_N_DESCRIPTORS = 256  # that a process may have open
_STACK_BYTES = 8 << 20
_MAX_INODES = 20_000  # files of a private folder
_SPARE_BYTES = 96 << 20  # the machine's free memory under which a run is killed (or 2% of all, whichever is less)
_N_KEPT_FDS = 300  # descriptors are put above this number while they are arranged
_NOTICE = b"bwrap: execvp "  # what bubblewrap says of a command that is not there
_MIB = 1 << 20
_IS_LINUX = sys.platform == "linux"
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG = 1
_F_SEALS = 0x1 | 0x2 | 0x4 | 0x8  # F_SEAL_SEAL, SHRINK, GROW, WRITE
_F_ADD_SEALS = 1033
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Run:
    """One run, as its supervisor knows it."""

    config: dict[str, Any]
    job: dict[str, Any]
    payload: memoryview  # the contents of the standard input and the files, in their order
    channel: socket.socket
    fds: list[int]  # ours, for the numbers job["fds"]
    folder: int = -1  # descriptor of the private folder
    root: str = ""  # its path, for a plain process
    proc: int = -1  # descriptor of the namespace's /proc
    child: int = 0  # bubblewrap, or the plain process
    first: int = 0  # the namespace's first process
    child_fd: int = -1  # pidfds of both, where there are any
    first_fd: int = -1
    gate: int = -1  # one byte written here lets the program go
    pipes: dict[int, int] = field(default_factory=dict)  # our ends of stdout and stderr -> 0 and 1
    outputs: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    began: float = 0.0
    cpu_s: float = 0.0
    ended: str = ""  # why it was killed, if it was

    @property
    def bounds(self) -> dict[str, float]:
        """The job's bounds by name."""
        return self.job["bounds"]  # type: ignore[no-any-return]


class NotStartedError(Exception):
    """The program could not be started, and this is why."""


# --- the keeper ---------------------------------------------------------------------------------------------------------


def main() -> None:
    """Serve jobs until the process that uses us is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    config = json.loads(sys.argv[2])
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors leave no zombies
    show_hidden(config)
    gc.collect()
    gc.freeze()
    poller = select.poll()
    poller.register(control, select.POLLIN)
    if hasattr(os, "pidfd_open"):
        try:
            poller.register(os.pidfd_open(config["parent"]), select.POLLIN)
        except OSError:
            return  # it is gone already
    while True:
        ready = {number for number, _ in poller.poll()}
        if ready != {control.fileno()}:
            break
        try:
            said, fds, _, _ = socket.recv_fds(control, 1, 128)
        except OSError:
            break
        if not said:
            break
        begin(config, control, fds)
    if not config["bwrap"]:
        time.sleep(1.0)  # the supervisors of plain processes see the end of their sockets, and clean up
    os._exit(0)


def begin(config: dict[str, Any], control: socket.socket, fds: list[int]) -> None:
    """Fork the supervisor of one run."""
    keeper = os.getpid()
    try:
        child = os.fork()
    except OSError:
        child = -1  # the run's socket ends without a result, which says so
    if child == 0:
        try:
            control.close()
            supervise(config, fds, keeper)
        except BaseException as error:
            sys.stderr.write(f"the supervisor of a program failed: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
        finally:
            os._exit(0)
    for number in fds:
        os.close(number)


def show_hidden(config: dict[str, Any]) -> None:
    """Show the folders that an unprivileged user has no way to at places of our own mount namespace, and use those."""
    if not config["hidden"]:
        return
    taken = (*config["hidden"], *config["system"], config["bwrap"])
    spots = ("/mnt", "/media", "/srv", "/opt", "/home")
    spot = next((at for at in spots if os.path.isdir(at) and not any(f"{path}/".startswith(f"{at}/") for path in taken)), None)
    if spot is None:
        return
    if _LIBC.unshare(_CLONE_NEWNS) or _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE):
        return  # without the right to mount, the trial run fails and says what is not to be found
    sources = [os.open(path, os.O_PATH) for path in config["hidden"]]
    _mount(b"none", spot.encode(), b"tmpfs", 0)
    places = {}
    for number, (path, source) in enumerate(zip(config["hidden"], sources, strict=True)):
        place = f"{spot}/{number}"
        if stat.S_ISDIR(os.fstat(source).st_mode):
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY))
        _mount(f"/proc/self/fd/{source}".encode(), place.encode(), None, _MS_BIND | _MS_REC)
        os.close(source)
        places[path] = place
    for name in ("interpreter", "site"):
        words = config[name]
        for at in range(0, len(words), 3):
            if words[at] == "--ro-bind":
                words[at + 1] = places.get(words[at + 1], words[at + 1])


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> bool:
    """mount(2); whether it failed."""
    return bool(_LIBC.mount(source, target, kind, ctypes.c_ulong(flags), None))


# --- one run ------------------------------------------------------------------------------------------------------------


def supervise(config: dict[str, Any], fds: list[int], keeper: int) -> None:
    """Run one job and send its result."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    payload, channel, *others = fds
    whole = memoryview(mmap.mmap(payload, 0, prot=mmap.PROT_READ))
    (size,) = struct.unpack("!I", whole[:4])
    run = Run(config, json.loads(bytes(whole[4 : 4 + size])), whole[4 + size :], socket.socket(fileno=channel), others)
    stdin = make_stdin(bytes(run.payload[: run.job["stdin"]]))
    if config["uid"] is not None:
        os.setgroups([])
        os.setresgid(*[config["uid"]] * 3)
        os.setresuid(*[config["uid"]] * 3)
    bind_to_parent(keeper)
    try:
        try:
            start(run, stdin)
            os.close(stdin)
            release(run)
            watch(run)
            exit_code: int | None = finish(run)
        except (NotStartedError, OSError) as error:
            run.ended, exit_code = "killed", None
            run.outputs[1][:] = f"the program could not be run: {error}".encode()[:4096] + bytes(run.outputs[1])[:4096]
            destroy(run)
        send(run, exit_code)
    finally:
        destroy(run)


def bind_to_parent(parent: int) -> None:
    """End when the parent ends (Linux); it has one thread, so its thread's end is its own."""
    if _IS_LINUX:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def make_stdin(content: bytes) -> int:
    """A read-only descriptor of the content; the program can't write into it either."""
    if not content:
        return os.open("/dev/null", os.O_RDONLY)
    if not _IS_LINUX:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            return os.dup(file.fileno())
    whole = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(whole, "wb") as file:
        file.write(content)
        file.flush()
        fcntl_seal(whole)
        return os.open(f"/proc/self/fd/{whole}", os.O_RDONLY)


def fcntl_seal(number: int) -> None:
    """Forbid every change of a memfd, for good."""
    if _LIBC.fcntl(number, _F_ADD_SEALS, _F_SEALS) != 0:
        raise OSError(ctypes.get_errno(), "a memfd could not be sealed")


def start(run: Run, stdin: int) -> None:
    """Start bubblewrap up to the moment before the program, or the plain process up to its exec; write the files."""
    outputs = [os.pipe(), os.pipe()]
    if run.config["uid"] is not None:
        for _, write in outputs:
            os.fchown(write, run.config["uid"], run.config["uid"])
    gate, run.gate = os.pipe()
    inside = {0: stdin, 1: outputs[0][1], 2: outputs[1][1]}
    inside.update(zip(run.job["fds"], run.fds, strict=True))
    closing = [gate, outputs[0][1], outputs[1][1], *run.fds]
    if run.config["bwrap"]:
        info, info_write = os.pipe()
        extra = {"info": info_write, "block": gate, "seccomp": _filled(bytes.fromhex(run.config["seccomp"])),
                 "users": _filled(run.config["users"].encode())}  # fmt: skip
        spawn_bubblewrap(run, inside, extra)
        closing += [number for name, number in extra.items() if name != "block"]
    else:
        spawn_plain(run, inside, gate)
    for number in closing:
        os.close(number)
    for index, (read, _) in enumerate(outputs):
        os.set_blocking(read, False)
        run.pipes[read] = index
    run.child_fd = os.pidfd_open(run.child) if hasattr(os, "pidfd_open") else -1
    if run.config["bwrap"]:
        enter(run, info)
    write_files(run)


def _filled(content: bytes) -> int:
    """The reading end of a pipe that holds the content, which must be less than a pipe's 64 KiB."""
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    return read


def spawn_bubblewrap(run: Run, inside: dict[int, int], extra: dict[str, int]) -> None:
    """Fork and exec bubblewrap with exactly the descriptors that are `inside` and `extra`."""
    first = max(inside) + 1
    numbers = {name: first + index for index, name in enumerate(extra)}
    command = bubblewrap_command(run, numbers)
    wanted = {**inside, **{numbers[name]: number for name, number in extra.items()}}
    run.child = os.fork()
    if run.child == 0:
        try:
            os.nice(5)
            arrange(wanted)
            os.execve(command[0], command, {})
        except BaseException as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(1)


def bubblewrap_command(run: Run, numbers: dict[str, int]) -> list[str]:
    """The command line: namespaces, mounts, environment, program."""
    config, job = run.config, run.job
    python = config["site_python"] if job["site_packages"] else config["python"]
    argv = [python if job["argv"][0] == "python" else job["argv"][0], *job["argv"][1:]]
    command = [config["bwrap"], "--unshare-all", "--new-session", "--die-with-parent", "--uid", "1000", "--gid", "1000"]
    command += ["--hostname", "sandbox", "--clearenv"]
    for name, value in config["environment"].items():
        command += ["--setenv", name, value]
    command += config["system"]
    command += ["--file", str(numbers["users"]), "/etc/passwd", "--proc", "/proc", "--perms", "0000", "--tmpfs", "/proc/1"]
    for device in ("/dev/null", "/dev/random", "/dev/urandom"):
        command += ["--dev-bind", device, device]
    for link, target in (("/dev/fd", "fd"), ("/dev/stdin", "fd/0"), ("/dev/stdout", "fd/1"), ("/dev/stderr", "fd/2")):
        command += ["--symlink", f"/proc/self/{target}", link]
    size = str(int(run.bounds["disk_mib"]) * _MIB)
    command += ["--symlink", "/tmp/shm", "/dev/shm", "--perms", "0755", "--size", size, "--tmpfs", "/tmp"]
    command += ["--dir", "/tmp/work", "--dir", "/tmp/shm"]
    command += config["interpreter"]
    command += config["site"] if job["site_packages"] else []
    command += ["--remount-ro", "/", "--chdir", "/tmp/work", "--seccomp", str(numbers["seccomp"])]
    return [*command, "--info-fd", str(numbers["info"]), "--block-fd", str(numbers["block"]), "--", *argv]


def spawn_plain(run: Run, inside: dict[int, int], gate: int) -> None:
    """Fork the program itself, in a session and a folder of its own, waiting at the gate."""
    run.root = tempfile.mkdtemp(prefix="teachable-unsafe-")
    run.folder = os.open(run.root, os.O_RDONLY | os.O_DIRECTORY)
    job, supervisor = run.job, os.getpid()
    python = run.config["site_python"] if job["site_packages"] else run.config["python"]
    argv = [python if job["argv"][0] == "python" else job["argv"][0], *job["argv"][1:]]
    environment = {**run.config["environment"], "HOME": run.root, "TMPDIR": run.root}
    run.child = os.fork()
    if run.child == 0:
        try:
            os.setsid()
            bind_to_parent(supervisor)
            os.chdir(run.root)
            os.close(run.gate)
            os.read(gate, 1)
            for limit, value in limits(run, counted=False).items():
                resource.setrlimit(limit, value)
            arrange(inside)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execvpe(argv[0], argv, environment)
        except BaseException as error:
            os.write(2, f"{argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)


def arrange(wanted: dict[int, int]) -> None:
    """Make the open descriptors exactly those wanted (number -> descriptor of now), for the exec that follows."""
    held = {}
    for index, (number, current) in enumerate(wanted.items()):
        held[number] = _N_KEPT_FDS + index
        os.dup2(current, held[number], inheritable=False)
    for number, current in held.items():
        os.dup2(current, number, inheritable=True)
    at = 0
    for number in sorted(wanted):
        os.closerange(at, number)
        at = number + 1
    os.closerange(at, os.sysconf("SC_OPEN_MAX"))


def enter(run: Run, info: int) -> None:
    """Take hold of the namespace from outside, while bubblewrap waits before the program."""
    said = b""
    while not said.rstrip().endswith(b"}"):
        part = os.read(info, 4096)
        if not part:
            raise NotStartedError(_complaint(run))
        said += part
    os.close(info)
    run.first = json.loads(said)["child-pid"]
    run.first_fd = os.pidfd_open(run.first)
    raise NotImplementedError


def _complaint(run: Run) -> str:
    """What bubblewrap says of its failure."""
    os.waitpid(run.child, 0)
    run.child = 0
    drain(run)
    return bytes(run.outputs[1]).decode(errors="replace").strip() or "bubblewrap ended without a word"
