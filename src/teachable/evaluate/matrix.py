"""The forgetting matrix: how well each domain is known after each addition, and which domains were lost on the way.

Domains are added one after the other, and after each addition the models (one a seed) answer the held-out questions of
all domains. A cell is a domain after an addition: its mean score, how far that is from the base, and, once the domain
has been added, how far it is from what it was right after.

A score is one number a question and model: the share of its decided answers that are right (pass@1; of models that
gave nothing but greedy answers, those). Intervals are over questions and seeds (`teachable.stats`), and differences are
paired by question, and by seed.

**A regression** is a domain that was added before and whose score has fallen since: the interval of the difference
lies wholly below 0. The intervals of all domains that an addition is held against hold together at 95%
(`simultaneous`): where nothing has been lost, an addition is called a regression about 2.5% of the time, since only one
side of the intervals counts, and in no simulation more than 5%. Over several additions these chances add up.

Departs from the matrices of continual learning (Lopez-Paz and Ranzato 2017, arXiv:1706.08840, R of task by task) in
that it has intervals, and in that columns are additions, which may bring several domains at once. Not protected
against: a loss smaller than the intervals, which are wide where questions or seeds are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from teachable.evaluate.config import EvaluateConfig
from teachable.evaluate.simultaneous import simultaneous_intervals
from teachable.evaluate.tables import BASE, Row, Tables, metrics_of
from teachable.stats import Interval, mean_interval, paired_difference
from teachable.stats.distributions import Floats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Addition:
    """A column of the matrix: the models called `arm` in the score rows, and the domains that they were taught.

    `new` are those of them that came with this addition; nothing is worked out from it.
    """

    arm: str
    domains: tuple[str, ...]
    new: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """A mean difference and its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """A domain after an addition.

    Attributes:
        stage, n_domains: the column's arm, and how many domains it was taught (0: the base).
        domain, added: the row, and whether it is among them.
        n_questions: those that all models of the column have a score on; without any, all numbers are None.
        mean, low, high: the score and its 95% interval.
        base: the base's score.
        since_base: the difference to the base, with its 95% interval; None for the base itself.
        since_added: the difference to the score right after the domain was added, with an interval that holds together
            with the others of the column; None where the domain was not added by an earlier addition.
        regression: that interval lies wholly below 0.
    """

    stage: str
    n_domains: int
    domain: str
    added: bool
    n_questions: int
    mean: float | None
    low: float | None
    high: float | None
    base: float | None
    since_base: Change | None
    since_added: Change | None
    regression: bool

    def row(self) -> dict[str, Any]:
        """The cell as a flat row: a change's numbers are columns of their own, all None where there is none."""
        found = {**asdict(self)}
        for name in ("since_base", "since_added"):
            change = found.pop(name) or {"mean": None, "low": None, "high": None}
            found |= {f"{name}_{part}": value for part, value in change.items()}
        return found


class DomainScores:
    """Score rows of several models as tables of questions by seeds, one an arm and domain."""

    def __init__(self, rows: Sequence[Row], config: EvaluateConfig) -> None:
        """Rows as `score_model` makes them, and how they were asked."""
        self.metric = metrics_of(config, rows)[0]
        self._tables = Tables(rows, config)
        self._members: defaultdict[str, set[str]] = defaultdict(set)
        for question, (_, domain, _) in self._tables.questions.items():
            self._members[domain].add(question)

    def of(self, arm: str, domain: str) -> Floats:
        """Scores [questions, seeds] of an arm on a domain's questions, by id and by seed; NaN where there is none.

        Raises:
            KeyError: no row is of this arm, or of this domain.
        """
        if domain not in self._members:
            raise KeyError(domain)
        return self._tables.of(arm, self.metric, self._members[domain].__contains__)


def forgetting_matrix(
    scores: DomainScores,
    additions: Sequence[Addition],
    domains: Sequence[str],
    *,
    base: str = BASE,
    confidence: float = CONFIDENCE,
) -> list[Cell]:
    """All cells: the base first, then addition by addition, the domains in the given order.

    Args:
        scores: of the base and of every addition's models, on the questions of all domains.
        additions: in their order. An addition's domains hold those of the addition before.
        domains: the rows; also domains that were never added.
        confidence: of a mean's and a difference's interval, and of all intervals since the addition together.

    Raises:
        KeyError: the scores lack an arm or a domain.
        ValueError: an addition lacks a domain of the one before.
    """
    for before, after in pairwise(additions):
        if lost := set(before.domains) - set(after.domains):
            raise ValueError(f"{after.arm} lacks {sorted(lost)[0]!r}, which {before.arm} was taught")
    at_base = {domain: mean_interval(scores.of(base, domain), confidence=confidence) for domain in domains}
    cells = []
    for place, addition in enumerate([Addition(base, ()), *additions]):
        since_added = _since_added(scores, addition, additions[: max(0, place - 1)], confidence)
        for domain in domains:
            found = mean_interval(scores.of(addition.arm, domain), confidence=confidence)
            change = since_added.get(domain)
            cells.append(
                Cell(
                    stage=addition.arm,
                    n_domains=len(addition.domains),
                    domain=domain,
                    added=domain in addition.domains,
                    n_questions=found.n,
                    mean=_known(found, found.mean),
                    low=_known(found, found.low),
                    high=_known(found, found.high),
                    base=_known(at_base[domain], at_base[domain].mean),
                    since_base=_since_base(scores, addition.arm, base, domain, confidence) if place else None,
                    since_added=change,
                    regression=change is not None and change.high < 0.0,
                )
            )
    return cells


def _since_base(scores: DomainScores, arm: str, base: str, domain: str, confidence: float) -> Change | None:
    """How far an arm is from the base on a domain; None without a question that both have a score on."""
    found = paired_difference(scores.of(arm, domain), scores.of(base, domain), confidence=confidence)
    return Change(found.mean, found.low, found.high) if found.n else None


def _since_added(
    scores: DomainScores, addition: Addition, earlier: Sequence[Addition], confidence: float
) -> dict[str, Change]:
    """How far each domain of the additions before is from what it was when it was added."""
    tables = {}
    for domain in earlier[-1].domains if earlier else ():
        home = next(one.arm for one in earlier if domain in one.domains)
        table = scores.of(addition.arm, domain) - scores.of(home, domain)
        known = table[~np.isnan(table).any(axis=1)]
        if len(known):
            tables[domain] = known
    found = simultaneous_intervals(list(tables.values()), confidence=confidence)
    return {domain: Change(*numbers) for domain, numbers in zip(tables, found, strict=True)}


def _known(found: Interval, value: float) -> float | None:
    return value if found.n else None
