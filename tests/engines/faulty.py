"""A server of OpenAI's protocol on a real socket, told to misbehave.

Which fault a request meets is drawn from a generator seeded by the server's seed and the number of the request. Every
sample that was delivered whole is remembered with its prompt, so that a test can tell what was paid for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests", 503: "Service Unavailable"}
FAULTS = (
    *("429", "429 retry-after", "429 retry-after-ms", "429 retry-after-date", "500", "503", "stall", "drip", "drop"),
    *("invalid json", "empty choices", "null content", "no message", "filtered", "fewer", "more"),
    *("truncated utf-8", "html", "wrapped error"),
)


@dataclass
class Seen:
    """One request as the server saw it, with what it met; `at` is when it arrived, in seconds."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float
    in_flight: int
    fault: str = ""
    status: int = 0
    delivered: list[str] = field(default_factory=list)

    @property
    def prompt(self) -> str:
        """Whatever stands for the prompt, as one text."""
        return json.dumps(self.body.get("messages", self.body.get("prompt")))

    @property
    def n(self) -> int:
        return self.body.get("n", 1)


Answer = Callable[[dict[str, Any], random.Random], str]
Refusal = Callable[[dict[str, Any]], tuple[int, Any] | None]


class FaultyServer:
    """Serves on a port of its own while its `with` block lasts.

    Args:
        faults: the share of requests that meet each of `FAULTS`, in [0, 1].
        seed: of the faults and the answers.
        answer: from a request's body to a text; the default gives every sample a text of its own.
        honour_seed: draw the answer's randomness from the request's `seed` and the choice, as vLLM does.
        max_n: choices a reply has at most.
        capacity: requests at once; more get 429.
        latency_s: how long an answer takes.
        stall_s: how long a stalling one takes.
        retry_after_s: what a 429 with a header asks for; `retry-after` itself holds whole seconds only.
        key: the key that requests must carry; a wrong one is echoed in the error, as some servers do.
        model: the one model that there is.
        refuse: from a body to the (status, JSON) to refuse it with, or None.
        usage: count tokens; a token is four bytes of UTF-8.
        port: where to listen; 0 for any free port.
    """

    def __init__(
        self,
        faults: Mapping[str, float] | None = None,
        *,
        seed: int = 0,
        answer: Answer | None = None,
        honour_seed: bool = False,
        max_n: int = 128,
        capacity: int = 10**6,
        latency_s: float = 0.0,
        stall_s: float = 5.0,
        retry_after_s: float = 0.02,
        key: str = "",
        model: str = "tiny",
        refuse: Refusal | None = None,
        usage: bool = True,
        port: int = 0,
    ) -> None:
        self.faults = dict(faults or {})
        assert set(self.faults) <= set(FAULTS)
        self.seed = seed
        self.answer = answer
        self.honour_seed = honour_seed
        self.max_n = max_n
        self.capacity = capacity
        self.latency_s = latency_s
        self.stall_s = stall_s
        self.retry_after_s = retry_after_s
        self.key = key
        self.model = model
        self.refuse = refuse
        self.usage = usage
        self.seen: list[Seen] = []
        self.port = port
        self._in_flight = 0
        self._n_samples = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_up = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> list[Seen]:
        """The requests for completions, in the order of arrival."""
        return [seen for seen in self.seen if seen.path.endswith("/completions")]

    def __enter__(self) -> Self:
        # Client and server share an interpreter: at the usual 5 ms each would wait for the other's turn to end.
        self._switch_interval = sys.getswitchinterval()
        sys.setswitchinterval(0.0001)
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setswitchinterval(self._switch_interval)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", self.port))
        self.port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:]) if k}
                raw = await reader.readexactly(int(headers.get("content-length", 0)))
                self._in_flight += 1
                path = head[0].split(" ")[1]
                seen = Seen(path, headers, json.loads(raw or b"{}"), time.monotonic(), self._in_flight)
                self.seen.append(seen)
                try:
                    if not await self._reply(seen, writer):
                        break
                finally:
                    self._in_flight -= 1
        writer.close()

    async def _reply(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False if the connection is to be closed."""
        number = len(self.asked)
        luck = random.Random(f"{self.seed} {number}")
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        refused = self._refused(seen)
        if refused is not None:
            seen.status = refused[0]
            await _write(writer, refused[0], json.dumps(refused[1]).encode())
            return True
        seen.fault = _drawn(self.faults, luck)
        if seen.fault[:3] in ("429", "500", "503"):
            seen.status = int(seen.fault[:3])
            asks = self._retry_after(seen.fault)
            await _write(writer, seen.status, b'{"error": {"message": "told to fail", "type": "fault"}}', asks)
            return True
        if seen.fault == "stall":
            await asyncio.sleep(self.stall_s)
        n = {"fewer": (seen.n + 1) // 2 if seen.n > 1 else 0, "more": seen.n + 2}.get(seen.fault, seen.n)
        texts = [self._text(seen.body, i) for i in range(min(n, self.max_n) if seen.fault != "more" else n)]
        body = _spoilt(seen.fault, self._completion(seen, texts))
        seen.status = 200
        if seen.fault == "drop":
            writer.write(_head(200, len(body)) + body[: len(body) // 2])
            await writer.drain()
            return False
        if seen.fault == "drip":
            for at in range(len(body) - 1):
                writer.write((_head(200, len(body)) if at == 0 else b"") + body[at : at + 1])
                await writer.drain()
                await asyncio.sleep(0.01)
            return False
        if seen.fault in ("", "fewer", "more", "429"):
            seen.delivered = texts
        await _write(writer, 200, body)
        return True

    def _refused(self, seen: Seen) -> tuple[int, Any] | None:
        sent = seen.headers.get("authorization", "")
        if self.key and sent != f"Bearer {self.key}":
            return 401, {"error": {"message": f"Incorrect API key provided: {sent}", "code": "invalid_api_key"}}
        if seen.path.endswith("/models"):
            return 200, {"object": "list", "data": [{"id": self.model, "object": "model"}]}
        if seen.path not in ("/v1/chat/completions", "/v1/completions"):
            return 404, {"detail": "Not Found"}
        if seen.body["model"] != self.model:
            message = f"The model `{seen.body['model']}` does not exist."
            return 404, {"error": {"message": message, "type": "NotFoundError", "code": 404}}
        if self._in_flight > self.capacity:
            return 429, {"error": {"message": "too many at once"}}
        return self.refuse(seen.body) if self.refuse else None

    def _retry_after(self, fault: str) -> dict[str, str]:
        if fault.endswith("-ms"):
            return {"retry-after-ms": str(round(1000 * self.retry_after_s))}
        if fault.endswith("-date"):
            date = time.gmtime(time.time() + self.retry_after_s)
            return {"retry-after": time.strftime("%a, %d %b %Y %H:%M:%S GMT", date)}
        return {"retry-after": str(self.retry_after_s)} if "after" in fault else {}

    def _text(self, body: dict[str, Any], choice: int) -> str:
        self._n_samples += 1
        key = (
            f"{body.get('seed')} {choice} {body.get('messages', body.get('prompt'))}"
            if self.honour_seed
            else f"{self.seed} {self._n_samples}"
        )
        luck = random.Random(key)
        return self.answer(body, luck) if self.answer else f"größer {luck.getrandbits(64):x}"

    def _completion(self, seen: Seen, texts: list[str]) -> dict[str, Any]:
        chat = seen.path.endswith("/chat/completions")
        choices = [
            {"index": i, "finish_reason": "stop"}
            | ({"message": {"role": "assistant", "content": text}} if chat else {"text": text})
            for i, text in enumerate(texts)
        ]
        reply: dict[str, Any] = {"id": "x", "object": "completion", "model": self.model, "choices": choices}
        if self.usage:
            n_in, n_out = n_tokens(seen.prompt), sum(map(n_tokens, texts))
            reply["usage"] = {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}
        return reply


def n_tokens(text: str) -> int:
    return -(-len(text.encode()) // 4)


def _drawn(faults: Mapping[str, float], luck: random.Random) -> str:
    at = luck.random()
    for fault, share in faults.items():
        at -= share
        if at < 0:
            return fault
    return ""


def _spoilt(fault: str, reply: dict[str, Any]) -> bytes:
    """The reply's bytes with the fault in them."""
    for choice in reply["choices"]:
        if fault == "null content":
            choice |= {"message": {"role": "assistant", "content": None}, "text": None}
        elif fault == "no message":
            choice.pop("message", None)
            choice.pop("text", None)
        elif fault == "filtered":
            choice["finish_reason"] = "content_filter"
    if fault == "empty choices":
        reply["choices"] = []
    if fault == "html":
        return b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    if fault == "wrapped error":
        return b'{"error": {"message": "upstream failed", "code": 502}}'
    body = json.dumps(reply, ensure_ascii=False).encode()
    if fault == "invalid json":
        return body[: len(body) * 2 // 3]
    if fault == "truncated utf-8":
        at = body.index("ö".encode())
        return body[: at + 1] + body[at + 2 :]
    return body


def _head(status: int, length: int, headers: Mapping[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", "content-type: application/json"]
    lines += [f"content-length: {length}", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _write(
    writer: asyncio.StreamWriter, status: int, body: bytes, headers: Mapping[str, str] | None = None
) -> None:
    writer.write(_head(status, len(body), headers) + body)
    await writer.drain()


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port of this machine on which nobody listens."""
    import socket

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
