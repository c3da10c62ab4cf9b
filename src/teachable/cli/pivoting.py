"""`teachable pivot`: search for the tokens that make or break a solution, or show one that was searched.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import (
    ENGINE,
    Base,
    From,
    Json,
    Map,
    MaxCost,
    MaxTokens,
    Out,
    Prompts,
    Seed,
    Sets,
)
from teachable.errors import Stopped, TeachableError

KIND = "pivot"
USUAL = Path("runs") / KIND
RESULTS = ("pivots.parquet", "preferences.parquet", "stats.json")


def pivot(
    prompts: Prompts = None,
    engine: Annotated[str | None, typer.Option("--engine", metavar="ENGINE", help=f"who is searched: {ENGINE}")] = None,
    out: Out = None,
    show: Annotated[
        str | None,
        typer.Option("--show", metavar="ID", help="print a prompt's searched solution, each token in its colour"),
    ] = None,
    gap: Annotated[float | None, typer.Option("--gap", help="least change of success that is pivotal; 0.2")] = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", help="that a reported change exceeds half the gap; 0.95")
    ] = None,
    low: Annotated[float | None, typer.Option("--low", help="success below which a prompt is left out; 0.2")] = None,
    high: Annotated[float | None, typer.Option("--high", help="success above which it is left out; 0.8")] = None,
    min_probability: Annotated[
        float | None, typer.Option("--min-probability", help="least probability of a pair's tokens; 0.05")
    ] = None,
    estimates: Annotated[
        Path | None,
        typer.Option("--estimates", metavar="RUN", help="probing's estimates: a run folder, or an estimates.parquet"),
    ] = None,
    base: Base = None,
    columns: Map = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Find the single tokens that make or break a solution, and make preference pairs of them."""
    folder = out if out is not None else USUAL
    with ending(folder):
        given = {
            "gap": gap, "confidence": confidence, "low": low, "high": high, "min_probability": min_probability
        }  # fmt: skip
        fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if show is not None:
            _refuse_more(prompts, engine, fields)
            _show(out, show, as_json=as_json)
            return
        from teachable.cli.work import mapped, run_stage
        from teachable.recipe.spec import SpendingLimits

        stages = mapped(columns) | {KIND: fields}
        if estimates is not None:
            stages |= _estimates(estimates)
            stages[KIND]["needs"] = {"estimates": "estimates"}
        try:
            run_stage(
                KIND, folder, recipe_path=recipe, sets=sets or [], base=base, prompts=prompts, seed=seed,
                engine=engine, stages=stages, limits=SpendingLimits(max_cost, max_tokens), as_json=as_json,
            )  # fmt: skip
        except Stopped:
            link_results(folder)
            raise
        link_results(folder)


def _refuse_more(prompts: Path | None, engine: str | None, fields: dict[str, Any]) -> None:
    if prompts is not None or engine is not None or fields:
        raise TeachableError(
            "--show only shows what was searched before, so it takes no prompts and no settings",
            where="--show",
            mend="Leave them out, or leave out --show to search",
        )


def _show(out: Path | None, solution: str, *, as_json: bool) -> None:
    """Show a solution of the run in `out`, in the working folder, or in the usual place."""
    from teachable.cli.solution import show_solution

    usual = Path() if Path("manifest.json").is_file() else USUAL
    show_solution(out if out is not None else usual, solution, as_json=as_json)


def _estimates(place: Path) -> dict[str, dict[str, Any]]:
    """The stage that takes over the estimates of that place."""
    from teachable.recipe.probed import files_of

    source, attempts = files_of(place, "--estimates")
    return {
        "estimates": {
            "source": str(source.resolve()),
            "attempts": None if attempts is None else str(attempts.resolve()),
        }
    }


def link_results(folder: Path) -> None:
    """Let the results be found at the top of the run folder too, as links to the files of the stage.

    A link never tells of anything else than the stage's file: while a search with other settings is under way, it
    leads to nothing. A file that is there already, and no link, is left as it is.
    """
    from teachable.store.files import mending

    for name in RESULTS:
        link, target = folder / name, Path(KIND) / name
        if not (folder / target).is_file() or link.is_symlink() or link.exists():
            continue
        with mending(link):
            link.symlink_to(target)
