"""`teachable tune`: tune the base one domain at a time, freeze what each was tuned on, and add domain to domain.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Base, From, Json, NeededOut, Seed, Sets
from teachable.errors import TeachableError

KIND = "tune"
WAYS = ("data", "sequential", "weights")
ENDED = {
    "plateau": "a plateau",
    "max_steps": "the most steps allowed",
    "max_epochs": "the most rounds allowed",
}


def tune(
    out: NeededOut,
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="DOMAIN...", help="domains, in their order; all where none is named")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="your own prompts, JSONL or Parquet")
    ] = None,
    base: Base = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="models a domain; 1")] = None,
    rate: Annotated[float | None, typer.Option("--lr", help="peak learning rate; 0.0004")] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add", metavar="WAY", help="then add domain to domain: data, sequential or weights; may be repeated"
        ),
    ] = None,
    refreeze: Annotated[
        list[str] | None,
        typer.Option("--refreeze", metavar="DOMAIN", help="replace this domain's frozen set; may be repeated"),
    ] = None,
    allow_regression: Annotated[
        bool, typer.Option("--allow-regression", help="go on though an addition has cost an earlier domain")
    ] = False,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Tune the base on each domain until its held-out questions show no more gain, and freeze its training set."""
    with ending(out):
        from teachable.cli.work import run_stage
        from teachable.recipe.spec import Permissions

        fields: dict[str, Any] = {"seeds": seeds, "learning_rate": rate}
        fields = {name: value for name, value in fields.items() if value is not None}
        if domains or recipe is None:
            fields["domains"] = list(domains or [])
        added = _stages_of(add or [])
        run_stage(
            KIND, out, recipe_path=recipe, sets=sets or [], base=base, prompts=prompts, seed=seed,
            stages={KIND: fields, **added}, until=list(added), start=KIND if refreeze else None, as_json=as_json,
            permissions=Permissions(refreeze=tuple(refreeze or []), allow_regression=allow_regression),
        )  # fmt: skip
        if not as_json:
            _show(out, list(added))


def _stages_of(ways: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A stage a way of adding.

    Raises:
        TeachableError: there is no such way.
    """
    for way in ways:
        if way not in WAYS:
            raise TeachableError(
                f"{way!r} is no way to add a domain", where="--add", mend=f"Choose {', '.join(WAYS[:-1])} or {WAYS[-1]}"
            )
    return {f"add_{way}": {"kind": "add", "way": way} for way in dict.fromkeys(ways)}


def _show(out: Path, added: Sequence[str]) -> None:
    """What was gained, and what each way of adding came to."""
    from teachable.store.files import read_json

    if added:
        from teachable.cli.added import added_text

        for name in added:
            print(added_text(read_json(out / name / "stats.json")))
    print(tuned_text(read_json(out / KIND / "stats.json")))


def tuned_text(stats: Mapping[str, Any]) -> str:
    """A line a domain: base -> tuned with the interval of the gain, the steps of each seed, and why they ended."""
    lines = []
    for gain in stats["gains"]:
        runs = [run for run in stats["ended"] if run["arm"] == gain["domain"]]
        reasons = " and ".join(dict.fromkeys(ENDED[run["stopped"]] for run in runs))
        steps = ", ".join(f"{run['n_steps']:,}" for run in runs)
        lines.append(f"{gain['domain']}: {_gained(gain)}; {steps} steps, ended by {reasons}")
    return "\n".join(lines)


def _gained(gain: Mapping[str, Any]) -> str:
    if gain["gain"] is None:
        return "no question that judges could be decided"
    points = {name: f"{100 * gain[name]:+.1f}" for name in ("gain", "low", "high")}
    return (
        f"{gain['base']:.1%} -> {gain['tuned']:.1%} on {gain['n_questions']:,} questions "
        f"({points['gain']} points, 95% interval {points['low']} to {points['high']})"
    )
