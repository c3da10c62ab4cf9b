"""What a model writes of a passage, as questions and as deduction chains; and what can be told of it in Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from teachable.records import Completion, Prompt
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.grounding import chain_fault, grounded, numbers_of, stands_in, telling
from teachable.synthesize.checks.injection import obeys
from teachable.synthesize.items import Seed
from teachable.synthesize.reading.replies import Fault, read
from teachable.synthesize.workflows.augment_problems import FOLLOWS, Problem, fault_of
from teachable.verify import extract_answer, spoken

MIN_SHARED = 0.4  # of a question's telling words have to be in the passage

NO_CHAIN, NO_DEDUCTION = "no deduction chain", "the answer stands in a premise"
ASIDE, OTHER_NUMBERS = "the question is not about the passage", "the question holds numbers that the passage does not"

_LEANS = re.compile(
    r"\b(?:the|this|that|given|above)\s+(?:passage|excerpt|text|material|paragraph|document|article|premises?)\b"
    r"|\bwhat is given\b|\baccording to the author\b",
    re.IGNORECASE,
)

Kind: TypeAlias = Literal["number", "expression", "phrase"]


class Pair(BaseModel):
    """A question, its answer, and where that stands."""

    model_config = ConfigDict(frozen=True)

    question: str = Field(min_length=1, max_length=2000, description="the whole question")
    answer: str = Field(min_length=1, max_length=200, description="the answer alone, as short as can be")
    kind: Kind = Field(description="what the answer is; an expression is a formula")
    evidence: str = Field(
        min_length=1, description="the words of the passage that answer the question, copied letter by letter"
    )


class Pairs(BaseModel):
    """The questions of a passage."""

    model_config = ConfigDict(frozen=True)

    questions: tuple[Pair, ...] = Field(min_length=1, description="one entry for each question")


class ChainStep(BaseModel):
    """A step of a deduction, and the question that it answers."""

    model_config = ConfigDict(frozen=True)

    quote: str = Field(min_length=1, description="where the passage takes the step, copied letter by letter")
    question: str = Field(min_length=1, max_length=2000, description="the question that the step answers")
    answer: str = Field(min_length=1, max_length=200, description="the answer alone, as short as can be")
    kind: Kind = Field(description="what the answer is; an expression is a formula")


class Chain(BaseModel):
    """A deduction that a passage makes."""

    model_config = ConfigDict(frozen=True)

    premises: tuple[str, ...] = Field(
        min_length=1, max_length=8, description="what it starts from: sentences copied letter by letter"
    )
    steps: tuple[ChainStep, ...] = Field(
        min_length=1, max_length=8, description="the steps that matter, in their order"
    )
    conclusion: str = Field(min_length=1, description="what it comes to: a sentence copied letter by letter")


class Chains(BaseModel):
    """The deductions of a passage."""

    model_config = ConfigDict(frozen=True)

    chains: tuple[Chain, ...] = Field(description="one entry for each chain; empty if the passage holds none")


@dataclass(frozen=True)
class Candidate:
    """A question that was written, before anything is proved of it.

    Attributes:
        problem: question, answer and kind.
        evidence: the quote in which the answer is said to stand.
        premises: of a step of a chain, the quotes that it is deduced from; empty for a question of a fact.
        chain: the chain whose step it is; None for a question of a fact.
    """

    problem: Problem
    evidence: str
    premises: tuple[str, ...] = ()
    chain: Chain | None = None

    @property
    def given(self) -> str:
        """What the question is answered from where that is not the passage: the premises; "" without any."""
        return "\n".join(" ".join(one.split()) for one in self.premises)


def around(seed: Seed) -> str:
    """A passage with the headings that it stands under: what a question of it may speak of."""
    return "\n".join([*map(str, seed.meta.get("headings") or ()), seed.text])


def of_pairs(pairs: Pairs, n: int) -> tuple[Candidate, ...]:
    """The first n questions."""
    return tuple(
        Candidate(Problem(question=one.question, kind=one.kind, answer=one.answer), one.evidence)
        for one in pairs.questions[:n]
    )


def of_chains(chains: Chains, n: int) -> tuple[Candidate, ...]:
    """The questions of the first n chains, one a step."""
    return tuple(
        Candidate(
            Problem(question=step.question, kind=step.kind, answer=step.answer), step.quote, chain.premises, chain
        )
        for chain in chains.chains[:n]
        for step in chain.steps
    )


def ungrounded(candidate: Candidate, passage: str) -> tuple[str, float]:
    """Why a candidate's answer does not stand where it is said to, "" where it does; and the share of it that does."""
    chain = candidate.chain
    if chain is not None:
        fault = chain_fault(chain.premises, [one.quote for one in chain.steps], chain.conclusion, passage)
        if fault:
            return fault, 0.0
    found = grounded(candidate.problem.answer, candidate.evidence, passage)
    if found.ok and chain is not None and stands_in(candidate.problem.answer, candidate.given).ok:
        return NO_DEDUCTION, found.score
    return found.reason, found.score


def misworded(candidate: Candidate, passage: str, *, reader_sees_it: bool) -> Fault | None:
    """What is wrong with a question as it stands; None where nothing can be told.

    Args:
        passage: with the headings that it stands under.
        reader_sees_it: the passage stands before the question, which may speak of it then.
    """
    problem = candidate.problem
    # A seed that speaks of a passage lets its questions do so.
    fault = fault_of(problem, f"{passage}\nthe passage" if reader_sees_it or candidate.premises else passage)
    if fault is not None:
        return fault
    followed = obeys(f"{problem.question}\n{problem.answer}", passage)
    if followed is not None:
        return Fault(FOLLOWS, followed)
    words = telling(problem.question) - telling(problem.answer)
    if words and len(words & telling(passage)) < MIN_SHARED * len(words):
        return Fault(ASIDE, "Most words of the question are not in the passage.")
    if not numbers_of(problem.question) <= numbers_of(passage) | {"1", "2"}:  # "one of them", "the two"
        return Fault(OTHER_NUMBERS, "A question of what a passage says takes its numbers from there.")
    return None


async def agreeing(
    ctx: StepContext, samples: Sequence[Completion], prompt: Prompt, *, in_words: bool = True
) -> list[str]:
    """The samples that give a prompt's answer, without their thoughts; cut off and empty ones give none.

    Args:
        in_words: a phrase is also given where it has the same telling words and numbers, up to their endings.
    """
    found = []
    for sample in samples:
        said = read(sample.text, str, finish_reason=sample.finish_reason, max_tokens=ctx.tools.writing.max_tokens)
        if isinstance(said, Fault):
            continue
        right = (await ctx.verify(str(said), prompt)).correct is True
        if right or (in_words and prompt.verifier == "exact" and _same(extract_answer(str(said)), prompt.answer)):
            found.append(spoken(str(said)).strip())
    return found


def leans(response: str) -> bool:
    """Whether a response speaks of a text that its reader may not see."""
    return _LEANS.search(response) is not None


def _same(first: str | None, second: str | None) -> bool:
    if not first or not second:
        return False
    said = telling(first), numbers_of(first)
    return said == (telling(second), numbers_of(second)) and any(said)
