"""`augment`: variants of a prompt that are harder, easier, or differ in numbers, in context, or take another one in.

The solver solves the seed k times; then each way of `ways` has a variant written, with its answer stated, which must
pass what can be told of it without solving it (`augment_problems.py`: it stands alone, has one short answer and does
not hold it; `augment_measures.py`: other numbers in the same words, the same numbers in another story, something of
both problems in a composition). k solutions of the variant, by a solver that sees nothing but its question, must agree
by the bar of `voting.py`, and on the stated answer. At last what the variant claims to be is compared with its seed: a
harder one must be solved less often or at greater length, an easier one the other way round, and a change of context
must leave the answer as it was.

A prompt is composed with its partner in `Seed.meta["partner"]`, which `augment_partners.with_partners` chooses among
the seeds near it, the same in every run.

Source: seeds are rewritten and augmented in section 2.2 of the Phi-4 Technical Report (Abdin et al. 2024,
arXiv:2412.08905); variants by more constraints, more steps or other settings are the ways of Evol-Instruct (Xu et al.
2023, arXiv:2304.12244). That solvers must agree, and that the claim is measured, is ours.

What it does not protect against: solvers that agree on a wrong answer, variants that differ from their seed in wording
alone though they are called harder (length and votes of few samples are coarse), and a set that grows around few seeds:
`teachable balance` shows that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from teachable.synthesize.again import asked
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.voting import VoteOptions, Votes, voted
from teachable.synthesize.graph import Calls, Do, Workflow
from teachable.synthesize.items import Drop, Item, Many, Output, Seed, user
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.augment_measures import WAYS, Effort, Way, effort, misses_its_way, shift
from teachable.synthesize.workflows.augment_partners import PARTNER, with_partners
from teachable.synthesize.workflows.augment_problems import (
    Draft,
    Problem,
    disagreement,
    fault_of,
    follows,
    gives,
    numbers_in,
    solution_of,
)
from teachable.verify.judging import JUDGED
from teachable.verify.judging.panel import question_of
from teachable.verify.options import options_of
from teachable.verify.voting import VERIFIERS

NO_PARTNER, NO_NUMBERS = "no other prompt to compose it with", "no numbers to change"
CODE = "its answer is a program"
NOT_HARDER, NOT_EASIER = "not harder than its seed", "not easier than its seed"
OTHER_ANSWER = "the change of context changes the answer"
_COMPARED: tuple[Way, ...] = ("harder", "easier")


class AugmentOptions(VoteOptions):
    """Which variants, and when one is what it claims to be."""

    ways: tuple[Way, ...] = Field(WAYS, min_length=1, description="what variants are made of every prompt")
    min_shift: float = Field(
        0.5,
        gt=0,
        le=1,
        description="by how much the share of right samples of a harder or easier variant differs from its seed's",
    )
    min_growth: float = Field(1.2, gt=1, description="how many times as long the solutions of a harder variant are")
    response: bool = Field(True, description="keep the shortest right solution as the response")


@dataclass(frozen=True)
class Baseline:
    """What the seed itself takes, and its answer; None where it is neither given nor agreed on."""

    effort: Effort
    answer: str | None
    verifier: str


def _needs_baseline(item: Item, options: AugmentOptions) -> bool:
    prompt = item.prompt
    unknown = prompt.answer is None and "context" in options.ways
    return prompt.verifier != "code" and (unknown or any(way in options.ways for way in _COMPARED))


async def _baseline(item: Item, ctx: StepContext) -> Baseline:
    """Have the seed solved k times; its verifier says which samples are right, or their plurality does."""
    options: AugmentOptions = ctx.options
    prompt = item.prompt
    verifier = prompt.verifier if prompt.verifier in VERIFIERS else "math"
    rendered = ctx.render("solve", {"question": question_of(prompt)})
    if prompt.answer is None or prompt.verifier in JUDGED:
        votes = await voted(ctx, rendered, options.k, verifier, choices=options_of(prompt))
        answer = None if votes.fault(options) else votes.answer
        return Baseline(effort(votes.for_answer, options.k), answer, verifier)
    samples = await ctx.sample(rendered, options.k)
    right = [one for one in samples if (await ctx.verify(one.text, prompt)).correct is True]
    return Baseline(effort(right, options.k), prompt.answer, prompt.verifier)


async def _ways(item: Item, ctx: StepContext) -> Many:
    """An item for each way."""
    options: AugmentOptions = ctx.options
    if item.prompt.verifier == "code":
        raise Drop(CODE, "the workflow `code` makes such problems")
    return Many(options.ways)


async def _variant(item: Item, ctx: StepContext) -> Problem:
    """The variant as it is written, without a fault that can be told by itself."""
    way: Way = item["ways"]
    seed = item.seed.text
    partner = str(item.seed.meta.get(PARTNER, {}).get("text", "")) if way == "composed" else ""
    if way == "composed" and not partner:
        raise Drop(NO_PARTNER)
    if way == "numbers" and not numbers_in(seed):
        raise Drop(NO_NUMBERS)

    def check(draft: Draft) -> Fault | None:
        problem = draft.problem
        fault = fault_of(problem, seed) or follows(problem, seed) or (follows(problem, partner) if partner else None)
        return fault or misses_its_way(way, problem.question, seed, partner)

    values = {"problem": question_of(item.prompt), "partner": partner}
    draft: Draft = await asked(ctx, way, Draft, values, check, role="writer")
    return draft.problem


async def _solve(item: Item, ctx: StepContext) -> Votes:
    """k solutions of the variant, which agree on the stated answer."""
    options: AugmentOptions = ctx.options
    problem: Problem = item["variant"]
    rendered = ctx.render("solve", {"question": problem.question})
    votes = await voted(ctx, rendered, options.k, problem.verifier, choices=problem.choices)
    ctx.score("agreement", votes.agreement)
    ctx.score("margin", votes.margin)
    reason = await disagreement(ctx, votes, problem)
    if reason:
        row = {"question": problem.question, "answer": problem.answer, "votes": votes.counts}
        raise Drop(reason, f"stated {problem.answer!r}", problem.question, review=row)
    return votes


async def _compare(item: Item, ctx: StepContext) -> str:
    """See that the variant is what it claims to be; the response that goes with it, "" where none is wanted."""
    options: AugmentOptions = ctx.options
    way: Way = item["ways"]
    problem: Problem = item["variant"]
    votes: Votes = item["solve"]
    if way in _COMPARED:
        _moved(ctx, item["baseline"].effort, effort(votes.for_answer, options.k), way, problem)
    if way == "context":
        await _unmoved(item, ctx, problem)
    found = await solution_of(ctx, votes, problem.prompt)
    return found if options.response else ""


def _moved(ctx: StepContext, before: Effort, after: Effort, way: Way, problem: Problem) -> None:
    options: AugmentOptions = ctx.options
    ctx.score("seed_agreement", before.agreement)
    if before.length and after.length:
        ctx.score("length_ratio", after.length / before.length)
    if shift(before, after, options.min_shift, options.min_growth) != (1 if way == "harder" else -1):
        detail = f"solved {after.agreement:.2f} of the time at {after.length:.0f} characters; its seed "
        detail += f"{before.agreement:.2f} at {before.length or 0:.0f}"
        raise Drop(NOT_HARDER if way == "harder" else NOT_EASIER, detail, problem.question)


async def _unmoved(item: Item, ctx: StepContext, problem: Problem) -> None:
    """Other names are another answer where the answer is a name; a number stays."""
    baseline: Baseline | None = item["baseline"]
    prompt = item.prompt
    answer = baseline.answer if baseline is not None else prompt.answer
    if answer is None or problem.verifier != "math":
        return
    if not await gives(ctx, problem.answer, replace(problem.prompt, answer=answer)):
        raise Drop(OTHER_ANSWER, f"{problem.answer!r}, and the seed's {answer!r}", problem.question)


def _level(level: int, way: Way) -> int:
    """The variant's level within the seed's domain; 0 where nobody said or nothing was compared."""
    steps: Mapping[Way, int] = {"harder": 1, "easier": -1, "numbers": 0, "context": 0}
    return max(1, level + steps[way]) if level and way in steps else 0


def _output(item: Item, options: AugmentOptions) -> Output:
    problem: Problem = item["variant"]
    way: Way = item["ways"]
    made: dict[str, Any] = {"way": way}
    if way == "composed":
        made["partner"] = item.seed.meta[PARTNER]["id"]
    return Output(
        messages=user(problem.question),
        proof="agreement",
        answer=problem.answer,
        verifier=problem.verifier,
        response=item["compare"],
        domain=item.prompt.domain,
        level=_level(item.prompt.level, way),
        answer_source="teacher",
        meta={**problem.meta, "augment": made},
    )


def _prepare(seeds: Sequence[Seed], options: AugmentOptions) -> Sequence[Seed]:
    return list(with_partners(seeds)) if "composed" in options.ways else seeds


def _calls(options: AugmentOptions) -> Calls:
    n = len(options.ways)
    solved = n + any(way in options.ways for way in _COMPARED)
    return Calls(
        requests=n + solved, completions=n + options.k * solved, tokens=350, prompt_tokens=450, outputs=0.5 * n
    )


WORKFLOW = Workflow(
    name="augment",
    summary="harder, easier and sideways variants of prompts, kept when independent solutions agree",
    takes=("prompt",),
    steps=(
        Do("baseline", _baseline, when=_needs_baseline),
        Do("ways", _ways),
        Do("variant", _variant),
        Do("solve", _solve),
        Do("compare", _compare),
    ),
    output=_output,
    options=AugmentOptions,
    calls=_calls,
    roles=("writer", "solver"),
    prepare=_prepare,
)
