"""The supervisor of one run: a fork of the keeper, which imports nothing of ours but what stands beside it.

It
1. gives up root, if it has it, for a user id without rights (`uid`);
2. starts bubblewrap, which builds the namespaces and waits (--block-fd) before it starts the program;
3. opens the private folder and /proc of the namespace through /proc/PID/root, writes the job's files, sets the limits;
4. lets the program go, collects what it writes, and looks every few milliseconds at what it uses (`watching.py`);
5. kills the namespace, waits until it is empty, reads the files to bring back from the folder that it still holds open
   (no process is left that could exchange them), and sends the result.

Without bubblewrap the program is a plain process in a folder that is removed afterwards, and its process group is
killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teachable.verify.programs.sandboxes.watching import Run, drain, kept, limits, watch
else:
    from watching import Run, drain, kept, limits, watch

_HELD_FROM = 180  # descriptors are put from this number on while they are arranged
_SETUP_S = 60.0  # patience with bubblewrap's building
_NOTICE = b"bwrap: execvp "  # what bubblewrap says of a command that is not there
_N_TELLING = 2000  # characters of an error that are handed on
_GLANCE_S = 0.0005  # between two looks at whether the namespaces are built
_IS_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_ADD_SEALS, _ALL_SEALS = 1033, 0x0F  # fcntl: against shrinking, growing, writing, and against other seals
_LIBC = ctypes.CDLL(None, use_errno=True)


class NotStartedError(Exception):
    """The program could not be started, and this is why."""


def supervise(config: dict[str, Any], fds: list[int], keeper: int) -> None:
    """Run one job and send its result. `fds`: the payload, the run's socket, and the job's descriptors."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    payload, channel, *others = fds
    whole = mmap.mmap(payload, 0, prot=mmap.PROT_READ)
    os.close(payload)
    (size,) = struct.unpack("!I", whole[:4])
    job = json.loads(whole[4 : 4 + size])
    run = Run(config, job, memoryview(whole)[4 + size :], socket.socket(fileno=channel), others)
    stdin = make_stdin(bytes(run.payload[: job["stdin"]]))
    if config["uid"] is not None:
        os.setgroups([])
        os.setresgid(*[config["uid"]] * 3)
        os.setresuid(*[config["uid"]] * 3)
    adopt_orphans(run, keeper)
    try:
        exit_code: int | None = None
        try:
            start(run, stdin)
            watch(run)
            exit_code = finish(run)
        except (NotStartedError, OSError) as error:
            run.ended = "killed"
            run.outputs[1][:] = f"the program could not be run: {error}".encode()[:_N_TELLING]
        destroy(run)
        files = [kept(run, name) for name in job["keep"]]
        clean_up(run)
        send(run, exit_code, files)
    finally:
        destroy(run)
        clean_up(run)


def adopt_orphans(run: Run, keeper: int) -> None:
    """Under Linux: become the parent of what our children leave behind, and learn of the keeper's end."""
    if _IS_LINUX:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        run.keeper_fd = os.pidfd_open(keeper)
    if os.getppid() != keeper:
        os._exit(0)


def make_stdin(content: bytes) -> int:
    """A read-only descriptor of the content; under Linux nobody can write into it."""
    if not content:
        return os.open("/dev/null", os.O_RDONLY)
    with os.fdopen(os.memfd_create("stdin", 3), "wb") if _IS_LINUX else tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        if not _IS_LINUX:
            return os.open(file.name, os.O_RDONLY)
        fcntl.fcntl(file.fileno(), _ADD_SEALS, _ALL_SEALS)
        return os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)


# --- starting


def start(run: Run, stdin: int) -> None:
    """Start the program in its sandbox, with its files and limits in place."""
    outputs = [os.pipe(), os.pipe()]
    if run.config["uid"] is not None:
        for _, write in outputs:  # or /dev/stdout could not be opened inside
            os.fchown(write, run.config["uid"], run.config["uid"])
    gate, run.gate = os.pipe()
    inside = {0: stdin, 1: outputs[0][1], 2: outputs[1][1], **dict(zip(run.job["fds"], run.fds, strict=True))}
    for index, (read, _) in enumerate(outputs):
        os.set_blocking(read, False)
        run.pipes[read] = index
    if run.config["bwrap"]:
        info, info_write = os.pipe()
        filled = {"seccomp": bytes.fromhex(run.config["seccomp"]), "users": run.config["users"].encode()}
        extra = {"info": info_write, "block": gate, **{name: _pipe_with(content) for name, content in filled.items()}}
        spawn_bubblewrap(run, inside, extra)
    else:
        extra = {"block": gate}
        spawn_plain(run, inside, gate)
    for number in (*inside.values(), *extra.values()):
        os.close(number)
    run.child_fd = os.pidfd_open(run.child) if hasattr(os, "pidfd_open") else -1
    if run.config["bwrap"]:
        enter(run, info)
    write_files(run)
    run.began = time.monotonic()
    os.write(run.gate, b"g")
    os.close(run.gate)


def _pipe_with(content: bytes) -> int:
    """The reading end of a pipe that holds the content, which must be less than a pipe's 64 KiB."""
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    return read


def spawn_bubblewrap(run: Run, inside: dict[int, int], extra: dict[str, int]) -> None:
    """Fork and exec bubblewrap with exactly the descriptors `inside` (number -> ours) and `extra`, which it closes."""
    numbers = {name: max(inside) + 1 + index for index, name in enumerate(extra)}
    run.sign = f".{os.urandom(8).hex()}"
    command = bubblewrap_command(run, numbers)
    wanted = {**inside, **{numbers[name]: number for name, number in extra.items()}}
    run.child = os.fork()
    if run.child == 0:
        try:
            arrange(wanted)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execve(command[0], command, {})
        except BaseException as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(1)


def bubblewrap_command(run: Run, numbers: dict[str, int]) -> list[str]:
    """The command line: namespaces, environment, mounts (a later one lies over an earlier one), program."""
    config, job = run.config, run.job
    command = [config["bwrap"], "--unshare-all", "--new-session", "--die-with-parent", "--uid", "1000", "--gid", "1000"]
    command += ["--hostname", "sandbox", "--clearenv"]
    for name, value in config["environment"].items():
        command += ["--setenv", name, value]
    command += [*config["system"], "--file", str(numbers["users"]), "/etc/passwd"]
    # The namespace's first process has our user id, and a program that could write its memory could outlive us.
    command += ["--proc", "/proc", "--perms", "0000", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1"]
    for device in ("/dev/null", "/dev/random", "/dev/urandom"):
        command += ["--dev-bind", device, device]
    for target, link in (("fd", "/dev/fd"), ("fd/0", "/dev/stdin"), ("fd/1", "/dev/stdout"), ("fd/2", "/dev/stderr")):
        command += ["--symlink", f"/proc/self/{target}", link]
    size = str(int(job["bounds"]["disk_mib"]) << 20)
    command += ["--symlink", "/tmp/shm", "/dev/shm", "--size", size, "--tmpfs", "/tmp"]
    command += ["--dir", "/tmp/work", "--dir", "/tmp/shm", *config["interpreter"]]
    command += config["site"] if job["site_packages"] else []
    command += ["--dir", f"/{run.sign}", "--remount-ro", "/", "--chdir", "/tmp/work"]
    command += ["--seccomp", str(numbers["seccomp"]), "--info-fd", str(numbers["info"])]
    return [*command, "--block-fd", str(numbers["block"]), "--", *program(run)]


def program(run: Run) -> list[str]:
    """The program's own argument vector."""
    python = run.config["site_python"] if run.job["site_packages"] else run.config["python"]
    name, *rest = run.job["argv"]
    return [python if name == "python" else name, *rest]


def spawn_plain(run: Run, inside: dict[int, int], gate: int) -> None:
    """Fork the program itself, in a session and a folder of its own, waiting at the gate."""
    run.path = tempfile.mkdtemp(prefix="teachable-unsafe-")
    run.folder = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY)
    argv, supervisor = program(run), os.getpid()
    environment = {**run.config["environment"], "HOME": run.path, "TMPDIR": run.path}
    run.child = run.group = os.fork()
    if run.child == 0:
        try:
            os.setsid()
            if _IS_LINUX:
                _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != supervisor:
                os._exit(127)
            os.chdir(run.path)
            os.close(run.gate)
            os.read(gate, 1)
            for limit, value in limits(run):
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
        held[number] = _HELD_FROM + index
        os.dup2(current, held[number], inheritable=False)
    for number, current in held.items():
        os.dup2(current, number, inheritable=True)
    at = 0
    for number in sorted(wanted):
        if at < number:
            os.closerange(at, number)  # an empty range would be taken for everything
        at = number + 1
    os.closerange(at, os.sysconf("SC_OPEN_MAX"))


def enter(run: Run, info: int) -> None:
    """Take hold of the namespace from outside, while bubblewrap waits before the program."""
    said, until = b"", time.monotonic() + _SETUP_S
    while not said.rstrip().endswith(b"}"):
        if not select.select([info], [], [], _SETUP_S)[0]:
            raise NotStartedError("bubblewrap says nothing")
        part = os.read(info, 4096)
        if not part:
            raise NotStartedError(complaint(run))
        said += part
    os.close(info)
    run.first = json.loads(said)["child-pid"]
    run.first_fd = os.pidfd_open(run.first)
    root = f"/proc/{run.first}/root"
    while not os.path.exists(f"{root}/{run.sign}"):  # until then, its root is that of the machine, or a half-built one
        if select.select([run.child_fd, run.first_fd], [], [], _GLANCE_S)[0]:
            raise NotStartedError(complaint(run))
        if time.monotonic() > until:
            raise NotStartedError("bubblewrap does not come to an end with the namespaces")
    run.folder = os.open(f"{root}/tmp/work", os.O_RDONLY | os.O_DIRECTORY)
    run.proc = os.open(f"{root}/proc", os.O_RDONLY | os.O_DIRECTORY)
    for limit, value in limits(run):
        resource.prlimit(run.first, limit, value)
    with open(f"/proc/{run.first}/oom_score_adj", "w") as file:  # where memory runs out, this goes first
        file.write("1000")


def complaint(run: Run) -> str:
    """What bubblewrap says of its failure."""
    _, status = os.waitpid(run.child, 0)
    run.child = 0
    drain(run)
    said = bytes(run.outputs[1]).decode(errors="replace").strip()
    return said or f"bubblewrap ended with {os.waitstatus_to_exitcode(status)} and without a word"


def write_files(run: Run) -> None:
    """Put the job's files into the private folder."""
    at = run.job["stdin"]
    for name, size in run.job["files"]:
        *folders, last = name.split("/")
        here = os.dup(run.folder)
        for folder in folders:
            with contextlib.suppress(FileExistsError):
                os.mkdir(folder, dir_fd=here)
            inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = inner
        with os.fdopen(os.open(last, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755, dir_fd=here), "wb") as file:
            file.write(run.payload[at : at + size])
        os.close(here)
        at += size


# --- ending


def finish(run: Run) -> int | None:
    """Empty the sandbox, read what is left in the pipes, and tell how the program ended: its exit code."""
    destroy(run)
    drain(run)
    code = run.exit_code
    if not run.ended:
        run.ended = "exit"
        if run.config["bwrap"] and code > 128 and code - 128 in set(signal.Signals):
            code = 128 - code  # as bubblewrap hands on a signal
        if code == 1 and run.outputs[1].startswith(_NOTICE):
            code = 127
        if code < 0:
            run.ended = "cpu" if -code == signal.SIGXCPU else "signal"
    return code if run.ended in ("exit", "signal") else None


def destroy(run: Run) -> None:
    """Kill everything that the run started, and wait until it is gone. May be called twice."""
    if run.first:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(run.first_fd, signal.SIGKILL)
        select.select([run.first_fd], [], [])  # a namespace's first process ends last
        run.first = 0
    if run.group:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(run.group, signal.SIGKILL)
        run.group = 0
    if run.child:
        with contextlib.suppress(ProcessLookupError):
            os.kill(run.child, signal.SIGKILL)
        _, status = os.waitpid(run.child, 0)
        run.exit_code = os.waitstatus_to_exitcode(status)
        run.child = 0
    while has_children():  # what bubblewrap left when it failed half-way; the daemons of a plain process
        for pid in children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_GLANCE_S)


def has_children() -> bool:
    """Whether we have children, after burying those that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def children() -> list[int]:
    """Our children (Linux; elsewhere orphans are not ours)."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc") if _IS_LINUX else []):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            if int(file.read().rpartition(b")")[2].split()[1]) == os.getpid():
                found.append(int(name))
    return found


def clean_up(run: Run) -> None:
    """Remove the folder of a plain process; a sandbox's ends with our descriptor of it."""
    if run.path:
        shutil.rmtree(run.path, ignore_errors=True)


def send(run: Run, exit_code: int | None, files: list[bytes | None]) -> None:
    """Send the result: the header's length, the header, standard output and error, the kept files."""
    run.wall_s = run.wall_s or (time.monotonic() - run.began if run.began else 0.0)
    header = {
        "ended": run.ended,
        "exit_code": exit_code,
        "stdout": len(run.outputs[0]),
        "stderr": len(run.outputs[1]),
        "wall_s": run.wall_s,
        "files": [-1 if content is None else len(content) for content in files],
    }
    text = json.dumps(header).encode()
    parts: list[bytes | bytearray] = [struct.pack("!I", len(text)) + text, *run.outputs]
    parts += [content for content in files if content is not None]
    with contextlib.suppress(OSError):  # nobody waits for it any more
        for part in parts:
            run.channel.sendall(part)
