"""What a server's final no means: a mistake that stops the work, or the failure of one request alone.

Both errors carry the samples that the request had brought before, so that whoever keeps the books can keep them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from teachable.engines.config import EngineConfig
from teachable.engines.server import Fault, Server
from teachable.errors import TeachableError
from teachable.records import Completion

# Codes of a 429 that no waiting mends.
NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
MAX_MODELS = 20


class EngineFailure(RuntimeError):
    """One request failed for good. `completions` are the samples that it brought before, in order."""

    def __init__(self, reason: str, completions: Sequence[Completion] = ()) -> None:
        super().__init__(reason)
        self.completions = tuple(completions)


class ServerRefusal(TeachableError):
    """The server will refuse every request. `completions` are the samples that this one brought before, in order."""

    completions: tuple[Completion, ...] = ()


def no_credit(fault: Fault, server: Server) -> ServerRefusal:
    """The error of an account that must be filled first."""
    mend = "Add credit and run the same command again; what was paid for is kept"
    return ServerRefusal(f"the account has no credit left ({fault.reason})", where=server.base_url, mend=mend)


async def refusal(
    fault: Fault, body: dict[str, Any], config: EngineConfig, server: Server, *, unmet: str, is_new: bool
) -> EngineFailure | ServerRefusal:
    """The error of a reply that no second attempt would change.

    Args:
        fault: the reply, with an error's status.
        body: what was sent.
        config: of the engine.
        server: asked for its models where one is missing.
        unmet: the setting, as `name=value`, that the server says it doesn't take, or "".
        is_new: the server has not answered any request yet, so that whatever it says may concern all of them.
    """
    where, status, said = server.base_url, fault.status, f" ({fault.reason})"
    if status == 401 or (status == 403 and is_new):
        return _wrong_key(fault, config, server)
    if status == 402:
        return no_credit(fault, server)
    if status in (404, 405):
        return await _not_found(fault, config, server)
    if status < 400:
        mend = "Write the address to which it points as base_url"
        return ServerRefusal(f"the server sends its requests elsewhere{said}", where=where, mend=mend)
    if is_new and any(f"{mark}{config.model}{mark}" in fault.message for mark in "'\"`"):
        mend = "Write the name under which the server knows its model"
        return ServerRefusal(f"the server refuses the model{said}", where=where, mend=mend)
    if unmet:
        return ServerRefusal(f"the server does not take {unmet}{said}", where=where, mend="Leave that setting out")
    if is_new and isinstance(body.get("prompt"), list) and "string" in fault.message.lower():
        mend = "Leave `tokenizer` out and use `api: chat`"
        return ServerRefusal(f"the server takes no token ids for a prompt{said}", where=where, mend=mend)
    return EngineFailure(f"the server refused the request: {fault.reason}")


def _wrong_key(fault: Fault, config: EngineConfig, server: Server) -> ServerRefusal:
    variable = config.api_key_env
    if not variable:
        mend = "Put the key into an environment variable and name that in api_key_env"
        return ServerRefusal("the server wants a key", where=server.base_url, mend=mend)
    said = f" ({fault.reason})" if fault.status == 403 else ""  # a 401 tends to repeat parts of the key
    mend = f"Set {variable} to a valid key"
    return ServerRefusal(f"the server refused the key in {variable}{said}", where=server.base_url, mend=mend)


async def _not_found(fault: Fault, config: EngineConfig, server: Server) -> ServerRefusal:
    """The error of a 404: an unknown model, or an address without this interface."""
    where, model = server.base_url, config.model
    models = await server.models()
    if models is not None and model not in models:
        some = ", ".join(models[:MAX_MODELS]) + (", …" if len(models) > MAX_MODELS else "")
        mend = server.redacted(f"Choose one of its models: {some}") if models else "Load a model there first"
        return ServerRefusal(f"the server has no model {model!r}", where=where, mend=mend)
    if model in fault.message:
        mend = "Write the name under which the server knows its model"
        return ServerRefusal(f"the server has no model {model!r} ({fault.reason})", where=where, mend=mend)
    mend = "Check base_url, which ends in /v1 with most servers, and `api`"
    return ServerRefusal(f"the server has no {config.api} interface there ({fault.reason})", where=where, mend=mend)
