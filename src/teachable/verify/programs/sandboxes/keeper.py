"""The keeper of sandboxed programs: a script of its own, run by `client.py`; it imports nothing of ours.

It is a small process with one thread that forks one supervisor for each run. That is why it exists: a fork of the large
process that uses us would be slow and unsafe beside its threads, a watchdog in it would starve behind its interpreter
lock, and the signal that binds a child to its parent's life (PR_SET_PDEATHSIG) is bound to the parent's *thread*.

Who ends with whom: when the process that uses us is gone, by whatever means, the supervisors see the end of their
sockets, kill their namespaces and end, and then the keeper, which watches that process too. When the keeper is killed,
its supervisors see that and do the same. When a supervisor is killed, bubblewrap is (--die-with-parent), and with it
the first process of the namespace, and with that, says the kernel, every process of the namespace and its mounts.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from teachable.verify.programs.sandboxes.supervisor import supervise
else:  # a script without our package: what stands beside it
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from supervisor import supervise

_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
_SPOTS = ("/mnt", "/media", "/srv", "/opt", "/home")
_PATIENCE_S = 30  # with supervisors that clean up at the end
_LIBC = ctypes.CDLL(None, use_errno=True)


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
            config["parent_fd"] = os.pidfd_open(config["parent"])
            poller.register(config["parent_fd"], select.POLLIN)
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
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_PATIENCE_S)
    with contextlib.suppress(ChildProcessError):
        while True:  # the supervisors see the end of their sockets, and clean up
            os.wait()
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
    free = (at for at in _SPOTS if os.path.isdir(at) and not any(path.startswith(f"{at}/") for path in taken))
    spot = next(free, None)
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


if __name__ == "__main__":
    main()
