"""The verdict in one sentence: did teaching at the edge beat teaching anything else, at the same budget?

"Better" and "worse" are said only where the 95% interval of the paired difference leaves out 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

METRIC = "pass@1"
_CONTRASTS = (("teachable", "random"), ("teachable", "base"))
_NAMES = {
    "teachable": "teaching at the edge",
    "random": "random examples",
    "mastered": "mastered examples",
    "beyond": "examples beyond the model",
    "base": "the base model",
}
_ENDINGS = {
    "better": "so it was better",
    "worse": "so it was worse",
    "no difference": "so no difference could be shown",
}


def outcome_of(low: float, high: float) -> str:
    """ "better", "worse" or "no difference": which side of 0 an interval lies on, if on one."""
    return "better" if low > 0 else "worse" if high < 0 else "no difference"


def verdict(
    arms: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]], budget_tokens: int | None
) -> dict[str, Any]:
    """The verdict on `teachable` against `random`; against the base, or of another arm, where that is all there is.

    Args:
        arms: means by arm and metric, as in evaluate/stats.json.
        comparisons: paired differences, as there.
        budget_tokens: training tokens of each arm, or None where unknown.
    """
    mean_of = {arm["arm"]: arm["metrics"][METRIC]["mean"] for arm in arms if METRIC in arm["metrics"]}
    found = {(c["arm"], c["baseline"]): c for c in comparisons if c["metric"] == METRIC}
    wanted = [pair for pair in (*_CONTRASTS, *found) if pair in found]
    if not wanted:
        return {"sentence": _nothing_to_compare(mean_of), "outcome": "no difference", "metric": METRIC} | dict.fromkeys(
            ("diff", "low", "high")
        )
    arm, baseline = wanted[0]
    chosen = found[arm, baseline]
    outcome = outcome_of(chosen["low"], chosen["high"])
    tokens = f"{budget_tokens:,} training tokens" if budget_tokens else "training tokens"
    opening = f"At the same {tokens}, "
    if baseline == "base":  # which was taught nothing
        opening = f"With {tokens}, " if budget_tokens else ""
    name, other = _NAMES.get(arm, arm), _NAMES.get(baseline, baseline)
    sentence = (
        f"{opening}{name} scored {mean_of[arm]:.1%} against {mean_of[baseline]:.1%} for {other}: "
        f"{_points(chosen['diff'])} points (95% interval {_points(chosen['low'])} to {_points(chosen['high'])}), "
        f"{_ENDINGS[outcome]}."
    )
    return {
        "sentence": sentence if sentence.startswith(arm) else sentence[0].upper() + sentence[1:],
        "outcome": outcome,
        "metric": METRIC,
        "arm": arm,
        "baseline": baseline,
        "diff": chosen["diff"],
        "low": chosen["low"],
        "high": chosen["high"],
    }


def _nothing_to_compare(mean_of: Mapping[str, float]) -> str:
    if not mean_of:
        return "No model could be scored, so there is nothing to compare."
    arm, mean = next(iter(mean_of.items()))
    name = _NAMES.get(arm, arm)
    start = name if name == arm else name[0].upper() + name[1:]
    return f"{start} scored {mean:.1%}; there is no other model to compare it with."


def _points(share: float) -> str:
    """A share in points with its sign; what rounds to nothing has none."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text
