"""`revise`: an answer, a critique of it against a rubric, an improved answer; until the rubric is met.

The seed's own response is the first answer, or one is written. The critic speaks of every criterion with a quote that
is checked to stand in the answer (`rubric.py`); the editor is shown the faults and writes the answer anew. A revision
is taken only if it meets no fewer criteria than what it replaces. Where the prompt has a reference, its verifier
decides too: a revision that breaks a right answer is not taken, one that makes a wrong answer right always is, and the
editor is told that a result is wrong, never what would be right. `meta["revisions"]` keeps every round with its
scores, why it was taken or not, and its diff.

In the end the rubric must be met, and that is the critic's word, which proves nothing. So the verifier must accept the
answer where there is a reference; elsewhere a judge must, by the majority of several votes on the rubric, without
seeing the critique. Give the judge an engine of its own (`--role judge=ENGINE`), or the author judges itself.

Source: self-revision as in the Phi-4 Technical Report (Abdin et al. 2024, arXiv:2412.08905), section 2.2, where a
model critiques its own output by a rubric and improves it. The quotes, what is taken, and the proof are ours.

What it does not protect against: a rubric that misses what matters, a right result by wrong steps where a verifier
looks at the result alone, and a judge that errs (`teachable.verify.calibrate` measures how often).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from teachable.records import Prompt
from teachable.synthesize.again import asked
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.injection import obeys
from teachable.synthesize.checks.judging import judged
from teachable.synthesize.checks.rubric import CRITERIA, Critique, folded, unsound
from teachable.synthesize.graph import Ask, Calls, Do, Options, Workflow
from teachable.synthesize.items import Drop, Item, Output
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.augment_problems import FOLLOWS
from teachable.synthesize.workflows.revise_changes import difference
from teachable.verify import spoken
from teachable.verify.judging import JUDGED
from teachable.verify.judging.panel import question_of

UNSOUND, CHATTY = "unsound critique", "talks of its revision"
_TALK = re.compile(
    r"\b(?:improved|revised|corrected|updated|rewritten|mended)\s+(?:answer|version|response|solution)\b"
    r"|\b(?:earlier|previous|original|first)\s+(?:answer|version|response|attempt)\b"
    r"|\breviewer\b|\b(?:criterion|criteria)\s+\d|\bas\s+you\s+(?:asked|requested)\b",
    re.IGNORECASE,
)


class ReviseOptions(Options):
    """How answers are revised."""

    rubric: tuple[str, ...] = Field(
        CRITERIA, min_length=1, max_length=20, description="what is to be true of an answer, a criterion an entry"
    )
    rounds: int = Field(3, ge=1, le=10, description="most revisions of an answer")
    min_met: float = Field(1.0, gt=0, le=1, description="share of the criteria that have to be met in the end")
    votes: int = Field(3, ge=1, le=64, description="of the judge, on answers to prompts without a reference")
    fresh: bool = Field(False, description="have the first answer written also where the seed brings one")
    unrevised: bool = Field(True, description="keep answers that needed no revision")


@dataclass(frozen=True)
class Version:
    """An answer, what the critic says of it, and what the verifier does; None where it does not decide."""

    text: str
    critique: Critique
    correct: bool | None


@dataclass(frozen=True)
class Revised:
    """The last version that was taken, and a row a round."""

    version: Version
    rounds: tuple[Mapping[str, Any], ...]


def _decided(prompt: Prompt) -> bool:
    """Whether the prompt's verifier can decide without a language model."""
    return prompt.answer is not None and prompt.verifier not in JUDGED


def _told(item: Item) -> dict[str, Any]:
    prompt = item.prompt
    return {"task": question_of(prompt), "short": _decided(prompt) and prompt.verifier != "code"}


def _needs_answer(item: Item, options: ReviseOptions) -> bool:
    return options.fresh or not spoken(item.seed.response).strip()


async def _revise(item: Item, ctx: StepContext) -> Revised:
    """Criticise and improve until the answer will do."""
    options: ReviseOptions = ctx.options
    version = await _looked_at(ctx, item["answer"] or spoken(item.seed.response).strip(), "round0")
    ctx.score("rubric_first", version.critique.score)
    rounds: list[Mapping[str, Any]] = []
    while not _will_do(version, options) and len(rounds) < options.rounds:
        row, version = await _round(ctx, version, len(rounds) + 1)
        rounds.append(row)
    ctx.score("rubric", version.critique.score)
    ctx.score("rounds", len(rounds))
    if version.correct is False:
        raise Drop("the answer is wrong", f"after {len(rounds)} rounds", version.text)
    if not _will_do(version, options):
        unmet = ", ".join(str(one.criterion) for one in version.critique.unmet)
        raise Drop("the rubric is not met", f"criteria {unmet} after {len(rounds)} rounds", version.text)
    if not rounds and not options.unrevised:
        raise Drop("needed no revision", text=version.text)
    return Revised(version, tuple(rounds))


def _will_do(version: Version, options: ReviseOptions) -> bool:
    return version.correct is not False and version.critique.score >= options.min_met - 1e-9


async def _looked_at(ctx: StepContext, text: str, tag: str) -> Version:
    """A version with its verdict and its critique."""
    verdict = await _verdict(ctx, text)
    criteria = ctx.options.rubric

    def check(critique: Critique) -> Fault | None:
        sentence = unsound(critique, text, criteria)
        return Fault(UNSOUND, sentence) if sentence else None

    values = {**_told(ctx.item), "answer": text, "criteria": criteria}
    critique = await asked(ctx, "critique", Critique, values, check, role="critic", tag=tag)
    return Version(text, critique, verdict)


async def _verdict(ctx: StepContext, text: str) -> bool | None:
    prompt = ctx.item.prompt
    return (await ctx.verify(text, prompt)).correct if _decided(prompt) else None


async def _round(ctx: StepContext, before: Version, number: int) -> tuple[Mapping[str, Any], Version]:
    """One revision: its row, and the version that stands after it."""
    text = await _improved(ctx, before, f"round{number}")
    row: dict[str, Any] = {
        "round": number,
        "unmet": [one.criterion for one in before.critique.unmet],
        "scores": [before.critique.score],
        "diff": difference(before.text, text),
    }
    if folded(text) == folded(before.text):
        return row | {"taken": False, "why": "it changes nothing"}, before
    if before.correct is True and await _verdict(ctx, text) is not True:
        return row | {"taken": False, "why": "it breaks a right answer"}, before
    after = await _looked_at(ctx, text, f"round{number}")
    row["scores"].append(after.critique.score)
    mends = before.correct is False and after.correct is True
    if after.critique.score < before.critique.score and not mends:
        return row | {"taken": False, "why": "it meets fewer criteria"}, before
    return row | {"taken": True, "why": "it makes a wrong answer right" if mends else ""}, after


async def _improved(ctx: StepContext, before: Version, tag: str) -> str:
    criteria = ctx.options.rubric
    faults = "\n\n".join(
        f"Criterion: {criteria[one.criterion - 1]}\nIn the answer: {one.quote}\nFault: {one.fault}"
        for one in before.critique.unmet
    )
    values = {**_told(ctx.item), "answer": before.text, "faults": faults or "(none beside the result)"}
    values |= {"wrong": before.correct is False, "right": before.correct is True}
    told = before.text + "\n" + values["task"]

    def check(text: str) -> Fault | None:
        # Words that the task or the answer already had are no talk of the revision.
        if any(folded(talk[0]) not in folded(told) for talk in _TALK.finditer(text)):
            return Fault(CHATTY, "Write the answer alone, as if no earlier answer and no reviewer had been.")
        return None

    return str(await asked(ctx, "improve", str, values, check, role="editor", tag=tag))


async def _prove(item: Item, ctx: StepContext) -> str:
    """The proof of the last version."""
    version: Version = item["revise"].version
    prompt = item.prompt
    if (how := obeys(version.text, item.seed.text)) is not None:
        raise Drop(FOLLOWS, how, version.text)
    if _decided(prompt):
        if version.correct is None:
            raise Drop("could not be verified", f"by the verifier {prompt.verifier}", version.text)
        return "verifier"
    verdict = await judged(ctx, version.text, prompt, rubric=_judge_rubric(ctx.options), votes=ctx.options.votes)
    if verdict.correct is None:
        raise Drop("the judge could not tell", verdict.reason, version.text)
    if not verdict.correct:
        raise Drop("the judge does not accept it", verdict.reason, version.text)
    return "judge"


def _judge_rubric(options: ReviseOptions) -> str:
    needed = math.ceil(options.min_met * len(options.rubric) - 1e-9)
    bar = "all" if needed == len(options.rubric) else f"at least {needed}"
    criteria = "\n".join(f"- {criterion}" for criterion in options.rubric)
    return f"The answer is correct if {bar} of these criteria are met, and not correct otherwise:\n{criteria}"


def _output(item: Item, options: ReviseOptions) -> Output:
    prompt, revised = item.prompt, item["revise"]
    return Output(
        messages=prompt.messages,
        proof=item["prove"],
        answer=prompt.answer,
        verifier=prompt.verifier,
        response=revised.version.text,
        domain=prompt.domain,
        level=prompt.level,
        answer_source=prompt.answer_source,
        meta={**prompt.meta, "revisions": list(revised.rounds)},
        allowed=(prompt.text,),
        content_key=str(prompt.meta.get("content_key") or ""),
    )


def _calls(options: ReviseOptions) -> Calls:
    # An answer, one revision as a rule, a critique of each, and the judge's votes.
    return Calls(requests=5, completions=4 + options.votes, tokens=400, prompt_tokens=900, outputs=0.6)


WORKFLOW = Workflow(
    name="revise",
    summary="answers are criticised against a rubric and improved, until it is met",
    takes=("prompt",),
    steps=(
        Ask("answer", str, values=lambda item, options: _told(item), when=_needs_answer),
        Do("revise", _revise),
        Do("prove", _prove),
    ),
    output=_output,
    options=ReviseOptions,
    calls=_calls,
    roles=("writer", "critic", "editor", "judge"),
)
