"""`teachable train dpo`: tune a model on a file of preference pairs.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Base, From, Json, NeededOut, Seed, Sets
from teachable.errors import TeachableError

KIND = "dpo"
PAIRS = "preferences"  # the stage that reads the file, its kind, and the role that it fills
HELD_OUT = "heldout"  # the stage that reads what must not be trained on, and the role that it fills


def dpo(
    out: NeededOut,
    preferences: Annotated[
        Path | None,
        typer.Argument(metavar="PREFERENCES", help="pairs with prompt, chosen and rejected, JSONL or Parquet"),
    ] = None,
    heldout: Annotated[
        list[str] | None,
        typer.Option(
            "--heldout",
            metavar="TASK",
            help="refuse pairs that overlap these questions: a file of prompts, or a benchmark as in evaluate --tasks; "
            "may be repeated",
        ),
    ] = None,
    base: Base = None,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Tune a model on preference pairs: a chosen against a rejected continuation of the same prompt."""
    with ending(out):
        from teachable.cli.work import run_stage

        stages: dict[str, dict[str, Any]] = {}
        if preferences is not None:
            _refuse_no_file(preferences)
            stages = {PAIRS: {"source": str(preferences)}, KIND: {"needs": {PAIRS: PAIRS}}}
        elif recipe is None and not (out / "run.yaml").is_file():
            raise TeachableError(
                "no file of preference pairs is named", where="train dpo", mend="Name one, or a recipe with --recipe"
            )
        if heldout:
            needs = stages.get(KIND, {}).get("needs", {})
            stages[KIND] = {"needs": {**needs, HELD_OUT: HELD_OUT}}
            stages[HELD_OUT] = {"kind": "tasks", "source": "none", "benchmarks": heldout}
        run_stage(KIND, out, recipe_path=recipe, sets=sets or [], base=base, seed=seed, stages=stages, as_json=as_json)


def _refuse_no_file(path: Path) -> None:
    """Say it before a base is fetched or pretrained."""
    from teachable.store.files import ROW_FORMATS, require_file

    require_file(path, ROW_FORMATS)
