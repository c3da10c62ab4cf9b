"""Scores of one response, as lm-evaluation-harness works them out: each filter of the task, then its metrics.

The main score is one metric after one filter. The filter is `flexible-extract` where the task has one, else its first.
The metric is the first of `PREFERRED` that the task has, else its first; only metrics count whose value for a question
is a number in [0, 1], of which more is better, and whose score of a whole set is the mean over its questions. A metric
of the whole set alone (BLEU, a correlation) is none, and a task that has no other is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from teachable.errors import TeachableError
from teachable.verify.harness import library

PREFERRED = ("exact_match", "acc", "accuracy", "prompt_level_strict_acc", "f1", "em")
LENIENT = "flexible-extract"
_MEANS = ("mean", "nanmean")
_PROBE = "x"  # a response that tells what kind of value each metric gives


@dataclass(frozen=True)
class Scored:
    """A response after one filter: what was left of it, and every metric's value."""

    filtered: Any
    metrics: Mapping[str, Any]


class Scorer:
    """Scores responses to the questions of one task; see the module for the main score.

    Args:
        task: the library's own task.
        name: the task's name, for sentences.
    """

    def __init__(self, task: Any, name: str) -> None:
        self.task = task
        self.name = name
        self.filters: tuple[str, ...] = tuple(one.name for one in task._filters)
        self._instance = library.module("api.instance").Instance
        self.filter = LENIENT if LENIENT in self.filters else self.filters[0]

    def score(self, doc: Mapping[str, Any], response: str, filter_name: str) -> Scored:
        """The values of all metrics after one filter; what the library's code raises is raised."""
        instance = self._instance(
            request_type="generate_until", doc=doc, arguments=("", {}), idx=0, metadata=(self.name, 0, 1)
        )
        instance.resps = [response]
        with library.contained():
            next(one for one in self.task._filters if one.name == filter_name).apply([instance])
            filtered = instance.filtered_resps[filter_name]
            return Scored(filtered, dict(self.task.process_results(doc, [filtered])))

    def metric(self, doc: Mapping[str, Any]) -> str:
        """The main metric, told by a probe of one question.

        Raises:
            TeachableError: this question can't be scored here, or the task has no metric of a single question.
        """
        try:
            values = self.score(doc, _PROBE, self.filter).metrics
        except Exception as error:
            raise TeachableError(
                f"lm-evaluation-harness can't score a question of {self.name} ({_first_line(error)})",
                mend="Run python -m nltk.downloader punkt_tab"
                if "punkt" in str(error)
                else "Check the data's columns, and install what the task needs",
            ) from error
        combine, better = self.task.aggregation(), self.task.higher_is_better()
        usable = [
            name
            for name, value in values.items()
            if fraction(value) is not None
            and better.get(name, True)
            and getattr(combine.get(name), "__name__", "mean") in _MEANS
        ]
        ranked = (
            [name for name in PREFERRED if name in usable] or [name for name in combine if name in usable] or usable
        )
        if not ranked:
            raise TeachableError(
                f"no metric of lm-evaluation-harness's {self.name} ({', '.join(combine) or 'none'}) scores a single"
                " question between 0 and 1",
                mend="Take a task that has one, such as exact_match or f1",
            )
        return ranked[0]


def fraction(value: Any) -> float | None:
    """A metric's value as a number in [0, 1]; None for anything else (a list, a pair, 17 or NaN)."""
    if isinstance(value, str) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0.0 <= number <= 1.0 else None


def _first_line(error: Exception) -> str:
    lines = [line.strip(" *\n") for line in str(error).splitlines() if line.strip(" *\n")]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
