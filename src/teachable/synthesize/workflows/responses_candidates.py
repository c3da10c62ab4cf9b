"""The candidates of `responses`: whole replies, with their thoughts as asked for, and what the judge makes of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from teachable.records import Completion
from teachable.synthesize.again import whole
from teachable.synthesize.asking import StepContext, together
from teachable.synthesize.reading.replies import EMPTY, Fault, read
from teachable.synthesize.templates import Rendered
from teachable.verify import spoken

T = TypeVar("T")
Think: TypeAlias = Literal["keep", "strip", "require"]
BROKEN, NO_REASONING, APOLOGISES = "broken think tags", "no reasoning", "speaks of an earlier reply"
FORM = "Write your thoughts once, between <think> and </think>, and your answer after them."
OPEN, CLOSE = "<think>", "</think>"
MIN_THOUGHT_WORDS = 5  # fewer are no reasoning

_APOLOGY = re.compile(
    r"\W{0,9}(?:(?:i(?:['’]m| am)?\s)?(?:do\s)?(?:sincerely\s|deeply\s|so\s|very\s)?(?:apologi[sz]e|sorry|apologies)\b"
    r"|my apologies\b|(?:here(?:['’]s| is)|this is) (?:a|the|my) (?:shorter|corrected|revised|complete|new) )",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Candidate:
    """A whole response: its number among the samples, and its text with its thoughts as asked for."""

    number: int
    text: str


def response_of(text: str, think: Think) -> str | Fault:
    """A reply with its thoughts as asked for, or what is wrong with them.

    Kept thoughts stand first, once, between <think> and </think>, and the answer after them. Where the opening tag is
    missing because a chat template had put it into the prompt, it is put back.
    """
    if think == "strip":
        return spoken(text).strip()
    whole = text.strip()
    if whole.count(CLOSE) == 1 and OPEN not in whole:
        whole = f"{OPEN}\n{whole}"
    thought, answer = _parts(whole)
    # A mark of thoughts in any other place or form shows in what is spoken.
    if answer is None or spoken(answer).strip() != answer or OPEN in thought or CLOSE in thought:
        return Fault(BROKEN, FORM)
    if think == "require" and (len(thought.split()) < MIN_THOUGHT_WORDS or thought == answer):
        return Fault(NO_REASONING, "Reason between <think> and </think> first, then write your answer.")
    return f"{OPEN}\n{thought}\n{CLOSE}\n\n{answer}" if thought else answer


def _parts(whole: str) -> tuple[str, str | None]:
    """Thought and answer; no thought where no tag stands, no answer where the tags are not one pair at the start."""
    if OPEN not in whole and CLOSE not in whole:
        return "", whole or None
    head, close, answer = whole.partition(CLOSE)
    if not head.startswith(OPEN) or not close or not answer.strip():
        return "", None
    return head[len(OPEN) :].strip(), answer.strip()


async def candidates(ctx: StepContext, asked: Rendered, n: int, think: Think) -> tuple[list[Candidate], Counter[str]]:
    """The whole ones of n samples, and why the others are none, by label.

    A faulty reply is sent back with what is wrong with it, as often as `writing.retries` says. Of equal ones the first
    counts.

    Raises:
        Failed: the engine failed.
    """
    max_tokens = ctx.tools.writing.max_tokens
    samples = await ctx.sample(asked, n, role="teacher")
    texts = await together(
        [
            whole(
                ctx,
                asked,
                sample,
                lambda one, again: _read(one, think, max_tokens, again),
                role="teacher",
                tag=f"{number}",
            )
            for number, sample in enumerate(samples)
        ]
    )
    found: list[Candidate] = []
    lost: Counter[str] = Counter()
    for number, text in enumerate(texts):
        if isinstance(text, Fault):
            lost[text.label] += 1
        elif all(text != one.text for one in found):
            found.append(Candidate(number, text))
    return found, lost


def _read(sample: Completion, think: Think, max_tokens: int, again: bool) -> str | Fault:
    said = read(sample.text, str, finish_reason=sample.finish_reason, max_tokens=max_tokens)
    if isinstance(said, Fault):
        is_broken = said.label == EMPTY and think != "strip" and sample.text.strip()
        return Fault(BROKEN, FORM) if is_broken else said
    if again and _APOLOGY.match(str(said)):
        return Fault(APOLOGISES, "Write the answer alone, as if there had been no reply before it.")
    return response_of(sample.text, think)


def shortest(candidates: Sequence[Candidate]) -> Candidate:
    """The one with the fewest characters; of equally long ones the first."""
    return min(candidates, key=lambda one: (len(one.text), one.number))
