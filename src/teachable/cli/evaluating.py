"""`teachable evaluate`: the command, its options, and what it prints.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import ENGINE, From, Json, MaxCost, MaxTokens, NeededOut, Seed
from teachable.cli.placing import placed
from teachable.errors import TeachableError

if TYPE_CHECKING:
    from teachable.recipe.config import Recipe

NAME, REPORT = "evaluate", "report"
_TASK = "NAME, NAME=PATH, gym:FAMILY, lm_eval:NAME, or a file of your own prompts"
_SETTABLE = (
    "evaluate.FIELD, tasks.FIELD, model.FIELD of every MODEL, model1.FIELD of the first, judge.FIELD, resources.FIELD"
)


def evaluate(
    out: NeededOut,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...", help=f"a model folder or hub id, or {ENGINE}; none: the recipe's own models"
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", metavar="TASK[,TASK]", help=f"what is asked: {_TASK}; may be repeated"),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", min=0, metavar="K", help="sampled answers to each question; 4; 0: the greedy one alone"),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option("--temperature", metavar="T", help="of the sampled answers, above 0; 1")
    ] = None,
    longest: Annotated[
        int | None,
        typer.Option("--max-tokens-per-answer", min=1, metavar="N", help="where a task does not say otherwise; 256"),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, metavar="N", help="most questions of each task; all")
    ] = None,
    judge: Annotated[
        str | None, typer.Option("--judge", metavar="ENGINE", help="who judges, for tasks that a judge decides")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what it would ask and cost, and run nothing")] = False,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    recipe: From = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="A.B=C", help=f"set a field: {_SETTABLE}; may be repeated")
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Ask several models the same questions, and say which is better by how much and how surely."""
    with ending(out):
        from teachable.recipe.spec import SpendingLimits

        given = {"n_samples": k, "temperature": temperature, "max_tokens": longest}
        fields = {name: value for name, value in given.items() if value is not None}
        named = [task.strip() for text in tasks or [] for task in text.split(",") if task.strip()]
        asked = recipe_of(out, models or [], named, fields, limit, judge, recipe, sets or [], seed)
        if dry_run:
            _plan(asked, out, as_json=as_json)
        else:
            _run(asked, out, SpendingLimits(max_cost, max_tokens), as_json=as_json)


# ---- from options to a recipe ----


def recipe_of(
    out: Path,
    models: Sequence[str],
    tasks: Sequence[str],
    fields: Mapping[str, Any],
    limit: int | None = None,
    judge: str | None = None,
    recipe: Path | None = None,
    sets: Sequence[str] = (),
    seed: int | None = None,
) -> Recipe:
    """The recipe that the options stand for: a run's own with the options laid over it, or one of three stages.

    Args:
        out: the run folder. Where it holds the run of a recipe that does more than evaluate, MODELs are asked beside
            the run's own.
        models, tasks, judge: as text.
        fields: of the stage `evaluate`, by options of their own.
        limit: questions of a task.
        recipe: a recipe's file, in place of the one that `out` holds.
        sets: the `--set` options, laid over all the others.

    Raises:
        TeachableError: there is no model or no task, one of them is none, or a field is set that there is not.
    """
    from teachable.cli import wiring
    from teachable.recipe.load import recipe_from
    from teachable.recipe.source import COMMAND_LINE, Source, layered, read_source

    path = recipe if recipe is not None else out / "run.yaml" if (out / "run.yaml").is_file() else None
    below = read_source(path) if path is not None else None
    if models and recipe is None and below is not None and below.document.get("name") == NAME:
        path = below = None  # this command's own folder: what is named now counts, not what was named before
    own_sets, engines, judged = _engines(models, judge, sets)
    stages: dict[str, dict[str, Any]] = {NAME: dict(fields), "tasks": {} if limit is None else {"limit": limit}}
    stages[NAME] |= {"beside": engines, "labels": []} if engines else {}
    stages[NAME] |= {"judge": judged} if judged is not None else {}
    if below is None:
        _refuse_nothing(models, tasks)
        below = Source({"name": NAME, "stages": {}, **_sampled(engines[0])}, {}, "teachable evaluate")
        stages["tasks"] |= {"source": "none", "benchmarks": list(tasks)}
        stages[REPORT] = {}
    elif tasks:
        raise TeachableError(
            f"the recipe {below.document.get('name')!r} has questions of its own",
            where="--tasks",
            mend="Leave --tasks out, or name another folder with --out",
        )
    if not isinstance(below.document.get("stages"), dict):
        raise TeachableError("a recipe lists at least one stage", where=below.where("stages"))
    listed = {stage: values for stage, values in stages.items() if values or stage in (NAME, REPORT)}
    places = {f"stages.{stage}.{field}": COMMAND_LINE for stage, values in listed.items() for field in values}
    layer: dict[str, Any] = {"stages": listed} | ({} if seed is None else {"seed": seed})
    folder = path.resolve().parent if path is not None else Path.cwd()
    source = layered(below, Source(layer, places, below.name))
    return recipe_from(source, own_sets, kinds=wiring.kinds(), folder=folder)


def _sampled(first: Mapping[str, Any]) -> dict[str, Any]:
    """What the recipe says is sampled from: the first model. Rates that are measured are remembered by its name."""
    return {"base": first["model"]} if first["kind"] == "transformers" else {"engine": dict(first)}


def _refuse_nothing(models: Sequence[str], tasks: Sequence[str]) -> None:
    """Raise where nobody is asked, or nothing."""
    if not models:
        raise TeachableError("no model is named", where=NAME, mend="Name the base first, then the others")
    if not tasks:
        raise TeachableError("no task is named", where=NAME, mend=f"Write --tasks TASK: {_TASK}")


def _engines(
    models: Sequence[str], judge: str | None, sets: Sequence[str]
) -> tuple[list[str], list[dict[str, Any]], dict[str, Any] | None]:
    """The `--set` options that are not of an engine, and the settings of the models and of the judge with the others.

    Raises:
        TeachableError: one of them is no engine or names no model, or a `--set` is of a model that there is not.
    """
    from teachable.cli.work import engine_settings
    from teachable.recipe.source import Source, overridden

    names = [f"model{number}" for number in range(1, len(models) + 1)]
    document: dict[str, Any] = {name: engine_settings(text, "MODEL") for name, text in zip(names, models, strict=True)}
    document |= {"judge": engine_settings(judge, "--judge")} if judge is not None else {}
    known = {*document, *(["model"] if models else [])}
    heads = [one.partition("=")[0].partition(".")[0].strip() for one in sets]
    for one, head in zip(sets, heads, strict=True):
        if head not in known and (head == "judge" or head.rstrip("0123456789") == "model"):
            raise TeachableError(f"there is no {head!r} to set", where=f"--set {one}", mend=f"There are {_SETTABLE}")
    of_engines = [one for one, head in zip(sets, heads, strict=True) if head in known]
    found = overridden(Source({"model": {}, **document}, {}, "teachable evaluate"), of_engines, ()).document
    for name, settings in found.items():
        if not isinstance(settings, Mapping):
            raise TeachableError(f"{name} is no field but holds fields", where="--set", mend=f"There are {_SETTABLE}")
    beside = [
        placed({**found["model"], **found[name]}, f"MODEL {text}") for name, text in zip(names, models, strict=True)
    ]
    judged = placed(found["judge"], "--judge") if judge is not None else None
    return [one for one, head in zip(sets, heads, strict=True) if head not in known], beside, judged


# ---- the work ----


def _last(asked: Recipe) -> str:
    """The stage to stop after: the report in this command's own folder, the evaluation in another recipe's run."""
    return REPORT if asked.name == NAME else NAME


def _plan(asked: Recipe, out: Path, *, as_json: bool) -> None:
    """What would be asked, and what it would cost."""
    from teachable.cli import wiring
    from teachable.cli.show import print_json
    from teachable.cli.work import plan_text
    from teachable.recipe.plan import make_plan
    from teachable.store.manifest import RunFolder

    plan = make_plan(asked, RunFolder(out), wiring.kinds(), until=_last(asked))
    if as_json:
        print_json(plan.document())
    else:
        print(plan_text(plan))


def _run(asked: Recipe, out: Path, limits: Any, *, as_json: bool) -> None:
    """Run it, and say what came of it. Where requests failed before, the stage is done again: they alone are asked."""
    from teachable.cli import wiring
    from teachable.cli.evaluated import evaluated_text
    from teachable.cli.show import print_json, watching
    from teachable.recipe.run import run_recipe
    from teachable.store.files import read_json
    from teachable.store.manifest import RunFolder

    path = out / NAME / "stats.json"
    again = path.is_file() and bool(read_json(path).get("failed_requests"))
    around, watcher = watching()
    with around:
        done = run_recipe(
            asked, RunFolder(out), wiring.kinds(), wiring.runner_for, watcher, until=_last(asked),
            start=NAME if again else None, limits=limits,
        )  # fmt: skip
    stats = read_json(path)
    up_to_date = NAME not in done.ran
    if as_json:
        print_json({"out": str(out), "up_to_date": up_to_date, **stats})
    else:
        print(evaluated_text(stats, out, up_to_date=up_to_date))
