"""What a request says in the words of OpenAI's protocol, and what one server makes of them.

No two servers take the same parameters. One that is at its off-value (`top_k` 0, one sample), or that only helps
(`seed`, `logprobs`, `return_token_ids`), is sent all the same, since servers have defaults of their own that would
change what is sampled (vLLM takes the `top_k` and `repetition_penalty` that the model recommends, llama.cpp has a
`min_p` of 0.05); where a server refuses it, it is left out from then on. A parameter that would change the samples is
never left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Literal

from teachable.engines.replies import samples_raw_distribution
from teachable.engines.server import Fault
from teachable.records import Request

# What may be left out for good, and at which values (None: at any).
_OPTIONAL: dict[str, tuple[float, ...] | None] = {
    "n": None,  # the rest is asked for again
    "seed": None,
    "logprobs": None,
    "return_token_ids": None,
    "temperature": (1.0,),
    "top_p": (1.0,),
    "top_k": (0,),
    "min_p": (0.0,),
    "repetition_penalty": (1.0,),
}
_OTHER_NAMES = {"n": ("n_cmpl",)}  # llama.cpp says that of more samples than it has slots
_COMMON = {"n", "temperature", "top_p"}
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "stop")


class Parameters:
    """The parameters of requests to one server, and which of them it has refused.

    Args:
        model: the model's name on the server.
        api: which interface the bodies are for.
        token_ids: ask for the completions' token ids (vLLM's `return_token_ids`).
    """

    def __init__(self, model: str, api: Literal["chat", "completions"], *, token_ids: bool) -> None:
        self._model = model
        self._api = api
        self._token_ids = token_ids
        self._refused: set[str] = set()
        self._taken: set[str] = set()
        self._max_tokens = "max_tokens"

    def takes(self, name: str) -> bool:
        """The server has not refused this parameter."""
        return name not in self._refused

    def refuse(self, *names: str) -> None:
        """Leave these out from now on."""
        self._refused.update(names)

    def body(
        self, prompt: Any, request: Request, *, n: int, seed: int, without: Collection[str] = ()
    ) -> dict[str, Any]:
        """The JSON of a request for `n` samples; `without` are left out of this one."""
        chat = self._api == "chat"
        body: dict[str, Any] = {
            "model": self._model,
            "messages" if chat else "prompt": prompt,
            self._max_tokens: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_k": request.top_k,
            "min_p": request.min_p,
            "repetition_penalty": 1.0,
            "seed": seed,
        }
        if n > 1:
            body["n"] = n
        if request.stop:
            body["stop"] = list(request.stop)
        if samples_raw_distribution(request):
            body["logprobs"] = True if chat else 1
        if self._token_ids:
            body["return_token_ids"] = True
        left_out = {*without, *(_spare(body) & self._refused)}
        return {name: value for name, value in body.items() if name not in left_out}

    def accepted(self, body: dict[str, Any], without: Collection[str]) -> None:
        """The server answered this body, for which `without` had to be left out."""
        self._taken.update(body)
        self._refused.update(without)

    def unneeded(self, fault: Fault, body: dict[str, Any]) -> set[str]:
        """Which parameters of a refused body the fault names and can be done without; remembered."""
        if "max_tokens" in body and "max_completion_tokens" in fault.message:
            self._max_tokens = "max_completion_tokens"
            return {"max_tokens"}
        spare = _spare(body)
        found = {name for name in spare if any(_names(fault, one) for one in (name, *_OTHER_NAMES.get(name, ())))}
        self._refused |= found
        return found

    def untried(self, body: dict[str, Any]) -> set[str]:
        """Which parameters, of those that not every server knows, were never part of a body that was answered."""
        return _spare(body) - self._taken - _COMMON

    def unmet(self, fault: Fault, body: dict[str, Any]) -> str:
        """The sampling parameter, as `name=value`, that the server says it doesn't take; "" if it doesn't say so."""
        for name in _SAMPLING:
            if name in body and name not in _spare(body) and _names(fault, name, strictly=True):
                return f"{name}={body[name]}"
        return ""


def _spare(body: dict[str, Any]) -> set[str]:
    return {n for n, values in _OPTIONAL.items() if n in body and (values is None or body[n] in values)}


def _names(fault: Fault, name: str, *, strictly: bool = False) -> bool:
    """The fault speaks of the parameter, in its own field or in its words.

    `strictly`: only in quotes, after a colon, or as the last part of a path.
    """
    if fault.param == name:
        return True
    whole = rf"(?<![\w]){re.escape(name)}(?![\w])"
    return re.search(rf"['\"`.:]\s?{whole}" if strictly else whole, fault.message) is not None
