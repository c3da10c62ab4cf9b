"""A server of OpenAI's protocol whose model knows the planted truth, and misbehaves in a stated share of its replies.

    def answer(messages, sample):                    # the honest reply, from the content alone
        passage = shown(messages)["passage"]
        return json.dumps({"question": ..., "answer": ...})

    with serving(answer, frac=0.2, injected=obeys, leaked=tells) as server:
        run("--engine", server.engine)               # "openai:planted@http://127.0.0.1:PORT/v1"
    assert server.kinds["truncated"] > 0
    for kind, body in server.log: ...                # what it did, and the request's body

Whether and how a reply misbehaves depends on the server's seed, the request's messages and seed, and the number of the
sample: on nothing else, so two runs of one command meet the same. A reply that is sent back (with what was wrong) is
another request, which is misbehaved at again with the same share.

The kinds, each only where it applies; `MARKS` says by which label a reader has to count it:

- `invalid json`: JSON that can't be read: its end is missing, a colon is, or a quotation mark in a string is bare.
- `missing field`: the object, or the last object of a list in it, without its first field.
- `fences`: the honest JSON between Markdown fences, half of them after a sentence. A reader takes it.
- `truncated`: the first half, with finish reason "length".
- `refusal`: one sentence that declines, in several wordings.
- `injected`: what `injected(messages, honest)` gives, where that is not None: a reply that follows the passage.
- `leaked`: what `leaked(messages, honest)` gives, where that is not None: a question with its answer in it.

The first three need an honest reply that is a JSON object. `answer` is given the messages of the request as it was
first made, without replies that were sent back. It runs on the server's thread; what it raises comes out of the `with`.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.engines.faulty import FaultyServer, Seen

from teachable.records import Message
from teachable.synthesize.reading.replies import CUT_OFF, NO_JSON, REFUSED, WRONG_FIELDS

KINDS = ("invalid json", "missing field", "fences", "truncated", "refusal", "injected", "leaked")
MARKS = {"invalid json": NO_JSON, "missing field": WRONG_FIELDS, "truncated": CUT_OFF, "refusal": REFUSED}
REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "As an AI language model, I am unable to fulfil this request.",
    "Sorry, I'm not able to do that. Is there anything else I can help you with?",
    "I must decline to answer, since this may be harmful.",
)

Answer = Callable[[Sequence[Message], int], str]
Spoiling = Callable[[Sequence[Message], str], str | None]

_BEGIN = re.compile(r"^----- ([0-9a-f]{12}) begin (.+) -----$", re.MULTILINE)
_SENT_BACK = "Write your whole reply again, in the form that was asked for."


def shown(messages: Sequence[Message]) -> dict[str, str]:
    """The fenced texts of the first message that has any, by label; a label that comes again gets a number: `step 2`.

    Fails unless each fence is whole and no text could have closed its own.
    """
    for message in messages:
        found = list(_BEGIN.finditer(message["content"]))
        if found:
            return _fenced(message["content"], found[0][1])
    return {}


def _fenced(text: str, seal: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    place = 0
    while begin := re.compile(rf"^----- {seal} begin (.+) -----\n", re.MULTILINE).search(text, place):
        ending = f"\n----- {seal} end {begin[1]} -----"
        end = text.find(ending, begin.end() - 1)
        assert end >= 0, "a fence without its end"
        again = sum(label == begin[1] or label.startswith(f"{begin[1]} ") for label in parts)
        parts[f"{begin[1]} {again + 1}" if again else begin[1]] = text[begin.end() : max(end, begin.end())]
        place = end + len(ending)
    assert text.count(seal) == 2 * len(parts), "a seal where no fence is"
    return parts


def first_asked(messages: Sequence[Message]) -> list[Message]:
    """The messages without what was sent back and the malformed reply before it."""
    kept = list(messages)
    while len(kept) > 2 and kept[-1]["role"] == "user" and kept[-1]["content"].endswith(_SENT_BACK):
        kept = kept[:-2]
    return kept


class Misbehaving(FaultyServer):
    """See `serving`. `kinds` counts what it did, `log` has each with the request's body, `n_replies` counts samples."""

    def __init__(
        self,
        answer: Answer,
        *,
        frac: float,
        seed: int,
        injected: Spoiling | None,
        leaked: Spoiling | None,
        kinds: Sequence[str],
    ) -> None:
        super().__init__(seed=seed, model="planted")
        assert set(kinds) <= set(KINDS)
        self._honest, self._frac, self._injected, self._leaked, self._kinds = answer, frac, injected, leaked, kinds
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.kinds: Counter[str] = Counter()
        self.n_replies = 0
        self.errors: list[Exception] = []

    @property
    def engine(self) -> str:
        """What `--engine` takes."""
        return f"openai:planted@{self.url}"

    def _completion(self, seen: Seen, texts: list[str]) -> dict[str, Any]:
        made = [self._made(seen.body, sample) for sample in range(len(texts))]
        reply = super()._completion(seen, [text for _, text in made])
        for choice, (kind, _) in zip(reply["choices"], made, strict=True):
            if kind == "truncated":
                choice["finish_reason"] = "length"
        return reply

    def _text(self, body: dict[str, Any], choice: int) -> str:
        return ""  # `_completion` writes it, with its finish reason

    def _made(self, body: dict[str, Any], sample: int) -> tuple[str, str]:
        """What a sample does wrong, "" for nothing, and its text."""
        self.n_replies += 1
        messages = first_asked(body["messages"])
        try:
            honest = self._honest(messages, sample)
            luck = random.Random(f"{self.seed} {sample} {body.get('seed')} {json.dumps(body['messages'])}")
            if luck.random() >= self._frac:
                return "", honest
            for kind in luck.sample(self._kinds, len(self._kinds)):
                text = self._spoilt(kind, messages, honest, luck)
                if text is not None:
                    self.kinds[kind] += 1
                    self.log.append((kind, body))
                    return kind, text
        except Exception as error:
            self.errors.append(error)
            return "", ""
        return "", honest

    def _spoilt(self, kind: str, messages: list[Message], honest: str, luck: random.Random) -> str | None:
        """The reply with that kind of fault; None where it can't have it."""
        if kind == "truncated":
            return honest[: len(honest) // 2] if len(honest) > 1 else None
        if kind == "refusal":
            return luck.choice(REFUSALS)
        if kind in ("injected", "leaked"):
            spoil = self._injected if kind == "injected" else self._leaked
            return spoil(messages, honest) if spoil is not None else None
        value = _object(honest)
        if value is None:
            return None
        if kind == "fences":
            return luck.choice(("", "Here is the JSON you asked for:\n\n")) + f"```json\n{honest.strip()}\n```"
        return _broken(honest, luck) if kind == "invalid json" else _without_field(value, luck)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value else None


def _broken(honest: str, luck: random.Random) -> str:
    ways = [honest.rstrip()[:-1], re.sub(r'":', '"', honest, count=1)]
    if '": "' in honest:
        ways.append(honest.replace('": "', '": "the "so-called" ', 1))
    return luck.choice(ways)


def _without_field(value: dict[str, Any], luck: random.Random) -> str:
    lists = [inner for inner in value.values() if isinstance(inner, list) and inner and isinstance(inner[-1], dict)]
    target = lists[0][-1] if lists and lists[0][-1] and luck.random() < 0.5 else value
    del target[next(iter(target))]
    return json.dumps(value)


@contextlib.contextmanager
def serving(
    answer: Answer,
    *,
    frac: float = 0.2,
    seed: int = 0,
    injected: Spoiling | None = None,
    leaked: Spoiling | None = None,
    kinds: Sequence[str] = KINDS,
) -> Iterator[Misbehaving]:
    """A server on a port of its own, while the block lasts.

    Args:
        answer: (messages, number of the sample in its request) -> the honest reply.
        frac: share of replies that misbehave, in [0, 1].
        injected, leaked: (messages, honest reply) -> the reply that follows an instruction of the passage, or that has
            the answer in its question; None where this request gives no chance of that.
        kinds: which of `KINDS` there are.

    Raises:
        Exception: the first that `answer` raised, when the block ends.
    """
    with Misbehaving(answer, frac=frac, seed=seed, injected=injected, leaked=leaked, kinds=kinds) as server:
        yield server
    if server.errors:
        raise server.errors[0]
