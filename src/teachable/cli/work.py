"""What the commands that run something share: load, run, say what came of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from teachable.cli import wiring
from teachable.cli.show import duration, print_json, size, watching
from teachable.engines.config import EngineConfig, engine_from
from teachable.errors import TeachableError
from teachable.recipe.accelerating import refuse_ranks, refuse_what_is_missing
from teachable.recipe.config import Recipe
from teachable.recipe.load import load_recipe, recipe_from
from teachable.recipe.plan import Plan, make_plan
from teachable.recipe.run import RunSummary, run_recipe
from teachable.recipe.source import COMMAND_LINE, Source, layered, read_source
from teachable.recipe.spec import Permissions, SpendingLimits
from teachable.store.files import read_json
from teachable.store.manifest import RunFolder

ASKS_THE_POOL = ("probe", "pivot", "judge_pairs")
OF_THE_POOL = ("select", "tune", "explore")  # what rests on the pool alone, and on no arms
REPORT_ROLES = ("tasks", "pretrain", "probe", "select", "sft", "evaluate")


def folder_of(recipe: Recipe, out: Path | None) -> RunFolder:
    """The run folder: `out`, or runs/NAME below the working folder."""
    return RunFolder(out if out is not None else Path("runs") / recipe.name)


def run_file(
    recipe_path: Path,
    out: Path | None,
    sets: Sequence[str],
    *,
    until: str | None = None,
    start: str | None = None,
    as_json: bool = False,
    layers: Sequence[Path] = (),
    limits: SpendingLimits | None = None,
    engine: str | None = None,
) -> None:
    """Run a recipe file, with an engine of its own if one is named, and say what came of it."""
    recipe = load_recipe(recipe_path, _with_engine(recipe_path, engine, sets), kinds=wiring.kinds(), layers=layers)
    carry_out(recipe, folder_of(recipe, out), until=until, start=start, as_json=as_json, limits=limits)


def carry_out(
    recipe: Recipe,
    run: RunFolder,
    *,
    until: str | Sequence[str] | None = None,
    start: str | None = None,
    as_json: bool = False,
    limits: SpendingLimits | None = None,
    permissions: Permissions | None = None,
) -> None:
    """Run a recipe and say what came of it: a line for people, or the whole summary as JSON.

    Raises:
        TeachableError: the command is run in every process of an `accelerate launch`; and what `run_recipe` raises.
    """
    refuse_ranks()
    refuse_what_is_missing(recipe.resources)
    context, watcher = watching()
    with context:
        summary = run_recipe(
            recipe, run, wiring.kinds(), wiring.runner_for, watcher, until=until, start=start, limits=limits,
            permissions=permissions,
        )  # fmt: skip
    if as_json:
        print_json(_summary_document(summary))
    else:
        print(_summary_line(summary))


_RESULTS = {
    "probe": "estimates.parquet",
    "select": "decisions.parquet",
    "pivot": "pivots.parquet",
    "judge_pairs": "preferences.parquet",
}


def _results(summary: RunSummary) -> str:
    """The run folder, or the file that answers the question where the run ends with the asking of it."""
    name, entry = list(summary.entries.items())[-1]
    return str(summary.run / name / _RESULTS[entry.kind]) if entry.kind in _RESULTS else str(summary.run)


def _report(run: Path) -> str:
    path = run / "report.html"
    return f" (report: {path})" if path.is_file() else ""


def verdict(run: Path) -> str | None:
    """The evaluation's verdict in one sentence, if the run has come to one."""
    path = run / "evaluate" / "stats.json"
    stats: Any = read_json(path) if path.is_file() else {}
    found = stats.get("verdict", {}) if isinstance(stats, dict) else {}
    sentence = found.get("sentence") if isinstance(found, dict) else None
    return str(sentence) if sentence else None


def _summary_line(summary: RunSummary) -> str:
    if not summary.ran:
        return f"{summary.recipe}: everything is up to date in {summary.run}{_report(summary.run)}"
    seconds = sum(summary.entries[name].seconds for name in summary.ran)
    sentence = verdict(summary.run) if "evaluate" in summary.entries else None
    line = f"{summary.recipe}: done in {duration(seconds)}, results in {_results(summary)}{_report(summary.run)}"
    return f"{sentence}\n{line}" if sentence else line


def _summary_document(summary: RunSummary) -> dict[str, Any]:
    report = summary.run / "report.html"
    return {
        "recipe": summary.recipe,
        "run": str(summary.run),
        "up_to_date": not summary.ran,
        "ran": list(summary.ran),
        "stages": {
            name: {
                "kind": entry.kind,
                "key": entry.key,
                "seconds": entry.seconds,
                "prompts": entry.prompts,
                "completions": entry.completions,
                "tokens_in": entry.tokens_in,
                "tokens_out": entry.tokens_out,
                "cost_usd": entry.cost_usd,
                "note": entry.note,
            }
            for name, entry in summary.entries.items()
        },
        "verdict": verdict(summary.run) if "evaluate" in summary.entries else None,
        "report": str(report) if report.is_file() else None,
    }


def _with_engine(recipe_path: Path, engine: str | None, sets: Sequence[str]) -> list[str]:
    """The overrides, those that an --engine stands for before the others."""
    if engine is None:
        return list(sets)
    if engine == "openai":  # another server for what the recipe names
        return ["engine.kind=openai", *sets]
    settings = engine_settings(engine, "--engine", read_source(recipe_path).document.get("engine"))
    return [*(f"engine.{field}={json.dumps(value)}" for field, value in settings.items()), *sets]


def plan_file(
    recipe_path: Path, out: Path | None, sets: Sequence[str], *, as_json: bool, engine: str | None = None
) -> None:
    """Say what a run of a recipe file would do and cost."""
    recipe = load_recipe(recipe_path, _with_engine(recipe_path, engine, sets), kinds=wiring.kinds())
    plan = make_plan(recipe, folder_of(recipe, out), wiring.kinds())
    if as_json:
        print_json(plan.document())
    else:
        print(plan_text(plan))


def plan_text(plan: Plan) -> str:
    """A plan as a table for people."""
    priced = any(stage.forecast.cost_usd for stage in plan.to_run)
    head = ("stage", "", "prompts", "completions", "tokens", *(["cost"] if priced else []), "minutes", "disk", "why")
    rows = [
        (stage.name, "cached", *[""] * (len(head) - 2))
        if stage.cached
        else (
            stage.name,
            "run",
            f"{stage.forecast.prompts:,}",
            f"{stage.forecast.completions:,}",
            f"{stage.forecast.tokens:,}",
            *([f"${stage.forecast.cost_usd:,.2f}"] if priced else []),
            f"{stage.seconds / 60:.1f}",
            size(stage.forecast.disk_bytes),
            stage.reason,
        )
        for stage in plan.stages
    ]
    lines = _in_columns(head, rows, left=(0, 1, len(head) - 1))
    lines += _trainings(plan)
    total = plan.document()["total"]
    dollars = f", ${total['cost_usd']:,.2f}" if priced else ""
    if plan.to_run:
        lines.append(
            f"{plan.recipe} in {plan.run}: {len(plan.to_run)} of {len(plan.stages)} stages will run, "
            f"about {total['minutes']:.1f} minutes{dollars} and {size(total['disk_bytes'])}; {_rates(plan)}"
        )
    else:
        lines.append(f"{plan.recipe}: everything is up to date in {plan.run}{_report(Path(plan.run))}")
    return "\n".join(lines)


def _in_columns(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int]) -> list[str]:
    """A table's lines; the columns `left` begin at one edge, the others end at one."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]


def _trainings(plan: Plan) -> list[str]:
    """What trainings need, as a second table, and what it rests on."""
    found = [(stage, needs) for stage in plan.stages if (needs := stage.training()) is not None]
    if not found:
        return []
    rows = [
        (
            stage.name,
            f"{needs['steps']:,}",
            f"{stage.forecast.tokens:,}",
            f"{needs['devices']:,}",
            size(needs["device_bytes"]) if needs["device_bytes"] else "unknown",
            f"{needs['device_hours']:,.2f}" if needs["device_hours"] < 100 else f"{needs['device_hours']:,.0f}",
        )
        for stage, needs in found
    ]
    head = ("training", "steps", "tokens", "devices", "memory/device", "device-hours")
    bases = dict.fromkeys(needs["basis"] for _, needs in found)
    return ["", *_in_columns(head, rows, left=(0,)), *(f"({basis})" for basis in bases), ""]


def _rates(plan: Plan) -> str:
    measured = [stage.name for stage in plan.to_run if stage.rate == "measured"]
    if len(measured) == len(plan.to_run):
        return "minutes from rates measured on this machine"
    if not measured:
        return "minutes from stated defaults, since this machine has measured none yet"
    return f"minutes measured on this machine for {', '.join(measured)}, stated defaults for the rest"


def run_stage(
    kind: str,
    out: Path,
    *,
    recipe_path: Path | None = None,
    sets: Sequence[str] = (),
    base: str | None = None,
    prompts: Path | None = None,
    seed: int | None = None,
    stages: dict[str, dict[str, Any]] | None = None,
    engine: str | None = None,
    limits: SpendingLimits | None = None,
    permissions: Permissions | None = None,
    until: Sequence[str] = (),
    start: str | None = None,
    as_json: bool = False,
) -> None:
    """Run one stage and what it needs, as a recipe that ends there, or with the stages `until`.

    The recipe is `recipe_path`, or the run.yaml that `out` holds already, or a new one of this stage alone with
    defaults; the options are laid over it.
    """
    resolved = out / "run.yaml"
    path = recipe_path if recipe_path is not None else resolved if resolved.is_file() else None
    source = read_source(path) if path is not None else Source({"name": kind, "stages": {}}, {}, f"teachable {kind}")
    if not isinstance(source.document.get("stages"), dict):
        raise TeachableError("a recipe lists at least one stage", where=source.where("stages"))
    listed: dict[str, Any] = {kind: source.document["stages"].get(kind)}
    places: dict[str, str] = {}
    layer: dict[str, Any] = {"stages": listed}
    for name, fields in (stages or {}).items():
        listed[name] = fields
        places.update({f"stages.{name}.{field}": COMMAND_LINE for field in fields})
    if prompts is not None:
        listed["tasks"] = {**(listed.get("tasks") or {}), "source": str(prompts)}
        places["stages.tasks.source"] = COMMAND_LINE
        if kind in ASKS_THE_POOL and path is None:
            listed["tasks"]["heldout_frac"] = 0  # all of a file that nothing is to be evaluated on
    if kind in OF_THE_POOL and recipe_path is None and source.document["stages"].get("select") is None:
        listed["select"] = {"arms": [], **(listed.get("select") or {})}  # a pool is wanted, no experiment
    if engine is not None:
        layer["engine"] = engine_settings(engine, "--engine", source.document.get("engine"))
        places.update({f"engine.{field}": COMMAND_LINE for field in layer["engine"]})
        if layer["engine"]["kind"] == "transformers":
            base = layer["engine"].pop("model") or base
            layer["engine"]["model"] = ""
    if base is not None:
        layer["base"] = base
        places["base"] = "--base"
    if seed is not None:
        layer["seed"] = seed
        places["seed"] = "--seed"
    source = layered(source, Source(layer, places, source.name))
    folder = path.resolve().parent if path is not None else Path.cwd()
    recipe = recipe_from(source, sets, kinds=wiring.kinds(), folder=folder)
    carry_out(
        recipe, RunFolder(out), until=tuple(until) or kind, start=start, as_json=as_json, limits=limits,
        permissions=permissions,
    )  # fmt: skip


def mapped(columns: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """The tasks stage's part of a recipe for `--map field=column`.

    Raises:
        TeachableError: one has no `=`.
    """
    if not columns:
        return {}
    pairs = [text.partition("=") for text in columns]
    for text, (field, equals, _) in zip(columns, pairs, strict=True):
        if not equals or not field.strip():
            raise TeachableError(
                f"{text!r} maps nothing", where="--map", mend="Write field=column, such as answer=solution"
            )
    return {"tasks": {"columns": {field.strip(): column.strip() for field, _, column in pairs}}}


def engine_settings(text: str, where: str, before: object = None) -> dict[str, Any]:
    """The engine settings that an option's text stands for.

    Args:
        where: the option.
        before: the settings in the recipe. Those of another kind of engine are put back to their defaults.

    Raises:
        TeachableError: the text names no engine.
    """
    try:
        given = engine_from(text)
        if isinstance(before, dict) and before.get("kind", "transformers") != given["kind"]:
            return {**EngineConfig.model_validate(given).model_dump(mode="json"), **given}
    except ValueError as error:
        what, _, mend = str(error).partition(". ")
        raise TeachableError(what, where=where, mend=mend.rstrip(".")) from error
    return given


def write_report(folder: Path, *, as_json: bool) -> None:
    """Write a run's report anew: a complete run redoes its report stage, any other shows what is there."""
    run = RunFolder(folder)
    path = folder / "run.yaml"
    if run.recipe_name() is None or not path.is_file():
        raise TeachableError("there is no run in this folder", where=str(folder), mend="Name a run folder")
    recipe = load_recipe(path, kinds=wiring.kinds())
    stage = next((stage for stage in recipe.stages if stage.kind == "report"), None)
    entries = run.entries()
    if stage is not None and all(needed in entries for needed in stage.needs.values()):
        plan = make_plan(recipe, run, wiring.kinds(), until=stage.name)
        if all(one.cached for one in plan.stages if one.name != stage.name):
            carry_out(recipe, run, until=stage.name, start=stage.name, as_json=as_json)
            return
    from teachable.report.build import build_report

    # Of several stages of a kind the one that has its name is the run's own.
    by_name = sorted(entries.items(), key=lambda item: item[0] == item[1].kind)
    kinds_found = {entry.kind: name for name, entry in by_name if entry.kind != "report"}
    with run.locked(recipe.name):
        files = build_report(folder, folders={k: n for k, n in kinds_found.items() if k in REPORT_ROLES})
    if as_json:
        kept = [str(path) for path in files.kept]
        print_json({"run": str(folder), "report": str(files.html), "missing": list(files.missing), "kept": kept})
    else:
        missing = f" (not in it yet: {', '.join(files.missing)})" if files.missing else ""
        print(f"{recipe.name}: report written to {files.html}{missing}")
        if files.kept:
            print(f"left as they are, since they were written or changed by hand: {', '.join(map(str, files.kept))}")
