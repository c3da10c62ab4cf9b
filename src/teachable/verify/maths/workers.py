"""math-verify in processes that can be killed: `compare` and `compare_async`.

A computer algebra system can be made to compute for ever, or to fill the memory, by a few characters, and while it
computes one huge power it holds the interpreter's lock: no thread, no event loop and no signal handler of the same
process can stop it. So it runs in workers (`worker.py`), which this module starts, feeds, times and kills. It uses no
signal, no `multiprocessing` and no event loop, so it works from any thread, under any loop, and after a fork.

    this process ──control──► zygote: math-verify is imported, once
         │                      │ fork
         └────socket pair───────┴──► worker 0 ... 7: one pair of answers at a time

- Workers are forked when they are needed, `N_WORKERS` at most; who finds all of them busy waits. The limit on time runs
  from when a worker takes a pair, so neither waiting nor the start of the zygote eats it up.
- A worker that passes the limit is killed (SIGKILL) and the answer is None. The next call gets a new one.
- Nothing outlives this process, however it ends: the zygote sees the end of its control socket and kills its workers.
- Verdicts are remembered by pair, except those that time or memory made.

Bounds on memory and the tie of a worker to its zygote are Linux's (`worker.py` says which); on macOS, time alone bounds
a worker. Windows has no `fork`, and `compare` says so.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import queue
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError

N_WORKERS = 8  # pairs under way at once
MEMORY_MIB = 28  # that a worker may add to what it shares with the zygote
MAX_LIMIT_S = 86_400.0
START_S = 120.0  # patience with the zygote's imports, and with a fork, on a busy machine
N_REMEMBERED = 4096
MAX_REMEMBERED_CHARS = 4000  # of one pair
MAX_CHARS = 200_000  # of one pair; far beyond what the callers let pass
_N_TRIES = 2 * N_WORKERS  # a worker that ends through no fault of the pair costs another try
_SCRIPT = Path(__file__).with_name("worker.py")
_FIXED = {"PYTHONHASHSEED": "0", "SYMPY_GROUND_TYPES": "python", "MPMATH_NOGMPY": "1"}  # the same verdicts everywhere
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "PYTHONHOME")


@dataclass(frozen=True)
class Reply:
    """Whether two answers are equal; None where time, memory, a crash or an unreadable answer kept that hidden."""

    equal: bool | None
    reason: str


@dataclass
class _Worker:
    """Our end of a worker's socket, and its number with the zygote that forked it."""

    number: int
    socket: socket.socket
    zygote: _Zygote


@dataclass
class _Zygote:
    """The process that forks workers, and our end of its control socket."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)  # of writing to `control`


class _Gone(Exception):
    """The other side of a socket has ended."""


class _Pool:
    """The zygote and the workers of one process. A forked child of ours gets a pool of its own."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._idle: list[_Worker] = []
        self._n_workers = 0
        self._starting = threading.Lock()
        self._zygote: _Zygote | None = None
        self._next_number = 0
        self._open: set[socket.socket] = set()
        self._remembered: OrderedDict[tuple[str, str, str], Reply] = OrderedDict()
        self._waiting: queue.SimpleQueue[tuple[Future[Reply], tuple[str, str, float, str]]] = queue.SimpleQueue()
        self._n_threads = self._n_threads_idle = 0
        self.closed = False

    def compare(self, reference: str, attempt: str, limit_s: float, kind: str) -> Reply:
        """See `compare`."""
        if not 0 < limit_s <= MAX_LIMIT_S:
            raise TeachableError(
                f"a limit of {limit_s} s is no time to compare answers in",
                mend=f"Give more than 0 and at most {MAX_LIMIT_S:g}.",
            )
        if len(reference) + len(attempt) > MAX_CHARS:
            return Reply(None, "the answers are too long to compare")
        key = (reference, attempt, kind)
        with self._free:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                return self._remembered[key]
        pair = {"reference": reference, "attempt": attempt, "kind": kind, "limit_s": limit_s}
        for _ in range(_N_TRIES):
            try:
                reply, sound = self._try(pair, limit_s)
            except _Gone:
                continue
            if sound and len(reference) + len(attempt) <= MAX_REMEMBERED_CHARS:
                self._remember(key, reply)
            return reply
        return Reply(None, "this process is ending" if self.closed else "the computer algebra workers keep ending")

    def _remember(self, key: tuple[str, str, str], reply: Reply) -> None:
        with self._free:
            self._remembered[key] = reply
            while len(self._remembered) > N_REMEMBERED:
                self._remembered.popitem(last=False)

    def _try(self, pair: dict[str, Any], limit_s: float) -> tuple[Reply, bool]:
        """One worker's reply to the pair, and whether it may be remembered.

        Raises:
            _Gone: the worker ended before it took the pair, or its zygote was killed.
        """
        worker = self._take()
        serves = False
        try:
            _send(worker.socket, pair)
            _receive(worker.socket, time.monotonic() + START_S)  # "took"
            deadline = time.monotonic() + limit_s
            try:
                told = _receive(worker.socket, deadline)
            except TimeoutError:
                return Reply(None, f"comparing them took longer than {limit_s:g} s"), False
            except _Gone:
                if worker.zygote.process.poll() is not None:  # somebody killed the zygote, and that the worker
                    raise
                late = time.monotonic() >= deadline
                why = "took too long" if late else "ended the worker (too much memory, or a crash)"
                return Reply(None, f"comparing them {why}"), False
            serves = not told["last"]
            return Reply(told["equal"], told["reason"]), serves or told["equal"] is not None
        except TimeoutError:
            raise _Gone from None
        finally:
            self._give_back(worker, serves)

    def _take(self) -> _Worker:
        """An idle worker, or a new one; waits while all are busy.

        Raises:
            _Gone: the zygote ended while it was asked for one, or this process is ending.
        """
        with self._free:
            while not self._idle and self._n_workers >= N_WORKERS and not self.closed:
                self._free.wait()
            if self.closed:
                raise _Gone
            if self._idle:
                return self._idle.pop()
            self._n_workers += 1
        try:
            return self._fork()
        except BaseException:
            self._forget_one()
            raise

    def _give_back(self, worker: _Worker, serves: bool) -> None:
        if serves and not self.closed:
            with self._free:
                self._idle.append(worker)
                self._free.notify()
            return
        with worker.zygote.lock, contextlib.suppress(_Gone):  # a zygote that is gone has killed it already
            _send(worker.zygote.control, {"kill": worker.number})
        self._close(worker.socket)
        self._forget_one()

    def _forget_one(self) -> None:
        with self._free:
            self._n_workers -= 1
            self._free.notify()

    def _fork(self) -> _Worker:
        """A new worker, from a new zygote if there is none."""
        with self._starting:
            if self.closed:
                raise _Gone
            zygote = self._zygote = self._zygote or self._start()
            ours, theirs = socket.socketpair()
            self._open.add(ours)
            self._next_number += 1
            try:
                with zygote.lock:
                    socket.send_fds(zygote.control, [_packed({"fork": self._next_number})], [theirs.fileno()])
            except OSError:
                self._close(ours)
                self._end(zygote)
                self._zygote = None
                raise _Gone from None
            finally:
                theirs.close()
            return _Worker(self._next_number, ours, zygote)

    def _start(self) -> _Zygote:
        """Start the zygote and wait until it has imported everything.

        Raises:
            TeachableError: it can't be started, or math-verify can't be imported.
        """
        if sys.platform == "win32":
            raise _no_start("they are forked, and Windows has no fork")
        ours, theirs = socket.socketpair()
        self._open.add(ours)
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | _FIXED
        command = [sys.executable, "-P", "-s", "-S", "-X", "utf8", str(_SCRIPT), str(theirs.fileno())]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # ctrl-C is ours to handle
            )
        except OSError as error:
            self._close(ours)
            raise _no_start(str(error)) from error
        finally:
            theirs.close()
        zygote = _Zygote(process, ours)
        try:
            _send(ours, {"path": [os.path.abspath(folder) for folder in sys.path], "memory_mib": MEMORY_MIB})
            told = _receive(ours, time.monotonic() + START_S)
        except (_Gone, TimeoutError) as error:
            self._end(zygote)
            raise _no_start(f"its process ended or hung ({process.returncode})") from error
        if "fault" in told:
            self._end(zygote)
            raise _no_start(told["fault"])
        return zygote

    def _end(self, zygote: _Zygote) -> None:
        """End a zygote, and with it its workers, and reap it."""
        self._close(zygote.control)
        try:
            zygote.process.wait(5)
        except subprocess.TimeoutExpired:
            zygote.process.kill()
            zygote.process.wait()

    def _close(self, ours: socket.socket) -> None:
        self._open.discard(ours)
        ours.close()

    def close(self) -> None:
        """End all processes; who waits for a verdict gets None."""
        self.closed = True
        with self._free:
            self._free.notify_all()
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            self._end(zygote)

    def abandon(self) -> None:
        """In a forked child: let go of the parent's sockets, and leave its locks, which another thread may hold."""
        for ours in list(self._open):
            ours.close()
        if self._zygote is not None:
            self._zygote.process.returncode = 0  # the parent's child, not ours to wait for

    def submit(self, *arguments: Any) -> Future[Reply]:
        """`compare` in a thread of the pool. The threads are daemons: an interpreter that ends waits for none."""
        future: Future[Reply] = Future()
        self._waiting.put((future, arguments))  # type: ignore[arg-type]
        with self._free:
            if self._n_threads < N_WORKERS:
                self._n_threads += 1
                threading.Thread(target=self._work, name="teachable-algebra", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            future, arguments = self._waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self.compare(*arguments))
                except BaseException as error:  # belongs to who asked
                    future.set_exception(error)


_pool = _Pool()


def compare(reference: str, attempt: str, limit_s: float = 5.0, kind: str = "") -> Reply:
    """Does computer algebra find two answers equal? Blocks; from any thread, inside an event loop too.

    Args:
        reference, attempt: LaTeX without a box, cleaned, and bounded in length.
        limit_s: wall seconds from when a worker takes the pair; then it is killed and the reply is None.
        kind: a hint for the worker.

    Raises:
        TeachableError: no worker can be had on this machine. Never for what the texts say.
    """
    return _pool.compare(reference, attempt, limit_s, kind)


async def compare_async(reference: str, attempt: str, limit_s: float = 5.0, kind: str = "") -> Reply:
    """`compare` without blocking the event loop, in threads of this module's own."""
    return await asyncio.wrap_future(_pool.submit(reference, attempt, limit_s, kind))


def _no_start(why: str) -> TeachableError:
    return TeachableError(
        f"the workers that compare answers by computer algebra can't be started: {why}",
        mend="Check that the Python that runs teachable has math-verify: pip install 'math-verify>=0.9,<0.10'.",
    )


def _packed(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode("ascii")
    return struct.pack("!I", len(body)) + body


def _send(to: socket.socket, message: dict[str, Any]) -> None:
    """Send all of it.

    Raises:
        _Gone: the other side has ended.
    """
    try:
        to.settimeout(START_S)
        to.sendall(_packed(message))
    except OSError:
        raise _Gone from None


def _receive(source: socket.socket, deadline: float) -> Any:
    """The next message.

    Raises:
        TimeoutError: it is not there at the deadline (by `time.monotonic`).
        _Gone: the other side has ended.
    """
    (n_bytes,) = struct.unpack("!I", _read(source, 4, deadline))
    return json.loads(_read(source, n_bytes, deadline))


def _read(source: socket.socket, n_bytes: int, deadline: float) -> bytes:
    read = b""
    while len(read) < n_bytes:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        try:
            source.settimeout(left_s)
            part = source.recv(n_bytes - len(read))
        except TimeoutError:
            raise
        except OSError:
            raise _Gone from None
        if not part:
            raise _Gone
        read += part
    return read


def _close_at_exit() -> None:
    _pool.close()


def _after_fork() -> None:
    global _pool
    _pool.abandon()
    _pool = _Pool()


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
