"""distilabel's side of `synthesis_overhead.py`; run by the Python of an environment that has distilabel.

    PYTHON benchmarks/synthesis_overhead_distilabel.py --items 10000 [--batch 50] [--json FILE]

The graph as its documentation builds one: rows are loaded, three tasks follow each other, each with an LLM of its own.
Prompts are rendered by Jinja, replies read with the same pydantic models. The pipeline runs as it comes, in its
processes and with its cache.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any, ClassVar

from distilabel.models.llms import LLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import Task
from jinja2 import Template
from pydantic import BaseModel

from synthesis_overhead_graph import PROMPTS, SYSTEM, passages, reply


class Exercise(BaseModel):
    """What the first step's reply must be."""

    question: str
    answer: str


class Check(BaseModel):
    """What the last step's reply must be."""

    right: bool
    reason: str


class AtOnce(LLM):
    """An engine that answers at once."""

    def load(self) -> None:
        """Nothing is loaded."""
        super().load()

    @property
    def model_name(self) -> str:
        """Its name."""
        return "at-once"

    def generate(self, inputs: list[Any], num_generations: int = 1) -> list[Any]:
        """The same reply to each input, so many times."""
        texts = [reply(one[-1]["content"]) for one in inputs]
        counts = {"input_tokens": [100] * num_generations}
        return [
            {
                "generations": [text] * num_generations,
                "statistics": {**counts, "output_tokens": [len(text) // 4] * num_generations},
            }
            for text in texts
        ]


class _Step(Task):
    """A task that asks one of the graph's prompts."""

    step: ClassVar[str]
    reads: ClassVar[list[str]]
    writes: ClassVar[list[str]]
    form: ClassVar[str] = ""
    _template: Any = None

    @property
    def inputs(self) -> list[str]:
        """The columns that the prompt shows."""
        return self.reads

    @property
    def outputs(self) -> list[str]:
        """The columns that the reply fills."""
        return [*self.writes, "model_name"]

    def load(self) -> None:
        """Compile the prompt."""
        super().load()
        self._template = Template(PROMPTS[self.step])

    def format_input(self, input: dict[str, Any]) -> list[dict[str, str]]:
        """The chat that is asked."""
        asked = self._template.render(**{name: input[name] for name in self.reads}, form=self.form)
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]


def _form(model: type[BaseModel]) -> str:
    return "Reply with one JSON object and nothing else. Its schema:\n" + json.dumps(model.model_json_schema())


class QuestionStep(_Step):
    """A passage -> question and answer."""

    step, reads, writes, form = "question", ["passage"], ["question", "answer"], _form(Exercise)

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """The reply's fields."""
        return Exercise.model_validate_json(output or "").model_dump()


class SolveStep(_Step):
    """A question -> a worked answer."""

    step, reads, writes = "solve", ["question"], ["solution"]

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """The reply as it is."""
        return {"solution": output}


class CheckStep(_Step):
    """Question and worked answer -> a verdict."""

    step, reads, writes, form = "check", ["question", "solution"], ["right", "reason"], _form(Check)

    def format_output(self, output: str | None, input: dict[str, Any] | None = None) -> dict[str, Any]:
        """The reply's fields."""
        return Check.model_validate_json(output or "").model_dump()


def processor_s() -> float:
    """Processor seconds of this process and of those that it waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def run(n_items: int, batch: int) -> dict[str, Any]:
    """One run; seconds and items."""
    begun, used = time.perf_counter(), processor_s()
    with Pipeline(name="overhead") as pipeline:
        rows = [{"id": name, "passage": text} for name, text in passages(n_items)]
        load = LoadDataFromDicts(data=rows, batch_size=batch)
        steps = [
            kind(name=kind.step, llm=AtOnce(), input_batch_size=batch) for kind in (QuestionStep, SolveStep, CheckStep)
        ]
        load >> steps[0] >> steps[1] >> steps[2]
    made = pipeline.run()["default"]["train"]
    n_out = sum(bool(right and solution) for right, solution in zip(made["right"], made["solution"], strict=True))
    return {"seconds": time.perf_counter() - begun, "processor_s": processor_s() - used, "n_out": n_out}


def main() -> None:
    """Run once and write what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=50, help="rows that a step gets at a time")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = run(args.items, args.batch)
    if args.json:
        args.json.write_text(json.dumps(found) + "\n", encoding="utf-8")
    else:
        print(found)


if __name__ == "__main__":
    main()
