"""The nouns of teachable, and the two protocols that everything hangs on.

Data flows one way: documents -> prompts -> attempts -> estimates -> examples -> model -> scores -> report.
Rooms meet only in these records. Every record is frozen, knows its id, and turns into a flat row
(`to_row`) that Parquet and JSONL can hold; nested free-form values travel as JSON text.

Nothing here imports the rest of the package, torch or any data library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar, runtime_checkable


class Message(TypedDict):
    """One turn of a chat, in the field's own shape."""

    role: str
    content: str


Messages: TypeAlias = Sequence[Message]
AnswerSource: TypeAlias = Literal["organic", "program", "teacher", "majority"]
PromptInput: TypeAlias = str | Sequence[Message] | Sequence[int]
Zone: TypeAlias = Literal["mastered", "teachable", "beyond", "ambiguous"]
ZONES: tuple[Zone, ...] = ("mastered", "teachable", "beyond", "ambiguous")


def content_id(*parts: object) -> str:
    """A 16-digit hexadecimal id of the parts' content: the same content has the same id on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Lineage:
    """One step of a record's history: it came from `parent` through `transform` with those parameters."""

    parent: str
    transform: str
    params: str


@dataclass(frozen=True)
class Document:
    """Organic text: a page, a paper, a passage of one, or a file of code.

    `licence` and `language` (ISO 639-1) are "" where nobody said; `quality` is in [0, 1], None where nobody judged.
    `meta["code"]` names the programming language of code.
    """

    id: str
    text: str
    source: str
    licence: str = ""
    language: str = ""
    quality: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    lineage: tuple[Lineage, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A question, and what is known of its answer.

    `answer` is the reference answer as text; `answer_source` says where it came from. `verifier` names the
    verifier that decides, `meta` holds what that verifier needs beyond the answer (as a JSON object).
    `level` is the difficulty within the domain, 1 the easiest, 0 when nobody said.
    """

    id: str
    domain: str
    messages: tuple[Message, ...]
    answer: str | None = None
    answer_source: AnswerSource = "organic"
    verifier: str = "exact"
    level: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
    lineage: tuple[Lineage, ...] = ()

    @property
    def text(self) -> str:
        """The last user message."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), "")


@dataclass(frozen=True)
class Solution:
    """A worked response to a prompt that was proved right before it may be trained on."""

    prompt_id: str
    text: str
    source: str
    reason: str


@dataclass(frozen=True)
class Attempt:
    """One sampled answer and its verdict. `correct` is None when the verifier could not tell.

    `n_tokens` is its length as the engine counted it, also where the engine gave no `token_ids`. `frac_passed` is the
    share of tests that it passed, in [0, 1], where tests decide.
    """

    prompt_id: str
    sample: int
    engine: str
    seed: int
    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    correct: bool | None
    answer: str | None
    reason: str
    n_tokens: int = 0
    frac_passed: float | None = None

    @property
    def id(self) -> str:
        return content_id(self.prompt_id, self.engine, self.seed, self.sample)


@dataclass(frozen=True)
class Estimate:
    """What probing learnt of a prompt.

    `n` counts decided attempts (a "could not tell" is in `n_undecided`, never a failure). `p_beyond`, `p_teachable`
    and `p_mastered` are the posterior probabilities of the zones, which add up to 1 (all are 0 where nothing but
    agreement speaks), and `zone_mass` is that of `zone`; `posterior_a` and `posterior_b` are the parameters of the Beta
    distribution with the posterior's mean and variance. `agreement` is the share of the plurality answer among
    extracted answers, in [0, 1].

    `stopped` says why no more was sampled: `decided`, `close` (more samples would hardly decide it), `max`, `fixed`,
    `budget`, `undecidable`, `failed`, or `interrupted`. `key` is the answer that attempts were compared with and
    `key_source` where it came from: the prompt's own `answer_source`, `teacher`, or `majority` (the model's own
    plurality, where there is nothing else); `key_agreement` is the share of the teacher's, or the model's, samples
    behind it. `suspect` marks an organic answer that the teacher's plurality contradicts.
    """

    prompt_id: str
    domain: str
    level: int
    n: int
    successes: int
    n_undecided: int
    posterior_a: float
    posterior_b: float
    agreement: float
    plurality: str | None
    zone: Zone
    reason: str
    zone_mass: float = 0.0
    p_beyond: float = 0.0
    p_teachable: float = 0.0
    p_mastered: float = 0.0
    stopped: str = ""
    key: str | None = None
    key_source: str = ""
    key_agreement: float = 0.0
    suspect: bool = False

    @property
    def pass_rate(self) -> float:
        """The posterior mean of the pass rate, in [0, 1]."""
        return self.posterior_a / (self.posterior_a + self.posterior_b)


@dataclass(frozen=True)
class Example:
    """One thing to train on, and why it is in."""

    prompt_id: str
    messages: tuple[Message, ...]
    domain: str
    level: int
    zone: str
    why: str
    n_tokens: int

    @property
    def id(self) -> str:
        return content_id(self.messages)


@dataclass(frozen=True)
class Request:
    """What is asked of an engine: n samples of one prompt.

    `prompt` is text (continued as it stands), messages (the chat template is applied, with a generation
    prompt) or token ids (taken to the letter). `temperature` 0 is greedy; `top_p` 1, `top_k` 0 and `min_p` 0
    are off. `seed` fixes the samples: sample i of a request depends on the request alone, never on what else is
    being sampled nor on `n`. `first` is the index of the first sample asked for: samples first to first + n - 1
    are wanted, so that one who has some of a request's samples can ask for the rest.
    """

    prompt: PromptInput
    n: int = 1
    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    top_k: int = 0
    min_p: float = 0.0
    first: int = 0


@dataclass(frozen=True)
class Completion:
    """One sampled continuation.

    `token_logprobs` are nats under the distribution that was really sampled from, one a token, or None where
    the engine cannot say. `finish_reason` is "stop" or "length". `n_tokens` is the length in tokens, also where a
    server gives no ids but counts them (-1, the default, stands for the number of `token_ids`). `n_prompt_tokens` are
    the prompt tokens that were read, and have to be paid, for this sample: of samples that share one reading of their
    prompt the first carries them all, and the others 0.
    """

    text: str
    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...] | None
    finish_reason: str
    n_tokens: int = -1
    n_prompt_tokens: int = 0

    def __post_init__(self) -> None:
        if self.n_tokens < 0:
            object.__setattr__(self, "n_tokens", len(self.token_ids))

    @property
    def logprob(self) -> float | None:
        """The log-probability of the whole continuation in nats, or None where the engine cannot say."""
        return None if self.token_logprobs is None else sum(self.token_logprobs)


@runtime_checkable
class Engine(Protocol):
    """Whoever answers. Any object with these members serves: nothing checks for a base class."""

    name: str

    async def sample(self, request: Request) -> list[Completion]: ...

    def encode(self, prompt: str | list[Message]) -> list[int]: ...

    def decode(self, token_ids: list[int]) -> str: ...


@dataclass(frozen=True)
class Verdict:
    """Is it right? `correct` None means "could not tell", which is no failure and no success.

    `frac_passed` is the share of tests that passed, in [0, 1], where tests decide; None elsewhere.
    """

    correct: bool | None
    answer: str | None
    reason: str
    frac_passed: float | None = None


@runtime_checkable
class Verifier(Protocol):
    """Whoever decides whether an attempt answers its prompt."""

    name: str

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict: ...


@dataclass(frozen=True)
class Progress:
    """How far a stage is: `done` of `total` in `unit`, and the tokens sampled or trained on so far."""

    done: int
    total: int
    unit: str
    tokens: int = 0
    note: str = ""


OnProgress: TypeAlias = Callable[[Progress], None]

Record: TypeAlias = Document | Prompt | Solution | Attempt | Estimate | Example
T = TypeVar("T", Document, Prompt, Solution, Attempt, Estimate, Example)


def to_row(record: Record) -> dict[str, Any]:
    """A record as a flat row: tuples become lists, `meta` becomes JSON text, dataclasses become dicts."""
    row: dict[str, Any] = {}
    for f in fields(record):
        value = getattr(record, f.name)
        if f.name == "meta":
            value = json.dumps(value, sort_keys=True, ensure_ascii=False)
        elif f.name == "lineage":
            value = [{"parent": s.parent, "transform": s.transform, "params": s.params} for s in value]
        elif f.name == "messages":
            value = [{"role": m["role"], "content": m["content"]} for m in value]
        elif isinstance(value, tuple):
            value = list(value)
        row[f.name] = value
    return row


def from_row(kind: type[T], row: Mapping[str, Any]) -> T:
    """The record of a row that `to_row` made; columns that the record does not have are passed over.

    Raises:
        KeyError: a field without a default is missing from the row.
    """
    values: dict[str, Any] = {}
    for f in fields(kind):
        if f.name not in row:
            continue
        value = row[f.name]
        if f.name == "meta":
            value = json.loads(value) if isinstance(value, str) else dict(value or {})
        elif f.name == "lineage":
            value = tuple(Lineage(**step) for step in value or ())
        elif f.name == "messages":
            value = tuple(Message(role=m["role"], content=m["content"]) for m in value)
        elif isinstance(value, list):
            value = tuple(value)
        values[f.name] = value
    try:
        return kind(**values)
    except TypeError as error:
        missing = [f.name for f in fields(kind) if f.name not in values]
        raise KeyError(f"a {kind.__name__} row lacks {', '.join(missing)}") from error
