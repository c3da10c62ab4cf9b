"""Asking again: for a reply that a check of ours finds fault with, and for samples that can't be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from teachable.records import Completion, Message
from teachable.synthesize.asking import StepContext, sent_back, together
from teachable.synthesize.items import Drop
from teachable.synthesize.reading.replies import Fault, read
from teachable.synthesize.templates import Rendered

T = TypeVar("T")
Check = Callable[[Any], Fault | None]


async def asked(
    ctx: StepContext,
    template: str,
    output: type[Any],
    values: Mapping[str, Any],
    check: Check,
    *,
    role: str = "writer",
    tag: str = "",
    temperature: float | None = None,
) -> Any:
    """A reply that has passed a check; one that has not is asked for again, with what was wrong with it.

    The template is given the sentence as `fault`, "" at first; it stands there without a fence, so it must hold nothing
    of what a seed or an engine has said. There are as many tries as for a malformed reply.

    Args:
        template, output, values, role, tag, temperature: as in `StepContext.ask`.
        check: what is wrong with a reply, None where nothing is.

    Raises:
        Drop: the last reply had a fault (its label is the reason), or was malformed.
        Failed: the engine failed.
    """
    sentence = ""
    for n_tried in range(ctx.tools.writing.retries + 1):
        given = {**values, "fault": sentence}
        again = f"{tag}/again{n_tried}" if n_tried else tag
        reply = await ctx.ask(template, output, given, role=role, tag=again, temperature=temperature)
        fault = check(reply)
        if fault is None:
            return reply
        if n_tried == ctx.tools.writing.retries:
            raise Drop(fault.label, fault.sentence, str(reply))
        ctx.tools.counted(ctx.step).retried[fault.label] += 1
        sentence = fault.sentence
    raise AssertionError("there is at least one try")


async def drawn(
    ctx: StepContext,
    prompt: Sequence[Message] | Rendered,
    n: int,
    usable: Callable[[str], T | Fault],
    *,
    role: str,
    tag: str = "",
) -> list[T]:
    """What can be used of n samples, in their order.

    A sample that was cut off, that refuses, or that `usable` finds a fault with is sent back with that fault, as often
    as the run's settings say, and then left out and counted.

    Raises:
        Failed: the engine failed.
    """

    def value_of(sample: Completion, again: bool) -> T | Fault:
        said = read(sample.text, str, finish_reason=sample.finish_reason, max_tokens=ctx.tools.writing.max_tokens)
        return said if isinstance(said, Fault) else usable(said)

    samples = await ctx.sample(prompt, n, role=role, tag=tag)
    values = await together(
        [whole(ctx, prompt, sample, value_of, role=role, tag=f"{tag}{place}") for place, sample in enumerate(samples)]
    )
    return [value for value in values if not isinstance(value, Fault)]


async def whole(
    ctx: StepContext,
    prompt: Sequence[Message] | Rendered,
    sample: Completion,
    read_one: Callable[[Completion, bool], T | Fault],
    *,
    role: str,
    tag: str,
) -> T | Fault:
    """What a sample says; one that is malformed is sent back with what is wrong with it, as `StepContext.ask` does.

    Args:
        prompt: what the sample answers.
        read_one: (sample, whether it was asked for again) -> what it says, or its fault.
        role, tag: of the requests that ask again.

    Raises:
        Failed: the engine failed.
    """
    retries = ctx.tools.writing.retries
    for n_tried in range(retries + 1):
        value = read_one(sample, n_tried > 0)
        if not isinstance(value, Fault):
            break
        if n_tried == retries:
            ctx.tools.counted(ctx.step).unusable[value.label] += 1
            break
        ctx.tools.counted(ctx.step).retried[value.label] += 1
        again = _with(prompt, sent_back(sample.text, value))
        sample = (await ctx.sample(again, 1, role=role, tag=f"{tag}again{n_tried}"))[0]
    return value


def _with(prompt: Sequence[Message] | Rendered, more: Sequence[Message]) -> Sequence[Message] | Rendered:
    if isinstance(prompt, Rendered):
        return replace(prompt, messages=(*prompt.messages, *more))
    return [*prompt, *more]
