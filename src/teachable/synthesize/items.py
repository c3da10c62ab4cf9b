"""What flows through a workflow: seeds in, items along the steps, outputs or drops at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from teachable.records import Document, Lineage, Message, Prompt, content_id

SeedKind: TypeAlias = Literal["text", "code", "prompt"]
# What can prove an output, and what each means; `Output.proof` names one.
PROOFS: Mapping[str, str] = {
    "grounded": "the answer stands in the seed's text",
    "agreement": "independent solutions agree on the answer",
    "verifier": "the prompt's verifier accepts the response",
    "tests": "tests that can fail pass in the sandbox",
    "fidelity": "what was made leads back to the seed",
    "judge": "a language model judged it by a rubric",
    "program": "a program made it, and a verifier checked it",
}


@dataclass(frozen=True)
class Seed:
    """What a workflow starts from.

    Attributes:
        id: the document's id (with the passage's number) or the prompt's.
        text: the passage, the code, or the prompt's last user message.
        kind: which of them it is.
        source: where it came from, for people.
        language: ISO 639-1 code of a text, name of a programming language for code; "" where nobody said.
        prompt: of kind `prompt`, the prompt itself.
        response: an answer that came with the prompt, "" without one.
        meta: further facts, such as the code's tests.
        lineage: how it came to be.
    """

    id: str
    text: str
    kind: SeedKind
    source: str = ""
    language: str = ""
    prompt: Prompt | None = None
    response: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    lineage: tuple[Lineage, ...] = ()


def seed_of_document(document: Document) -> Seed:
    """A document as a seed: `meta["code"]` names the programming language of one that is code."""
    code = str(document.meta.get("code") or "")
    return Seed(
        id=document.id,
        text=document.text,
        kind="code" if code else "text",
        source=document.source,
        language=code or document.language,
        meta=document.meta,
        lineage=document.lineage,
    )


def seed_of_prompt(prompt: Prompt, response: str = "") -> Seed:
    """A prompt as a seed, with the response that came with it."""
    return Seed(
        id=prompt.id,
        text=prompt.text,
        kind="prompt",
        source=prompt.lineage[0].parent if prompt.lineage else "",
        prompt=prompt,
        response=response,
        meta=prompt.meta,
        lineage=prompt.lineage,
    )


@dataclass(frozen=True)
class Trace:
    """One request that went into an item.

    `template` is "" where no template was rendered, `version` is the template's digest, `n_retries` says how often the
    engine was shown what was wrong with its reply.
    """

    step: str
    template: str
    version: str
    engine: str
    n: int = 1
    n_retries: int = 0


@dataclass(frozen=True)
class Item:
    """A seed on its way through the steps. Every step adds its output to `values`, under its name.

    `id` is the seed's, with the place among its siblings after each step that made several of one.
    """

    id: str
    seed: Seed
    values: Mapping[str, Any] = field(default_factory=dict)
    traces: tuple[Trace, ...] = ()
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def prompt(self) -> Prompt:
        """The seed's prompt; for workflows that take prompts alone."""
        assert self.seed.prompt is not None, f"the seed {self.seed.id} is no prompt"
        return self.seed.prompt

    def __getitem__(self, step: str) -> Any:
        """The output of a step."""
        return self.values[step]

    def got(
        self, step: str, value: Any, traces: tuple[Trace, ...] = (), scores: Mapping[str, float] | None = None
    ) -> Item:
        """The item with a step's output."""
        return replace(
            self,
            values={**self.values, step: value},
            traces=(*self.traces, *traces) if traces else self.traces,
            scores={**self.scores, **scores} if scores else self.scores,
        )

    def child(self, step: str, place: int) -> Item:
        """The item as one of several that a step made."""
        return replace(self, id=f"{self.id}/{step}{place}")


@dataclass(frozen=True)
class Many:
    """What a step returns that makes several items of one: each value goes on by itself."""

    values: tuple[Any, ...]


class Drop(Exception):
    """Raised by a step for an item that goes no further.

    Args:
        reason: a short label, the same for all items that are dropped for it; it is counted.
        detail: what was wrong with this one, for the file of rejects.
        text: what it was wrong with.
        review: for people to look at, not only counted: a row of the review list.
    """

    def __init__(self, reason: str, detail: str = "", text: str = "", review: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.text, self.review = reason, detail, text, review


class Failed(Exception):
    """Raised where an engine failed: the item is neither accepted nor dropped, and asking again may help."""


@dataclass(frozen=True)
class Output:
    """What a workflow makes of an item, before the gates.

    Attributes:
        messages: the prompt.
        proof: what proves it, one of `PROOFS`; an output without one reaches no file.
        answer: the reference answer, None where there is none.
        verifier: who decides whether an attempt gives it.
        response: what a model is to say; "" where the output is a prompt alone.
        domain: "" takes the seed's, or the workflow's name.
        level: difficulty, 1 the easiest; 0 where nobody said.
        answer_source: where the answer came from.
        meta: what the verifier needs, and what is worth keeping of how it was made.
        language: ISO 639-1 code that the text is to be in; "" takes the gates' own.
        allowed: texts that the near-duplicate gate does not compare it with (a revision may repeat its own seed).
        leak_checked: the workflow itself has seen to it that the answer can't be read off the prompt.
        content_key: of a procedural question: two with one key are one question, whatever their phrasing.
    """

    messages: tuple[Message, ...]
    proof: str
    answer: str | None = None
    verifier: str = "math"
    response: str = ""
    domain: str = ""
    level: int = 0
    answer_source: Literal["organic", "program", "teacher", "majority"] = "teacher"
    meta: Mapping[str, Any] = field(default_factory=dict)
    language: str = ""
    allowed: tuple[str, ...] = ()
    leak_checked: bool = False
    content_key: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The last user message."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), "")


def user(text: str) -> tuple[Message, ...]:
    """A prompt of one user message."""
    return (Message(role="user", content=text),)


@dataclass(frozen=True)
class Made:
    """An output with its history, as it goes through the gates and into the files.

    `prompt.meta["synthesis"]` holds seed, workflow, templates, engines, scores and proof.
    """

    item: Item
    output: Output
    prompt: Prompt


def made_of(item: Item, output: Output, workflow: str, settings: str) -> Made:
    """The output as a record.

    Args:
        workflow: its name.
        settings: digest of the settings that the workflow ran with.
    """
    seed = item.seed
    templates = {trace.template: trace.version for trace in item.traces if trace.template}
    engines = list(dict.fromkeys(trace.engine for trace in item.traces))
    lineage = Lineage(parent=seed.id, transform=workflow, params=settings)
    history = {
        "seed": seed.id,
        "source": seed.source,
        "item": item.id,
        "workflow": workflow,
        "templates": dict(sorted(templates.items())),
        "engines": engines,
        "retries": sum(trace.n_retries for trace in item.traces),
        "scores": {name: round(score, 6) for name, score in {**item.scores, **output.scores}.items()},
        "proof": output.proof,
    }
    domain = output.domain or (seed.prompt.domain if seed.prompt is not None else "") or workflow
    meta = {**output.meta, **({"content_key": output.content_key} if output.content_key else {}), "synthesis": history}
    prompt = Prompt(
        id=content_id(output.messages, output.answer) if output.answer is not None else content_id(output.messages),
        domain=domain,
        messages=output.messages,
        answer=output.answer,
        answer_source=output.answer_source,
        verifier=output.verifier,
        level=output.level,
        meta=meta,
        lineage=(*seed.lineage, lineage),
    )
    return Made(item, output, prompt)
