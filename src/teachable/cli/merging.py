"""The command `merge`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Json
from teachable.errors import TeachableError

if TYPE_CHECKING:
    from teachable.merge import MergeResult, Prediction
    from teachable.recipe.predicting import RunPrediction
    from teachable.records import Progress

PROGRESS_EVERY_S = 10.0


def merge(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL...", help="model folders, tuned from one base; for --predict also one run folder of `tune`"
        ),
    ],
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
        bool, typer.Option("--predict", help="merge nothing: say how much the models, or a run's domains, will clash")
    ] = False,
    probe_examples: Annotated[
        int | None,
        typer.Option("--probe-examples", min=2, help="of a run: examples of each domain whose gradient is taken; 32"),
    ] = None,
    seed_of_model: Annotated[
        int | None,
        typer.Option("--seed-of-model", min=0, help="of a run: which seed's models are compared; the first by default"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Merge models that were tuned from one base into one, tensor by tensor."""
    with ending():
        from teachable.cli.show import print_json
        from teachable.store.files import plain

        settings = {"weights": weights, "scale": scale, "seed": seed, "method": method, "out": out}
        of_run = {"probe_examples": probe_examples, "seed_of_model": seed_of_model}
        if predict:
            if base is None and len(models) == 1 and not (models[0] / "config.json").is_file():
                _refuse(settings, "--predict merges nothing, so {} means nothing to it")
                whole = _predicted_run(models[0], probe_examples, seed_of_model, density)
                text, document = _run_table(whole), plain(whole)
            else:
                _refuse(of_run, "{} is for a run folder, and models are named")
                found = _predicted(models, base, density, settings)
                text, document = _table(found), plain(found)
            if as_json:
                print_json(document)
            else:
                print(text)
            return
        _refuse(of_run, "{} is for --predict, which is not asked for")
        made = _merged(models, base, density, settings)
        if as_json:
            print_json({**plain(made), "folder": str(made.folder)})
        else:
            print(_line(made))


def _predicted(
    models: Sequence[Path], base: Path | None, density: float | None, settings: dict[str, Any]
) -> Prediction:
    from teachable.merge import predict

    _refuse(settings, "--predict merges nothing, so {} means nothing to it")
    if base is None:
        raise TeachableError(
            "a prediction compares what models differ by from a base, and none is named",
            where="merge",
            mend="Name the model that all were tuned from with --base",
        )
    chosen = {} if density is None else {"density": density}
    return predict(models, base=base, on_progress=_Telling("compared"), **chosen)


def _predicted_run(
    run: Path, probe_examples: int | None, seed_of_model: int | None, density: float | None
) -> RunPrediction:
    try:
        from teachable.recipe.predicting import predict_run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "teachable":
            raise
        raise TeachableError(
            f"the prediction for a run needs the package {error.name!r}, which is not installed",
            where="merge",
            mend="Install teachable with its extra: pip install 'teachable[train]'",
        ) from error

    chosen: dict[str, Any] = {"n_probe": probe_examples, "density": density}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    return predict_run(run, seed=seed_of_model, on_progress=_Telling("compared"), **chosen)


def _refuse(settings: Mapping[str, Any], sentence: str) -> None:
    """Raise for the first option that was given and means nothing here."""
    for name, value in settings.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise TeachableError(sentence.format(option), where="merge", mend=f"Leave out {option}")


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


def _said(value: float | None, form: str = "+.3f") -> str:
    return "-" if value is None else format(value, form)


def _table(found: Prediction) -> str:
    """Pairs, the most opposed first; a second table has the cosine of each group of layers."""
    from teachable.cli.show import aligned

    names = [f"{pair.one} / {pair.two}" for pair in found.pairs]
    rows = [["pair", "cosine", "sign conflicts", "shared", "norm ratio", "cancelled"]]
    for name, pair in zip(names, found.pairs, strict=True):
        shares = [_said(value, ".3f") for value in (pair.sign_conflicts, pair.shared)]
        rows.append([name, _said(pair.cosine), *shares, _said(pair.norm_ratio, ".2f"), _said(pair.cancelled, ".3f")])
    groups = list(found.pairs[0].cosine_by_group)
    by_group = [["cosine by group", *groups]]
    for name, pair in zip(names, found.pairs, strict=True):
        by_group.append([name, *(_said(pair.cosine_by_group[group]) for group in groups)])
    norms = [["model", "norm of its change", "over the base's"]]
    for name, norm in found.norms.items():
        norms.append([name, f"{norm:.4g}", f"{norm / found.base_norm:.4g}" if found.base_norm else "-"])
    note = (
        f"{found.n_parameters:,} parameters; sign conflicts and shared: among the {found.density:.0%} largest changes "
        f"of each tensor; independent changes have a cosine of about 0 (within {found.chance:.2g}) and half of their "
        "signs in conflict"
    )
    return "\n\n".join([aligned(rows), aligned(by_group), aligned(norms), note])


def _run_table(found: RunPrediction) -> str:
    """Pairs by their gradients; by weights and wording; the domains; what to know of them."""
    from teachable.cli.show import aligned

    gradients = [["gradients", "aligned", "95% interval", "cosine", "1 to 2", "2 to 1", "opposed"]]
    others = [["weights, wording", "cosine", "sign conflicts", "shared", "cancelled", "prompts", "responses"]]
    for pair in found.pairs:
        name = f"{pair.one} / {pair.two}"
        interval = "-" if pair.gradient_low is None else f"{pair.gradient_low:+.2f} to {pair.gradient_high:+.2f}"
        signed = [_said(value, "+.2f") for value in (pair.gradient_cosine, pair.one_to_two, pair.two_to_one)]
        gradients.append([name, _said(pair.gradient_aligned, "+.2f"), interval, *signed])
        gradients[-1].append(_said(pair.gradient_opposed, ".2f"))
        of_weights = (pair.delta_sign_conflicts, pair.delta_shared, pair.delta_cancelled)
        shares = [_said(value, ".2f") for value in (*of_weights, pair.prompts_shared, pair.responses_shared)]
        others.append([name, _said(pair.delta_cosine, "+.2f"), *shares])
    domains = [["domain", "examples", "probed", "base's loss", "repeat", "opposed", "norm of its change"]]
    domains[0] += ["prompts", "responses", "teachable"]
    for one in found.domains:
        own = [_said(value, ".2f") for value in (one.gradient_repeat, one.gradient_opposed)]
        wording = [_said(value, ".2f") for value in (one.prompts_halves, one.responses_halves)]
        numbers = [f"{one.n_examples:,}", str(one.n_probed), f"{one.loss:.3f}", *own, f"{one.delta_norm:.4g}"]
        domains.append([one.domain, *numbers, *wording, _said(one.zones.get("teachable"), ".0%")])
    return "\n\n".join([aligned(gradients), aligned(others), aligned(domains), "\n".join(_run_notes(found))])


def _run_notes(found: RunPrediction) -> list[str]:
    error = f", a cosine of theirs off by about {found.gradient_error:.1g}" if found.gradient_error else ""
    return [
        f"{found.n_parameters:,} parameters; models of seed {found.seed}; gradients at the base{error}; independent "
        f"changes of weights have a cosine of about 0 (within {found.delta_chance:.2g}).",
        "A domain's own repeat, opposed, prompts and responses compare it with itself: another batch, or two halves.",
        "Pairs are listed with the least aligned first. Near 0, changes leave each other alone; below 0 one undoes the "
        "other; near 1 a sum of weights makes one change twice. None of these numbers says how much a pair will lose.",
        *found.notes,
    ]
