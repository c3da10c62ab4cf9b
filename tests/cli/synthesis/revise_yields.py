"""What the end-to-end tests of several workflows assert of a yield table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.synthesize.misbehaving import MARKS, Misbehaving


def adds_up(stats: Mapping[str, Any], rejects: Sequence[Mapping[str, Any]], splits: Sequence[str] = ()) -> None:
    """Whatever went into a step or a gate came out, was dropped with a reason, or failed; and each drop is a reject.

    Args:
        splits: steps that make several items of one.
    """
    told = Counter((row["step"], row["reason"]) for row in rejects)
    for row in stats["steps"]:
        lost = sum(row["dropped"].values()) + row["failed"]
        if row["step"] not in splits:
            assert row["in"] == row["out"] + lost, row
        for reason, n in row["dropped"].items():
            assert told.pop((row["step"], reason)) == n
    assert not told, "a reject that no row counts"
    steps = [row for row in stats["steps"] if row["kind"] == "step"]
    gates = [row for row in stats["steps"] if row["kind"] == "gate"]
    for before, after in pairwise(steps):
        assert after["in"] == before["out"]
    if any(gate["in"] for gate in gates):
        assert gates[0]["in"] == steps[-1]["out"]
        assert gates[-1]["out"] == stats["n_outputs"]


def every_fault_is_counted(
    stats: Mapping[str, Any],
    server: Misbehaving,
    label_of: Callable[[str, str], str],
    sampled: Misbehaving | None = None,
) -> None:
    """Each reply that misbehaved was sent back, or was the last one of an item that was dropped for it.

    Args:
        label_of: (kind, system message) -> what the reply has to be counted as; "" for a vote, which is not counted.
        sampled: who gave samples of answers: malformed ones are drawn again and counted, but for the last ones.
    """
    counted: Counter[str] = Counter()
    for row in stats["steps"]:
        counted.update(row["retried"])
        counted.update(row["dropped"])
    done = Counter(label_of(kind, body["messages"][0]["content"]) for kind, body in server.log if kind != "fences")
    del done[""]
    assert set(done) >= set(MARKS.values()), "a kind of misbehaviour that did not occur"
    redrawn = Counter({MARKS[kind]: n for kind, n in sampled.kinds.items()} if sampled is not None else {})
    for label, n in done.items():
        assert n + (redrawn[label] > 0) <= counted[label] <= n + redrawn[label], (label, counted, done, redrawn)
    assert server.kinds["fences"] > 0 and server.kinds["injected"] > 0
