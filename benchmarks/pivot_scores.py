"""How well were pivotal tokens found? Counts against known truth, and the figures that are made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from teachable.stats import wilson_interval


@dataclass(frozen=True)
class Reported:
    """A token that a method takes for pivotal, its estimated change, and the interval, where the method gives one."""

    position: int
    delta: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Marked:
    """A searched solution: the true changes by position, and what was reported.

    Positions that are not in `truth` are known to change success by less than the gap. `kinds` says what a position is,
    for a breakdown of the recall.
    """

    truth: Mapping[int, float]
    reported: tuple[Reported, ...]
    kinds: Mapping[int, str] = field(default_factory=dict)


def figures(marked: Sequence[Marked], *, gap: float, completions: int, tokens: int) -> dict[str, Any]:
    """Precision, recall, cost and calibration over these solutions.

    `precision` and `recall` are at the gap; `precision_15` is the share of reported tokens whose true change is 0.15 or
    more, `recall_25` the share of those with 0.25 or more that are reported. `precision_sign` counts a reported token
    only if its direction is right too. Cost is `completions` and `tokens`, all that was sampled, for each truly pivotal
    token that there is (`_a_true`), and for each that was found. `optimism` is the mean of how much larger reported
    changes are than true ones, in the reported direction.
    """
    true = [(one, place) for one in marked for place, delta in one.truth.items() if abs(delta) >= gap]
    large = [(one, place) for one, place in true if abs(one.truth[place]) >= 0.25]
    found = {(id(one), report.position) for one in marked for report in one.reported}
    said = [(report, one.truth.get(report.position, 0.0)) for one in marked for report in one.reported]
    hits = [(one, place) for one, place in true if (id(one), place) in found]
    covered = [report.low <= delta <= report.high for report, delta in said
               if report.low is not None and report.high is not None]  # fmt: skip
    kinds = Counter(one.kinds.get(place, "") for one, place in true)
    kinds_hit = Counter(one.kinds.get(place, "") for one, place in hits)
    return {
        "n_solutions": len(marked),
        "n_true": len(true),
        "n_reported": len(said),
        "n_hits": len(hits),
        "true_a_solution": len(true) / max(len(marked), 1),
        "precision": _share([abs(delta) >= gap for _, delta in said]),
        "precision_15": _share([abs(delta) >= 0.15 for _, delta in said]),
        "precision_sign": _share([abs(delta) >= gap and delta * report.delta > 0 for report, delta in said]),
        "recall": _share([(id(one), place) in found for one, place in true]),
        "recall_25": _share([(id(one), place) in found for one, place in large]),
        "recall_by_kind": {kind: [kinds_hit[kind], n] for kind, n in sorted(kinds.items())},
        "completions": completions,
        "tokens": tokens,
        "completions_a_true": completions / max(len(true), 1),
        "completions_a_hit": completions / max(len(hits), 1),
        "tokens_a_true": tokens / max(len(true), 1),
        "coverage": _share(covered),
        "optimism": float(np.mean([abs(r.delta) - delta * np.sign(r.delta) for r, delta in said])) if said else None,
        "any_reported": _share([bool(one.reported) for one in marked]),
    }


def _share(outcomes: Sequence[bool]) -> list[float] | None:
    """The share of True and its Wilson interval; None of nothing."""
    if not outcomes:
        return None
    n, right = len(outcomes), int(sum(outcomes))
    return [right / n, *wilson_interval(right, n)]


def cell(share: Sequence[float] | None) -> str:
    """A share with its interval, for a table."""
    return "" if share is None else f"{share[0]:.3f} [{share[1]:.3f}, {share[2]:.3f}]"


def rounded(value: Any) -> Any:
    """The same with numbers of five digits after the point."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value
