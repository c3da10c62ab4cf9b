"""Messages between this process and its workers: JSON behind a length of four bytes, read against a deadline."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

PATIENCE_S = 120.0  # with a process that is there but does not read or begin, on a busy machine


class Gone(Exception):
    """The other side of a socket has ended."""


def packed(message: dict[str, Any]) -> bytes:
    """The message as it is sent; text of any kind, lone surrogates and null characters too, passes as it is."""
    body = json.dumps(message).encode("ascii")
    return struct.pack("!I", len(body)) + body


def send(to: socket.socket, message: dict[str, Any]) -> None:
    """Send all of it.

    Raises:
        Gone: the other side has ended, or does not read.
    """
    try:
        to.settimeout(PATIENCE_S)
        to.sendall(packed(message))
    except OSError:
        raise Gone from None


def receive(source: socket.socket, deadline: float) -> dict[str, Any]:
    """The next message.

    Args:
        source: our end of the socket.
        deadline: by `time.monotonic`.

    Raises:
        TimeoutError: it was not there in time.
        Gone: the other side has ended.
    """
    (n_bytes,) = struct.unpack("!I", _read(source, 4, deadline))
    message: dict[str, Any] = json.loads(_read(source, n_bytes, deadline))
    return message


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
            raise Gone from None
        if not part:
            raise Gone
        read += part
    return read
