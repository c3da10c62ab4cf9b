"""What changed between runs: `teachable compare`.

Every run is compared with the first: the recipe field by field, the data that came of it, the scores with intervals,
and what it all cost. Runs may be unfinished, evaluations alone, or of different recipes; what a run lacks is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.recipe.differences.comparable import warnings
from teachable.recipe.differences.data import data_difference
from teachable.recipe.differences.folders import ComparedRun, labels_of
from teachable.recipe.differences.scores import score_difference
from teachable.recipe.differences.settings import settings_difference
from teachable.recipe.differences.spending import cost_difference

FORMAT = 1
_NOTHING_SHOWN = "so no difference could be shown"


def compare_runs(folders: Sequence[Path]) -> dict[str, Any]:
    """Compare run folders with the first of them.

    Args:
        folders: two or more; the first is the baseline.

    Returns:
        `runs`: what each is and what it lacks. `comparisons`: for every further run `settings`, `data`, `scores`,
        `costs`, the `warnings` about their scores, and `sentence`, which sums up the scores. JSON-able.

    Raises:
        TeachableError: there are fewer than two, one is named twice, or one is no run that can be read.
    """
    if len(folders) < 2:
        raise TeachableError(
            "one run alone can't be compared" if folders else "no run is named",
            where="compare",
            mend="Name two run folders or more, the baseline first",
        )
    places = [folder.resolve() for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise TeachableError("this run is named twice", where=str(folder), mend="Name each run once")
    runs = [ComparedRun(folder, label) for folder, label in zip(folders, labels_of(folders), strict=True)]
    return {
        "format": FORMAT,
        "runs": [_about(run) for run in runs],
        "comparisons": [_comparison(runs[0], run) for run in runs[1:]],
    }


def _about(run: ComparedRun) -> dict[str, Any]:
    return {
        "run": run.label,
        "recipe": run.name,
        "seed": run.recipe.get("seed"),
        "base": run.recipe.get("base"),
        "stages": list(run.entries),
        "missing": run.missing,
    }


def _comparison(first: ComparedRun, second: ComparedRun) -> dict[str, Any]:
    scores = score_difference(first, second)
    warned = warnings(first, second)
    return {
        "baseline": first.label,
        "other": second.label,
        "sentence": _sentence(first, second, scores, warned),
        "warnings": warned,
        "settings": settings_difference(first, second),
        "data": data_difference(first, second),
        "scores": scores,
        "costs": cost_difference(first, second),
    }


def _sentence(
    first: ComparedRun, second: ComparedRun, scores: dict[str, Any] | None, warned: Sequence[dict[str, Any]]
) -> str:
    """The comparison of scores in one sentence, led by what breaks it."""
    if scores is None or scores["headline"] is None:
        without = [run.label for run in (first, second) if run.rows("evaluate", "scores.parquet") is None]
        if without:
            have = "have" if len(without) > 1 else "has"
            return f"{' and '.join(without)} {have} no scores, so only settings, data and costs are compared."
        return "No question was scored on the same metric in both runs, so the scores can't be compared."
    row = scores["headline"]
    if row["arm"] == row["arm_baseline"]:
        who = (f"{row['arm']} scored {row['other']:.1%} in {second.label}", f"{row['baseline']:.1%} in {first.label}")
    else:
        who = (
            f"{row['arm']} of {second.label} scored {row['other']:.1%}",
            f"{row['baseline']:.1%} for {row['arm_baseline']} of {first.label}",
        )
    said = (
        f"on {row['metric']}, {who[0]} against {who[1]}: {points(row['diff'])} points "
        f"(95% interval {points(row['low'])} to {points(row['high'])}, {row['method']})"
    )
    broken = [warning["sentence"] for warning in warned if warning["breaks"]]
    if broken:
        return f"Not comparable: {'; '.join(broken)}. As they stand, {said}."
    ending = f"so {second.label} is {row['outcome']}" if row["outcome"] in ("better", "worse") else _NOTHING_SHOWN
    return f"O{said[1:]}, {ending}."


def points(share: float) -> str:
    """A share in points with its sign; what rounds to nothing has none."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text
