"""A task of lm-evaluation-harness, built on data that we hand it, and what we refuse to build and why.

Refused, each with its reason: a task that asks for the likelihood of given continuations (no engine can say it over
HTTP); one whose scoring runs what a model wrote, in this process and without a sandbox; one whose metric is code that
the `evaluate` library fetches from the hub; one that wants several responses at once, images or sound; and one that is
a Python class of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.verify.harness import library
from teachable.verify.harness.configs import GENERATED, Leaf, generative

# Of a task's settings and its built self: the rows of each split, as `datasets` holds them.
Splits = Callable[[Mapping[str, Any]], Mapping[str, Any]]

_RUNS_CODE = re.compile(r"(?<![\w.])(?:exec|eval)\(|\bcode_eval\b|\bsubprocess\b|\bos\.system\b")
_FETCHES = re.compile(r"\bevaluate\.load\(|\bfrom evaluate import\b")
_SANDBOXED = {"humaneval": "humaneval", "mbpp": "mbpp"}  # their benchmark -> ours, whose verifier has a sandbox


class NoRows(TeachableError):
    """None of the data's rows belong to this task."""


def build(leaf: Leaf, settings: Mapping[str, Any], splits: Splits | None) -> Any:
    """The task as the library's own object.

    Args:
        leaf: where it is written down, for sentences.
        settings: its settings, with functions; see `Leaf.config`.
        splits: the rows of each of its splits; None has the library load what the settings name.

    Raises:
        NoRows: no row is left for it.
        TeachableError: the library can't build it, for example since a column is missing.
    """
    try:
        with library.building(nltk=_mentions_nltk(leaf.file)):
            return _task_class()(dict(settings), splits)
    except TeachableError:
        raise
    except Exception as error:
        raise TeachableError(
            f"lm-evaluation-harness can't build its task {leaf.name} from this data ({_said(error)})",
            mend=f"Give the data in the columns of {settings.get('dataset_path') or 'its own data set'}"
            if splits
            else f"Give its data in files: lm_eval:{leaf.name}=PATH",
        ) from error


def resolved(leaf: Leaf, asked_as: str = "") -> dict[str, Any]:
    """The task's settings with its functions imported, if it can be asked and scored here.

    Args:
        leaf: the task.
        asked_as: the group's name, where the task was asked for with others; for the sentence.

    Raises:
        TeachableError: it can't, and why.
    """
    named = leaf.config(resolve=False)
    _refuse(leaf, named, asked_as or leaf.name)
    with library.building(nltk=_mentions_nltk(leaf.file)):
        return leaf.config()


def _refuse(leaf: Leaf, settings: Mapping[str, Any], name: str) -> None:
    if "class" in settings:
        raise TeachableError(
            f"lm-evaluation-harness's {name} is a Python class of its own, which can't be given other data or prompts",
            mend="Take a task that is written in YAML",
        )
    kind = settings.get("output_type", GENERATED)
    if kind != GENERATED:
        near = generative(name)
        raise TeachableError(
            f"lm-evaluation-harness's {name} is of the kind {kind}: it compares the likelihoods of given continuations,"
            " which no engine is asked for here",
            mend=f"Take lm_eval:{near}, where the model writes its answer" if near else "Take a task that generates",
        )
    _refuse_code(leaf, settings)
    if int(settings.get("repeats") or 1) > 1:
        raise TeachableError(
            f"lm-evaluation-harness's {name} scores {settings['repeats']} responses to a question at once",
            mend="Take the task that it is made of; samples and votes are the evaluation's own (n_samples, maj@k)",
        )
    if settings.get("doc_to_image") or settings.get("doc_to_audio"):
        raise TeachableError(f"lm-evaluation-harness's {name} shows images or plays sound", mend="Take a task of text")


def _refuse_code(leaf: Leaf, settings: Mapping[str, Any]) -> None:
    """Refuse scoring that runs a model's text as code, or that fetches code."""
    sources = [path.read_text(encoding="utf-8", errors="replace") for path in _modules(settings)]
    if settings.get("unsafe_code") or any(_RUNS_CODE.search(text) for text in sources):
        ours = next((own for theirs, own in _SANDBOXED.items() if leaf.name.startswith(theirs)), "")
        raise TeachableError(
            f"lm-evaluation-harness's {leaf.name} may run what a model wrote, in this process and without a sandbox",
            mend=f"Take the benchmark {ours}, whose tests run in a sandbox" if ours else "Take another task",
        )
    known = library.module("api.registry").metric_registry
    library.module("api.metrics")
    fetched = [
        str(metric.get("metric"))
        for metric in settings.get("metric_list") or ()
        if settings.get("process_results") is None
        and (metric.get("hf_evaluate") or (not _is_function(metric["metric"]) and metric["metric"] not in known))
    ]
    if fetched or any(_FETCHES.search(text) for text in sources):
        what = f"its metric {fetched[0]}" if fetched else "a metric of it"
        raise TeachableError(
            f"lm-evaluation-harness's {leaf.name} can't be scored here: {what} is code that the evaluate library"
            " fetches from the hub",
            mend="Take a task whose metrics are the harness's own, such as exact_match",
        )


def _is_function(value: object) -> bool:
    return callable(value) or (isinstance(value, str) and Path(value).is_absolute())


def _modules(settings: Mapping[str, Any]) -> set[Path]:
    """The library's Python files whose functions the settings name."""
    named = (Path(text.rpartition(".")[0] + ".py") for text in _texts(settings) if text.startswith("/"))
    return {path for path in named if path.is_relative_to(library.folder()) and path.is_file()}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


@cache
def _mentions_nltk(leaf_file: str) -> bool:
    """Whether a Python file of the benchmark that a task belongs to would have nltk download something."""
    parts = Path(leaf_file).parts
    if Path(leaf_file).is_absolute() or len(parts) < 2:
        return False
    return any(b"nltk.download" in path.read_bytes() for path in (library.folder() / parts[0]).rglob("*.py"))


def _said(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


@cache
def _task_class() -> Any:
    """The library's configurable task with its data from us: a class, made when the library is there."""
    base: Any = library.module("api.task").ConfigurableTask

    class Handed(base):
        """Rows come from `splits`, where it is given; those to be asked are worked out once."""

        def __init__(self, settings: dict[str, Any], splits: Splits | None) -> None:
            self._given = dict(settings)
            self._splits = splits
            self._asked: Any = None
            super().__init__(config=settings)

        def download(self, dataset_kwargs: dict[str, Any] | None = None, **more: Any) -> None:
            """The rows handed to us, or what the library loads."""
            if self._splits is None:
                super().download(dataset_kwargs, **more)
            else:
                self.dataset = self._splits(self._given)

        @property
        def eval_docs(self) -> Any:
            """The rows that are asked, processed as the task says, which may be random, and so once."""
            if self._asked is None:
                self._asked = super().eval_docs
                if len(self._asked) == 0:
                    raise NoRows(f"none of these rows belong to lm-evaluation-harness's {self.config.task}")
            return self._asked

    return Handed
