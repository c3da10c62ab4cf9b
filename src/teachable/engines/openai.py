"""The engine `openai`: any server that speaks OpenAI's protocol (vLLM, llama.cpp, Ollama, TGI, `transformers serve`,
hosted ones), asked for whole replies through the `openai` client.

What is sent. With `api: chat` messages go as they are and a text goes as one user message; the server applies its
chat template. With `api: completions` a text goes as it stands, to be continued. Where a `tokenizer` is named, texts
and messages are encoded here and go as token ids, which vLLM takes: that way the server's prompts are those that
training sees (`teachable.chat`). `vllm serve MODEL`, `api: completions` and `tokenizer: MODEL` is all that a vLLM
server needs; it keeps the prefixes of prompts by itself.

What holds. Requests in flight follow the server's mood (`engines.pace`). A failed request is sent again, with growing
waits, up to `retries` times. A server that gives fewer samples than asked is asked for the rest, each time under
another seed, since one that honours seeds would repeat itself. A parameter that only helps is left out where a server
refuses it (`engines.parameters`). Seeds are passed on, but no server promises to honour them: unlike a local engine's,
a sample is only repeatable through the ledger. No redirection is followed.

What ends what. A mistake that concerns every request (no server, wrong key, unknown model, no credit) is a
`TeachableError`; what concerns one request alone, or outlasts its retries, is an `EngineFailure`. Both carry the
samples that the request had brought before.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.chat import prompt_tokens, text_tokens
from teachable.engines.config import EngineConfig
from teachable.engines.pace import Backoff, Pace
from teachable.engines.parameters import Parameters
from teachable.engines.refusals import NO_CREDIT, EngineFailure, ServerRefusal, no_credit, refusal
from teachable.engines.replies import MalformedReply, read_reply
from teachable.engines.server import Fault, Server
from teachable.errors import TeachableError
from teachable.records import Completion, Message, PromptInput, Request
from teachable.store.digest import digest, file_digest, model_files

# Waits before a server that was never reached is tried again, in seconds.
FIRST_WAITS_S = (0.5, 1.5)
# After so many replies in a row with one sample where several were asked for, the server is taken to ignore `n`.
N_LONE_REPLIES = 3


@dataclass(frozen=True)
class _Sent:
    """A prompt as it goes over the wire, and its length in tokens or characters."""

    prompt: str | list[int] | list[Message]
    length: int
    in_tokens: bool


class OpenAIEngine:
    """Samples from the model `config.model` of the server at `config.base_url`.

    Args:
        config: of kind "openai". Its `name` for the ledger holds what decides the samples: model, server, interface,
            and where token ids are sent the tokenizer (the digest of its folder's files, or its hub id).
        backoff: waits between attempts.

    Raises:
        TeachableError: the address is none or holds a password, the variable that is to hold the key is empty, or the
            tokenizer's folder is missing.
    """

    def __init__(self, config: EngineConfig, *, backoff: Backoff | None = None) -> None:
        self.config = config
        self._backoff = backoff or Backoff()
        self._server = Server(
            config.base_url,
            _key(config),
            concurrency=config.concurrency,
            timeout_s=config.timeout_s,
            backoff=self._backoff,
        )
        self.name = f"openai:{config.model}@{self._server.name}:{config.api}"
        if config.tokenizer:
            self.name += f":{_tokenizer_identity(config.tokenizer)}"
        self._path = "/chat/completions" if config.api == "chat" else "/completions"
        self._parameters = Parameters(config.model, config.api, token_ids=bool(config.tokenizer))
        self._tokenizer: Any = None
        self._tickets = itertools.count()
        self._luck = random.Random()
        self._n_lone_replies = 0
        self._has_answered = False

    @property
    def pace(self) -> Pace:
        """How many requests are in flight, and may be."""
        return self._server.pace

    def encode(self, prompt: str | list[Message]) -> list[int]:
        """Token ids of a text to go on from, or of a chat with the generation prompt.

        Raises:
            TeachableError: no tokenizer is named, or it can't be loaded.
        """
        tokenizer = self._loaded_tokenizer()
        if isinstance(prompt, str):
            return text_tokens(tokenizer, prompt)
        return prompt_tokens(tokenizer, prompt)

    def decode(self, token_ids: list[int]) -> str:
        """The text of token ids, special tokens left out.

        Raises:
            TeachableError: no tokenizer is named, or it can't be loaded.
        """
        text: str = self._loaded_tokenizer().decode(list(token_ids), skip_special_tokens=True)
        return text

    async def aclose(self) -> None:
        """Close the connections; a later request opens new ones."""
        await self._server.aclose()

    async def sample(self, request: Request) -> list[Completion]:
        """`request.n` completions in sample order, read as `engines.replies` says.

        Where the server counts no tokens, `n_tokens` and `n_prompt_tokens` are estimates, four characters a token.

        Raises:
            EngineFailure: this request failed for good; the reason says why, `completions` what it brought before.
            TeachableError: every request would fail.
        """
        sent = self._sent(request.prompt)
        ticket = next(self._tickets)
        got: list[Completion] = []
        while len(got) < request.n:
            calls = [
                self._ask(sent, request, first, n, ticket)
                for first, n in self._split(request.first + len(got), request.n - len(got), request.temperature)
            ]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            got += [sample for outcome in outcomes if not isinstance(outcome, BaseException) for sample in outcome]
            if errors:
                worst = next((error for error in errors if not isinstance(error, EngineFailure)), errors[0])
                if isinstance(worst, EngineFailure | ServerRefusal):
                    worst.completions = tuple(got)
                raise worst
        return got

    def _split(self, first: int, n: int, temperature: float) -> list[tuple[int, int]]:
        """The calls that bring n samples, as (index of the first, number).

        One a sample where the server knows no other way, and for greedy ones, of which some servers give only one.
        """
        one_by_one = n == 1 or temperature == 0 or not self._parameters.takes("n")
        return [(first + i, 1) for i in range(n)] if one_by_one else [(first, n)]

    async def _ask(self, sent: _Sent, request: Request, first: int, n: int, ticket: int) -> list[Completion]:
        """Between one and n completions, whatever number of attempts it takes."""
        n_failures = n_malformed = 0
        untried: set[str] = set()
        while True:
            seed = sent_seed(request, first, n_malformed)
            body, outcome = await self._attempt(sent, request, n, seed, untried, ticket)
            if not isinstance(outcome, Fault):
                self._parameters.accepted(body, untried)
                self._note_number(body.get("n", 1), len(outcome))
                return outcome[:n]
            if outcome.trouble == "status" and not outcome.may_pass:
                if self._parameters.unneeded(outcome, body):
                    continue
                if not untried and outcome.status in (400, 422) and (untried := self._parameters.untried(body)):
                    continue
                unmet = self._parameters.unmet(outcome, body)
                raise await refusal(
                    outcome, body, self.config, self._server, unmet=unmet, is_new=not self._has_answered
                )
            n_failures += 1
            n_malformed += outcome.trouble == "malformed"
            await asyncio.sleep(self._wait_s(outcome, n_failures))

    async def _attempt(
        self, sent: _Sent, request: Request, n: int, seed: int, without: set[str], ticket: int
    ) -> tuple[dict[str, Any], list[Completion] | Fault]:
        """What was sent, once there was a place for it, and what came of it."""
        body: dict[str, Any] = {}

        def filled() -> dict[str, Any]:
            body.update(self._parameters.body(sent.prompt, request, n=n, seed=seed, without=without))
            return body

        reply = await self._server.post(self._path, filled, ticket)
        if isinstance(reply, Fault):
            return body, reply
        try:
            completions = read_reply(reply, request, prompt_length=sent.length, in_tokens=sent.in_tokens)
        except MalformedReply as error:
            told = reply.get("error")  # some gateways wrap an error into a success
            return body, Fault("malformed", self._server.redacted(f"{error}{f': {told}' if told else ''}"))
        self._has_answered = True
        return body, completions

    def _wait_s(self, fault: Fault, n_failures: int) -> float:
        """The wait before the next attempt, in seconds.

        Raises:
            EngineFailure: the attempts are used up.
            ServerRefusal: there is no server, or no credit.
        """
        if fault.code in NO_CREDIT:
            raise no_credit(fault, self._server)
        if fault.trouble == "unreachable" and not self._server.was_reached:
            if n_failures > min(self.config.retries, len(FIRST_WAITS_S)):
                raise ServerRefusal(
                    f"no server answers at {self._server.base_url} ({fault.reason})",
                    mend="Start it, or write the address where it runs as base_url",
                )
            return FIRST_WAITS_S[n_failures - 1]
        if n_failures > self.config.retries:
            attempts = f"{n_failures} attempts" if n_failures > 1 else "one attempt"
            raise EngineFailure(f"gave up after {attempts}: {fault.reason}")
        return self._backoff.wait_s(n_failures, fault.retry_after_s, self._luck)

    def _note_number(self, n_asked: int, n_brought: int) -> None:
        """Learn from replies whether the server knows `n`."""
        if n_asked > 1:
            self._n_lone_replies = self._n_lone_replies + 1 if n_brought == 1 else 0
            if self._n_lone_replies >= N_LONE_REPLIES:
                self._parameters.refuse("n")

    def _sent(self, prompt: PromptInput) -> _Sent:
        """The prompt in the form that the interface takes.

        Raises:
            EngineFailure: the prompt has no messages or is no Unicode text.
            TeachableError: the interface takes no prompts of this form.
        """
        if isinstance(prompt, str):
            messages = [Message(role="user", content=prompt)]
            return self._sent_text(prompt) if self.config.api == "completions" else self._sent_chat(messages)
        ids = [part for part in prompt if isinstance(part, int)]
        if ids and self.config.api == "chat":
            raise TeachableError(
                "a chat server takes no token ids", where=self.name, mend="Use `api: completions` for such prompts"
            )
        return _Sent(ids, len(ids), True) if ids else self._sent_chat([m for m in prompt if not isinstance(m, int)])

    def _sent_text(self, text: str) -> _Sent:
        _check_text(text)
        if self.config.tokenizer:
            ids = self.encode(text)
            return _Sent(ids, len(ids), True)
        return _Sent(text, len(text), False)

    def _sent_chat(self, messages: list[Message]) -> _Sent:
        if not messages:
            raise EngineFailure("the prompt is empty")
        for message in messages:
            _check_text(message["content"])
        if self.config.api == "chat":
            plain = [Message(role=message["role"], content=message["content"]) for message in messages]
            return _Sent(plain, sum(len(message["content"]) for message in plain), False)
        if not self.config.tokenizer:
            raise TeachableError(
                "messages cannot be sent to /completions without the model's chat template",
                where=self.name,
                mend="Use `api: chat`, or name the model's tokenizer in `tokenizer`",
            )
        ids = self.encode(messages)
        return _Sent(ids, len(ids), True)

    def _loaded_tokenizer(self) -> Any:
        if not self.config.tokenizer:
            raise TeachableError(
                "this engine has no tokenizer",
                where=self.name,
                mend="Name the model's tokenizer in `tokenizer`, with `api: completions`",
            )
        if self._tokenizer is None:
            try:
                from transformers import AutoTokenizer
            except ModuleNotFoundError as error:
                raise TeachableError(
                    f"a tokenizer needs the package {error.name!r}, which is not installed",
                    where="tokenizer",
                    mend="Install it: pip install 'teachable[train]'",
                ) from error
            try:
                self._tokenizer = AutoTokenizer.from_pretrained(
                    self.config.tokenizer, trust_remote_code=self.config.trust_remote_code
                )
            except (OSError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                raise TeachableError(
                    f"the tokenizer {self.config.tokenizer!r} can't be loaded ({reason})",
                    where="tokenizer",
                    mend="Name a folder with the tokenizer's files, or a model of the hub",
                ) from error
        return self._tokenizer


def sent_seed(request: Request, first: int, n_malformed: int = 0) -> int:
    """The seed to send for the samples of a request from index `first` on, in [0, 2^31): servers want small ones.

    It depends on the prompt and on which samples were already there when the rest was asked for, so that no two
    calls share one: a server that honours seeds would give the same samples again. After `n_malformed` unusable
    replies it is another one, as the same seed could bring the same reply; after other failures it is not.
    """
    prompt = request.prompt if isinstance(request.prompt, str) else list(request.prompt)
    parts = json.dumps([prompt, request.seed, request.first, first, n_malformed])
    return int.from_bytes(hashlib.sha256(parts.encode()).digest()[:4], "big") >> 1


def _key(config: EngineConfig) -> str:
    if not config.api_key_env:
        return ""
    key = os.environ.get(config.api_key_env, "").strip()
    if not key:
        raise TeachableError(
            f"the environment variable {config.api_key_env} is not set",
            where="api_key_env",
            mend=f"Set it to the server's key: export {config.api_key_env}=…",
        )
    return key


def _tokenizer_identity(tokenizer: str) -> str:
    """What a tokenizer is: the digest of its files in a folder, or its name on the hub."""
    folder = Path(tokenizer)
    if not folder.is_dir():
        if folder.is_absolute() or tokenizer.startswith("."):
            raise TeachableError("this folder does not exist", where=f"tokenizer: {tokenizer}")
        return tokenizer
    files = [file for file in model_files(folder) if "token" in file.name or file.name.startswith(("vocab", "merges"))]
    return digest({file.name: file_digest(file) for file in [*files, *folder.glob("chat_template.*")]})[:16]


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
        raise EngineFailure(f"the prompt is no Unicode text: character {at} is half of a surrogate pair") from None
