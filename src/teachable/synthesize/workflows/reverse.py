"""Instruction reversal: from code or a text to the instruction for which it is the answer, and back again.

Good code and good texts stand without the instruction that would have asked for them. A model writes that instruction,
and then, from the instruction alone, the code or the text again. Only where this leads back is the pair kept:
"high-fidelity" reversal (Phi-4 Technical Report, Abdin et al. 2024, arXiv:2412.08905, section 2.2, instruction
reversal for code and other generative tasks).

What leading back means is checked by program:

- code: the program written again passes the original's tests in the sandbox. The tests are those that came with the
  code (`meta["tests"]`, or `test...` functions and assertions in the file), or generated ones: those that the original
  passes, that no stub passes, and of which each refutes a mutant of the original.
- text: the chrF of the text written again reaches `min_similarity` and is more than the instruction's own, and it has
  `min_kept` of the original's numbers and names (`fidelity`).

Both for `min_agreement` of k tries. An instruction that holds a function with its body, or long runs of the original,
is sent back: it would lead back too well. A seed with sentences that speak to a language model is dropped, since the
response would repeat them.

The response is the original (what a person wrote), or on demand what was written again. It departs from the report in
treating texts, for which similarity is a weaker proof than tests: it does not see a denial or a wrong relation. Tests
that came with code are taken to say what the code is for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from teachable.records import Verdict
from teachable.synthesize.again import asked, drawn
from teachable.synthesize.asking import StepContext, together
from teachable.synthesize.checks.fidelity import chrf, kept
from teachable.synthesize.checks.injection import instructions_in
from teachable.synthesize.graph import Calls, Do, Workflow
from teachable.synthesize.items import Drop, Item, Output, user
from teachable.synthesize.reading.replies import Fault
from teachable.synthesize.workflows.code_asking import program_of
from teachable.synthesize.workflows.code_leaks import gives_away, repeats_words
from teachable.synthesize.workflows.reverse_code import Tested, fenced, tested
from teachable.synthesize.workflows.reverse_options import ReverseOptions

GIVEN_AWAY, AS_LONG, NOT_BACK = "holds what it asks for", "as long as the text", "it does not lead back"
SPEAKS = "the seed speaks to a model"
MAX_SHARE = 0.5  # of a text's length that an instruction for it may have
MIN_CHARS = 300  # of a text, from which that share counts


class Instruction(BaseModel):
    """What somebody would have asked to get this."""

    model_config = ConfigDict(frozen=True)

    instruction: str = Field(min_length=30, max_length=6000, description="the instruction, complete by itself")


@dataclass(frozen=True)
class Back:
    """What was written again: the best of it, and how well it does, for the example's `meta`."""

    best: str
    counts: dict[str, Any] = field(default_factory=dict)


async def tests(item: Item, ctx: StepContext) -> Tested | None:
    """Code with its tests; None for a text.

    Raises:
        Drop: the seed speaks to a model, or no tests prove the code.
    """
    found = instructions_in(item.seed.text)
    if found:
        raise Drop(SPEAKS, f"{found[0].reason}: {found[0].text[:200]!r}", item.seed.text)
    return await tested(item.seed, ctx) if item.seed.kind == "code" else None


async def instruction(item: Item, ctx: StepContext) -> str:
    """The prompt: the instruction, and the first lines of what code has to define."""
    code: Tested | None = item["tests"]
    if code is None:
        made = await asked(ctx, "description", Instruction, {}, lambda value: _fault_of_text(value, item.seed.text))
        return made.instruction.strip()
    values = {"program": code.program, "interface": code.interface}
    made = await asked(ctx, "instruction", Instruction, values, lambda value: _fault_of_code(value, code))
    return f"{made.instruction.strip()}\n\nWrite it in Python, with these names:\n\n```python\n{code.interface}\n```"


async def again(item: Item, ctx: StepContext) -> Back:
    """The code or the text, written again from the instruction alone, and how well it leads back."""
    code: Tested | None = item["tests"]
    return await (_code_again(item, code, ctx) if code is not None else _text_again(item, ctx))


async def _code_again(item: Item, code: Tested, ctx: StepContext) -> Back:
    options: ReverseOptions = ctx.options
    text: str = item["instruction"]
    found = await drawn(
        ctx, user(text), options.k, lambda reply: program_of(reply, code.names), role="solver", tag="again"
    )
    prompt = code.prompt(text)
    different = list(dict.fromkeys(found))
    verdicts = dict(zip(different, await together([ctx.verify(fenced(one), prompt) for one in different]), strict=True))
    right = [one for one in found if verdicts[one].correct is True]
    _judge(len(right), options, ctx, _first_reason(verdicts) or f"{len(found)} replies hold a program", text)
    return Back(fenced(min(right, key=len)), {"n_again": options.k, "n_right": len(right), "own_tests": code.own})


async def _text_again(item: Item, ctx: StepContext) -> Back:
    options: ReverseOptions = ctx.options
    text: str = item["instruction"]
    original = item.seed.text
    found: list[str] = await drawn(ctx, user(text), options.k, lambda reply: reply, role="solver", tag="again")
    measured = [(chrf(one, original), kept(original, one), one) for one in found]
    own = chrf(text, original)  # whoever only says the instruction again has no more than that
    right = [
        (score, one)
        for score, held, one in measured
        if own < score >= options.min_similarity and min(held.numbers.frac, held.names.frac) >= options.min_kept
    ]
    shown = ", ".join(f"{s:.2f} ({h.numbers.frac:.0%}, {h.names.frac:.0%})" for s, h, _ in measured)
    _judge(
        len(right), options, ctx, f"chrF (numbers, names kept): {shown or 'none'}; of the instruction {own:.2f}", text
    )
    best, one = max(right)
    ctx.score("similarity", best)
    return Back(one, {"n_again": options.k, "n_right": len(right), "similarity": round(best, 4)})


def _judge(n_right: int, options: ReverseOptions, ctx: StepContext, why: str, text: str) -> None:
    """Drop what does not lead back often enough."""
    share = n_right / options.k
    if not n_right or share < options.min_agreement:
        raise Drop(NOT_BACK, f"{n_right} of {options.k} lead back; {why}", text)
    ctx.score("agreement", share)


def _first_reason(verdicts: dict[str, Verdict]) -> str:
    return next((one.reason for one in verdicts.values() if one.correct is not True), "")


def _fault_of_code(made: Instruction, code: Tested) -> Fault | None:
    given = gives_away(made.instruction, code.program)
    return Fault(GIVEN_AWAY, f"The instruction gives the code away ({given}); say what it does.") if given else None


def _fault_of_text(made: Instruction, text: str) -> Fault | None:
    repeated = repeats_words(made.instruction, text)
    if repeated:
        return Fault(GIVEN_AWAY, f"The instruction repeats the text ({repeated!r}); use words of your own.")
    if len(made.instruction) > max(MIN_CHARS, MAX_SHARE * len(text)):
        return Fault(AS_LONG, "The instruction is too long beside the text; say in few words what has to be in it.")
    return None


def _output(item: Item, options: ReverseOptions) -> Output:
    code: Tested | None = item["tests"]
    text: str = item["instruction"]
    back: Back = item["again"]
    if code is None:
        return Output(
            messages=user(text),
            proof="fidelity",
            verifier="judge",
            response=item.seed.text.strip() if options.response == "original" else back.best,
            domain="writing",
            answer_source="organic" if options.response == "original" else "teacher",
            meta={"reverse": back.counts},
            language=item.seed.language,
        )
    return Output(
        messages=user(text),
        proof="fidelity",
        answer=code.answer,
        verifier="code",
        response=code.response if options.response == "original" else back.best,
        domain="code",
        answer_source="organic" if code.own else "teacher",
        meta={**code.meta, "reverse": back.counts},
        leak_checked=True,
    )


WORKFLOW = Workflow(
    name="reverse",
    summary="instructions for code and texts that exist, kept where they lead back to them",
    takes=("code", "text"),
    steps=(Do("tests", tests), Do("instruction", instruction), Do("again", again)),
    output=_output,
    options=ReverseOptions,
    calls=lambda options: Calls(
        requests=3, completions=1 + options.k + options.k_suites, tokens=400, prompt_tokens=700, outputs=0.5
    ),
    roles=("writer", "solver", "tester"),
    needs_sandbox=("code",),
)
