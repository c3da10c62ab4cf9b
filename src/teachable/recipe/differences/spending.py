"""What two runs cost, stage by stage: seconds, completions, tokens and dollars as the manifests recorded them.

Seconds are those of the work that made a stage's outputs, on whatever machine that was and however much of it came
from a cache; a stage that was killed and taken up again has those of its last part alone.
"""

from __future__ import annotations

from typing import Any

from teachable.recipe.differences.folders import ComparedRun
from teachable.store.manifest import StageEntry

SPENT = ("seconds", "completions", "tokens_in", "tokens_out", "cost_usd")


def cost_difference(first: ComparedRun, second: ComparedRun) -> dict[str, Any]:
    """`stages`: `{stage, baseline, other}` with a mapping of `SPENT` each, None where a run lacks the stage.

    `total` has the sums; a run that has fewer stages is cheaper for that alone.
    """
    names = list(dict.fromkeys([*first.entries, *second.entries]))
    stages = [
        {"stage": name, "baseline": _spent(first.entries.get(name)), "other": _spent(second.entries.get(name))}
        for name in names
    ]
    return {"stages": stages, "total": {"baseline": _total(first), "other": _total(second)}}


def _spent(entry: StageEntry | None) -> dict[str, float] | None:
    return None if entry is None else {name: getattr(entry, name) for name in SPENT}


def _total(run: ComparedRun) -> dict[str, float]:
    return {name: sum(getattr(entry, name) for entry in run.entries.values()) for name in SPENT}
