"""`verifiable`: problems that are hard to verify become questions with one short answer.

A proof, or an open question, can't be compared with a reference. The Phi-4-reasoning Technical Report (Abdin et al.
2025, arXiv:2504.21318, section 2) therefore rewrites such seeds: "prove that triangle ABC is isosceles" becomes side
lengths, and "what is AC?". A writer makes such a variant of a prompt, and says which part of it is the condition that
the original's conclusion follows from (`hypothesis`). It is kept when

1. it is in form: the condition stands in it word for word, the answer is short, and its verifier accepts it and refuses
   a near miss; it asks for no proof, and is not its seed again (`verifiable_checks.py`);
2. two controls show that the original's conclusion decides the answer: solvers who get the question without the
   condition do not find it (so it can't be read off the prompt either), and solvers who get the conclusion in the
   condition's place do;
3. k solvers, who never see the stated answer, agree (`voting.py`), and on the stated answer.

Votes that are close, or that contradict the stated answer, go to the review list. With `--engine rules` a program
writes, solves and checks the questions (`rules.py`).

Where it departs: the controls are not in the report. What it does not protect against: a question on which solvers and
writer make the same mistake; a writer that misnames what the original asks to prove; an answer that is guessed now and
then, and not by the few solvers of the control.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from teachable.records import Prompt
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.injection import instructions_in, obeys
from teachable.synthesize.checks.voting import VoteOptions, Votes, chosen_response, voted
from teachable.synthesize.graph import Ask, Calls, Do, Rules, Workflow
from teachable.synthesize.items import Drop, Item, Output, user
from teachable.synthesize.workflows import rules
from teachable.synthesize.workflows.verifiable_checks import fault_in_form, without_hypothesis
from teachable.verify import near_miss, same_answer
from teachable.verify.options import options_in

READ_OFF, CONTRADICTED = "the answer can be read off the prompt", "solvers disagree with the stated answer"
OBEYED = "follows an instruction in its seed, or passes it on"
DECIDES_NOTHING = "the conclusion does not decide the answer"
VERIFIERS = {"number": "math", "expression": "math", "choice": "choice", "phrase": "exact"}
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class VerifiableOptions(VoteOptions):
    """Options of `verifiable`."""

    k_control: int = Field(
        4,
        ge=0,
        le=256,
        description="samples of each control: without the condition that is to decide, and with the conclusion in its "
        "place; 0: no controls",
    )
    control: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of those: so many that find the answer without the condition drop the question, and fewer "
        "that find it by the conclusion do",
    )
    response: Literal["shortest", "first", "none"] = Field(
        "shortest", description="which of the solutions with the answer becomes the response; none: prompts alone"
    )
    families: tuple[str, ...] = Field(
        rules.DEFAULT_FAMILIES, min_length=1, description="for --engine rules: families of questions, in equal shares"
    )
    n: int = Field(1000, ge=1, description="for --engine rules: how many questions are written")
    level: int = Field(0, ge=0, description="for --engine rules: the one level that is written; 0: all")


class Variant(BaseModel):
    """What the writer makes of a problem."""

    model_config = ConfigDict(frozen=True)

    conclusion: Text = Field(
        description="what the original problem asks to prove or to find out, as one short statement about the things "
        "that your question names, such as: AB = AC"
    )
    hypothesis: Text = Field(
        description="the condition from which the conclusion follows, copied word for word from your question"
    )
    question: Text = Field(description="the new problem, complete in itself; it does not state the conclusion")
    answer_type: Literal["number", "expression", "choice", "phrase"] = Field(
        description="number, expression, phrase (of a few words), or choice (a letter; the question lists the options)"
    )
    answer: Text = Field(description="the one right answer, alone: no sentence, no unit")
    otherwise: Text = Field(description="a different answer that the same values would allow without the conclusion")


@dataclass(frozen=True)
class Solved:
    """The outcome of the solvers' vote."""

    votes: Votes
    response: str


async def check(item: Item, ctx: StepContext) -> str:
    """The verifier of the variant's answer.

    Raises:
        Drop: the variant is not in form.
    """
    variant: Variant = item["variant"]
    verifier = VERIFIERS[variant.answer_type]
    fault = fault_in_form(
        variant.question, variant.answer, variant.hypothesis, variant.conclusion, verifier, item.seed.text
    )
    if fault:
        raise Drop(fault, f"{variant.answer_type}: {variant.answer}", variant.question)
    parts = (variant.question, variant.conclusion, variant.answer)
    obeyed = next(filter(None, (obeys(part, item.seed.text) for part in parts)), None)
    if obeyed or instructions_in(variant.question):
        raise Drop(OBEYED, obeyed or "it speaks to a model", variant.question)
    if same_answer(variant.otherwise, variant.answer, verifier):
        raise Drop(DECIDES_NOTHING, f"otherwise {variant.otherwise}", variant.question)
    await _prove(variant, verifier, ctx)
    return verifier


async def _prove(variant: Variant, verifier: str, ctx: StepContext) -> None:
    """Have the verifier accept the stated answer, and refuse what is close to it, before anything is paid for."""
    prompt = Prompt("", "", user(variant.question), variant.answer, "teacher", verifier)
    wrong, _ = near_miss(variant.answer)
    for attempt, right in ((variant.answer, True), (wrong, False), (variant.otherwise, False)):
        verdict = await ctx.verify(f"Answer: {attempt}", prompt)
        if verdict.correct is not right:
            raise Drop("its answer can't be verified", f"{attempt}: {verdict.reason}", variant.question)


async def blind(item: Item, ctx: StepContext) -> None:
    """The control without the condition.

    Raises:
        Drop: too many solvers find the answer.
    """
    variant: Variant = item["variant"]
    cut = without_hypothesis(variant.question, variant.hypothesis)
    share = await _found(item, ctx, "blind", cut)
    if share is not None and share >= ctx.options.control:
        raise Drop(READ_OFF, f"{share:.0%} find {variant.answer} in: {cut}", variant.question)


async def given(item: Item, ctx: StepContext) -> None:
    """The control with the original's conclusion in the condition's place.

    Raises:
        Drop: too few solvers find the answer.
    """
    variant: Variant = item["variant"]
    cut = without_hypothesis(variant.question, variant.hypothesis)
    share = await _found(item, ctx, "solve", f"{cut}\nIt is known that {variant.conclusion}")
    if share is not None and share < ctx.options.control:
        raise Drop(DECIDES_NOTHING, f"{share:.0%} find {variant.answer} by: {variant.conclusion}", variant.question)


async def _found(item: Item, ctx: StepContext, template: str, question: str) -> float | None:
    """The share of a control's solvers who find the stated answer, kept as a score; None where none are asked."""
    k = ctx.options.k_control
    if not k:
        return None
    votes = await _votes(item, ctx, template, question, k)
    n_found = 0
    for answer, n in votes.counts.items():
        n_found += n * await _same(answer, item)
    ctx.score(ctx.step, n_found / k)
    return n_found / k


async def _same(answer: str, item: Item) -> bool:
    """Whether solvers gave the stated answer; what no form decides is compared in another process."""
    return await asyncio.to_thread(same_answer, answer, item["variant"].answer, item["check"])


async def solve(item: Item, ctx: StepContext) -> Solved:
    """The solvers' vote, which confirms the stated answer.

    Raises:
        Drop: they do not agree, or not on it. People are to look at those, unless nobody answered.
    """
    options: VerifiableOptions = ctx.options
    variant: Variant = item["variant"]
    votes = await _votes(item, ctx, "solve", variant.question, options.k)
    fault = votes.fault(options)
    if not fault and not await _same(str(votes.answer), item):
        fault = CONTRADICTED
    if fault:
        raise Drop(fault, f"stated {variant.answer}, votes {votes.counts}", variant.question, _review(variant, votes))
    ctx.score("agreement", votes.agreement)
    ctx.score("margin", votes.margin)
    return Solved(votes, chosen_response(votes, options.response))


async def _votes(item: Item, ctx: StepContext, template: str, question: str, k: int) -> Votes:
    variant: Variant = item["variant"]
    rendered = ctx.render(template, {"question": question, "answer_type": variant.answer_type})
    choices = options_in(variant.question) if item["check"] == "choice" else {}
    return await voted(ctx, rendered, k, item["check"], choices=choices)


def _review(variant: Variant, votes: Votes) -> dict[str, Any] | None:
    if votes.answer is None:
        return None
    return {
        "prompt": variant.question,
        "stated": variant.answer,
        "votes": votes.counts,
        "agreement": votes.agreement,
        "margin": votes.margin,
    }


def output(item: Item, options: VerifiableOptions) -> Output:
    """The variant as a prompt, with a solution."""
    variant: Variant = item["variant"]
    solved: Solved = item["solve"]
    return Output(
        messages=user(variant.question),
        proof="agreement",
        answer=variant.answer,
        verifier=item["check"],
        response=solved.response,
        answer_source="teacher",
        meta={
            "conclusion": variant.conclusion,
            "hypothesis": variant.hypothesis,
            "otherwise": variant.otherwise,
            "answer_type": variant.answer_type,
        },
    )


WORKFLOW = Workflow(
    name="verifiable",
    summary="problems that are hard to verify, as questions with one short answer",
    takes=("prompt",),
    steps=(Ask("variant", Variant), Do("check", check), Do("blind", blind), Do("given", given), Do("solve", solve)),
    output=output,
    options=VerifiableOptions,
    calls=lambda options: Calls(
        requests=4, completions=1 + 2 * options.k_control + options.k, tokens=350, prompt_tokens=450, outputs=0.4
    ),
    roles=("writer", "solver"),
    rules=Rules(rules.seeds, rules.STEPS, rules.output),
)
