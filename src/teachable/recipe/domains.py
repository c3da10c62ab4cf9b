"""A run's data by domain: what is trained on, which held-out questions steer the training, and which only judge it.

A domain's held-out questions are cut in two. Those that steer (`dev`) decide when training ends and which checkpoint is
kept; a score on them is too good by as much as there was to choose from. Those that judge (`test`) decide nothing, so
their scores are the ones to report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from teachable.errors import TeachableError
from teachable.evaluate.score import HELD_OUT, task_of
from teachable.evaluate.tables import BASE
from teachable.recipe.load import nearest
from teachable.records import Example, Prompt
from teachable.store.files import read_records


@dataclass(frozen=True)
class Domain:
    """One domain's examples in the order of the selection, and its questions."""

    name: str
    examples: tuple[Example, ...]
    dev: tuple[Prompt, ...]
    test: tuple[Prompt, ...]


def dev_and_test(prompts: Sequence[Prompt], dev_frac: float) -> tuple[list[Prompt], list[Prompt]]:
    """The questions that steer and those that judge: of each domain the same share, at least one of each.

    Which is which hangs on a question's id alone, so that a question more moves no other one.
    """
    dev: set[str] = set()
    for domain in dict.fromkeys(prompt.domain for prompt in prompts):
        mine = sorted((prompt for prompt in prompts if prompt.domain == domain), key=_order)
        n_dev = min(max(1, round(len(mine) * dev_frac)), len(mine) - 1)
        dev |= {prompt.id for prompt in mine[:n_dev]}
    return [one for one in prompts if one.id in dev], [one for one in prompts if one.id not in dev]


def _order(prompt: Prompt) -> str:
    return hashlib.sha256(f"dev\x1f{prompt.id}".encode()).hexdigest()


def read_domains(
    tasks: Path, selected: Path, names: Sequence[str], dev_frac: float, *, where: str, taught: Collection[str] = ()
) -> list[Domain]:
    """The named domains of a run, in the order of the names; all domains of the selection where none is named.

    Questions of a benchmark neither steer nor judge here: they are for the stage `evaluate`, and whatever has steered
    has no part in a benchmark's score any more.

    Args:
        tasks, selected: the folders of the stages `tasks` and `select`.
        where: the stage, for messages.
        taught: domains whose examples come from elsewhere (a frozen set), so the selection may have none of them.

    Raises:
        TeachableError: a domain that there is not, one with no selected examples or fewer than two held-out questions,
            or one that has the name of the base.
    """
    examples = read_records(selected / "examples.jsonl", Example) if (selected / "examples.jsonl").is_file() else []
    pool = read_records(tasks / "prompts.parquet", Prompt)
    heldout = [one for one in read_records(tasks / "heldout.parquet", Prompt) if task_of(one) == HELD_OUT]
    dev, test = dev_and_test(heldout, dev_frac)
    known = list(dict.fromkeys(prompt.domain for prompt in [*pool, *heldout]))
    found = []
    if not names and not examples:
        raise TeachableError(
            "the selection holds no examples to train on",
            where=where,
            mend=f"{selected / 'decisions.parquet'} says why each prompt is out; probe more prompts or lower the bar",
        )
    for name in names or sorted({example.domain for example in examples}):
        if name == BASE:
            raise TeachableError(
                f"a domain can't be called {BASE!r}, which is what every table calls the untuned model",
                where=where,
                mend="Give its prompts another domain",
            )
        if name not in known:
            raise TeachableError(f"there is no domain {name!r} in this run{nearest(name, known)}", where=where)
        mine = tuple(example for example in examples if example.domain == name)
        if not mine and name not in taught:
            raise TeachableError(
                f"no example of the domain {name!r} was selected, so there is nothing to train on",
                where=where,
                mend=f"{selected / 'decisions.parquet'} says why each prompt is out; bring more prompts of this "
                "domain, or leave it out",
            )
        questions = [tuple(one for one in side if one.domain == name) for side in (dev, test)]
        if not all(questions):
            n = sum(map(len, questions))
            raise TeachableError(
                f"the domain {name!r} has {n} held-out question{'' if n == 1 else 's'} beside those of benchmarks, and "
                "two are the least: one that steers training and one that judges it",
                where=where,
                mend="Raise tasks.heldout_frac or tasks.n_heldout, bring more prompts of it, or leave this domain out",
            )
        found.append(Domain(name, mine, *questions))
    return found
