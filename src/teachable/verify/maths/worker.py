"""The program of the processes that run math-verify: one that imports it, and the workers that it forks.

Run as a script by `zygote.py`, never imported: `python -P -s -S worker.py FD`, where FD is one end of a socket pair.
It loads `worker_algebra.py` from its own folder by path, so that nothing else of the package is loaded. All messages
are JSON behind a length of four bytes.

The *zygote* imports the libraries once (half a second, 60 MiB) and then only forks: a worker costs a few
milliseconds and shares those pages. It is told what to do over its control socket:

    {"path", "memory_mib", ...}       first: the parent's `sys.path`, and bounds (see `zygote.py`)
    {"fork": N} and one descriptor    fork a worker that serves this descriptor, under the number N
    {"kill": N}                       kill worker N; only the zygote reaps it, so its process id can't be another's

and answers {"ready": true}, or {"fault": "why"} once. It ends at the end of its control socket, that is with the parent
however that ends, and kills its workers first; it also ends when no worker was needed for long.

A *worker* answers {"reference", "attempt", "limit_s"} with {"took": true} when it begins, and then with {"equal",
"reason", "lasting", "last"}: the verdict (null for "could not tell"), why, whether another worker would say the same,
and whether this one ends now. What bounds it, whatever holds the interpreter's lock:

- the parent's clock, and behind it an interval timer whose signal has its default action: the kernel ends the process;
- `RLIMIT_DATA`: a pair that wants more memory gets a MemoryError or a crash, both of which mean "could not tell".
  macOS does not enforce it: there only time bounds a worker;
- on Linux it dies with the zygote (`PR_SET_PDEATHSIG`), and Landlock, where the kernel has it, denies it every write to
  the file system and every `execve`;
- an audit hook refuses to start programs and to connect anywhere. This and Landlock are a second fence: the first is
  that `worker_algebra.py` has no way from an answer's text to `eval`.

This keeps a pair of answers from doing harm through a library's bug; it is no sandbox for hostile programs.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import json
import logging
import os
import resource
import select
import signal
import socket
import struct
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

WATCH_S = 2.0  # how often the zygote looks whether its parent is still its parent
N_SERVED_MAX = 500  # then a worker ends: what libraries remember grows
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_STARTS = {"os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen"}
_REACHES = {"socket.connect", "socket.bind", "socket.sendto", "ctypes.dlopen", "os.kill", "os.remove", "os.rename"}
_REFUSED = frozenset(_STARTS | _REACHES)


def main(control: socket.socket) -> None:
    """The zygote, until its parent is gone or nobody has needed it for long."""
    told, _ = _receive(control)
    if told is None:
        return
    sys.path[:] = told["path"]
    sys.dont_write_bytecode = True
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(3000)
    try:
        algebra = _load("worker_algebra.py")
        algebra.warm_up()
    except Exception as error:  # told to the parent, which has no other way to learn of it
        _send(control, {"fault": f"{type(error).__name__}: {error}"})
        return
    gc.collect()
    gc.freeze()  # a collection in a worker then leaves the shared pages alone
    _send(control, {"ready": True})
    _fork_on_demand(control, algebra, told)


def _fork_on_demand(control: socket.socket, algebra: ModuleType, bounds: dict[str, Any]) -> None:
    """Fork, kill and reap workers as told, until the control socket ends."""
    parent, pids = os.getppid(), dict[int, int]()
    idle_s, watch_s = 0.0, min(WATCH_S, bounds["idle_zygote_s"])
    try:
        while os.getppid() == parent and idle_s < bounds["idle_zygote_s"]:
            readable = select.select([control], [], [], watch_s)[0]
            pids = {number: pid for number, pid in pids.items() if os.waitpid(pid, os.WNOHANG) == (0, 0)}
            idle_s = 0.0 if pids or readable else idle_s + watch_s
            if not readable:
                continue
            told, descriptor = _receive(control, with_descriptor=True)
            if told is None:
                return
            if "kill" in told and told["kill"] in pids:
                _kill(pids.pop(told["kill"]))
            elif "fork" in told and descriptor is not None:
                served = socket.socket(fileno=descriptor)
                pid = os.fork()
                if pid == 0:
                    control.close()
                    _worker(served, os.getppid(), algebra, bounds)
                served.close()
                pids[told["fork"]] = pid
    finally:
        for pid in pids.values():
            _kill(pid)


def _kill(pid: int) -> None:
    """End a child that has not been reaped, and reap it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _worker(served: socket.socket, parent: int, algebra: ModuleType, bounds: dict[str, Any]) -> None:
    """Serve pairs until the socket ends, then end the process; never returns."""
    try:
        memory_mib = bounds["memory_mib"]
        _confine(parent, memory_mib)
        for _ in range(N_SERVED_MAX):
            if not select.select([served], [], [], bounds["idle_worker_s"])[0]:
                break
            pair, _ = _receive(served)
            if pair is None:
                break
            _send(served, {"took": True})
            signal.setitimer(signal.ITIMER_REAL, pair["limit_s"] * 1.1 + 0.05)
            equal, reason, sound = algebra.compare(pair["reference"], pair["attempt"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            last = not sound or _data_kib() > _allowed_kib(memory_mib, share=0.5)
            _send(served, {"equal": equal, "reason": reason, "lasting": sound, "last": last})
            if last:
                break
    except BaseException:  # the parent sees the end of the socket; nothing may reach the zygote's loop
        os._exit(1)
    os._exit(0)


_start_kib = 0


def _confine(parent: int, memory_mib: int) -> None:
    """Bound this process before it sees its first pair.

    Raises:
        RuntimeError: the zygote ended before this worker could be tied to it.
    """
    global _start_kib
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _start_kib = _data_kib()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if os.getppid() != parent:
            raise RuntimeError("the zygote is gone")
        _deny_writes(libc)
        n_bytes = _allowed_kib(memory_mib) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))
    for limit, most in (
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 32),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower limit stands already
            resource.setrlimit(limit, (most, most))
    os.nice(5)
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: no program starts, nothing connects, no file goes."""
    if event in _REFUSED:
        raise PermissionError(f"a worker may not do {event}")


def _data_kib() -> int:
    """The size of this process's private writable memory in KiB, the sum that RLIMIT_DATA bounds; 0 where unknown."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmData:"))


def _allowed_kib(memory_mib: int, share: float = 1.0) -> int:
    return _start_kib + int(share * memory_mib * 1024)


_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # the same numbers on every architecture
# Version 1 of the kernel's interface: execute, write, remove, and make files of every kind; not read.
_LANDLOCK_RIGHTS = sum(1 << bit for bit in (0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12))


def _deny_writes(libc: ctypes.CDLL) -> None:
    """Deny this process every write to the file system and every `execve`; without Landlock, nothing happens."""
    rights = ctypes.c_uint64(_LANDLOCK_RIGHTS)
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(rights), ctypes.c_size_t(8), ctypes.c_uint32(0))
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
        os.close(ruleset)


def _load(name: str) -> ModuleType:
    """The module of that file beside this one, without its package."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, Path(__file__).with_name(name))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _send(to: socket.socket, message: dict[str, Any]) -> None:
    body = json.dumps(message).encode("ascii")
    to.sendall(struct.pack("!I", len(body)) + body)


def _receive(source: socket.socket, with_descriptor: bool = False) -> tuple[dict[str, Any] | None, int | None]:
    """The next message, and the descriptor that came with it; (None, None) at the end of the socket."""
    descriptors: list[int] = []
    if with_descriptor:
        head, descriptors, _, _ = socket.recv_fds(source, 4, 1)
    else:
        head = source.recv(4, socket.MSG_WAITALL)
    if len(head) < 4:
        return None, None
    (n_bytes,) = struct.unpack("!I", head)
    body = source.recv(n_bytes, socket.MSG_WAITALL)
    if len(body) < n_bytes:
        return None, None
    return json.loads(body), descriptors[0] if descriptors else None


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
