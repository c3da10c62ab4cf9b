"""Loss against tokens, a curve a seed and a mean an arm, thinned to what a page can show."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from teachable.report.gathering.load import RunReader

MAX_POINTS = 120  # a panel is a few hundred pixels wide: more points are invisible and weigh on the file
Point = tuple[float, float]


def training_facts(reader: RunReader, order: Callable[[str], tuple[int, str]]) -> dict[str, Any]:
    """Runs, curves and means of supervised fine-tuning, and the base model's own curve where it has one."""
    runs = reader.rows(
        "sft",
        "runs.parquet",
        ("arm", "seed", "n_examples", "n_steps", "n_tokens", "n_response_tokens", "final_loss", "seconds"),
    )
    rows = reader.rows("sft", "curves.parquet", ("arm", "seed", "step", "tokens", "loss"))
    by_run: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for r in rows:
        if r["loss"] is not None:
            by_run[r["arm"], r["seed"]].append(r)
    arms = sorted({arm for arm, _ in by_run}, key=order)
    curves = []
    for arm in arms:
        seeds = {seed: sorted(c, key=lambda r: r["step"]) for (a, seed), c in by_run.items() if a == arm}
        curves.append(
            {
                "arm": arm,
                "seeds": {str(s): thin([(r["tokens"], r["loss"]) for r in c]) for s, c in sorted(seeds.items())},
                "mean": thin(mean_curve(list(seeds.values()))),
            }
        )
    pretrain = reader.stats("pretrain")
    base = thin([(p["tokens"], p["loss"]) for p in pretrain.get("curve") or [] if p.get("loss") is not None])
    return {
        "runs": sorted(runs, key=lambda r: (order(r["arm"]), r["seed"])),
        "curves": curves,
        "pretrain": {
            "n_params": pretrain.get("n_params"),
            "n_tokens": pretrain.get("n_tokens"),
            "seconds": pretrain.get("seconds"),
            "cached": pretrain.get("cached"),
            "curve": base,
        },
    }


def mean_curve(curves: Sequence[Sequence[dict[str, Any]]], x: str = "tokens", y: str = "loss") -> list[Point]:
    """The mean over seeds of two columns at every step that all seeds have."""
    at: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for curve in curves:
        for r in curve:
            at[r["step"]].append(r)
    return [
        (sum(r[x] for r in rs) / len(rs), sum(r[y] for r in rs) / len(rs))
        for _, rs in sorted(at.items())
        if len(rs) == len(curves)
    ]


def thin(curve: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS points: each is the mean of its stretch, so no spike is picked and none is hidden."""
    if len(curve) <= MAX_POINTS:
        return [(float(x), float(y)) for x, y in curve]
    edges = [round(i * len(curve) / MAX_POINTS) for i in range(MAX_POINTS + 1)]
    stretches = (curve[a:b] for a, b in pairwise(edges))
    return [(sum(x for x, _ in s) / len(s), sum(y for _, y in s) / len(s)) for s in stretches]
