"""Small workflows, seeds and engines that the tests of the core share."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from teachable.records import Document, Engine
from teachable.synthesize import (
    Ask,
    Do,
    Drop,
    GatesConfig,
    Item,
    Many,
    Options,
    Output,
    SynthesizeConfig,
    Workflow,
    user,
)
from teachable.synthesize.asking import StepContext, Tools
from teachable.synthesize.gates import Gates
from teachable.synthesize.graph import options_of
from teachable.synthesize.items import Seed, seed_of_document
from teachable.synthesize.make import Synthesized, synthesize
from teachable.synthesize.templates import Templates

COLOURS = ("red", "blue", "green", "white", "black", "brown", "orange", "purple")
TEMPLATES = {
    "asked": "{{ shown('passage', text) }}\n{{ form }}",
    "again": "Say more of {{ asked.question }}\n{{ form }}",
}


class Question(BaseModel):
    """What the toy engine writes."""

    model_config = ConfigDict(frozen=True)

    question: str = Field(min_length=1)
    answer: str = Field(min_length=1)


class Questions(BaseModel):
    """Several of them."""

    pairs: list[Question]


class Sieve(Options):
    """Which questions a toy workflow drops."""

    without: str = Field("", description="questions that hold this are dropped")


async def sieve(item: Item, ctx: StepContext) -> str:
    """A step in Python: a score, and a reason to drop."""
    question = item["asked"].question
    if ctx.options.without and ctx.options.without in question:
        raise Drop("unwanted", f"it holds {ctx.options.without}", question, review={"question": question})
    ctx.score("n_chars", len(question))
    return str(question)


async def thrice(item: Item, ctx: StepContext) -> Many:
    """A step that makes three of one."""
    return Many(tuple(f"{item['asked'].question} ({place})" for place in range(3)))


def made(item: Item, options: Any) -> Output:
    """The toy's output."""
    asked = item["asked"]
    return Output(user(asked.question), "grounded", answer=asked.answer, verifier="exact")


FLOW = Workflow("toy", "a toy", ("text",), (Ask("asked", Question), Do("sieved", sieve)), made, Sieve)
SEVERAL = Workflow(
    "several",
    "several of one",
    ("text",),
    (Ask("asked", Questions, each="pairs"), Do("sieved", sieve)),
    made,
    Sieve,
)


def seeds(n: int) -> list[Seed]:
    """n passages that have nothing in common but their form."""
    rng = random.Random(7)
    words = [" ".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(8)) for _ in range(n)]
    return [seed_of_document(Document(f"d{i}", f"{words[i]} {COLOURS[i % 8]}", "toy.txt")) for i in range(n)]


def answer(text: str, sample: int, luck: random.Random) -> str:
    """An honest reply: a question of the passage's first words, its last word the answer."""
    passage = shown(text)
    return json.dumps({"question": f"Which colour goes with {passage[:30]}?", "answer": passage.split()[-1]})


def shown(text: str) -> str:
    """What stands between the sealed lines of a prompt."""
    return text.split(" -----\n", 1)[1].split("\n-----", 1)[0] if " -----\n" in text else text


def folder_of_templates(path: Path, names: Sequence[str] = ("toy", "several")) -> Path:
    """The toys' templates."""
    for name in names:
        (path / name).mkdir(parents=True, exist_ok=True)
        for step, text in TEMPLATES.items():
            (path / name / f"{step}.jinja").write_text(text)
    return path


def tools(engine: Engine, folder: Path, workflow: Workflow = FLOW, **options: Any) -> Tools:
    """What the steps of a toy share."""
    config = SynthesizeConfig(workflow=workflow.name)
    return Tools({"": engine}, Templates(folder), config.writing, options_of(workflow, options))


async def run_toy(
    engine: Engine | Mapping[str, Engine],
    out: Path,
    *,
    workflow: Workflow = FLOW,
    n: int = 12,
    gates: GatesConfig | None = None,
    options: Mapping[str, Any] | None = None,
    **more: Any,
) -> Synthesized:
    """A toy, from seeds to files."""
    config = SynthesizeConfig(
        workflow=workflow.name, options=dict(options or {}), templates=folder_of_templates(out.parent / "templates")
    )
    settings = gates or GatesConfig.model_validate({})
    return await synthesize(
        workflow,
        more.pop("seeds", None) or seeds(n),
        out,
        config=config,
        engines=engine if isinstance(engine, Mapping) else {"": engine},
        gates=more.pop("checks", None) or Gates(settings),
        **more,
    )
