"""What the end-to-end tests over planted passages assert of a yield table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.synthesize.misbehaving import MARKS, Misbehaving


def adds_up(stats: Mapping[str, Any], rejects: Sequence[Mapping[str, Any]], splits: Sequence[str]) -> None:
    """What went into a step or a gate came out or was dropped with a reason, and the rejects are just those drops.

    Args:
        splits: steps that make several items of one.
    """
    told = Counter((row["step"], row["reason"]) for row in rejects)
    for row in stats["steps"]:
        assert row["failed"] == 0
        assert row["step"] in splits or row["in"] == row["out"] + sum(row["dropped"].values()), row
        for reason, n in row["dropped"].items():
            assert told.pop((row["step"], reason)) == n
    assert not told
    for before, after in zip(stats["steps"], stats["steps"][1:], strict=False):
        assert after["in"] == before["out"]
    assert stats["steps"][-1]["out"] == stats["n_outputs"]


def faults_are_counted(stats: Mapping[str, Any], writer: Misbehaving, solver: Misbehaving, untold: str = "\0") -> None:
    """Every malformed reply of the writer was sent back, or the item was dropped for it; a solver's were drawn again.

    Args:
        untold: what the system message of a vote begins with; its last malformed reply is no vote, and not counted.
    """
    counted: Counter[str] = Counter()
    for row in stats["steps"]:
        counted.update(row["retried"])
        counted.update(row["dropped"])
    written, most = Counter[str](), Counter[str]()
    for server in (writer, solver):
        for kind, body in server.log:
            if kind in MARKS:
                is_told = server is writer and not body["messages"][0]["content"].startswith(untold)
                written[MARKS[kind]] += is_told
                most[MARKS[kind]] += 1
    for label in MARKS.values():
        assert 0 < written[label] <= counted[label] <= most[label], (label, counted, written, most)
    assert solver.kinds["truncated"] and solver.kinds["refusal"] and writer.kinds["fences"]
