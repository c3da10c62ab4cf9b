"""The workflow `responses`: the best of n responses to a prompt, by its verifier first and by a judge second.

`respond` draws n responses of the teacher. `check` has the prompt's verifier decide on each: where there is a reference
answer, only responses that it accepts go on. `choose` has a judge score those that are left for accuracy, style and
detail, and takes the highest; responses that score alike are told apart by length, and the shortest wins. Where nothing
but a judge can decide (no reference answer, or a verifier that is a judge), a response must also be accepted by the
majority of the judge's votes, and reach a stated score.

Rejection sampling of this kind, with a verifier where there is one and a model as the judge elsewhere, is how the
reasoning data of Phi-4-reasoning were made (Phi-4-reasoning Technical Report, Abdin et al. 2025, arXiv:2504.21318,
section 2), whose responses keep their thoughts between <think> tags: `think: keep`. It departs in that length breaks
ties, which the report does not say.

What a prompt asks for is what the teacher does: a prompt is a task here, not material. What it does not protect
against: a right answer by wrong reasoning, and without a reference answer whatever takes the judge in. Thoughts are
checked for their form alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pydantic import Field

from teachable.errors import TeachableError
from teachable.records import Message, Prompt
from teachable.synthesize.asking import StepContext, together
from teachable.synthesize.checks.judging import PANELS, Bench
from teachable.synthesize.graph import Calls, Do, Options, Workflow
from teachable.synthesize.items import Drop, Item, Output
from teachable.synthesize.templates import Rendered
from teachable.synthesize.workflows.responses_candidates import Candidate, Think, candidates, shortest

WEIGHTS = (0.5, 0.25, 0.25)  # of accuracy, style and detail in a score
NONE_RIGHT, UNTOLD = "no response is right", "the verifier could not tell"
NOBODY, UNSCORED = "nothing to judge by", "the judge could not tell"
LOW, REFUSED = "below the judge's bar", "the judge accepts none"


class ResponsesOptions(Options):
    """Settings of `responses`."""

    n: int = Field(4, ge=1, le=256, description="responses that the best is taken of")
    think: Think = Field(
        "strip",
        description="thoughts between <think> tags: strip leaves them out, keep keeps them, require also drops a "
        "response without any",
    )
    guide: bool = Field(
        True, description="a system message says how to answer (the template `answer`); false: the prompt as it stands"
    )
    votes: int = Field(3, ge=0, description="the judge's votes on a response; 0: no judge, the shortest right one wins")
    tie: float = Field(0.25, ge=0, le=9, description="scores (1 to 10) within this of the best are a tie")
    min_score: float = Field(
        7.0, ge=1, le=10, description="what the judge has to give (1 to 10) where there is no reference answer"
    )


@dataclass(frozen=True)
class Checked:
    """The responses that may be chosen, and who accepted them: `verifier`, or nobody yet (`judge` has to)."""

    candidates: tuple[Candidate, ...]
    proof: str


async def respond(item: Item, ctx: StepContext) -> tuple[Candidate, ...]:
    """n responses of the teacher; those that stay malformed are left out, and the item with them if all are."""
    options: ResponsesOptions = ctx.options
    if options.n > 1 and ctx.tools.writing.temperature == 0:
        raise TeachableError(
            "at temperature 0 all responses are the same",
            where=f"{ctx.workflow}.writing.temperature",
            mend="Give a temperature above 0, or set options.n=1",
        )
    found, lost = await candidates(ctx, _asked(item, ctx), options.n, options.think)
    ctx.score("whole", 1 - sum(lost.values()) / options.n)
    if not found:
        raise Drop(lost.most_common(1)[0][0], f"all {options.n} responses: {_counted(lost)}", item.seed.text)
    return tuple(found)


def _asked(item: Item, ctx: StepContext) -> Rendered:
    """The prompt as it stands, under a system message that says how to answer, if one is wanted."""
    prompt = item.prompt
    if not ctx.options.guide:
        return Rendered(prompt.messages, "", "")
    given = {"think": ctx.options.think, "verifier": prompt.verifier if prompt.answer is not None else ""}
    guide = ctx.render("answer", given)
    own = [message["content"] for message in prompt.messages if message["role"] == "system"]
    system = "\n\n".join(filter(None, [*own, *(message["content"] for message in guide.messages)]))
    rest = [message for message in prompt.messages if message["role"] != "system"]
    return Rendered((Message(role="system", content=system), *rest), guide.template, guide.version)


async def check(item: Item, ctx: StepContext) -> Checked:
    """The responses that the prompt's verifier accepts, or all where it has nothing to go by."""
    prompt, found = item.prompt, item["respond"]
    if prompt.answer is None:
        return Checked(found, "judge")
    bench = Bench(ctx, max(1, ctx.options.votes)) if prompt.verifier in PANELS else None
    verify = bench.panel(prompt.verifier).verify if bench is not None else ctx.verify
    verdicts = await together([verify(one.text, prompt) for one in found])
    if bench is not None:
        bench.asked(len(found))
    right = tuple(one for one, verdict in zip(found, verdicts, strict=True) if verdict.correct)
    ctx.score("right", len(right) / len(found))
    if not right:
        wrong = [verdict for verdict in verdicts if verdict.correct is False]
        raise Drop(NONE_RIGHT if wrong else UNTOLD, (wrong or verdicts)[0].reason, found[0].text)
    return Checked(right, "judge" if bench is not None else "verifier")


async def choose(item: Item, ctx: StepContext) -> tuple[Candidate, str]:
    """The best response, and what proves it."""
    options: ResponsesOptions = ctx.options
    checked: Checked = item["check"]
    prompt, found = item.prompt, list(checked.candidates)
    proven = prompt.answer is not None
    if proven and (len(found) == 1 or not options.votes):
        return shortest(found), checked.proof
    if not options.votes:
        raise Drop(NOBODY, "there is no reference answer, and options.votes is 0", item.seed.text)
    bench = Bench(ctx, options.votes)
    scorings = await together([bench.judge.score(one.text, prompt) for one in found])
    bench.asked(len(found))
    scores = {one.number: scoring.weighted(WEIGHTS) for one, scoring in zip(found, scorings, strict=True)}
    scored = {number: score for number, score in scores.items() if score is not None}
    if proven:
        best = _best(found, scored, options.tie)
    else:
        best = await _accepted(found, scored, prompt, bench, options)
    if best.number in scored:
        ctx.score("judge", scored[best.number])
    return best, checked.proof


def _best(found: list[Candidate], scored: dict[int, float], tie: float) -> Candidate:
    """The shortest of those that score within `tie` of the best; the shortest of all where none has a score."""
    bar = max((scored[one.number] for one in found if one.number in scored), default=None)
    if bar is None:
        return shortest(found)
    return shortest([one for one in found if scored.get(one.number, -1.0) >= bar - tie - 1e-9])


async def _accepted(
    found: list[Candidate], scored: dict[int, float], prompt: Prompt, bench: Bench, options: ResponsesOptions
) -> Candidate:
    """The best response that reaches the bar, and that the judge's votes accept.

    Raises:
        Drop: there is none.
    """
    if not scored:
        raise Drop(UNSCORED, f"none of {len(found)} responses has a score", found[0].text)
    left = [one for one in found if scored.get(one.number, 0.0) >= options.min_score]
    if not left:
        raise Drop(LOW, f"the best of {len(found)} has {max(scored.values()):.2f}", found[0].text)
    reason = ""
    while left:
        best = _best(left, scored, options.tie)
        verdict = await bench.judge.verify(best.text, prompt)
        bench.asked(1)
        if verdict.correct:
            return best
        reason = reason or verdict.reason
        left.remove(best)
    raise Drop(REFUSED, reason, found[0].text)


def output(item: Item, options: ResponsesOptions) -> Output:
    """The prompt as it came, with the response that was chosen."""
    prompt = item.prompt
    best, proof = item["choose"]
    return Output(
        messages=prompt.messages,
        proof=proof,
        answer=prompt.answer,
        verifier=prompt.verifier,
        response=best.text,
        domain=prompt.domain,
        level=prompt.level,
        answer_source=prompt.answer_source,
        meta=prompt.meta,
        allowed=(item.seed.text,),
        content_key=str(prompt.meta.get("content_key") or ""),
    )


def _counted(lost: Counter[str]) -> str:
    return ", ".join(f"{n} {label}" for label, n in lost.most_common())


def calls(options: ResponsesOptions) -> Calls:
    """n responses, and the judge's votes on three quarters of them."""
    judged = 0.75 * options.n if options.votes else 0.0
    return Calls(requests=1 + judged, completions=options.n + judged * options.votes, tokens=500, prompt_tokens=500)


WORKFLOW = Workflow(
    name="responses",
    summary="the best of n responses to each prompt, by its verifier first and a judge second",
    takes=("prompt",),
    steps=(Do("respond", respond), Do("check", check), Do("choose", choose)),
    output=output,
    options=ResponsesOptions,
    calls=calls,
    roles=("teacher", "judge"),
)
