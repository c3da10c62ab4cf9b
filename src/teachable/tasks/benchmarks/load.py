"""A benchmark from the words that name it.

A TASK is one of

- `NAME`: a benchmark of the catalog, its data from the hub;
- `NAME=PATH`: the same, its data from a local file or folder in the benchmark's own format;
- `gym:FAMILY`: fresh questions of a reasoning-gym family;
- `lm_eval:NAME` or `lm_eval:NAME=PATH`: a task of lm-evaluation-harness, with its prompts and its scoring (`harness.py`
  says what may stand behind NAME); `drop` and `ifeval` need no prefix;
- `PATH.jsonl` or `PATH.parquet`: prompts of one's own, each row with its own verifier.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from teachable.errors import TeachableError
from teachable.records import Lineage, Prompt
from teachable.store.files import ROW_FORMATS
from teachable.tasks.benchmarks import gym, harness
from teachable.tasks.benchmarks.catalog import BENCHMARKS, HARNESS_ALIASES, unknown
from teachable.tasks.benchmarks.cells import Cells
from teachable.tasks.benchmarks.files import local_rows
from teachable.tasks.benchmarks.hub import hub_rows
from teachable.tasks.benchmarks.making import (
    filled,
    make_benchmark,
    make_prompt,
    require_limit,
    template,
    user_turn,
)
from teachable.tasks.benchmarks.spec import Benchmark, BenchmarkSpec
from teachable.tasks.load import DEFAULT_DOMAIN, read_prompts

HARNESS_PREFIX = "lm_eval:"


@dataclass(frozen=True)
class Task:
    """A TASK taken apart: which adapter reads it, its name there, and the local data that it names, if any."""

    adapter: Literal["catalog", "gym", "lm_eval", "own"]
    name: str
    path: Path | None = None


def parse_task(text: str) -> Task:
    """Take a TASK apart; nothing is read, and nothing needs to be there.

    Raises:
        TeachableError: it has none of the forms.
    """
    text = text.strip()
    name, given, path = text.partition("=")
    local = Path(path).expanduser() if path else None
    if given and not path:
        raise TeachableError(f"the task {text!r} names no path", where="tasks", mend=f"Write {name}=PATH, or {name}")
    if text.startswith(gym.PREFIX):
        return Task("gym", text.removeprefix(gym.PREFIX))
    if text.startswith(HARNESS_PREFIX):
        return Task("lm_eval", name.removeprefix(HARNESS_PREFIX), local)
    alias = harness.read_form(name)
    if alias.name in HARNESS_ALIASES:
        return Task("lm_eval", HARNESS_ALIASES[alias.name] + name.removeprefix(alias.name), local)
    if name in BENCHMARKS:
        return Task("catalog", name, local)
    if text.endswith(ROW_FORMATS) and (not given or Path(text).expanduser().exists()):
        own = Path(text).expanduser()
        return Task("own", own.stem, own)
    raise unknown(text)


def data_path(text: str) -> Path | None:
    """The local file or folder that a TASK names, absolute; None where it names none.

    Raises:
        TeachableError: see `parse_task`.
    """
    task = parse_task(text)
    path = task.path
    if path is None and task.adapter == "lm_eval":
        yaml = Path(harness.read_form(task.name).name)
        path = yaml if yaml.suffix in harness.YAML else None
    return path.absolute() if path else None


def load_benchmark(text: str, *, seed: int = 0, limit: int | None = None) -> Benchmark:
    """The benchmark that a TASK names.

    Args:
        text: the TASK.
        seed: for questions that are generated; what is published does not depend on it.
        limit: most questions; None for all. Those whose content hashes lowest are taken, not the first of the file; of
            generated ones as many are generated.

    Raises:
        TeachableError: no such task, its data is missing or can't be read, or what it needs is not installed.
    """
    task = parse_task(text)
    require_limit(limit, text)
    if task.adapter == "gym":
        return gym.load_gym(task.name, seed=seed, limit=limit)
    if task.adapter == "lm_eval":
        return harness.load(task.name, task.path, seed=seed, limit=limit)
    if task.path is not None and task.adapter == "own":
        return _own(task.name, task.path, limit)
    return load_catalog(BENCHMARKS[task.name], task.path, limit=limit)


def load_catalog(spec: BenchmarkSpec, path: Path | None, *, limit: int | None = None) -> Benchmark:
    """A benchmark of the catalog from a local file or folder, or from the hub where `path` is None.

    Raises:
        TeachableError: its data is missing or can't be read.
    """
    rows, data = (local_rows(spec, path), str(path)) if path is not None else hub_rows(spec)
    left_out: Counter[str] = Counter()
    prompts: list[Prompt] = []
    for cells in rows:
        made = _prompt(spec, cells, cells.file if path is None else Path(cells.file).name)
        if isinstance(made, Prompt):
            prompts.append(made)
        else:
            left_out[made] += 1
    return make_benchmark(
        spec.name,
        prompts,
        title=spec.title,
        source=spec.source,
        data=data,
        asked=template(spec.template),
        metric=spec.metric,
        version=spec.version,
        notes=spec.notes,
        n_rows=len(rows),
        limit=limit,
        left_out=left_out,
        more={"n_published": spec.n_published},
    )


def _prompt(spec: BenchmarkSpec, cells: Cells, parent: str) -> Prompt | str:
    """A row's prompt, with what it is from in its lineage, or why it is no question."""
    question = spec.read(cells)
    if isinstance(question, str):
        return question
    return make_prompt(
        spec.name,
        user_turn(filled(template(spec.template), question.fields)),
        question.answer,
        spec.verifier,
        needs=question.needs,
        subject=question.subject,
        level=question.level,
        lineage=(Lineage(parent=parent, transform="read", params=cells.at),),
    )


def _own(name: str, path: Path, limit: int | None) -> Benchmark:
    """Prompts of one's own, asked as the file has them; their domain becomes the subject."""
    file = read_prompts(path)
    prompts = [
        make_prompt(
            name,
            prompt.messages,
            prompt.answer,
            prompt.verifier,
            needs=prompt.meta,
            subject="" if prompt.domain == DEFAULT_DOMAIN else prompt.domain,
            level=prompt.level,
            source=prompt.answer_source,
            lineage=prompt.lineage,
        )
        for prompt in file.prompts
    ]
    columns = ", ".join(f"{field}: {column}" for field, column in file.mapping.items())
    return make_benchmark(
        name,
        prompts,
        title=path.name,
        source="your own prompts",
        data=str(path),
        asked="as the file has it",
        metric="accuracy",
        version=1,
        notes=f"Columns: {columns}",
        n_rows=len(file.prompts) + file.n_repeated,
        limit=limit,
    )
