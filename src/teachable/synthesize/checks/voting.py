"""k samples of one engine, and the answer that most of them give: how an answer is proved that nobody has checked.

The bar is on the *lead*: how many more samples give the first answer than the second. Where a teacher is right with
probability p, each sample by itself, and all its wrong answers are one and the same (the worst case), a lead of d votes
makes the first answer p^d / (p^d + (1-p)^d) likely to be right, however many were asked: this is Wald's sequential
probability ratio test, and more samples with the same lead say no more. At p = 0.75 that is 81/82 = 98.8% for d = 4,
and 27/28 = 96.4% for d = 3. So `LEAD` is 4; at k = 8 it means 6 of 8 against one rival, 5 of 8 against scattered ones.
Over all questions that teacher then gets 99.4% right of what is kept at k = 8 in the worst case, and 68% are kept;
where no two wrong answers are the same, nearly all are right and 89% are kept (`benchmarks/synthesis_precision.py`).

A sample that was cut off, empty, or a refusal gives no answer; another one is drawn in its place, as often as malformed
replies are sent back. Shares are of all k samples, so that one answer and seven silences are no agreement.

The vote is self-consistency: Wang et al. 2022, arXiv:2203.11171. What it does not protect against: a question on
which the teacher is wrong more often than right, and wrong in one way. A mean of 0.75 over all questions says nothing
of those: where pass rates scatter widely around it and wrong answers agree, not even 8 of 8 reaches 98%. Nor a question
that is false or ambiguous, on which all agree.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, ValidationInfo, field_validator

from teachable.errors import TeachableError
from teachable.records import Completion, Message
from teachable.synthesize.asking import StepContext
from teachable.synthesize.graph import Options
from teachable.synthesize.reading.replies import Fault, read
from teachable.synthesize.templates import Rendered
from teachable.verify import plurality
from teachable.verify.voting import VERIFIERS

LEAD = 4  # votes; `lead_needed()`
TEACHER, PRECISION = 0.75, 0.98  # the teacher that the bar is made for, and how many of the accepted are to be right
LONG_CHARS = 40  # from which equal samples make one wonder whether they were sampled
MAX_ANSWER_CHARS = 200  # longer ones are no short answer
DISAGREE, NO_ANSWERS, CLOSE = "samples disagree", "samples give no answer", "too close a vote"


def lead_needed(p_right: float = TEACHER, precision: float = PRECISION) -> int:
    """Votes of lead from which the first answer is right with probability `precision`, all wrong answers being one.

    Args:
        p_right: how often a sample is right, above 1/2 and below 1.
        precision: in (1/2, 1).
    """
    return math.ceil(math.log(precision / (1 - precision)) / math.log(p_right / (1 - p_right)))


class VoteOptions(Options):
    """Options of a workflow that has its answers voted on; subclass it."""

    k: int = Field(8, ge=1, le=256, description="samples that vote on an answer")
    min_agreement: float = Field(
        0.5, ge=0, le=1, description="share of the k samples that have to give the answer that most give"
    )
    min_margin: float | None = Field(
        None,
        gt=0,
        le=1,
        validate_default=True,
        description="by what share of the k samples it has to lead the next one; null: by 4 samples, which a teacher "
        "that is right 75% of the time needs for 98%",
    )

    @field_validator("min_margin")
    @classmethod
    def _reachable(cls, margin: float | None, info: ValidationInfo) -> float | None:
        k = info.data.get("k")
        if margin is None and k is not None and k < LEAD:
            raise ValueError(f"{k} samples never lead by {LEAD}; ask for more (k), or say what margin will do")
        return margin

    @property
    def lead(self) -> int:
        """By how many votes the first answer has to lead."""
        return LEAD if self.min_margin is None else max(1, math.ceil(self.min_margin * self.k - 1e-9))


@dataclass(frozen=True)
class Votes:
    """The outcome of a vote.

    Attributes:
        answer: the answer that most samples give, as most of them write it; None where none gives one.
        agreement: its share of all samples, in [0, 1].
        margin: by what share of all samples it leads the next answer, in [0, 1].
        n: how many samples gave an answer.
        n_without: how many gave none.
        samples: all, as they came.
        groups: the answers with the indices of their samples, the most frequent first.
    """

    answer: str | None
    agreement: float
    margin: float
    n: int
    n_without: int
    samples: tuple[Completion, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def lead(self) -> int:
        """By how many votes the answer leads the next one."""
        return round(self.margin * len(self.samples))

    @property
    def for_answer(self) -> tuple[Completion, ...]:
        """The samples that give the answer, in their order."""
        return tuple(self.samples[index] for index in self.groups[0][1]) if self.groups else ()

    @property
    def counts(self) -> dict[str, int]:
        """Answer -> votes, the most frequent first; for the review list."""
        return {answer: len(indices) for answer, indices in self.groups}

    def fault(self, options: VoteOptions) -> str:
        """Why the answer is not proved, as a label that can be counted; "" where it is."""
        if self.answer is None:
            return NO_ANSWERS
        if self.agreement < options.min_agreement - 1e-9:
            return DISAGREE
        return "" if self.lead >= options.lead else CLOSE


async def voted(
    ctx: StepContext,
    messages: Sequence[Message] | Rendered,
    k: int,
    verifier: str,
    *,
    role: str = "solver",
    tag: str = "",
    choices: Mapping[str, str] | None = None,
) -> Votes:
    """k samples of a prompt, and which answer most of them give, equivalent answers counting together.

    Args:
        messages: the prompt, or a rendered template.
        verifier: what decides which answers are equivalent: "math", "exact" or "choice".
        role, tag: as in `StepContext.sample`.
        choices: for "choice", label -> text.

    Raises:
        Failed: the engine failed.
        TeachableError: there is no vote under that verifier, or the samples would all be the same.
    """
    _votable(ctx, k, verifier)
    samples = await ctx.sample(messages, k, role=role, tag=tag)
    said = [_said(sample, ctx) for sample in samples]
    for again in range(ctx.tools.writing.retries):
        faults = {place: fault for place, fault in enumerate(said) if isinstance(fault, Fault)}
        if not faults:
            break
        ctx.tools.counted(ctx.step).retried.update(fault.label for fault in faults.values())
        others = await ctx.sample(messages, len(faults), role=role, tag=f"{tag}#{again + 1}")
        for place, sample in zip(faults, others, strict=True):
            samples[place], said[place] = sample, _said(sample, ctx)
    _count(ctx, said)
    texts = [None if isinstance(one, Fault) else one for one in said]
    # Answers that no key decides are compared in another process, which takes its time.
    found = await asyncio.to_thread(plurality, texts, verifier=verifier, options=dict(choices or {}))
    groups = tuple((group.answer, group.indices) for group in found.groups if len(group.answer) <= MAX_ANSWER_CHARS)
    first, second, *_ = [len(indices) for _, indices in groups] + [0, 0]
    n = sum(len(indices) for _, indices in groups)
    return Votes(
        answer=groups[0][0] if groups else None,
        agreement=first / k,
        margin=(first - second) / k,
        n=n,
        n_without=k - n,
        samples=tuple(samples),
        groups=groups,
    )


def _count(ctx: StepContext, said: Sequence[str | Fault]) -> None:
    """Count samples that give no vote, and votes whose long samples are all one text, as of who does not sample."""
    counts = ctx.tools.counted(ctx.step)
    counts.unusable.update(one.label for one in said if isinstance(one, Fault))
    texts = [one for one in said if isinstance(one, str)]
    if len(texts) > 1 and min(map(len, texts)) >= LONG_CHARS:
        counts.votes += 1
        counts.unanimous += len(set(texts)) == 1


def chosen_response(votes: Votes, which: str) -> str:
    """The response among the samples that give the answer: the "shortest", or the "first"; "" for "none".

    Only whole samples give an answer, so it is never one that was cut off; of equally short ones it is the first.
    """
    texts = [sample.text.strip() for sample in votes.for_answer]
    if which == "none" or not texts:
        return ""
    return min(texts, key=len) if which == "shortest" else texts[0]


def _votable(ctx: StepContext, k: int, verifier: str) -> None:
    if verifier not in VERIFIERS:
        raise TeachableError(
            f"there is no vote by '{verifier}'",
            where=ctx.workflow,
            mend=f"Take prompts whose verifier is one of {', '.join(VERIFIERS)}",
        )
    if k > 1 and ctx.tools.writing.temperature == 0:
        raise TeachableError(
            "at temperature 0 all samples are the same, and their agreement proves nothing",
            where=f"{ctx.workflow}.writing.temperature",
            mend="Give a temperature above 0, such as 0.7",
        )


def _said(sample: Completion, ctx: StepContext) -> str | Fault:
    """What a sample says, or why that is no whole reply."""
    said: str | Fault = read(
        sample.text, str, finish_reason=sample.finish_reason, max_tokens=ctx.tools.writing.max_tokens
    )
    return said
