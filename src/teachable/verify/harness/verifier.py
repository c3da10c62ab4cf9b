"""The verifier `lm_eval`: lm-evaluation-harness's own filters and metrics decide.

A prompt carries what is needed in `meta["lm_eval"]`: `task` and `file` (its YAML file, relative to the library's folder
of tasks or absolute), `overrides` (what a group says of it), `doc` (the row, processed as the task says), `filter` and
`metric` (the main score, see `scoring.py`), and `n_targets` (as the library counts them on a set's first row). The
data set itself is not needed.

`frac_passed` is the main metric's value, and an attempt is correct if and only if that is 1. What the library's code
raises on a response is "could not tell", and no wrong answer. The other metrics are in the reason.

What it does not protect against: the leniency of the task's own filters and metrics, which is theirs by design: the
score is to be the one that the library itself gives.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from teachable.records import Prompt, Verdict
from teachable.verify.harness import library
from teachable.verify.harness.configs import Leaf
from teachable.verify.harness.scoring import Scored, Scorer, fraction
from teachable.verify.harness.task import build, resolved

MAX_ANSWER_CHARS = 200  # a longer filtered response is a text, and no answer that could be voted on
# Far longer than any response that was asked for; some of the library's patterns take the square of the length.
MAX_RESPONSE_CHARS = 100_000
NONE_FOUND = "[invalid]"  # what the library's filters leave where they find nothing
_SPLIT = "questions"


class LmEval:
    """Right when the main metric of the prompt's lm-evaluation-harness task is 1."""

    name = "lm_eval"
    answer_is_gold = False  # the reference is written as the task writes it, which is seldom how it is to be answered

    def ready(self) -> None:
        """Raise unless the library is there.

        Raises:
            TeachableError: it is not installed, or too old.
        """
        library.version()

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Score one response; a prompt without a task can't be told.

        Raises:
            TeachableError: the library is missing, or its task can't be built any more.
        """
        return self.verdict(attempt, prompt)

    def verdict(self, attempt: str, prompt: Prompt) -> Verdict:
        """The same without an event loop."""
        needs = prompt.meta.get("lm_eval")
        if not isinstance(needs, Mapping) or not isinstance(needs.get("doc"), Mapping):
            return Verdict(None, None, "the prompt's meta has no lm-evaluation-harness task and row")
        if len(attempt) > MAX_RESPONSE_CHARS:
            return Verdict(None, None, f"the response is longer than {MAX_RESPONSE_CHARS} characters")
        doc, main, metric = needs["doc"], str(needs["filter"]), str(needs["metric"])
        scorer = scorer_of(needs)
        try:
            found = scorer.score(doc, attempt, main)
        except Exception as error:
            return Verdict(None, None, f"{scorer.name} can't score this: {type(error).__name__}: {str(error)[:200]}")
        value = fraction(found.metrics.get(metric))
        reason = _reason(scorer, doc, attempt, main, metric, found)
        if value is None:
            return Verdict(None, _answer(found.filtered), f"{metric} is no number between 0 and 1; {reason}")
        return Verdict(value == 1.0, _answer(found.filtered), reason, frac_passed=value)


def scorer_of(needs: Mapping[str, Any]) -> Scorer:
    """The scorer of a prompt's task, built once a process; `needs` is the prompt's `meta["lm_eval"]`.

    Raises:
        TeachableError: the task can't be built.
    """
    overrides = json.dumps(needs.get("overrides") or {}, sort_keys=True)
    key = (str(needs["task"]), str(needs["file"]), overrides, int(needs.get("n_targets") or 0))
    with library.contained():  # so that two threads do not build it twice
        return _scorer(*key, _Hidden(needs["doc"]))


class _Hidden:
    """A row that says which columns a task's rows have, and takes no part in the cache's key."""

    def __init__(self, doc: Mapping[str, Any]) -> None:
        self.doc = dict(doc)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hidden)

    def __hash__(self) -> int:
        return 0


class _Rows(list[dict[str, Any]]):
    """Rows with the columns' names, as far as a task asks a data set for them."""

    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self[0])


@lru_cache(maxsize=512)
def _scorer(task: str, file: str, overrides: str, n_targets: int, row: _Hidden) -> Scorer:
    leaf = Leaf(task, file, json.loads(overrides))
    settings = {
        **resolved(leaf),
        "process_docs": None,
        "training_split": None,
        "validation_split": None,
        "test_split": _SPLIT,
        "fewshot_split": None,
        "fewshot_config": None,
        "num_fewshot": 0,
    }
    built = build(leaf, settings, lambda _: {_SPLIT: _Rows([row.doc])})
    built.multiple_target = n_targets
    if "langdetect" in sys.modules:  # it guesses with a random stream of its own, anew at each call
        sys.modules["langdetect"].DetectorFactory.seed = 0
    return Scorer(built, task)


def _answer(filtered: Any) -> str | None:
    """What a response committed to, if it is short enough to be an answer."""
    text = filtered.strip() if isinstance(filtered, str) else ""
    return text if text and text != NONE_FOUND and len(text) <= MAX_ANSWER_CHARS else None


def _reason(scorer: Scorer, doc: Mapping[str, Any], attempt: str, main: str, metric: str, found: Scored) -> str:
    """The main score first, then all other metrics after all filters."""
    parts = [f"{metric} {_number(found.metrics.get(metric))} after {main}"]
    parts += [f"{name} {_number(value)}" for name, value in found.metrics.items() if name != metric]
    for other in scorer.filters:
        if other != main:
            try:
                values = scorer.score(doc, attempt, other).metrics
            except Exception as error:
                parts.append(f"{other} fails ({type(error).__name__})")
                continue
            parts += [f"{name} {_number(value)} after {other}" for name, value in values.items()]
    return f"lm-evaluation-harness: {'; '.join(parts)}"


def _number(value: Any) -> str:
    """A metric's value in a few characters."""
    number = fraction(value)
    return f"{number:g}" if number is not None else str(value)[:60]
