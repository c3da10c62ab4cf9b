"""Our side of the keeper process: start it, hand it jobs, and read how they ended.

A keeper (`keeper.py`) is started with the first job and stays. Each run has a socket of its own: the job goes to
the keeper with one end of it, the result comes back over it, and closing our end kills the run. So a run needs no
thread of ours, outlives the thread that started it, and ends when we do.

    this process ──control──► keeper ──fork──► supervisor of run 1 ──► bwrap ──► program
         └───────socket of run 1───────────────────────┘
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from teachable.verify.programs.sandboxes.job import Job, Ran, check_name
from teachable.verify.programs.sandboxes.profile import Profile

_SCRIPT = Path(__file__).with_name("keeper.py")
_PATIENCE_S = 60.0  # beyond the bound on wall time, before a supervisor that says nothing counts as lost
_N_TRIES = 3  # a keeper that was killed costs another try
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PATH", "PYTHONHOME", "TMPDIR")


class Running:
    """A program under way. Forgetting it kills the program."""

    def __init__(self, channel: socket.socket, keep: Sequence[str], wall_s: float) -> None:
        self._channel = channel
        self._keep = tuple(keep)
        self._patience_s = wall_s + _PATIENCE_S
        self._lock = threading.Lock()
        self._ran: Ran | None = None

    def wait(self) -> Ran:
        """Wait for the program's end, which its bounds bring about; then nothing of it is left."""
        with self._lock:
            if self._ran is None:
                self._ran = self._receive()
                self._channel.close()
            return self._ran

    def kill(self) -> None:
        """Kill the program and all that it started. `wait`, here or in another thread, then returns at once."""
        with contextlib.suppress(OSError):  # it has ended
            self._channel.shutdown(socket.SHUT_WR)

    def _receive(self) -> Ran:
        """The result, or "killed" if the supervisor is gone without one."""
        self._channel.settimeout(self._patience_s)
        try:
            (size,) = struct.unpack("!I", self._exactly(4))
            said = json.loads(self._exactly(size))
            stdout, stderr = self._exactly(said["stdout"]), self._exactly(said["stderr"])
            files = {
                name: self._exactly(length)
                for name, length in zip(self._keep, said["files"], strict=True)
                if length >= 0
            }
        except (OSError, EOFError):
            return Ran("killed", None, b"", b"the process that supervised the program is gone", 0.0)
        return Ran(said["ended"], said["exit_code"], stdout, stderr, said["wall_s"], files)

    def _exactly(self, size: int) -> bytes:
        """`size` bytes of the channel."""
        parts = bytearray()
        while len(parts) < size:
            part = self._channel.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


class Keeper:
    """The process that starts and supervises runs for this one. Thread-safe; a fork of this process gets a new one."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self.close)

    def start(self, job: Job, keep: Sequence[str] = ()) -> Running:
        """Hand a job over.

        Raises:
            TeachableError: a name in `keep` leads out of the private folder.
            OSError: the keeper can't be started, or a descriptor in `job.fds` is not open.
        """
        for name in keep:
            check_name(name)
        ours, theirs = socket.socketpair()
        with theirs, _payload(job, keep) as payload:
            self._send([payload, theirs.fileno(), *job.fds.values()])
        return Running(ours, keep, job.bounds.wall_s)

    def _send(self, descriptors: list[int]) -> None:
        """Send one job's descriptors, to a new keeper if the one that we had is gone."""
        for attempt in range(_N_TRIES):
            with self._lock:
                if self._control is None:
                    self._launch()
                assert self._control is not None
                try:
                    socket.send_fds(self._control, [b"j"], descriptors)
                    return
                except (BrokenPipeError, ConnectionResetError):
                    self._control.close()
                    self._control = None
                    if attempt == _N_TRIES - 1:
                        raise

    def _launch(self) -> None:
        """Start the keeper, with nothing of ours but its end of the control socket."""
        ours, theirs = socket.socketpair()
        config = json.dumps({**dataclasses.asdict(self._profile), "parent": os.getpid()})
        command = [sys.executable, "-I", "-S", str(_SCRIPT), str(theirs.fileno()), config]
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        finally:
            theirs.close()
        self._control = ours

    def close(self) -> None:
        """End the keeper and its runs, and wait for that; a later job gets a new one."""
        with self._lock:
            if self._control is not None:
                self._control.close()
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_PATIENCE_S)
            self._control = self._process = None

    def _forget(self) -> None:
        """After a fork, in the child: the keeper is the parent's."""
        self._lock = threading.Lock()
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.returncode = 0  # nothing to wait for: it is no child of this process
        self._control = self._process = None


@contextlib.contextmanager
def _payload(job: Job, keep: Sequence[str]) -> Iterator[int]:
    """A descriptor of a nameless file that holds the job: the header's length, the header, the stdin, the files."""
    header = {
        "argv": job.argv,
        "bounds": dataclasses.asdict(job.bounds),
        "fds": list(job.fds),
        "files": [[name, len(content)] for name, content in job.files.items()],
        "keep": list(keep),
        "site_packages": job.site_packages,
        "stdin": len(job.stdin),
    }
    text = json.dumps(header).encode()
    with tempfile.TemporaryFile() if sys.platform != "linux" else os.fdopen(os.memfd_create("job"), "w+b") as file:
        file.write(struct.pack("!I", len(text)) + text + job.stdin)
        for content in job.files.values():
            file.write(content)
        file.flush()
        yield file.fileno()
