"""`rewrite`: passages become exercises, talks between a learner and a tutor, and tasks with their reasoning.

Each form is asked for apart. What comes back is checked in Python (`rewrite_asked.py`): it stands alone, is about the
passage, holds neither its answer nor what an instruction in the passage asked for; turns alternate, and the tutor's
numbers come from the passage. Then it is proved:

- an exercise, and a task with a short answer, by k solvers with the passage who agree by the bar of `voting.py`, and
  on the stated answer. Where the reader does not see the passage, `k_alone` solvers do not see it either, and one of
  them at least must come to the answer, or the exercise is not complete in itself.
- what is open (talks, open tasks) by a judge, `votes` times: a vote passes when all that is stated is supported by the
  passage, right and useful and no fault is named; at least the share `bar` of all votes must pass. A vote that can't be
  read is none. The steps of a task are judged also where solvers have proved its answer.

Source: the Phi-4 Technical Report (Abdin et al. 2024, arXiv:2412.08905), section 2.2: passages are rewritten into
exercises, discussions and structured reasoning tasks. The proofs are ours.

What it does not protect against: a judge that lets everything pass (`teachable.verify.calibrate` measures yours),
solvers and writer that share a mistake, and a talk that is right and dull. A talk in which the tutor calculates is
lost, since its numbers are not those of the passage: exercises and tasks are for that.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from teachable.records import Message, content_id
from teachable.synthesize.asking import StepContext, together
from teachable.synthesize.checks.injection import obeys
from teachable.synthesize.checks.voting import VoteOptions, voted
from teachable.synthesize.graph import Calls, Do, Workflow
from teachable.synthesize.items import Drop, Item, Many, Output
from teachable.synthesize.workflows.augment_problems import Problem, disagreement, solution_of
from teachable.synthesize.workflows.questions_asked import agreeing, around, leans
from teachable.synthesize.workflows.rewrite_asked import (
    FORMS,
    Discussion,
    Exercises,
    Form,
    Piece,
    Ruling,
    Task,
    fault_in,
    of_discussion,
    of_exercises,
    of_task,
)

INCOMPLETE, OWN_STEPS = "not complete in itself", "its own steps do not give the answer"
REFUSED, NO_RESPONSE = "the judge does not let it pass", "no solution can go out"


class RewriteOptions(VoteOptions):
    """What passages become, what the reader sees, and when it is proved."""

    forms: tuple[Form, ...] = Field(FORMS, min_length=1, description="what is made of every passage")
    n: int = Field(2, ge=1, le=20, description="most exercises of a passage")
    turns: int = Field(6, ge=4, le=20, description="turns of a talk; two fewer will do")
    context: Literal["hidden", "shown"] = Field(
        "hidden", description="shown: the passage goes out before it; hidden: it stands alone"
    )
    k_alone: int = Field(
        2, ge=0, le=64, description="solvers without the passage, one of whom has to come to the answer; 0: none"
    )
    votes: int = Field(3, ge=1, le=32, description="votes of the judge on what is open, and on a task's steps")
    bar: float = Field(0.6, gt=0, le=1, description="share of the votes that have to let it pass")


async def _forms(item: Item, ctx: StepContext) -> Many:
    """Each form is asked for apart, so that what becomes of one does not touch another."""
    return Many(tuple(dict.fromkeys(ctx.options.forms)))


async def _written(item: Item, ctx: StepContext) -> Many:
    """The pieces of one form."""
    form: Form = item["forms"]
    if form == "exercise":
        exercises: Exercises = await ctx.ask("exercise", Exercises, {})
        return Many(of_exercises(exercises, ctx.options.n))
    if form == "discussion":
        discussion: Discussion = await ctx.ask("discussion", Discussion, {})
        return Many((of_discussion(discussion),))
    task: Task = await ctx.ask("task", Task, {})
    return Many((of_task(task),))


async def _checked(item: Item, ctx: StepContext) -> bool:
    """See that the piece can go out as it stands."""
    options: RewriteOptions = ctx.options
    piece: Piece = item["written"]
    fault = fault_in(piece, around(item.seed), n_turns=options.turns - 2, reader_sees_it=options.context == "shown")
    if fault is not None:
        raise Drop(fault.label, fault.sentence, piece.text)
    if piece.problem is not None and piece.response:
        verdict = await ctx.verify(piece.response, piece.problem.prompt)
        if verdict.correct is not True:
            raise Drop(OWN_STEPS, verdict.reason, piece.text)
    return True


def _is_closed(item: Item, options: RewriteOptions) -> bool:
    return item["written"].problem is not None


async def _solved(item: Item, ctx: StepContext) -> str:
    """Have k solvers agree on the stated answer; the response."""
    options: RewriteOptions = ctx.options
    piece: Piece = item["written"]
    problem = piece.problem
    assert problem is not None
    rendered = ctx.render("solve", {"given": item.seed.text, "question": problem.question})
    votes = await voted(ctx, rendered, options.k, problem.verifier, choices=problem.choices)
    ctx.score("agreement", votes.agreement)
    ctx.score("margin", votes.margin)
    reason = await disagreement(ctx, votes, problem)
    if reason:
        row = {"question": problem.question, "answer": problem.answer, "votes": votes.counts}
        raise Drop(reason, f"stated {problem.answer!r}", problem.question, review=row)
    alone = await _alone(item, ctx, problem) if options.context == "hidden" and options.k_alone else ""
    if piece.response:
        return piece.response
    response = alone or await solution_of(ctx, votes, problem.prompt)
    if (options.context == "hidden" and leans(response)) or obeys(response, item.seed.text) is not None:
        raise Drop(NO_RESPONSE, "it speaks of what the reader can't see, or follows an instruction", response)
    return response


async def _alone(item: Item, ctx: StepContext, problem: Problem) -> str:
    """The shortest right solution of solvers who see no more than the reader does.

    Raises:
        Drop: none comes to the answer.
    """
    rendered = ctx.render("solve", {"given": "", "question": problem.question})
    votes = await voted(ctx, rendered, ctx.options.k_alone, problem.verifier, tag="alone", choices=problem.choices)
    right = await agreeing(ctx, votes.samples, problem.prompt, in_words=False)
    ctx.score("alone", len(right) / ctx.options.k_alone)
    if not right:
        raise Drop(INCOMPLETE, f"none of {ctx.options.k_alone} solvers says {problem.answer!r}", problem.question)
    return min(right, key=len)


def _is_judged(item: Item, options: RewriteOptions) -> bool:
    return item["written"].form != "exercise"


async def _judged(item: Item, ctx: StepContext) -> float:
    """The share of the judge's votes that let the piece pass."""
    options: RewriteOptions = ctx.options
    piece: Piece = item["written"]
    values = {"written": piece.text, "form_of_it": piece.form}
    votes = options.votes if ctx.tools.writing.temperature > 0 else 1  # all would be the same
    rulings = await together([_vote(ctx, values, number) for number in range(votes)])
    share = sum(ruling is not None and ruling.passes for ruling in rulings) / votes
    ctx.score("votes", share)
    if share < options.bar:
        faults = [ruling.fault for ruling in rulings if ruling is not None and ruling.fault]
        raise Drop(REFUSED, "; ".join(faults) or f"{share:.0%} of {votes} votes", piece.text)
    return share


async def _vote(ctx: StepContext, values: dict[str, str], number: int) -> Ruling | None:
    """One vote; None where the judge's replies can't be read."""
    try:
        ruling: Ruling = await ctx.ask("judge", Ruling, values, role="judge", tag=f"vote{number}")
    except Drop:
        return None
    return ruling


def _output(item: Item, options: RewriteOptions) -> Output:
    piece: Piece = item["written"]
    problem, messages = piece.problem, piece.messages
    shown = options.context == "shown"
    if shown:
        first = Message(role="user", content=f"{item.seed.text}\n\n{messages[0]['content']}")
        messages = (first, *messages[1:])
    answer = problem.answer if problem is not None else piece.answer or None
    return Output(
        messages,
        "agreement" if problem is not None else "judge",
        answer=answer,
        verifier=problem.verifier if problem is not None else "judge",
        response=item["solved"] or piece.response,
        meta={**(problem.meta if problem is not None else {}), "form": piece.form, "passage": item.seed.id},
        language=item.seed.language if len(item.seed.language) == 2 else "",
        leak_checked=shown,
        content_key=content_id(item.seed.id, piece.text.casefold()) if shown else "",
    )


def _calls(options: RewriteOptions) -> Calls:
    """A request a form; for each piece those of its solvers, and of the judge."""
    closed = options.n * ("exercise" in options.forms) + 0.5 * ("task" in options.forms)
    judged = ("discussion" in options.forms) + ("task" in options.forms)
    forms = len(set(options.forms))
    return Calls(
        requests=forms + closed * (1 + (options.k_alone > 0)) + judged * options.votes,
        completions=forms + closed * (options.k + options.k_alone) + judged * options.votes,
        tokens=350,
        prompt_tokens=900,
        outputs=0.6 * closed + 0.6 * judged,
    )


WORKFLOW = Workflow(
    name="rewrite",
    summary="passages into exercises, discussions and reasoning tasks",
    takes=("text",),
    steps=(
        Do("forms", _forms),
        Do("written", _written),
        Do("checked", _checked),
        Do("solved", _solved, when=_is_closed),
        Do("judged", _judged, when=_is_judged),
    ),
    output=_output,
    options=RewriteOptions,
    calls=_calls,
    roles=("writer", "solver", "judge"),
)
