"""The command `merge`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Json
from teachable.errors import TeachableError

if TYPE_CHECKING:
    from teachable.merge import MergeResult, Prediction
    from teachable.records import Progress

PROGRESS_EVERY_S = 10.0


def merge(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="model folders, tuned from one base")],
    base: Annotated[
        Path | None, typer.Option("--base", metavar="MODEL", help="the model folder that all were tuned from")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="METHOD", help="linear, slerp, task_arithmetic, ties, dare or dare_ties"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where the merged model goes; nothing is overwritten")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="W,W...", help="one a model, in their order; all 1 by default")
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", help="multiplies the whole change from the base; 1 by default")
    ] = None,
    density: Annotated[
        float | None,
        typer.Option(
            "--density", help="share of each model's changes that stays: ties 0.2 (the largest), dare 0.5 (at random)"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="of dare's choice; 0 by default")] = None,
    predict: Annotated[
        bool, typer.Option("--predict", help="merge nothing: say how much the models' changes oppose each other")
    ] = False,
    as_json: Json = False,
) -> None:
    """Merge models that were tuned from one base into one, tensor by tensor."""
    with ending():
        from teachable.cli.show import print_json
        from teachable.store.files import plain

        settings = {"weights": weights, "scale": scale, "seed": seed, "method": method, "out": out}
        if predict:
            found = _predicted(models, base, density, settings)
            if as_json:
                print_json(plain(found))
            else:
                print(_table(found))
            return
        made = _merged(models, base, density, settings)
        if as_json:
            print_json({**plain(made), "folder": str(made.folder)})
        else:
            print(_line(made))


def _predicted(
    models: Sequence[Path], base: Path | None, density: float | None, settings: dict[str, Any]
) -> Prediction:
    from teachable.merge import predict

    if given := [f"--{name}" for name, value in settings.items() if value is not None]:
        raise TeachableError(
            f"--predict merges nothing, so {given[0]} means nothing to it", where="merge", mend=f"Leave out {given[0]}"
        )
    if base is None:
        raise TeachableError(
            "a prediction compares what models differ by from a base, and none is named",
            where="merge",
            mend="Name the model that all were tuned from with --base",
        )
    chosen = {} if density is None else {"density": density}
    return predict(models, base=base, on_progress=_Telling("compared"), **chosen)


def _merged(models: Sequence[Path], base: Path | None, density: float | None, settings: dict[str, Any]) -> MergeResult:
    from teachable.merge import METHODS, merge

    if settings["out"] is None or settings["method"] is None:
        lacking, mend = ("--out", "Name a folder") if settings["method"] else ("--method", ", ".join(METHODS))
        raise TeachableError(
            f"{lacking} is missing", where="merge", mend=mend if settings["method"] else f"Choose one of {mend}"
        )
    numbers = {name: value for name, value in settings.items() if value is not None}
    if "weights" in numbers:
        numbers["weights"] = _weights(numbers["weights"])
    return merge(models, base=base, density=density, on_progress=_Telling("merged"), **numbers)


def _weights(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise TeachableError(
            f"{text!r} are no numbers with commas between them", where="merge: --weights", mend="Write such as 0.5,0.5"
        ) from error


class _Telling:
    """A line on stderr every few seconds of a long merge."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._said = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() - self._said < PROGRESS_EVERY_S:
            return
        from teachable.cli.show import tell

        self._said = time.monotonic()
        tell(f"{self._verb} {progress.done:,} of {progress.total:,} {progress.unit}")


def _line(made: MergeResult) -> str:
    from teachable.cli.show import duration, size

    if made.up_to_date:
        return f"{made.folder}: up to date"
    weights = ", ".join(f"{weight:g}" for weight in made.deciding["weights"])
    files = "1 file" if made.n_shards == 1 else f"{made.n_shards} files"
    return (
        f"{made.folder}: {made.deciding['method']} of {len(made.deciding['weights'])} models (weights {weights}), "
        f"{made.n_parameters:,} parameters, {size(made.n_bytes)} in {files}, {duration(made.seconds)}"
    )


def _table(found: Prediction) -> str:
    """Pairs, the most opposed first; a second table has the cosine of each group of layers."""
    from teachable.cli.show import aligned

    def said(value: float | None, form: str = "+.3f") -> str:
        return "-" if value is None else format(value, form)

    names = [f"{pair.one} / {pair.two}" for pair in found.pairs]
    rows = [["pair", "cosine", "sign conflicts", "shared", "norm ratio", "cancelled"]]
    for name, pair in zip(names, found.pairs, strict=True):
        shares = [said(value, ".3f") for value in (pair.sign_conflicts, pair.shared)]
        rows.append([name, said(pair.cosine), *shares, said(pair.norm_ratio, ".2f"), said(pair.cancelled, ".3f")])
    groups = list(found.pairs[0].cosine_by_group)
    by_group = [["cosine by group", *groups]]
    for name, pair in zip(names, found.pairs, strict=True):
        by_group.append([name, *(said(pair.cosine_by_group[group]) for group in groups)])
    norms = [["model", "norm of its change", "over the base's"]]
    for name, norm in found.norms.items():
        norms.append([name, f"{norm:.4g}", f"{norm / found.base_norm:.4g}" if found.base_norm else "-"])
    note = (
        f"{found.n_parameters:,} parameters; sign conflicts and shared: among the {found.density:.0%} largest changes "
        f"of each tensor; independent changes have a cosine of about 0 (within {found.chance:.2g}) and half of their "
        "signs in conflict"
    )
    return "\n\n".join([aligned(rows), aligned(by_group), aligned(norms), note])
