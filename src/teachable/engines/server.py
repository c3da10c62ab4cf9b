"""A server that speaks OpenAI's protocol: one exchange at a time, and what went wrong with it in words.

Everything goes through the `openai` client, with its own retries off. Three habits of that client are kept from
users: it would take keys, organisations, headers and addresses from environment variables that nobody named; it
would follow a server's redirection to another address with the prompt; and it would read a malformed reply as one
with empty fields. So the headers of every request are reduced to those that the protocol needs, redirections are
refused, and replies are taken as bytes.

The key is held here alone. It is cut out of every reply before anyone reads it, whole and in pieces.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import httpx2
import openai
from pydantic import SecretStr

from teachable.engines.pace import Backoff, Pace, retry_after_s
from teachable.errors import TeachableError

CONNECT_TIMEOUT_S = 10.0
MAX_REASON = 300
REDACTED = "[redacted]"
# Shorter keys are words such as "EMPTY", which an answer may well contain.
MIN_SECRET = 8

Trouble: TypeAlias = Literal["unreachable", "timeout", "broken", "malformed", "status"]
_HEADERS = frozenset(
    ("host", "content-length", "content-type", "accept", "accept-encoding", "connection", "user-agent")
)


@dataclass(frozen=True)
class Fault:
    """Why an exchange brought nothing.

    `trouble` is "unreachable" (no connection), "timeout", "broken" (the connection ended early), "malformed" (a reply
    that is none) or "status" (an error that the server reports, with its HTTP `status`, `code` and `param`).
    `message` is the server's own text and `reason` one line for people; no key is in either.
    """

    trouble: Trouble
    reason: str
    message: str = ""
    status: int = 0
    code: str = ""
    param: str = ""
    retry_after_s: float | None = None

    @property
    def is_busy(self) -> bool:
        """A sign that fewer requests should be in flight."""
        return self.trouble in ("unreachable", "timeout") or self.status in (429, 503)

    @property
    def may_pass(self) -> bool:
        """The same request may succeed later."""
        return self.trouble != "status" or self.status in (408, 409, 425, 429) or self.status >= 500


class Server:
    """The server at `base_url`.

    Args:
        base_url: where the interface begins, usually ending in /v1.
        key: sent as `Authorization: Bearer KEY`, or as it stands if it begins with "Basic " or "Bearer "; "" for none.
        concurrency: requests at once, at most.
        timeout_s: seconds for a whole exchange, from the first byte sent to the last received.
        backoff: how far a server's wish for a pause is granted.

    Raises:
        TeachableError: the address holds a user name or a query, or the key could not be sent in a header.
    """

    def __init__(self, base_url: str, key: str, *, concurrency: int, timeout_s: float, backoff: Backoff) -> None:
        self.base_url = base_url.rstrip("/")
        self.name = _name(self.base_url)
        self.was_reached = False
        self._key = SecretStr(key.strip())
        _check_key(self._key)
        self._concurrency = concurrency
        self._timeout_s = timeout_s
        self._connect_timeout_s = min(0.8 * timeout_s, CONNECT_TIMEOUT_S)
        self._backoff = backoff
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: openai.AsyncOpenAI | None = None
        self._pace = Pace(concurrency)

    @property
    def pace(self) -> Pace:
        """How many requests are in flight, and may be."""
        return self._pace

    async def post(self, path: str, body: Callable[[], Mapping[str, Any]], ticket: int) -> dict[str, Any] | Fault:
        """Send a body and return the JSON object that answers it, or the fault.

        Waits for a place first; `ticket` says how early in the queue. The body is made when it is sent, so that it
        can follow what the server has said meanwhile.
        """
        client = self._connected()
        pace = self._pace
        entered_at = await pace.enter(ticket)
        try:
            outcome = await self._exchange(client, path, body())
            if not isinstance(outcome, Fault):
                pace.succeeded()
            elif outcome.is_busy:  # said before the place is free, or the next would take it under the old limit
                pace.slow_down(entered_at, self._backoff.hold_s(outcome.retry_after_s or 0.0))
        finally:
            pace.leave()
        return outcome

    async def models(self) -> list[str] | None:
        """The names of the models that the server has, or None where it does not say."""
        outcome = await self._exchange(self._connected(), "/models", None)
        found = None if isinstance(outcome, Fault) else outcome.get("data")
        if not isinstance(found, list):
            return None
        return [entry["id"] for entry in found if isinstance(entry, dict) and isinstance(entry.get("id"), str)]

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    def redacted(self, text: str) -> str:
        """The text on one line of at most `MAX_REASON` characters, without the key or pieces of it."""
        text = " ".join(text.split())
        secret = self._key.get_secret_value()
        for part in (secret, *secret.split()):
            text = _without(text, part) if part else text
        return text if len(text) <= MAX_REASON else text[: MAX_REASON - 1] + "…"

    def _connected(self) -> openai.AsyncOpenAI:
        """The client of the running loop: connections cannot outlive the loop that opened them."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._pace = Pace(self._concurrency, self._pace.limit)
            self._client = self._new_client()
        return self._client

    def _new_client(self) -> openai.AsyncOpenAI:
        async def dress(request: httpx2.Request) -> None:
            for name in [name for name in request.headers if name not in _HEADERS]:
                del request.headers[name]
            secret = self._key.get_secret_value()
            if secret:
                whole = secret.startswith(("Basic ", "Bearer "))
                request.headers["Authorization"] = secret if whole else f"Bearer {secret}"

        timeout = httpx2.Timeout(self._timeout_s, connect=self._connect_timeout_s)
        return openai.AsyncOpenAI(
            api_key="none",  # the library wants one; `dress` sends the real one
            base_url=self.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=httpx2.AsyncClient(
                timeout=timeout,
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=self._concurrency),
                follow_redirects=False,
                event_hooks={"request": [dress]},
            ),
        )

    async def _exchange(
        self, client: openai.AsyncOpenAI, path: str, body: Mapping[str, Any] | None
    ) -> dict[str, Any] | Fault:
        """One request and its reply.

        Nothing is raised inside an `except`, so that no error of the client, which holds the server's own text with
        whatever it repeats, stays chained to one of ours.
        """
        response: httpx2.Response
        try:
            async with asyncio.timeout(self._timeout_s):
                if body is None:
                    response = await client.get(path, cast_to=httpx2.Response)
                else:
                    response = await client.post(path, cast_to=httpx2.Response, body=body)
        except openai.APIStatusError as error:
            return self._reported(error.response)
        except (openai.APITimeoutError, TimeoutError) as error:
            if isinstance(error.__cause__, httpx2.ConnectTimeout):
                return Fault("unreachable", f"no connection within {self._connect_timeout_s:g} s")
            self.was_reached = True
            return Fault("timeout", f"no whole reply within {self._timeout_s:g} s")
        except openai.APIConnectionError as error:
            cause = self.redacted(f"{type(error.__cause__).__name__}: {error.__cause__}")
            if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ProxyError):
                return Fault("unreachable", cause)
            return Fault("broken", f"the connection broke ({cause})")
        self.was_reached = True
        return self._read(response)

    def _read(self, response: httpx2.Response) -> dict[str, Any] | Fault:
        """The JSON object of a reply."""
        try:
            data = json.loads(self._text(response, errors="strict"))
        except UnicodeDecodeError:
            return Fault("malformed", "the reply is not UTF-8")
        except ValueError:
            text = self.redacted(self._text(response))
            return Fault("malformed", f"the reply is not JSON: {text[:80]!r}")
        except RecursionError:
            return Fault("malformed", "the reply's JSON is nested too deeply")
        if not isinstance(data, dict):
            return Fault("malformed", "the reply is no JSON object")
        return data

    def _reported(self, response: httpx2.Response) -> Fault:
        """The fault of a reply with an error's status."""
        self.was_reached = True
        status, text = response.status_code, self._text(response)
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = re.sub(r"<[^<>]*>", " ", text)  # a page for browsers
        said = body.get("error", body) if isinstance(body, dict) else body
        message = self.redacted(_message(said))
        fields = said if isinstance(said, dict) else {}
        if 300 <= status < 400:
            message = self.redacted(f"it points to {response.headers.get('location', 'nowhere')}")
        return Fault(
            "status",
            f"HTTP {status}{': ' if message else ''}{message}",
            message=message,
            status=status,
            code=self.redacted(str(fields.get("code") or fields.get("type") or "")),
            param=self.redacted(str(fields.get("param") or "")),
            retry_after_s=retry_after_s(response.headers),
        )

    def _text(self, response: httpx2.Response, errors: str = "replace") -> str:
        """A reply's text without the key.

        Raises:
            UnicodeDecodeError: it is not UTF-8, and `errors` is "strict".
        """
        text = response.content.decode("utf-8", errors)
        secret = self._key.get_secret_value()
        for part in (secret, *secret.split()):
            if len(part) >= MIN_SECRET:
                text = text.replace(json.dumps(part)[1:-1], REDACTED).replace(part, REDACTED)
        return text


def _name(base_url: str) -> str:
    """Host, port and path of an address."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if not url.host:
        raise TeachableError("this is no address", where="base_url", mend="Write one such as http://localhost:8000/v1")
    if url.userinfo:
        raise TeachableError(
            "the address of an engine holds a user name or password, which would be written into files",
            where="base_url",
            mend="Put the key, or `Basic ` and the base64 form of both, into an environment variable and name it in"
            " api_key_env",
        )
    if url.query or url.fragment:
        raise TeachableError(
            "the address of an engine has a query or a fragment", where="base_url", mend="End it after the path"
        )
    return f"{url.netloc.decode('ascii')}{url.path}".rstrip("/")


def _check_key(key: SecretStr) -> None:
    if not all(" " <= character <= "~" for character in key.get_secret_value()):
        raise TeachableError(
            "the key holds characters that no HTTP header can carry",
            where="api_key_env",
            mend="Set the variable to the key alone, on one line",
        )


def _message(said: Any) -> str:
    """The words of an error's body, in the shapes that servers give it."""
    if isinstance(said, dict):
        for name in ("message", "detail", "error", "msg"):
            if said.get(name):
                place = said.get("loc")
                where = f" ({'.'.join(map(str, place))})" if isinstance(place, list) else ""
                return _message(said[name]) + where
        return json.dumps(said) if said else ""
    if isinstance(said, list):
        return "; ".join(_message(part) for part in said)
    return "" if said is None else str(said)


def _without(text: str, secret: str) -> str:
    """The text without `secret`, and without any piece of it of `MIN_SECRET` or more characters."""
    text = text.replace(secret, REDACTED)
    pieces = {secret[i : i + MIN_SECRET] for i in range(len(secret) - MIN_SECRET + 1)}
    hidden = [False] * len(text)
    for start in range(len(text) - MIN_SECRET + 1):
        if text[start : start + MIN_SECRET] in pieces:
            hidden[start : start + MIN_SECRET] = [True] * MIN_SECRET
    if not any(hidden):
        return text
    shown = "".join("\0" if hide else character for hide, character in zip(hidden, text, strict=True))
    return re.sub("\0+", REDACTED, shown)
