"""What judging finds: responses, the judge's comparisons, pairs, and what they come to."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from teachable.errors import Stopped
from teachable.records import Attempt, Prompt, content_id
from teachable.verify import spoken
from teachable.verify.judging import Comparison, Scoring

GIVEN = "given"  # the engine of a response that came without one
FAILED = "the engine failed"
EMPTY = "it says nothing outside of thoughts"
CUT_OFF = "it was cut off at max_tokens"
TOO_LONG = "it is longer than max_chars"


@dataclass(frozen=True)
class Response:
    """One answer to a prompt, by whom, and what its verifier says of it.

    `sample` counts an engine's responses to the prompt from 0. `correct` is None where the verifier could not tell or
    was not asked, and `checked` says why. `fault` says why it takes no part in pairs; empty where it does.
    """

    prompt_id: str
    engine: str
    sample: int
    text: str
    seed: int = 0
    finish_reason: str = "stop"
    n_tokens: int = 0
    correct: bool | None = None
    answer: str | None = None
    checked: str = ""
    fault: str = ""

    @property
    def id(self) -> str:
        """16 hexadecimal digits of what was answered, by whom, to what."""
        return content_id(self.prompt_id, self.engine, self.seed, self.sample, self.text)

    @property
    def likeness(self) -> tuple[str, bool | None]:
        """Responses that are alike say the same: white space, capitals and thoughts make no difference.

        Two that a verifier tells apart (a program whose indentation is wrong) are not alike.
        """
        plain = unicodedata.normalize("NFKC", spoken(self.text)).casefold()
        return " ".join(plain.split()), self.correct


def whole(text: str) -> str:
    """The text with half characters, which a server may send and no file can hold, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def response_of(attempt: Attempt) -> Response:
    """A sampled attempt as a response; its fault is the engine's alone."""
    failed = attempt.finish_reason == "error"
    return Response(
        prompt_id=attempt.prompt_id,
        engine=attempt.engine,
        sample=attempt.sample,
        text=whole(attempt.text),
        seed=attempt.seed,
        finish_reason=attempt.finish_reason,
        n_tokens=attempt.n_tokens,
        correct=attempt.correct,
        answer=None if attempt.answer is None else whole(attempt.answer),
        checked=whole(attempt.reason),
        fault=FAILED if failed else "",
    )


@dataclass(frozen=True)
class Judged:
    """A response and what the judge makes of it.

    `score` is the weighted mean of the scoring (pointwise, in [1, 10]) or the share of decided comparisons that it won,
    ties counting half (pairwise, in [0, 1]); None where the judge could not tell or was not asked, and `reason` says
    why. `like` is the id of the earlier response that it is like, which was judged for both; empty where there is none.
    """

    response: Response
    score: float | None = None
    scoring: Scoring | None = None
    n_won: int = 0
    n_tied: int = 0
    n_lost: int = 0
    reason: str = ""
    like: str = ""


@dataclass(frozen=True)
class Compared:
    """Two responses to a prompt, by their ids, and which the judge prefers in both orders."""

    prompt_id: str
    first: str
    second: str
    comparison: Comparison


@dataclass(frozen=True)
class Pair:
    """A response that is to be preferred to another; `margin` is the difference of their scores, above 0."""

    prompt: Prompt
    chosen: Judged
    rejected: Judged
    margin: float
    reason: str


@dataclass(frozen=True)
class PromptResult:
    """What became of one prompt. `left_out` counts the pairs of usable responses that were not kept, by reason."""

    prompt: Prompt
    responses: tuple[Judged, ...]
    pairs: tuple[Pair, ...] = ()
    compared: tuple[Compared, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgedPairs:
    """What became of the prompts that were finished, in their order.

    `n_prompts` is how many there were. `stopped` is why not all of them were finished, or None; whatever was paid for
    is in the ledger then.
    """

    results: tuple[PromptResult, ...]
    n_prompts: int
    stopped: Stopped | None = None

    @property
    def pairs(self) -> list[Pair]:
        """All pairs, in the order of the prompts."""
        return [pair for result in self.results for pair in result.pairs]
