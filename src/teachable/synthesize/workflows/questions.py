"""`questions`: question-answer pairs of a passage, and questions of the deductions that it makes.

A model is asked twice of each passage: for questions with short answers, each with the words of the passage that answer
it; and for deduction chains (premises, steps, conclusion), each step that matters with the question that it answers.
Then, in Python: quotes must stand in the passage and answers in their quotes (`grounding.py`), premises before their
conclusion; a question must be about the passage, understandable without it, and must not hand out its answer. A step
whose answer stands in a premise is no deduction. At last k solvers who see the passage, or of a chain the premises
alone, must give the same answer.

A question of a chain goes out with its premises, so that it is complete in itself. A question of a fact goes out alone,
or behind the passage (`context`). With `k_closed` solvers are asked without the passage too: `closed_book` is the share
of them that gives the answer, and `max_closed` drops what can be answered without it.

Source: the Phi-4 Technical Report (Abdin et al. 2024, arXiv:2412.08905), section 2.2: deduction chains and logical
progressions are detected in organic texts, and the key steps are reformulated into questions and answers. That quotes,
order and answers are checked by a program, and that solvers who see only the premises must agree, is ours.

What it does not protect against: a passage that is wrong, since grounded is not true; a question that several things in
the world answer, where its reader does not see the passage; solvers and writer that misread a sentence in one way.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from teachable.records import content_id
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.injection import obeys
from teachable.synthesize.checks.voting import voted
from teachable.synthesize.graph import Calls, Do, Options, Workflow
from teachable.synthesize.items import Drop, Item, Many, Output, user
from teachable.synthesize.workflows.questions_asked import (
    NO_CHAIN,
    Candidate,
    Chains,
    Pairs,
    agreeing,
    around,
    leans,
    misworded,
    of_chains,
    of_pairs,
    ungrounded,
)

UNANSWERED, KNOWN = "solvers disagree with the stated answer", "answered without the passage"


class QuestionsOptions(Options):
    """How many questions, what their reader sees, and when an answer is agreed on."""

    n: int = Field(3, ge=1, le=20, description="most questions of facts that a passage is asked for")
    chains: bool = Field(True, description="look for deduction chains too, and ask for their key steps")
    n_chains: int = Field(2, ge=1, le=10, description="most chains of a passage")
    context: Literal["hidden", "shown"] = Field(
        "hidden", description="shown: the passage goes out before the question; hidden: the question alone"
    )
    k: int = Field(4, ge=1, le=64, description="solvers who see the passage, or the premises")
    min_agreement: float = Field(
        0.75, gt=0.5, le=1, description="share of the k solvers who have to give the stated answer"
    )
    k_closed: int = Field(0, ge=0, le=64, description="solvers who do not see the passage; 0: none are asked")
    max_closed: float = Field(
        1.0, ge=0, le=1, description="share of them up to which a question is kept; 1: any; below: it needs the passage"
    )
    response: bool = Field(True, description="keep the shortest solution that gives the answer as the response")


async def _parts(item: Item, ctx: StepContext) -> Many:
    """Facts and deductions are asked for apart, so that what becomes of one does not touch the other."""
    return Many(("facts", "deductions") if ctx.options.chains else ("facts",))


async def _written(item: Item, ctx: StepContext) -> Many:
    """The candidates: questions of facts, or of the steps of chains."""
    options: QuestionsOptions = ctx.options
    if item["parts"] == "facts":
        pairs: Pairs = await ctx.ask("pairs", Pairs, {})
        return Many(of_pairs(pairs, options.n))
    chains: Chains = await ctx.ask("chains", Chains, {})
    if not chains.chains:
        raise Drop(NO_CHAIN)
    return Many(of_chains(chains, options.n_chains))


async def _grounded(item: Item, ctx: StepContext) -> float:
    """The share of the answer's words in its quote."""
    candidate: Candidate = item["written"]
    reason, share = ungrounded(candidate, item.seed.text)
    if reason:
        raise Drop(reason, f"the answer {candidate.problem.answer!r}", candidate.evidence)
    ctx.score("grounding", share)
    return share


async def _worded(item: Item, ctx: StepContext) -> bool:
    """See that the question can be asked as it stands."""
    candidate: Candidate = item["written"]
    fault = misworded(candidate, around(item.seed), reader_sees_it=ctx.options.context == "shown")
    if fault is not None:
        raise Drop(fault.label, fault.sentence, candidate.problem.question)
    return True


async def _solved(item: Item, ctx: StepContext) -> str:
    """Have k solvers answer it from what it is to be answered from; the response to keep, "" for none."""
    options: QuestionsOptions = ctx.options
    candidate: Candidate = item["written"]
    problem = candidate.problem
    reader_sees_it = bool(candidate.premises) or options.context == "shown"
    values = {"given": candidate.given or item.seed.text, "question": problem.question}
    rendered = ctx.render("solve", {**values, "shown_to_reader": reader_sees_it})
    votes = await voted(ctx, rendered, options.k, problem.verifier)
    right = await agreeing(ctx, votes.samples, problem.prompt)
    agreement = len(right) / options.k
    ctx.score("agreement", agreement)
    if agreement < options.min_agreement:
        raise Drop(UNANSWERED, f"{len(right)} of {options.k} say {problem.answer!r}", problem.question)
    return await _response(ctx, candidate, right, item.seed.text, reader_sees_it) if options.response else ""


async def _response(
    ctx: StepContext, candidate: Candidate, right: list[str], passage: str, reader_sees_it: bool
) -> str:
    """The shortest solution that the verifier accepts, and that speaks of nothing that its reader can't see."""
    for text in sorted(right, key=len):
        fits = reader_sees_it or not leans(text)
        if fits and obeys(text, passage) is None and (await ctx.verify(text, candidate.problem.prompt)).correct is True:
            return text
    return ""


async def _closed(item: Item, ctx: StepContext) -> float:
    """The share of solvers without the passage who give the answer."""
    options: QuestionsOptions = ctx.options
    problem = item["written"].problem
    rendered = ctx.render("closed", {"question": problem.question})
    votes = await voted(ctx, rendered, options.k_closed, problem.verifier)
    share = len(await agreeing(ctx, votes.samples, problem.prompt)) / options.k_closed
    ctx.score("closed_book", share)
    if share > options.max_closed:
        raise Drop(KNOWN, f"{share:.0%} of {options.k_closed} say {problem.answer!r}", problem.question)
    return share


def _output(item: Item, options: QuestionsOptions) -> Output:
    candidate: Candidate = item["written"]
    problem, passage = candidate.problem, item.seed.text
    shown = options.context == "shown" and not candidate.premises
    given = candidate.given or (passage if shown else "")
    evidence: dict[str, Any] = {"evidence": candidate.evidence, "passage": item.seed.id, "kind": problem.kind}
    if candidate.chain is not None:
        evidence |= {"premises": list(candidate.premises), "conclusion": candidate.chain.conclusion}
    return Output(
        user(f"{given}\n\n{problem.question}" if given else problem.question),
        "grounded",
        answer=problem.answer,
        verifier=problem.verifier,
        response=item["solved"],
        answer_source="organic",
        meta={**problem.meta, **evidence},
        language=item.seed.language if len(item.seed.language) == 2 else "",
        leak_checked=shown,
        content_key=content_id(item.seed.id, problem.question.casefold()) if shown else "",
    )


def _calls(options: QuestionsOptions) -> Calls:
    """Two requests a passage, and one for each candidate (two with a closed book); a chain in every second passage."""
    parts, candidates = 1 + options.chains, options.n + 0.5 * options.chains
    return Calls(
        requests=parts + candidates * (1 + (options.k_closed > 0)),
        completions=parts + candidates * (options.k + options.k_closed),
        tokens=150,
        prompt_tokens=900,
        outputs=0.6 * candidates,
    )


WORKFLOW = Workflow(
    name="questions",
    summary="questions of a passage, and of the deductions that it makes",
    takes=("text",),
    steps=(
        Do("parts", _parts),
        Do("written", _written),
        Do("grounded", _grounded),
        Do("worded", _worded),
        Do("solved", _solved),
        Do("closed", _closed, when=lambda item, options: options.k_closed > 0),
    ),
    output=_output,
    options=QuestionsOptions,
    calls=_calls,
    roles=("writer", "solver"),
)
