"""What a benchmark is once its data has been read, and what is known of one before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from teachable.records import Prompt
from teachable.tasks.benchmarks.cells import Cells

ADAPTER = "teachable"  # who made the prompts and scores the answers; the other one is "lm_eval"


@dataclass(frozen=True)
class Benchmark:
    """Questions to be answered and scored, and everything that determines a score.

    `name` is unique within an evaluation ("gsm8k", "gym:chain_sum", "lm_eval:gsm8k_cot", or a file's stem). Every
    prompt has it as `domain` and in `meta["benchmark"]`, and an id that is made of its content. `facts` can be written
    as JSON: title, source, data, data_digest, n_rows, n_questions, template, verifier, adapter, version, metric, notes.
    """

    name: str
    prompts: tuple[Prompt, ...]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Hub:
    """Where the hub has a benchmark's data: the named configs of a data set, or single files of its repository.

    `configs` are read through `datasets.load_dataset`, none standing for the default one. `files` are fetched as they
    are, for sets that no loader reads any more; `beside` are fetched with them, to lie where the files expect them.
    """

    id: str
    configs: tuple[str, ...] = ()
    split: str = "test"
    files: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """What an adapter makes of a row.

    `fields` fill the template, `answer` is the reference as text, `needs` is what the verifier needs beyond it (in the
    prompt's `meta`), `subject` a division that scores may be shown by, `level` the difficulty, 1 the easiest, 0 when
    nobody said.
    """

    fields: Mapping[str, str]
    answer: str
    needs: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    level: int = 0


# A row's question, or the reason for which the row is no question of this benchmark. A row that can't be read raises.
Read = Callable[[Cells], Question | str]


@dataclass(frozen=True)
class BenchmarkSpec:
    """A benchmark by name, before its data is read.

    Attributes:
        name: as in `tasks.benchmarks`.
        title: as its authors write it.
        source: the paper, as a citation.
        hub: where the data is published.
        template: the name of a file in `templates/`, without its ending.
        verifier: the name of the verifier that decides.
        metric: what a score is, in words.
        n_published: how many questions the published split has.
        read: the adapter.
        columns: what the columns of a CSV or TSV file are, where it has no header.
        beside: a folder beside the data file, with files of which `Cells.beside` has the rows; empty: none.
        notes: how this differs from the protocol of the paper.
        version: raised whenever the same data gives other prompts.
    """

    name: str
    title: str
    source: str
    hub: Hub
    template: str
    verifier: str
    metric: str
    n_published: int
    read: Read
    columns: tuple[str, ...] = ()
    beside: str = ""
    notes: str = ""
    version: int = 1
