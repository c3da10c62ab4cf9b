"""What changed between the data of two runs: questions, what probing learnt, decisions, and what was trained on.

Everything is joined by id. A prompt whose id is the digest of its content can't change under it; one from a file that
brings its own ids can, and such changes are counted, because scores and estimates of that id then mean another thing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from teachable.recipe.differences.folders import LISTED, ComparedRun, Row, listed
from teachable.records import ZONES, content_id
from teachable.stats import paired_difference

PAIR_KINDS = ("pivot", "judge_pairs", "preferences")
PAIR = ("prompt", "chosen", "rejected")


def data_difference(first: ComparedRun, second: ComparedRun) -> dict[str, Any]:
    """Pool, held-out questions, estimates, decisions, examples and pairs; each None where either run lacks it."""
    pools = prompts_of(first, "prompts.parquet"), prompts_of(second, "prompts.parquet")
    held = prompts_of(first, "heldout.parquet"), prompts_of(second, "heldout.parquet")
    return {
        "pool": _questions(*pools),
        "heldout": _questions(*held),
        "crossed": {
            "baseline_heldout_in_other_pool": listed(set(held[0] or ()) & set(pools[1] or ())),
            "other_heldout_in_baseline_pool": listed(set(held[1] or ()) & set(pools[0] or ())),
        },
        "estimates": _estimates(first.rows("probe", "estimates.parquet"), second.rows("probe", "estimates.parquet")),
        "decisions": _decisions(first.rows("select", "decisions.parquet"), second.rows("select", "decisions.parquet")),
        "examples": _examples(example_sets(first), example_sets(second)),
        "pairs": _pair_sets(first, second),
    }


def prompts_of(run: ComparedRun, file: str) -> dict[str, Row] | None:
    """The prompts of a file of the tasks stage by id."""
    rows = run.rows("tasks", file)
    return None if rows is None else {row["id"]: row for row in rows}


def text_of(row: Row) -> str:
    """A prompt's messages as one text, for telling whether two rows ask the same."""
    return content_id([(message["role"], message["content"]) for message in row["messages"]])


def _questions(first: Mapping[str, Row] | None, second: Mapping[str, Row] | None) -> dict[str, Any] | None:
    if first is None or second is None:
        return None
    both = first.keys() & second.keys()
    counts = [Counter(row["domain"] for row in rows.values()) for rows in (first, second)]
    return {
        "n_baseline": len(first),
        "n_other": len(second),
        "n_both": len(both),
        "only_baseline": listed(first.keys() - both),
        "only_other": listed(second.keys() - both),
        "text_changed": listed({one for one in both if text_of(first[one]) != text_of(second[one])}),
        "answer_changed": listed({one for one in both if first[one]["answer"] != second[one]["answer"]}),
        "domains": [
            {"domain": domain, "baseline": counts[0][domain], "other": counts[1][domain]}
            for domain in sorted({*counts[0], *counts[1]})
        ],
    }


# ---- what probing learnt ----


def _estimates(first: Sequence[Row] | None, second: Sequence[Row] | None) -> dict[str, Any] | None:
    """Zones from and to, of the prompts that both runs probed, and how their mean pass rate moved."""
    if first is None or second is None:
        return None
    before, after = ({row["prompt_id"]: row for row in rows} for rows in (first, second))
    both = sorted(before.keys() & after.keys())
    moved = Counter((before[one]["zone"], after[one]["zone"]) for one in both)
    tried = [one for one in both if before[one]["n"] and after[one]["n"]]
    found = paired_difference(*([_pass_rate(rows[one]) for one in tried] for rows in (after, before)))
    means = [sum(_pass_rate(rows[one]) for one in tried) / len(tried) if tried else None for rows in (before, after)]
    return {
        "n_baseline": len(before),
        "n_other": len(after),
        "n_both": len(both),
        "zones": [
            {"baseline": zone, "other": other, "n": moved[zone, other]}
            for zone in ZONES
            for other in ZONES
            if moved[zone, other]
        ],
        "n_changed": sum(n for (zone, other), n in moved.items() if zone != other),
        "pass_rate": {
            "n": len(tried),
            "baseline": means[0],
            "other": means[1],
            **{
                name: finite(getattr(found, where))
                for name, where in (("diff", "mean"), ("low", "low"), ("high", "high"))
            },
        },
    }


def _pass_rate(row: Row) -> float:
    """The posterior mean of an estimate's pass rate."""
    return float(row["posterior_a"] / (row["posterior_a"] + row["posterior_b"]))


def finite(value: float) -> float | None:
    """The number, or None for NaN and infinities, which JSON lacks."""
    return value if math.isfinite(value) else None


# ---- what was decided and trained on ----


def _decisions(first: Sequence[Row] | None, second: Sequence[Row] | None) -> dict[str, Any] | None:
    """Which prompts entered and left the selected set, why, and from which zone to which."""
    if first is None or second is None:
        return None
    before, after = ({row["prompt_id"]: row for row in rows} for rows in (first, second))
    chosen = [{one for one, row in rows.items() if row["decision"] == "in"} for rows in (before, after)]
    entered, left = chosen[1] - chosen[0], chosen[0] - chosen[1]
    changes = [_change("entered", one, before.get(one), after.get(one)) for one in sorted(entered)]
    changes += [_change("left", one, before.get(one), after.get(one)) for one in sorted(left)]
    return {
        "n_baseline": len(chosen[0]),
        "n_other": len(chosen[1]),
        "n_both": len(chosen[0] & chosen[1]),
        "n_entered": len(entered),
        "n_entered_new": len(entered - before.keys()),
        "n_left": len(left),
        "n_left_gone": len(left - after.keys()),
        "changes": changes[:LISTED],
    }


def _change(what: str, prompt_id: str, before: Row | None, after: Row | None) -> dict[str, Any]:
    """One prompt that entered or left; a zone is None where that run did not have the prompt."""
    telling = after if after is not None else before
    return {
        "change": what,
        "prompt_id": prompt_id,
        "domain": (telling or {}).get("domain"),
        "zone_baseline": before["zone"] if before else None,
        "zone_other": after["zone"] if after else None,
        "reason": after["reason"] if after else "no longer in the pool",
    }


def example_sets(run: ComparedRun) -> dict[str, list[Row]] | None:
    """The training examples of a run by set: the selected pool, and those of each arm and seed."""
    folder = run.folder("select")
    if folder is None:
        return None
    names = {"selected pool": "examples.jsonl"}
    names |= {path.stem: f"examples/{path.name}" for path in sorted((folder / "examples").glob("*.jsonl"))}
    found = {name: run.rows("select", file) for name, file in names.items()}
    return {name: rows for name, rows in found.items() if rows is not None}


def _examples(
    first: Mapping[str, Sequence[Row]] | None, second: Mapping[str, Sequence[Row]] | None
) -> list[dict[str, Any]] | None:
    """Set by set: how many examples both have, word for word, and how many prompts got another response."""
    if first is None or second is None:
        return None
    found = []
    for name in dict.fromkeys([*first, *second]):
        sides = [
            {content_id(row["messages"]): row["prompt_id"] for row in rows.get(name, ())} for rows in (first, second)
        ]
        both = sides[0].keys() & sides[1].keys()
        only = [side.keys() - both for side in sides]
        prompts = [{side[one] for one in lone} for side, lone in zip(sides, only, strict=True)]
        found.append(
            {
                "set": name,
                "n_baseline": len(sides[0]) if name in first else None,
                "n_other": len(sides[1]) if name in second else None,
                "n_both": len(both),
                "only_baseline": listed(only[0]),
                "only_other": listed(only[1]),
                "n_other_response": len(prompts[0] & prompts[1]),
            }
        )
    return found


def _pair_sets(first: ComparedRun, second: ComparedRun) -> list[dict[str, Any]]:
    """Preference pairs by the stage that made them, where both runs have such a stage."""
    found = []
    for kind in PAIR_KINDS:
        rows = [run.rows(kind, "preferences.parquet") for run in (first, second)]
        if rows[0] is None or rows[1] is None:
            continue
        ids = [{content_id(*(row.get(part) for part in PAIR)) for row in side or ()} for side in rows]
        found.append({"kind": kind, "n_baseline": len(ids[0]), "n_other": len(ids[1]), "n_both": len(ids[0] & ids[1])})
    return found
