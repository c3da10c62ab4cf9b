"""`teachable ablate`: the command, the recipe that its options stand for, and what it prints.

Nothing is imported at the top but typer and what every command has: see `main`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from teachable.cli.ending import ending
from teachable.cli.options import Base, From, Json, MaxCost, MaxTokens, NeededOut, Seed, Sets

if TYPE_CHECKING:
    from teachable.recipe.config import Recipe

NAME, SELECT = "ablate", "select"
SELECTION = "ablate_select"  # in the run of a recipe that has a selection of its own
ARMS = ("teachable", "random", "full", "mastered", "beyond")
SEEDS = 5
# The stages of the recipe that is taken from where there is no run.
_BEFORE = ("tasks", "pretrain", "probe")
# Fields of `ablate` that the run's own training and evaluation say already.
_TRAINING = (
    "learning_rate", "schedule", "warmup_frac", "weight_decay", "max_grad_norm", "tokens_per_step", "backend",
    "allow_overlap",
)  # fmt: skip
_ASKING = ("n_samples", "max_tokens")


def ablate(
    out: NeededOut,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="PROMPTS", help="your own prompts, JSONL or Parquet")
    ] = None,
    base: Base = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, metavar="N", help=f"trainings of each arm; {SEEDS}")
    ] = None,
    max_cost: MaxCost = None,
    max_tokens: MaxTokens = None,
    recipe: From = None,
    sets: Sets = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Is it the choice? Train on teachable, random, mastered, beyond and all prompts alike, and compare."""
    with ending(out):
        from teachable.recipe.spec import SpendingLimits

        asked = recipe_of(out, prompts, base, seeds, recipe, sets or [], seed)
        _run(asked, out, SpendingLimits(max_cost, max_tokens), as_json=as_json)


# ---- from options to a recipe ----


def recipe_of(
    out: Path,
    prompts: Path | None = None,
    base: str | None = None,
    seeds: int | None = None,
    recipe: Path | None = None,
    sets: Sequence[str] = (),
    seed: int | None = None,
) -> Recipe:
    """The recipe that the options stand for: that of the run in `out`, or of `recipe`, and the ablation added to it.

    Without either it is the quickstart's tasks, base and probe, and the ablation.

    Raises:
        TeachableError: one of the files is no recipe, or a field is set that there is not.
    """
    from teachable.cli import wiring
    from teachable.recipe.load import recipe_from
    from teachable.recipe.packaged import packaged_recipe
    from teachable.recipe.source import COMMAND_LINE, Source, layered, read_source

    resolved = out / "run.yaml"
    path = recipe if recipe is not None else resolved if resolved.is_file() else None
    if path is not None:
        below = _with_ablation(read_source(path), seeds)
    else:
        quickstart = read_source(packaged_recipe("quickstart")[0])
        below = _own(quickstart, own_prompts=prompts is not None, seeds=seeds)
    layer: dict[str, Any] = {}
    if prompts is not None:
        layer["stages"] = {"tasks": {"source": str(prompts)}}
    layer |= {name: value for name, value in (("base", base), ("seed", seed)) if value is not None}
    places = {"stages.tasks.source": COMMAND_LINE, "base": "--base", "seed": "--seed"}
    source = layered(below, Source(layer, places if layer else {}, below.name))
    folder = path.resolve().parent if path is not None else Path.cwd()
    return recipe_from(source, sets, kinds=wiring.kinds(), folder=folder)


def _own(quickstart: Any, *, own_prompts: bool, seeds: int | None) -> Any:
    """A recipe of its own: the quickstart's stages up to the probe, and the ablation."""
    from teachable.recipe.source import Source

    stages = quickstart.document["stages"]
    before = {stage: stages[stage] for stage in _BEFORE}
    if own_prompts:
        before["tasks"] = None  # its numbers are those of the built-in tasks
    document = {**quickstart.document, "name": NAME, "stages": {**before, **_added(stages, SELECT, seeds)}}
    return Source(document, {}, f"teachable {NAME}")


def _with_ablation(source: Any, seeds: int | None) -> Any:
    """A recipe with the ablation added, or, where it has one, with its seeds changed."""
    from teachable.errors import TeachableError
    from teachable.recipe.source import COMMAND_LINE, Source, layered

    stages = source.document.get("stages")
    if not isinstance(stages, dict):
        raise TeachableError("a recipe lists at least one stage", where=source.where("stages"))
    if NAME not in stages:
        added = _added(stages, SELECTION if SELECT in stages else SELECT, seeds)
    elif seeds is None:
        added = {}
    else:
        filled = ((stages[NAME] or {}).get("needs") or {}).get("examples", SELECT)
        added = {filled: {"seeds": seeds}}
    places = {f"stages.{stage}.{field}": COMMAND_LINE for stage, fields in added.items() for field in fields}
    return layered(source, Source({"stages": added}, places, source.name))


def _added(stages: Mapping[str, Any], selection: str, seeds: int | None) -> dict[str, dict[str, Any]]:
    """The two stages of an ablation: the selection of the recipe, with all arms, and the training as in the recipe."""
    chosen, trained, asked = (dict(stages.get(stage) or {}) for stage in (SELECT, "sft", "evaluate"))
    needs = {role: stage for role, stage in (chosen.get("needs") or {}).items() if role in ("prompts", "base")}
    if chosen.get("responses") == "none":
        del chosen["responses"]  # a pool was wanted, which is not trained on
    arms: dict[str, Any] = {"arms": list(ARMS), "seeds": SEEDS if seeds is None else seeds}
    arms |= {"random_prompts": "as_teachable", "leave_out_small": True}
    fields = {name: trained[name] for name in _TRAINING if name in trained}
    fields |= {name: asked[name] for name in _ASKING if name in asked}
    return {
        selection: {**chosen, "kind": SELECT, **arms},
        NAME: {"kind": NAME, "needs": {**needs, "examples": selection}, **fields},
    }


# ---- the work ----


def _run(asked: Recipe, out: Path, limits: Any, *, as_json: bool) -> None:
    """Run it, and say what came of it; the page is drawn anew, whether or not anything had to be done."""
    from teachable.cli import wiring
    from teachable.cli.show import print_json, watching
    from teachable.recipe.run import run_recipe
    from teachable.report.ablation import write_ablation
    from teachable.store.files import read_json
    from teachable.store.manifest import RunFolder

    around, watcher = watching()
    with around:
        done = run_recipe(
            asked, RunFolder(out), wiring.kinds(), wiring.runner_for, watcher, until=NAME, limits=limits
        )  # fmt: skip
    stats = read_json(out / NAME / "stats.json")
    files = write_ablation(out, NAME)
    up_to_date = NAME not in done.ran
    if as_json:
        print_json(
            {"out": str(out), "up_to_date": up_to_date, "page": str(files.page), "plot": str(files.plot), **stats}
        )
    else:
        print(ablated_text(stats, files.page, up_to_date=up_to_date))


def ablated_text(stats: Mapping[str, Any], page: Path, *, up_to_date: bool = False) -> str:
    """The summary of an ablation's `stats.json`: the arms, what was left out, the verdict, the files."""
    left_out = "\n".join(f"left out: {one['reason']}" for one in stats["left_out"])
    done = "up to date" if up_to_date else "done"
    ending = f"{done}: {page}, {page.with_suffix('.svg')}, tables in {page.parent / stats['stage']}"
    return "\n\n".join(part for part in (_table(stats), left_out, stats["verdict"]["sentence"], ending) if part)


def _table(stats: Mapping[str, Any]) -> str:
    """A row an arm, and the base: its score at the end, its area, and how far `teachable` is from it."""
    from teachable.cli.show import aligned

    against = {(one["number"], one["baseline"]): one for one in stats["comparisons"]}
    head = ["arm", "end", "teachable less it", "p", "area", "teachable less it", "p", "prompts"]
    lines = [head]
    for arm in [*stats["arms"], {"arm": "base", "end": stats["base"], "area": stats["base"]}]:
        line = [str(arm["arm"])]
        for number in ("end", "area"):
            one = against.get((number, arm["arm"]))
            line += [_mean(arm[number]), _difference(one), "" if one is None else f"{one['p_holm']:.3f}"]
        unique = arm.get("n_unique")
        lines.append([*line, "" if unique is None else f"{round(sum(unique) / len(unique)):,}"])
    return aligned(lines)


def _mean(found: Mapping[str, float]) -> str:
    return f"{100 * found['mean']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _difference(found: Mapping[str, float] | None) -> str:
    if found is None:
        return ""
    return f"{100 * found['diff']:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"
