"""Asking engines on behalf of a step: render, ask, read, and send back what is malformed with what is wrong with it.

Every request has a seed of its own, made of the run's seed, the item, the step and the try. So what a step gets depends
on nothing else that is asked, and a run that was killed finds every reply in the ledger.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from teachable import verify
from teachable.records import Completion, Engine, Message, Prompt, PromptInput, Request, Verdict, Verifier
from teachable.rollouts import completions_of, request_seed
from teachable.synthesize.config import WritingConfig
from teachable.synthesize.items import Drop, Failed, Item, Trace
from teachable.synthesize.reading.replies import Fault, form_of, read
from teachable.synthesize.templates import Rendered, Templates
from teachable.verify import spoken
from teachable.verify.judging.fence import neutral

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")
MAX_SHOWN_CHARS = 2000  # of a malformed reply that is sent back


@dataclass
class StepCounts:
    """What a step did.

    Attributes:
        entered, left: items in and out.
        retried: replies that were sent back, or drawn again, by fault.
        unusable: samples that were still faulty then, by fault, of items that went on with the others.
        dropped: items that went no further, by reason.
        failed: requests that the engine failed on.
        votes, unanimous: votes of several long samples, and those in which all samples were one text.
    """

    entered: int = 0
    left: int = 0
    retried: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    votes: int = 0
    unanimous: int = 0


@dataclass
class Tools:
    """What all steps of a run share.

    Attributes:
        engines: role -> engine; "" is who is asked for every other role.
        templates: see there.
        writing: how engines are asked.
        options: the workflow's own settings.
        verifiers: by name, before those that `verify.get` knows.
        seed: of the run.
        counts: step -> what it did.
    """

    engines: Mapping[str, Engine]
    templates: Templates
    writing: WritingConfig
    options: Any
    seed: int = 0
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    counts: dict[str, StepCounts] = field(default_factory=dict)

    def engine(self, role: str) -> Engine:
        """Who fills a role."""
        return self.engines[role] if role in self.engines else self.engines[""]

    def counted(self, step: str) -> StepCounts:
        """The counts of a step."""
        return self.counts.setdefault(step, StepCounts())


@dataclass
class StepContext:
    """What a step has to work with, for one item: ask, sample, verify, and note scores."""

    item: Item
    step: str
    workflow: str
    tools: Tools
    traces: list[Trace] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def options(self) -> Any:
        """The workflow's own settings."""
        return self.tools.options

    async def ask(
        self,
        template: str,
        output: type[BaseModel] | type[str],
        values: Mapping[str, Any],
        *,
        role: str = "writer",
        tag: str = "",
        temperature: float | None = None,
    ) -> Any:
        """A reply to a rendered template, as a value of the type `output`.

        Args:
            template: `WORKFLOW/NAME`, or a name of this workflow's folder.
            values: what the template is given, beside `seed` and `text`.
            role: who is asked.
            tag: tells two requests of one step apart: the round of a loop, the number of a try.
            temperature: None is the run's.

        Raises:
            Drop: the reply was malformed, and so were those to the sentences that said so. Its reason is the last
                fault's label.
            Failed: the engine failed.
            TeachableError: the user's mistake, or the end of the work.
        """
        rendered = self.render(template, values, output)
        engine = self.tools.engine(role)
        messages = list(rendered.messages)
        n_retries = 0
        while True:
            request = self._request(messages, 1, f"{tag}#{n_retries}", temperature)
            completion = (await self._sampled(engine, request))[0]
            value = read(completion.text, output, finish_reason=completion.finish_reason, max_tokens=request.max_tokens)
            if not isinstance(value, Fault):
                self._note(rendered, engine, n_retries=n_retries)
                return value
            if n_retries == self.tools.writing.retries:
                self._note(rendered, engine, n_retries=n_retries)  # a step may catch the drop and go on
                raise Drop(value.label, value.sentence, completion.text)
            self.tools.counted(self.step).retried[value.label] += 1
            n_retries += 1
            messages = [*rendered.messages, *sent_back(completion.text, value)]

    async def sample(
        self,
        prompt: Sequence[Message] | Rendered,
        n: int,
        *,
        role: str = "solver",
        tag: str = "",
        temperature: float | None = None,
        max_tokens: int | None = None,
    ) -> list[Completion]:
        """n samples, as they come: of a prompt as it stands, or of a rendered template.

        Raises:
            Failed: the engine failed, or brought fewer.
        """
        engine = self.tools.engine(role)
        messages = list(prompt.messages if isinstance(prompt, Rendered) else prompt)
        request = self._request(messages, n, tag, temperature)
        if max_tokens is not None:
            request = replace(request, max_tokens=max_tokens)
        completions = await self._sampled(engine, request)
        self._note(prompt if isinstance(prompt, Rendered) else None, engine, n=n)
        return completions

    def render(self, template: str, values: Mapping[str, Any], output: type[BaseModel] | type[str] = str) -> Rendered:
        """A template's prompt, with `seed`, `text`, `options` and `form` beside the values."""
        name = template if "/" in template else f"{self.workflow}/{template}"
        seed = self.item.seed
        given = {"seed": seed, "text": seed.text, "options": self.options, "form": form_of(output)}
        return self.tools.templates.render(name, {**given, **values})

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """The verdict of the prompt's verifier."""
        return await verify.verdict_of(self.verifier(prompt.verifier), attempt, prompt)

    def verifier(self, name: str) -> Verifier:
        """The verifier of that name."""
        return self.tools.verifiers[name] if name in self.tools.verifiers else verify.get(name)

    def engine(self, role: str) -> Engine:
        """Who fills a role; for what asks an engine by itself, such as a judge. What it brings is in the ledger."""
        return self.tools.engine(role)

    def score(self, name: str, value: float) -> None:
        """Keep a score of the item."""
        self.scores[name] = float(value)

    def _request(self, messages: Sequence[Message], n: int, tag: str, temperature: float | None) -> Request:
        writing = self.tools.writing
        prompt: PromptInput = list(messages)
        return Request(
            prompt=prompt,
            n=n,
            max_tokens=writing.max_tokens,
            temperature=writing.temperature if temperature is None else temperature,
            top_p=writing.top_p,
            seed=request_seed(self.tools.seed, f"{self.workflow}/{self.item.id}/{self.step}/{tag}"),
        )

    async def _sampled(self, engine: Engine, request: Request) -> list[Completion]:
        completions, error = await completions_of(engine, request)
        if error is not None or len(completions) < request.n:
            self.tools.counted(self.step).failed += 1
            said = (
                f"{type(error).__name__}: {error}" if error is not None else f"{len(completions)} of {request.n} came"
            )
            raise Failed(f"{self.step}: the engine failed ({said})")
        return completions

    def _note(self, rendered: Rendered | None, engine: Engine, *, n: int = 1, n_retries: int = 0) -> None:
        name, version = (rendered.template, rendered.version) if rendered is not None else ("", "")
        self.traces.append(Trace(self.step, name, version, engine.name, n, n_retries))


def sent_back(text: str, fault: Fault) -> tuple[Message, Message]:
    """What a malformed reply is answered with, behind the reply itself without its thoughts.

    Both hold what an engine wrote, in which a chat template's special tokens must not act.
    """
    said = neutral(spoken(text).strip()) or "(nothing)"  # some chat templates take no empty message
    shown = said if len(said) <= MAX_SHOWN_CHARS else said[:MAX_SHOWN_CHARS] + " ..."
    again = f"{neutral(fault.sentence)} Write your whole reply again, in the form that was asked for."
    return (Message(role="assistant", content=shown), Message(role="user", content=again))


async def together(work: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """The results of all, in order; the first error ends the others and is raised as it is."""
    if len(work) == 1:  # the usual case, which needs no tasks
        return [await work[0]]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
