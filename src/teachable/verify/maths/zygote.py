"""The process that has imported math-verify, seen from ours: start it, have it fork workers and kill them, end it.

`worker.py` is its program and says what it and its workers do.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from teachable.errors import TeachableError
from teachable.verify.maths.wire import PATIENCE_S, Gone, packed, receive, send

MEMORY_MIB = 28  # that a worker may add to what it shares with the zygote
IDLE_WORKER_S = 60.0  # without a pair; then it ends
IDLE_ZYGOTE_S = 300.0  # without a worker; then it ends

_SCRIPT = Path(__file__).with_name("worker.py")
# The same verdicts everywhere: no random order of sets, and integers of one kind.
_FIXED = {"PYTHONHASHSEED": "0", "SYMPY_GROUND_TYPES": "python", "MPMATH_NOGMPY": "1"}
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "PYTHONHOME")


@dataclass(frozen=True)
class Worker:
    """Our end of a worker's socket, and its number with the zygote that forked it."""

    zygote: Zygote
    number: int
    socket: socket.socket

    def end(self) -> None:
        """Kill it, whatever it does; the zygote reaps it. Where the zygote is gone, it is gone as well."""
        with contextlib.suppress(Gone):
            self.zygote.tell_to_kill(self.number)
        self.zygote.close(self.socket)


class Zygote:
    """One such process. Its methods may be called from any thread.

    Raises:
        TeachableError: it can't be started, or math-verify can't be imported; the constructor waits until it is ready.
    """

    def __init__(self) -> None:
        if sys.platform == "win32":
            raise _no_start("they are forked, and Windows has no fork")
        self._writing = threading.Lock()
        self._n_forked = 0
        self._open: set[socket.socket] = set()
        self._control, theirs = self._pair()
        command = [sys.executable or "python3", "-P", "-s", "-S", "-X", "utf8", str(_SCRIPT), str(theirs.fileno())]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _INHERITED if name in os.environ} | _FIXED,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # ctrl-C is for this process to handle
            )
        except OSError as error:
            self.close(self._control)
            raise _no_start(str(error)) from error
        finally:
            theirs.close()
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        first = {
            "path": [os.path.abspath(folder) for folder in sys.path if isinstance(folder, str)],
            "memory_mib": MEMORY_MIB,
            "idle_worker_s": IDLE_WORKER_S,
            "idle_zygote_s": IDLE_ZYGOTE_S,
        }
        try:
            send(self._control, first)
            told = receive(self._control, time.monotonic() + PATIENCE_S)
        except (Gone, TimeoutError) as error:
            self.end()
            raise _no_start(f"their process ended or hung (exit status {self._process.returncode})") from error
        if "fault" in told:
            self.end()
            raise _no_start(told["fault"])

    def fork(self) -> Worker:
        """A new worker.

        Raises:
            Gone: this zygote has ended; start another.
        """
        ours, theirs = self._pair()
        try:
            with self._writing:
                self._n_forked += 1
                number = self._n_forked
                socket.send_fds(self._control, [packed({"fork": number})], [theirs.fileno()])
        except OSError:
            self.close(ours)
            raise Gone from None
        finally:
            theirs.close()
        return Worker(self, number, ours)

    def tell_to_kill(self, number: int) -> None:
        """Have a worker killed.

        Raises:
            Gone: this zygote has ended, and its workers with it.
        """
        with self._writing:
            send(self._control, {"kill": number})

    def is_dead(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """End the process, and with it its workers, and reap it."""
        self.close(self._control)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def abandon(self) -> None:
        """In a forked child of ours: let go of the sockets, and leave the locks, which another thread may hold."""
        for ours in list(self._open):
            ours.close()
        self._process.returncode = 0  # the parent's child, not ours to wait for

    def close(self, ours: socket.socket) -> None:
        """Close our end of a socket."""
        self._open.discard(ours)
        ours.close()

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        self._open.add(ours)
        return ours, theirs


def _no_start(why: str) -> TeachableError:
    return TeachableError(
        f"the workers that compare answers by computer algebra can't be started: {why}",
        mend="Check that the Python that runs teachable has math-verify: pip install 'math-verify>=0.9,<0.10'.",
    )
