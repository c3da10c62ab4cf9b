"""From a server's JSON to completions, trusting nothing in it.

Servers differ in what they leave out: counts of tokens, ids, log-probabilities, whole fields. A choice is kept if it
has text and a reason why it ended; what else it lacks is done without, or estimated where the books need a number:
without a count from the server, a token is taken for four characters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from teachable.records import Completion, Request

CHARACTERS_A_TOKEN = 4
# Reasons for an end that is no end of an answer: nobody may grade such a text.
_NO_END = frozenset(("", "abort", "aborted", "content_filter", "error", "load", "insufficient_system_resource"))
_LENGTH = frozenset(("length", "max_tokens", "model_length"))


class MalformedReply(ValueError):
    """A reply without a single usable choice."""


@dataclass(frozen=True)
class _Choice:
    text: str
    finish_reason: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] | None


def read_reply(data: dict[str, Any], request: Request, *, prompt_length: int, in_tokens: bool) -> list[Completion]:
    """The usable completions of a reply of /chat/completions or /completions, in the server's order.

    Args:
        data: the reply.
        request: what was asked; log-probabilities are handed on only where servers and the `Completion` contract mean
            the same by them: at temperature 1 with every cut of the distribution off.
        prompt_length: of the prompt, in tokens if `in_tokens`, else in characters.
        in_tokens: the unit of `prompt_length`.

    Returns:
        At least one completion. The first carries the prompt's tokens. `n_tokens` are the server's count: exact for
        one choice, or where ids or log-probabilities count each; else the total shared out by length of text. Text of
        a reasoning model that comes apart from its answer stands before it, as `<think>…</think>`.

    Raises:
        MalformedReply: there is no usable choice; the message says why.
    """
    listed = data.get("choices")
    if not isinstance(listed, list) or not listed:
        raise MalformedReply("the reply has no choices")
    choices: list[_Choice] = []
    flaws: list[str] = []
    for entry in listed:
        try:
            choices.append(_choice(entry, request))
        except MalformedReply as flaw:
            flaws.append(str(flaw))
    if not choices:
        raise MalformedReply(flaws[0])
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    total = 0 if flaws else _count(usage.get("completion_tokens"))  # a total over unusable choices can't be shared out
    n_prompt = _count(usage.get("prompt_tokens")) or (prompt_length if in_tokens else _estimate(prompt_length))
    n_tokens = _counts(choices, total)
    return [
        Completion(
            choice.text,
            choice.token_ids,
            choice.logprobs if choice.logprobs is not None and len(choice.logprobs) == n else None,
            choice.finish_reason,
            n_tokens=n,
            n_prompt_tokens=n_prompt if i == 0 else 0,
        )
        for i, (choice, n) in enumerate(zip(choices, n_tokens, strict=True))
    ]


def samples_raw_distribution(request: Request) -> bool:
    """Whether the samples come from the model's own distribution, whose log-probabilities servers report."""
    return request.temperature == 1 and request.top_p >= 1 and request.top_k == 0 and request.min_p == 0


def _choice(entry: Any, request: Request) -> _Choice:
    if not isinstance(entry, dict):
        raise MalformedReply("a choice is no object")
    reason = entry.get("finish_reason")
    reason = reason.lower() if isinstance(reason, str) else ""
    if reason in _NO_END:
        raise MalformedReply(
            f"a choice has the finish reason {reason!r}" if reason else "a choice has no finish reason"
        )
    text = _message_text(entry["message"], reason) if isinstance(entry.get("message"), dict) else entry.get("text")
    if not isinstance(text, str):
        raise MalformedReply("a choice has no text")
    for stop in request.stop:  # some servers leave the stop string in
        if stop in text:
            text, reason = text[: text.index(stop)], "stop"
    ids = entry.get("token_ids")
    good = isinstance(ids, list) and all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids)
    logprobs = _logprobs(entry.get("logprobs")) if samples_raw_distribution(request) else None
    return _Choice(text, "length" if reason in _LENGTH else "stop", tuple(ids) if good and ids else (), logprobs)


def _message_text(message: dict[str, Any], reason: str) -> str | None:
    """The text of a chat message. One that ran out of tokens while it thought unseen has an empty one."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str)) if parts else None
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str) and thought:
        answer = content if isinstance(content, str) else ""
        # Without an answer the thought was cut, and has no end to mark.
        return f"<think>{thought}</think>{answer}" if answer or reason not in _LENGTH else f"<think>{thought}"
    if content is None and reason in _LENGTH and "content" in message:
        return ""
    return content if isinstance(content, str) else None


def _logprobs(told: Any) -> tuple[float, ...] | None:
    """The log-probability of each token in nats, from either interface's shape; None if one is missing."""
    if not isinstance(told, dict):
        return None
    values = told.get("token_logprobs")
    if isinstance(told.get("content"), list):
        values = [part.get("logprob") if isinstance(part, dict) else None for part in told["content"]]
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        return None
    return tuple(float(v) for v in values)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _estimate(n_characters: int) -> int:
    return -(-n_characters // CHARACTERS_A_TOKEN)


def _counts(choices: Sequence[_Choice], total: int) -> list[int]:
    """The tokens of each choice; with a total from the server they sum to it."""
    by_ids = [len(choice.token_ids) for choice in choices]
    if all(by_ids):
        return by_ids
    by_logprobs = [len(choice.logprobs or ()) for choice in choices]
    if all(by_logprobs) and sum(by_logprobs) == (total or sum(by_logprobs)):
        return by_logprobs
    if not total:
        return [_estimate(len(choice.text)) for choice in choices]
    return shared_out(total, [len(choice.text) for choice in choices])


def shared_out(total: int, weights: Sequence[int]) -> list[int]:
    """Whole numbers that sum to `total`, as near to proportional to `weights` as they can be (largest remainders)."""
    whole = sum(weights)
    exact = [total * weight / whole if whole else total / len(weights) for weight in weights]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares
