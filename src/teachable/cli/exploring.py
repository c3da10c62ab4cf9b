"""`teachable explore` and `teachable scale`: search on short runs, then run long what has evidence.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Base, From, Json, NeededOut, Out, Seed, Sets
from teachable.errors import TeachableError

EXPLORE, SCALE = "explore", "scale"


def explore(
    out: NeededOut,
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="DOMAIN...", help="domains of the mix; all where none is named")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="your own prompts, JSONL or Parquet")
    ] = None,
    base: Base = None,
    trials: Annotated[int | None, typer.Option("--trials", min=2, help="settings tried in the first round; 9")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", min=1, help="rounds of successive halving; 3")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="trainings of each trial; 2")] = None,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Search mixes and training settings on short runs; write the winner's recipe and the evidence for it."""
    with ending(out):
        from teachable.cli.work import run_stage
        from teachable.store.files import read_json

        given = {"n_trials": trials, "n_rounds": rounds, "seeds": seeds}
        fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if domains or recipe is None:
            fields["domains"] = list(domains or [])
        run_stage(
            EXPLORE, out, recipe_path=recipe, sets=sets or [], base=base, prompts=prompts, seed=seed,
            stages={EXPLORE: fields}, as_json=as_json,
        )  # fmt: skip
        if not as_json:
            print(explored_text(read_json(out / EXPLORE / "stats.json"), out))


def scale(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="a recipe with a stage scale; `teachable explore` writes one")
    ],
    out: Out = None,
    without_evidence: Annotated[
        bool, typer.Option("--without-evidence", help="go on though nothing shows that these settings gain")
    ] = False,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Run the long joint training of a recipe, if there is evidence for its settings."""
    with ending(out):
        from teachable.cli.work import run_stage
        from teachable.recipe.spec import Permissions
        from teachable.store.files import read_json

        folder, stages = _placed(recipe, out, without_evidence=without_evidence)
        run_stage(
            SCALE, folder, recipe_path=recipe, sets=sets or [], seed=seed, stages=stages, as_json=as_json,
            permissions=Permissions(without_evidence=without_evidence),
        )  # fmt: skip
        if not as_json:
            print(scaled_text(read_json(folder / SCALE / "stats.json")))


def _placed(recipe: Path, out: Path | None, *, without_evidence: bool) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The run folder, and what is laid over the recipe.

    The folder is `out`, or the run that the recipe came from, where it still lies in that, or runs/NAME. Stages that
    only that run has are kept in its recipe, so that a search there is not forgotten by the long run after it.

    Raises:
        TeachableError: the recipe has no stage `scale`, or its evidence is not there.
    """
    from teachable.recipe.source import read_source
    from teachable.store.manifest import RunFolder

    source = read_source(recipe)
    document = source.document
    listed = document.get("stages")
    if not isinstance(listed, dict) or SCALE not in listed:
        raise TeachableError(
            "this recipe has no stage scale",
            where=source.where("stages"),
            mend="`teachable explore` ends with one that has, or write one: docs/explore.md",
        )
    name = str(document.get("name"))
    around = [folder for folder in (recipe.parent, recipe.parent.parent) if RunFolder(folder).recipe_name() == name]
    folder = out if out is not None else around[0] if around else Path("runs") / name
    layer: dict[str, dict[str, Any]] = {}
    if (folder / "run.yaml").is_file() and RunFolder(folder).recipe_name() == name:
        before = read_source(folder / "run.yaml").document["stages"]
        layer = {stage: fields for stage, fields in before.items() if stage not in listed}
    evidence = (listed[SCALE] or {}).get("evidence")
    if evidence is not None and not (recipe.resolve().parent / Path(str(evidence)).expanduser()).is_file():
        if not without_evidence:
            raise TeachableError(
                f"there is no evidence {evidence} beside this recipe",
                where=source.where("stages", SCALE, "evidence"),
                mend="Run `teachable explore` and scale the recipe that it writes, or allow it with --without-evidence",
            )
        layer[SCALE] = {"evidence": None}
    return folder, layer


# ---- for people ----


def explored_text(stats: Mapping[str, Any], out: Path) -> str:
    """The table of trials, what the winner proved, and what may follow."""
    from teachable.cli.show import aligned
    from teachable.explore.table import cells

    winner = stats["winner"]
    settings = ", ".join(f"{name} {winner[name]:g}" if isinstance(winner[name], float) else f"{name} {winner[name]}"
                         for name in stats["searched"])  # fmt: skip
    mix = ", ".join(f"{name} {share:.0%}" for name, share in winner["mix"].items())
    parts = [
        aligned(cells(stats["trials"], stats["searched"])),
        stats["evidence"]["sentence"],
        f"winner: {settings}; mix {mix}",
        f"all trials: {out / EXPLORE / 'trials.md'}; the long run: teachable scale {out / stats['recipe']}",
    ]
    return "\n\n".join(parts[:1]) + "\n\n" + "\n".join(parts[1:])


def scaled_text(stats: Mapping[str, Any]) -> str:
    """A line a domain and one for all: base -> scaled with the interval of the gain; how each seed's training ended."""
    lines = []
    for one in stats["gains"]:
        if one["gain"] is None:
            lines.append(f"{one['domain']}: no question that judges could be decided")
            continue
        points = ", ".join(f"{100 * one[name]:+.1f}" for name in ("low", "high"))
        lines.append(
            f"{one['domain']}: {one['base']:.1%} -> {one['tuned']:.1%} on {one['n_questions']:,} questions "
            f"({100 * one['gain']:+.1f} points [{points}])"
        )
    lines += [f"seed {run['seed']}: {run['sentence']}" for run in stats["ended"]]
    return "\n".join([*lines, f"{stats['sentence']}; the model: {stats['path']}"])
