"""Frames on a stream socket: four bytes of length, then JSON. Starts fast: neither `json` nor `socket` is imported.

A frame longer than the limit, a short one, and text that is no JSON raise `WireError`; whoever reads decides what that
means. The reader of a hostile peer gets plain lists, dicts, strings and numbers out of it and nothing else.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_json: Any
try:
    import _json
except ImportError:  # another interpreter than CPython
    _json = None

MAX_FRAME_BYTES = 16 * 1024 * 1024


class WireError(Exception):
    """The other side is gone, or does not keep to the protocol."""


class _Context:
    """What the scanner of `json.loads` asks of its decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__


if _json is not None:
    _scan = _json.make_scanner(_Context())
    _encode = _json.make_encoder(None, None, _json.encode_basestring_ascii, None, ":", ",", False, False, True)

    def dumps(value: Any) -> bytes:
        """JSON, in ASCII."""
        return "".join(_encode(value, 0)).encode("ascii")

    def loads(data: bytes) -> Any:
        """The value of a JSON text. Raises WireError where it is none."""
        try:
            value, end = _scan(data.decode("ascii"), 0)
        except (StopIteration, ValueError, KeyError, RecursionError, MemoryError) as error:
            raise WireError("no JSON") from error
        if end != len(data):
            raise WireError("more than one value")
        return value

else:
    import json

    def dumps(value: Any) -> bytes:
        """JSON, in ASCII."""
        return json.dumps(value).encode("ascii")

    def loads(data: bytes) -> Any:
        """The value of a JSON text. Raises WireError where it is none."""
        try:
            return json.loads(data.decode("ascii"))
        except (ValueError, RecursionError, MemoryError) as error:
            raise WireError("no JSON") from error


class Wire:
    """One end of the socket; not for two threads at once. `n_left` bytes may still be read before it is a flood."""

    def __init__(self, fd: int, max_total_bytes: int | None = None) -> None:
        self._fd = fd
        self.n_left = max_total_bytes

    def send(self, value: Any) -> None:
        """Send one value. Raises WireError if it is too long or the other side is gone."""
        body = dumps(value)
        if len(body) > MAX_FRAME_BYTES:
            raise WireError("a message is too long")
        data = memoryview(len(body).to_bytes(4, "big") + body)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise WireError("the other side is gone") from error

    def receive(self) -> Any:
        """The next value. Raises WireError if there is none."""
        length = int.from_bytes(self._exactly(4), "big")
        if length > MAX_FRAME_BYTES:
            raise WireError("a message is too long")
        if self.n_left is not None:
            self.n_left -= length
            if self.n_left < 0:
                raise WireError("more data than any test needs")
        return loads(self._exactly(length))

    def _exactly(self, n_bytes: int) -> bytes:
        parts: list[bytes] = []
        while n_bytes:
            try:
                part = os.read(self._fd, min(n_bytes, 1 << 20))
            except OSError as error:
                raise WireError("the other side is gone") from error
            if not part:
                raise WireError("the other side is gone")
            parts.append(part)
            n_bytes -= len(part)
        return b"".join(parts)
