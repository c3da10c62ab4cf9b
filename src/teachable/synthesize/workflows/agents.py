"""`agents`: author, critic, solver and editor work on one problem until the critic is content and the solvers agree.

The author writes a problem with a short answer from the seed. The critic lists its faults, each with a quote that is
checked to stand in the problem or its answer. Where there are none, the solver solves the problem k times, seeing
neither seed nor stated answer. Where there are, or the solvers do not come to the stated answer, the editor mends the
problem, and it goes to the critic again; after `rounds` of that it is given up. The four are roles
(`--role critic=ENGINE`), so each may be another model.

Kept is what the solvers agree on: their plurality must pass the bar of `voting.py`, and be the stated answer. The
editor is told that the solvers disagree and never what they say, and a question that it leaves as it was is not solved
again; so it can't meet the vote but by working the problem out. The shortest solution that the verifier accepts becomes
the response, and `meta["agents"]` keeps each round's faults and what the editor changed.

Source: multi-agent prompting is named among the ways in which the synthetic data of the Phi-4 Technical Report was made
(Abdin et al. 2024, arXiv:2412.08905, section 2); which roles there are, what is checked and what is kept are ours.

What it does not protect against: a flaw that critic and solvers share, such as a question that all of them misread in
one way. Engines of different makers share fewer. And problems that the solver can't solve are lost, however good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from teachable.synthesize.again import asked
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.rubric import folded, stands_in
from teachable.synthesize.checks.voting import VoteOptions, Votes, voted
from teachable.synthesize.graph import Calls, Do, Workflow
from teachable.synthesize.items import Drop, Item, Output, user
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.augment_problems import (
    STATED,
    Draft,
    Problem,
    disagreement,
    fault_of,
    follows,
    solution_of,
)
from teachable.synthesize.workflows.revise_changes import difference

UNSOUND = "unsound critique"
MIN_QUOTE_CHARS = 4
_TOLD = {
    STATED: "Independent solvers agree with each other, but not with the stated answer. Either is wrong.",
    "": "Independent solvers do not agree with each other. The problem may be ambiguous, incomplete, or too hard.",
}


class AgentsOptions(VoteOptions):
    """How the four work together."""

    rounds: int = Field(3, ge=1, le=10, description="most times that the editor mends a problem")
    response: bool = Field(True, description="keep the shortest right solution as the response")


class Complaint(BaseModel):
    """What a critic finds wrong in a problem."""

    model_config = ConfigDict(frozen=True)

    quote: str = Field(min_length=1, description="words of the problem or its answer, copied letter by letter")
    fault: str = Field(min_length=3, description="what is wrong there, in a sentence")


class Review(BaseModel):
    """What a critic says of a problem."""

    model_config = ConfigDict(frozen=True)

    faults: tuple[Complaint, ...] = Field(description="the faults; an empty list if there are none")
    content: bool = Field(description="true if there are no faults, false if there are any")


@dataclass(frozen=True)
class Agreed:
    """A problem that the critic is content with and the solvers agree on; and a row a round."""

    problem: Problem
    votes: Votes
    rounds: tuple[Mapping[str, Any], ...]


async def _author(item: Item, ctx: StepContext) -> Problem:
    """The author's first draft."""
    return await _written(ctx, "author", {}, role="author")


async def _written(ctx: StepContext, template: str, values: Mapping[str, Any], *, role: str, tag: str = "") -> Problem:
    """A problem without a fault that can be told by itself."""
    seed = ctx.item.seed.text

    def check(draft: Draft) -> Fault | None:
        return fault_of(draft.problem, seed) or follows(draft.problem, seed)

    draft: Draft = await asked(ctx, template, Draft, values, check, role=role, tag=tag)
    return draft.problem


async def _work(item: Item, ctx: StepContext) -> Agreed:
    """Critic, solvers and editor in turn, until nothing is wrong with the problem any more."""
    options: AgentsOptions = ctx.options
    problem: Problem = item["author"]
    rounds: list[Mapping[str, Any]] = []
    solver = _Solver(ctx)
    while True:
        tag = f"round{len(rounds)}"
        faults = await _faults(ctx, problem, tag)
        reason = "" if not faults else "the critic is not content"
        votes = None
        if not faults:
            votes = await solver.votes(problem, tag)
            reason = await disagreement(ctx, votes, problem)
        if votes is not None and not reason:
            ctx.score("rounds", len(rounds))
            return Agreed(problem, votes, tuple(rounds))
        if len(rounds) == options.rounds:
            raise _given_up(reason, problem, votes, faults)
        faults = faults or [_TOLD.get(reason, _TOLD[""])]
        mended = await _mended(ctx, problem, faults, tag)
        if folded(_shown(mended)) == folded(_shown(problem)):
            raise _given_up(reason, problem, votes, [*faults, "The editor changed nothing."])
        rounds.append({"faults": list(faults), "diff": difference(_shown(problem), _shown(mended))})
        problem = mended


async def _faults(ctx: StepContext, problem: Problem, tag: str) -> list[str]:
    """The critic's faults as texts, each with its quote."""
    whole = f"{problem.question}\n{problem.answer}"

    def check(review: Review) -> Fault | None:
        if review.content is bool(review.faults):
            return Fault(UNSOUND, "Where there are faults, content is false; where there are none, it is true.")
        for number, one in enumerate(review.faults, 1):
            there = stands_in(one.quote, whole, min_chars=MIN_QUOTE_CHARS)
            if not there and not stands_in(one.quote, problem.answer, min_chars=1):
                return Fault(UNSOUND, f"The quote of fault {number} stands neither in the problem nor in its answer.")
        return None

    values = {"question": problem.question, "answer": problem.answer}
    review: Review = await asked(ctx, "critic", Review, values, check, role="critic", tag=tag)
    return [f"In: {one.quote}\nFault: {one.fault}" for one in review.faults]


class _Solver:
    """Has problems solved; a question that was solved before keeps its samples, so that nobody gets a second draw."""

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self._tags: dict[str, str] = {}
        self._votes: dict[tuple[str, str], Votes] = {}

    async def votes(self, problem: Problem, tag: str) -> Votes:
        """The votes on a problem; `tag` tells the first request for a question from those for others."""
        ctx, question = self._ctx, folded(problem.question)
        tag = self._tags.setdefault(question, tag)
        key = question, problem.verifier
        if key not in self._votes:
            rendered = ctx.render("solve", {"question": problem.question})
            self._votes[key] = await voted(
                ctx, rendered, ctx.options.k, problem.verifier, tag=tag, choices=problem.choices
            )
        votes = self._votes[key]
        ctx.score("agreement", votes.agreement)
        ctx.score("margin", votes.margin)
        return votes


def _given_up(reason: str, problem: Problem, votes: Votes | None, faults: Sequence[str]) -> Drop:
    row: dict[str, Any] = {"question": problem.question, "answer": problem.answer, "faults": list(faults)}
    detail = "; ".join(faults) or f"stated {problem.answer!r}"
    return Drop(reason, detail, problem.question, review=row | {"votes": votes.counts} if votes is not None else None)


async def _mended(ctx: StepContext, problem: Problem, faults: Sequence[str], tag: str) -> Problem:
    values = {"question": problem.question, "answer": problem.answer, "faults": "\n\n".join(faults)}
    return await _written(ctx, "editor", values, role="editor", tag=tag)


def _shown(problem: Problem) -> str:
    return f"{problem.question}\nAnswer: {problem.answer}"


async def _response(item: Item, ctx: StepContext) -> str:
    """The solution that goes with the problem, "" where none is wanted."""
    agreed: Agreed = item["work"]
    found = await solution_of(ctx, agreed.votes, agreed.problem.prompt)
    return found if ctx.options.response else ""


def _output(item: Item, options: AgentsOptions) -> Output:
    agreed: Agreed = item["work"]
    problem = agreed.problem
    return Output(
        messages=user(problem.question),
        proof="agreement",
        answer=problem.answer,
        verifier=problem.verifier,
        response=item["response"],
        answer_source="teacher",
        meta={**problem.meta, "agents": list(agreed.rounds)},
    )


def _calls(options: AgentsOptions) -> Calls:
    # A draft, as a rule one round of mending, a critique of each, and k solutions of one question or two.
    return Calls(requests=5.5, completions=4 + 1.5 * options.k, tokens=350, prompt_tokens=500, outputs=0.6)


WORKFLOW = Workflow(
    name="agents",
    summary="author, critic, solver and editor work on one problem until the solvers agree with its answer",
    takes=("text", "code", "prompt"),
    steps=(Do("author", _author), Do("work", _work), Do("response", _response)),
    output=_output,
    options=AgentsOptions,
    calls=_calls,
    roles=("author", "critic", "solver", "editor"),
)
