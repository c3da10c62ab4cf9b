"""The workflow `safety`: from the text of a policy to requests that a model should decline, and to those it should not.

`rules` takes the policy apart into what it forbids, each rule with the words of the policy that say so, which have to
stand there. For each rule `requests` writes some that break it and some that only look like it (the borderline set:
without it a model learns to decline by the sound of a request). `classify` has k votes decide on each, by the policy
and the request alone, without the rule or the side that was intended. A request goes on only where the votes agree on
its side; and if they say the same of all requests of a rule, on both sides, they tell nothing apart and prove none.
`respond` writes a refusal that gives its reason, or a helpful answer; that it is one is checked by its words
(`safety_checks.py`), and `judge` has a judge's votes confirm it.

The pairing of what must be declined with what looks like it and must not follows the concern of XSTest (Röttger et al.
2023, "XSTest: A Test Suite for Identifying Exaggerated Safety Behaviours in Large Language Models"). Votes for a side
are self-consistency (Wang et al. 2022, arXiv:2203.11171) on a question with two answers.

A policy is a text of the user's own, and what it says goes: nobody asks whether it is wise. Only sentences that set
earlier instructions aside are taken for planted, and whatever follows one is dropped. What this does not protect
against: a rule that the writer never thought of; a classifier, judge and writer that share a mistake (give the roles
engines of their own); and requests that are meant to trick a model, which this does not write. Responses are in
English.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from pydantic import Field

from teachable.errors import TeachableError
from teachable.records import Completion, Message, Prompt, content_id
from teachable.synthesize.again import whole
from teachable.synthesize.asking import StepContext, together
from teachable.synthesize.checks.judging import Bench
from teachable.synthesize.checks.rubric import stands_in
from teachable.synthesize.graph import Calls, Do, Options, Workflow
from teachable.synthesize.items import Drop, Item, Many, Output, user
from teachable.synthesize.reading.replies import Fault, read
from teachable.synthesize.workflows.safety_checks import follows, help_flaw, planted_in, refusal_flaw, request_flaw
from teachable.synthesize.workflows.safety_replies import RequestList, Response, Rule, RuleList, Vote
from teachable.verify.strings import canonical

Side: TypeAlias = Literal["breaking", "borderline"]
SIDES: tuple[Side, ...] = ("breaking", "borderline")
UNQUOTED, REPEATED, BOTH_SIDES = "the quote is not in the policy", "the same rule again", "the request is on both sides"
NO_SIDES, DIVIDED = "the votes tell no sides apart", "the votes are divided"
OTHERWISE, SILENT = "the votes say otherwise", "no vote can be read"
PLANTED_RULE, PLANTED_REQUEST = "a planted instruction, no rule", "the request follows a planted instruction"
UNFIT: Mapping[Side, str] = {"breaking": "no refusal with its reason", "borderline": "no helpful answer"}
UNJUDGED, JUDGED_OUT = "the judge could not tell", "the judge does not accept the response"
MIN_QUOTE_CHARS = 12


class SafetyOptions(Options):
    """Settings of `safety`."""

    max_rules: int = Field(8, ge=1, description="most rules that are taken from a policy's text")
    n: int = Field(4, ge=1, description="requests on each side of a rule")
    k: int = Field(5, ge=1, description="votes on the side of a request")
    min_agreement: float = Field(0.8, gt=0.5, le=1, description="share of the k votes that has to be for the side")
    votes: int = Field(3, ge=1, description="the judge's votes on a response")
    tries: int = Field(2, ge=1, description="how often a response is asked for that does not do what it should")


@dataclass(frozen=True)
class Case:
    """A request, and what was meant by it; `against` is how many of the votes say that it breaks the policy."""

    side: Side
    request: str
    others: tuple[str, ...] = ()
    repeated: bool = False
    against: int = 0
    n_votes: int = 0


async def rules(item: Item, ctx: StepContext) -> Many:
    """The rules of the policy, each an item of its own, and with it whether an earlier one says the same."""
    found: RuleList = await ctx.ask("rules", RuleList, {})
    seen: set[str] = set()
    marked = []
    for rule in found.rules[: ctx.options.max_rules]:
        names = {canonical(rule.quote), canonical(rule.rule)}
        marked.append((rule, bool(names & seen)))
        seen |= names
    return Many(tuple(marked))


async def rule(item: Item, ctx: StepContext) -> Rule:
    """A rule whose words stand in the policy."""
    found: Rule
    found, repeated = item["rules"]
    if repeated:
        raise Drop(REPEATED, found.rule, found.quote)
    if not stands_in(found.quote, item.seed.text, min_chars=MIN_QUOTE_CHARS):
        raise Drop(UNQUOTED, found.rule, found.quote)
    planted = planted_in(item.seed.text)
    if planted and (stands_in(found.quote, planted, min_chars=MIN_QUOTE_CHARS) or follows(found.rule, planted)):
        raise Drop(PLANTED_RULE, found.rule, found.quote)
    return found


async def requests(item: Item, ctx: StepContext) -> tuple[Case, ...]:
    """Requests on both sides of a rule."""
    cases: list[Case] = []
    for side in SIDES:
        reply = await ctx.ask(side, RequestList, {"rule": item["rule"].rule}, tag=side)
        asked = dict.fromkeys(request.strip() for request in reply.requests)
        cases += [Case(side, request) for request in list(asked)[: ctx.options.n]]
    count = Counter(canonical(case.request) for case in cases)
    texts = {side: tuple(case.request for case in cases if case.side == side) for side in SIDES}
    other: dict[Side, Side] = {"breaking": "borderline", "borderline": "breaking"}
    return tuple(
        replace(case, others=texts[other[case.side]], repeated=count[canonical(case.request)] > 1) for case in cases
    )


async def classify(item: Item, ctx: StepContext) -> Many:
    """Each request with the votes on it, as an item of its own.

    Raises:
        Drop: the votes put all requests, of both sides, on one.
    """
    voted = await together([_voted(case, item, ctx, place) for place, case in enumerate(item["requests"])])
    majorities = {2 * case.against > case.n_votes for case in voted if case.n_votes}
    if len({case.side for case in voted if case.n_votes}) > 1 and len(majorities) == 1:
        said = "break" if majorities.pop() else "keep to"
        raise Drop(NO_SIDES, f"all of {len(voted)} requests are said to {said} the policy", item["rule"].rule)
    return Many(tuple(voted))


async def _voted(case: Case, item: Item, ctx: StepContext, place: int) -> Case:
    if _flaw(case, item):
        return case  # dropped by the next step, and not worth asking about
    options: SafetyOptions = ctx.options
    writing = ctx.tools.writing
    if options.k > 1 and writing.temperature == 0:
        raise TeachableError(
            "at temperature 0 all votes are the same, and their agreement proves nothing",
            where=f"{ctx.workflow}.writing.temperature",
            mend="Give a temperature above 0, such as 0.7",
        )

    def read_one(sample: Completion, again: bool) -> Vote | Fault:
        value: Vote | Fault = read(sample.text, Vote, finish_reason=sample.finish_reason, max_tokens=writing.max_tokens)
        return value

    asked = ctx.render("classify", {"request": case.request}, Vote)
    samples = await ctx.sample(asked, options.k, role="classifier", tag=f"{place}")
    votes = []
    for number, sample in enumerate(samples):
        vote = await whole(ctx, asked, sample, read_one, role="classifier", tag=f"{place}vote{number}")
        votes += [] if isinstance(vote, Fault) else [vote.breaks]
    return replace(case, against=sum(votes), n_votes=len(votes))


def _flaw(case: Case, item: Item) -> str:
    """Why a request is none, as a label; "" where it may be one."""
    if case.repeated:
        return BOTH_SIDES
    if follows(case.request, planted_in(item.seed.text)):
        return PLANTED_REQUEST
    return request_flaw(case.request, item["rule"].rule, item["rule"].reason)


async def agreed(item: Item, ctx: StepContext) -> Case:
    """A request that is fit to be one, and on whose side the votes agree."""
    case: Case = item["classify"]
    if flaw := _flaw(case, item):
        raise Drop(flaw, f"meant as {case.side}", case.request)
    if not case.n_votes:
        raise Drop(SILENT, f"0 of {ctx.options.k}", case.request)
    said = case.against if case.side == "breaking" else case.n_votes - case.against
    ctx.score("agreement", said / ctx.options.k)
    if said < ctx.options.min_agreement * ctx.options.k - 1e-9:
        detail = f"meant as {case.side}; {case.against} of {case.n_votes} votes say that it breaks the policy"
        raise Drop(OTHERWISE if 2 * said < case.n_votes else DIVIDED, detail, case.request)
    return case


async def respond(item: Item, ctx: StepContext) -> str:
    """A refusal with its reason, or a helpful answer: what the request calls for, as far as words tell."""
    case, found = item["agreed"], item["rule"]
    planted = planted_in(item.seed.text)
    template = "refuse" if case.side == "breaking" else "help"
    fault = ""
    for n_tried in range(ctx.options.tries):
        given = {"rule": found.rule, "request": case.request, "fault": fault}
        reply = await ctx.ask(template, Response, given, tag=f"try{n_tried}")
        said: str = reply.response.strip()
        fault = _unfit(said, case, found, planted)
        if not fault:
            return said
        if n_tried + 1 < ctx.options.tries:
            ctx.tools.counted(ctx.step).retried[UNFIT[case.side]] += 1
    raise Drop(UNFIT[case.side], fault, said)


def _unfit(said: str, case: Case, found: Rule, planted: str) -> str:
    if follows(said, planted):
        return "it follows an instruction that somebody planted in the policy"
    return refusal_flaw(said, (found.rule, found.reason)) if case.side == "breaking" else help_flaw(said)


async def judge(item: Item, ctx: StepContext) -> str:
    """The judge's reason for accepting the response."""
    case, said = item["agreed"], item["respond"]
    rendered = ctx.render("judge_refusal" if case.side == "breaking" else "judge_help", {})
    bench = Bench(ctx, ctx.options.votes, rubric=rendered.messages[-1]["content"])
    messages = (Message(role="system", content=item.seed.text), Message(role="user", content=case.request))
    verdict = await bench.judge.verify(said, Prompt(content_id(messages), "safety", messages, verifier="judge"))
    bench.asked(1, rendered)
    if not verdict.correct:
        raise Drop(UNJUDGED if verdict.correct is None else JUDGED_OUT, verdict.reason, said)
    return verdict.reason


def output(item: Item, options: SafetyOptions) -> Output:
    """The request, and the response that it calls for."""
    case, found = item["agreed"], item["rule"]
    return Output(
        messages=user(case.request),
        proof="agreement",
        verifier="judge",
        response=item["respond"],
        domain="safety",
        meta={"side": case.side, "rule": found.rule, "quote": found.quote},
        language="en",
        allowed=case.others,
        leak_checked=True,
    )


def calls(options: SafetyOptions) -> Calls:
    """Of four rules, say: both sides, the votes on each request, and a response and its judge for three quarters."""
    n_rules = min(4, options.max_rules)
    asked = 2 * options.n * n_rules
    kept = 0.75 * asked
    return Calls(
        requests=1 + 2 * n_rules + asked + 2.1 * kept,
        completions=1 + 2 * n_rules + asked * options.k + kept * (1.1 + options.votes),
        tokens=150,
        prompt_tokens=900,
        outputs=0.9 * kept,
    )


WORKFLOW = Workflow(
    name="safety",
    summary="from a policy: requests to decline, with a refusal, and borderline ones, with a helpful answer",
    takes=("text",),
    steps=(
        Do("rules", rules),
        Do("rule", rule),
        Do("requests", requests),
        Do("classify", classify),
        Do("agreed", agreed),
        Do("respond", respond),
        Do("judge", judge),
    ),
    output=output,
    options=SafetyOptions,
    calls=calls,
    roles=("writer", "classifier", "judge"),
)
