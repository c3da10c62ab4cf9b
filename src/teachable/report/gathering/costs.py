"""What the run paid for, from the ledger: completions, tokens and dollars by stage and by engine.

The manifest says what a stage's result rests on, the ledger what was paid for in its name. The difference is what the
stage found paid for already, by another stage; or what was paid for and is used no longer, after a recipe was changed.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from teachable.errors import TeachableError
from teachable.report.gathering.load import RunReader

Facts = dict[str, Any]
LEDGER = "ledger.sqlite"
SUMMED = ("seconds", "completions", "tokens_in", "tokens_out", "cost_usd", "n_reused", "n_unused", "n_failed")
DIGITS = 16  # of a model's digest in the name of an engine that computes here
COUNTS = ("completions", "tokens_in", "tokens_out", "cost_usd")
_PAID = """
SELECT stage, engine, COUNT(*), SUM(n_prompt_tokens), SUM(n_tokens), SUM(cost_usd)
FROM completions GROUP BY stage, engine ORDER BY stage, engine
"""
_FAILED = "SELECT stage, COUNT(*) FROM failures GROUP BY stage"


def cost_facts(reader: RunReader, stages: Sequence[Facts]) -> Facts:
    """The ledger's sums beside those of the manifest; `found` is False where the run has no ledger.

    Args:
        stages: the manifest's stages (`reproduce.stage_facts`).
    """
    paid, failed = _read(reader)
    names = _model_names(reader)
    engines = [{**one, "model": _model_of(one["engine"], names)} for one in paid]
    by_stage: dict[str, Facts] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for one in paid:
        for name in COUNTS:
            by_stage[one["stage"]][name] += one[name]
    rows = [_row(one["stage"], one, by_stage.get(one["stage"]), failed) for one in stages]
    known = {one["stage"] for one in stages}
    rows += [_row(stage, {}, sums, failed) for stage, sums in by_stage.items() if stage not in known]
    return {
        "found": bool(paid),
        "engines": engines,
        "stages": rows,
        "totals": {
            "paid": {name: sum(one["paid"][name] for one in rows) for name in COUNTS},
            **{name: sum(one[name] or 0 for one in rows) for name in SUMMED},
        },
        "priced": any(one["cost_usd"] for one in rows),
    }


def _row(stage: str, used: Facts, paid: Facts | None, failed: dict[str, int]) -> Facts:
    """One stage: what it took, what of that was paid in its name, and what the money was."""
    completions = used.get("completions") or 0
    bought = paid["completions"] if paid else 0
    return {
        "stage": stage,
        "seconds": used.get("seconds"),
        "prompts": used.get("prompts"),
        "completions": completions,
        **{name: used.get(name) or 0 for name in ("tokens_in", "tokens_out")},
        "paid": dict(paid or dict.fromkeys(COUNTS, 0)),
        "cost_usd": paid["cost_usd"] if paid else used.get("cost_usd") or 0.0,
        "n_reused": max(0, completions - bought) if paid else 0,
        "n_unused": max(0, bought - completions),
        "n_failed": failed.get(stage, 0),
    }


def _read(reader: RunReader) -> tuple[list[Facts], dict[str, int]]:
    """Sums by stage and engine, and failed requests by stage. The ledger is only read, also while a run writes it."""
    path = reader.run / LEDGER
    if not path.is_file():
        return [], {}
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as database:
            found = [dict(zip(("stage", "engine", *COUNTS), row, strict=True)) for row in database.execute(_PAID)]
            return found, dict(database.execute(_FAILED).fetchall())
    except sqlite3.Error as error:
        raise TeachableError(
            f"the ledger cannot be read ({error})", where=str(path), mend="Restore the file, or report on a copy"
        ) from error


def _model_names(reader: RunReader) -> dict[str, str]:
    """The first digits of a model's digest, or an engine's whole name, -> what the page calls the model."""
    names: dict[str, str] = {}
    for row in reader.json(f"{reader.folders['evaluate']}/stats.json", note=False).get("models") or []:
        asked = (row.get("engine") or {}).get("names") or []
        # Of several models in one arm the evaluation says no more than that; the trainings below do.
        names |= {str(name): str(row["arm"]) for name in asked if len(asked) == 1}
    for stage in (reader.folders["sft"], *reader.stages_of("dpo"), *reader.stages_of("judge_dpo")):
        for row in reader.table(f"{stage}/runs.parquet", ("arm", "seed", "digest"), note=False):
            if row.get("digest"):
                names[str(row["digest"])[:DIGITS]] = f"{row['arm']}-{row['seed']}"
    base = reader.json(f"{reader.folders['pretrain']}/stats.json", note=False).get("digest")
    return {**names, **({str(base)[:DIGITS]: "base"} if base else {})}


def _model_of(engine: str, names: dict[str, str]) -> str:
    """The model that an engine of this name samples from, as far as the run knows it."""
    parts = (part[:DIGITS] for part in engine.split(":"))
    return next((name for part in parts if (name := names.get(part))), names.get(engine, ""))
