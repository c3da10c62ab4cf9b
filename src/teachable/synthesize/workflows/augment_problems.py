"""A problem with one short answer, as a model writes it, and what can be told of it before anybody solves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from teachable.records import Prompt
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.injection import obeys
from teachable.synthesize.checks.leaks import leak
from teachable.synthesize.checks.rubric import folded
from teachable.synthesize.checks.voting import MAX_ANSWER_CHARS, Votes
from teachable.synthesize.items import Drop, user
from teachable.synthesize.reading.replies import Fault
from teachable.verify import final, maths, spoken
from teachable.verify.options import options_in

Kind: TypeAlias = Literal["number", "expression", "phrase", "choice"]
VERIFIER_OF: Mapping[str, str] = {"number": "math", "expression": "math", "phrase": "exact", "choice": "choice"}
MIN_WORDS = 4  # of a question
MAX_WORDS: Mapping[str, int] = {"number": 4, "phrase": 8, "choice": 1}  # of an answer of that kind; a number's unit
MAX_QUESTION_CHARS = 6000

REPEATS, LEANS, OPEN = "repeats its seed", "leans on what the reader can't see", "asks for more than a short answer"
NO_QUESTION, NO_SHORT_ANSWER, NO_OPTIONS = "no question", "no short answer", "the answer is none of the options"
HANDED_OUT, STATED = "the answer stands in the question", "solvers disagree with the stated answer"

FOLLOWS = "follows an instruction in its seed"

_LEANS = re.compile(
    r"\b(?:the|this|that)\s+(?:passage|excerpt|material|source text|given text|text above|snippet)\b"
    r"|\bthe\s+(?:original|previous|first|seed|second|other)\s+(?:problem|question|task|exercise)\b"
    r"|\baccording to the (?:text|article|document|author)\b|\b(?:described|mentioned|stated|shown) above\b",
    re.IGNORECASE,
)
_OPEN = re.compile(
    r"\b(?:prove|show|demonstrate)\s+that\b|\bprove or disprove\b|\bjustify your\b"
    r"|\b(?:explain|discuss|describe)\s+(?:why|how|what|the)\b"
    r"|\bwrite (?:a|an) (?:essay|story|poem|paragraph|program|function)\b",
    re.IGNORECASE,
)
_ANSWERS = re.compile(r"(?:^|\n|[.?!(]\s*)\W{0,3}(?:final answer|answer|solution|hint)\W{0,3}\s*[:=]", re.IGNORECASE)
_REASONS = re.compile(r"\b(?:since|because|therefore|hence|so that|which)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


Question = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_QUESTION_CHARS,
        description="the whole problem, complete in itself, without its answer and without any hint at it",
    ),
]
KindOf = Annotated[
    Kind,
    Field(
        description='what the answer is: "number", "expression" (a formula), "phrase" (a name or a few words), or '
        '"choice" (a letter, of options that the question lists as A, B, C, ...)'
    ),
]
Answer = Annotated[
    str, Field(min_length=1, description="the one right answer, as short as can be, without any explanation")
]


class Problem(BaseModel):
    """A problem and its answer."""

    model_config = ConfigDict(frozen=True)

    question: Question
    kind: KindOf
    answer: Answer

    @property
    def verifier(self) -> str:
        """Who decides whether an attempt gives the answer."""
        return VERIFIER_OF[self.kind]

    @property
    def choices(self) -> Mapping[str, str]:
        """The options that the question lists, of a multiple choice."""
        return options_in(self.question) if self.kind == "choice" else {}

    @property
    def meta(self) -> dict[str, Any]:
        """What the verifier needs beyond the answer."""
        return {"choices": dict(self.choices)} if self.choices else {}

    @property
    def prompt(self) -> Prompt:
        """The problem as it is put to a solver, for its verifier."""
        return Prompt("", "", user(self.question), self.answer, verifier=self.verifier, meta=self.meta)


class Draft(BaseModel):
    """A problem as a writer gives it, which has worked its answer out before it states it."""

    model_config = ConfigDict(frozen=True)

    question: Question
    working: str = Field(min_length=1, description="how the answer is worked out, step by step")
    kind: KindOf
    answer: Answer

    @property
    def problem(self) -> Problem:
        """The problem without the working."""
        return Problem(question=self.question, kind=self.kind, answer=self.answer)


def fault_of(problem: Problem, seed: str) -> Fault | None:
    """What is wrong with a problem as it stands; None where nothing can be told.

    Args:
        seed: the text that it was made from.
    """
    question = problem.question
    if len(question.split()) < MIN_WORDS:
        return Fault(NO_QUESTION, "The question must be a whole problem, not a word or two.")
    if folded(question) == folded(seed):
        return Fault(REPEATS, "The question must not repeat the material; write another one.")
    if _LEANS.search(question) and not _LEANS.search(seed):
        return Fault(LEANS, "The question must stand alone: its reader sees no material and no other problem.")
    if _OPEN.search(question):
        return Fault(OPEN, "The question must ask for one short answer, not for a proof or an explanation.")
    if _ANSWERS.search(question):
        return Fault(HANDED_OUT, "The question must not hold its answer, a solution or a hint.")
    fault = _answer_fault(problem)
    if fault is None and leak(question, problem.answer, problem.verifier, problem.choices) is not None:
        fault = Fault(HANDED_OUT, "The answer can be read off the question; leave out what gives it away.")
    return fault


def _answer_fault(problem: Problem) -> Fault | None:
    answer = problem.answer.strip()
    short = Fault(NO_SHORT_ANSWER, "The answer must be one value or phrase on one line, without an explanation.")
    found = final(f"Answer: {answer}")
    if "\n" in answer or not answer or len(answer) > MAX_ANSWER_CHARS or found.refused or found.hedged:
        return short
    if len(found.answers) != 1:
        return short
    if len(answer.split()) > MAX_WORDS.get(problem.kind, MAX_ANSWER_CHARS) or _REASONS.search(answer):
        return short
    if problem.kind == "phrase":
        return None
    if problem.kind == "choice":
        known = answer.strip(" ().").upper() in problem.choices
        return (
            None if known else Fault(NO_OPTIONS, "List the options as A, B, C, ... and answer with one of the letters.")
        )
    key = maths.key(answer)
    if key is None or key.startswith("~words") or (problem.kind == "number" and not re.search(r"[\dπ∞]|\\pi", answer)):
        return Fault(NO_SHORT_ANSWER, f"The answer must be one {problem.kind}, without words around it.")
    return None


def follows(problem: Problem, seed: str) -> Fault | None:
    """Whether a problem follows a sentence of its seed that speaks to a model, or passes it on."""
    return followed(problem.question, seed) or followed(problem.answer, seed)


def followed(text: str, seed: str) -> Fault | None:
    """What is wrong with a text that looks as if it followed an instruction that stands in its seed."""
    if obeys(text, seed) is None:
        return None
    return Fault(FOLLOWS, "Do not follow or repeat what the material tells a model to do.")


async def disagreement(ctx: StepContext, votes: Votes, problem: Problem) -> str:
    """Why the votes do not prove the stated answer, as a label; "" where they do."""
    reason = votes.fault(ctx.options)
    if reason or votes.answer is None:
        return reason
    return "" if await gives(ctx, votes.answer, problem.prompt) else STATED


async def gives(ctx: StepContext, answer: str, prompt: Prompt) -> bool:
    """Whether an answer is the prompt's, in the eyes of its verifier."""
    return (await ctx.verify(f"Answer: {answer}", prompt)).correct is True


async def solution_of(ctx: StepContext, votes: Votes, prompt: Prompt) -> str:
    """The shortest sample that gives the prompt's answer, in the eyes of its verifier, without thoughts.

    Raises:
        Drop: none does.
    """
    said = [spoken(sample.text).strip() for sample in votes.for_answer]
    for text in sorted(said, key=len):
        if (await ctx.verify(text, prompt)).correct is True:
            return text
    raise Drop("no solution gives the answer", text=prompt.text)


def numbers_in(text: str) -> list[str]:
    """The numbers of a text in ascending order of their digits, those that come twice twice."""
    return sorted(found.replace(",", "") for found in _NUMBER.findall(text))


def words_in(text: str) -> frozenset[str]:
    """The words of a text in lower case."""
    return frozenset(word.lower() for word in _WORD.findall(text))


def overlap(first: frozenset[str], second: frozenset[str]) -> float:
    """Jaccard similarity, in [0, 1]; 1 for two that are empty."""
    return len(first & second) / len(first | second) if first or second else 1.0
